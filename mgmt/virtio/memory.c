// SPDX-License-Identifier: Apache-2.0
/* Guest memory that is away (see memory.h): the rare half, which no guest without a balloon comes to. */
#include "mgmt/virtio/memory.h"

void *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes)
{
	struct guest_memory all = *memory;

	all.chunks = NULL;
	return guest_memory_at(&all, gpa, bytes);
}

bool guest_memory_miss(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes)
{
	struct guest_chunk_news *news = memory->news;
	uint64_t first = guest_memory_offset(memory, gpa);
	uint64_t last = bytes != 0 ? first + bytes - 1 : first;
	uint64_t idx;

	if (memory->chunks == NULL || guest_memory_range(memory, gpa, bytes) == NULL) {
		return false;
	}
	for (idx = first >> memory->chunk_shift; idx <= last >> memory->chunk_shift; idx++) {
		if (guest_memory_chunk_is_there(memory, idx)) {
			continue;
		}
		if ((news->lent[idx / 64] >> (idx % 64) & 1) != 0) {
			return false;
		}
		news->missed[idx / 64] |= 1ull << (idx % 64);
	}
	news->is_missed = true;
	*news->have_news = true;
	return true;
}
