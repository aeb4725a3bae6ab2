/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest registers that live in the VMCS, out and in. What comes in has passed vcpu_state_check();
 * segments are then put into the form that an entry wants (SDM 3C 26.3.1.2), which is what a CPU
 * holds in its hidden parts after a real load. A combination that still slips through makes the
 * entry fail, which ends the guest's run and nothing else.
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/string.h"
#include "kernel/vcpu_state.h"

#define EFER_ALLOWED    (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define V86_ATTRIBUTES  0xf3u
#define V86_LIMIT       0xffffu
#define LIMIT_BYTES_MAX 0xfffffu
#define LIMIT_PAGE      0xfffu

static uint64_t vmx_segment_field(uint64_t first, uint32_t idx)
{
	return first + 2ull * idx;
}

static void vmx_segment_get(uint32_t idx, struct bh_segment_state *to)
{
	to->base = vmcs_read(vmx_segment_field(VMCS_GUEST_ES_BASE, idx));
	to->limit = vmcs_read32(vmx_segment_field(VMCS_GUEST_ES_LIMIT, idx));
	to->selector = (uint16_t)vmcs_read(vmx_segment_field(VMCS_GUEST_ES_SELECTOR, idx));
	to->attributes = vmcs_read32(vmx_segment_field(VMCS_GUEST_ES_ATTRIBUTES, idx));
	to->reserved = 0;
	to->reserved2 = 0;
}

/*
 * G follows from the limit: what has no whole pages is in bytes, what is too long for bytes is in
 * pages (SDM 3C 26.3.1.2).
 */
static uint32_t vmx_granularity(uint32_t attributes, uint32_t *limit)
{
	if (*limit > LIMIT_BYTES_MAX) {
		*limit |= LIMIT_PAGE;
		return attributes | SEGMENT_G;
	}
	return (*limit & LIMIT_PAGE) == LIMIT_PAGE ? attributes : attributes & ~SEGMENT_G;
}

static uint32_t vmx_segment_attributes(uint32_t idx, const struct bh_segment_state *from)
{
	uint32_t attributes = from->attributes & SEGMENT_DEFINED;

	uint32_t type = attributes & SEGMENT_TYPE;

	if (idx == BH_SEG_TR) {
		/*
		 * Loading TR makes a TSS busy; 16-bit ones are types 1 and 3. Reset leaves a 32-bit
		 * one.
		 */
		type = type == 1 || type == SEGMENT_TSS_BUSY_16 ? SEGMENT_TSS_BUSY_16
		                                                : SEGMENT_TSS_BUSY;
		return SEGMENT_PRESENT | type | (attributes & SEGMENT_G);
	}
	if ((attributes & SEGMENT_PRESENT) == 0 || (attributes & SEGMENT_UNUSABLE) != 0) {
		return SEGMENT_UNUSABLE | (attributes & SEGMENT_DPL);
	}
	if (idx == BH_SEG_LDTR) {
		return attributes;
	}
	return attributes | SEGMENT_ACCESSED;
}

static void vmx_segment_set(uint32_t idx, const struct bh_segment_state *from, bool is_v86)
{
	uint32_t limit = from->limit;
	uint32_t attributes = vmx_granularity(vmx_segment_attributes(idx, from), &limit);
	uint64_t base = from->base;

	if (is_v86 && idx <= BH_SEG_GS) {
		base = (uint64_t)from->selector << 4;
		limit = V86_LIMIT;
		attributes = V86_ATTRIBUTES;
	} else if (idx <= BH_SEG_DS) {
		base = (uint32_t)base;
	}
	vmcs_write(vmx_segment_field(VMCS_GUEST_ES_BASE, idx), base);
	vmcs_write(vmx_segment_field(VMCS_GUEST_ES_LIMIT, idx), limit);
	vmcs_write(vmx_segment_field(VMCS_GUEST_ES_SELECTOR, idx), from->selector);
	vmcs_write(vmx_segment_field(VMCS_GUEST_ES_ATTRIBUTES, idx), attributes);
}

static void vmx_segments_get(struct bh_cpu_state *state)
{
	for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
		vmx_segment_get(i, &state->segments[i]);
	}
	state->gdtr = (struct bh_table_state){ .base = vmcs_read(VMCS_GUEST_GDTR_BASE),
		                               .limit = vmcs_read32(VMCS_GUEST_GDTR_LIMIT) };
	state->idtr = (struct bh_table_state){ .base = vmcs_read(VMCS_GUEST_IDTR_BASE),
		                               .limit = vmcs_read32(VMCS_GUEST_IDTR_LIMIT) };
}

