// SPDX-License-Identifier: Apache-2.0
/*
 * The memory of the one guest that this VMM serves, as the VMM sees it.
 *
 * Owns: the translation from a guest-physical address to the byte in our own address space.
 * Must never: give out a pointer that is not wholly inside one slot, or believe that what it reads
 * stays the same. The guest's other vCPUs run while we look: copy once, then check the copy.
 *
 * Of a guest with a balloon, chunks may be away (struct bh_chunks): no pointer into one is given out. A guest that lends or
 * reports memory while its VMM reads there for it has itself to blame.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/protocol.h"

#define GUEST_MEMORY_SLOTS_MAX 4

/* One guest-physical range backed by ordinary RAM. gpa, size and host are multiples of 4096. */
struct guest_memory_slot {
	uint64_t gpa;
	uint64_t size;
	uint8_t *host;
};

struct guest_memory {
	struct guest_memory_slot slots[GUEST_MEMORY_SLOTS_MAX];
	uint32_t slots_count;
	uint64_t low_bytes;             /* with chunks: RAM below 4 GiB, the hole counted */
	const struct bh_chunks *chunks; /* NULL: all of it is there for good */
	const uint64_t *
		lent; /* bit a chunk: in the balloon, so nothing is there until the guest takes it out */
	uint64_t *
		absent; /* NULL, or: gets an address that was asked for, and whose chunk is away and not lent */
};

/* Is [gpa, gpa + length) wholly inside one slot, whether its chunks are there or not? */
bool guest_memory_has(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/* The chunk that an address of RAM lies in; 0 if it is none, or there are no chunks, or the first, which never goes. */
uint32_t guest_memory_chunk(const struct guest_memory *memory, uint64_t gpa);
bool guest_memory_chunk_is_there(const struct guest_memory *memory, uint32_t chunk);
bool guest_memory_chunk_is_lent(const struct guest_memory *memory, uint32_t chunk);

/*
 * The host address of [gpa, gpa + length). NULL unless the range lies wholly inside one slot, so
 * also for a range that wraps, and unless it is there. A length of 0 asks for one byte's place and
 * needs gpa itself inside.
 */
void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Bounded copies out of and into the guest. BH_ERR_ADDRESS, and nothing copied, if any of it is
 * outside.
 */
int guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *to, uint64_t length);
int guest_memory_write(const struct guest_memory *memory, uint64_t gpa, const void *from,
                       uint64_t length);

/*
 * Fills [gpa, gpa + length) with zeros. BH_ERR_ADDRESS, and nothing changed, if any of it is
 * outside.
 */
int guest_memory_zero(const struct guest_memory *memory, uint64_t gpa, uint64_t length);
