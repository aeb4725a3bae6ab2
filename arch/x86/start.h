/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of arch/x86 and boot/ share at start: the hand-over record, the memory map, early pages, mappings, the steps of the
 * start in order. Nothing here is for kernel/ (that is arch.h).
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

/* Sort, merge, cut out image and modules, drop what cannot be used. After this every FREE range is page-aligned and above 1 MiB. */
void memory_map_prepare(struct boot_info *info);
/* Take the early pages out of the map: just before kernel_start. */
void memory_map_finish(struct boot_info *info);
uint64_t memory_map_early_bytes(void);
/* A page below 1 MiB that is RAM and nobody's, for the real-mode trampoline; 0 = none. */
uint32_t memory_map_low_page(void);
/* One cleared page, taken from the front of a FREE range below 4 GiB. For ever. Panics when there is none. Before kernel_start only. */
hpa_t arch_early_page(void);
/* `count` pages in a row, the same way. */
hpa_t arch_early_pages(uint32_t count);

/* ---- arch/x86/paging.c ---- */
/* kernel_pml4 (arch.h): kernel half; every domain's table copies its entries 256..511 */
#define ARCH_CPU_SLOTS 0xffffff0000000000ull
/* Make and load the final kernel page tables. */
void paging_init(void);
/* On every pCPU, once: NX, WP, global pages. */
void paging_cpu_load(void);
#define MAP_WRITE    0x1u
#define MAP_EXECUTE  0x2u
#define MAP_UNCACHED 0x4u
void paging_map(uint64_t va, hpa_t pa, uint64_t size, uint32_t flags);
/* Is this one page there? */
bool paging_is_mapped(uint64_t va);
/* Map device memory uncached, for ever. NULL when the window is full. */
volatile void *device_map(hpa_t pa, uint64_t size);
/* Bytes at `pa` for reading: firmware tables. In the direct map when it is there, else in the device window (cached). NULL: window full. */
const void *firmware_map(hpa_t pa, uint64_t size);

/* ---- arch/x86/cpu.c ---- */
/* Make the slot of pCPU `idx`: record, stacks, descriptor tables. */
struct cpu *cpu_slot_create(uint32_t idx, uint32_t apic_id);
/* On the pCPU itself, on its own stack: GDT, IDT, TSS, control registers, MSRs. */
void cpu_init(struct cpu *cpu);
/* Command line: value of `name=`; false if absent. Words are separated by blanks; the last one wins. */
bool cmdline_value(const char *name, char *value, size_t size);
uint64_t cmdline_number(const char *name, uint64_t fallback);
