/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handle tables, derivation, and the reaper, which takes handles away from the leaves of the tree, one bounded step at a time, without
 * recursion: it walks down to a handle without children; if that is the last one of a domain, into that domain's own handles.
 * Depth of the walk is bounded by HANDLE_DEPTH_MAX and DOMAIN_DEPTH_MAX.
 */
#include "kernel/handle.h"

#include "kernel/limbo.h"
#include "kernel/quota.h"
#include "kernel/region.h"

#define DIRECTORY_BYTES (HANDLE_PAGES * sizeof(struct handle *))

int handle_error(const struct domain *domain, uint64_t number, uint32_t type)
{
	const struct handle *handle = handle_entry(domain, number);

	if (handle == NULL || handle->word == 0 || handle_object(handle)->type != type) {
		return BH_ERR_HANDLE;
	}
	return BH_ERR_RIGHTS;
}

static int table_page_add(struct domain *domain, uint32_t page_idx)
{
	hpa_t pa;
	int error = quota_pages_allocate(domain, 0, &pa);

	if (error < 0) {
		return error;
	}
	struct handle *page = phys_to_virt(pa);

	for (uint32_t i = 0; i < HANDLES_PER_PAGE; i++) {
		page[i].domain = domain;
		page[i].idx = (uint16_t)(page_idx * HANDLES_PER_PAGE + i);
	}
	__atomic_store_n(&domain->handle_pages[page_idx], page, __ATOMIC_RELEASE);
	return BH_OK;
}

static void table_page_remove(struct domain *domain, uint32_t page_idx)
{
	struct handle *page = domain->handle_pages[page_idx];

	__atomic_store_n(&domain->handle_pages[page_idx], NULL, __ATOMIC_RELEASE);
	limbo_add_pages(domain, virt_to_phys(page), PAGE_SIZE);
}

int handle_table_init(struct domain *domain)
{
	domain->handle_pages = quota_object_allocate(domain, DIRECTORY_BYTES);
	if (domain->handle_pages == NULL) {
		return BH_ERR_QUOTA;
	}
	int error = table_page_add(domain, 0);

	if (error < 0) {
		quota_object_free(domain, domain->handle_pages, DIRECTORY_BYTES);
		domain->handle_pages = NULL;
		return error;
	}
	struct handle *self = &domain->handle_pages[0][BH_HANDLE_SELF];

	self->is_self = true;
	self->word = (uint64_t)&domain->object | BH_RIGHT_READ;
	domain->handles_hint = HANDLE_FIRST_AUTO;
	return BH_OK;
}

void handle_table_free(struct domain *domain)
{
	for (uint32_t i = 0; i < HANDLE_PAGES; i++) {
		if (domain->handle_pages[i] != NULL) {
			table_page_remove(domain, i);
		}
	}
	limbo_flush();
	quota_object_free(domain, domain->handle_pages, DIRECTORY_BYTES);
	domain->handle_pages = NULL;
}

static bool number_is_free(const struct domain *domain, uint32_t number)
{
	const struct handle *handle = handle_entry(domain, number);

	return handle == NULL || handle->word == 0;
}

int handle_reserve(struct domain *domain, uint64_t wanted)
{
	uint32_t number = (uint32_t)wanted;

	if (wanted >= BH_MAX_HANDLES) {
		return BH_ERR_LIMIT;
	}
	if (wanted == 0) {
		number = domain->handles_hint;
		while (number < BH_MAX_HANDLES && !number_is_free(domain, number)) {
			number++;
		}
		domain->handles_hint = number;
	}
	if (number >= BH_MAX_HANDLES) {
		return BH_ERR_LIMIT;
	}
	if (!number_is_free(domain, number)) {
		return BH_ERR_EXISTS;
	}
	if (domain->handle_pages[number / HANDLES_PER_PAGE] == NULL) {
		int error = table_page_add(domain, number / HANDLES_PER_PAGE);

		if (error < 0) {
			return error;
		}
	}
	return (int)number;
}

void handle_unreserve(struct domain *domain, int number)
{
	uint32_t page_idx = (uint32_t)number / HANDLES_PER_PAGE;

	if (page_idx != 0 && domain->handle_pages[page_idx][0].page_used == 0) {
		table_page_remove(domain, page_idx);
	}
}

static void tree_insert(struct handle *handle, struct handle *parent)
{
	handle->parent = parent;
	handle->child = NULL;
	handle->prev = NULL;
	handle->next = NULL;
	handle->depth = 0;
	if (parent == NULL) {
		return;
	}
	handle->depth = (uint8_t)(parent->depth + 1);
	handle->next = parent->child;
	if (handle->next != NULL) {
		handle->next->prev = handle;
	}
	parent->child = handle;
}

