// SPDX-License-Identifier: Apache-2.0
/*
 * Guest-physical address to host address, with every bound checked here and nowhere else.
 *
 * Must never: compute gpa + length before it is known not to wrap.
 */
#include "vmm/guest_memory.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"

void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	for (uint32_t i = 0; i < memory->slots_count && i < GUEST_MEMORY_SLOTS_MAX; i++) {
		const struct guest_memory_slot *slot = &memory->slots[i];
		uint64_t offset = gpa - slot->gpa;

		if (gpa < slot->gpa || offset >= slot->size) {
			continue;
		}
		return length <= slot->size - offset ? slot->host + offset : NULL;
	}
	return NULL;
}

int guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t length)
{
	const void *from;

	if (length == 0) {
		return BH_OK;
	}
	from = guest_memory_at(memory, gpa, length);
	if (from == NULL) {
		return BH_ERR_ADDRESS;
	}
	memcpy(to, from, length);
	return BH_OK;
}

int guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *from,
                       uint64_t length)
{
	void *to;

	if (length == 0) {
		return BH_OK;
	}
	to = guest_memory_at(memory, gpa, length);
	if (to == NULL) {
		return BH_ERR_ADDRESS;
	}
	memcpy(to, from, length);
	return BH_OK;
}

int guest_memory_zero(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	void *to;

	if (length == 0) {
		return BH_OK;
	}
	to = guest_memory_at(memory, gpa, length);
	if (to == NULL) {
		return BH_ERR_ADDRESS;
	}
	memset(to, 0, length);
	return BH_OK;
}
