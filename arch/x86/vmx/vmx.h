/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to arch/x86/vmx: what the CPU can do, and the vendor's part of a vCPU. Everything else
 * enters by vmx_ops (arch/x86/hvm.h). Every function here works on the vCPU whose VMCS is current
 * on this pCPU, with interrupts off, unless it says otherwise.
 */
#pragma once

#include "arch/x86/hvm.h"
#include "arch/x86/vmx/vmcs.h"
#include "kernel/vcpu.h"

/*
 * Found once by vmx_probe(); constant afterwards. Control words are complete: what must be 1, what
 * we need, what of our wishes exists.
 */
struct vmx_caps {
	uint32_t revision;
	uint32_t pin, cpu, cpu2, exit, entry;
	uint64_t cr0_fixed0; /* must be 1; PE and PG taken out (unrestricted guest) */
	uint64_t cr0_fixed1; /* bits that may be 1 */
	uint64_t cr4_fixed0;
	uint64_t cr4_fixed1;
	uint64_t cr4_owned; /* bits that the guest may change without an exit */
	uint64_t ept_bits;  /* EPTP: memory type, walk length, accessed and dirty */
	bool has_1g;
	bool has_vpid;
	bool has_invvpid_single;
	bool has_invept_single;
	bool has_pat;
	bool has_tpr_shadow;
	bool needs_net; /* Bochs: see vmx_net_set() */
};
extern struct vmx_caps vmx_caps;

/*
 * MSRs that the CPU does not switch: the guest's stay loaded from the first entry to vmx_leave().
 * Order of vmx_switched_msrs[].
 */
enum {
	VMX_MSR_STAR,
	VMX_MSR_LSTAR,
	VMX_MSR_CSTAR,
	VMX_MSR_SFMASK,
	VMX_MSR_KERNEL_GS_BASE,
	VMX_MSR_COUNT
};
extern const uint32_t vmx_switched_msrs[VMX_MSR_COUNT];

/*
 * In vcpu->hvm_private. What was written into the VMCS is kept here, so that nothing is read back.
 */
struct vmx_vcpu {
	uint64_t host_rsp; /* HOST_RSP */
	uint32_t is_launched;
	uint32_t exit_reason;   /* of the last exit, as read by vmx_exit_fast() */
	uint64_t qualification; /* of the last exit, when it was an I/O exit */
	uint64_t host_cr0, host_cr3, host_fs_base, host_gs_base;
	/* The guest's. KERNEL_GS_BASE is in the register while is_guest_loaded. */
	uint64_t msrs[VMX_MSR_COUNT];
	uint64_t tsc_aux;                /* what that register holds while is_guest_loaded */
	uint64_t pat;                    /* without a PAT switch: the guest's, without effect */
	uint64_t cr0_shadow, cr4_shadow; /* what the guest reads in the bits that we own */
	uint32_t cpu_controls;
	uint32_t entry_controls; /* but for IA32E_GUEST, which the CPU changes */
	uint32_t entry_event;    /* waits in the VMCS for the next entry; 0 = none */
	uint32_t tpr_threshold;
	uint32_t window_priority; /* set_interrupt_window() */
	struct cpu *host_cpu;     /* whose host state is in the VMCS */
	uint8_t is_guest_loaded;  /* the guest's MSRs are in the registers */
	uint8_t needs_invept;
	uint8_t needs_invvpid;
};
_Static_assert(sizeof(struct vmx_vcpu) <= sizeof(((struct vcpu *)0)->hvm_private),
               "fits into the vCPU");

static inline struct vmx_vcpu *vmx_of(struct vcpu *vcpu)
{
	return (struct vmx_vcpu *)(void *)vcpu->hvm_private;
}

static inline uint64_t vmx_ept_pointer(const struct vm *vm)
{
	return ptable_root_value(&vm->npt) | vmx_caps.ept_bits;
}

/* caps.c */
bool vmx_probe(const char **reason);

/*
 * Bochs takes no external interrupt in a guest that is entered with IF=0 until something touches IF
 * (it masks by the host's rule): a guest that spins so would never give its pCPU back. And if that
 * something is an exception's delivery, Bochs with several CPUs exits with the handler's RSP and
 * the faulting RIP. So, there, the preemption timer ends a stay in the guest after a millisecond,
 * and just before our own timer is due; what is due so soon is waited for here. False: no entry.
 */
