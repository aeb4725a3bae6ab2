/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machines and virtual CPUs: the vendor-free half. The vendor half (arch/x86/svm or vmx) is reached by arch/x86/hvm.h.
 * A vCPU belongs to the pCPU of the thread that first runs it; everything in it is touched there only, but for `irr_remote`, the TMR
 * words of its LAPIC page, `is_extint_asserted`, `sipi_vector` and `requests`, which others change atomically before vcpu_request().
 */
#pragma once

#include "kernel/object.h"

#define VM_PORT_SLOTS  BH_DOORBELLS_MAX
#define VM_CPUID_SLOTS 128u /* one-probe table of CPUID leaves (kernel/cpuid.h) */

/*
 * A doorbell's place (kernel/doorbell.c). Both vendors tell the port of an OUT in bits 31:16 of the exit information; of the rest a key holds
 * what is not set for a plain OUT, so the information, cut to those bits, equals the key.
 */
struct port_slot {
	uint32_t key;
	uint32_t reserved;
	struct event *event; /* NULL = swallow */
};

/* The one place for the doorbell of an OUT with this exit information. */
#define VM_PORT_SLOT(info) ((uint32_t)(info) >> 17 & (VM_PORT_SLOTS - 1))

struct vm {
	struct object object;
	struct list node;     /* in vms (kernel/call.h) */
	struct list mappings; /* what is mapped into it (kernel/region.h) */
	uint32_t vcpus_max;
	uint32_t id;
	struct ptable npt; /* guest-physical to host-physical */
	bool has_run;
	uint64_t tsc_offset; /* guest TSC = TSC + tsc_offset */
	/* by index = initial APIC id; set once, read by any pCPU */
	struct vcpu *vcpus[BH_MAX_VCPUS];
	struct port_slot ports[VM_PORT_SLOTS];
	uint64_t xcr0_offered; /* by CPUID leaf 0Dh */
	struct bh_cpuid_entry cpuid[VM_CPUID_SLOTS];
};
_Static_assert(sizeof(struct vm) <= 2 * PAGE_SIZE, "a VM is an order-1 block");

/* vcpu->requests: rare work before entry, tested as one word. */
#define VCPU_REQUEST_KICK 0x01u
/* irr_remote has bits, or priorities changed: look at the local APIC */
#define VCPU_REQUEST_INTERRUPT 0x02u
#define VCPU_REQUEST_NMI       0x04u
#define VCPU_REQUEST_INIT      0x08u
#define VCPU_REQUEST_SIPI      0x10u
#define VCPU_REQUEST_EXTINT    0x20u
#define VCPU_REQUEST_FLUSH     0x40u /* guest-physical map changed: flush this guest's translations */
#define VCPU_REQUEST_INJECT    0x100u /* inject_* below holds an event */
#define VCPU_REQUEST_UNHALT    0x200u /* hypercall KICK_CPU: leave HLT, or the next one */
#define VCPU_REQUEST_EOI       0x400u /* lapic.eoi_level has bits: tell the VMM */

struct vlapic {
	uint32_t *regs; /* the LAPIC page: register at offset o is regs[o / 4] */
	uint64_t apic_base;
	uint64_t timer_period_tsc; /* host TSC ticks of one round; 0 = stopped */
	uint64_t timer_deadline;   /* host TSC of the next expiry; 0 = none */
	struct timer timer;
	/* VT-x: the CPU itself moves bits of IRR and ISR. Then irr_words tells of bits that it does not know of yet, isr_words nothing. */
	bool is_in_cpu;
	bool is_stale; /* it must learn all of them anew */
	bool is_posted; /* it takes irr_remote itself while the guest runs, when notified; read by any pCPU */
	bool is_tmr_new; /* TMR has changed; set by any pCPU before VCPU_REQUEST_INTERRUPT */
	bool is_extint_asserted; /* the 8259's INT line; written by any pCPU before VCPU_REQUEST_EXTINT */
	uint32_t irr_words, isr_words; /* bit i: word i of that register is not zero */
	uint64_t
		eoi_byte; /* the guest runs and may end what is in service by clearing this byte of its VMM's; 0: it may not */
	uint64_t eoi_level[4]; /* level-triggered vectors whose EOI the VMM has not been told yet */
};

