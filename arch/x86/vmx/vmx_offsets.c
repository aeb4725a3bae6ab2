/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets for switch.S. Compiled to assembly only; the build turns each line into a #define. */
#include "arch/x86/vmx/vmx.h"

#define OFFSET(name, member) \
	__asm__ volatile("\n->" #name " %0" : : "i"(offsetof(struct vcpu, member)))
#define OFFSET_PRIVATE(name, member) \
	__asm__ volatile(            \
		"\n->" #name " %0"   \
		:                    \
		: "i"(offsetof(struct vcpu, hvm_private) + offsetof(struct vmx_vcpu, member)))

void vmx_offsets(void);
void vmx_offsets(void)
{
	OFFSET(VMX_VCPU_RAX, gpr[BH_GPR_RAX]);
	OFFSET(VMX_VCPU_RCX, gpr[BH_GPR_RCX]);
	OFFSET(VMX_VCPU_RDX, gpr[BH_GPR_RDX]);
	OFFSET(VMX_VCPU_RBX, gpr[BH_GPR_RBX]);
	OFFSET(VMX_VCPU_RBP, gpr[BH_GPR_RBP]);
	OFFSET(VMX_VCPU_RSI, gpr[BH_GPR_RSI]);
	OFFSET(VMX_VCPU_RDI, gpr[BH_GPR_RDI]);
	OFFSET(VMX_VCPU_R8, gpr[BH_GPR_R8]);
	OFFSET(VMX_VCPU_R9, gpr[BH_GPR_R9]);
	OFFSET(VMX_VCPU_R10, gpr[BH_GPR_R10]);
	OFFSET(VMX_VCPU_R11, gpr[BH_GPR_R11]);
	OFFSET(VMX_VCPU_R12, gpr[BH_GPR_R12]);
	OFFSET(VMX_VCPU_R13, gpr[BH_GPR_R13]);
	OFFSET(VMX_VCPU_R14, gpr[BH_GPR_R14]);
	OFFSET(VMX_VCPU_R15, gpr[BH_GPR_R15]);
	OFFSET_PRIVATE(VMX_VCPU_HOST_RSP, host_rsp);
	OFFSET_PRIVATE(VMX_VCPU_IS_LAUNCHED, is_launched);
}
