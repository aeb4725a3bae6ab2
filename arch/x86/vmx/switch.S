/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world switch of VT-x (SDM 3C 26, 27). The VMCS holds all of the host that an exit needs but
 * the general registers; IF=0 throughout, and external interrupts and NMIs exit, so what comes
 * while the guest runs is taken after the exit.
 *
 * Guest registers that the C ABI makes a function keep (RBP, R12-R15) stay in the CPU over a fast
 * exit. Stack, from HOST_RSP up: 0 vcpu, then the callee-saved registers, then the return address.
 * 16-byte aligned at the call.
 */
#include "arch/x86/vmx/vmcs.h"
#include "asm_offsets.h"

	.text
/* RDI = vcpu. What the C ABI lets a function change. */
	.macro LOAD_SCRATCH_REGISTERS
	mov VMX_VCPU_RAX(%rdi), %rax
	mov VMX_VCPU_RCX(%rdi), %rcx
	mov VMX_VCPU_RDX(%rdi), %rdx
	mov VMX_VCPU_RBX(%rdi), %rbx
	mov VMX_VCPU_RSI(%rdi), %rsi
	mov VMX_VCPU_R8(%rdi), %r8
	mov VMX_VCPU_R9(%rdi), %r9
	mov VMX_VCPU_R10(%rdi), %r10
	mov VMX_VCPU_R11(%rdi), %r11
	mov VMX_VCPU_RDI(%rdi), %rdi
	.endm

	.global vmx_switch
	.type vmx_switch, @function
/*
 * bool vmx_switch(struct vcpu *vcpu) In:  RDI = vcpu, its VMCS current. IF=0. Out: RAX = 0: an exit
 * for the slow path; 1: the CPU did not enter. Guest registers in vcpu->gpr but for RSP, which is
 * in the VMCS.
 */
	.balign 64
vmx_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	cmp %rsp, VMX_VCPU_HOST_RSP(%rdi)
	je 1f
	mov $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	mov %rsp, VMX_VCPU_HOST_RSP(%rdi)
1:
	mov VMX_VCPU_RBP(%rdi), %rbp
	mov VMX_VCPU_R12(%rdi), %r12
	mov VMX_VCPU_R13(%rdi), %r13
	mov VMX_VCPU_R14(%rdi), %r14
	mov VMX_VCPU_R15(%rdi), %r15
	cmpl $0, VMX_VCPU_IS_LAUNCHED(%rdi)
	jne .Lenter
	LOAD_SCRATCH_REGISTERS
	/*
	 * The first entry since VMCLEAR. Nothing of the host is in a register but RSP, which the
	 * entry replaces.
	 */
	vmlaunch
	mov (%rsp), %rdi
	jmp .Lrefused

/* Here: RDI = vcpu, RSP = HOST_RSP; RBP, R12-R15 are the guest's; all else is scratch. */
	.balign 16
.Lenter:
	LOAD_SCRATCH_REGISTERS
	/* Nothing of the host is in a register but RSP, which the entry replaces. */
	vmresume
	mov (%rsp), %rdi
	movl $1, VMX_VCPU_IS_LAUNCHED(%rdi)

/*
 * The entry failed before the guest's state was looked at (SDM 3C 26.1, 26.2): the error number is
 * in VMCS_INSTRUCTION_ERROR. RSP is still ours, RDI = vcpu; every other register holds what the
 * guest had.
 */
.Lrefused:
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
	mov %rax, VMX_VCPU_RAX(%rdi)
	mov %rcx, VMX_VCPU_RCX(%rdi)
	mov %rdx, VMX_VCPU_RDX(%rdi)
	mov %rbx, VMX_VCPU_RBX(%rdi)
	mov %rsi, VMX_VCPU_RSI(%rdi)
	mov %r8, VMX_VCPU_R8(%rdi)
	mov %r9, VMX_VCPU_R9(%rdi)
	mov %r10, VMX_VCPU_R10(%rdi)
	mov %r11, VMX_VCPU_R11(%rdi)
	pop VMX_VCPU_RDI(%rdi)
	call vmx_exit_fast
	mov (%rsp), %rdi
	test %al, %al
	jnz .Lenter

	xor %eax, %eax

/* The slow way out. RDI = vcpu, RAX = result, RSP = HOST_RSP; RBP, R12-R15: the guest's. */
.Lsave:
	mov %rbp, VMX_VCPU_RBP(%rdi)
	mov %r12, VMX_VCPU_R12(%rdi)
	mov %r13, VMX_VCPU_R13(%rdi)
	mov %r14, VMX_VCPU_R14(%rdi)
	mov %r15, VMX_VCPU_R15(%rdi)
	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size vmx_switch, . - vmx_switch

	.section .note.GNU-stack, "", @progbits
