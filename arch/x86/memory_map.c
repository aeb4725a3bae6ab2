/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the boot path's memory map in order, and hands out the pages that are needed before the kernel's allocator exists.
 * After memory_map_prepare(): FREE ranges are page-aligned, sorted, disjoint, above 1 MiB, and free of the image, the modules and everything
 * that any other entry claims. The first MiB stays out: firmware writes there, and the other CPUs start there.
 */
#include "arch/x86/start.h"
#include "kernel/string.h"

#define MEMORY_FLOOR  0x100000ull
#define ADDRESS_LIMIT BIT(46)        /* the direct map ends here */
#define EARLY_LIMIT   0x100000000ull /* the boot page tables end here */

#define LOW_PAGE_USUAL \
	0x8000u /* clear of what BIOSes keep at the bottom and at the top of low memory */
#define LOW_PAGE_FIRST 0x1000u
#define LOW_PAGE_END   0xa0000u

static hpa_t early_start, early_next, early_end;
static uint32_t low_page;

static void range_add(struct boot_info *info, uint64_t base, uint64_t end, uint32_t kind)
{
	struct boot_memory *memory;

	if (end <= base || info->memory_count == BOOT_MEMORY_MAX) {
		return;
	}
	memory = &info->memory[info->memory_count++];
	memory->base = base;
	memory->size = end - base;
	memory->kind = kind;
	memory->reserved = 0;
}

/* Take [base, end) out of every FREE range. A range that is cut in two gains an entry; when the table is full its upper part is lost. */
static void range_cut(struct boot_info *info, uint64_t base, uint64_t end)
{
	uint32_t count = info->memory_count;

	for (uint32_t i = 0; i < count; i++) {
		struct boot_memory *memory = &info->memory[i];
		uint64_t memory_end = memory->base + memory->size;

		if (memory->kind != BOOT_MEMORY_FREE || memory_end <= base || end <= memory->base) {
			continue;
		}
		if (end < memory_end) {
			range_add(info, end, memory_end, BOOT_MEMORY_FREE);
		}
		memory->size = base > memory->base ? base - memory->base : 0;
	}
}

static void ranges_sort(struct boot_info *info)
{
	for (uint32_t i = 1; i < info->memory_count; i++) {
		struct boot_memory memory = info->memory[i];
		uint32_t at = i;

		while (at > 0 && info->memory[at - 1].base > memory.base) {
			info->memory[at] = info->memory[at - 1];
			at--;
		}
		info->memory[at] = memory;
	}
}

/* Drop empty entries and join neighbours (or overlapping entries) of one kind. The table is sorted. */
static void ranges_merge(struct boot_info *info)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < info->memory_count; i++) {
		struct boot_memory memory = info->memory[i];
		struct boot_memory *last = count != 0 ? &info->memory[count - 1] : NULL;

		if (memory.size == 0) {
			continue;
		}
		if (last != NULL && last->kind == memory.kind &&
		    memory.base <= last->base + last->size) {
			uint64_t end = memory.base + memory.size;

			if (end > last->base + last->size) {
				last->size = end - last->base;
			}
			continue;
		}
		info->memory[count++] = memory;
	}
	info->memory_count = count;
}

static bool low_page_is_free(const struct boot_info *info, uint32_t page)
{
	bool is_free = false;

	for (uint32_t i = 0; i < info->modules_count; i++) {
		if (info->modules[i].base < page + PAGE_SIZE &&
		    page < info->modules[i].base + info->modules[i].size) {
			return false; /* GRUB under UEFI puts modules there */
		}
	}
	for (uint32_t i = 0; i < info->memory_count; i++) {
		const struct boot_memory *memory = &info->memory[i];

		if (memory->kind == BOOT_MEMORY_FREE) {
			is_free |= memory->base <= page &&
			           page + PAGE_SIZE <= memory->base + memory->size;
		} else if (memory->base < page + PAGE_SIZE && page < memory->base + memory->size) {
			return false;
		}
	}
	return is_free;
}

/* Before the first MiB is dropped from the map. */
static void low_page_choose(const struct boot_info *info)
{
	low_page = low_page_is_free(info, LOW_PAGE_USUAL) ? LOW_PAGE_USUAL : 0;
	for (uint32_t page = LOW_PAGE_FIRST; low_page == 0 && page < LOW_PAGE_END;
	     page += (uint32_t)PAGE_SIZE) {
		low_page = low_page_is_free(info, page) ? page : 0;
	}
}

