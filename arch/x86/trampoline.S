/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another pCPU executes first after the startup IPI: real mode at a page below 1 MiB, to which smp.c copies this (SDM 3A 8.4.4).
 * Position-independent; goes on in the boot section of the image, then at smp_ap_entry.
 */
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/segment.h"

	.section .rodata
	.code16
	.global trampoline_start, trampoline_end
trampoline_start:
	cli
	cld
	lgdtl %cs:(trampoline_gdt_pointer - trampoline_start)
	movl $(CR0_PE | CR0_ET), %eax
	movl %eax, %cr0
	ljmpl $SELECTOR_BOOT_CS32, $boot_ap_entry32
	.balign 8
trampoline_gdt_pointer:
	.short 4 * 8 - 1
	.long boot_gdt
trampoline_end:

	.text
	.code64
	.global smp_ap_entry
/* Long mode, boot page tables (image mapped), no stack. smp.c starts one pCPU at a time: smp_ap_stack is this one's. */
smp_ap_entry:
	movq kernel_pml4, %rax
	movq %rax, %cr3
	movq smp_ap_stack, %rsp
	xorl %ebp, %ebp
	call smp_ap_start
	ud2

	.section .note.GNU-stack, "", @progbits
