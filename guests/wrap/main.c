/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instruction that ends at 4 GiB in 32-bit code: the next one is at 0. CPUID at FFFFFFFEh is finished on the hypervisor's fast path,
 * which once went back with RIP = 100000000h; VT-x refuses that (SDM 3C 26.3.1.4), and the refused VMRESUME, of a VMCS that had been
 * launched, ended in a panic of the whole machine.
 */
#include "guests/lib/guest.h"

#define SELECTOR_CODE32 0x18ull
#define LAST_CPUID      0xfffffffeull
#define PAGE_FLAGS      3ull

extern uint64_t boot_pd[];

/* legacy.S: the same without long mode, and to the end from there. */
_Noreturn void wrap_legacy(const char *text);

uint8_t wrap_top_page[4096] __attribute__((aligned(4096)));
static uint64_t table[512] __attribute__((aligned(4096)));

/* The last page below 4 GiB is ours, and ends with CPUID; at 0 stands a far jump back to 64-bit code, whose target the caller fills in. */
static uint8_t *prepare(void)
{
	uint8_t *low = NULL;

	wrap_top_page[4094] = 0x0f;
	wrap_top_page[4095] = 0xa2;
	table[511] = (uint64_t)wrap_top_page | PAGE_FLAGS;
	boot_pd[2047] = (uint64_t)table | PAGE_FLAGS;
	__asm__ volatile("mov %%cr3, %%rax\n\tmov %%rax, %%cr3" : : : "rax", "memory");
	__asm__ volatile("" : "+r"(low)); /* address 0 is memory here */
	low[0] = 0xea;
	low[5] = 0x08;
	low[6] = 0x00;
	return low;
}

static uint32_t cpuid_at_the_end(uint8_t *low, uint32_t leaf)
{
	uint32_t ebx;

	__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
	                 "mov %%ecx, 1(%[low])\n\t"
	                 "xor %%ecx, %%ecx\n\t"
	                 "pushq %[code]\n\t"
	                 "pushq %[target]\n\t"
	                 "lretq\n"
	                 "1:"
	                 : "=&b"(ebx), "+a"(leaf)
	                 : [low] "r"(low), [code] "r"(SELECTOR_CODE32), [target] "r"(LAST_CPUID)
	                 : "rcx", "rdx", "memory");
	return ebx;
}

void guest_main(const struct multiboot_info *info)
{
	uint8_t *low = prepare();
	uint32_t registers[4];
	bool is_right = true;

	(void)info;
	/* The first is answered on the fast path, the second is not. */
	for (uint32_t leaf = 0; leaf <= 7; leaf += 7) {
		cpuid(leaf, 0, registers);
		is_right = cpuid_at_the_end(low, leaf) == registers[1] && is_right;
	}
	check(is_right, "CPUID says something else at 4 GiB");
	if (is_right) {
		wrap_legacy("wrap: PASS, 3 checks\n");
	}
	guest_exit("wrap");
}
