// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target of the bzImage loader. The magic number is put in, so that every input gets past it.
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
	if (size - 1 >= 0x206) {
		memcpy(image + 0x202, "HdrS", 4);
	}
	target_load(image, size - 1, data[0]);
	free(image);
	return 0;
}
