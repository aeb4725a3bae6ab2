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
#define HANDLE_RIGHTS_MASK 0x1full
#define REAP_STEPS         64u /* per call */
#define REAP_MORE          1

struct mapping;

struct handle {
	uint64_t word; /* object (32-byte aligned) | rights; 0 = free. Stored last, read once */
	struct handle *parent, *child, *next, *prev; /* prev NULL: first child of parent */
	struct mapping *mappings;                    /* made with this handle */
	struct domain *domain;                       /* whose table */
	uint16_t idx;
	uint16_t page_used; /* entry 0 of each page: entries in use in this page */
	uint8_t depth;
	bool is_self; /* BH_HANDLE_SELF: does not keep the domain alive */
	uint8_t reserved[2];
};
_Static_assert(sizeof(struct handle) == 64, "64 to a page");

static inline struct handle *handle_entry(const struct domain *domain, uint64_t number)
{
	if (unlikely(number >= BH_MAX_HANDLES)) {
		return NULL;
	}
	struct handle *page = __atomic_load_n(&domain->handle_pages[number / HANDLES_PER_PAGE],
	                                      __ATOMIC_ACQUIRE);

	return likely(page != NULL) ? &page[number % HANDLES_PER_PAGE] : NULL;
}

static inline struct object *handle_object(const struct handle *handle)
{
	return (struct object *)(handle->word & ~HANDLE_RIGHTS_MASK);
}

static inline uint32_t handle_rights(const struct handle *handle)
{
	return (uint32_t)(handle->word & HANDLE_RIGHTS_MASK);
}

/* The object that `number` names, if it is of that type and the handle has all the rights; else NULL. No lock. */
static inline struct object *handle_find(const struct domain *domain, uint64_t number,
                                         uint32_t type, uint32_t rights)
{
	struct handle *handle = handle_entry(domain, number);

	if (unlikely(handle == NULL)) {
		return NULL;
	}
	uint64_t word = __atomic_load_n(&handle->word, __ATOMIC_ACQUIRE);
	struct object *object = (struct object *)(word & ~HANDLE_RIGHTS_MASK);

	return likely(object != NULL && object->type == type && (word & rights) == rights) ? object
	                                                                                   : NULL;
}

/* Why handle_find() gave NULL: HANDLE or RIGHTS. */
int handle_error(const struct domain *domain, uint64_t number, uint32_t type);

/* Make the table of a new domain, with SELF. QUOTA, MEMORY. */
int handle_table_init(struct domain *domain) must_check;
/* Give its pages back; no handle but SELF is in use. */
void handle_table_free(struct domain *domain);

/* A free handle number, its table page present; `wanted` 0 = any. Nothing is taken before handle_fill(). EXISTS, LIMIT, QUOTA, MEMORY. */
int handle_reserve(struct domain *domain, uint64_t wanted) must_check;
/* What was reserved is not needed: a page that was added for it goes again. */
void handle_unreserve(struct domain *domain, int number);
/* Make handle `number` (just reserved) name `object`; derived from `parent` if that is not NULL. Returns number. */
int handle_fill(struct domain *domain, int number, struct object *object, uint32_t rights,
                struct handle *parent);
/* A copy for `domain`, derived from `handle`. As handle_reserve(); LIMIT also for too long a chain. */
int handle_give(struct handle *handle, struct domain *domain, uint32_t rights,
                uint64_t slot) must_check;
void handle_narrow(struct handle *handle, uint32_t rights);
/* Close all derived handles; with `is_close` this one too. OK, or AGAIN after REAP_STEPS steps. */
int handle_reap(struct handle *handle, bool is_close) must_check;
/* DOMAIN_DESTROY: stop it, close all its handles, give back what it is made of. OK or AGAIN. */
int handle_reap_domain(struct domain *domain) must_check;
/* The object's last handle is about to go: give back what it has. As domain_end(). (kernel/object.c) */
int object_end(struct object *object) must_check;
