/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions of every kind on device registers: the I/O APIC's select register (8 bits that keep what is written) and the local APIC's.
 * Plain moves, which a VMM may do in a short way, must be the same as all others; and after code has been changed, or another page has
 * been put in its place, the new code counts. The paging of 32-bit code is walked, too.
 */
#include "guests/lib/guest.h"

#define SELECT     0xfec00000ull
#define LDR        0xfee000d0ull
#define MSR_GS     0xc0000101u
#define SCRATCH_VA 0x80000000ull /* a page of our own choice */

#define CR0_PG     0x80000000u
#define CR4_PAE    0x20u
#define CR4_PSE    0x10u

extern uint64_t boot_pdpt[];
extern uint64_t boot_pd[];

/* legacy.S */
uint64_t mmio_legacy(uint32_t cr4, uint32_t cr3, uint32_t cr0_bits);

static uint8_t code_pages[2][4096] __attribute__((aligned(4096)));
static uint64_t scratch_pd[512] __attribute__((aligned(4096)));
static uint64_t scratch_pt[512] __attribute__((aligned(4096)));
static uint64_t pae_top[4] __attribute__((aligned(32)));
static uint32_t directory_32[1024] __attribute__((aligned(4096)));

static void select_set(uint32_t value)
{
	__asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(SELECT) : "memory");
}

static uint32_t select_get(void)
{
	uint32_t value;

	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(SELECT) : "memory");
	return value;
}

static void expect(uint64_t got, uint64_t wanted, const char *what)
{
	check(got == wanted, "%s: %lx, not %lx", what, got, wanted);
}

static void test_moves(void)
{
	uint64_t value = 0x1122334455667788;

	select_set(0x8b);
	expect(select_get(), 0x8b, "mov");
	__asm__ volatile("movb (%1), %b0" : "+r"(value) : "r"(SELECT) : "memory");
	expect(value, 0x112233445566778b, "mov byte");
	value = ~0ull;
	__asm__ volatile("movw (%1), %w0" : "+r"(value) : "r"(SELECT) : "memory");
	expect(value, 0xffffffffffff008b, "mov word");
	__asm__ volatile("movzbl (%1), %k0" : "=r"(value) : "r"(SELECT) : "memory");
	expect(value, 0x8b, "movzx");
	__asm__ volatile("movsbl (%1), %k0" : "=r"(value) : "r"(SELECT) : "memory");
	expect(value, 0xffffff8b, "movsx to 4 bytes");
	__asm__ volatile("movsbq (%1), %0" : "=r"(value) : "r"(SELECT) : "memory");
	expect(value, 0xffffffffffffff8b, "movsx to 8 bytes");
	__asm__ volatile("movb (%1), %%ah; movzbl %%ah, %%eax"
	                 : "=a"(value)
	                 : "b"(SELECT)
	                 : "memory");
	expect(value, 0x8b, "mov to AH");
	__asm__ volatile("movl $0x17, (%0)" : : "r"(SELECT) : "memory");
	expect(select_get(), 0x17, "mov immediate");
	__asm__ volatile("movl %k0, -8(%1, %2, 4)"
	                 :
	                 : "r"(0x21ull), "r"(SELECT), "r"(2ull)
	                 : "memory");
	expect(select_get(), 0x21, "mov with index");
	__asm__ volatile("movabs %%eax, 0xfec00000" : : "a"(0x33) : "memory");
	expect(select_get(), 0x33, "mov absolute");
}

static void test_arithmetic(void)
{
	uint32_t value = 0x44;
	uint64_t flags;

	select_set(0x30);
	__asm__ volatile("orl $0x0c, (%0)" : : "r"(SELECT) : "memory");
	expect(select_get(), 0x3c, "or");
	__asm__ volatile("lock addl %0, (%1)" : : "r"(1), "r"(SELECT) : "memory");
	expect(select_get(), 0x3d, "lock add");
	__asm__ volatile("xchg %0, (%1)" : "+r"(value) : "r"(SELECT) : "memory");
	expect(value, 0x3d, "xchg, register");
	expect(select_get(), 0x44, "xchg, memory");
	__asm__ volatile("cmpl $0x44, (%1); pushfq; pop %0" : "=r"(flags) : "r"(SELECT) : "memory");
	expect(flags & 0x40, 0x40, "cmp, ZF");
	__asm__ volatile("pushq (%1); pop %0" : "=r"(flags) : "r"(SELECT) : "memory");
	expect(flags & 0xff, 0x44, "push");
	__asm__ volatile(
		"mov %%rsp, %%rcx; movl (%0), %%esp; mov %%rsp, %%rdx; mov %%rcx, %%rsp; mov %%rdx, %1"
		:
		: "r"(SELECT), "m"(flags)
		: "rcx", "rdx", "memory");
	expect(flags, 0x44, "mov to RSP");
}

