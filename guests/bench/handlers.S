/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt handlers of a few instructions, so that a wake's figure is the machine's and not ours. They touch no register. */
#define XAPIC_EOI   0xfee000b0
#define X2APIC_EOI  0x80b

	.text
	.globl bench_wake_xapic, bench_wake_x2apic
bench_wake_xapic:
	push	%rax
	incl	bench_wakes
	mov	$XAPIC_EOI, %eax
	movl	$0, (%rax)
	pop	%rax
	iretq

bench_wake_x2apic:
	push	%rax
	push	%rcx
	push	%rdx
	incl	bench_wakes
	mov	$X2APIC_EOI, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq
	.section .note.GNU-stack, "", @progbits
