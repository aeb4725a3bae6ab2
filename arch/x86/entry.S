/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into the kernel from ring 3 (SYSCALL, traps, interrupts), the one way back, and idling. APM 2 6.1.1, 8.9; SDM 3A 6.14.
 * Every way in leaves a struct arch_frame; from ring 3 it stands at the top of the pCPU's kernel stack. Interrupts are off throughout.
 * GS is swapped only for the two accesses of the SYSCALL entry; no other code here depends on it, so an NMI may come anywhere.
 */
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/segment.h"
#include "asm_offsets.h"

#define VECTOR_SYSCALL 0x100
/* Vectors whose exception pushes an error code: 8, 10-14, 17, 21, 29, 30 (SDM 3A table 6-1, APM 2 table 8-1). */
#define ERROR_CODE_VECTORS 0x60227d00

	.text
	.macro PUSH_REGISTERS
	.irp register, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	pushq %\register
	.endr
	.endm

	.macro POP_REGISTERS_BUT_RCX_RAX
	.irp register, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx
	popq %\register
	.endr
	.endm

	.balign 64
	.global syscall_entry
/* RCX: ring-3 RIP, R11: its RFLAGS, RSP: ring-3 stack; RFLAGS masked by SFMASK (IF, DF, TF, AC, NT off). */
syscall_entry:
	swapgs
	movq %rsp, %gs:CPU_USER_RSP
	movq %gs:CPU_KERNEL_STACK_TOP, %rsp
	pushq $SELECTOR_USER_DS
	pushq %gs:CPU_USER_RSP
	swapgs
	pushq %r11
	pushq $SELECTOR_USER_CS
	pushq %rcx
	pushq $0
	pushq $VECTOR_SYSCALL
	PUSH_REGISTERS
	movq %rsp, %rdi
	xorl %ebp, %ebp
	call call_handle
	call kernel_leave
	jmp user_return

	.global arch_leave
/* Any stack of this pCPU: forget it. The frame at the top of the kernel stack, whosever it is, stays. */
arch_leave:
	movq %rsp, %rax
	andq $-CPU_SLOT_BYTES, %rax
	movq CPU_KERNEL_STACK_TOP(%rax), %rsp
	subq $FRAME_SIZE, %rsp
	xorl %ebp, %ebp
	call kernel_leave

/* RSP: the ring-3 frame. SYSRET needs a RIP in the lower half (SDM 2B SYSRET: #GP in ring 0 else), and cannot set RF. */
user_return:
	cmpl $VECTOR_SYSCALL, FRAME_VECTOR(%rsp)
	jne user_return_by_iret
	movq FRAME_RIP(%rsp), %rcx
	movq %rcx, %rax
	shrq $47, %rax
	jnz user_return_by_iret
	testl $(RFLAGS_RF | RFLAGS_TF), FRAME_RFLAGS(%rsp)
	jnz user_return_by_iret
	POP_REGISTERS_BUT_RCX_RAX
	movq (FRAME_RFLAGS - FRAME_RCX)(%rsp), %r11
	movq (FRAME_RIP - FRAME_RCX)(%rsp), %rcx
	movq (FRAME_RAX - FRAME_RCX)(%rsp), %rax
	movq (FRAME_RSP - FRAME_RCX)(%rsp), %rsp
	sysretq

/* RSP: a frame of any ring. A fault of the IRETQ itself is ring 3's fault (trap_handle knows the label). */
user_return_by_iret:
	POP_REGISTERS_BUT_RCX_RAX
	popq %rcx
	popq %rax
	addq $16, %rsp
	.global entry_iret
entry_iret:
	iretq

/* RSP: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
trap_common:
	PUSH_REGISTERS
	pushq $RFLAGS_FIXED /* ring 3's AC would switch SMAP off, its DF break string instructions */
	popfq
	movq %rsp, %rdi
	xorl %ebp, %ebp
	call trap_handle
	jmp user_return_by_iret

/* The 256 gates' targets, 16 bytes each: the trap's vector is the stub's number. */
	.balign 16
	.global trap_stubs
trap_stubs:
	vector = 0
	.rept 256
	.balign 16
	.if !((vector < 32) && ((ERROR_CODE_VECTORS >> (vector & 31)) & 1))
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	vector = vector + 1
	.endr

	.balign 16
	.global arch_cpu_idle
/*
 * An interrupt that sets cpu->work after the test is held back by the STI shadow until HLT, and ends it. An NMI ends the shadow: its
 * handler moves RIP past the HLT (trap.c).
 */
arch_cpu_idle:
	movq %rsp, %rax
	andq $-CPU_SLOT_BYTES, %rax
	cmpl $0, CPU_WORK(%rax)
	jne 1f
	sti
	.global entry_idle_halt
entry_idle_halt:
	hlt
	.global entry_idle_end
entry_idle_end:
	cli
1:	ret

	.global stack_switch
/* RDI: new stack top, RSI: function that never returns. */
stack_switch:
	movq %rdi, %rsp
	xorl %ebp, %ebp
	call *%rsi
	ud2

	.section .note.GNU-stack, "", @progbits