/* What a vendor exit is about: read from the VMCB/VMCS once, then vendor-free. */
struct vm_exit {
	uint32_t reason;      /* enum bh_reason, or VM_EXIT_* */
	uint32_t vendor_code; /* FAILED_ENTRY: as the CPU gave it */
	bool is_string;       /* IO: INS, OUTS */
	bool is_delivery;     /* MMIO: of an event's delivery, not of the instruction at RIP */
	uint8_t vector;       /* EXCEPTION, PRIVILEGED: give it to the guest ... */
	uint32_t error_code;  /* ... with this */
	union {
		struct bh_exit_io io;     /* but for the value */
		struct bh_exit_mmio mmio; /* without an answer */
	};
};

/* After enum bh_vcpu_page, in the same block: not to be seen by the VMM. */
#define VCPU_PAGE_HVM 3u /* VMCB or VMCS */
#define VCPU_PAGE_FPU 4u /* up to three */

/* vcpu->answer. For a port read it is the width: that many bytes of run.io.value go to RAX. */
#define VCPU_ANSWER_NONE  0u
#define VCPU_ANSWER_RDMSR 8u
#define VCPU_ANSWER_WRMSR 9u
#define VCPU_ANSWER_MMIO  10u

/* Beyond enum bh_reason. NONE: nothing for the slow path: look at the work and request words, and go on. */
#define VM_EXIT_NONE         64u
#define VM_EXIT_FAILED_ENTRY 65u /* the CPU refused the state; vendor_code says why */

struct vcpu {
	/*
	 * Interrupts accepted, not yet in IRR: atomic OR, then VCPU_REQUEST_INTERRUPT. These 64 bytes are VT-x's posted-interrupt descriptor (SDM
	 * 3C 29.6): the CPU clears bit 256 (nobody sets it: each interrupt is notified) and leaves the rest alone. Bochs wants it at a page's start.
	 */
	uint32_t irr_remote[8];
	uint32_t irr_remote_notified;
	uint32_t irr_remote_words; /* bit i: irr_remote[i] may have bits; set after them */
	uint32_t irr_remote_reserved[6];
	struct object object;
	/* first cache lines: the fast path */
	/* while out of the guest, all but RSP; on SVM's fast path RAX is in the VMCB */
	uint64_t gpr[BH_GPR_COUNT];
	struct vm *vm;
	void *hvm_state; /* SVM: VMCB (direct map); VMX: VMCS region */
	hpa_t hvm_page;
	struct bh_vcpu_stats *stats;
	const struct bh_cpuid_entry *cpuid; /* vm->cpuid */
	struct bh_run *run;                 /* direct map of the run page */
	uint32_t requests;                  /* VCPU_REQUEST_*; others set bits atomically */
	uint32_t idx;
	struct thread *thread; /* inside vcpu_run, else NULL; others read it atomically */
	/* bound by vcpu_run until vcpu_unload, NULL else; its VMCS / ASID, FPU and timer live there */
	struct cpu *cpu;

	/* Written by its own pCPU, then `requests` is read; others set `requests`, then read these (sequentially consistent). */
	uint32_t in_guest;  /* entering or in the guest: notify the pCPU */
	uint32_t is_halted; /* its thread waits in HLT or for SIPI: wake the thread */

	void *fpu; /* guest FPU state, arch_fpu_size */
	uint64_t xcr0;
	uint64_t cr2; /* VMX: not in the VMCS */
	uint64_t dr[4];
	uint64_t dr6; /* VMX: not in the VMCS */
	uint64_t msr_tsc_aux;
	/* guest TSC = TSC + tsc_offset; the VM's, until its VMM moves it */
	uint64_t tsc_offset;

	bool needs_flush; /* before the next entry, forget this guest's translations */
	uint32_t asid;
	uint64_t asid_generation;

	uint32_t inject; /* BH_INJECT_*: goes in at the next entry, before any other event */
	uint32_t inject_error_code;
	uint32_t nmi_pending; /* 0..2 */
	uint8_t activity;     /* enum bh_activity */
	uint8_t sipi_vector;  /* written by the sender before VCPU_REQUEST_SIPI */
	bool is_kicked;       /* by hypercall KICK_CPU: the next HLT ends at once */
	uint8_t answer;       /* VCPU_ANSWER_*: what the next vcpu_run takes out of the run page */
	bool is_triple_fault; /* a fault in the delivery of #DF: shut down before the next entry */

	struct vlapic lapic;
	struct vm_exit exit; /* the exit being handled */
	uint64_t exited_tsc; /* when the last exit left the fast path, or the last halt ended */
	uint32_t time_slot;  /* where in stats->time the time since then belongs */
	uint64_t halt_since_tsc;
	uint64_t wake_tsc; /* when somebody first asked for it while halted; 0 = nobody yet */
	uint64_t hvm_private[48]; /* vendor's own small state */
};
_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a vCPU is one page");
_Static_assert(offsetof(struct vcpu, object) == 64, "the descriptor's size");

