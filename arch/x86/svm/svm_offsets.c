/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets for switch.S. Compiled to assembly only; the build turns each line into a #define. */
#include "arch/x86/svm/vmcb.h"
#include "kernel/vcpu.h"

#define OFFSET(name, type, member) \
	__asm__ volatile("\n->" #name " %0" : : "i"(offsetof(struct type, member)))

void svm_offsets(void);
void svm_offsets(void)
{
	OFFSET(SVM_VCPU_RCX, vcpu, gpr[BH_GPR_RCX]);
	OFFSET(SVM_VCPU_RDX, vcpu, gpr[BH_GPR_RDX]);
	OFFSET(SVM_VCPU_RBX, vcpu, gpr[BH_GPR_RBX]);
	OFFSET(SVM_VCPU_RBP, vcpu, gpr[BH_GPR_RBP]);
	OFFSET(SVM_VCPU_RSI, vcpu, gpr[BH_GPR_RSI]);
	OFFSET(SVM_VCPU_RDI, vcpu, gpr[BH_GPR_RDI]);
	OFFSET(SVM_VCPU_R8, vcpu, gpr[BH_GPR_R8]);
	OFFSET(SVM_VCPU_R9, vcpu, gpr[BH_GPR_R9]);
	OFFSET(SVM_VCPU_R10, vcpu, gpr[BH_GPR_R10]);
	OFFSET(SVM_VCPU_R11, vcpu, gpr[BH_GPR_R11]);
	OFFSET(SVM_VCPU_R12, vcpu, gpr[BH_GPR_R12]);
	OFFSET(SVM_VCPU_R13, vcpu, gpr[BH_GPR_R13]);
	OFFSET(SVM_VCPU_R14, vcpu, gpr[BH_GPR_R14]);
	OFFSET(SVM_VCPU_R15, vcpu, gpr[BH_GPR_R15]);
	OFFSET(SVM_VCPU_VMCB_PA, vcpu, hvm_page);
}
