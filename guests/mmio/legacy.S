/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uint64_t mmio_legacy(uint32_t cr4, uint32_t cr3, uint32_t cr0_bits): out of long mode into 32-bit code with this paging (SDM 3A
 * 10.8.5.4; cr0_bits is 0 for none), two moves to and from the I/O APIC's select register there, and back. Interrupts must be off.
 * Returns what the moves read: the first below, the second above bit 32.
 */
#define CR0_PG   0x80000000
#define CR4_PAE  0x20
#define EFER     0xc0000080
#define LME      0x100
#define SELECT   0xfec00000

	.text
	.code64
	.globl mmio_legacy
mmio_legacy:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, stack(%rip)
	mov	%edx, %ebp
	push	$0x18
	lea	1f(%rip), %rax
	push	%rax
	lretq

	.code32
1:	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	$EFER, %ecx
	rdmsr
	and	$~LME, %eax
	wrmsr
	mov	%edi, %cr4
	mov	%esi, %cr3
	mov	%cr0, %eax
	or	%ebp, %eax
	mov	%eax, %cr0
	jmp	2f
2:	mov	$SELECT, %ebx
	movl	$0x5a, (%ebx)
	movl	(%ebx), %esi
	addl	$1, (%ebx)
	movzbl	(%ebx), %edi

	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$boot_pml4, %eax
	mov	%eax, %cr3
	mov	$EFER, %ecx
	rdmsr
	or	$LME, %eax
	wrmsr
	mov	%cr0, %eax
	or	$CR0_PG, %eax
	mov	%eax, %cr0
	ljmp	$0x08, $3f

	.code64
3:	mov	stack(%rip), %rsp
	mov	%edi, %eax
	shl	$32, %rax
	mov	%esi, %esi
	or	%rsi, %rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.balign	8
stack:
	.skip	8
