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
 */
#include "arch/x86/hvm_switch.h"

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
	HOST_PUSH
	push %rsi
	push %rdi
	sub $8, %rsp
	/* Stack: 0 filler (16-byte alignment at the call), 8 vcpu, 16 host VMCB, then the callee-saved registers. */
	clgi
	sti
	mov VCPU_VMCB_PA(%rdi), %rax
	vmload %rax
	GUEST_LOAD_KEPT

/*
 * Here: RDI = vcpu, RAX = the VMCB's physical address; RBP, R12-R15 and the VMLOAD state are the guest's; all else is scratch.
 * GIF=0, IF=1.
 */
.Lenter:
	GUEST_LOAD_SCRATCH
	/* Nothing of the host is in a register but RAX and RSP, which VMRUN puts aside. */
	vmrun %rax

/*
 * Here after an exit, or after a VMRUN that was refused: RAX = the VMCB's physical address and RSP = our stack; every other general
 * register is the guest's. GIF=0, IF=1.
 */
	mov 8(%rsp), %rax
	GUEST_SAVE_SCRATCH %rax
	mov %rdi, VCPU_RDI(%rax)
	mov %rax, %rdi
	call *hvm_exit_fast(%rip)
	/* RAX = where to go on: the VMCB's physical address, or 0 for the slow way. */
	mov 8(%rsp), %rdi
	test %rax, %rax
	jnz .Lenter

/*
 * The slow way out. RDI = vcpu; RBP, R12-R15 are still the guest's; all else is scratch.
 * The host's TR must be back before STGI: an NMI that waits is taken right there, on a stack of our TSS.
 */
	GUEST_SAVE_KEPT
	mov VCPU_VMCB_PA(%rdi), %rax
	vmsave %rax
	mov 16(%rsp), %rax
	vmload %rax
	cli
	stgi
	add $24, %rsp
	HOST_POP
	ret
	.size svm_switch, . - svm_switch

	.section .note.GNU-stack, "", @progbits
