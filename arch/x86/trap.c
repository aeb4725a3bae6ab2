/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every trap means: in ring 3 it is kernel/'s to judge (fault_handle), in the kernel it is a fix-up, an interrupt of the idle loop, or
 * the end; and what a wrong value of the stack protector means (set by the boot entry). NMI, double fault and machine check run on stacks of their own and never pass kernel_leave().
 */
#include "arch/x86/asm.h"
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define NMI_DUMPS_MAX      8u

#define SYSTEM_CONTROL_NMI 0xc0u /* the chipset's reasons for an NMI (RAM parity, I/O check) */

/*
 * QEMU's TCG, when an interrupt has gone by the time it is taken, delivers vector -1: a #GP with the "IDT" error code -1 * 16 + 2, which no CPU
 * can produce (error codes have 16 bits). It means nothing.
 */
#define TCG_SPURIOUS_ERROR_CODE (~0ull - 13)

struct fixup {
	uint64_t from, to;
};

extern uintptr_t __stack_chk_guard;
_Noreturn void __stack_chk_fail(void);
extern const struct fixup fixups_start[], fixups_end[];
extern const char entry_iret[], entry_idle_halt[], entry_idle_end[];

uintptr_t __stack_chk_guard;

void __stack_chk_fail(void)
{
	panic("a function's stack frame was overwritten (returning to %p)",
	      __builtin_return_address(0));
}

static void trap_dump(const struct arch_frame *frame)
{
	arch_console_claimed = false;
	fault_print(log_print, frame);
	log_print("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx", cr0_read(), cr2_read(), cr3_read(),
	          cr4_read());
}

static _Noreturn void kernel_dies(const struct arch_frame *frame)
{
	static bool is_dying;

	/* A fault while a fault is being reported would go on for ever: panic() ends that. */
	if (__atomic_exchange_n(&is_dying, true, __ATOMIC_ACQ_REL)) {
		panic("exception %lu at %lx while another is reported", frame->vector, frame->rip);
	}
	trap_dump(frame);
	panic("exception %lu in the kernel%s", frame->vector,
	      frame->vector == VECTOR_DOUBLE_FAULT ? " (stack overflow?)" : "");
}

static void kernel_fault(struct arch_frame *frame)
{
	for (const struct fixup *fixup = fixups_start; fixup < fixups_end; fixup++) {
		if (fixup->from == frame->rip) {
			frame->rip = fixup->to;
			return;
		}
	}
	kernel_dies(frame);
}

static void nmi_handle(struct arch_frame *frame)
{
	static uint32_t dumps_count;
	struct cpu *cpu = cpu_self();
	bool was_claimed = arch_console_claimed;

	if (frame->rip == (uint64_t)entry_idle_halt) {
		frame->rip = (uint64_t)entry_idle_end;
	}
	if (cpu->work & CPU_WORK_STOP) {
		arch_cpu_stop();
	}
	if (cpu->idx == 0 && (port_read8(PORT_SYSTEM_CONTROL) & SYSTEM_CONTROL_NMI)) {
		trap_dump(frame);
		panic("NMI: the chipset reports a memory or bus error (port 61h = %x)",
		      port_read8(PORT_SYSTEM_CONTROL));
	}
	if ((cpu->work & CPU_WORK_NMI) == 0 &&
	    __atomic_add_fetch(&dumps_count, 1, __ATOMIC_RELAXED) <= NMI_DUMPS_MAX) {
		log_print("cpu %u: NMI from outside; going on", cpu->idx);
		trap_dump(frame);
		arch_console_claimed = was_claimed;
	}
}

/* NMI, double fault and machine check have stacks of their own: back to where they came from at once. */
void trap_handle(struct arch_frame *frame)
{
	bool is_user = (frame->cs & 3) != 0;

	switch (frame->vector) {
	case VECTOR_NMI:
		nmi_handle(frame);
		return;
	case VECTOR_DOUBLE_FAULT:
		kernel_dies(frame);
	case VECTOR_MACHINE_CHECK:
		machine_check_handle(frame);
		return;
	default:
		break;
	}
	if (frame->vector >= VECTOR_PIC) {
		apic_interrupt((uint32_t)frame->vector);
	} else if (frame->vector == VECTOR_PROTECTION &&
	           frame->error_code == TCG_SPURIOUS_ERROR_CODE) {
		__builtin_ia32_pause(); /* nothing has happened */
	} else if (!is_user && frame->rip != (uint64_t)entry_iret) {
		kernel_fault(frame);
	} else {
		/*
		 * IRETQ found the ring-3 frame unfit (SDM 2A IRET): what it was about to load still stands at the stack top, the ring-3
		 * registers are in the new frame right below. Join them, and it is ring 3's fault.
		 */
		if (!is_user) {
			frame = memmove(arch_user_frame(cpu_self()), frame,
			                offsetof(struct arch_frame, rip));
			is_user = true;
		}
		fault_handle(frame, frame->vector == VECTOR_PAGE_FAULT ? cr2_read() : 0);
	}
	if (is_user) {
		arch_leave();
	}
}
