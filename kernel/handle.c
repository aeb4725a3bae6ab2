/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handle tables, derivation, and the reaper, which takes handles away from the leaves of the tree, one bounded step at a time, without
 * recursion: it walks down to a handle without children; if that is the last one of a domain, into that domain's own handles.
 * Depth of the walk is bounded by HANDLE_DEPTH_MAX, twice: only root makes domains.
 */
#include "kernel/handle.h"

#include "kernel/call.h"
#include "kernel/quota.h"
#include "kernel/region.h"

int handle_error(const struct domain *domain, uint64_t number, uint32_t type)
{
	/* Without lock: another thread may be closing it. */
	uint64_t word = number < domain->handles_max
	                        ? __atomic_load_n(&domain->handles[number].word, __ATOMIC_ACQUIRE)
	                        : 0;
	const struct object *object = (const struct object *)(word & ~HANDLE_RIGHTS_MASK);

	return object == NULL || object->type != type ? BH_ERR_HANDLE : BH_ERR_RIGHTS;
}

int handle_reserve(const struct domain *domain, uint64_t wanted)
{
	uint64_t number = wanted != 0 ? wanted : HANDLE_FIRST_AUTO;

	while (wanted == 0 && handle_entry(domain, number) != NULL) {
		number++;
	}
	if (number >= domain->handles_max) {
		return BH_ERR_LIMIT;
	}
	return handle_entry(domain, number) != NULL ? BH_ERR_EXISTS : (int)number;
}

int handle_fill(struct domain *domain, int number, struct object *object, uint32_t rights,
                struct handle *parent)
{
	struct handle *handle = &domain->handles[number];

	CHECK(handle->word == 0 && ((uint64_t)object & HANDLE_RIGHTS_MASK) == 0);
	handle->domain = domain;
	handle->parent = parent;
	handle->depth = parent != NULL ? parent->depth + 1 : 0;
	list_init(&handle->children);
	list_init(&handle->mappings);
	list_init(&handle->node);
	if (parent != NULL) {
		list_insert_before(&parent->children, &handle->node);
	}
	object->handles_count++;
	domain->handles_used++;
	if (domain->handles_top < (uint32_t)number) {
		domain->handles_top = (uint32_t)number;
	}
	__atomic_store_n(&handle->word, (uint64_t)object | rights, __ATOMIC_RELEASE);
	return number;
}

static void handle_remove(struct handle *handle)
{
	list_remove(&handle->node);
	handle_object(handle)->handles_count--;
	handle->domain->handles_used--;
	__atomic_store_n(&handle->word, 0, __ATOMIC_RELEASE);
}

/* Any handle of a domain that has one. */
static struct handle *handle_last(struct domain *domain)
{
	while (handle_entry(domain, domain->handles_top) == NULL) {
		CHECK(domain->handles_top > 0);
		domain->handles_top--;
	}
	return &domain->handles[domain->handles_top];
}

/* Its object ends with this handle. */
static bool handle_is_last(const struct handle *handle)
{
	return handle_object(handle)->handles_count == 1;
}

static struct handle *reap_leaf(struct handle *handle)
{
	for (;;) {
		while (!list_is_empty(&handle->children)) {
			handle = list_entry(handle->children.next, struct handle, node);
		}
		if (handle_object(handle)->type != BH_OBJECT_DOMAIN || !handle_is_last(handle)) {
			return handle;
		}
		struct domain *domain = domain_of(handle_object(handle));

		domain_kill(domain, BH_DOMAIN_EXITED);
		if (domain->handles_used == 0) {
			return handle;
		}
		handle = handle_last(domain);
	}
}

/* One step at a handle without children: OK = it is gone, REAP_MORE, AGAIN = has to wait. */
static int reap_step(struct handle *handle)
{
	int result = BH_OK;

	if (!list_is_empty(&handle->mappings)) {
		mapping_remove(list_entry(handle->mappings.next, struct mapping, handle_node));
		return REAP_MORE;
	}
	if (handle_is_last(handle)) {
		result = object_end(handle_object(handle));
	}
	if (result == BH_OK) {
		handle_remove(handle);
	}
	return result;
}

/* Close all derived handles; with `is_close` this one too. OK, or AGAIN after REAP_STEPS steps. */
static int handle_reap(struct handle *handle, bool is_close)
{
	for (uint32_t step = 0; step < REAP_STEPS; step++) {
		if (!is_close && list_is_empty(&handle->children)) {
			return BH_OK;
		}
		struct handle *leaf = reap_leaf(handle);
		int result = reap_step(leaf);

		if (result < 0 || (result == BH_OK && leaf == handle)) {
			return result;
		}
	}
	return BH_ERR_AGAIN;
}

int64_t call_handle_give(struct call *call)
{
	struct object *domain;
	uint64_t rights = call->arg[2];
	int error = call_object(call, call->arg[1], BH_OBJECT_DOMAIN, BH_RIGHT_CONTROL, &domain);

	if (error < 0) {
		return error;
	}
	if (domain->is_dying) {
		return BH_ERR_DEAD;
	}
	if (rights == 0 || (rights & ~(uint64_t)BH_RIGHTS_ALL) != 0 ||
	    call->arg[3] == BH_HANDLE_SELF) {
		return BH_ERR_INVALID;
	}
	if ((handle_rights(call->handle) & (rights | BH_RIGHT_GIVE)) != (rights | BH_RIGHT_GIVE)) {
		return BH_ERR_RIGHTS;
	}
	int number = handle_reserve(domain_of(domain), call->arg[3]);

	return number < 0 ? number
	                  : handle_fill(domain_of(domain), number, call->object, (uint32_t)rights,
	                                call->handle);
}

int64_t call_handle_revoke(struct call *call)
{
	return handle_reap(call->handle, false);
}

int64_t call_handle_close(struct call *call)
{
	return handle_reap(call->handle, true);
}
