/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest registers that live in the VMCB, out and in. What comes in is checked here against what VMRUN checks (APM 2 15.5.1) and for canonical
 * addresses; a combination that still slips through makes VMRUN fail, which ends the guest's run and nothing else.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/string.h"
#include "kernel/vcpu_state.h"

/* VMCB attributes are descriptor bits 11:8 right above 7:0; the ABI has them four bits higher, and a bit for "unusable". */
#define VMCB_ATTRIBUTES_LOW  0x00ffu
#define VMCB_ATTRIBUTES_HIGH 0x0f00u
#define ATTRIBUTE_PRESENT    BIT(7)
#define ATTRIBUTE_UNUSABLE   BIT(16)
#define ATTRIBUTE_GRANULAR   BIT(15)

#define EFER_ALLOWED         (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR)

static struct vmcb_segment *segment(struct vmcb *vmcb, uint32_t idx)
{
	static const uint16_t offsets[BH_SEG_COUNT] = {
		[BH_SEG_ES] = offsetof(struct vmcb, es),
		[BH_SEG_CS] = offsetof(struct vmcb, cs),
		[BH_SEG_SS] = offsetof(struct vmcb, ss),
		[BH_SEG_DS] = offsetof(struct vmcb, ds),
		[BH_SEG_FS] = offsetof(struct vmcb, fs),
		[BH_SEG_GS] = offsetof(struct vmcb, gs),
		[BH_SEG_LDTR] = offsetof(struct vmcb, ldtr),
		[BH_SEG_TR] = offsetof(struct vmcb, tr),
	};

	return (struct vmcb_segment *)(void *)((char *)vmcb + offsets[idx]);
}

static void segment_get(const struct vmcb_segment *from, struct bh_segment_state *to)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->reserved = 0;
	to->reserved2 = 0;
	to->attributes = (from->attributes & VMCB_ATTRIBUTES_LOW) |
	                 ((from->attributes & VMCB_ATTRIBUTES_HIGH) << 4);
	if ((to->attributes & ATTRIBUTE_PRESENT) == 0) {
		to->attributes |= (uint32_t)ATTRIBUTE_UNUSABLE;
	}
	/* The CPU does not keep G, having the limit in bytes; others want to see it. */
	if (to->limit > 0xfffff) {
		to->attributes |= (uint32_t)ATTRIBUTE_GRANULAR;
	}
}

static void segment_set(struct vmcb_segment *to, const struct bh_segment_state *from)
{
	to->base = from->base;
	to->limit = from->limit;
	to->selector = from->selector;
	to->attributes = (uint16_t)((from->attributes & VMCB_ATTRIBUTES_LOW) |
	                            ((from->attributes >> 4) & VMCB_ATTRIBUTES_HIGH));
	if ((from->attributes & ATTRIBUTE_UNUSABLE) != 0) {
		to->attributes &= (uint16_t)~ATTRIBUTE_PRESENT;
	}
}

void svm_get_state(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	if ((groups & BH_STATE_GPR) != 0) {
		memcpy(state->gpr, vcpu->gpr, sizeof(state->gpr));
		state->gpr[BH_GPR_RSP] = vmcb->rsp;
		state->rip = vmcb->rip;
		state->rflags = vmcb->rflags;
	}
	if ((groups & BH_STATE_SEGMENTS) != 0) {
		for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
			segment_get(segment(vmcb, i), &state->segments[i]);
		}
		state->gdtr = (struct bh_table_state){ .base = vmcb->gdtr.base,
			                               .limit = vmcb->gdtr.limit };
		state->idtr = (struct bh_table_state){ .base = vmcb->idtr.base,
			                               .limit = vmcb->idtr.limit };
	}
	if ((groups & BH_STATE_CONTROL) != 0) {
		state->cr0 = vmcb->cr0;
		state->cr2 = vmcb->cr2;
		state->cr3 = vmcb->cr3;
		state->cr4 = vmcb->cr4;
		state->cr8 = svm_get_cr8(vcpu);
		state->efer = vmcb->efer & ~EFER_SVME;
	}
}

