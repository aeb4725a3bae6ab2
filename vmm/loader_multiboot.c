// SPDX-License-Identifier: Apache-2.0
/*
 * Multiboot 1: ELF images (32 bits, with 32- or 64-bit code, or 64 bits) and flat images with the
 * header's own addresses. Modules, memory map, command line and the loader's name are handed over.
 *
 * Must never: claim a service in the flags that is not there (no boot device, no BIOS tables, no
 * video). Manual: The Multiboot Specification 0.6.96, chapter 3.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

#define MULTIBOOT_SEARCH_BYTES    8192u
#define MULTIBOOT_MAGIC           0x1badb002u
#define MULTIBOOT_BOOT_MAGIC      0x2badb002u
#define MULTIBOOT_HEADER_BYTES    12u
#define MULTIBOOT_ADDRESSES_BYTES 32u

/* Header flags; 0..15 must be understood, 16..31 may be ignored. */
#define MULTIBOOT_NEEDS_ALIGNMENT (1u << 0)
#define MULTIBOOT_NEEDS_MEMORY    (1u << 1)
#define MULTIBOOT_WANTS_VIDEO     (1u << 2)
#define MULTIBOOT_HAS_ADDRESSES   (1u << 16)
#define MULTIBOOT_UNDERSTOOD \
	(MULTIBOOT_NEEDS_ALIGNMENT | MULTIBOOT_NEEDS_MEMORY | MULTIBOOT_WANTS_VIDEO)

/* Flags of the information record. */
#define MULTIBOOT_INFO_MEMORY  (1u << 0)
#define MULTIBOOT_INFO_CMDLINE (1u << 2)
#define MULTIBOOT_INFO_MODULES (1u << 3)
#define MULTIBOOT_INFO_MAP     (1u << 6)
#define MULTIBOOT_INFO_LOADER  (1u << 9)

static const char multiboot_loader_name[] = "Bulkhead";

struct multiboot_info {
	uint32_t flags;
	uint32_t memory_lower_kib;
	uint32_t memory_upper_kib;
	uint32_t boot_device;
	uint32_t cmdline_gpa;
	uint32_t modules_count;
	uint32_t modules_gpa;
	uint32_t symbols[4];
	uint32_t map_bytes;
	uint32_t map_gpa;
	uint32_t drives[2];
	uint32_t config_table;
	uint32_t loader_name_gpa;
	uint32_t unused[13]; /* APM, VBE and framebuffer: none of them exists */
};
_Static_assert(sizeof(struct multiboot_info) == 120, "Multiboot 3.3");

struct multiboot_module {
	uint32_t start;
	uint32_t end;
	uint32_t string_gpa;
	uint32_t reserved;
};

struct multiboot_map_entry {
	uint32_t entry_bytes; /* without this field */
	uint32_t base_low;
	uint32_t base_high;
	uint32_t size_low;
	uint32_t size_high;
	uint32_t type;
};
_Static_assert(sizeof(struct multiboot_map_entry) == 24, "Multiboot 3.3");

/* The block that everything but the modules' contents lies in, and where its next text goes. */
struct multiboot_block {
	uint64_t gpa;
	uint64_t map_offset;
	uint64_t modules_offset;
	uint64_t text_offset;
	uint64_t size;
};

bool loader_multiboot_find_header(const uint8_t *bytes, uint64_t size, uint32_t *offset)
{
	uint64_t end = size < MULTIBOOT_SEARCH_BYTES ? size : MULTIBOOT_SEARCH_BYTES;

	for (uint32_t at = 0; at + MULTIBOOT_HEADER_BYTES <= end; at += 4) {
		if (loader_read32(bytes, at) == MULTIBOOT_MAGIC &&
		    loader_read32(bytes, at) + loader_read32(bytes, at + 4) +
		                    loader_read32(bytes, at + 8) ==
		            0) {
			*offset = at;
			return true;
		}
	}
	return false;
}

