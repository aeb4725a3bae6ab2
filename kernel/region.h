/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of physical memory and where they are mapped. A mapping belongs to the handle that made it. Under kernel_lock. */
#pragma once

#include "kernel/handle.h"
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
	uint64_t zeroed_bytes; /* == size: may be mapped */
	uint32_t mappings_count;
	enum region_kind kind;
};

struct mapping {
	struct mapping *next, **link; /* in handle->mappings */
	struct list target_node;      /* in domain->mappings or vm->mappings */
	struct region *region;
	struct domain *payer;  /* the handle's domain */
	struct domain *domain; /* one of these two */
	struct vm *vm;
	uint64_t address; /* virtual or guest-physical */
	uint64_t size;
};

static inline struct region *region_of(struct object *object)
{
	return container_of(object, struct region, object);
}

/* RAM of its own, not clear yet. */
int region_create(struct domain *payer, uint64_t size, uint64_t alignment,
                  struct region **region) must_check;
/* What is there already (device, borrowed, boot module whose pages are paid): ready to be mapped. */
int region_create_at(struct domain *payer, hpa_t pa, uint64_t size, enum region_kind kind,
                     struct region **region) must_check;
/* AGAIN until all is clear. */
int region_zero(struct region *region) must_check;
/* The upper part becomes a region of its own. */
int region_split(struct region *region, uint64_t offset, struct region **upper) must_check;
/* Map into a domain or a guest (the other is NULL). EXISTS, QUOTA, MEMORY. Arguments are checked by the caller. */
int region_map(struct handle *handle, struct domain *domain, struct vm *vm, uint64_t address,
               const struct bh_map *map) must_check;
struct mapping *region_find_mapping(struct handle *handle, const struct domain *domain,
                                    const struct vm *vm, uint64_t address);
void mapping_remove(struct mapping *mapping);
int region_end(struct region *region) must_check;
