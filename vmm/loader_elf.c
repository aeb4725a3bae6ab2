// SPDX-License-Identifier: Apache-2.0
/*
 * ELF32 and ELF64 executables, as far as boot loaders need them: loadable segments and the PVH
 * note. Segments go to their physical addresses.
 *
 * Must never: use an offset or size of the image that is not checked against the image first.
 * Manual: System V ABI, chapter "Object Files"; Xen docs/misc/pvh.pandoc for the note.
 */
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

#define ELF_CLASS_32       1u
#define ELF_CLASS_64       2u
#define ELF_LITTLE         1u
#define ELF_EXECUTABLE     2u
#define ELF_SHARED         3u /* a position-independent kernel linked at its load address */
#define ELF_MACHINE_386    3u
#define ELF_MACHINE_X64    62u
#define ELF_SEGMENT_LOAD   1u
#define ELF_SEGMENT_NOTE   4u
#define ELF_HEADER_MAX     64u

#define ELF_NOTE_HEADER    12u
#define ELF_NOTE_PVH_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY */

/* A program header, with the fields of both classes in one order. */
struct elf_program {
	uint32_t type;
	uint64_t offset;
	uint64_t virtual_address;
	uint64_t physical_address;
	uint64_t file_size;
	uint64_t memory_size;
};

static void elf_read_program(const uint8_t *at, bool is_64, struct elf_program *program)
{
	program->type = loader_read32(at, 0);
	if (is_64) {
		program->offset = loader_read64(at, 8);
		program->virtual_address = loader_read64(at, 16);
		program->physical_address = loader_read64(at, 24);
		program->file_size = loader_read64(at, 32);
		program->memory_size = loader_read64(at, 40);
	} else {
		program->offset = loader_read32(at, 4);
		program->virtual_address = loader_read32(at, 8);
		program->physical_address = loader_read32(at, 12);
		program->file_size = loader_read32(at, 16);
		program->memory_size = loader_read32(at, 20);
	}
}

/*
 * Looks for the Xen note in a note segment, whose bytes are inside the image. Bad notes end the
 * search.
 */
static void elf_read_notes(const uint8_t *notes, uint64_t size, struct loader_elf *elf)
{
	uint64_t at = 0;

	while (size - at >= ELF_NOTE_HEADER) {
		uint64_t name_size = loader_read32(notes, at);
		uint64_t value_size = loader_read32(notes, at + 4);
		uint32_t type = loader_read32(notes, at + 8);
		uint64_t name = at + ELF_NOTE_HEADER;
		uint64_t value = name + ((name_size + 3) & ~3ull);
		uint64_t next = value + ((value_size + 3) & ~3ull);

		if (value > size || value_size > size - value) {
			return;
		}
		if (type == ELF_NOTE_PVH_ENTRY && name_size == 4 && value_size >= 4 &&
		    memcmp(notes + name, "Xen", 4) == 0) {
			elf->has_pvh_entry = true;
			elf->pvh_entry = value_size >= 8 ? loader_read64(notes, value)
			                                 : loader_read32(notes, value);
			return;
		}
		if (next > size) {
			return;
		}
		at = next;
	}
}

static bool elf_add_program(const uint8_t *bytes, uint64_t size, const struct elf_program *program,
                            struct loader_elf *elf, const char **why)
{
	struct loader_elf_segment *segment;

	if (program->type != ELF_SEGMENT_LOAD && program->type != ELF_SEGMENT_NOTE) {
		return true;
	}
	if (program->offset > size || program->file_size > size - program->offset) {
		*why = "a segment lies outside the file (cut short?)";
		return false;
	}
	if (program->type == ELF_SEGMENT_NOTE) {
		elf_read_notes(bytes + program->offset, program->file_size, elf);
		return true;
	}
	if (program->memory_size == 0 && program->file_size == 0) {
		return true;
	}
	if (program->memory_size < program->file_size ||
	    program->memory_size > UINT64_MAX - program->physical_address) {
		*why = "a segment's sizes or address make no sense";
		return false;
	}
	if (elf->segments_count == LOADER_ELF_SEGMENTS_MAX) {
		*why = "more than 32 loadable segments";
		return false;
	}
	segment = &elf->segments[elf->segments_count++];
	segment->offset = program->offset;
	segment->file_size = program->file_size;
	segment->gpa = program->physical_address;
	segment->memory_size = program->memory_size;
	segment->virtual_address = program->virtual_address;
	return true;
}

