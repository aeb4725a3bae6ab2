/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two-vendor interface. arch/x86/svm and arch/x86/vmx each supply all of it with their own prefix in one table; the table is chosen
 * once at start. The fast path does not go through it: enter() finishes fast exits itself and returns only for the rest.
 */
#pragma once

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/msr.h"
#include "kernel/vcpu.h"

/* A guest's registers that the vendor keeps, in the order of struct bh_cpu_state from rip on, then struct bh_vcpu_state from dr6 on. */
enum hvm_register {
	HVM_RIP,
	HVM_RFLAGS,
	HVM_CR2,
	HVM_CR8,
	HVM_CR0, /* CR0, CR3, CR4, EFER: the caller has checked nothing; the CPU refuses at entry what it cannot hold */
	HVM_CR3,
	HVM_CR4,
	HVM_EFER, /* LMA follows from LME and CR0.PG, whatever is written */
	HVM_DR6,
	HVM_DR7,
	HVM_PAT, /* the MSRs: values that kernel/vcpu_state.c has checked */
	HVM_SYSENTER_CS,
	HVM_SYSENTER_ESP,
	HVM_SYSENTER_EIP,
	HVM_STAR,
	HVM_LSTAR,
	HVM_CSTAR,
	HVM_SFMASK,
	HVM_KERNEL_GS_BASE,
	HVM_PDPTE0, /* of PAE paging; AMD-V keeps none: 0 */
	HVM_PDPTE1,
	HVM_PDPTE2,
	HVM_PDPTE3,
	HVM_RSP,
	HVM_CPL,    /* read only */
	HVM_SHADOW, /* HVM_SHADOW_* */
	HVM_TSC_OFFSET,
	HVM_REGISTER_COUNT,
};

#define HVM_SHADOW_STI    1u
#define HVM_SHADOW_MOV_SS 2u
#define HVM_SHADOW_NMI    4u /* NMIs blocked: a handler runs */

/* hvm->ready() */
#define HVM_READY_INTERRUPT 1u
#define HVM_READY_NMI       2u

/* Parts of BH_INJECT_* */
#define HVM_EVENT_VECTOR 0xffu
#define HVM_EVENT_TYPE   0x700u