static void tree_remove(struct handle *handle)
{
	if (handle->next != NULL) {
		handle->next->prev = handle->prev;
	}
	if (handle->prev != NULL) {
		handle->prev->next = handle->next;
	} else if (handle->parent != NULL) {
		handle->parent->child = handle->next;
	}
	handle->parent = handle->next = handle->prev = NULL;
}

int handle_fill(struct domain *domain, int number, struct object *object, uint32_t rights,
                struct handle *parent)
{
	struct handle *handle = handle_entry(domain, (uint32_t)number);

	CHECK(handle != NULL && handle->word == 0 && ((uint64_t)object & HANDLE_RIGHTS_MASK) == 0);
	tree_insert(handle, parent);
	object->handles_count++;
	domain->handles_used++;
	domain->handle_pages[handle->idx / HANDLES_PER_PAGE][0].page_used++;
	if (domain->handles_top < handle->idx) {
		domain->handles_top = handle->idx;
	}
	__atomic_store_n(&handle->word, (uint64_t)object | rights, __ATOMIC_RELEASE);
	return number;
}

int handle_give(struct handle *handle, struct domain *domain, uint32_t rights, uint64_t slot)
{
	if (handle->depth + 1u >= HANDLE_DEPTH_MAX) {
		return BH_ERR_LIMIT;
	}
	int number = handle_reserve(domain, slot);

	return number < 0 ? number
	                  : handle_fill(domain, number, handle_object(handle), rights, handle);
}

void handle_narrow(struct handle *handle, uint32_t rights)
{
	__atomic_and_fetch(&handle->word, ~HANDLE_RIGHTS_MASK | rights, __ATOMIC_ACQ_REL);
}

static void handle_remove(struct handle *handle)
{
	struct domain *domain = handle->domain;
	uint32_t page_idx = handle->idx / HANDLES_PER_PAGE;

	tree_remove(handle);
	handle_object(handle)->handles_count--;
	__atomic_store_n(&handle->word, 0, __ATOMIC_RELEASE);
	domain->handles_used--;
	if (handle->idx >= HANDLE_FIRST_AUTO && handle->idx < domain->handles_hint) {
		domain->handles_hint = handle->idx;
	}
	if (--domain->handle_pages[page_idx][0].page_used == 0 && page_idx != 0) {
		table_page_remove(domain, page_idx);
	}
}

/* Any handle but SELF of a domain that has one. */
static struct handle *handle_last(struct domain *domain)
{
	for (;;) {
		struct handle *handle = handle_entry(domain, domain->handles_top);

		if (handle != NULL && handle->word != 0 && !handle->is_self) {
			return handle;
		}
		CHECK(domain->handles_top > 0);
		domain->handles_top--;
	}
}

/* Its object ends with this handle. */
static bool handle_is_last(const struct handle *handle)
{
	return !handle->is_self && handle_object(handle)->handles_count == 1;
}

static struct handle *reap_leaf(struct handle *handle)
{
	for (;;) {
		while (handle->child != NULL) {
			handle = handle->child;
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
	if (handle->mappings != NULL) {
		mapping_remove(handle->mappings);
		return REAP_MORE;
	}
	if (handle_is_last(handle)) {
		int error = object_end(handle_object(handle));

		if (error != BH_OK) {
			return error;
		}
	}
	handle_remove(handle);
	return BH_OK;
}

int handle_reap(struct handle *handle, bool is_close)
{
	for (uint32_t step = 0; step < REAP_STEPS; step++) {
		struct handle *leaf = handle->child != NULL || is_close ? reap_leaf(handle)
		                                                        : handle;

		if (leaf == handle && !is_close) {
			return BH_OK;
		}
		int result = reap_step(leaf);

		if (result < 0 || (result == BH_OK && leaf == handle)) {
			return result;
		}
	}
	return BH_ERR_AGAIN;
}

int handle_reap_domain(struct domain *domain)
{
	if (domain->is_destroyed) {
		return BH_OK;
	}
	domain_kill(domain, BH_DOMAIN_EXITED);
	for (uint32_t step = 0; step < REAP_STEPS; step++) {
		bool is_empty = domain->handles_used == 0;
		int result = is_empty ? domain_end(domain)
		                      : reap_step(reap_leaf(handle_last(domain)));

		if (result < 0 || (result == BH_OK && is_empty)) {
			return result;
		}
	}
	return BH_ERR_AGAIN;
}