static void test_strings_and_segments(void)
{
	uint32_t from[3] = { 0x11, 0x12, 0x13 }, to[2] = { 0, 0 };
	const void *source = from;
	void *target = (void *)SELECT;
	uint64_t count = 1;

	__asm__ volatile("rep movsl" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
	expect(select_get(), 0x11, "rep movs to a device");
	source = (const void *)SELECT;
	target = to;
	__asm__ volatile("movsl" : "+S"(source), "+D"(target) : : "memory");
	expect(to[0], 0x11, "movs from a device");
	wrmsr(MSR_GS, SELECT - 0x1000);
	__asm__ volatile("movl %0, %%gs:0x1000" : : "r"(0x55) : "memory");
	wrmsr(MSR_GS, 0);
	expect(select_get(), 0x55, "mov to GS");
}

static void test_local_apic(void)
{
	uint32_t value;

	__asm__ volatile("movl %0, (%1)" : : "r"(0x5a000000), "r"(LDR) : "memory");
	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(LDR) : "memory");
	expect(value, 0x5a000000, "LDR");
	__asm__ volatile("andl %0, (%1)" : : "r"(0x0f000000), "r"(LDR) : "memory");
	__asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(LDR) : "memory");
	expect(value, 0x0a000000, "LDR after and");
}

/* mov (%rdi), %eax; ret - or of %ecx, so that EAX keeps what is passed. */
static void code_write(uint8_t *at, bool loads_eax)
{
	at[0] = 0x8b;
	at[1] = loads_eax ? 0x07 : 0x0f;
	at[2] = 0xc3;
}

static uint32_t call(uint64_t code, uint64_t address)
{
	uint64_t value = 0x99;

	__asm__ volatile("call *%2" : "+a"(value) : "D"(address), "r"(code) : "rcx", "memory");
	return (uint32_t)value;
}

static void test_code_changes(void)
{
	select_set(0x66);
	code_write(code_pages[0], true);
	code_write(code_pages[1], false);
	scratch_pt[0] = (uint64_t)code_pages[0] | 3;
	scratch_pd[0] = (uint64_t)scratch_pt | 3;
	boot_pdpt[2] = (uint64_t)scratch_pd | 3;
	__asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" : : : "rax", "memory");
	for (uint32_t i = 0; i < 4; i++) {
		expect(call(SCRATCH_VA, SELECT), 0x66, "code at its first place");
	}
	scratch_pt[0] = (uint64_t)code_pages[1] | 3;
	__asm__ volatile("invlpg (%0)" : : "r"(SCRATCH_VA) : "memory");
	expect(call(SCRATCH_VA, SELECT), 0x99, "another page in its place");
	code_write(code_pages[1], true);
	expect(call(SCRATCH_VA, SELECT), 0x66, "other bytes in the page");
	code_write(code_pages[1], false);
	expect(call(SCRATCH_VA, SELECT), 0x99, "and the old ones again");
}

static void test_legacy_paging(void)
{
	const uint64_t wanted = 0x5b0000005aull;

	for (uint32_t i = 0; i < 4; i++) {
		pae_top[i] = ((uint64_t)boot_pd + i * 4096) | 1;
	}
	for (uint32_t i = 0; i < 1024; i++) {
		directory_32[i] = i << 22 | 0x83;
	}
	expect(mmio_legacy(0, 0, 0), wanted, "no paging");
	expect(mmio_legacy(CR4_PSE, (uint32_t)(uint64_t)directory_32, CR0_PG), wanted,
	       "32-bit paging");
	expect(mmio_legacy(CR4_PAE, (uint32_t)(uint64_t)pae_top, CR0_PG), wanted, "PAE paging");
}

void guest_main(const struct multiboot_info *info)
{
	(void)info;
	test_moves();
	test_arithmetic();
	test_strings_and_segments();
	test_local_apic();
	test_code_changes();
	test_legacy_paging();
	guest_exit("mmio");
}