/* A flat image: the header says what part of the file goes where (Multiboot 3.1.3). */
static int multiboot_load_flat(struct loader_work *work, uint32_t header_offset,
                               struct loader_result *out)
{
	const struct loader_input *in = work->place.in;
	const uint8_t *bytes = in->kernel;
	uint64_t header_gpa = loader_read32(bytes, header_offset + 12);
	uint64_t load = loader_read32(bytes, header_offset + 16);
	uint64_t load_end = loader_read32(bytes, header_offset + 20);
	uint64_t bss_end = loader_read32(bytes, header_offset + 24);
	uint64_t entry = loader_read32(bytes, header_offset + 28);
	struct loader_elf_segment *segment = &work->elf.segments[0];

	work->elf.segments_count = 1;
	if (load > header_gpa || header_gpa - load > header_offset) {
		return loader_fail(
			in, out, BH_ERR_FORMAT,
			"multiboot header_addr 0x%llx, load_addr 0x%llx, header at 0x%x: "
			"the file has no such byte",
			(unsigned long long)header_gpa, (unsigned long long)load,
			(unsigned int)header_offset);
	}
	segment->gpa = load;
	segment->offset = header_offset - (header_gpa - load);
	segment->file_size = load_end != 0 ? load_end - load : in->kernel_size - segment->offset;
	if (load_end != 0 &&
	    (load_end < load || segment->file_size > in->kernel_size - segment->offset)) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "multiboot load_end_addr 0x%llx is beyond the file (cut short?)",
		                   (unsigned long long)load_end);
	}
	segment->memory_size = segment->file_size;
	if (bss_end != 0 && bss_end > load && bss_end - load > segment->file_size) {
		segment->memory_size = bss_end - load;
	}
	if (entry < load || entry - load >= segment->memory_size) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "multiboot entry_addr 0x%llx is not in what is loaded",
		                   (unsigned long long)entry);
	}
	out->state.rip = entry;
	return loader_elf_load(&work->place, &work->elf, out);
}

/* e_entry is a physical address in some kernels and a linked one in others; the segments decide. */
static bool multiboot_find_entry(const struct loader_elf *elf, uint64_t *entry)
{
	for (uint32_t i = 0; i < elf->segments_count; i++) {
		const struct loader_elf_segment *segment = &elf->segments[i];
		uint64_t offset = elf->entry - segment->virtual_address;

		if (elf->entry >= segment->virtual_address && offset < segment->memory_size) {
			*entry = segment->gpa + offset;
			return *entry < LOADER_4G;
		}
	}
	for (uint32_t i = 0; i < elf->segments_count; i++) {
		const struct loader_elf_segment *segment = &elf->segments[i];

		if (elf->entry >= segment->gpa &&
		    elf->entry - segment->gpa < segment->memory_size) {
			*entry = elf->entry;
			return *entry < LOADER_4G;
		}
	}
	return false;
}

static int multiboot_load_elf(struct loader_work *work, struct loader_result *out)
{
	const struct loader_input *in = work->place.in;
	struct loader_elf *elf = &work->elf;
	const char *why = "";

	if (!loader_elf_parse(in->kernel, in->kernel_size, elf, &why)) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "a multiboot header without addresses (flag 16), and as ELF: %s",
		                   why);
	}
	if (!multiboot_find_entry(elf, &out->state.rip)) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "the ELF entry 0x%llx is in no segment below 4 GiB",
		                   (unsigned long long)elf->entry);
	}
	return loader_elf_load(&work->place, elf, out);
}

static uint64_t multiboot_text_bytes(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 1;
}

/* Bytes of "NAME CMDLINE" with its NUL. */
static uint64_t multiboot_cmdline_bytes(const struct loader_input *in)
{
	return multiboot_text_bytes(in->kernel_name) + multiboot_text_bytes(in->cmdline);
}

