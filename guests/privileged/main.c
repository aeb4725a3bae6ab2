/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every instruction that could reach the machine: from ring 3 each must end in the fault that the manual names; from ring 0 each must
 * do what this guest's CPU has, or fault, and leave machine, kernel and neighbours as they are. Virtualisation instructions are not
 * there for a guest (#UD: no SVM, no VMX in CPUID).
 */
#include "guests/lib/guest.h"

#define UD 6
#define GP 13

extern uint64_t boot_pd[];

static uint8_t user_stack[4096] __attribute__((aligned(16)));
__attribute__((used)) static struct {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) pseudo = { 0, 0x1000 };

/* Each is a tiny function that ends in `ret`; in ring 3 the return address is user_end. */
#define OPERATION(name, text)                              \
	__attribute__((naked)) static void op_##name(void) \
	{                                                  \
		__asm__ volatile(text "; ret");            \
	}

OPERATION(hlt, "hlt")
OPERATION(cli, "cli")
OPERATION(in, "mov $0xcf8, %dx; in %dx, %eax")
OPERATION(out, "mov $0x80, %dx; out %al, %dx")
OPERATION(clts, "clts")
OPERATION(invd, "invd")
OPERATION(wbinvd, "wbinvd")
OPERATION(invlpg, "invlpg (%rsp)")
OPERATION(lgdt, "lgdt pseudo(%rip)")
OPERATION(lidt, "lidt pseudo(%rip)")
OPERATION(lldt, "xor %eax, %eax; lldt %ax")
OPERATION(ltr, "mov $0x18, %eax; ltr %ax")
OPERATION(lmsw, "mov $1, %eax; lmsw %ax")
OPERATION(cr0, "mov %cr0, %rax; mov %rax, %cr0")
OPERATION(cr3, "mov %cr3, %rax; mov %rax, %cr3")
OPERATION(cr4, "mov %cr4, %rax; mov %rax, %cr4")
OPERATION(cr8, "mov %cr8, %rax; mov %rax, %cr8")
OPERATION(dr7, "mov %dr7, %rax; mov %rax, %dr7")
OPERATION(rdmsr, "mov $0x1b, %ecx; rdmsr")
OPERATION(wrmsr, "mov $0xc0000101, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr")
OPERATION(rdmsr_wild, "mov $0x12345678, %ecx; rdmsr")
OPERATION(wrmsr_wild, "mov $0x12345678, %ecx; wrmsr")
OPERATION(wrmsr_efer, "mov $0xc0000080, %ecx; mov $0xffffffff, %eax; mov $0xffffffff, %edx; wrmsr")
OPERATION(wrmsr_apic, "mov $0x1b, %ecx; mov $0xffffffff, %eax; mov $0xffffffff, %edx; wrmsr")
OPERATION(xsetbv_wild, "xor %ecx, %ecx; xor %eax, %eax; xor %edx, %edx; xsetbv")
OPERATION(cr0_wild, "mov $0x80000000, %eax; mov %rax, %cr0")
OPERATION(cr4_wild, "mov $-1, %rax; mov %rax, %cr4")
OPERATION(cr3_wild, "mov $-1, %rax; mov %rax, %cr3")
OPERATION(rdpmc, "mov $0x3ff, %ecx; rdpmc")
OPERATION(monitor, "xor %ecx, %ecx; xor %edx, %edx; mov %rsp, %rax; monitor")
OPERATION(mwait, "xor %ecx, %ecx; xor %eax, %eax; mwait")
OPERATION(vmrun, "xor %eax, %eax; vmrun")
OPERATION(vmload, "xor %eax, %eax; vmload")
OPERATION(vmsave, "xor %eax, %eax; vmsave")
OPERATION(stgi, "stgi")
OPERATION(clgi, "clgi")
OPERATION(skinit, "xor %eax, %eax; skinit")
OPERATION(invlpga, "xor %eax, %eax; xor %ecx, %ecx; invlpga")
OPERATION(vmxon, "vmxon (%rsp)")
OPERATION(vmlaunch, "vmlaunch")
OPERATION(vmresume, "vmresume")
OPERATION(vmptrld, "vmptrld (%rsp)")
OPERATION(vmread, "vmread %rax, %rcx")
OPERATION(invept, "xor %eax, %eax; invept (%rsp), %rax")
OPERATION(rsm, "rsm")
OPERATION(sysret, "mov $0x8000000000000000, %rcx; sysretq")
OPERATION(ud2, "ud2")
OPERATION(int3_gate, "int $0x30")
OPERATION(iret_wild, "push $0; push $0; push $2; push $0xffff; push $0; iretq")
OPERATION(far_wild, "push $0xfff8; push $0; lretq")

struct operation {
	const char *name;
	void (*function)(void);
	int ring3_vector; /* what ring 3 must see; -1: anything that is a fault */
	int ring0_vector; /* -1: must work; -2: works or faults, as this CPU has it; else the vector */
	bool is_fatal_in_ring0; /* would lose this guest's own state if it worked */
	bool is_intel_only;     /* QEMU's CPU does not check these bits, bare or not */
};

static const struct operation operations[] = {
	{ "hlt", op_hlt, GP, 0, true, false },
	{ "cli", op_cli, GP, -1, false, false },
	{ "in", op_in, GP, -1, false, false },
	{ "out", op_out, GP, -1, false, false },
	{ "clts", op_clts, GP, -1, false, false },
	{ "invd", op_invd, GP, -2, false, false },
	{ "wbinvd", op_wbinvd, GP, -1, false, false },
	{ "invlpg", op_invlpg, GP, -1, false, false },
	{ "lgdt", op_lgdt, GP, 0, true, false },
	{ "lidt", op_lidt, GP, 0, true, false },
	{ "lldt", op_lldt, GP, -1, false, false },
	{ "ltr", op_ltr, GP, GP, false, false },
	{ "lmsw", op_lmsw, GP, -1, false, false },
	{ "mov cr0", op_cr0, GP, -1, false, false },
	{ "mov cr3", op_cr3, GP, -1, false, false },
	{ "mov cr4", op_cr4, GP, -1, false, false },
	{ "mov cr8", op_cr8, GP, -1, false, false },
	{ "mov dr7", op_dr7, GP, -1, false, false },
	{ "rdmsr", op_rdmsr, GP, -1, false, false },
	{ "wrmsr", op_wrmsr, GP, -1, false, false },
	{ "rdmsr of an unknown MSR", op_rdmsr_wild, GP, GP, false, false },
	{ "wrmsr of an unknown MSR", op_wrmsr_wild, GP, GP, false, false },
	{ "wrmsr EFER, reserved bits", op_wrmsr_efer, GP, GP, false, false },
	{ "wrmsr APIC_BASE, reserved bits", op_wrmsr_apic, GP, GP, false, false },
	{ "xsetbv 0", op_xsetbv_wild, -1, -3, false, false },
	{ "mov cr0, PG without PE", op_cr0_wild, GP, GP, false, true },
	{ "mov cr4, reserved bits", op_cr4_wild, GP, GP, false, true },
	{ "mov cr3, reserved bits", op_cr3_wild, GP, GP, false, true },
	{ "rdpmc", op_rdpmc, GP, -3, false, false },
	{ "monitor", op_monitor, -1, -2, false, false },
	{ "mwait", op_mwait, -1, -3, true, false },
	{ "vmrun", op_vmrun, -1, UD, false, false },
	{ "vmload", op_vmload, -1, UD, false, false },
	{ "vmsave", op_vmsave, -1, UD, false, false },
	{ "stgi", op_stgi, -1, UD, false, false },
	{ "clgi", op_clgi, -1, UD, false, false },
	{ "skinit", op_skinit, -1, UD, false, false },
	{ "invlpga", op_invlpga, -1, UD, false, false },
	{ "vmxon", op_vmxon, -1, UD, false, false },
	{ "vmlaunch", op_vmlaunch, -1, UD, false, false },
	{ "vmresume", op_vmresume, -1, UD, false, false },
	{ "vmptrld", op_vmptrld, -1, UD, false, false },
	{ "vmread", op_vmread, -1, UD, false, false },
	{ "invept", op_invept, -1, UD, false, false },
	{ "rsm", op_rsm, UD, UD, false, false },
	{ "ud2", op_ud2, UD, UD, false, false },
	{ "int 30h", op_int3_gate, GP, 0, true, false },
	{ "iret to a wild selector", op_iret_wild, GP, GP, false, false },
	{ "far return to a wild selector", op_far_wild, GP, GP, false, false },
	{ "sysret", op_sysret, -1, 0, true, false },
};

static void call_ring0(void *argument)
{
	((const struct operation *)argument)->function();
}

/* Ring 3 cannot come back by itself: the operation's `ret` lands on an INT 30h, which ring 3 may not do. */
static void call_ring3(void *argument)
{
	uint64_t *stack = (uint64_t *)(void *)(user_stack + sizeof(user_stack)) - 1;

	*stack = (uint64_t)op_int3_gate;
	__asm__ volatile("push $0x23; push %0; push $0x2; push $0x2b; push %1; iretq"
	                 :
	                 : "r"(stack), "r"(((const struct operation *)argument)->function)
	                 : "memory");
}

static void test_ring3(const struct operation *operation)
{
	struct trap_frame fault = { 0 };
	int vector = guest_catch(call_ring3, (void *)(uintptr_t)operation, &fault);
	bool is_own = fault.rip >= (uint64_t)operation->function &&
	              fault.rip < (uint64_t)operation->function + 32;

	check(vector >= 0 && is_own, "ring 3: %s went through", operation->name);
	check(operation->ring3_vector < 0 || vector == operation->ring3_vector,
	      "ring 3: %s: vector %d, not %d", operation->name, vector, operation->ring3_vector);
}

static void test_ring0(const struct operation *operation)
{
	if (operation->is_fatal_in_ring0) {
		return;
	}
	int vector = guest_catch(call_ring0, (void *)(uintptr_t)operation, NULL);

	if (operation->ring0_vector == -3) {
		check(vector == UD || vector == GP, "ring 0: %s: vector %d", operation->name,
		      vector);
	} else if (operation->ring0_vector != -2) {
		check(vector == operation->ring0_vector, "ring 0: %s: vector %d, not %d",
		      operation->name, vector, operation->ring0_vector);
	}
}

void guest_main(const struct multiboot_info *info)
{
	uint32_t registers[4];

	(void)info;
	cpuid(0, 0, registers);
	bool is_intel = registers[2] == 0x6c65746e; /* "ntel" */

	for (uint32_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		test_ring3(&operations[i]);
		if (is_intel || !operations[i].is_intel_only) {
			test_ring0(&operations[i]);
		}
	}
	guest_exit("privileged");
}
