/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DR6 and DR7. VMX switches DR7 only; DR0-3 and DR6 are in the CPU while the vCPU is its pCPU's
 * current one (kernel/vcpu.c puts them there). The host uses none: an exit leaves DR7 = 0x400
 * (SDM 3C 27.5.1).
 */
#include "arch/x86/vmx/vmx.h"

#define DR6_HITS GENMASK(3, 0)
#define DR7_GD   BIT(13)

/* hvm_ops.get_dr: 6 and 7. */
uint64_t vmx_get_dr(struct vcpu *vcpu, uint32_t number)
{
	uint64_t value;

	(void)vcpu;
	if (number == 7) {
		return vmcs_read(VMCS_GUEST_DR7);
	}
	__asm__ volatile("mov %%dr6, %0" : "=r"(value));
	return value;
}

/* hvm_ops.set_dr. The caller has checked the value. */
void vmx_set_dr(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	if (number == 7) {
		vmcs_write(VMCS_GUEST_DR7, value);
	} else {
		vcpu->dr6 = value;
		__asm__ volatile("mov %0, %%dr6" : : "r"(value));
	}
}

void vmx_debug_exception(struct vcpu *vcpu, uint64_t qualification)
{
	uint64_t dr6 = vmx_get_dr(vcpu, 6) & ~DR6_HITS;
	uint64_t dr7 = vmcs_read(VMCS_GUEST_DR7);

	dr6 |= qualification &
	       (QUALIFICATION_DEBUG_HITS | QUALIFICATION_DEBUG_ACCESS | QUALIFICATION_DEBUG_STEP);
	vmx_set_dr(vcpu, 6, dr6);
	if ((dr7 & DR7_GD) != 0) {
		vmcs_write(VMCS_GUEST_DR7, dr7 & ~DR7_GD);
	}
}