struct hvm_ops {
	const char *name; /* "AMD-V", "Intel VT-x" */
	enum ptable_format ptable_format;
	/* This CPU can do it and firmware allows it: NULL; else why not. Boot pCPU only; fills the feature table. */
	const char *(*probe)(void);
	/* Turn virtualisation on; allocates the pCPU's pages. MEMORY, UNSUPPORTED. */
	int (*cpu_on)(struct cpu *cpu);
	void (*vcpu_init)(
		struct vcpu *vcpu); /* controls into its cleared page; not its registers */
	/*
	 * Enter the guest again and again, finishing fast exits, until an exit needs the slow path: fills `exit`; gpr[] is then whole but for
	 * RSP, and gpr[] is what the next entry loads. An event whose delivery the exit interrupted is put into vcpu->inject (software
	 * interrupts are not: they are executed again). Interrupts off (IF=0) before and after. On return the host may run kernel code, take
	 * interrupts and NMIs; MSRs of ring 3 (SYSCALL, FS, KernelGS) may still be the guest's until leave().
	 * A machine NMI or #MC that caused the exit has been handled. VM_EXIT_NONE: nothing to do but look at the request words.
	 */
	void (*enter)(struct vcpu *vcpu, struct vm_exit *exit);
	/* before ring 3 or another thread runs: the host's remaining registers */
	void (*leave)(struct vcpu *vcpu);
	/* make it the pCPU's current vCPU (cpu->hvm_current): VMPTRLD, ASID, clean bits */
	void (*load)(struct vcpu *vcpu);
	void (*unload)(struct vcpu *vcpu); /* VMCLEAR / forget, on its pCPU */
	/* Between an exit and the next entry, the vCPU loaded. */
	uint64_t (*get)(struct vcpu *vcpu, enum hvm_register reg);
	void (*set)(struct vcpu *vcpu, enum hvm_register reg, uint64_t value);
	/* RSP, RIP to EFER: what get() gives of each */
	void (*get_state)(struct vcpu *vcpu, struct bh_cpu_state *state);
	/* All BH_SEG_COUNT of them. Bases must be canonical. */
	void (*get_segments)(struct vcpu *vcpu, struct bh_segment_state *segments);
	void (*set_segments)(struct vcpu *vcpu, const struct bh_segment_state *segments);
	/*
	 * Past the instruction that exited, so many bytes; 0: as the CPU tells (IO, CPUID, MSR, HLT, HYPERCALL, XSETBV, INVALIDATE, PAUSE).
	 * Interrupt shadow gone.
	 */
	void (*skip_instruction)(struct vcpu *vcpu, uint32_t length);
	/* What can be taken at the next entry (IF, shadow, NMI mask, nothing injected yet)? HVM_READY_*. CR8 is the caller's business. */
	uint32_t (*ready)(struct vcpu *vcpu);
	/* For the next entry (BH_INJECT_*). Only when nothing else is to be injected. */
	void (*inject)(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
	/*
	 * The highest interrupt in IRR (0: none) is to go in as soon as IF, shadow, CR8 and what is in service allow it: the CPU delivers it
	 * by itself, or exits then (BH_REASON_INTERRUPT_WINDOW; for what is in service, at its EOI). It stays in IRR until it has gone in (vlapic_take). It replaces the last offer and a
	 * window. True: it goes in at the next entry.
	 */
	bool (*offer_interrupt)(struct vcpu *vcpu, uint32_t vector);
	/* An exit (BH_REASON_INTERRUPT_WINDOW) as soon as IF and shadow allow an interrupt. Replaces an offer; an offer replaces it. */
	void (*open_window)(struct vcpu *vcpu);
	/* exit (INTERRUPT_WINDOW) as soon as an NMI can be taken */
	void (*set_nmi_window)(struct vcpu *vcpu, bool is_on);
};

extern const struct hvm_ops svm_ops, vmx_ops;
extern const struct hvm_ops *hvm; /* NULL: this machine cannot run guests; hvm_reason says why */
extern const char *hvm_reason;

/* Choose the vendor; boot pCPU. */
void hvm_probe(void);

/*
 * The vendor's fast path (fast.c), called by its world switch after every exit: finish it and return what is not 0, to enter again (AMD-V: the
 * VMCB's physical address); or 0 for the slow path. Set by probe().
 */
extern uint64_t (*hvm_exit_fast)(struct vcpu *vcpu);
/* Put the trace's function before it, so that it costs what it did while that is off: on other pCPUs after their next safe point at the latest. */
void hvm_trace(bool is_on);

static inline uint64_t hvm_get(struct vcpu *vcpu, enum hvm_register reg)
{
	return hvm->get(vcpu, reg);
}

static inline void hvm_set(struct vcpu *vcpu, enum hvm_register reg, uint64_t value)
{
	hvm->set(vcpu, reg, value);
}

/* ---- arch/x86/hvm.c: what both vendors do alike ---- */

/* A tag (ASID, VPID: 1 to `last`) of this pCPU for the vCPU. True: all were used up; everything tagged must be forgotten now. */
bool hvm_tag_assign(struct vcpu *vcpu, uint32_t last) must_check;
/* TSC_AUX of the guest into the CPU, where it stays: the host has no use for it. */
static inline void hvm_tsc_aux_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (unlikely(cpu->hvm_tsc_aux != vcpu->msr_tsc_aux) && feature_has(FEATURE_RDTSCP)) {
		msr_write(MSR_TSC_AUX, vcpu->msr_tsc_aux);
		cpu->hvm_tsc_aux = vcpu->msr_tsc_aux;
	}
}

/*
 * An event was being delivered when the exit came (EXITINTINFO, IDT vectoring: the layout of BH_INJECT_*): it goes in again, unless the
 * instruction at RIP raises it again (APM 2 15.7.2, SDM 3C 27.2.4).
 */
void hvm_event_again(struct vcpu *vcpu, uint32_t event, uint32_t error_code);
/* The exit gives the guest an exception. */
static inline void hvm_exit_raise(struct vm_exit *exit, uint32_t reason, uint32_t vector,
                                  uint32_t error_code)
{
	exit->reason = reason;
	exit->vector = (uint8_t)vector;
	exit->error_code = error_code;
}
