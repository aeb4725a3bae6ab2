/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory as mgmt sees it: from a guest-physical address and a length to a pointer, or to
 * nothing. What is behind the pointer belongs to the guest and changes at any time: read a word once,
 * check the copy.
 *
 * Of a guest with a balloon, chunks may be away: nothing that the guest does may make mgmt touch one, so each
 * address is checked against the table of chunks, and against those that are about to go. A chunk that went because the guest
 * reported it free comes back when a device is to use it (guest_memory_miss); one in the balloon does not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bulkhead/protocol.h"

#define GUEST_CHUNK_WORDS (BH_CHUNKS_MAX / 64)

/* What mgmt/chunks.c is told of a guest's chunks. */
struct guest_chunk_news {
	uint64_t lent[GUEST_CHUNK_WORDS];   /* all of it is in the balloon */
	uint64_t missed[GUEST_CHUNK_WORDS]; /* a device needs it */
	bool is_missed;
	bool *have_news; /* set whenever is_missed is */
};

struct guest_memory {
	uint8_t *base;       /* guest-physical address 0 */
	uint64_t low_bytes;  /* RAM in [0, low_bytes) but for the hole at GUEST_HOLE_START */
	uint64_t high_bytes; /* RAM in [GUEST_HIGH_BASE, + high_bytes) */
	const struct bh_chunks *chunks; /* NULL: all of it is there for good */
	uint32_t chunk_shift;
	uint64_t leaving[GUEST_CHUNK_WORDS]; /* chunks that must not be touched any more */
	struct guest_chunk_news *news;       /* with chunks */
};

/* Where in the guest's memory, counted without gaps, an address of its RAM lies; and back. */
static inline uint64_t guest_memory_offset(const struct guest_memory *memory, uint64_t gpa)
{
	return gpa < GUEST_HIGH_BASE ? gpa : memory->low_bytes + (gpa - GUEST_HIGH_BASE);
}

static inline uint64_t guest_memory_gpa(const struct guest_memory *memory, uint64_t offset)
{
	return offset < memory->low_bytes ? offset : GUEST_HIGH_BASE + (offset - memory->low_bytes);
}

static inline bool guest_memory_chunk_is_there(const struct guest_memory *memory, uint64_t idx)
{
	return __atomic_load_n(&memory->chunks->handles[idx], __ATOMIC_ACQUIRE) != 0 &&
	       (memory->leaving[idx / 64] >> (idx % 64) & 1) == 0;
}

/* Are all chunks of a range of RAM there? */
static inline bool guest_memory_is_there(const struct guest_memory *memory, uint64_t gpa,
                                         uint64_t bytes)
{
	uint64_t first = guest_memory_offset(memory, gpa);
	uint64_t last = bytes != 0 ? first + bytes - 1 : first;
	uint64_t idx;

	for (idx = first >> memory->chunk_shift; idx <= last >> memory->chunk_shift; idx++) {
		if (!guest_memory_chunk_is_there(memory, idx)) {
			return false;
		}
	}
	return true;
}

/* The same without asking whether it is there: NULL only for what is no RAM of the guest. */
void *guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes);

/*
 * A device needs a range that guest_memory_at() has not: true if it comes, or is there by now, and the device is called again. False: it is no
 * RAM of the guest, or in its balloon.
 */
bool guest_memory_miss(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes);

/* The memory of a partition of this size, laid out as root does. */
static inline struct guest_memory guest_memory_of(uint8_t *base, uint64_t memory_bytes)
{
	struct guest_memory memory = { .base = base };

	memory.low_bytes = memory_bytes < GUEST_LOW_MAX ? memory_bytes : GUEST_LOW_MAX;
	memory.high_bytes = memory_bytes - memory.low_bytes;
	return memory;
}

/* guest_memory_at() for any address and any guest. */
static __attribute__((noinline, unused)) void *guest_memory_find(const struct guest_memory *memory,
                                                                 uint64_t gpa, uint64_t bytes)
{
	uint64_t start = GUEST_HOLE_END;
	uint64_t end = memory->low_bytes;

	if (gpa < GUEST_HOLE_START) {
		start = 0;
		end = end < GUEST_HOLE_START ? end : GUEST_HOLE_START;
	} else if (gpa >= GUEST_HIGH_BASE) {
		start = GUEST_HIGH_BASE;
		end = GUEST_HIGH_BASE + memory->high_bytes;
	}
	if (gpa < start || gpa >= end || bytes > end - gpa ||
	    (memory->chunks != NULL && !guest_memory_is_there(memory, gpa, bytes))) {
		return NULL;
	}
	return memory->base + gpa;
}

/* How many bytes from GUEST_HOLE_END on are RAM that is there for good: nearly all of a guest without a balloon. */
static inline uint64_t guest_memory_plain_bytes(const struct guest_memory *memory)
{
	return memory->chunks == NULL && memory->low_bytes > GUEST_HOLE_END
	               ? memory->low_bytes - GUEST_HOLE_END
	               : 0;
}

/* NULL unless all of [gpa, gpa + bytes) is in one run of RAM; bytes may be 0. Nearly everything is between the hole and 3 GiB. */
static inline void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes)
{
	uint64_t end = memory->low_bytes;

	if (gpa >= GUEST_HOLE_END && gpa < end && bytes <= end - gpa && memory->chunks == NULL) {
		return memory->base + gpa;
	}
	return guest_memory_find(memory, gpa, bytes);
}
