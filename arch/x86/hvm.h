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
	/* turn virtualisation on; allocates the pCPU's pages; must_check by the caller */
	int (*cpu_on)(struct cpu *cpu);
	void (*cpu_off)(struct cpu *cpu);
	int (*vm_init)(struct vm *vm); /* bitmaps, nested table format */
	void (*vm_fini)(struct vm *vm);
	int (*vcpu_init)(struct vcpu *vcpu); /* VMCB/VMCS in reset state */
	void (*vcpu_fini)(struct vcpu *vcpu);
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
	/* Between vm_exit and the next entry; the vCPU is loaded, or has never run. */
	/* GPR, SEGMENTS, CONTROL (not xcr0) */
	void (*get_state)(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state);
	/* Checks as the CPU would at entry and as the host needs; INVALID changes nothing. */
	int (*set_state)(struct vcpu *vcpu, uint32_t groups, const struct bh_cpu_state *state);
	/* MSRs that live in the VMCB/VMCS or the CPU: EFER, PAT, FS/GS/KERNEL_GS_BASE, STAR.., SYSENTER_*. */
	uint64_t (*get_msr)(struct vcpu *vcpu, uint32_t msr);
	/* Value checked by the caller. */
	void (*set_msr)(struct vcpu *vcpu, uint32_t msr, uint64_t value);
	uint64_t (*get_dr)(struct vcpu *vcpu, uint32_t number); /* 6 and 7 */
	void (*set_dr)(struct vcpu *vcpu, uint32_t number, uint64_t value);
	uint32_t (*get_cr8)(struct vcpu *vcpu); /* 0..15; the guest may move it without an exit */
	void (*set_cr8)(struct vcpu *vcpu, uint32_t cr8);
	uint32_t (*get_cpl)(struct vcpu *vcpu);
	/* RIP = next_rip, interrupt shadow gone */
	void (*skip_instruction)(struct vcpu *vcpu, const struct vm_exit *exit);
	/* Can this event be taken at the next entry? (IF, shadow, NMI mask, nothing injected yet.) CR8 is the caller's business. */
	bool (*interrupt_ready)(struct vcpu *vcpu);
	bool (*nmi_ready)(struct vcpu *vcpu);
	/* For the next entry (BH_INJECT_*). Only when nothing else is to be injected. */
	void (*inject)(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
	/*
	 * An exit (BH_REASON_INTERRUPT_WINDOW) as soon as IF, shadow and CR8 < priority allow an interrupt. priority 0: no window; 1..15;
	 * 16: whatever CR8 is. It stays on until changed.
	 */
	void (*set_interrupt_window)(struct vcpu *vcpu, uint32_t priority);
	/* exit (INTERRUPT_WINDOW) as soon as nmi_ready() */
	void (*set_nmi_window)(struct vcpu *vcpu, bool is_on);
	/* bit 0: interrupt shadow by STI, 1: by MOV SS, 2: NMI blocked */
	uint32_t (*get_shadow)(struct vcpu *vcpu);
	void (*set_shadow)(struct vcpu *vcpu, uint32_t shadow);
	/* before the next entry, forget guest-physical translations */
	void (*flush_guest)(struct vcpu *vcpu);
	void (*set_tsc_offset)(struct vcpu *vcpu, uint64_t offset);
};

extern const struct hvm_ops svm_ops, vmx_ops;
extern const struct hvm_ops *hvm; /* NULL: this machine cannot run guests; hvm_reason says why */
extern const char *hvm_reason;
extern uint32_t hvm_features; /* BH_FEATURE_* */

/* Choose the vendor; boot pCPU. */
void hvm_probe(void);