static int multiboot_place_block(struct loader_place *place, struct multiboot_block *block)
{
	const struct loader_input *in = place->in;
	struct loader_wish wish = {
		.alignment = LOADER_PAGE_BYTES,
		.min = LOADER_CMDLINE_GPA,
		.max = LOADER_4G,
	};

	block->map_offset = sizeof(struct multiboot_info);
	block->modules_offset = block->map_offset +
	                        in->e820_count * sizeof(struct multiboot_map_entry);
	block->text_offset = block->modules_offset +
	                     in->modules_count * sizeof(struct multiboot_module);
	block->size = block->text_offset + multiboot_cmdline_bytes(in) +
	              sizeof(multiboot_loader_name);
	for (uint32_t i = 0; i < in->modules_count; i++) {
		block->size += multiboot_text_bytes(in->modules[i].name);
	}
	wish.size = block->size;
	return loader_place_find(place, &wish, &block->gpa);
}

static uint32_t multiboot_write_text(const struct loader_input *in, struct multiboot_block *block,
                                     const char *text)
{
	uint64_t gpa = block->gpa + block->text_offset;
	uint64_t bytes = multiboot_text_bytes(text);

	if (guest_memory_write(in->memory, gpa, text != NULL ? text : "", bytes) != BH_OK) {
		return 0;
	}
	block->text_offset += bytes;
	return (uint32_t)gpa;
}

/* The kernel's name is the first word of its command line, as other loaders do it. */
static uint32_t multiboot_write_cmdline(const struct loader_input *in,
                                        struct multiboot_block *block)
{
	uint32_t gpa;
	uint8_t *space;

	if (in->kernel_name == NULL || in->kernel_name[0] == '\0') {
		return multiboot_write_text(in, block, in->cmdline);
	}
	gpa = multiboot_write_text(in, block, in->kernel_name);
	if (in->cmdline == NULL || in->cmdline[0] == '\0') {
		return gpa;
	}
	space = guest_memory_at(in->memory, block->gpa + block->text_offset - 1, 1);
	if (space != NULL) {
		*space = ' ';
	}
	(void)multiboot_write_text(in, block, in->cmdline);
	return gpa;
}

/* Modules start on a page and, as old kernels expect, in their order in the configuration. */
static int multiboot_load_modules(struct loader_place *place, struct multiboot_block *block,
                                  struct loader_result *out)
{
	const struct loader_input *in = place->in;
	struct loader_wish wish = {
		.alignment = LOADER_PAGE_BYTES,
		.min = 0x100000,
		.max = LOADER_4G,
	};

	for (uint32_t i = 0; i < in->modules_count; i++) {
		struct multiboot_module record = { 0 };
		uint64_t gpa;

		wish.size = in->modules[i].size;
		if (loader_place_find(place, &wish, &gpa) != BH_OK ||
		    guest_memory_write(in->memory, gpa, in->modules[i].bytes, wish.size) != BH_OK) {
			return loader_fail(in, out, BH_ERR_MEMORY,
			                   "no room for %llu KiB of module below 4 GiB; "
			                   "the guest has %llu KiB in all",
			                   (unsigned long long)(wish.size >> 10),
			                   (unsigned long long)(loader_place_total(in) >> 10));
		}
		wish.min = gpa;
		if (i == 0) {
			out->modules_gpa = gpa;
		}
		record.start = (uint32_t)gpa;
		record.end = (uint32_t)(gpa + wish.size);
		record.string_gpa = multiboot_write_text(in, block, in->modules[i].name);
		if (guest_memory_write(in->memory,
		                       block->gpa + block->modules_offset + i * sizeof(record),
		                       &record, sizeof(record)) != BH_OK) {
			return BH_ERR_ADDRESS;
		}
	}
	return BH_OK;
}

static int multiboot_write_map(const struct loader_input *in, const struct multiboot_block *block)
{
	for (uint32_t i = 0; i < in->e820_count; i++) {
		struct multiboot_map_entry entry = {
			.entry_bytes = sizeof(entry) - sizeof(entry.entry_bytes),
			.base_low = (uint32_t)in->e820[i].base,
			.base_high = (uint32_t)(in->e820[i].base >> 32),
			.size_low = (uint32_t)in->e820[i].size,
			.size_high = (uint32_t)(in->e820[i].size >> 32),
			.type = in->e820[i].type,
		};
		int error = guest_memory_write(in->memory,
		                               block->gpa + block->map_offset + i * sizeof(entry),
		                               &entry, sizeof(entry));

		if (error != BH_OK) {
			return error;
		}
	}
	return BH_OK;
}

