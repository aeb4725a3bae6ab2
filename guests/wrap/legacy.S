/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of long mode into 32-bit paging (SDM 3A 10.8.5.4), with the last page below 4 GiB mapped to wrap_top_page; then CPUID at its end,
 * the far jump at 0, and the verdict. Whoever does not come there gives none.
 */
	.text
	.code64
	.globl wrap_legacy
wrap_legacy:
	cli
	mov	%edi, %esi
	push	$0x18
	lea	1f(%rip), %rax
	push	%rax
	lretq

	.code32
1:	mov	%cr0, %eax
	and	$0x7fffffff, %eax
	mov	%eax, %cr0
	mov	$0xc0000080, %ecx
	rdmsr
	and	$~0x100, %eax
	wrmsr
	mov	$0x10, %eax		/* PSE, no PAE */
	mov	%eax, %cr4
	mov	$0x83, %eax
	xor	%ecx, %ecx
2:	mov	%eax, directory(, %ecx, 4)
	add	$0x400000, %eax
	inc	%ecx
	cmp	$1024, %ecx
	jne	2b
	movl	$table + 3, directory + 1023 * 4
	movl	$wrap_top_page + 3, table + 1023 * 4
	mov	$directory, %eax
	mov	%eax, %cr3
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	jmp	3f
3:	movb	$0xea, 0
	movl	$4f, 1
	movw	$0x18, 5
	mov	$1, %eax
	mov	$0xfffffffe, %ecx
	jmp	*%ecx

4:	mov	$0x3f8, %edx
5:	lodsb
	test	%al, %al
	jz	6f
	outb	%al, %dx
	jmp	5b
6:	mov	$0xf4, %edx
	xor	%eax, %eax
	outb	%al, %dx
	mov	$0x604, %edx		/* as guest_exit() */
	mov	$0x2000, %eax
	outw	%ax, %dx
7:	hlt
	jmp	7b

	.bss
	.balign	4096
directory:
	.skip	4096
table:
	.skip	4096
