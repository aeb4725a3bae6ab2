/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of one pCPU. It stands at the base of the pCPU's slot (CPU_SLOT_SIZE, aligned), which also holds its stacks,
 * so cpu_self() is one AND on the stack pointer, on every stack, also in an NMI.
 * Every field belongs to its own pCPU; the few that others touch say so.
 */
#pragma once

#include "arch/x86/arch_inline.h"
#include "bulkhead/abi.h"
#include "kernel/list.h"
#include "kernel/types.h"

struct thread;
struct vcpu;
struct bh_trace_ring;

/* Bits of cpu->work: what has to be done before this pCPU leaves the kernel. Tested as one word. */
/* another pCPU put something into our mailbox (set by others, atomically) */
#define CPU_WORK_MESSAGE  0x01u
#define CPU_WORK_TIMER    0x02u /* the local APIC timer fired */
#define CPU_WORK_SCHEDULE 0x04u /* current is not the right thread any more */
#define CPU_WORK_NMI      0x08u /* an NMI came while we could not look at it */
#define CPU_WORK_STOP     0x10u /* machine goes down: halt here for ever */

struct cpu {
	struct cpu *self;          /* offset 0 */
	struct thread *current;    /* NULL = idle */
	uint64_t user_rsp;         /* scratch of the SYSCALL entry */
	uint64_t kernel_stack_top; /* the stack top loaded by SYSCALL and TSS.RSP0 */
	uint32_t work;             /* CPU_WORK_*; others set bits atomically */
	uint32_t idx;
	uint32_t apic_id;
	bool is_online;
	uint32_t
		is_polling; /* idle and looking at `work` itself: who sets a bit need not interrupt it; read by others */
	/* whose frame is at the top of the kernel stack; current's in ring 3, else of whoever was there last. NULL = nobody's */
	struct thread *frame_thread;

	/* floating point: whose registers are in the FPU now (NULL = nobody's) */
	void *fpu_owner; /* the state area (thread->fpu or vcpu->fpu) */
	/* the thread that it belongs to (a vCPU's: the thread that runs it) */
	struct thread *fpu_thread;
	uint64_t xcr0;  /* what XCR0 holds */
	bool fpu_traps; /* what CR0.TS holds; clear when the kernel starts */

	/* scheduler (kernel/sched.c) */
	struct list run_queue; /* of ready threads, by virtual time; not the current one */
	bool is_yielding;      /* current asked for the next one to run */
	bool is_kicking;       /* current's guest is at a doorbell: who wakes by it goes first */
	uint64_t virtual_time_min;
	uint64_t slice_start_tsc;
	uint64_t slice_end_tsc;

	/* timers (kernel/timer.c): sorted by deadline; the first one is in the hardware */
	struct list timers;
	uint64_t timer_programmed_tsc;
	bool polls; /* the last message came so soon after the pCPU had become idle that looking for it would have paid */

	/* mailbox (kernel/message.c): written by other pCPUs with atomics */
	/* threads to wake here, linked by thread->wake_next; pushed with compare-and-swap */
	struct thread *wake_head;
	uint32_t sync_request; /* raised by a pCPU that waits for us to pass a safe point */
	uint32_t sync_done;    /* last request that we passed */
	/* take this vCPU off our hardware; set by the holder of kernel_lock, who then syncs */
	struct vcpu *detach_vcpu;

	/* virtualisation (arch/x86/svm, arch/x86/vmx) */
	hpa_t hvm_page;           /* host save area / VMXON region */
	hpa_t hvm_host_page;      /* SVM: VMCB for the host's VMLOAD state */
	struct vcpu *hvm_current; /* whose VMCS / VMLOAD state is loaded */
	uint64_t hvm_asid_generation;
	uint32_t hvm_asid_next;
	uint64_t hvm_tsc_aux; /* what TSC_AUX holds */

	struct bh_cpu_stats *stats; /* in log_ring */

	/* trace (kernel/trace.c) */
	struct bh_trace_ring *trace_ring;
	uint64_t trace_head, trace_size;

	/* descriptor tables, TSS (arch/x86) */
	uint64_t gdt[16];
	struct {
		uint32_t reserved0;
		uint64_t rsp[3];
		uint64_t reserved1;
		uint64_t ist[7];
		uint64_t reserved2;
		uint16_t reserved3;
		uint16_t iopb_offset;
	} __attribute__((packed)) tss;
};
_Static_assert(sizeof(struct cpu) <= 4096, "the cpu record is one page");

extern struct cpu *cpus[BH_MAX_CPUS]; /* by index; NULL beyond cpus_count */
extern uint32_t cpus_count;           /* pCPUs online; grows under kernel_lock while root starts */

/* Something to do before this pCPU leaves the kernel. */
static inline void cpu_ask_self(uint32_t work)
{
	__atomic_or_fetch(&cpu_self()->work, work, __ATOMIC_RELAXED);
}
