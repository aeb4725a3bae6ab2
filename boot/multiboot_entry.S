/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First instructions of the kernel, by three ways: multiboot 1 and 2 in 32-bit protected mode, and the UEFI loader in long mode.
 * Makes the boot page tables (first 4 GiB at 0, at the direct map, and first 1 GiB at the image), the stack-protector guard and the boot stack, then
 * goes to C. Runs at its physical address; uses no memory outside the image. Multiboot 0.6.96 3.1; Multiboot 2 3.1; SDM 3A 9.8.5.
 */
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/reg/segment.h"

#define IMAGE_VIRTUAL_OFFSET 0xffffffff80000000 /* as in arch/x86/kernel.ld */
#define PHYSICAL(symbol) (symbol - IMAGE_VIRTUAL_OFFSET)
#define BOOT_STACK_SIZE 8192

#define MULTIBOOT1_MAGIC 0x1badb002
#define MULTIBOOT1_FLAGS 0x00010003 /* modules page-aligned, memory map wanted, address fields valid */
#define MULTIBOOT2_MAGIC 0xe85250d6

	.section .multiboot, "a"
	.balign 8
multiboot1_header:
	.long MULTIBOOT1_MAGIC
	.long MULTIBOOT1_FLAGS
	.long -(MULTIBOOT1_MAGIC + MULTIBOOT1_FLAGS)
	.long multiboot1_header
	.long image_physical_start
	.long image_load_end
	.long image_physical_end
	.long multiboot_entry

	/* No framebuffer tag: with one, GRUB 2.06 overruns its own record on Bochs's BIOS (seen: "free magic is broken"). A screen that is
	   already graphical is told of anyway. */
	.balign 8
multiboot2_header:
	.long MULTIBOOT2_MAGIC
	.long 0 /* i386 */
	.long multiboot2_header_end - multiboot2_header
	.long -(MULTIBOOT2_MAGIC + multiboot2_header_end - multiboot2_header)
	.balign 8 /* entry address */
	.short 3, 0
	.long 12
	.long multiboot_entry
	.balign 8 /* console: text is fine */
	.short 4, 1
	.long 12
	.long 2
	.balign 8 /* modules page-aligned */
	.short 6, 0
	.long 8
	.balign 8
	.short 0, 0
	.long 8
multiboot2_header_end:

/*
 * PML4[0] = PML4[256] -> one PDPT -> four PDs of 2 MiB pages = first 4 GiB. PML4[511] -> PDPT[510] -> first PD.
 * A macro, because 32-bit and 64-bit code index by different registers. Clobbers RAX, RCX.
 */
	.macro BOOT_TABLES_MAKE index
	movl $PHYSICAL(boot_pdpt) + 3, %eax
	movl %eax, PHYSICAL(boot_pml4)
	movl %eax, PHYSICAL(boot_pml4) + 256 * 8
	movl $PHYSICAL(boot_pdpt_image) + 3, %eax
	movl %eax, PHYSICAL(boot_pml4) + 511 * 8
	movl $PHYSICAL(boot_pd) + 3, %eax
	movl %eax, PHYSICAL(boot_pdpt_image) + 510 * 8
	xorl %ecx, %ecx
1:	movl %eax, PHYSICAL(boot_pdpt)(, \index, 8)
	addl $4096, %eax
	incl %ecx
	cmpl $4, %ecx
	jb 1b
	xorl %ecx, %ecx
	movl $(PTE_PRESENT | PTE_WRITE | PTE_LARGE), %eax
