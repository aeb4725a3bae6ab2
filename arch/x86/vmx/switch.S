/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world switch of VT-x (SDM 3C 26, 27). The VMCS holds all of the host that an exit needs but
 * the general registers; IF=0 throughout, and external interrupts and NMIs exit, so what comes
 * while the guest runs is taken after the exit.
 *
 * Stack, from HOST_RSP up: 0 vcpu, then the callee-saved registers, then the return address.
 * 16-byte aligned at the call.
 */
#include "arch/x86/hvm_switch.h"
#include "arch/x86/vmx/vmcs.h"

	.text
	.global vmx_switch
	.type vmx_switch, @function
/*
 * bool vmx_switch(struct vcpu *vcpu) In:  RDI = vcpu, its VMCS current. IF=0. Out: RAX = 0: an exit
 * for the slow path; 1: the CPU did not enter. Guest registers in vcpu->gpr but for RSP, which is
 * in the VMCS.
 */
	.balign 64
vmx_switch:
	HOST_PUSH
	push %rdi
	cmp %rsp, VCPU_VMX_HOST_RSP(%rdi)
	je 1f
	mov $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	mov %rsp, VCPU_VMX_HOST_RSP(%rdi)
1:
	GUEST_LOAD_KEPT
	cmpl $0, VCPU_VMX_IS_LAUNCHED(%rdi)
	jne .Lenter
	mov VCPU_RAX(%rdi), %rax
	GUEST_LOAD_SCRATCH
	/*
	 * The first entry since VMCLEAR. Nothing of the host is in a register but RSP, which the
	 * entry replaces.
	 */
	vmlaunch
	jmp .Lrefused

/* Here: RDI = vcpu, RSP = HOST_RSP; RBP, R12-R15 are the guest's; all else is scratch. */
	.balign 16
.Lenter:
	mov VCPU_RAX(%rdi), %rax
	GUEST_LOAD_SCRATCH
	/* Nothing of the host is in a register but RSP, which the entry replaces. */
	vmresume

/*
 * The entry failed before the guest's state was looked at (SDM 3C 26.1, 26.2): the error number is
 * in VMCS_INSTRUCTION_ERROR. RSP is still ours; every other register holds what the guest had.
 */
.Lrefused:
	mov (%rsp), %rdi
	mov $1, %eax
	jmp .Lsave

	.balign 64
	.global vmx_switch_exit
/*
 * HOST_RIP: here after an exit, also after an entry that failed while loading the guest's state
 * (SDM 3C 26.7). RSP = HOST_RSP; every other general register is the guest's; RFLAGS = 2.
 */
vmx_switch_exit:
	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, VCPU_RAX(%rdi)
	GUEST_SAVE_SCRATCH %rdi
	pop VCPU_RDI(%rdi)
	call *hvm_exit_fast(%rip)
	mov (%rsp), %rdi
	test %rax, %rax
	jnz .Lenter
	xor %eax, %eax

/* The slow way out. RDI = vcpu, RAX = result, RSP = HOST_RSP; RBP, R12-R15: the guest's. */
.Lsave:
	GUEST_SAVE_KEPT
	add $8, %rsp
	HOST_POP
	ret
	.size vmx_switch, . - vmx_switch

	.section .note.GNU-stack, "", @progbits
