// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target of the guest page-table walk: any tables, any control registers.
 *
 * Input: 8 bytes of linear address, 1 of access, 1 of mode, 1 of address width, then the tables
 * from address 0 on.
 */
// sources: vmm/walk.c vmm/guest_memory.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/walk.h"

#define RAM_BYTES    0x4000u
#define HEADER_BYTES 11u

static uint8_t *ram;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A walk changes nothing but accessed and dirty bits, whatever the tables hold. */
static void check_tables(const uint8_t *tables, size_t size)
{
	for (size_t i = 0; i < RAM_BYTES; i++) {
		uint8_t was = i < size ? tables[i] : 0;
		uint8_t may_change = i % 4 == 0 ? 0x60 : 0;

		if (((ram[i] ^ was) & ~may_change) != 0 || (was & ~ram[i]) != 0) {
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory memory = { .slots_count = 1 };
	struct walk_paging paging = { .cr3 = 0, .physical_bits = 0 };
	struct walk_result result;
	uint64_t linear;
	uint32_t access;
	int error;

	if (size < HEADER_BYTES || size > HEADER_BYTES + RAM_BYTES) {
		return 0;
	}
	if (ram == NULL) {
		ram = aligned_alloc(4096, RAM_BYTES);
	}
	memory.slots[0].size = RAM_BYTES;
	memory.slots[0].host = ram;
	memcpy(&linear, data, 8);
	access = data[8] & (WALK_WRITE | WALK_USER | WALK_FETCH);
	paging.cr0 = CPU_CR0_PG | CPU_CR0_PE | ((data[9] & 1) != 0 ? CPU_CR0_WP : 0);
	paging.cr4 = ((data[9] & 2) != 0 ? CPU_CR4_PAE : 0) |
	             ((data[9] & 4) != 0 ? CPU_CR4_PSE : 0) |
	             ((data[9] & 8) != 0 ? CPU_CR4_LA57 : 0) |
	             ((data[9] & 16) != 0 ? CPU_CR4_SMAP : 0) |
	             ((data[9] & 32) != 0 ? CPU_CR4_SMEP : 0);
	paging.efer = ((data[9] & 64) != 0 ? CPU_EFER_LMA : 0) |
	              ((data[9] & 128) != 0 ? CPU_EFER_NXE : 0);
	paging.physical_bits = data[10];
	memset(ram, 0, RAM_BYTES);
	memcpy(ram, data + HEADER_BYTES, size - HEADER_BYTES);
	error = walk_translate(&memory, &paging, linear, access, &result);
	check_tables(data + HEADER_BYTES, size - HEADER_BYTES);
	if (error == BH_ERR_ADDRESS) {
		/* A fault has a code that a CPU can produce. */
		if ((result.error_code & ~0x1fu) != 0 ||
		    ((result.error_code & 8) != 0 && (result.error_code & 1) == 0)) {
			abort();
		}
	} else if (error == BH_OK) {
		if (result.page_bytes != 1ull << 12 && result.page_bytes != 1ull << 21 &&
		    result.page_bytes != 1ull << 22 && result.page_bytes != 1ull << 30) {
			abort();
		}
		if (((result.gpa ^ linear) & (result.page_bytes - 1)) != 0) {
			abort();
		}
	}
	return 0;
}
