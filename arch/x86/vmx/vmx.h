/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to arch/x86/vmx: what the CPU can do, and the vendor's part of a vCPU. Everything else
 * enters by vmx_ops (arch/x86/hvm.h). Every function here works on the vCPU whose VMCS is current
 * on this pCPU, with interrupts off, unless it says otherwise.
 */
#pragma once

#include "arch/x86/hvm.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/vmx/vmcs.h"

enum vmx_control {
	VMX_PIN,
	VMX_CPU,
	VMX_CPU2,
	VMX_EXIT,
	VMX_ENTRY,
	VMX_CONTROL_COUNT
};

/* Found once by vmx_probe(); constant afterwards. */
struct vmx_caps {
	uint32_t revision;
	uint32_t controls[VMX_CONTROL_COUNT]; /* as each VMCS has them */
	uint64_t cr4_fixed1;                  /* bits that may be 1 */
	uint64_t cr4_owned;                   /* bits that the guest may change without an exit */
	uint64_t ept_bits; /* EPTP: memory type, walk length, accessed and dirty */
	bool needs_net;    /* Bochs: see set_net() in host.c */
};
extern struct vmx_caps vmx_caps;
extern const uint16_t vmx_control_fields[VMX_CONTROL_COUNT];

/*
 * MSRs that the CPU does not switch, HVM_STAR to HVM_KERNEL_GS_BASE: the guest's stay loaded from
 * the first entry to vmx_leave().
 */
#define VMX_MSR_COUNT (HVM_KERNEL_GS_BASE - HVM_STAR + 1)

static inline uint32_t vmx_msr_number(uint32_t i)
{
	return i == VMX_MSR_COUNT - 1 ? MSR_KERNEL_GS_BASE : MSR_STAR + i;
}

/* In vcpu->hvm_private. What was written into the VMCS is kept here, so that nothing is read back. */
struct vmx_vcpu {
	uint64_t host_rsp; /* HOST_RSP */
	uint32_t is_launched;
	uint32_t exit_reason;   /* of the last exit, as read by vmx_exit_fast() */
	uint32_t qualification; /* of the last exit, when it was an I/O exit */
	uint32_t cpu_controls;
	uint32_t entry_event; /* waits in the VMCS for the next entry; 0 = none */
	uint32_t tpr_threshold;
	uint64_t host_cr0, host_cr3, host_fs_base;
	uint64_t cr0_shadow, cr4_shadow; /* what the guest reads in the bits that we own */
	uint64_t msrs[VMX_MSR_COUNT];    /* KERNEL_GS_BASE is in the CPU while is_guest_loaded */
	bool is_guest_loaded;            /* the guest's MSRs are in the CPU */
	/* How long a port write is that was seen: no VMREAD for it. Void if place or operands are others. */
	struct vmx_out {
		uint64_t rip;
		uint32_t operands, length;
	} outs[4];
};
_Static_assert(sizeof(struct vmx_vcpu) <= sizeof(((struct vcpu *)0)->hvm_private),
               "fits into the vCPU");

static inline struct vmx_vcpu *vmx_of(struct vcpu *vcpu)
{
	return (struct vmx_vcpu *)(void *)vcpu->hvm_private;
}

static inline struct vmx_out *vmx_out_at(struct vcpu *vcpu, uint64_t rip)
{
	return &vmx_of(vcpu)->outs[(rip ^ rip >> 4) % ARRAY_SIZE(vmx_of(vcpu)->outs)];
}

static inline uint64_t vmx_ept_pointer(const struct vm *vm)
{
	return vm->npt.root.raw | vmx_caps.ept_bits;
}

/* caps.c: hvm_ops.probe */
const char *vmx_probe(void);

/* host.c: this pCPU as the VMCS's host, and what VMX does not switch */
int vmx_cpu_on(struct cpu *cpu) must_check;
void vmx_load(struct vcpu *vcpu);
void vmx_unload(struct vcpu *vcpu);
void vmx_leave(struct vcpu *vcpu);
/*
 * Before an entry: host fields that changed, guest MSRs, CR2, pending invalidations. False: no
 * entry, since an interrupt is due (vmx_caps.needs_net).
 */
bool vmx_prepare_entry(struct vcpu *vcpu);

/*
 * switch.S. True: the CPU refused to enter (VMCS_INSTRUCTION_ERROR); else an exit that
 * vmx_exit_fast() did not finish.
 */
bool vmx_switch(struct vcpu *vcpu);
extern const char vmx_switch_exit[]; /* HOST_RIP */

/* fast.c: called by switch.S only. True = enter again. */
uint64_t vmx_exit_fast(struct vcpu *vcpu);
/* exit_reason when a fast exit is finished but something else is to be looked at. */
#define VMX_REASON_DONE 0xfffeu

/* exit.c */
void vmx_enter(struct vcpu *vcpu, struct vm_exit *exit);
void vmx_skip_instruction(struct vcpu *vcpu, uint32_t length);

/* state.c */
uint64_t vmx_get(struct vcpu *vcpu, enum hvm_register reg);
void vmx_set(struct vcpu *vcpu, enum hvm_register reg, uint64_t value);
void vmx_get_state(struct vcpu *vcpu, struct bh_cpu_state *state);
void vmx_get_segments(struct vcpu *vcpu, struct bh_segment_state *segments);
void vmx_set_segments(struct vcpu *vcpu, const struct bh_segment_state *segments);
bool vmx_is_code64(void);
/* A MOV to CR0 or CR4 that changes a bit of ours. False: the guest gets #GP(0). */
bool vmx_handle_cr(struct vcpu *vcpu, uint64_t qualification) must_check;

/* event.c: injection and windows */
uint32_t vmx_ready(struct vcpu *vcpu);
void vmx_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
bool vmx_offer_interrupt(struct vcpu *vcpu, uint32_t vector);
void vmx_open_window(struct vcpu *vcpu);
/* Before an entry: the CPU's own local APIC, where there is one, takes over or lets go. */
void vmx_choose_delivery(struct vcpu *vcpu);
/* One where an access exits (SDM 3C 24.6.9); the second one while the CPU delivers interrupts. */
extern uint8_t vmx_msr_bitmaps[2][PAGE_SIZE];
void vmx_set_nmi_window(struct vcpu *vcpu, bool is_on);
/*
 * After each slow exit: what the exit interrupted goes to vcpu->inject, NMI blocking is put right.
 * `unblock_info`: the record whose bit 12 says that an IRET had unblocked NMIs before it faulted
 * (the exit event of a fault, the qualification of an EPT violation), or 0. True: an event was
 * being delivered. SDM 3C 27.2.3, 27.2.4.
 */
bool vmx_event_settle(struct vcpu *vcpu, uint32_t unblock_info);