static inline struct vm *vm_of(struct object *object)
{
	return container_of(object, struct vm, object);
}

static inline struct vcpu *vcpu_of(struct object *object)
{
	return container_of(object, struct vcpu, object);
}

static inline hpa_t vcpu_page(const struct vcpu *vcpu, uint64_t page)
{
	return HPA(virt_to_phys(vcpu).raw + (1 + page) * PAGE_SIZE);
}

static inline struct vcpu *vm_vcpu(const struct vm *vm, uint64_t idx)
{
	return idx < vm->vcpus_max ? __atomic_load_n(&vm->vcpus[idx], __ATOMIC_ACQUIRE) : NULL;
}

/* One after the other, from *idx = 0; NULL at the end. Any pCPU. */
static inline struct vcpu *vm_vcpu_next(const struct vm *vm, uint32_t *idx)
{
	struct vcpu *vcpu = NULL;

	while (vcpu == NULL && *idx < vm->vcpus_max) {
		vcpu = vm_vcpu(vm, (*idx)++);
	}
	return vcpu;
}

/* ---- kernel/vcpu.c: calls' do-halves (kernel/call_vm.c decodes) ---- */
int vm_create(struct domain *payer, const struct bh_vm_params *params, struct vm **vm) must_check;
void vm_destroy(struct vm *vm);
int vcpu_create(struct domain *payer, struct vm *vm, uint32_t idx, struct vcpu **vcpu) must_check;
void vcpu_destroy(struct vcpu *vcpu);
/*
 * Begin vcpu_run in the current thread: takes the VMM's answers out of the run page, sets current->vcpu. Error = stay in ring 3.
 * STATE: another thread runs it, or it is bound to another pCPU (get or set its state first: that unbinds it).
 */
int vcpu_run_begin(struct vcpu *vcpu) must_check;
/* The way out of the kernel into a guest (from kernel_leave, current->vcpu == vcpu). Returns when there is other work: either the pCPU's
 * work word is set / the thread waits now (current->vcpu stays), or the exit is for the VMM (current->vcpu is NULL, RAX of the frame set). */
void vcpu_enter(struct vcpu *vcpu);
/* The same from the vCPU's own exit path, which looks before the next entry. */
static inline void vcpu_request_self(struct vcpu *vcpu, uint32_t bits)
{
	__atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_RELAXED);
}
/* One request word for what must be looked at before the next entry. Set bits from any pCPU, then wake its thread or notify its pCPU. */
void vcpu_request(struct vcpu *vcpu, uint32_t bits);
int vcpu_get_state(struct vcpu *vcpu, struct bh_vcpu_state *state) must_check;
int vcpu_set_state(struct vcpu *vcpu, const struct bh_vcpu_state *state) must_check;
int vm_set_cpuid(struct vm *vm, const struct bh_cpuid_entry *entries, uint32_t count) must_check;
/* A new VM's doorbells: none. */
void doorbell_clear(struct vm *vm);
/* `event` NULL: swallow the write. INVALID; EXISTS: the port's place is taken, by itself or by another. */
int doorbell_bind(struct vm *vm, uint64_t port, struct event *event) must_check;
int doorbell_unbind(struct vm *vm, uint64_t port) must_check;
/* The event ends: its ports swallow from now on. A write in flight may still use it until its pCPU has passed a safe point. */
void doorbell_forget_event(struct vm *vm, const struct event *event);
/* MSI to the guest's local APICs (SDM 3A 11.11). INVALID for a malformed address. Any pCPU. */
int vm_msi_deliver(struct vm *vm, uint64_t address, uint32_t data) must_check;
/* After a change of vm->npt that took rights away: returns when no pCPU uses old translations. Caller holds kernel_lock. */
void vm_flush(struct vm *vm);
/* The thread of a vCPU is destroyed or its vm dies: out of the guest, unload from its pCPU. On that pCPU. */
void vcpu_unload(struct vcpu *vcpu);
/*
 * From a vendor's fast path, where something gave this vCPU work: done on the spot if an interrupt of the local APIC is all there is. False:
 * look on the slow path.
 */
bool vcpu_deliver_fast(struct vcpu *vcpu);
/* Give the guest an exception at the next entry: benign ones replace nothing, a second contributory fault becomes #DF (SDM 3A 6.15). */
void vcpu_raise(struct vcpu *vcpu, uint32_t vector, uint32_t error_code);
