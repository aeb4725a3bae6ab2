/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PVH way in (Xen's docs/misc/pvh.pandoc): 32-bit protected mode, EBX = the start record. A multiboot record with the command line is
 * made of it, and the rest is as with multiboot.
 */
#define MULTIBOOT_LOADED     0x2badb002
#define MULTIBOOT_CMDLINE    0x4	/* flag: the field below is valid */
#define MULTIBOOT_AT_CMDLINE 16
#define PVH_AT_CMDLINE       24
#define XEN_PHYS32_ENTRY     18		/* note type XEN_ELFNOTE_PHYS32_ENTRY */

	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 4, XEN_PHYS32_ENTRY
	.asciz	"Xen"
	.long	pvh_entry

	.text
	.code32
pvh_entry:
	cli
	movl	PVH_AT_CMDLINE(%ebx), %eax
	test	%eax, %eax
	jz	1f
	movl	%eax, pvh_info + MULTIBOOT_AT_CMDLINE
	movl	$MULTIBOOT_CMDLINE, pvh_info
1:	mov	$MULTIBOOT_LOADED, %eax
	mov	$pvh_info, %ebx
	jmp	guest_entry

	.bss
	.balign	8
pvh_info:
	.skip	128
	.section .note.GNU-stack, "", @progbits
