/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of arch/x86 and boot/ share, file by file in the order of the start: the hand-over record, the memory map, mappings,
 * pCPUs, interrupts, time. Nothing here is for kernel/ (that is arch.h).
 */
#pragma once

#include "arch/x86/arch.h"
#include "boot/boot_info.h"

/* Linker symbols (arch/x86/kernel.ld). */
extern char image_physical_start[], image_text_start[], image_text_end[], image_rodata_end[],
	image_end[];

/* The machine as the boot path found it: filled by boot/multiboot.c or copied from the UEFI loader's record; then put in order by memory_map_prepare(). */
extern struct boot_info boot_info;
extern uint64_t boot_start_tsc;

/* First C function on the boot stack: from multiboot (magic, information) or from the UEFI loader's record. */
_Noreturn void multiboot_start(uint32_t magic, uint32_t information);
_Noreturn void loader_start(const struct boot_info *info);
_Noreturn void arch_start(void);
/* The rest of the start, on the boot pCPU's own stack. */
_Noreturn void arch_start_on_slot(void);
/* Leave the current stack for good. */
_Noreturn void stack_switch(uint64_t stack_top, void (*function)(void));

/* ---- console.c: a 16550, output only; the domains' own driver is mgmt's ---- */
extern uint16_t console_port; /* 0 = none */
extern uint32_t console_baud;
/* From `console=`, else COM1. First thing after the boot path; uses no memory but its own. */
void console_init(void);

/* ---- memory_map.c ---- */
#define ARCH_PHYSICAL_END BIT(46) /* the direct map ends here */
/* Put the map in order. After this every FREE range is page-aligned, above 1 MiB, and nobody else's. */
void memory_map_prepare(struct boot_info *info);
/* Take the early pages out of the map and count them to the kernel: just before kernel_start. */
void memory_map_finish(struct boot_info *info);
/* A page below 1 MiB that is RAM and nobody's, for the real-mode trampoline; 0 = none. */
extern uint32_t memory_map_low_page;
/* `count` cleared pages in a row, for ever. Until memory_map_finish() out of a FREE range below 4 GiB. Panics when there are none. */
hpa_t arch_early_pages(uint32_t count);

/* ---- paging.c ---- */
/* kernel_pml4 (arch.h): kernel half; every domain's table copies its entries 256..511 */
#define ARCH_CPU_SLOTS 0xffffff0000000000ull
/* Make and load the final kernel page tables. */
void paging_init(void);
/* Map with PTABLE_WRITE, EXECUTE, UNCACHED; always readable. A range that is mapped in part stays as it is. */
void paging_map(uint64_t va, hpa_t pa, uint64_t size, uint32_t flags);
/* Map registers, a screen or a table at an address of its own, for ever. NULL when the window is full or there is no such address. */
void *memory_window(hpa_t pa, uint64_t size, uint32_t flags);

/* ---- cpu.c ---- */
/* Make the slot of pCPU `idx`: record, stacks, TSS. */
struct cpu *cpu_slot_create(uint32_t idx);
/* On the pCPU itself, on its own stack: GDT, IDT, TSS, control registers, MSRs. */
void cpu_init(struct cpu *cpu);
/* Command line: where the value of the last `name=` begins; it ends with a blank or NUL. NULL if the word is absent. */
const char *cmdline_find(const char *name);

/* ---- fpu.c ---- */
/* Enable the state components that are supported (boot pCPU: find them) and put the FPU into its initial state. */
void fpu_cpu_init(struct cpu *cpu);

/* ---- trap.c, machine_check.c (SDM 3B 15) ---- */
/* Vectors of the machine. One list: every pCPU's IDT is the same. */
#define VECTOR_NMI           2u
#define VECTOR_DOUBLE_FAULT  8u
#define VECTOR_PROTECTION    13u
#define VECTOR_PAGE_FAULT    14u
#define VECTOR_MACHINE_CHECK 18u
#define VECTOR_PIC           0x20u /* 16 of them: the masked 8259s' spurious interrupts */
#define VECTOR_GSI_FIRST     0x30u /* machine interrupts, given out upwards */
#define VECTOR_GSI_LAST      0xdfu
#define VECTOR_NET           0xe0u /* QEMU's lost interrupts: see apic.c */
#define VECTOR_POSTED        0xe1u /* the CPU that runs a guest takes it itself; below VECTOR_NOTIFY */
#define VECTOR_TIMER         0xf0u
#define VECTOR_NOTIFY        0xf1u
#define VECTOR_ERROR         0xf2u
#define VECTOR_SPURIOUS      0xffu
/* Called by entry.S with every trap and interrupt. */
void trap_handle(struct arch_frame *frame);
/* Each pCPU: turn the banks on. */
void machine_check_cpu_init(void);
/* #MC, on its own stack: dump all banks. Returns only if every bank's error was corrected. */
void machine_check_handle(const struct arch_frame *frame);

/* ---- apic.c: the local APIC of each pCPU, interrupts in, IPIs out, the one-shot timer (SDM 3A 11) ---- */
extern bool apic_is_x2apic, apic_has_deadline;
/* Boot pCPU: choose the mode, map the registers. */
void apic_init(void);
/* Every pCPU: enable, LVT, timer mode. The boot pCPU takes no machine interrupts before apic_accept_all(). */
void apic_cpu_init(void);
void apic_accept_all(void);
uint32_t apic_id_read(void);
void apic_eoi(void);
/* Send ICR bits 19:0 to one local APIC (ignored with a shorthand). */
void apic_ipi_send(uint32_t apic_id, uint32_t icr_low);
/* An interrupt (vector 20h and up) arrived: handle it and end it. */
void apic_interrupt(uint32_t vector);
/* Where there are no deadlines: the raw countdown, for time.c, which then says how many ticks pass in how many of the TSC. */
void apic_timer_count_start(void);
uint32_t apic_timer_count_elapsed(void);
void apic_timer_set_rate(uint64_t ticks, uint64_t tsc);

/* ---- ioapic.c: arch_gsi_* and arch_ioapic_add() of arch.h ---- */
/* Mask the 8259s. Before LINT0 is masked, so that what they have raised goes away and does not stay pending in the CPU. */
void pic_mask(void);

/* ---- time.c ---- */
#define PORT_SYSTEM_CONTROL 0x61u
/* Set arch_tsc_hz and the APIC timer's rate; prints how it was found. Boot pCPU, after apic_cpu_init. */
void time_init(void);
/* Start the 8254's channel 0 as a rate generator. */
void time_pit_start(uint32_t hz);

/* ---- smp.c ---- */
/* Turn virtualisation on for this pCPU where the machine has it. */
void smp_hvm_on(void);
_Noreturn void smp_ap_start(void);
