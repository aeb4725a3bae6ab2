/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1 entry of our guests (Multiboot Specification 0.6.96, 3.2): 32-bit protected mode to long mode with the first
 * 4 GiB mapped one to one (2 MiB pages, writable, user), then guest_start(magic, info). Also the way of an application processor
 * from real mode to ap_start(), and the 256 trap stubs.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x3	/* modules page-aligned, memory map wanted */

	.section .multiboot, "a"
	.balign	4
	.long	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.code32
	.globl guest_entry
guest_entry:
	cli
	mov	$boot_stack_top, %esp
	mov	%eax, boot_magic
	mov	%ebx, boot_pointer
	/* PML4[0] -> PDPT; PDPT[0..3] -> 4 page directories of 512 x 2 MiB */
	mov	$boot_pdpt + 7, %eax
	mov	%eax, boot_pml4
	mov	$boot_pd + 7, %eax
	xor	%ecx, %ecx
1:	mov	%eax, boot_pdpt(, %ecx, 8)
	add	$4096, %eax
	inc	%ecx
	cmp	$4, %ecx
	jne	1b
	mov	$0x87, %eax
	xor	%ecx, %ecx
2:	mov	%eax, boot_pd(, %ecx, 8)
	add	$0x200000, %eax
	inc	%ecx
	cmp	$2048, %ecx
	jne	2b
	call	enter_long_mode
	ljmp	$0x08, $start64

/* CR4.PAE, CR3, EFER.LME, CR0.PG (SDM 3A 10.8.5); the caller's far jump does the rest. */
enter_long_mode:
	mov	%cr4, %eax
	or	$0x20, %eax
	mov	%eax, %cr4
	mov	$boot_pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x900, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80010001, %eax
	and	$0x9fffffff, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ret

	.code64
start64:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	boot_magic, %edi
	mov	boot_pointer, %esi
	xor	%ebp, %ebp
	call	guest_start
	ud2

/* ---- application processors: SIPI vector 8, CS:IP = 0800:0000 (SDM 3A 9.4.4) ---- */
	.globl ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline + 0x8000
	mov	%cr0, %eax
	or	$1, %eax
	mov	%eax, %cr0
	ljmpl	$0x18, $ap_start32
	.balign	4
ap_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	.code32
ap_start32:
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$4096, %esp
	lock xadd %esp, ap_stack_next
	add	$4096, %esp
	call	enter_long_mode
	ljmp	$0x08, $ap_start64
	.code64
ap_start64:
	xor	%ebp, %ebp
	call	ap_start
	ud2

/* ---- traps ---- */
	.globl trap_stubs
	.balign	16
trap_stubs:
	vector = 0
	.rept	256
	.balign	16
	.if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21))
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	vector = vector + 1
	.endr

trap_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	cld
	call	trap_handle
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	.data
	.balign	16
	.globl gdt
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 08: 64-bit code */
	.quad	0x00cf93000000ffff	/* 10: data */
	.quad	0x00cf9b000000ffff	/* 18: 32-bit code */
	.quad	0x00cff3000000ffff	/* 20: user data */
	.quad	0x00affb000000ffff	/* 28: user 64-bit code */
	.quad	0, 0			/* 30: TSS of the boot processor, filled at start */
	.quad	0x008f9b000000ffff	/* 40: 16-bit code */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt
	.globl ap_stack_next
	.balign	8
ap_stack_next:
	.quad	ap_stacks

	.bss
	.balign	4096
	.globl boot_pml4, boot_pdpt, boot_pd
boot_pml4:
	.skip	4096
boot_pdpt:
	.skip	4096
boot_pd:
	.skip	4096 * 4
	.skip	16384
boot_stack_top:
	.globl ap_stacks
ap_stacks:
	.skip	4096 * 64
boot_magic:
	.skip	4
boot_pointer:
	.skip	4
	.section .note.GNU-stack, "", @progbits