/* CPL is a field of its own in the VMCB: 0 in real mode, 3 in virtual-8086 mode, else SS.DPL (APM 2 15.5.1). */
static void set_cpl(struct vmcb *vmcb)
{
	if ((vmcb->cr0 & CR0_PE) == 0) {
		vmcb->cpl = 0;
	} else if ((vmcb->rflags & RFLAGS_VM) != 0) {
		vmcb->cpl = 3;
	} else {
		vmcb->cpl = (uint8_t)((vmcb->ss.attributes >> 5) & 3);
	}
}

int svm_set_state(struct vcpu *vcpu, uint32_t groups, const struct bh_cpu_state *state)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	if (vcpu_state_check(groups, state) != BH_OK ||
	    ((groups & BH_STATE_CONTROL) != 0 && (state->efer & ~EFER_ALLOWED) != 0)) {
		return BH_ERR_INVALID;
	}
	if ((groups & BH_STATE_GPR) != 0) {
		memcpy(vcpu->gpr, state->gpr, sizeof(state->gpr));
		vmcb->rsp = state->gpr[BH_GPR_RSP];
		vmcb->rip = state->rip;
		vmcb->rflags = state->rflags;
	}
	if ((groups & BH_STATE_SEGMENTS) != 0) {
		for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
			segment_set(segment(vmcb, i), &state->segments[i]);
		}
		vmcb->gdtr.base = state->gdtr.base;
		vmcb->gdtr.limit = state->gdtr.limit;
		vmcb->idtr.base = state->idtr.base;
		vmcb->idtr.limit = state->idtr.limit;
	}
	if ((groups & BH_STATE_CONTROL) != 0) {
		if (vmcb->cr0 != state->cr0 || vmcb->cr3 != state->cr3 || vmcb->cr4 != state->cr4) {
			/* the guest expects what a MOV to CRn flushes */
			svm_private(vcpu)->flush = 1;
		}
		vmcb->cr0 = state->cr0;
		vmcb->cr2 = state->cr2;
		vmcb->cr3 = state->cr3;
		vmcb->cr4 = state->cr4;
		vmcb->efer = state->efer | EFER_SVME;
		svm_set_cr8(vcpu, (uint32_t)state->cr8);
	}
	if ((groups & (BH_STATE_SEGMENTS | BH_STATE_CONTROL)) != 0) {
		set_cpl(vmcb);
		vmcb->clean = 0;
	}
	return BH_OK;
}

static uint64_t *msr_field(struct vmcb *vmcb, uint32_t msr)
{
	switch (msr) {
	case MSR_EFER:
		return &vmcb->efer;
	case MSR_PAT:
		return &vmcb->g_pat;
	case MSR_FS_BASE:
		return &vmcb->fs.base;
	case MSR_GS_BASE:
		return &vmcb->gs.base;
	case MSR_KERNEL_GS_BASE:
		return &vmcb->kernel_gs_base;
	case MSR_STAR:
		return &vmcb->star;
	case MSR_LSTAR:
		return &vmcb->lstar;
	case MSR_CSTAR:
		return &vmcb->cstar;
	case MSR_SFMASK:
		return &vmcb->sfmask;
	case MSR_SYSENTER_CS:
		return &vmcb->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return &vmcb->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &vmcb->sysenter_eip;
	default:
		return NULL;
	}
}

uint64_t svm_get_msr(struct vcpu *vcpu, uint32_t msr)
{
	const uint64_t *field = msr_field(svm_vmcb(vcpu), msr);

	if (field == NULL) {
		return 0;
	}
	return msr == MSR_EFER ? *field & ~EFER_SVME : *field;
}

void svm_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint64_t *field = msr_field(vmcb, msr);

	if (field != NULL) {
		if (msr == MSR_EFER && ((*field ^ value) & EFER_NXE) != 0) {
			svm_private(vcpu)->flush = 1;
		}
		*field = msr == MSR_EFER ? value | EFER_SVME : value;
		vmcb->clean = 0;
	}
}

uint64_t svm_get_dr(struct vcpu *vcpu, uint32_t number)
{
	return number == 6 ? svm_vmcb(vcpu)->dr6 : svm_vmcb(vcpu)->dr7;
}

void svm_set_dr(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	if (number == 6) {
		vmcb->dr6 = value;
	} else {
		vmcb->dr7 = value;
	}
	vmcb->clean &= ~(uint32_t)SVM_CLEAN_DR;
}
