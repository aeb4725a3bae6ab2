/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes of those registers (see msr.h). What a guest may do with them follows from its CPUID table.
 */
#include "kernel/msr.h"

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/hvm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/vlapic.h"

#define MSR_X2APIC_LAST 0x8ffu
#define SPEC_CTRL_VALID 7ull /* IBRS, STIBP, SSBD */
#define IBPB            BIT(0)

static int valid_if(bool condition)
{
	return condition ? BH_OK : BH_ERR_INVALID;
}

static bool is_pat(uint64_t value)
{
	for (uint32_t i = 0; i < 8; i++) {
		uint64_t type = (value >> (8 * i)) & 0xff;

		if (type > 7 || type == 2 || type == 3) {
			return false;
		}
	}
	return true;
}

/* ---- time ---- */

static void move_tsc(struct vcpu *vcpu, uint64_t ticks)
{
	vcpu->msr_tsc_adjust += ticks;
	vcpu->tsc_offset += ticks;
	vcpu->run->tsc_offset = vcpu->tsc_offset;
	hvm->set_tsc_offset(vcpu, vcpu->tsc_offset);
}

void msr_guest_set_tsc(struct vcpu *vcpu, uint64_t value)
{
	move_tsc(vcpu, value - arch_tsc_read() - vcpu->tsc_offset);
}

/* ---- EFER (SDM 4 table 2-2, APM 2 3.1.7) ---- */

static int write_efer(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = hvm->get_msr(vcpu, MSR_EFER);
	uint64_t allowed = EFER_SCE | EFER_LMA;
	struct bh_cpu_state state;

	allowed |= cpuid_guest_has(vcpu->vm, 0x80000001, 3, BIT(20)) ? EFER_NXE : 0;
	allowed |= cpuid_guest_has(vcpu->vm, 0x80000001, 3, BIT(29)) ? EFER_LME : 0;
	allowed |= cpuid_guest_has(vcpu->vm, 0x80000001, 3, BIT(25)) ? EFER_FFXSR : 0;
	hvm->get_state(vcpu, BH_STATE_CONTROL, &state);
	if ((value & ~allowed) != 0 ||
	    (((old ^ value) & EFER_LME) != 0 && (state.cr0 & CR0_PG) != 0)) {
		return BH_ERR_INVALID;
	}
	hvm->set_msr(vcpu, MSR_EFER, (value & ~EFER_LMA) | (old & EFER_LMA)); /* LMA is the CPU's */
	return BH_OK;
}

/* ---- speculation ---- */

static bool has_spec_ctrl(const struct vm *vm)
{
	return cpuid_guest_has(vm, 7, 3, BIT(26) | BIT(27) | BIT(31)) ||
	       cpuid_guest_has(vm, 0x80000008, 1, BIT(14) | BIT(15) | BIT(24));
}

static int write_pred_cmd(struct vcpu *vcpu, uint64_t value)
{
	bool is_there = cpuid_guest_has(vcpu->vm, 7, 3, BIT(26)) ||
	                cpuid_guest_has(vcpu->vm, 0x80000008, 1, BIT(12));

	if (!is_there || (value & ~IBPB) != 0) {
		return BH_ERR_INVALID;
	}
	if (value != 0 && (feature_has(FEATURE_IBPB) || feature_has(FEATURE_IBRS))) {
		msr_write(MSR_PRED_CMD, IBPB);
	}
	return BH_OK;
}

/* ---- local APIC ---- */

static bool has_deadline(const struct vm *vm)
{
	return cpuid_guest_has(vm, CPUID_LEAF_FEATURES, 2, CPUID_1_ECX_TSC_DEADLINE);
}

/* In x2APIC mode: MSR number = 0x800 + offset / 16 (SDM 3A 11.12.1.2). */
static bool x2apic_offset(const struct vcpu *vcpu, uint32_t msr, uint32_t *offset)
{
	*offset = (msr - MSR_X2APIC) * 0x10;
	return (vcpu->lapic.apic_base & APIC_BASE_X2APIC) != 0 && *offset < APIC_PAGE_END;
}

static int read_x2apic(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	uint32_t offset, low;
	int error;

	if (!x2apic_offset(vcpu, msr, &offset)) {
		return BH_ERR_INVALID;
	}
	error = vlapic_read(vcpu, offset, &low);
	*value = low;
	if (offset == APIC_ICR) {
		*value |= (uint64_t)vlapic_reg(vcpu, APIC_ICR_HIGH) << 32;
	}
	return error;
}

static int write_x2apic(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	uint32_t offset;

	if (!x2apic_offset(vcpu, msr, &offset)) {
		return BH_ERR_INVALID;
	}
	if (offset == APIC_ICR) {
		vcpu->lapic.regs[APIC_ICR / 4] = (uint32_t)value;
		vcpu->lapic.regs[APIC_ICR_HIGH / 4] = (uint32_t)(value >> 32);
		vlapic_send(vcpu, value);
		return BH_OK;
	}
	if (value > 0xffffffff || (offset == APIC_TPR && value > 0xff)) {
		return BH_ERR_INVALID;
	}
	return vlapic_write(vcpu, offset, (uint32_t)value);
}