bool vmx_net_set(const struct cpu *cpu);

/* host.c: this pCPU as the VMCS's host, and what VMX does not switch */
int vmx_cpu_on(struct cpu *cpu) must_check;
void vmx_cpu_off(struct cpu *cpu);
void vmx_load(struct vcpu *vcpu);
void vmx_unload(struct vcpu *vcpu);
void vmx_leave(struct vcpu *vcpu);
/* Before an entry: host fields that changed, guest MSRs, CR2, pending invalidations. */
void vmx_prepare_entry(struct vcpu *vcpu);

/* debug.c */
uint64_t vmx_get_dr(struct vcpu *vcpu, uint32_t number);
void vmx_set_dr(struct vcpu *vcpu, uint32_t number, uint64_t value);
/* A #DB that we intercept sets DR6 and clears DR7.GD only here (SDM 3C 27.2.1, table 27-1). */
void vmx_debug_exception(struct vcpu *vcpu, uint64_t qualification);

/*
 * switch.S. True: the CPU refused to enter (VMCS_INSTRUCTION_ERROR); else an exit that
 * vmx_exit_fast() did not finish.
 */
bool vmx_switch(struct vcpu *vcpu);
extern const char vmx_switch_exit[]; /* HOST_RIP */

/* fast.c: called by switch.S only. True = enter again. */
bool vmx_exit_fast(struct vcpu *vcpu);
/* exit_reason when a fast exit is finished but something else is to be looked at. */
#define VMX_REASON_DONE 0xfffeu

/* exit.c */
void vmx_enter(struct vcpu *vcpu, struct vm_exit *exit);

/* control.c. False: the guest gets #GP(0). */
bool vmx_handle_cr(struct vcpu *vcpu, uint64_t qualification);
/*
 * Guest CR0, CR4 as the guest shall see them, with the fixed bits and shadows; no checks, no side
 * effects on EFER.
 */
void vmx_cr0_write(struct vcpu *vcpu, uint64_t value);
void vmx_cr4_write(struct vcpu *vcpu, uint64_t value);
uint64_t vmx_cr0_read(struct vcpu *vcpu);
uint64_t vmx_cr4_read(struct vcpu *vcpu);
/* CR4 bits that a guest may set at all. */
uint64_t vmx_cr4_allowed(void);
/* EFER with LMA, and the entry control that must agree with it. */
void vmx_efer_write(struct vcpu *vcpu, uint64_t value);
/*
 * PAE paging: the four PDPTEs from guest memory into the VMCS (SDM 3C 26.3.1.6). False: not RAM, or
 * reserved bits set.
 */
bool vmx_pdptes_load(struct vcpu *vcpu, uint64_t cr3);

/* event.c: injection and windows */
bool vmx_interrupt_ready(struct vcpu *vcpu);
bool vmx_nmi_ready(struct vcpu *vcpu);
void vmx_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
void vmx_set_interrupt_window(struct vcpu *vcpu, uint32_t priority);
void vmx_set_nmi_window(struct vcpu *vcpu, bool is_on);
uint32_t vmx_get_shadow(struct vcpu *vcpu);
void vmx_set_shadow(struct vcpu *vcpu, uint32_t shadow);
uint32_t vmx_get_cr8(struct vcpu *vcpu);
void vmx_set_cr8(struct vcpu *vcpu, uint32_t cr8);
void vmx_skip_instruction(struct vcpu *vcpu, const struct vm_exit *exit);
void vmx_cpu_controls_set(struct vcpu *vcpu, uint32_t bits, bool is_on);
/*
 * After each slow exit: what the exit interrupted goes to vcpu->inject, NMI blocking is put right.
 * True: there was one. SDM 3C 27.2.3, 27.2.4.
 */
bool vmx_event_settle(struct vcpu *vcpu, bool may_unblock_nmi, uint32_t unblock_info);

/* state.c */
void vmx_get_state(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state);
int vmx_set_state(struct vcpu *vcpu, uint32_t groups, const struct bh_cpu_state *state) must_check;
uint32_t vmx_get_cpl(struct vcpu *vcpu);

/* msr.c */
uint64_t vmx_get_msr(struct vcpu *vcpu, uint32_t msr);
void vmx_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value);
/* The MSR bitmap of a guest: one where an access exits. */
void vmx_msr_bitmap_fill(uint8_t *bitmap);
