/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the boot path's memory map in order, and hands out the pages that are needed before the kernel's allocator exists.
 * After memory_map_prepare() all ranges are whole pages, and FREE ones are above 1 MiB and overlap nothing: neither one another nor the image,
 * the modules or what any other entry claims. The first MiB stays out: firmware writes there, and the other CPUs start there.
 */
#include "arch/x86/start.h"
#include "kernel/memory.h"
#include "kernel/string.h"

#define MEMORY_FLOOR   0x100000ull
#define EARLY_LIMIT    0x100000000ull /* the boot page tables end here */

#define LOW_PAGE_FIRST 0x8000u /* clear of what BIOSes keep at the bottom */
#define LOW_PAGE_END   0xa0000u

uint32_t memory_map_low_page;

static hpa_t early_start, early_next, early_end;

/* When the table is full the range is lost: a FREE one is not used. */
static void range_add(struct boot_info *info, uint64_t base, uint64_t end, uint32_t kind)
{
	if (end > base && info->memory_count < BOOT_MEMORY_SLOTS) {
		info->memory[info->memory_count++] = (struct boot_memory){ base, end - base, kind,
			                                                   0 };
	}
}

/* Whole pages: inwards for FREE, outwards for all else. What lies beyond the direct map is dropped. */
static void range_align(struct boot_memory *memory)
{
	uint64_t base = memory->base < ARCH_PHYSICAL_END ? memory->base : ARCH_PHYSICAL_END;
	uint64_t end = memory->size < ARCH_PHYSICAL_END - base ? base + memory->size
	                                                       : ARCH_PHYSICAL_END;

	if (memory->kind == BOOT_MEMORY_FREE) {
		base = ALIGN_UP(base, PAGE_SIZE);
		end = ALIGN_DOWN(end, PAGE_SIZE);
	} else {
		end = memory->size != 0 ? ALIGN_UP(end, PAGE_SIZE) : 0;
		base = ALIGN_DOWN(base, PAGE_SIZE);
	}
	memory->base = base;
	memory->size = end > base ? end - base : 0;
}

/*
 * Take range `idx` out of all FREE ranges, and out of later ones of its own kind. One that is cut in two gains an entry; the last one is
 * left for memory_map_finish().
 */
static void range_cut_out(struct boot_info *info, uint32_t idx)
{
	uint64_t base = info->memory[idx].base, end = base + info->memory[idx].size;
	uint32_t kind = info->memory[idx].kind, count = info->memory_count;

	for (uint32_t i = 0; i < count; i++) {
		struct boot_memory *memory = &info->memory[i];
		uint64_t memory_end = memory->base + memory->size;

		if ((memory->kind == kind ? i <= idx : memory->kind != BOOT_MEMORY_FREE) ||
		    memory_end <= base || end <= memory->base) {
			continue;
		}
		memory->size = base > memory->base ? base - memory->base : 0;
		if (info->memory_count < BOOT_MEMORY_SLOTS - 1) {
			range_add(info, end, memory_end, memory->kind);
		}
	}
}

/* Take the trampoline's page and leave the rest of the first MiB. */
static void low_memory_take(struct boot_memory *memory)
{
	uint64_t end = memory->base + memory->size;
	uint64_t low = memory->base < LOW_PAGE_FIRST ? LOW_PAGE_FIRST : memory->base;

	if (memory_map_low_page == 0 && low < end && low < LOW_PAGE_END) {
		memory_map_low_page = (uint32_t)low;
	}
	if (memory->base < MEMORY_FLOOR) {
		memory->base = MEMORY_FLOOR;
		memory->size = end > MEMORY_FLOOR ? end - MEMORY_FLOOR : 0;
	}
}

/* Early pages come from the largest range that the boot page tables reach. */
static void early_choose(const struct boot_memory *memory)
{
	uint64_t end = memory->base + memory->size;

	end = end < EARLY_LIMIT ? end : EARLY_LIMIT;
	if (end > memory->base && end - memory->base > early_end.raw - early_start.raw) {
		early_start = early_next = HPA(memory->base);
		early_end = HPA(end);
	}
}

void memory_map_prepare(struct boot_info *info)
{
	uint32_t count = 0;

	info->kernel_base = (uint64_t)image_physical_start;
	info->kernel_size = (uint64_t)image_end - IMAGE_VIRTUAL_OFFSET - info->kernel_base;
	range_add(info, info->kernel_base, info->kernel_base + info->kernel_size, BOOT_MEMORY_BOOT);
	for (uint32_t i = 0; i < info->modules_count; i++) {
		const struct boot_module *module = &info->modules[i];

		range_add(info, module->base, module->base + module->size, BOOT_MEMORY_BOOT);
	}
	for (uint32_t i = 0; i < info->memory_count; i++) {
		range_align(&info->memory[i]);
	}
	for (uint32_t i = 0; i < info->memory_count; i++) {
		range_cut_out(info, i);
	}
	for (uint32_t i = 0; i < info->memory_count; i++) {
		if (info->memory[i].kind == BOOT_MEMORY_FREE) {
			low_memory_take(&info->memory[i]);
			early_choose(&info->memory[i]);
		}
		if (info->memory[i].size != 0) {
			info->memory[count++] = info->memory[i];
		}
	}
	info->memory_count = count;
}

void memory_map_finish(struct boot_info *info)
{
	/* RAM in use must be known as such, so that nobody gets it as device memory. */
	range_add(info, early_start.raw, early_next.raw, BOOT_MEMORY_BOOT);
	range_cut_out(info, info->memory_count - 1);
	early_end = early_next;
	info->kernel_size += early_next.raw - early_start.raw;
}

hpa_t arch_early_pages(uint32_t count)
{
	uint64_t size = count * PAGE_SIZE;
	hpa_t page = early_next;

	if (early_end.raw - early_next.raw >= size) {
		early_next.raw += size;
	} else if (memory_allocate(size, PAGE_SIZE, MEMORY_OWNER_KERNEL, &page) != BH_OK) {
		panic("no memory for the kernel's own tables: too little free RAM below 4 GiB");
	}
	memset(phys_to_virt(page), 0, size);
	return page;
}