/* ---- all of them ---- */

/* In the vendor's structure. */
static bool is_hvm(uint32_t msr)
{
	return (msr >= MSR_SYSENTER_CS && msr <= MSR_SYSENTER_EIP) || msr == MSR_PAT ||
	       (msr >= MSR_EFER && msr <= MSR_SFMASK) ||
	       (msr >= MSR_FS_BASE && msr <= MSR_KERNEL_GS_BASE);
}

bool msr_value_is_valid(uint32_t msr, uint64_t value)
{
	bool is_address = msr == MSR_SYSENTER_ESP || msr == MSR_SYSENTER_EIP || msr == MSR_LSTAR ||
	                  msr == MSR_CSTAR || msr >= MSR_FS_BASE;

	return is_address ? is_canonical(value) : msr != MSR_PAT || is_pat(value);
}

int msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = arch_tsc_read() + vcpu->tsc_offset;
		return BH_OK;
	case MSR_TSC_ADJUST:
		*value = vcpu->msr_tsc_adjust;
		return BH_OK;
	case MSR_APIC_BASE:
		*value = vcpu->lapic.apic_base;
		return BH_OK;
	case MSR_SPEC_CTRL:
		*value = vcpu->msr_spec_ctrl;
		return valid_if(has_spec_ctrl(vcpu->vm));
	case MSR_PRED_CMD:
		return BH_ERR_INVALID; /* write-only */
	case MSR_TSC_DEADLINE:
		*value = vlapic_timer_read_deadline(vcpu);
		return valid_if(has_deadline(vcpu->vm));
	case MSR_XSS:
		*value = 0;
		return valid_if(cpuid_guest_has(vcpu->vm, CPUID_LEAF_XSAVE, 0, ~0ull));
	case MSR_TSC_AUX:
		*value = vcpu->msr_tsc_aux;
		return BH_OK;
	default:
		if (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST) {
			return read_x2apic(vcpu, msr, value);
		}
		if (!is_hvm(msr)) {
			return BH_ERR_NOT_FOUND;
		}
		*value = hvm->get_msr(vcpu, msr);
		return BH_OK;
	}
}

int msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_TSC:
		msr_guest_set_tsc(vcpu, value);
		return BH_OK;
	case MSR_TSC_ADJUST:
		move_tsc(vcpu, value - vcpu->msr_tsc_adjust);
		return BH_OK;
	case MSR_APIC_BASE:
		return vlapic_set_base(vcpu, value);
	case MSR_SPEC_CTRL:
		if (!has_spec_ctrl(vcpu->vm) || (value & ~SPEC_CTRL_VALID) != 0) {
			return BH_ERR_INVALID;
		}
		vcpu->msr_spec_ctrl = value;
		return BH_OK;
	case MSR_PRED_CMD:
		return write_pred_cmd(vcpu, value);
	case MSR_EFER:
		return write_efer(vcpu, value);
	case MSR_TSC_DEADLINE:
		if (!has_deadline(vcpu->vm)) {
			return BH_ERR_INVALID;
		}
		vlapic_timer_write_deadline(vcpu, value);
		return BH_OK;
	case MSR_XSS: /* no supervisor component is offered */
		return valid_if(value == 0 &&
		                cpuid_guest_has(vcpu->vm, CPUID_LEAF_XSAVE, 0, ~0ull));
	case MSR_TSC_AUX:
		if (value > 0xffffffff) {
			return BH_ERR_INVALID;
		}
		vcpu->msr_tsc_aux = value; /* loaded by the vendor's enter() */
		return BH_OK;
	default:
		if (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST) {
			return write_x2apic(vcpu, msr, value);
		}
		if (!is_hvm(msr)) {
			return BH_ERR_NOT_FOUND;
		}
		if (!msr_value_is_valid(msr, value)) {
			return BH_ERR_INVALID;
		}
		hvm->set_msr(vcpu, msr, value);
		return BH_OK;
	}
}

bool msr_guest_fast(struct vcpu *vcpu, uint32_t msr, bool is_write, uint64_t *value)
{
	if ((vcpu->lapic.apic_base & APIC_BASE_X2APIC) == 0) {
		return false;
	}
	if (!is_write) {
		return msr == MSR_X2APIC + APIC_TPR / 0x10 &&
		       read_x2apic(vcpu, msr, value) == BH_OK;
	}
	switch (msr) {
	case MSR_X2APIC + APIC_EOI / 0x10:
	case MSR_X2APIC + APIC_TPR / 0x10:
	case MSR_X2APIC + APIC_ICR / 0x10:
	case MSR_X2APIC + APIC_SELF_IPI / 0x10:
	case MSR_X2APIC + APIC_TIMER_INITIAL / 0x10:
	case MSR_TSC_DEADLINE:
		return msr_guest_write(vcpu, msr, *value) == BH_OK;
	default:
		return false;
	}
}
