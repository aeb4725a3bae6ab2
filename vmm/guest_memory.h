// SPDX-License-Identifier: Apache-2.0
/*
 * The memory of the one guest that this VMM serves, as the VMM sees it.
 *
 * Owns: the translation from a guest-physical address to the byte in our own address space.
 * Must never: give out a pointer that is not wholly inside one slot, or believe that what it reads
 * stays the same. The guest's other vCPUs run while we look: copy once, then check the copy.
 */
#pragma once

#include <stdint.h>

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
};

/*
 * The host address of [gpa, gpa + length). NULL unless the range lies wholly inside one slot, so
 * also for a range that wraps. A length of 0 asks for one byte's place and needs gpa itself
 * inside.
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