2:	movl %eax, PHYSICAL(boot_pd)(, \index, 8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jb 2b
	.endm

	.section .boot, "ax"
	.code32
	.global multiboot_entry
/* EAX: the loader's magic, EBX: its information; 32-bit flat segments, no stack. */
multiboot_entry:
	cli
	cld
	movl %eax, %esi
	movl %ebx, %edi
	movl $PHYSICAL(boot_stack_top), %esp
	rdtsc
	movl %eax, PHYSICAL(boot_start_tsc)
	movl %edx, PHYSICAL(boot_start_tsc) + 4
	movl $0x80000000, %eax
	cpuid
	cmpl $0x80000001, %eax
	jb no_long_mode
	movl $0x80000001, %eax
	cpuid
	btl $29, %edx
	jnc no_long_mode
	btl $20, %edx
	jnc no_long_mode
	BOOT_TABLES_MAKE %ecx
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYSICAL(boot_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	xorl %edx, %edx
	movl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
	movl %eax, %cr0
	lgdt boot_gdt_pointer
	ljmpl $SELECTOR_KERNEL_CS, $multiboot_entry64

/* The CPU has no long mode or no NX: say so on COM1 and in VGA text memory, and stop. */
no_long_mode:
	movl $no_long_mode_text, %esi
	movl $0xb8000, %edi
	movb $0x0f, %ah
1:	lodsb
	testb %al, %al
	jz 2f
	stosw
	movw $0x3f8, %dx
	outb %al, %dx
	jmp 1b
2:	hlt
	jmp 2b
no_long_mode_text:
	.asciz "Bulkhead: this CPU has no 64-bit mode with NX; an x86-64 CPU is needed\r\n"

	.code64
multiboot_entry64:
	call boot_segments_load
	movl %esi, %esi
	movl %edi, %eax
	movl %esi, %edi
	movl %eax, %esi
	movabsq $multiboot_start, %rax
	jmp boot_enter_c

	.global kernel_entry64
/* RDI: struct boot_info, physical; long mode with an identity map, interrupts off. */
kernel_entry64:
	cli
	cld
	rdtsc
	movl %eax, PHYSICAL(boot_start_tsc)
	movl %edx, PHYSICAL(boot_start_tsc) + 4
	movl $PHYSICAL(boot_stack_top), %esp
	BOOT_TABLES_MAKE %rcx
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_NXE, %eax
	wrmsr
	movq %cr4, %rax
	andl $~(CR4_PGE | CR4_PCIDE), %eax
	movq %rax, %cr4
	movl $PHYSICAL(boot_pml4), %eax
	movq %rax, %cr3
	movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
	movq %rax, %cr0
	lgdt boot_gdt_pointer
	call boot_segments_load
	movabsq $loader_start, %rax
	jmp boot_enter_c

/* Reload all segment registers from the boot GDT. Clobbers RAX. */
boot_segments_load:
	popq %rax
	pushq $SELECTOR_KERNEL_CS
	pushq %rax
	movl $SELECTOR_KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	lretq

/* RAX: the C function; RDI, RSI: its arguments. Leaves the identity map's stack for the same one in the image. */
boot_enter_c:
	movq $boot_stack_top, %rsp
	xorl %ebp, %ebp
	movq boot_start_tsc, %rdx
	movabsq $0x9e3779b97f4a7c15, %rcx
	imulq %rcx, %rdx
	xorb %dl, %dl /* a zero byte stops string overruns */
	movq %rdx, __stack_chk_guard
	call *%rax
	ud2

	.code32
	.global boot_ap_entry32
/* Another pCPU, from the real-mode trampoline (arch/x86/trampoline.S): protected mode with the boot GDT, no stack. The tables are made. */
boot_ap_entry32:
	movl $SELECTOR_KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PHYSICAL(boot_pml4), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	xorl %edx, %edx
	movl $(EFER_LME | EFER_NXE), %eax
	wrmsr
	movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
	movl %eax, %cr0
	ljmpl $SELECTOR_KERNEL_CS, $1f
	.code64
1:	movabsq $smp_ap_entry, %rax
	jmp *%rax

	.balign 8
	.global boot_gdt
boot_gdt:
	.quad 0, GDT_KERNEL_CS, GDT_KERNEL_DS, GDT_BOOT_CS32
boot_gdt_pointer:
	.short boot_gdt_pointer - boot_gdt - 1
	.long boot_gdt
	.long 0

	.bss
	.balign 4096
	.global boot_pml4
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pdpt_image: .skip 4096
boot_pd: .skip 4 * 4096
boot_stack: .skip BOOT_STACK_SIZE
boot_stack_top:
	.balign 8
	.global boot_start_tsc
boot_start_tsc: .skip 8

	.section .note.GNU-stack, "", @progbits
