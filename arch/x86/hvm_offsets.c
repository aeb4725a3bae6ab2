/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets for the world switches. Compiled to assembly only; the build turns each line into a #define. */
#include "arch/x86/vmx/vmx.h"

#define OFFSET(name, value) __asm__ volatile("\n->" #name " %0" : : "i"(value))

void hvm_offsets(void);
void hvm_offsets(void)
{
	OFFSET(VCPU_RAX, offsetof(struct vcpu, gpr[BH_GPR_RAX]));
	OFFSET(VCPU_RCX, offsetof(struct vcpu, gpr[BH_GPR_RCX]));
	OFFSET(VCPU_RDX, offsetof(struct vcpu, gpr[BH_GPR_RDX]));
	OFFSET(VCPU_RBX, offsetof(struct vcpu, gpr[BH_GPR_RBX]));
	OFFSET(VCPU_RBP, offsetof(struct vcpu, gpr[BH_GPR_RBP]));
	OFFSET(VCPU_RSI, offsetof(struct vcpu, gpr[BH_GPR_RSI]));
	OFFSET(VCPU_RDI, offsetof(struct vcpu, gpr[BH_GPR_RDI]));
	OFFSET(VCPU_R8, offsetof(struct vcpu, gpr[BH_GPR_R8]));
	OFFSET(VCPU_R9, offsetof(struct vcpu, gpr[BH_GPR_R9]));
	OFFSET(VCPU_R10, offsetof(struct vcpu, gpr[BH_GPR_R10]));
	OFFSET(VCPU_R11, offsetof(struct vcpu, gpr[BH_GPR_R11]));
	OFFSET(VCPU_R12, offsetof(struct vcpu, gpr[BH_GPR_R12]));
	OFFSET(VCPU_R13, offsetof(struct vcpu, gpr[BH_GPR_R13]));
	OFFSET(VCPU_R14, offsetof(struct vcpu, gpr[BH_GPR_R14]));
	OFFSET(VCPU_R15, offsetof(struct vcpu, gpr[BH_GPR_R15]));
	OFFSET(VCPU_VMCB_PA, offsetof(struct vcpu, hvm_page));
	OFFSET(VCPU_VMX_HOST_RSP,
	       offsetof(struct vcpu, hvm_private) + offsetof(struct vmx_vcpu, host_rsp));
	OFFSET(VCPU_VMX_IS_LAUNCHED,
	       offsetof(struct vcpu, hvm_private) + offsetof(struct vmx_vcpu, is_launched));
}
