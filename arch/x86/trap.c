/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every trap means: in ring 3 it is kernel/'s to judge (fault_handle), in the kernel it is a fix-up, an interrupt of the idle loop, or
 * the end. NMI, double fault and machine check run on stacks of their own and never pass kernel_leave().
 */
#include "arch/x86/trap.h"

#include "arch/x86/apic.h"
#include "arch/x86/asm.h"
#include "arch/x86/machine_check.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/start.h"
#include "arch/x86/vector.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define STACK_DUMP_WORDS 24u
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

extern const struct fixup fixups_start[], fixups_end[];
extern const char entry_iret[], entry_idle_halt[], entry_idle_end[];

static const char *const exception_names[32] = {
	"divide error",
	"debug",
	"NMI",
	"breakpoint",
	"overflow",
	"bound range",
	"invalid opcode",
	"device not available",
	"double fault",
	"coprocessor overrun",
	"invalid TSS",
	"segment not present",
	"stack fault",
	"general protection",
	"page fault",
	"reserved",
	"x87 error",
	"alignment check",
	"machine check",
	"SIMD error",
	"virtualization",
	"control protection",
	"reserved",
	"reserved",
	"reserved",
	"reserved",
	"reserved",
	"reserved",
	"hypervisor injection",
	"VMM communication",
	"security",
	"reserved",
};

static bool is_from_user(const struct arch_frame *frame)
{
	return (frame->cs & 3) != 0;
}

/* From `stack` up; from the next page if that one is the guard below the stack. */
static void stack_dump(uint64_t stack)
{
	uint64_t start = paging_is_mapped(stack) ? ALIGN_DOWN(stack, 8ull)
	                                         : ALIGN_UP(stack, PAGE_SIZE);
	uint64_t end = start + STACK_DUMP_WORDS * sizeof(uint64_t);

	for (uint64_t at = start; at < end && paging_is_mapped(at) && paging_is_mapped(at + 31);
	     at += 32) {
		const uint64_t *words = (const uint64_t *)at;

		log_print("  %lx: %lx %lx %lx %lx", at, words[0], words[1], words[2], words[3]);
	}
}

void trap_dump(const struct arch_frame *frame, uint64_t stack)
{
	const struct cpu *cpu = cpu_self();
	const struct thread *thread = cpu->current;

	arch_console_claimed = false;
	if (frame != NULL) {
		log_print("  rip %lx cs %lx rflags %lx rsp %lx ss %lx", frame->rip, frame->cs,
		          frame->rflags, frame->rsp, frame->ss);
		log_print("  rax %lx rbx %lx rcx %lx rdx %lx", frame->rax, frame->rbx, frame->rcx,
		          frame->rdx);
		log_print("  rsi %lx rdi %lx rbp %lx r8 %lx", frame->rsi, frame->rdi, frame->rbp,
		          frame->r8);
		log_print("  r9 %lx r10 %lx r11 %lx r12 %lx", frame->r9, frame->r10, frame->r11,
		          frame->r12);
		log_print("  r13 %lx r14 %lx r15 %lx error %lx", frame->r13, frame->r14, frame->r15,
		          frame->error_code);
	}
	log_print("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx", cr0_read(), cr2_read(), cr3_read(),
	          cr4_read());
	log_print("  cpu %u work %x thread %lx domain %lx vcpu %lx", cpu->idx, cpu->work,
	          (uint64_t)thread, thread != NULL ? (uint64_t)thread->domain : 0,
	          thread != NULL ? (uint64_t)thread->vcpu : 0);
	stack_dump(stack);
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

static void kernel_fault(struct arch_frame *frame)
{
	for (const struct fixup *fixup = fixups_start; fixup < fixups_end; fixup++) {
		if (fixup->from == frame->rip) {
			frame->rip = fixup->to;
			return;
		}
	}
	dump_begin();
	log_print("cpu %u: %s (vector %lu) in the kernel", cpu_self()->idx,
	          exception_names[frame->vector & 31], frame->vector);
	trap_dump(frame, frame->rsp);
	panic("unexpected exception in the kernel");
}

/*
 * IRETQ found the ring-3 frame unfit (SDM 2A IRET). What it was about to load still stands at the stack top, the ring-3 registers are in
 * the new frame right below: join them, and it is ring 3's fault.
 */
static struct arch_frame *iret_fault_join(const struct arch_frame *frame)
{
	struct arch_frame *user = arch_user_frame(cpu_self());

	memmove(user, frame, offsetof(struct arch_frame, rip));
	return user;
}

static void nmi_handle(struct arch_frame *frame)
{
	static uint32_t dumps_count;
	struct cpu *cpu = cpu_self();

	if (frame->rip == (uint64_t)entry_idle_halt) {
		frame->rip = (uint64_t)entry_idle_end;
	}
	if (cpu->work & CPU_WORK_STOP) {
		arch_cpu_stop();
	}
	if (cpu->idx == 0 && (port_read8(PORT_SYSTEM_CONTROL) & SYSTEM_CONTROL_NMI)) {
		trap_dump(frame, frame->rsp);
		panic("NMI: the chipset reports a memory or bus error (port 61h = %x)",
		      port_read8(PORT_SYSTEM_CONTROL));
	}
	if ((cpu->work & CPU_WORK_NMI) == 0 &&
	    __atomic_add_fetch(&dumps_count, 1, __ATOMIC_RELAXED) <= NMI_DUMPS_MAX) {
		bool was_claimed = arch_console_claimed;

		arch_console_claimed = false;
		log_print("cpu %u: NMI from outside; going on", cpu->idx);
		trap_dump(frame, frame->rsp);
		arch_console_claimed = was_claimed;
	}
}

/* Those with a stack of their own: back to where they came from at once. */
static bool trap_handle_special(struct arch_frame *frame)
{
	switch (frame->vector) {
	case VECTOR_NMI:
		nmi_handle(frame);
		return true;
	case VECTOR_DOUBLE_FAULT:
		dump_begin();
		log_print("cpu %u: double fault (kernel stack overflow?)", cpu_self()->idx);
		trap_dump(frame, frame->rsp);
		panic("double fault");
	case VECTOR_MACHINE_CHECK:
		machine_check_handle(frame);
		return true;
	default:
		return false;
	}
}

void trap_handle(struct arch_frame *frame)
{
	bool is_user = is_from_user(frame);

	if (trap_handle_special(frame)) {
		return;
	}
	if (frame->vector == VECTOR_PROTECTION && frame->error_code == TCG_SPURIOUS_ERROR_CODE) {
		cpu_self()->count_spurious++;
	} else if (frame->vector >= VECTOR_PIC) {
		apic_interrupt((uint32_t)frame->vector);
	} else if (is_user) {
		fault_handle(frame, frame->vector == VECTOR_PAGE_FAULT ? cr2_read() : 0);
	} else if (frame->rip == (uint64_t)entry_iret) {
		frame = iret_fault_join(frame);
		fault_handle(frame, 0);
		is_user = true;
	} else {
		kernel_fault(frame);
	}
	if (is_user) {
		arch_leave();
	}
}
