/* SPDX-License-Identifier: Apache-2.0 */
/* Writes of those registers (see msr.h), from the fast path. */
#include "kernel/msr.h"

#include "arch/x86/reg/msr.h"
#include "kernel/vlapic.h"

/* An ICR that sends a fixed interrupt to its own vCPU, and nothing else. */
#define SELF_MASK  (APIC_ICR_SHORTHAND | APIC_ICR_MODE | APIC_ICR_PENDING)
#define SELF_FIXED field_set(APIC_ICR_SHORTHAND, APIC_TO_SELF)

static bool write_deadline(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_TSC_DEADLINE) {
		vlapic_timer_write_deadline(vcpu, value);
	}
	return msr == MSR_TSC_DEADLINE;
}

/* In x2APIC mode: MSR number = 0x800 + offset / 16 (SDM 3A 11.12.1.2). */
bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	uint64_t most = UINT32_MAX;

	if ((vcpu->lapic.apic_base & APIC_BASE_X2APIC) == 0) {
		return write_deadline(vcpu, msr, value);
	}
	if (msr == MSR_X2APIC + APIC_EOI / 0x10 && value == 0) {
		vlapic_eoi(vcpu);
		return true;
	}
	switch (msr) {
	case MSR_X2APIC + APIC_ICR / 0x10:
		vcpu->lapic.regs[APIC_ICR_HIGH / 4] = (uint32_t)(value >> 32);
		if ((value & SELF_MASK) == SELF_FIXED && (value & 0xff) >= 16) {
			vcpu->lapic.regs[APIC_ICR / 4] = (uint32_t)value;
			vlapic_accept_self(vcpu, (uint8_t)value);
			return true;
		}
		value = (uint32_t)value;
		break;
	case MSR_X2APIC + APIC_TPR / 0x10:
		most = 0xff;
		break;
	case MSR_X2APIC + APIC_SELF_IPI / 0x10:
	case MSR_X2APIC + APIC_TIMER_INITIAL / 0x10:
		break;
	default:
		return write_deadline(vcpu, msr, value);
	}
	if (value <= most) {
		vlapic_write(vcpu, (msr - MSR_X2APIC) * 0x10, (uint32_t)value);
	}
	return value <= most;
}
