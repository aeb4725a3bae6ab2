/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The general registers of both world switches (assembly only). What the C ABI makes a function keep (RBP, R12-R15) goes in and out with
 * the slow path and stays in the CPU over a fast exit; the rest but RAX and RSP is exchanged each time.
 */
#pragma once

/* clang-format off */
#ifdef __ASSEMBLER__

#include "asm_offsets.h"

	/* The host's own, before and after all else. */
	.macro HOST_REGISTERS operation, registers:vararg
	.irp register, \registers
	\operation %\register
	.endr
	.endm
#define HOST_PUSH HOST_REGISTERS push, rbp, rbx, r12, r13, r14, r15
#define HOST_POP  HOST_REGISTERS pop, r15, r14, r13, r12, rbx, rbp

	/* RDI = vcpu */
	.macro GUEST_LOAD_KEPT
	mov VCPU_RBP(%rdi), %rbp
	mov VCPU_R12(%rdi), %r12
	mov VCPU_R13(%rdi), %r13
	mov VCPU_R14(%rdi), %r14
	mov VCPU_R15(%rdi), %r15
	.endm

	.macro GUEST_SAVE_KEPT
	mov %rbp, VCPU_RBP(%rdi)
	mov %r12, VCPU_R12(%rdi)
	mov %r13, VCPU_R13(%rdi)
	mov %r14, VCPU_R14(%rdi)
	mov %r15, VCPU_R15(%rdi)
	.endm

	/* RDI = vcpu, and the guest's after it. */
	.macro GUEST_LOAD_SCRATCH
	mov VCPU_RCX(%rdi), %rcx
	mov VCPU_RDX(%rdi), %rdx
	mov VCPU_RBX(%rdi), %rbx
	mov VCPU_RSI(%rdi), %rsi
	mov VCPU_R8(%rdi), %r8
	mov VCPU_R9(%rdi), %r9
	mov VCPU_R10(%rdi), %r10
	mov VCPU_R11(%rdi), %r11
	mov VCPU_RDI(%rdi), %rdi
	.endm

	/* `vcpu`: the register that holds it. Not RDI, which may be that one. */
	.macro GUEST_SAVE_SCRATCH vcpu
	mov %rcx, VCPU_RCX(\vcpu)
	mov %rdx, VCPU_RDX(\vcpu)
	mov %rbx, VCPU_RBX(\vcpu)
	mov %rsi, VCPU_RSI(\vcpu)
	mov %r8, VCPU_R8(\vcpu)
	mov %r9, VCPU_R9(\vcpu)
	mov %r10, VCPU_R10(\vcpu)
	mov %r11, VCPU_R11(\vcpu)
	.endm

#endif