uint32_t memory_map_low_page(void)
{
	return low_page;
}

/* Whole pages: inwards for FREE, outwards for all else. What lies beyond the direct map is dropped. */
static void ranges_align(struct boot_info *info)
{
	for (uint32_t i = 0; i < info->memory_count; i++) {
		struct boot_memory *memory = &info->memory[i];
		uint64_t end = memory->base + memory->size;

		if (memory->base >= ADDRESS_LIMIT || memory->size == 0) {
			memory->size = 0;
			continue;
		}
		if (end < memory->base || end > ADDRESS_LIMIT) {
			end = ADDRESS_LIMIT;
		}
		if (memory->kind == BOOT_MEMORY_FREE) {
			memory->base = ALIGN_UP(memory->base < MEMORY_FLOOR ? MEMORY_FLOOR
			                                                    : memory->base,
			                        PAGE_SIZE);
			end = ALIGN_DOWN(end, PAGE_SIZE);
		} else {
			memory->base = ALIGN_DOWN(memory->base, PAGE_SIZE);
			end = ALIGN_UP(end, PAGE_SIZE);
		}
		memory->size = end > memory->base ? end - memory->base : 0;
	}
}

static void early_choose(const struct boot_info *info)
{
	for (uint32_t i = 0; i < info->memory_count; i++) {
		const struct boot_memory *memory = &info->memory[i];
		uint64_t end = memory->base + memory->size;

		if (memory->kind != BOOT_MEMORY_FREE || memory->base >= EARLY_LIMIT) {
			continue;
		}
		end = end < EARLY_LIMIT ? end : EARLY_LIMIT;
		if (end - memory->base > early_end.raw - early_start.raw) {
			early_start = HPA(memory->base);
			early_end = HPA(end);
		}
	}
	early_next = early_start;
}

void memory_map_prepare(struct boot_info *info)
{
	uint32_t count;

	low_page_choose(info);
	ranges_align(info);
	ranges_sort(info);
	ranges_merge(info);
	count = info->memory_count;
	for (uint32_t i = 0; i < count; i++) {
		if (info->memory[i].kind != BOOT_MEMORY_FREE) {
			range_cut(info, info->memory[i].base,
			          info->memory[i].base + info->memory[i].size);
		}
	}
	info->kernel_base = (uint64_t)image_physical_start;
	info->kernel_size = (uint64_t)image_end - IMAGE_VIRTUAL_OFFSET - info->kernel_base;
	range_cut(info, info->kernel_base, info->kernel_base + info->kernel_size);
	for (uint32_t i = 0; i < info->modules_count; i++) {
		const struct boot_module *module = &info->modules[i];
		uint64_t base = ALIGN_DOWN(module->base, PAGE_SIZE),
			 end = ALIGN_UP(module->base + module->size, PAGE_SIZE);

		if (module->size != 0) {
			range_cut(info, base, end);
			range_add(info, base, end, BOOT_MEMORY_BOOT);
		}
	}
	ranges_sort(info);
	ranges_merge(info);
	early_choose(info);
}

void memory_map_finish(struct boot_info *info)
{
	range_cut(info, early_start.raw, early_next.raw);
	/* RAM in use must be known as such, so that nobody gets it as device memory. */
	range_add(info, early_start.raw, early_next.raw, BOOT_MEMORY_BOOT);
	range_add(info, info->kernel_base, info->kernel_base + info->kernel_size, BOOT_MEMORY_BOOT);
	ranges_sort(info);
	ranges_merge(info);
	early_end = early_next;
}

hpa_t arch_early_pages(uint32_t count)
{
	hpa_t page = early_next;

	if (early_end.raw - early_next.raw < count * PAGE_SIZE) {
		panic("no memory for the kernel's own tables: the memory map has too little free RAM below 4 GiB");
	}
	early_next.raw += count * PAGE_SIZE;
	memset(phys_to_virt(page), 0, count * PAGE_SIZE);
	return page;
}

hpa_t arch_early_page(void)
{
	return arch_early_pages(1);
}

uint64_t memory_map_early_bytes(void)
{
	return early_next.raw - early_start.raw;
}
