/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory as mgmt sees it: from a guest-physical address and a length to a pointer, or to
 * nothing. What is behind the pointer belongs to the guest and changes at any time: read a word once,
 * check the copy.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bulkhead/protocol.h"

struct guest_memory {
	uint8_t *base;       /* guest-physical address 0 */
	uint64_t low_bytes;  /* RAM in [0, low_bytes) but for the hole at GUEST_HOLE_START */
	uint64_t high_bytes; /* RAM in [GUEST_HIGH_BASE, + high_bytes) */
};

/* The memory of a partition of this size, laid out as root does. */
static inline struct guest_memory guest_memory_of(uint8_t *base, uint64_t memory_bytes)
{
	struct guest_memory memory = { .base = base };

	memory.low_bytes = memory_bytes < GUEST_LOW_MAX ? memory_bytes : GUEST_LOW_MAX;
	memory.high_bytes = memory_bytes - memory.low_bytes;
	return memory;
}

/* NULL unless all of [gpa, gpa + bytes) is in one run of RAM; bytes may be 0. Nearly everything is above the hole. */
static inline void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t bytes)
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
	if (gpa < start || gpa >= end || bytes > end - gpa) {
		return NULL;
	}
	return memory->base + gpa;
}
