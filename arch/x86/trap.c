/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every trap means: in ring 3 it is kernel/'s to judge (fault_handle), in the kernel it is a fix-up, an interrupt of the idle loop, or
 * the end; and what a wrong value of the stack protector means (set by the boot entry). NMI, double fault and machine check run on stacks of their own and never pass kernel_leave().
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define STACK_DUMP_BYTES 192u
#define NMI_DUMPS_MAX    8u

#define PORT_SYSTEM_CONTROL \
	0x61u /* bits 7:6: the chipset's reasons for an NMI (RAM parity, I/O check) */
#define SYSTEM_CONTROL_NMI 0xc0u

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

static const char *const exception_names[32] = {
	"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9",   "#TS",
	"#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	"22",  "23",  "24",  "25",  "26",  "27",  "#HV", "#VC", "#SX", "31",
};

uintptr_t __stack_chk_guard;

void __stack_chk_fail(void)
{
	panic("a function's stack frame was overwritten (returning to %p)",
	      __builtin_return_address(0));
}

/* From `stack` up, within its page (an NMI must not fault on the next one); from the next page if that one is the guard below the stack. */
static void stack_dump(uint64_t stack)
{
	uint64_t words[4], at = ALIGN_DOWN(stack, 8ull), end;

	if (copy_guarded(words, (const void *)at, sizeof(words)) != BH_OK) {
		at = ALIGN_UP(stack, PAGE_SIZE);
	}
	end = ALIGN_UP(at + 1, PAGE_SIZE);
	end = end < at + STACK_DUMP_BYTES ? end : at + STACK_DUMP_BYTES;
	for (; at + sizeof(words) <= end; at += sizeof(words)) {
		if (copy_guarded(words, (const void *)at, sizeof(words)) != BH_OK) {
			return;
		}
		log_print("  %lx: %lx %lx %lx %lx", at, words[0], words[1], words[2], words[3]);
	}
}

static void trap_dump(const struct arch_frame *frame)
{
	arch_console_claimed = false;
	log_print("  rip %lx cs %lx rflags %lx rsp %lx ss %lx error %lx", frame->rip, frame->cs,
	          frame->rflags, frame->rsp, frame->ss, frame->error_code);
	log_print("  rax %lx rbx %lx rcx %lx rdx %lx rsi %lx", frame->rax, frame->rbx, frame->rcx,
	          frame->rdx, frame->rsi);
	log_print("  rdi %lx rbp %lx r8 %lx r9 %lx r10 %lx", frame->rdi, frame->rbp, frame->r8,
	          frame->r9, frame->r10);
	log_print("  r11 %lx r12 %lx r13 %lx r14 %lx r15 %lx", frame->r11, frame->r12, frame->r13,
	          frame->r14, frame->r15);
	log_print("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx", cr0_read(), cr2_read(), cr3_read(),
	          cr4_read());
	stack_dump(frame->rsp);
}

/* A fault while a fault is being reported would go on for ever: the first one's text is out, that must do. */
static void dump_begin(void)
{
	static uint32_t dumping_cpu; /* index + 1; never taken back */
	uint32_t expected = 0, self = cpu_self()->idx + 1;

	arch_console_claimed = false;
	if (!__atomic_compare_exchange_n(&dumping_cpu, &expected, self, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_ACQUIRE)) {
		if (expected == self) {
			arch_console_write("fault within the fault report\n", 30);
			arch_cpus_stop_others();
		}
		arch_cpu_stop();
	}
}

static _Noreturn void kernel_dies(const struct arch_frame *frame)
{
	dump_begin();
	log_print("cpu %u: exception %s in the kernel", cpu_self()->idx,
	          exception_names[frame->vector & 31]);
	trap_dump(frame);
	panic("exception %s in the kernel%s", exception_names[frame->vector & 31],
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
	if (frame->vector == VECTOR_PROTECTION && frame->error_code == TCG_SPURIOUS_ERROR_CODE) {
		cpu_self()->count_spurious++;
	} else if (frame->vector >= VECTOR_PIC) {
		apic_interrupt((uint32_t)frame->vector);
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