static bool elf_check_header(const uint8_t *bytes, uint64_t size, const char **why)
{
	uint16_t type;
	uint16_t machine;

	if (size < ELF_HEADER_MAX || memcmp(bytes,
	                                    "\x7f"
	                                    "ELF",
	                                    4) != 0) {
		*why = "no ELF header";
		return false;
	}
	if ((bytes[4] != ELF_CLASS_32 && bytes[4] != ELF_CLASS_64) || bytes[5] != ELF_LITTLE) {
		*why = "neither 32 nor 64 bits little-endian";
		return false;
	}
	type = loader_read16(bytes, 16);
	machine = loader_read16(bytes, 18);
	if (type != ELF_EXECUTABLE && type != ELF_SHARED) {
		*why = "not an executable (an object file?)";
		return false;
	}
	if (machine != ELF_MACHINE_386 && machine != ELF_MACHINE_X64) {
		*why = "for another CPU than x86";
		return false;
	}
	return true;
}

bool loader_elf_parse(const uint8_t *bytes, uint64_t size, struct loader_elf *elf, const char **why)
{
	uint64_t programs;
	uint64_t stride;
	uint64_t count;

	memset(elf, 0, sizeof(*elf));
	if (!elf_check_header(bytes, size, why)) {
		return false;
	}
	elf->is_64 = bytes[4] == ELF_CLASS_64;
	elf->entry = elf->is_64 ? loader_read64(bytes, 24) : loader_read32(bytes, 24);
	programs = elf->is_64 ? loader_read64(bytes, 32) : loader_read32(bytes, 28);
	stride = loader_read16(bytes, elf->is_64 ? 54 : 42);
	count = loader_read16(bytes, elf->is_64 ? 56 : 44);
	if (stride < (elf->is_64 ? 56u : 32u) || programs > size ||
	    count * stride > size - programs) {
		*why = "its program headers lie outside the file";
		return false;
	}
	for (uint64_t i = 0; i < count; i++) {
		struct elf_program program;

		elf_read_program(bytes + programs + i * stride, elf->is_64, &program);
		if (!elf_add_program(bytes, size, &program, elf, why)) {
			return false;
		}
	}
	if (elf->segments_count == 0) {
		*why = "no loadable segment";
		return false;
	}
	return true;
}

static int elf_load_segment(struct loader_place *place, const struct loader_elf_segment *segment,
                            struct loader_result *out)
{
	const struct loader_input *in = place->in;
	uint64_t end = segment->gpa + segment->memory_size;
	int error = loader_place_take(place, segment->gpa, segment->memory_size);

	if (error != BH_OK) {
		bool is_usable = loader_place_is_usable(in, segment->gpa, segment->memory_size);

		return loader_fail(in, out, error,
		                   "segment 0x%llx-0x%llx %s; the guest has %llu KiB",
		                   (unsigned long long)segment->gpa, (unsigned long long)end,
		                   is_usable ? "overlaps another" : "is not in memory",
		                   (unsigned long long)(loader_place_total(in) >> 10));
	}
	error = guest_memory_write(in->memory, segment->gpa,
	                           (const uint8_t *)in->kernel + segment->offset,
	                           segment->file_size);
	if (error != BH_OK) {
		return error;
	}
	return guest_memory_zero(in->memory, segment->gpa + segment->file_size,
	                         segment->memory_size - segment->file_size);
}

int loader_elf_load(struct loader_place *place, const struct loader_elf *elf,
                    struct loader_result *out)
{
	uint64_t low = UINT64_MAX;
	uint64_t high = 0;

	for (uint32_t i = 0; i < elf->segments_count; i++) {
		const struct loader_elf_segment *segment = &elf->segments[i];
		int error = elf_load_segment(place, segment, out);

		if (error != BH_OK) {
			return error;
		}
		low = segment->gpa < low ? segment->gpa : low;
		if (segment->gpa + segment->memory_size > high) {
			high = segment->gpa + segment->memory_size;
		}
	}
	out->kernel_gpa = low;
	out->kernel_size = high - low;
	return BH_OK;
}
