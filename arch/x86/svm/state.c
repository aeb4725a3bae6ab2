/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest registers that live in the VMCB, out and in. VMRUN checks what goes in (APM 2 15.5.1); a state that it refuses ends the guest's
 * run and nothing else.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/reg/cr.h"
#include "kernel/string.h"

#define AT(member)  offsetof(struct vmcb, member)
#define SEGMENT_DPL GENMASK(6, 5)

/* Where each register is, which bits there are the guest's, and the clean bits that cover it. */
static const struct {
	uint16_t offset;
	uint16_t clean;
	uint64_t mask;
} registers[HVM_REGISTER_COUNT] = {
	[HVM_RIP] = { AT(rip), 0, ~0ull },
	[HVM_RFLAGS] = { AT(rflags), 0, ~0ull },
	[HVM_CR2] = { AT(cr2), SVM_CLEAN_CR2, ~0ull },
	[HVM_CR8] = { AT(vintr), SVM_CLEAN_TPR, SVM_VINTR_TPR },
	[HVM_CR0] = { AT(cr0), SVM_CLEAN_CR, ~0ull },
	[HVM_CR3] = { AT(cr3), SVM_CLEAN_CR, ~0ull },
	[HVM_CR4] = { AT(cr4), SVM_CLEAN_CR, ~0ull },
	[HVM_EFER] = { AT(efer), SVM_CLEAN_CR, ~EFER_SVME },
	[HVM_DR6] = { AT(dr6), SVM_CLEAN_DR, ~0ull },
	[HVM_DR7] = { AT(dr7), SVM_CLEAN_DR, ~0ull },
	[HVM_PAT] = { AT(g_pat), SVM_CLEAN_NP, ~0ull },
	[HVM_SYSENTER_CS] = { AT(sysenter_cs), 0, ~0ull },
	[HVM_SYSENTER_ESP] = { AT(sysenter_esp), 0, ~0ull },
	[HVM_SYSENTER_EIP] = { AT(sysenter_eip), 0, ~0ull },
	[HVM_STAR] = { AT(star), 0, ~0ull },
	[HVM_LSTAR] = { AT(lstar), 0, ~0ull },
	[HVM_CSTAR] = { AT(cstar), 0, ~0ull },
	[HVM_SFMASK] = { AT(sfmask), 0, ~0ull },
	[HVM_KERNEL_GS_BASE] = { AT(kernel_gs_base), 0, ~0ull },
	[HVM_RSP] = { AT(rsp), 0, ~0ull },
	[HVM_CPL] = { AT(cpl), 0, 3 },
	[HVM_SHADOW] = { AT(interrupt_shadow), 0, SVM_SHADOW },
	[HVM_TSC_OFFSET] = { AT(tsc_offset), SVM_CLEAN_INTERCEPTS, ~0ull },
};

static uint64_t *field(struct vcpu *vcpu, enum hvm_register reg)
{
	return (uint64_t *)(void *)((char *)svm_vmcb(vcpu) + registers[reg].offset);
}

uint64_t svm_get(struct vcpu *vcpu, enum hvm_register reg)
{
	uint64_t value = *field(vcpu, reg) & registers[reg].mask;

	return reg == HVM_SHADOW && svm_private(vcpu)->is_nmi_blocked ? value | HVM_SHADOW_NMI
	                                                              : value;
}

void svm_set(struct vcpu *vcpu, enum hvm_register reg, uint64_t value)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint64_t mask = registers[reg].mask;
	uint64_t *at = field(vcpu, reg);

	if (reg == HVM_SHADOW) {
		svm_set_shadow(vcpu, (uint32_t)value);
		return;
	}
	*at = (*at & ~mask) | (value & mask);
	svm_changed(vmcb, registers[reg].clean);
	if (reg >= HVM_CR0 && reg <= HVM_EFER) {
		bool is_long = (vmcb->efer & EFER_LME) != 0 && (vmcb->cr0 & CR0_PG) != 0;

		vmcb->efer = is_long ? vmcb->efer | EFER_LMA : vmcb->efer & ~EFER_LMA;
		vcpu->needs_flush = true; /* the guest expects what a MOV to CRn flushes */
	}
}

void svm_get_state(struct vcpu *vcpu, struct bh_cpu_state *state)
{
	const struct vmcb *vmcb = svm_vmcb(vcpu);

	state->gpr[BH_GPR_RSP] = vmcb->rsp;
	state->rip = vmcb->rip;
	state->rflags = vmcb->rflags;
	state->cr2 = vmcb->cr2;
	state->cr8 = vmcb->vintr & SVM_VINTR_TPR;
	state->cr0 = vmcb->cr0;
	state->cr3 = vmcb->cr3;
	state->cr4 = vmcb->cr4;
	state->efer = vmcb->efer & ~EFER_SVME;
}

/* The ABI's record is the VMCB's. */
_Static_assert(sizeof(struct bh_segment_state) * BH_SEG_COUNT == AT(tr) + 16 - AT(es), "ABI");

void svm_get_segments(struct vcpu *vcpu, struct bh_segment_state *segments)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint16_t *ss = &segments[BH_SEG_SS].attributes;

	memcpy(segments, &vmcb->es, sizeof(*segments) * BH_SEG_COUNT);
	/* SYSRET leaves another DPL in SS (APM 3 SYSRET). */
	*ss = (uint16_t)((*ss & ~SEGMENT_DPL) | field_set(SEGMENT_DPL, vmcb->cpl));
}

void svm_set_segments(struct vcpu *vcpu, const struct bh_segment_state *segments)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	memcpy(&vmcb->es, segments, sizeof(*segments) * BH_SEG_COUNT);
	vmcb->cpl = (uint8_t)field_get(SEGMENT_DPL, segments[BH_SEG_SS].attributes);
	vmcb->clean = 0;
}