/* KiB of usable memory from `base` on without a hole, at most `max` KiB (Multiboot 3.3, mem_*). */
static uint32_t multiboot_memory_kib(const struct loader_input *in, uint64_t base, uint64_t max)
{
	for (uint32_t i = 0; i < in->e820_count; i++) {
		const struct loader_e820 *e = &in->e820[i];

		if (e->type == LOADER_E820_RAM && e->base <= base && base - e->base < e->size) {
			uint64_t kib = (e->size - (base - e->base)) >> 10;

			return (uint32_t)(kib < max ? kib : max);
		}
	}
	return 0;
}

static int multiboot_write_block(struct loader_place *place, struct loader_result *out)
{
	const struct loader_input *in = place->in;
	struct multiboot_info info = {
		.flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MODULES |
		         MULTIBOOT_INFO_MAP | MULTIBOOT_INFO_LOADER,
		.modules_count = in->modules_count,
	};
	struct multiboot_block block;
	int error;

	error = multiboot_place_block(place, &block);
	if (error != BH_OK) {
		return loader_fail(in, out, error, "no room for the multiboot information");
	}
	info.memory_lower_kib = multiboot_memory_kib(in, 0, 640);
	info.memory_upper_kib = multiboot_memory_kib(in, 0x100000, UINT32_MAX);
	info.cmdline_gpa = multiboot_write_cmdline(in, &block);
	info.loader_name_gpa = multiboot_write_text(in, &block, multiboot_loader_name);
	info.modules_gpa = (uint32_t)(block.gpa + block.modules_offset);
	info.map_gpa = (uint32_t)(block.gpa + block.map_offset);
	info.map_bytes = in->e820_count * (uint32_t)sizeof(struct multiboot_map_entry);
	error = multiboot_load_modules(place, &block, out);
	if (error != BH_OK) {
		return error;
	}
	error = multiboot_write_map(in, &block);
	if (error != BH_OK) {
		return error;
	}
	out->info_gpa = block.gpa;
	return guest_memory_write(in->memory, block.gpa, &info, sizeof(info));
}

int loader_multiboot_load(struct loader_work *work, uint32_t header_offset,
                          struct loader_result *out)
{
	const struct loader_input *in = work->place.in;
	const uint8_t *bytes = in->kernel;
	uint32_t flags = loader_read32(bytes, header_offset + 4);
	bool is_flat = (flags & MULTIBOOT_HAS_ADDRESSES) != 0;
	int error;

	if ((flags & 0xffffu & ~MULTIBOOT_UNDERSTOOD) != 0) {
		return loader_fail(in, out, BH_ERR_FORMAT,
		                   "multiboot header flags 0x%x ask for more than bits 0-2",
		                   (unsigned int)flags);
	}
	if (is_flat && in->kernel_size - header_offset < MULTIBOOT_ADDRESSES_BYTES) {
		return loader_fail(in, out, BH_ERR_FORMAT, "a multiboot header that is cut short");
	}
	error = is_flat ? multiboot_load_flat(work, header_offset, out)
	                : multiboot_load_elf(work, out);
	if (error != BH_OK) {
		return error;
	}
	error = multiboot_write_block(&work->place, out);
	if (error != BH_OK) {
		return error;
	}
	out->kind = LOADER_KIND_MULTIBOOT;
	loader_state_set_protected(&out->state, 0x10, 0x18);
	out->state.gpr[BH_GPR_RAX] = MULTIBOOT_BOOT_MAGIC;
	out->state.gpr[BH_GPR_RBX] = out->info_gpa;
	return BH_OK;
}
