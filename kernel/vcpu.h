/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machines and virtual CPUs: the vendor-free half. The vendor half (arch/x86/svm or vmx) is reached by arch/x86/hvm.h.
 * A vCPU belongs to the pCPU of the thread that runs it; everything in it is touched there only, but for `irr_remote`, `kicked` and
 * `requests`, which others set atomically and then wake or notify that pCPU.
 */
#pragma once

#include "kernel/object.h"

#define VM_DOORBELL_SLOTS 64u

struct doorbell {
	uint64_t address;
	uint64_t value;
	uint8_t length_bytes; /* 0 = any */
	bool is_used;
	bool is_port;
	bool is_match;
	struct event *event; /* NULL = swallow */
};

struct vm {
	struct object object;
	uint32_t vcpus_max;
	uint32_t id;
	struct vcpu *vcpus[BH_MAX_VCPUS]; /* by index = initial APIC id */
	struct ptable npt;                /* guest-physical to host-physical */
	void *hvm;                        /* vendor data: MSR and I/O bitmaps */
	hpa_t io_bitmap, msr_bitmap;
	struct doorbell doorbells[VM_DOORBELL_SLOTS]; /* open addressing, hash of port or address */
	uint32_t doorbells_count;
	struct bh_cpuid_entry *cpuid; /* one page; sorted flat table for the fast path is made from it (kernel/cpuid.c) */
	uint32_t cpuid_count;
	bool has_run;
	uint64_t tsc_offset;
};

/* vcpu->requests: rare work before entry, tested as one word. */
#define VCPU_REQUEST_KICK 0x01u
#define VCPU_REQUEST_INTERRUPT 0x02u /* irr_remote has bits, or priorities changed: look at the local APIC */
#define VCPU_REQUEST_NMI 0x04u
#define VCPU_REQUEST_INIT 0x08u
#define VCPU_REQUEST_SIPI 0x10u
#define VCPU_REQUEST_EXTINT 0x20u
#define VCPU_REQUEST_FLUSH 0x40u     /* guest-physical map changed: flush this guest's translations */
#define VCPU_REQUEST_TIMER 0x80u
#define VCPU_REQUEST_INJECT 0x100u   /* inject_* below holds an event */

struct vlapic {
	uint32_t *regs; /* the LAPIC page: register at offset o is regs[o / 4] */
	hpa_t page;
	uint64_t apic_base;
	uint64_t timer_start_tsc;    /* TMCCT counts from here */
	uint64_t timer_period_tsc;   /* 0 = stopped */
	uint64_t tsc_deadline;       /* guest TSC */
	struct timer timer;
	uint32_t isr_highest;        /* vector or 0 */
	bool is_extint_asserted;
};

/* What a vendor exit is about: read from the VMCB/VMCS once, then vendor-free. */
struct vm_exit {
	uint32_t reason; /* enum bh_reason */
	uint32_t vendor_code;
	uint64_t qualification; /* vendor's EXITINFO1 / exit qualification */
	gpa_t gpa;
	uint64_t next_rip; /* 0 = not known */
};

struct vcpu {
	struct object object;
	/* first cache lines: the fast path */
	uint64_t gpr[BH_GPR_COUNT]; /* while out of the guest; RSP (and on SVM RAX) live in the VMCB/VMCS */
	struct vm *vm;
	void *hvm_state;  /* SVM: VMCB (direct map); VMX: VMCS region */
	hpa_t hvm_page;
	uint32_t requests; /* VCPU_REQUEST_*; others set bits atomically */
	uint32_t idx;
	struct bh_run *run; /* direct map of the run page */
	struct bh_vcpu_stats *stats;
	struct thread *thread; /* inside vcpu_run, else NULL */
	struct cpu *cpu;       /* where it last ran; its VMCS / ASID live there */

	hpa_t run_page, stats_page;
	void *fpu;             /* guest FPU state, arch_fpu_size */
	uint64_t xcr0;
	uint64_t cr2;          /* VMX: not in the VMCS */
	uint64_t dr[4];
	uint64_t dr6;
	uint64_t msr_tsc_aux, msr_spec_ctrl, msr_mtrr_def_type, msr_misc_enable;
	uint64_t mtrr[32]; /* variable and fixed ranges: kept, without effect */
	uint64_t kvm_system_time, kvm_wall_clock, kvm_steal_time;

	uint32_t asid;
	uint64_t asid_generation;

	uint32_t inject;   /* BH_INJECT_*: waits for the next entry */
	uint32_t inject_error_code;
	uint32_t nmi_pending;
	uint8_t activity;  /* enum bh_activity */
	uint8_t sipi_vector;
	bool is_halted;    /* its thread waits in HLT */
	bool io_pending;   /* BH_EXIT_IO read: the answer goes to RAX at the next vcpu_run */
	uint8_t io_width;
	bool single_step_pending; /* SVM: pass one instruction before injecting (QEMU's shadow) */

	uint32_t irr_remote[8]; /* interrupts sent by other pCPUs: atomic OR, then requests |= INTERRUPT, then wake/notify */
	struct vlapic lapic;
	uint64_t halt_since_tsc;
	uint64_t hvm_private[32]; /* vendor's own small state */
};

/* ---- kernel/vcpu.c: calls' do-halves (kernel/call_vm.c decodes) ---- */
int vm_create(struct domain *payer, const struct bh_vm_params *params, struct vm **vm) must_check;
void vm_destroy(struct vm *vm);
int vcpu_create(struct domain *payer, struct vm *vm, uint32_t idx, struct vcpu **vcpu) must_check;
void vcpu_destroy(struct vcpu *vcpu);
/* Begin vcpu_run in the current thread: takes the VMM's answers out of the run page, sets current->vcpu. Error = stay in ring 3. */
int vcpu_run_begin(struct vcpu *vcpu) must_check;
/* The way out of the kernel into a guest (from kernel_leave, current->vcpu == vcpu). Returns when there is other work: either the pCPU's
 * work word is set / the thread waits now (current->vcpu stays), or the exit is for the VMM (current->vcpu is NULL, RAX of the frame set). */
void vcpu_enter(struct vcpu *vcpu);
void vcpu_kick(struct vcpu *vcpu);
/* Set request bits from any pCPU, then wake its thread or notify its pCPU. */
void vcpu_request(struct vcpu *vcpu, uint32_t bits);
int vcpu_get_state(struct vcpu *vcpu, struct bh_vcpu_state *state) must_check;
int vcpu_set_state(struct vcpu *vcpu, const struct bh_vcpu_state *state) must_check;
int vm_set_cpuid(struct vm *vm, const struct bh_cpuid_entry *entries, uint32_t count) must_check;
int vm_doorbell_bind(struct vm *vm, const struct bh_doorbell *record, struct event *event) must_check;
int vm_doorbell_unbind(struct vm *vm, const struct bh_doorbell *record) must_check;
/* MSI to the guest's local APICs (SDM 3A 11.11). INVALID for a malformed address. Any pCPU. */
int vm_msi_deliver(struct vm *vm, uint64_t address, uint32_t data) must_check;
/* After a change of vm->npt that took rights away: returns when no pCPU uses old translations. Caller holds kernel_lock. */
void vm_flush(struct vm *vm);
/* The thread of a vCPU is destroyed or its vm dies: out of the guest, unload from its pCPU. On that pCPU. */
void vcpu_unload(struct vcpu *vcpu);