static void vmx_segments_set(const struct bh_cpu_state *state, bool is_v86)
{
	for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
		vmx_segment_set(i, &state->segments[i], is_v86);
	}
	vmcs_write(VMCS_GUEST_GDTR_BASE, state->gdtr.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, state->gdtr.limit & 0xffff);
	vmcs_write(VMCS_GUEST_IDTR_BASE, state->idtr.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, state->idtr.limit & 0xffff);
}

static bool vmx_is_translation_changed(struct vcpu *vcpu, const struct bh_cpu_state *state)
{
	return state->cr3 != vmcs_read(VMCS_GUEST_CR3) || state->cr0 != vmx_cr0_read(vcpu) ||
	       state->cr4 != vmx_cr4_read(vcpu) || state->efer != vmcs_read(VMCS_GUEST_EFER);
}

/* INVALID: PAE paging outside long mode, and the PDPTEs cannot be loaded as a MOV to CR3 would. */
static int vmx_translation_set(struct vcpu *vcpu, const struct bh_cpu_state *state)
{
	if (!vmx_is_translation_changed(vcpu, state)) {
		return BH_OK;
	}
	if ((state->cr0 & CR0_PG) != 0 && (state->cr4 & CR4_PAE) != 0 &&
	    (state->efer & EFER_LME) == 0 && !vmx_pdptes_load(vcpu, state->cr3)) {
		return BH_ERR_INVALID;
	}
	vmx_cr0_write(vcpu, state->cr0);
	vmx_cr4_write(vcpu, state->cr4);
	vmcs_write(VMCS_GUEST_CR3, state->cr3);
	vmcs_write(VMCS_GUEST_EFER, state->efer);
	/* What a MOV to CRn forgets is forgotten here too. */
	vmx_of(vcpu)->needs_invvpid = 1;
	return BH_OK;
}

/* hvm_ops.get_state */
void vmx_get_state(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state)
{
	if ((groups & BH_STATE_GPR) != 0) {
		memcpy(state->gpr, vcpu->gpr, sizeof(state->gpr));
		state->gpr[BH_GPR_RSP] = vmcs_read(VMCS_GUEST_RSP);
		state->rip = vmcs_read(VMCS_GUEST_RIP);
		state->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	}
	if ((groups & BH_STATE_SEGMENTS) != 0) {
		vmx_segments_get(state);
	}
	if ((groups & BH_STATE_CONTROL) != 0) {
		state->cr0 = vmx_cr0_read(vcpu);
		state->cr2 = vcpu->cr2;
		state->cr3 = vmcs_read(VMCS_GUEST_CR3);
		state->cr4 = vmx_cr4_read(vcpu);
		state->cr8 = vmx_get_cr8(vcpu);
		state->efer = vmcs_read(VMCS_GUEST_EFER);
	}
}

/* hvm_ops.set_state. INVALID: nothing has changed. */
int vmx_set_state(struct vcpu *vcpu, uint32_t groups, const struct bh_cpu_state *state)
{
	if (vcpu_state_check(groups, state) != BH_OK) {
		return BH_ERR_INVALID;
	}
	if ((groups & BH_STATE_CONTROL) != 0) {
		if ((state->efer & ~EFER_ALLOWED) != 0 || (state->cr4 & ~vmx_cr4_allowed()) != 0 ||
		    vmx_translation_set(vcpu, state) != BH_OK) {
			return BH_ERR_INVALID;
		}
		vcpu->cr2 = state->cr2;
		vmx_set_cr8(vcpu, (uint32_t)state->cr8);
	}
	if ((groups & BH_STATE_GPR) != 0) {
		memcpy(vcpu->gpr, state->gpr, sizeof(state->gpr));
		vmcs_write(VMCS_GUEST_RSP, state->gpr[BH_GPR_RSP]);
		vmcs_write(VMCS_GUEST_RIP, state->rip);
		vmcs_write(VMCS_GUEST_RFLAGS, state->rflags);
	}
	if ((groups & BH_STATE_SEGMENTS) != 0) {
		vmx_segments_set(state, (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_VM) != 0);
	}
	if ((groups & (BH_STATE_SEGMENTS | BH_STATE_CONTROL)) != 0) {
		/* Last: it makes the entry controls and TR fit. */
		vmx_efer_write(vcpu, vmcs_read(VMCS_GUEST_EFER));
	}
	return BH_OK;
}

/* hvm_ops.get_cpl: SS.DPL, in every mode (SDM 3C 24.4.1). */
uint32_t vmx_get_cpl(struct vcpu *vcpu)
{
	(void)vcpu;
	return (uint32_t)field_get(SEGMENT_DPL, vmcs_read32(VMCS_GUEST_SS_ATTRIBUTES));
}
