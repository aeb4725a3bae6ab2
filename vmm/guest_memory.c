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

static uint8_t *range_at(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
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

bool guest_memory_has(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	return range_at(memory, gpa, length) != NULL;
}

/* Of an address in RAM, with chunks. */
static uint32_t chunk_of(const struct guest_memory *memory, uint64_t gpa)
{
	uint64_t offset = gpa < GUEST_HIGH_BASE ? gpa : memory->low_bytes + (gpa - GUEST_HIGH_BASE);

	return (uint32_t)(offset >> __builtin_ctzll(memory->chunks->chunk_bytes));
}

uint32_t guest_memory_chunk(const struct guest_memory *memory, uint64_t gpa)
{
	return memory->chunks != NULL && guest_memory_has(memory, gpa, 1) ? chunk_of(memory, gpa)
	                                                                  : 0;
}

bool guest_memory_chunk_is_there(const struct guest_memory *memory, uint32_t chunk)
{
	return __atomic_load_n(&memory->chunks->handles[chunk], __ATOMIC_ACQUIRE) != 0;
}

bool guest_memory_chunk_is_lent(const struct guest_memory *memory, uint32_t chunk)
{
	return (__atomic_load_n(&memory->lent[chunk / 64], __ATOMIC_ACQUIRE) >> (chunk % 64) & 1) !=
	       0;
}

/* Are all chunks of a range of RAM there? If not, who asks is told what to wait for. */
static bool is_there(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t last = length != 0 ? gpa + length - 1 : gpa;

	for (uint32_t chunk = chunk_of(memory, gpa); chunk <= chunk_of(memory, last); chunk++) {
		if (!guest_memory_chunk_is_there(memory, chunk)) {
			if (memory->absent != NULL && !guest_memory_chunk_is_lent(memory, chunk)) {
				*memory->absent = chunk == chunk_of(memory, gpa) ? gpa : last;
			}
			return false;
		}
	}
	return true;
}

void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	uint8_t *at = range_at(memory, gpa, length);

	return at != NULL && memory->chunks != NULL && !is_there(memory, gpa, length) ? NULL : at;
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
