/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupt handlers of a few instructions, so that a wake's figure is the machine's and not ours. They touch no register. Where the
 * hypervisor offers it, an interrupt ends by a bit in memory (guest_eoi_word), as in Linux under KVM. */
#define XAPIC_EOI   0xfee000b0
#define X2APIC_EOI  0x80b

	.text
	.globl bench_wake_xapic, bench_wake_x2apic
bench_wake_xapic:
	incl	bench_wakes
	btrl	$0, guest_eoi_word
	jc	1f
	push	%rax
	mov	$XAPIC_EOI, %eax
	movl	$0, (%rax)
	pop	%rax
1:	iretq

bench_wake_x2apic:
	incl	bench_wakes
	btrl	$0, guest_eoi_word
	jc	1f
	push	%rax
	push	%rcx
	push	%rdx
	mov	$X2APIC_EOI, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	pop	%rdx
	pop	%rcx
	pop	%rax
1:	iretq
	.section .note.GNU-stack, "", @progbits
