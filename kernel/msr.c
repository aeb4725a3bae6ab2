/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes of those registers (see msr.h). What a guest may do with them follows from its CPUID table.
 */
#include "kernel/msr.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/vlapic.h"

#define MSR_X2APIC_LAST 0x8ffu
/* An ICR that sends a fixed interrupt to its own vCPU, and nothing else. */
#define SELF_MASK  (APIC_ICR_SHORTHAND | APIC_ICR_MODE | APIC_ICR_PENDING)
#define SELF_FIXED field_set(APIC_ICR_SHORTHAND, APIC_TO_SELF)

static void move_tsc(struct vcpu *vcpu, uint64_t ticks)
{
	vcpu->msr_tsc_adjust += ticks;
	vcpu->tsc_offset += ticks;
	vcpu->run->tsc_offset = vcpu->tsc_offset;
	hvm_set(vcpu, HVM_TSC_OFFSET, vcpu->tsc_offset);
}

void msr_guest_set_tsc(struct vcpu *vcpu, uint64_t value)
{
	move_tsc(vcpu, value - arch_tsc_read() - vcpu->tsc_offset);
}

/* SDM 4 table 2-2, APM 2 3.1.7. LMA is the CPU's. */
static int write_efer(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = hvm_get(vcpu, HVM_EFER);
	uint32_t offered = cpuid_guest(vcpu->vm, CPUID_LEAF_AMD_FEATURES).edx;
	uint64_t allowed = EFER_SCE | EFER_LMA;

	allowed |= (offered & CPUID_X1_EDX_NX) != 0 ? EFER_NXE : 0;
	allowed |= (offered & CPUID_X1_EDX_LONG_MODE) != 0 ? EFER_LME : 0;
	if ((value & ~allowed) != 0 ||
	    (((old ^ value) & EFER_LME) != 0 && (hvm_get(vcpu, HVM_CR0) & CR0_PG) != 0)) {
		return BH_ERR_INVALID;
	}
	hvm_set(vcpu, HVM_EFER, value);
	return BH_OK;
}

static bool has_deadline(const struct vm *vm)
{
	return (cpuid_guest(vm, CPUID_LEAF_FEATURES).ecx & CPUID_1_ECX_TSC_DEADLINE) != 0;
}

/* In x2APIC mode: MSR number = 0x800 + offset / 16 (SDM 3A 11.12.1.2). */
static uint32_t x2apic_offset(uint32_t msr)
{
	return (msr - MSR_X2APIC) * 0x10;
}

static bool is_x2apic(const struct vcpu *vcpu, uint32_t msr)
{
	return msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST &&
	       (vcpu->lapic.apic_base & APIC_BASE_X2APIC) != 0;
}

/* In the vendor's structure, as far as an access exits; HVM_REGISTER_COUNT: it is not. */
static enum hvm_register register_of(uint32_t msr)
{
	if (msr >= MSR_STAR && msr <= MSR_SFMASK) {
		return (enum hvm_register)(HVM_STAR + (msr - MSR_STAR));
	}
	return msr == MSR_EFER ? HVM_EFER : msr == MSR_PAT ? HVM_PAT : HVM_REGISTER_COUNT;
}

bool msr_value_is_valid(uint32_t reg, uint64_t value)
{
	switch (reg) {
	case HVM_PAT:
		/* Eight memory types of 0, 1, 4 to 7: no byte above 7, and bit 1 never without bit 2. */
		return (value & ~0x0707070707070707ull) == 0 &&
		       (value >> 1 & ~(value >> 2) & 0x0101010101010101ull) == 0;
	case HVM_SYSENTER_ESP:
	case HVM_SYSENTER_EIP:
	case HVM_LSTAR:
	case HVM_CSTAR:
	case HVM_KERNEL_GS_BASE:
		return is_canonical(value);
	case HVM_SFMASK:
		return value <= 0xffffffff;
	default:
		return true;
	}
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
	case MSR_TSC_DEADLINE:
		*value = vlapic_timer_read_deadline(vcpu);
		return has_deadline(vcpu->vm) ? BH_OK : BH_ERR_INVALID;
	case MSR_TSC_AUX:
		*value = vcpu->msr_tsc_aux;
		return BH_OK;
	default:
		if (is_x2apic(vcpu, msr)) {
			return vlapic_read(vcpu, x2apic_offset(msr), value);
		}
		if (register_of(msr) == HVM_REGISTER_COUNT) {
			return BH_ERR_NOT_FOUND;
		}
		*value = hvm_get(vcpu, register_of(msr));
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
	case MSR_EFER:
		return write_efer(vcpu, value);
	case MSR_TSC_DEADLINE:
		if (!has_deadline(vcpu->vm)) {
			return BH_ERR_INVALID;
		}
		vlapic_timer_write_deadline(vcpu, value);
		return BH_OK;
	case MSR_TSC_AUX:
		if (value > 0xffffffff) {
			return BH_ERR_INVALID;
		}
		vcpu->msr_tsc_aux = value; /* loaded by the vendor's enter() */
		return BH_OK;
	default:
		if (is_x2apic(vcpu, msr)) {
			return vlapic_write(vcpu, x2apic_offset(msr), value);
		}
		if (register_of(msr) == HVM_REGISTER_COUNT) {
			return BH_ERR_NOT_FOUND;
		}
		if (!msr_value_is_valid(register_of(msr), value)) {
			return BH_ERR_INVALID;
		}
		hvm_set(vcpu, register_of(msr), value);
		return BH_OK;
	}
}

bool msr_guest_fast(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if ((vcpu->lapic.apic_base & APIC_BASE_X2APIC) == 0) {
		return false;
	}
	if (msr == MSR_X2APIC + APIC_EOI / 0x10 && value == 0) {
		vlapic_eoi(vcpu);
		return true;
	}
	switch (msr) {
	case MSR_X2APIC + APIC_ICR / 0x10:
		if ((value & SELF_MASK) == SELF_FIXED && (value & 0xff) >= 16) {
			vcpu->lapic.regs[APIC_ICR / 4] = (uint32_t)value;
			vcpu->lapic.regs[APIC_ICR_HIGH / 4] = (uint32_t)(value >> 32);
			vlapic_accept_self(vcpu, (uint8_t)value);
			return true;
		}
		return msr_guest_write(vcpu, msr, value) == BH_OK;
	case MSR_X2APIC + APIC_TPR / 0x10:
	case MSR_X2APIC + APIC_SELF_IPI / 0x10:
	case MSR_X2APIC + APIC_TIMER_INITIAL / 0x10:
	case MSR_TSC_DEADLINE:
		return msr_guest_write(vcpu, msr, value) == BH_OK;
	default:
		return false;
	}
}
