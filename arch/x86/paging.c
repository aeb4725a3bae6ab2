/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own half of every address space, made once at start (SDM 3A 4.5, APM 2 5.3):
 *   ARCH_DIRECT_MAP      all RAM, RW NX; the image's text and constants only readable there
 *   CPU_SLOTS_BASE       one 64 KiB slot a pCPU
 *   0xffffffff80000000   the image: text RX, constants R, data RW
 *   DEVICE_WINDOW        registers of APICs and HPET, screen
 * No page is writable and executable, by any name. Top-level entries never change after paging_init(): domains copy them.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/start.h"

#define DEVICE_WINDOW      0xffffffffc0000000ull
#define DEVICE_WINDOW_SIZE 0x10000000ull

hpa_t kernel_pml4;

static uint64_t device_next = DEVICE_WINDOW;

static uint64_t *table_of(uint64_t entry)
{
	return phys_to_virt(HPA(entry & PTE_ADDRESS));
}

/* The entry for `va` at `level` (0 = 4K pages, 3 = PML4), tables above it made when absent. NULL if a larger page is in the way. */
static uint64_t *entry_make(uint64_t va, unsigned int level)
{
	uint64_t *table = phys_to_virt(kernel_pml4);

	for (unsigned int at = 3; at > level; at--) {
		uint64_t *entry = &table[(va >> (PAGE_SHIFT + 9 * at)) & 511];

		if (*entry & PTE_LARGE) {
			return NULL;
		}
		if ((*entry & PTE_PRESENT) == 0) {
			*entry = arch_early_page().raw | PTE_PRESENT | PTE_WRITE;
		}
		table = table_of(*entry);
	}
	return &table[(va >> (PAGE_SHIFT + 9 * level)) & 511];
}

static unsigned int level_choose(uint64_t va, uint64_t pa, uint64_t size)
{
	if (feature_has(FEATURE_PAGE_1G) && IS_ALIGNED(va | pa, PAGE_SIZE_1G) &&
	    size >= PAGE_SIZE_1G) {
		return 2;
	}
	return IS_ALIGNED(va | pa, PAGE_SIZE_2M) && size >= PAGE_SIZE_2M ? 1 : 0;
}

void paging_map(uint64_t va, hpa_t pa, uint64_t size, uint32_t flags)
{
	uint64_t bits = PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL;

	CHECK((flags & (MAP_WRITE | MAP_EXECUTE)) != (MAP_WRITE | MAP_EXECUTE));
	bits |= flags & MAP_WRITE ? PTE_WRITE : 0;
	bits |= flags & MAP_EXECUTE ? 0 : PTE_NX;
	bits |= flags & MAP_UNCACHED ? PTE_PCD | PTE_PWT : 0;
	while (size != 0) {
		unsigned int level = level_choose(va, pa.raw, size);
		uint64_t step = PAGE_SIZE << (9 * level);
		uint64_t *entry = entry_make(va, level);

		if (entry != NULL && (*entry & PTE_PRESENT) == 0) {
			*entry = pa.raw | bits | (level != 0 ? PTE_LARGE : 0);
		}
		va += step;
		pa.raw += step;
		size -= step;
	}
}

bool paging_is_mapped(uint64_t va)
{
	const uint64_t *table = phys_to_virt(kernel_pml4);

	for (unsigned int level = 3;; level--) {
		uint64_t entry = table[(va >> (PAGE_SHIFT + 9 * level)) & 511];

		if ((entry & PTE_PRESENT) == 0) {
			return false;
		}
		if (level == 0 || (entry & PTE_LARGE)) {
			return true;
		}
		table = table_of(entry);
	}
}

static void *window_map(hpa_t pa, uint64_t size, uint32_t flags)
{
	uint64_t unit = size >= PAGE_SIZE_2M ? PAGE_SIZE_2M : PAGE_SIZE;
	uint64_t base = ALIGN_DOWN(pa.raw, unit), end = ALIGN_UP(pa.raw + size, unit);
	uint64_t va = ALIGN_UP(device_next, unit);

	if (end < base || end - base > DEVICE_WINDOW + DEVICE_WINDOW_SIZE - va) {
		return NULL;
	}
	device_next = va + (end - base);
	paging_map(va, HPA(base), end - base, flags);
	return (void *)(va + (pa.raw - base));
}

volatile void *device_map(hpa_t pa, uint64_t size)
{
	return window_map(pa, size, MAP_WRITE | MAP_UNCACHED);
}

const void *firmware_map(hpa_t pa, uint64_t size)
{
	uint64_t va = (uint64_t)phys_to_virt(pa);

	if (pa.raw + size < pa.raw || pa.raw + size > GENMASK(46, 0)) {
		return NULL;
	}
	for (uint64_t page = ALIGN_DOWN(va, PAGE_SIZE); page < va + size; page += PAGE_SIZE) {
		if (!paging_is_mapped(page)) {
			return window_map(pa, size, 0);
		}
	}
	return (const void *)va;
}

static void image_map(const char *start, const char *end, uint32_t flags)
{
	hpa_t pa = HPA((uint64_t)start - IMAGE_VIRTUAL_OFFSET);
	uint64_t size = (uint64_t)end - (uint64_t)start;

	paging_map((uint64_t)start, pa, size, flags);
	paging_map(ARCH_DIRECT_MAP + pa.raw, pa, size, flags & MAP_WRITE);
}

static void direct_map_make(void)
{
	paging_map(ARCH_DIRECT_MAP, HPA(0), (uint64_t)image_physical_start, MAP_WRITE);
	for (uint32_t i = 0; i < boot_info.memory_count; i++) {
		const struct boot_memory *memory = &boot_info.memory[i];

		if (memory->kind != BOOT_MEMORY_RESERVED) {
			paging_map(ARCH_DIRECT_MAP + memory->base, HPA(memory->base), memory->size,
			           MAP_WRITE);
		}
	}
}

void paging_init(void)
{
	kernel_pml4 = arch_early_page();
	image_map(image_text_start, image_text_end, MAP_EXECUTE);
	image_map(image_text_end, image_rodata_end, 0);
	image_map(image_rodata_end, image_end, MAP_WRITE);
	direct_map_make();
	/* The top-level entries of both windows exist from now on: domains copy them. */
	(void)entry_make(DEVICE_WINDOW, 1);
	(void)entry_make(ARCH_CPU_SLOTS, 0);
	paging_cpu_load();
}

void paging_cpu_load(void)
{
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE | EFER_SCE);
	cr0_write((cr0_read() | CR0_WP) & ~(CR0_NW | CR0_CD));
	cr3_write(kernel_pml4.raw);
	cr4_write(cr4_read() | CR4_PGE);
}
