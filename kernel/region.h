/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of physical memory and where they are mapped. A mapping belongs to the handle that made it. Under kernel_lock. */
#pragma once

#include "kernel/object.h"

enum region_kind {
	REGION_MEMORY,   /* RAM of its own: goes back when the region ends */
	REGION_DEVICE,   /* not RAM of ours */
	REGION_BORROWED, /* pages of another object, which outlives it */
};

struct region {
	struct object object;
	hpa_t pa;
	uint64_t size;
	uint64_t
		zeroed_bytes; /* == size: may be mapped. Changes without lock, by compare-and-swap */
	enum region_kind kind;
};

struct mapping {
	struct list handle_node; /* in handle->mappings */
	struct list target_node; /* in domain->mappings or vm->mappings */
	struct object *target;   /* a domain or a vm */
	struct domain *payer;    /* the handle's domain */
	uint64_t address;        /* virtual or guest-physical */
	uint64_t size;
};

static inline struct region *region_of(struct object *object)
{
	return container_of(object, struct region, object);
}

/* What is there already (device, borrowed, memory whose pages are paid) and clear: ready to be mapped. NULL = no quota. */
struct region *region_create(struct domain *payer, hpa_t pa, uint64_t size, enum region_kind kind);
void region_end(const struct region *region);
void mapping_remove(struct mapping *mapping);
