/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two-vendor interface. arch/x86/svm and arch/x86/vmx each supply all of it with their own prefix in one table; the table is chosen
 * once at start. The fast path does not go through it: enter() finishes fast exits itself and returns only for the rest.
 */
#pragma once

#include "kernel/vcpu.h"

struct hvm_ops {
	const char *name; /* "AMD-V", "Intel VT-x" */
	/* This CPU can do it and firmware allows it. `reason` (why not) is set when false. Boot pCPU only; fills the feature table. */
	bool (*probe)(const char **reason);
	int (*cpu_on)(struct cpu *cpu); /* turn virtualisation on; allocates the pCPU's pages; must_check by the caller */
	void (*cpu_off)(struct cpu *cpu);
	int (*vm_init)(struct vm *vm); /* bitmaps, nested table format */
	void (*vm_fini)(struct vm *vm);
	int (*vcpu_init)(struct vcpu *vcpu); /* VMCB/VMCS in reset state */
	void (*vcpu_fini)(struct vcpu *vcpu);
	/*
	 * Enter the guest again and again, finishing fast exits, until an exit needs the slow path: fills `exit`, with all guest state that
	 * the vendor keeps in the VMCB/VMCS reachable by get/set below. Interrupts off before and after. Host state is fully loaded again
	 * only after leave() (SVM: VMLOAD); ring 3 must not run and no interrupt may be taken before it.
	 */
	void (*enter)(struct vcpu *vcpu, struct vm_exit *exit);
	/* Load the host's remaining state / the vCPU is put on this pCPU again. */
	void (*leave)(struct vcpu *vcpu);
	void (*load)(struct vcpu *vcpu);   /* make it the pCPU's current vCPU: VMPTRLD, ASID, clean bits */
	void (*unload)(struct vcpu *vcpu); /* VMCLEAR / forget, on its pCPU */
	void (*get_state)(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state); /* GPR, SEGMENTS, CONTROL */
	int (*set_state)(struct vcpu *vcpu, uint32_t groups, const struct bh_cpu_state *state);
	uint64_t (*get_msr)(struct vcpu *vcpu, uint32_t msr); /* those that live in the VMCB/VMCS */
	void (*set_msr)(struct vcpu *vcpu, uint32_t msr, uint64_t value);
	void (*skip_instruction)(struct vcpu *vcpu, const struct vm_exit *exit);
	/* Can this event be taken at the next entry? Else the vendor arms a window exit and returns false. */
	bool (*interrupt_ready)(struct vcpu *vcpu);
	bool (*nmi_ready)(struct vcpu *vcpu);
	void (*inject)(struct vcpu *vcpu, uint32_t inject, uint32_t error_code); /* BH_INJECT_* */
	void (*set_interrupt_window)(struct vcpu *vcpu, bool is_on);
	void (*set_nmi_window)(struct vcpu *vcpu, bool is_on);
	void (*flush_guest)(struct vcpu *vcpu); /* before the next entry, forget guest-physical translations */
	void (*set_tsc_offset)(struct vcpu *vcpu, uint64_t offset);
};

extern const struct hvm_ops svm_ops, vmx_ops;
extern const struct hvm_ops *hvm; /* NULL: this machine cannot run guests; hvm_reason says why */
extern const char *hvm_reason;
extern uint32_t hvm_features; /* BH_FEATURE_* */

/* Choose the vendor; boot pCPU. */
void hvm_probe(void);
