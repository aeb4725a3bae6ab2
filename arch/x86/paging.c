/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own half of every address space, made once at start (SDM 3A 4.5, APM 2 5.3):
 *   ARCH_DIRECT_MAP      all RAM, RW NX; the image's text and constants only readable there
 *   ARCH_CPU_SLOTS       one 64 KiB slot a pCPU
 *   0xffffffff80000000   the image: text RX, constants R, data RW
 *   WINDOW_BASE          registers of APICs, screen, ACPI tables
 * No page is writable and executable, by any name. Top-level entries never change once the first pCPU has its slot: domains copy them.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/ptable.h"
#include "arch/x86/start.h"

#define WINDOW_BASE 0xffffffffc0000000ull
#define WINDOW_END  0xffffffffd0000000ull

bool arch_has_1g_pages;
hpa_t kernel_pml4;

static struct ptable space;
static uint64_t window_next = WINDOW_BASE;

void paging_map(uint64_t va, hpa_t pa, uint64_t size, uint32_t flags)
{
	int error = ptable_map(&space, va, pa, size, PTABLE_READ | flags);

	/* A module below 1 MiB is in the direct map already. No other ranges meet. */
	CHECK(error == BH_OK || error == BH_ERR_EXISTS);
}

void *memory_window(hpa_t pa, uint64_t size, uint32_t flags)
{
	uint64_t unit = size >= PAGE_SIZE_2M ? PAGE_SIZE_2M : PAGE_SIZE;
	uint64_t base = ALIGN_DOWN(pa.raw, unit), end = ALIGN_UP(pa.raw + size, unit);
	uint64_t va = ALIGN_UP(window_next, unit);

	if (end <= base || end > ARCH_PHYSICAL_END || end - base > WINDOW_END - va) {
		return NULL;
	}
	window_next = va + (end - base);
	paging_map(va, HPA(base), end - base, flags);
	return (void *)(va + (pa.raw - base));
}

static void image_map(const char *start, const char *end, uint32_t flags)
{
	hpa_t pa = HPA((uint64_t)start - IMAGE_VIRTUAL_OFFSET);
	uint64_t size = (uint64_t)(end - start);

	paging_map((uint64_t)start, pa, size, flags);
	paging_map(ARCH_DIRECT_MAP + pa.raw, pa, size, flags & PTABLE_WRITE);
}

void paging_init(void)
{
	arch_has_1g_pages = feature_has(FEATURE_PAGE_1G);
	CHECK(ptable_init(&space, PTABLE_KERNEL, arch_has_1g_pages, NULL) == BH_OK);
	kernel_pml4 = space.root;
	image_map(image_text_start, image_text_end, PTABLE_EXECUTE);
	image_map(image_text_end, image_rodata_end, 0);
	image_map(image_rodata_end, image_end, PTABLE_WRITE);
	paging_map(ARCH_DIRECT_MAP, HPA(0), (uint64_t)image_physical_start, PTABLE_WRITE);
	for (uint32_t i = 0; i < boot_info.memory_count; i++) {
		const struct boot_memory *memory = &boot_info.memory[i];

		if (memory->kind == BOOT_MEMORY_FREE || memory->kind == BOOT_MEMORY_BOOT) {
			paging_map(ARCH_DIRECT_MAP + memory->base, HPA(memory->base), memory->size,
			           PTABLE_WRITE);
		}
	}
	cr3_write(kernel_pml4.raw);
}
