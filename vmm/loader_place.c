// SPDX-License-Identifier: Apache-2.0
/*
 * Where things go in guest memory: only in usable E820 memory that a slot backs, never twice.
 *
 * Must never: add two numbers of an image before it is known that the sum does not wrap.
 */
#include <stddef.h>

#include "bulkhead/errors.h"
#include "vmm/loader_internal.h"

/*
 * The end of the usable memory that starts at or before `base`, joined over neighbouring entries;
 * 0: none.
 */
static uint64_t place_usable_end(const struct loader_input *in, uint64_t base)
{
	uint64_t end = base;
	bool is_grown = true;

	while (is_grown) {
		is_grown = false;
		for (uint32_t i = 0; i < in->e820_count; i++) {
			const struct loader_e820 *e = &in->e820[i];

			if (e->type == LOADER_E820_RAM && e->base <= end &&
			    end - e->base < e->size && e->size <= UINT64_MAX - e->base) {
				end = e->base + e->size;
				is_grown = true;
			}
		}
	}
	return end;
}

bool loader_place_is_usable(const struct loader_input *in, uint64_t base, uint64_t size)
{
	if (size > UINT64_MAX - base) {
		return false;
	}
	return place_usable_end(in, base) >= base + size &&
	       guest_memory_at(in->memory, base, size) != NULL;
}

static bool place_overlaps(const struct loader_place *place, uint64_t base, uint64_t size,
                           uint32_t *which)
{
	for (uint32_t i = 0; i < place->ranges_count; i++) {
		if (base < place->ranges[i].base + place->ranges[i].size &&
		    place->ranges[i].base < base + size) {
			*which = i;
			return true;
		}
	}
	return false;
}

int loader_place_take(struct loader_place *place, uint64_t base, uint64_t size)
{
	uint32_t which;

	if (!loader_place_is_usable(place->in, base, size)) {
		return BH_ERR_MEMORY;
	}
	if (place_overlaps(place, base, size, &which)) {
		return BH_ERR_MEMORY;
	}
	if (place->ranges_count == LOADER_RANGES_MAX) {
		return BH_ERR_LIMIT;
	}
	place->ranges[place->ranges_count].base = base;
	place->ranges[place->ranges_count].size = size;
	place->ranges_count++;
	return BH_OK;
}

/* The lowest free place in [first, last), moving up past what is taken. */
static bool place_find_low(const struct loader_place *place, const struct loader_wish *wish,
                           uint64_t first, uint64_t last, uint64_t *gpa)
{
	uint64_t mask = wish->alignment - 1;
	uint32_t which;

	for (;;) {
		if (first > UINT64_MAX - mask) {
			return false;
		}
		first = (first + mask) & ~mask;
		if (first >= last || wish->size > last - first) {
			return false;
		}
		if (!place_overlaps(place, first, wish->size, &which)) {
			*gpa = first;
			return true;
		}
		first = place->ranges[which].base + place->ranges[which].size;
	}
}

/* The highest free place in [first, last), moving down past what is taken. */
static bool place_find_high(const struct loader_place *place, const struct loader_wish *wish,
                            uint64_t first, uint64_t last, uint64_t *gpa)
{
	uint64_t mask = wish->alignment - 1;
	uint32_t which;
	uint64_t base;

	for (;;) {
		if (last < first || wish->size > last - first) {
			return false;
		}
		base = (last - wish->size) & ~mask;
		if (base < first) {
			return false;
		}
		if (!place_overlaps(place, base, wish->size, &which)) {
			*gpa = base;
			return true;
		}
		last = place->ranges[which].base;
	}
}

static bool place_find_in_entry(const struct loader_place *place, const struct loader_wish *wish,
                                const struct loader_e820 *e, uint64_t *gpa)
{
	uint64_t first = e->base > wish->min ? e->base : wish->min;
	uint64_t last;

	if (e->type != LOADER_E820_RAM || e->size > UINT64_MAX - e->base) {
		return false;
	}
	last = e->base + e->size < wish->max ? e->base + e->size : wish->max;
	if (first >= last) {
		return false;
	}
	if (wish->is_high) {
		return place_find_high(place, wish, first, last, gpa);
	}
	return place_find_low(place, wish, first, last, gpa);
}

int loader_place_find(struct loader_place *place, const struct loader_wish *wish, uint64_t *gpa)
{
	struct loader_wish one = *wish;

	one.size = wish->size != 0 ? wish->size : 1;
	for (uint32_t i = 0; i < place->in->e820_count; i++) {
		uint32_t which = wish->is_high ? place->in->e820_count - 1 - i : i;

		if (place_find_in_entry(place, &one, &place->in->e820[which], gpa) &&
		    guest_memory_at(place->in->memory, *gpa, one.size) != NULL) {
			return loader_place_take(place, *gpa, one.size);
		}
	}
	return BH_ERR_MEMORY;
}

uint64_t loader_place_total(const struct loader_input *in)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < in->e820_count; i++) {
		if (in->e820[i].type == LOADER_E820_RAM && in->e820[i].size <= UINT64_MAX - total) {
			total += in->e820[i].size;
		}
	}
	return total;
}
