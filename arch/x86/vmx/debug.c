/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debug registers. VMX switches DR7 only; DR0-3 and DR6 are the guest's own once it has touched
 * one, until the pCPU is left: then they wait in vcpu->dr and vcpu->dr6 and MOV DR exits again. The
 * host uses none (an exit leaves DR7 = 0x400, SDM 3C 27.5.1).
 */
#include "arch/x86/vmx/vmx.h"

#define DR6_HITS     GENMASK(3, 0)
#define DR7_ENABLES  GENMASK(7, 0)
#define DR7_GD       BIT(13)
#define DR7_FIXED    BIT(10)
#define DR7_WRITABLE (GENMASK(31, 16) | DR7_GD | BIT(9) | BIT(8) | DR7_ENABLES)
#define DR6_FIXED    0xffff0ff0ull
#define DR6_WRITABLE (DR6_HITS | GENMASK(15, 13))

#define DEFINE_DR(n)                                                  \
	static inline uint64_t dr##n##_read(void)                     \
	{                                                             \
		uint64_t value;                                       \
                                                                      \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(value)); \
		return value;                                         \
	}                                                             \
	static inline void dr##n##_write(uint64_t value)              \
	{                                                             \
		__asm__ volatile("mov %0, %%dr" #n : : "r"(value));   \
	}
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
#undef DEFINE_DR

void vmx_debug_load(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	if (x->is_debug_loaded != 0) {
		return;
	}
	/* An exit leaves DR7 = 0x400, so these mean nothing to the host (SDM 3C 27.5.1). */
	dr0_write(vcpu->dr[0]);
	dr1_write(vcpu->dr[1]);
	dr2_write(vcpu->dr[2]);
	dr3_write(vcpu->dr[3]);
	dr6_write(vcpu->dr6);
	vmx_cpu_controls_set(vcpu, CPU_DR_EXITING, false);
	x->is_debug_loaded = 1;
}

void vmx_debug_save(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	if (x->is_debug_loaded == 0) {
		return;
	}
	vcpu->dr[0] = dr0_read();
	vcpu->dr[1] = dr1_read();
	vcpu->dr[2] = dr2_read();
	vcpu->dr[3] = dr3_read();
	vcpu->dr6 = dr6_read();
	vmx_cpu_controls_set(vcpu, CPU_DR_EXITING, true);
	x->is_debug_armed = (vmcs_read(VMCS_GUEST_DR7) & DR7_ENABLES) != 0;
	x->is_debug_loaded = 0;
}

/* hvm_ops.get_dr: 6 and 7. */
uint64_t vmx_get_dr(struct vcpu *vcpu, uint32_t number)
{
	bool attached = vmx_attach(vcpu);
	uint64_t value;

	if (number == 7) {
		value = vmcs_read(VMCS_GUEST_DR7);
	} else {
		value = vmx_of(vcpu)->is_debug_loaded != 0 ? dr6_read() : vcpu->dr6;
	}
	vmx_detach(vcpu, attached);
	return value;
}

void vmx_set_dr(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	bool attached = vmx_attach(vcpu);

	if (number == 7) {
		vmcs_write(VMCS_GUEST_DR7, (value & DR7_WRITABLE) | DR7_FIXED);
		x->is_debug_armed = (value & DR7_ENABLES) != 0;
	} else {
		vcpu->dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
		if (x->is_debug_loaded != 0) {
			dr6_write(vcpu->dr6);
		}
	}
	vmx_detach(vcpu, attached);
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
