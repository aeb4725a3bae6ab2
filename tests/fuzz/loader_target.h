// SPDX-License-Identifier: Apache-2.0
/*
 * What the loaders' fuzz targets share: a small guest, and what must hold whatever the image says.
 *
 * Input: one byte of options (bits 1:0 number of modules, bit 2 a long command line, bit 3 no
 * RSDP), then the image.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

#define TARGET_LOW_BYTES  0x200000u
#define TARGET_HIGH_GPA   0x400000u
#define TARGET_HIGH_BYTES 0x100000u
#define TARGET_CANARY_GPA 0xf0000u
#define TARGET_CANARY_END 0x100000u

/* Memory has a hole at 2 MiB; the part of the first MiB that firmware owns holds a pattern. */
static const struct loader_e820 target_e820[] = {
	{ 0, 0xa0000, LOADER_E820_RAM },
	{ 0xf0000, 0x10000, LOADER_E820_RESERVED },
	{ 0x100000, TARGET_LOW_BYTES - 0x100000, LOADER_E820_RAM },
	{ TARGET_HIGH_GPA, TARGET_HIGH_BYTES, LOADER_E820_RAM },
};

static const struct loader_module target_modules[] = {
	{ "module", 6, "one a=b" },
	{ "x", 1, NULL },
	{ "0123456789", 10, "" },
};

static struct guest_memory target_memory;
static char target_line[3000];

static void target_set_up(void)
{
	target_memory.slots_count = 2;
	target_memory.slots[0].size = TARGET_LOW_BYTES;
	target_memory.slots[0].host = aligned_alloc(4096, TARGET_LOW_BYTES);
	target_memory.slots[1].gpa = TARGET_HIGH_GPA;
	target_memory.slots[1].size = TARGET_HIGH_BYTES;
	target_memory.slots[1].host = aligned_alloc(4096, TARGET_HIGH_BYTES);
	memset(target_memory.slots[0].host, 0, TARGET_LOW_BYTES);
	memset(target_memory.slots[1].host, 0, TARGET_HIGH_BYTES);
	memset(target_line, 'a', sizeof(target_line) - 1);
}

static void target_check(int error, const struct loader_result *result)
{
	const uint8_t *canary = target_memory.slots[0].host + TARGET_CANARY_GPA;

	if (error > 0 || (error != BH_OK) != (result->error[0] != '\0')) {
		abort();
	}
	if (memchr(result->error, '\0', sizeof(result->error)) == NULL) {
		abort();
	}
	for (uint32_t i = 0; i < TARGET_CANARY_END - TARGET_CANARY_GPA; i++) {
		if (canary[i] != 0) {
			abort();
		}
	}
	if (error == BH_OK && (guest_memory_at(&target_memory, result->state.rip, 1) == NULL ||
	                       guest_memory_at(&target_memory, result->info_gpa, 120) == NULL)) {
		abort();
	}
}

/* Loads an image that the target may have helped to be recognised. */
static void target_load(const uint8_t *image, size_t size, uint8_t options)
{
	struct loader_input input = {
		.memory = &target_memory,
		.kernel = image,
		.kernel_size = size,
		.kernel_name = "fuzz",
		.modules = target_modules,
		.modules_count = options & 3,
		.cmdline = (options & 4) != 0 ? target_line : "a b=c",
		.e820 = target_e820,
		.e820_count = 4,
		.rsdp_gpa = (options & 8) != 0 ? 0 : 0xf0000,
	};
	struct loader_result result;

	if (target_memory.slots_count == 0) {
		target_set_up();
	}
	target_check(loader_load(&input, &result), &result);
}
