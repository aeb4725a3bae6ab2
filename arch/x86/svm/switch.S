/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world switch of AMD-V (APM 2 15.5, 15.17). GIF stays 0 from the CLGI at the way in to the STGI at the way out: a machine
 * interrupt, NMI or #MC that comes meanwhile waits, and the next VMRUN leaves at once for it (all are intercepted).
 * Host IF is 1 between them, because VMRUN copies it to the flag that lets physical interrupts interrupt the guest
 * whatever the guest's own IF says (V_INTR_MASKING, APM 2 15.21.1).
 *
 * VMRUN itself switches RAX, RSP, RIP, RFLAGS, CS SS DS ES, GDTR, IDTR, CR0 CR3 CR4, EFER. VMLOAD and VMSAVE switch FS, GS, LDTR, TR,
 * KernelGS, STAR.., SYSENTER.. and are done on the slow way only: C code between two VMRUNs runs with the guest's, which it never uses
 * (the kernel's per-CPU record is found by RSP, and no interrupt that would need TR can come while GIF is 0).
 *
 * Guest registers that the C ABI makes a function keep (RBP, R12-R15) stay in the CPU over a fast exit.
 */
#include "asm_offsets.h"

	.text
	.global svm_switch
	.type svm_switch, @function
/*
 * void svm_switch(struct vcpu *vcpu, hpa_t host_vmcb)
 * In:  RDI = vcpu, RSI = physical address of the VMCB that holds the host's VMLOAD state. IF=0, GIF=1.
 * Out: the same, guest registers in vcpu->gpr but for RAX and RSP, which are in the VMCB with all else.
 */
	.balign 64
svm_switch:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rsi
	push %rdi
	sub $8, %rsp
	/* Stack: 0 filler (16-byte alignment at the call), 8 vcpu, 16 host VMCB, then the callee-saved registers. */
	clgi
	sti
	mov SVM_VCPU_VMCB_PA(%rdi), %rax
	vmload %rax
	mov SVM_VCPU_RBP(%rdi), %rbp
	mov SVM_VCPU_R12(%rdi), %r12
	mov SVM_VCPU_R13(%rdi), %r13
	mov SVM_VCPU_R14(%rdi), %r14
	mov SVM_VCPU_R15(%rdi), %r15

/*
 * Here: RDI = vcpu, RAX = the VMCB's physical address; RBP, R12-R15 and the VMLOAD state are the guest's; all else is scratch.
 * GIF=0, IF=1.
 */
.Lenter:
	mov SVM_VCPU_RCX(%rdi), %rcx
	mov SVM_VCPU_RDX(%rdi), %rdx
	mov SVM_VCPU_RBX(%rdi), %rbx
	mov SVM_VCPU_RSI(%rdi), %rsi
	mov SVM_VCPU_R8(%rdi), %r8
	mov SVM_VCPU_R9(%rdi), %r9
	mov SVM_VCPU_R10(%rdi), %r10
	mov SVM_VCPU_R11(%rdi), %r11
	mov SVM_VCPU_RDI(%rdi), %rdi
	/* Nothing of the host is in a register but RAX and RSP, which VMRUN puts aside. */
	vmrun %rax

/*
 * Here after an exit, or after a VMRUN that was refused: RAX = the VMCB's physical address and RSP = our stack; every other general
 * register is the guest's. GIF=0, IF=1.
 */
	mov 8(%rsp), %rax
	mov %rcx, SVM_VCPU_RCX(%rax)
	mov %rdx, SVM_VCPU_RDX(%rax)
	mov %rbx, SVM_VCPU_RBX(%rax)
	mov %rsi, SVM_VCPU_RSI(%rax)
	mov %rdi, SVM_VCPU_RDI(%rax)
	mov %r8, SVM_VCPU_R8(%rax)
	mov %r9, SVM_VCPU_R9(%rax)
	mov %r10, SVM_VCPU_R10(%rax)
	mov %r11, SVM_VCPU_R11(%rax)
	mov %rax, %rdi
	call *svm_exit_fast(%rip)
	/* RAX = where to go on: the VMCB's physical address, or 0 for the slow way. */
	mov 8(%rsp), %rdi
	test %rax, %rax
	jnz .Lenter

/*
 * The slow way out. RDI = vcpu; RBP, R12-R15 are still the guest's; all else is scratch.
 * The host's TR must be back before STGI: an NMI that waits is taken right there, on a stack of our TSS.
 */
	mov %rbp, SVM_VCPU_RBP(%rdi)
	mov %r12, SVM_VCPU_R12(%rdi)
	mov %r13, SVM_VCPU_R13(%rdi)
	mov %r14, SVM_VCPU_R14(%rdi)
	mov %r15, SVM_VCPU_R15(%rdi)
	mov SVM_VCPU_VMCB_PA(%rdi), %rax
	vmsave %rax
	mov 16(%rsp), %rax
	vmload %rax
	cli
	stgi
	add $24, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size svm_switch, . - svm_switch

	.section .note.GNU-stack, "", @progbits
