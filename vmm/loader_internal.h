// SPDX-License-Identifier: Apache-2.0
/*
 * What the loaders share among themselves: errors, reading an image, placing things, start states.
 *
 * Must never: be included outside vmm/loader*.c and the tests of those.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/loader.h"

#define LOADER_PAGE_BYTES      0x1000ull
#define LOADER_GDT_GPA         0x1000ull
#define LOADER_PAGE_TABLES_GPA 0x2000ull
#define LOADER_BOOT_PARAMS_GPA 0x8000ull
#define LOADER_CMDLINE_GPA     0x9000ull
#define LOADER_LOW_END         0x10000ull
#define LOADER_4G              0x100000000ull

#define LOADER_RANGES_MAX      80

/*
 * Guest-physical ranges that are taken already. Filled by loader_place_take() and
 * loader_place_find().
 */
struct loader_place {
	const struct loader_input *in;
	uint32_t ranges_count;
	struct {
		uint64_t base;
		uint64_t size;
	} ranges[LOADER_RANGES_MAX];
};

/* A wish for a place: bytes, and the bounds [min, max) that it must lie in. */
struct loader_wish {
	uint64_t size;
	uint64_t alignment; /* a power of two */
	uint64_t min;
	uint64_t max;
	bool is_high; /* take the highest place that fits, not the lowest */
};

/* One loadable segment of an ELF image, checked against the image's size. */
struct loader_elf_segment {
	uint64_t offset; /* in the image */
	uint64_t file_size;
	uint64_t gpa;
	uint64_t memory_size; /* >= file_size */
	uint64_t virtual_address;
};

#define LOADER_ELF_SEGMENTS_MAX 32

struct loader_elf {
	bool is_64;
	uint64_t entry;
	bool has_pvh_entry;
	uint64_t pvh_entry;
	uint32_t segments_count;
	struct loader_elf_segment segments[LOADER_ELF_SEGMENTS_MAX];
};

/* What one load works with. There is a single one, in loader.c: it is too large for the stack. */
struct loader_work {
	struct loader_place place;
	struct loader_elf elf;
};

/* Writes "kernel 'NAME': TEXT" to out->error, cut to its size, and returns `error`. */
int loader_fail(const struct loader_input *in, struct loader_result *out, int error,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Little-endian fields of an image. The caller has checked that they are inside it. */
uint16_t loader_read16(const uint8_t *bytes, uint64_t offset);
uint32_t loader_read32(const uint8_t *bytes, uint64_t offset);
uint64_t loader_read64(const uint8_t *bytes, uint64_t offset);

/* True if [base, base + size) neither wraps nor leaves usable E820 memory and the memory slots. */
bool loader_place_is_usable(const struct loader_input *in, uint64_t base, uint64_t size);

/*
 * Notes a range as taken. BH_ERR_MEMORY if it is not usable or overlaps a taken one; BH_ERR_LIMIT
 * if full.
 */
int loader_place_take(struct loader_place *place, uint64_t base, uint64_t size);

/*
 * Finds and takes a free usable range. BH_ERR_MEMORY if there is none. A wish of 0 bytes takes
 * one.
 */
int loader_place_find(struct loader_place *place, const struct loader_wish *wish, uint64_t *gpa);

/* Usable E820 memory in bytes, for messages. */
uint64_t loader_place_total(const struct loader_input *in);

/*
 * Parses and checks an ELF32 or ELF64 little-endian x86 executable. False: not one; *why says what
 * is wrong.
 */
bool loader_elf_parse(const uint8_t *bytes, uint64_t size, struct loader_elf *elf,
                      const char **why);

/*
 * Copies the segments to guest memory and takes their places. Fills out->kernel_gpa and
 * kernel_size.
 */
int loader_elf_load(struct loader_place *place, const struct loader_elf *elf,
                    struct loader_result *out);

/* Flat 32-bit protected mode, paging off, interrupts off: CS `code`, data segments `data`. */
void loader_state_set_protected(struct bh_cpu_state *state, uint16_t code, uint16_t data);

/* Long mode on the identity page tables: CS 0x10, data 0x18. */
void loader_state_set_long(struct bh_cpu_state *state);

/* Writes the GDT that both Linux states use, and sets GDTR in `state`. */
int loader_state_write_gdt(const struct guest_memory *memory, struct bh_cpu_state *state);

/* Writes page tables that map the first 4 GiB to themselves in 2 MiB pages, and sets state->cr3. */
int loader_state_write_identity_map(const struct guest_memory *memory, struct bh_cpu_state *state);

/*
 * The loaders proper. work->place is empty but for `in`; loader_pvh_load() also finds work->elf
 * filled. `is_image` and `find_header` look at the bytes only.
 */
bool loader_bzimage_is_image(const uint8_t *bytes, uint64_t size);
int loader_bzimage_load(struct loader_work *work, struct loader_result *out);
int loader_pvh_load(struct loader_work *work, struct loader_result *out);
bool loader_multiboot_find_header(const uint8_t *bytes, uint64_t size, uint32_t *offset);
int loader_multiboot_load(struct loader_work *work, uint32_t header_offset,
                          struct loader_result *out);
