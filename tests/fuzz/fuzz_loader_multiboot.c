// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target of the multiboot 1 loader. The magic number is put in, so that every input gets past
 * it.
 */
// sources: vmm/loader.c vmm/loader_place.c vmm/loader_state.c vmm/loader_elf.c vmm/loader_bzimage.c vmm/loader_pvh.c vmm/loader_multiboot.c vmm/guest_memory.c
#include "tests/fuzz/loader_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image;

	if (size < 2) {
		return 0;
	}
	image = malloc(size - 1);
	memcpy(image, data + 1, size - 1);
	for (size_t at = 0; at + 12 <= size - 1; at += 4) {
		/* The first header in the file gets its checksum. */
		if (loader_read32(image, at) == 0x1badb002) {
			uint32_t sum = 0u - 0x1badb002u - loader_read32(image, at + 4);

			memcpy(image + at + 8, &sum, sizeof(sum));
			break;
		}
	}
	target_load(image, size - 1, data[0]);
	free(image);
	return 0;
}
