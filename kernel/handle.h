/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handle tables and the tree of derivation: who gave what to whom. Closing a handle closes all that was derived from it, in any domain,
 * in bounded steps. The original handle of an object is in the table of the domain that pays for it, so nothing outlives its payer.
 * Lookup takes no lock: object and rights are one word. Everything else under kernel_lock.
 */
#pragma once

#include "kernel/domain.h"
#include "kernel/object.h"

#define HANDLE_DEPTH_MAX   32u /* of derivation */
#define HANDLE_FIRST_AUTO  32u /* lower ones are for the giver to choose */
#define HANDLES_USUAL      256u
#define HANDLE_RIGHTS_MASK 0x1full
#define BH_OBJECT_ANY      0xffu /* handle_find: any type of object */
#define REAP_STEPS         64u   /* per call */
#define REAP_MORE          1

struct handle {
	uint64_t word; /* object (32-byte aligned) | rights; 0 = free. Stored last, read once */
	struct handle *parent;
	struct list children;  /* derived from it: handle->node */
	struct list node;      /* alone in an original */
	struct list mappings;  /* made with this handle */
	struct domain *domain; /* whose table */
	uint32_t depth;
};

static inline struct object *handle_object(const struct handle *handle)
{
	return (struct object *)(handle->word & ~HANDLE_RIGHTS_MASK);
}

static inline uint32_t handle_rights(const struct handle *handle)
{
	return (uint32_t)(handle->word & HANDLE_RIGHTS_MASK);
}

/* The entry, if it is in use. */
static inline struct handle *handle_entry(const struct domain *domain, uint64_t number)
{
	return number < domain->handles_max && domain->handles[number].word != 0
	               ? &domain->handles[number]
	               : NULL;
}

/* The object that `number` names, if it is of that type and the handle has all the rights; else NULL. No lock. */
static inline struct object *handle_find(const struct domain *domain, uint64_t number,
                                         uint32_t type, uint32_t rights)
{
	if (unlikely(number >= domain->handles_max)) {
		return NULL;
	}
	uint64_t word = __atomic_load_n(&domain->handles[number].word, __ATOMIC_ACQUIRE);
	struct object *object = (struct object *)(word & ~HANDLE_RIGHTS_MASK);

	bool is_right_type = object != NULL && (type == BH_OBJECT_ANY || object->type == type);

	return likely(is_right_type && (word & rights) == rights) ? object : NULL;
}

/* Why handle_find() gave NULL: HANDLE or RIGHTS. */
int handle_error(const struct domain *domain, uint64_t number, uint32_t type);

/* A free handle number; `wanted` 0 = any. Nothing is taken before handle_fill(). EXISTS, LIMIT. */
int handle_reserve(const struct domain *domain, uint64_t wanted) must_check;
/* Make handle `number` (just reserved) name `object`; derived from `parent` if that is not NULL. Returns number. */
int handle_fill(struct domain *domain, int number, struct object *object, uint32_t rights,
                struct handle *parent);
