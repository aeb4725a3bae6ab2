/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of the kernel proper, after arch/x86 has the machine in hand: physical memory, log ring, information page, root domain.
 * Everything here runs once, on the boot pCPU, while the others wait.
 */
#include "kernel/start.h"

#include "arch/x86/hvm.h"
#include "boot/boot_info.h"
#include "build_version.h"
#include "kernel/memory.h"
#include "kernel/string.h"

struct bh_info info_page __attribute__((aligned(4096)));

static bool is_ram(const struct boot_memory *memory)
{
	return memory->kind == BOOT_MEMORY_FREE || memory->kind == BOOT_MEMORY_BOOT;
}

/* The page records stand at the start of the first free range that holds them. */
static uint32_t records_place(const struct boot_info *info, uint64_t size)
{
	for (uint32_t i = 0; i < info->memory_count; i++) {
		if (info->memory[i].kind == BOOT_MEMORY_FREE && info->memory[i].size >= size) {
			return i;
		}
	}
	panic("too little memory: no free range of %lu KiB for the page records", size >> 10);
}

/* The ranges do not overlap (arch/x86/memory_map.c). */
static void memory_start(const struct boot_info *info)
{
	uint64_t limit = 0;

	for (uint32_t i = 0; i < info->memory_count; i++) {
		uint64_t end = info->memory[i].base + info->memory[i].size;

		limit = is_ram(&info->memory[i]) && end > limit ? end : limit;
	}
	uint64_t records = (limit >> PAGE_SHIFT) + (limit >> PAGE_SHIFT) / MEMORY_BLOCK_PAGES + 1;
	uint64_t records_bytes = ALIGN_UP(records * sizeof(uint16_t), PAGE_SIZE);
	uint32_t place = records_place(info, records_bytes);

	memory_init(phys_to_virt(HPA(info->memory[place].base)), limit);
	for (uint32_t i = 0; i < info->memory_count; i++) {
		const struct boot_memory *memory = &info->memory[i];

		if (is_ram(memory)) {
			memory_change(HPA(memory->base), memory->size, MEMORY_OUTSIDE,
			              memory->kind == BOOT_MEMORY_FREE ? MEMORY_FREE
			                                               : MEMORY_OWNER_BOOT);
		}
	}
	memory_change(HPA(info->memory[place].base), records_bytes, MEMORY_FREE,
	              MEMORY_OWNER_KERNEL);
}

static void info_start(void)
{
	static const char version[] = BUILD_VERSION " (" BUILD_COMMIT ")";

	_Static_assert(sizeof(version) <= sizeof(info_page.version), "the version has its place");
	arch_info_fill(&info_page);
	info_page.abi_version = BH_ABI_VERSION;
	info_page.cpus_count = cpus_count;
	info_page.vendor = hvm == NULL       ? BH_VENDOR_NONE
	                   : hvm == &svm_ops ? BH_VENDOR_SVM
	                                     : BH_VENDOR_VMX;
	memcpy(info_page.version, version, sizeof(version));
	if (hvm != NULL) {
		log_print("%s: guests can run", hvm->name);
	} else {
		log_print("no guests on this machine: %s", hvm_reason);
	}
}

void kernel_start(const struct boot_info *info)
{
	domain_init_kernel();
	memory_start(info);
	info_start();
	root_create(info);
	log_print("memory: %lu KiB free of %lu KiB", memory_bytes.free >> 10,
	          memory_bytes.total >> 10);
}
