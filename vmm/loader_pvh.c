// SPDX-License-Identifier: Apache-2.0
/*
 * PVH: an ELF with a XEN_ELFNOTE_PHYS32_ENTRY note, started in flat 32-bit protected mode with EBX
 * at a struct hvm_start_info, version 1.
 *
 * Must never: start a kernel outside what was loaded. Manual: Xen docs/misc/pvh.pandoc,
 * xen/include/public/arch-x86/hvm/start_info.h.
 */
#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

#define PVH_MAGIC   0x336ec578u
#define PVH_VERSION 1u

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t modules_count;
	uint64_t modules_gpa;
	uint64_t cmdline_gpa;
	uint64_t rsdp_gpa;
	uint64_t memory_map_gpa;
	uint32_t memory_map_count;
	uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_start_info) == 56, "start_info.h");

struct pvh_module {
	uint64_t gpa;
	uint64_t size;
	uint64_t cmdline_gpa;
	uint64_t reserved;
};
_Static_assert(sizeof(struct pvh_module) == 32, "start_info.h");

struct pvh_memory {
	uint64_t base;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};
_Static_assert(sizeof(struct pvh_memory) == 24, "start_info.h");

/*
 * All that the kernel is told lies in one block: start_info, memory map, module list, then the
 * texts.
 */
struct pvh_block {
	uint64_t gpa;
	uint64_t map_offset;
	uint64_t modules_offset;
	uint64_t texts_offset;
	uint64_t size;
};

static uint64_t pvh_text_bytes(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 1;
}

static int pvh_place_block(struct loader_place *place, struct pvh_block *block)
{
	const struct loader_input *in = place->in;
	struct loader_wish wish = {
		.alignment = LOADER_PAGE_BYTES,
		.min = LOADER_CMDLINE_GPA,
		.max = LOADER_4G,
	};

	block->map_offset = sizeof(struct pvh_start_info);
	block->modules_offset = block->map_offset + in->e820_count * sizeof(struct pvh_memory);
	block->texts_offset = block->modules_offset + in->modules_count * sizeof(struct pvh_module);
	block->size = block->texts_offset + pvh_text_bytes(in->cmdline);
	for (uint32_t i = 0; i < in->modules_count; i++) {
		block->size += pvh_text_bytes(in->modules[i].name);
	}
	wish.size = block->size;
	return loader_place_find(place, &wish, &block->gpa);
}

/* Writes a text at *offset of the block, moves *offset behind it, and returns its address. */
static uint64_t pvh_write_text(const struct loader_input *in, const struct pvh_block *block,
                               uint64_t *offset, const char *text)
{
	uint64_t gpa = block->gpa + *offset;
	uint64_t bytes = pvh_text_bytes(text);

	if (guest_memory_write(in->memory, gpa, text != NULL ? text : "", bytes) != BH_OK) {
		return 0;
	}
	*offset += bytes;
	return gpa;
}

static int pvh_load_modules(struct loader_place *place, const struct pvh_block *block,
                            uint64_t *text_offset, struct loader_result *out)
{
	const struct loader_input *in = place->in;

	for (uint32_t i = 0; i < in->modules_count; i++) {
		struct pvh_module record = { .size = in->modules[i].size };
		struct loader_wish wish = {
			.size = in->modules[i].size,
			.alignment = LOADER_PAGE_BYTES,
			.min = 0x100000,
			.max = LOADER_4G,
			.is_high = true,
		};

		if (loader_place_find(place, &wish, &record.gpa) != BH_OK ||
		    guest_memory_write(in->memory, record.gpa, in->modules[i].bytes,
		                       in->modules[i].size) != BH_OK) {
			return loader_fail(in, out, BH_ERR_MEMORY,
			                   "no room for %llu KiB of ramdisk beside the kernel; "
			                   "the guest has %llu KiB in all",
			                   (unsigned long long)(wish.size >> 10),
			                   (unsigned long long)(loader_place_total(in) >> 10));
		}
		if (i == 0 || record.gpa < out->modules_gpa) {
			out->modules_gpa = record.gpa;
		}
		record.cmdline_gpa = pvh_write_text(in, block, text_offset, in->modules[i].name);
		if (guest_memory_write(in->memory,
		                       block->gpa + block->modules_offset + i * sizeof(record),
		                       &record, sizeof(record)) != BH_OK) {
			return BH_ERR_ADDRESS;
		}
	}
	return BH_OK;
}

static int pvh_write_map(const struct loader_input *in, const struct pvh_block *block)
{
	for (uint32_t i = 0; i < in->e820_count; i++) {
		struct pvh_memory record = {
			.base = in->e820[i].base,
			.size = in->e820[i].size,
			.type = in->e820[i].type,
		};
		int error = guest_memory_write(in->memory,
		                               block->gpa + block->map_offset + i * sizeof(record),
		                               &record, sizeof(record));

		if (error != BH_OK) {
			return error;
		}
	}
	return BH_OK;
}

static int pvh_write_block(struct loader_place *place, struct loader_result *out)
{
	const struct loader_input *in = place->in;
	struct pvh_start_info info = {
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.modules_count = in->modules_count,
		.rsdp_gpa = in->rsdp_gpa,
		.memory_map_count = in->e820_count,
	};
	struct pvh_block block;
	uint64_t text_offset;
	int error;

	error = pvh_place_block(place, &block);
	if (error != BH_OK) {
		return loader_fail(in, out, error, "no room for the start information");
	}
	text_offset = block.texts_offset;
	info.cmdline_gpa = pvh_write_text(in, &block, &text_offset, in->cmdline);
	info.memory_map_gpa = block.gpa + block.map_offset;
	info.modules_gpa = in->modules_count != 0 ? block.gpa + block.modules_offset : 0;
	error = pvh_load_modules(place, &block, &text_offset, out);
	if (error != BH_OK) {
		return error;
	}
	error = pvh_write_map(in, &block);
	if (error != BH_OK) {
		return error;
	}
	out->info_gpa = block.gpa;
	return guest_memory_write(in->memory, block.gpa, &info, sizeof(info));
}

static bool pvh_is_entry_loaded(const struct loader_elf *elf)
{
	for (uint32_t i = 0; i < elf->segments_count; i++) {
		const struct loader_elf_segment *segment = &elf->segments[i];

		if (elf->pvh_entry >= segment->gpa &&
		    elf->pvh_entry - segment->gpa < segment->memory_size) {
			return elf->pvh_entry < LOADER_4G;
		}
	}
	return false;
}

int loader_pvh_load(struct loader_work *work, struct loader_result *out)
{
	const struct loader_elf *elf = &work->elf;
	const struct loader_input *in = work->place.in;
	int error;

	if (!pvh_is_entry_loaded(elf)) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "the PVH note's entry 0x%llx is in no segment below 4 GiB",
		                   (unsigned long long)elf->pvh_entry);
	}
	error = loader_elf_load(&work->place, elf, out);
	if (error != BH_OK) {
		return error;
	}
	error = pvh_write_block(&work->place, out);
	if (error != BH_OK) {
		return error;
	}
	out->kind = LOADER_KIND_PVH;
	loader_state_set_protected(&out->state, 0x10, 0x18);
	out->state.rip = elf->pvh_entry;
	out->state.gpr[BH_GPR_RBX] = out->info_gpa;
	return BH_OK;
}
