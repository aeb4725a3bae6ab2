/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the architecture supplies to kernel/: the whole list. Everything here is called with interrupts off.
 * (Virtualisation is apart, in arch/x86/hvm.h; page tables in arch/x86/ptable.h.)
 */
#pragma once

#include "arch/x86/arch_inline.h"
#include "kernel/cpu.h"
#include "kernel/types.h"

/*
 * The registers of a ring-3 thread, as the entry code leaves them at the top of the pCPU's kernel stack
 * (cpu->kernel_stack_top - sizeof). While it is the pCPU's frame_thread they live there; the next one to reach ring 3 moves them out.
 */
struct arch_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector; /* of the trap; ARCH_VECTOR_SYSCALL for a call */
	uint64_t error_code;
	uint64_t rip, cs, rflags, rsp, ss;
};

#define ARCH_VECTOR_SYSCALL 0x100u

static inline struct arch_frame *arch_user_frame(struct cpu *cpu)
{
	return (struct arch_frame *)(cpu->kernel_stack_top - sizeof(struct arch_frame));
}

/* ---- time ---- */
extern uint64_t arch_tsc_hz;
/* One-shot timer interrupt of this pCPU at `tsc` (absolute; past = at once; BH_FOREVER = none). Sets CPU_WORK_TIMER when it fires. */
void arch_timer_set(uint64_t tsc);

/* ---- other pCPUs ---- */
/* Interrupt that pCPU so that it looks at its work word: it leaves a guest, ring 3 or HLT for the kernel's exit path. */
void arch_cpu_notify(struct cpu *cpu);
/* The same for irr_remote of the vCPU that runs there, without an exit: of one with lapic.is_posted. */
void arch_cpu_post(struct cpu *cpu);
/* Idle: interrupts on, halt, interrupts off. Returns after any interrupt. Must not lose one that sets cpu->work before the HLT. */
void arch_cpu_idle(void);
/* Let pending interrupts be taken now (sti; nop; cli), after a guest exit by an external interrupt. */
void arch_interrupts_poll(void);
/* Start the pCPU with this APIC id; it goes on into arch_leave(). EXISTS, LIMIT, UNSUPPORTED, TIMEOUT. Under kernel_lock. */
int arch_cpu_start(uint32_t apic_id) must_check;
/* Stop this pCPU for ever. */
_Noreturn void arch_cpu_stop(void);
/* Stop all others for ever, by NMI: for panic and power-off. Waits a moment, not for an answer. */
void arch_cpus_stop_others(void);

/* ---- threads ---- */
/* Make a first frame: ring 3, interrupts on, all registers zero but those given. */
void arch_frame_init(struct arch_frame *frame, uint64_t entry, uint64_t stack, uint64_t argument);
/* Load what belongs to a thread beside its frame: CR3 (if it differs), FS base. `pml4`: the domain's table. */
void arch_thread_load(hpa_t pml4, uint64_t fs_base);
/* The kernel's own table: loaded before a pCPU idles, so that no domain's table is in use that has no thread there. */
extern hpa_t kernel_pml4;
/* The common way out: runs kernel_leave() on an empty kernel stack, then loads the frame at its top into ring 3. */
_Noreturn void arch_leave(void);
/* The CPU maps 1 GiB pages in ring 3 address spaces (PTABLE_HOST). */
extern bool arch_has_1g_pages;

/* ---- floating point: lazily between a VMM thread and its own vCPU, eagerly between domains ---- */
extern uint32_t arch_fpu_size; /* bytes of one state area, 64-aligned, XSAVE standard format */
extern uint64_t arch_xcr0_supported;
void arch_fpu_init_area(void *area);
/* All supported components: out to `save` unless it is NULL, in from `restore`. Afterwards XCR0 allows all, and CR0.TS is clear. */
void arch_fpu_swap(void *save, const void *restore);
void arch_fpu_set_trap(
	bool is_on); /* CR0.TS: the next ring-3 use raises #NM (compare before writing) */
void arch_xcr0_load(uint64_t xcr0); /* compare before writing */

/* ---- user memory of the current domain (SMAP-safe; a fault on the way returns BH_ERR_ADDRESS) ---- */
int arch_copy_from_user(void *to, hva_t from, size_t size) must_check;
int arch_copy_to_user(hva_t to, const void *from, size_t size) must_check;
/* Put a byte into ring 3's memory; the one that was there, or ADDRESS. */
int arch_user_exchange(hva_t at, uint8_t value) must_check;

/* ---- machine interrupts ---- */
/* Take an I/O APIC into use: all its pins are masked. LIMIT; INVALID: nothing answers there, or it is RAM. Under kernel_lock. */
int arch_ioapic_add(uint64_t base, uint32_t gsi_base) must_check;
/* Route a global system interrupt to this pCPU; the handler calls interrupt_fired(gsi). Masked until unmasked. */
int arch_gsi_route(uint32_t gsi, bool is_level, bool is_low, struct cpu *target) must_check;
void arch_gsi_mask(uint32_t gsi, bool is_masked);

/* ---- ports (for the ports object) ---- */
uint32_t arch_port_read(uint16_t port, uint32_t width_bytes);
void arch_port_write(uint16_t port, uint32_t width_bytes, uint32_t value);

/* ---- console of the machine, for the log until mgmt claims the port, and for the last words ---- */
void arch_console_write(const char *text, size_t length);
/* Move to a 16550 at this port; numbers that cannot be stand for COM1 and the usual rate. */
void arch_console_open(uint64_t port, uint64_t baud);
extern bool arch_console_claimed; /* true: only panic() writes */

/*
 * What the architecture knows, for the records that domains read: in bh_info tsc_hz, boot_tsc, xsave_size, xcr0_supported,
 * physical_address_bits, features; in bh_host_info console_* and screen_*, and in memory_kernel the bytes of the image
 * and of early pages. kernel/ fills the rest. Called once each start / each host_info call.
 */
void arch_info_fill(struct bh_info *info);
void arch_host_info_fill(struct bh_host_info *info);

/* Reset by triple fault: the last way, when what mgmt knows (ACPI, 0xCF9, 8042) has not worked. */
_Noreturn void arch_reset(void);

/* TLB: forget all ring-3 translations of this pCPU's current address space. */
void arch_tlb_flush(void);

/* Call at every way out of the kernel: implemented by kernel/exit.c, called by the entry code with the frame of current in place;
 * returns only when `current` is a thread that shall run in ring 3, its frame at arch_user_frame(). */
void kernel_leave(void);
/* Called by the entry code (arch): a call, a fault in ring 3 (vector < 32), a machine interrupt (GSI). */
void call_handle(struct arch_frame *frame);
void fault_handle(struct arch_frame *frame, uint64_t fault_address);
/* The registers of a frame, line by line. */
void fault_print(void (*print)(const char *format, ...), const struct arch_frame *f);
void interrupt_fired(uint32_t gsi);
/* The pCPU's fields, when the TSC's rate is known and before anything else of the kernel runs there. kernel/sched.c */
void sched_cpu_init(struct cpu *cpu);
/* Called by arch/x86 start code on the boot pCPU; then it goes on into arch_leave(). */
struct boot_info;
void kernel_start(const struct boot_info *info);
