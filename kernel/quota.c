/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas, and small records: a page of a payer's holds SMALL_COUNT of them behind its head, which has a bit for each that is free.
 * Must never hand out memory that has not been cleared.
 */
#include "kernel/quota.h"

#include "kernel/memory.h"
#include "kernel/string.h"

struct small_page {
	struct list node; /* in payer->small_pages while a record is free; alone else */
	uint32_t free;
} __attribute__((aligned(64)));

#define SMALL_COUNT ((PAGE_SIZE - sizeof(struct small_page)) / SMALL_BYTES)

int quota_charge(struct domain *payer, uint64_t bytes)
{
	if (bytes > payer->quota_bytes - payer->used_bytes) {
		return BH_ERR_QUOTA;
	}
	payer->used_bytes += bytes;
	return BH_OK;
}

void quota_refund(struct domain *payer, uint64_t bytes)
{
	CHECK(payer->used_bytes >= bytes);
	payer->used_bytes -= bytes;
}

int quota_run_allocate(struct domain *payer, uint64_t size, uint64_t alignment, hpa_t *pa)
{
	int error = quota_charge(payer, size);

	if (error < 0) {
		return error;
	}
	error = memory_allocate(size, alignment, payer->id, pa);
	if (error < 0) {
		quota_refund(payer, size);
	}
	return error;
}

void quota_run_free(struct domain *payer, hpa_t pa, uint64_t size)
{
	memory_change(pa, size, payer->id, MEMORY_FREE);
	quota_refund(payer, size);
}

int quota_pages_allocate(struct domain *payer, uint32_t order, hpa_t *pa)
{
	uint64_t size = PAGE_SIZE << order;
	int error = quota_run_allocate(payer, size, size, pa);

	if (error == BH_OK) {
		memset(phys_to_virt(*pa), 0, size);
	}
	return error;
}

void quota_pages_free(struct domain *payer, uint32_t order, hpa_t pa)
{
	limbo_add_pages(payer, pa, PAGE_SIZE << order);
}

int ptable_page_allocate(void *owner, hpa_t *page)
{
	return quota_pages_allocate(owner, 0, page);
}

/* A pCPU may still hold the page in its paging-structure caches (SDM 3A 4.10.3). */
void ptable_page_free(void *owner, hpa_t page)
{
	quota_pages_free(owner, 0, page);
}

void *small_allocate(struct domain *payer)
{
	hpa_t pa;

	if (list_is_empty(&payer->small_pages)) {
		if (quota_pages_allocate(payer, 0, &pa) < 0) {
			return NULL;
		}
		struct small_page *fresh = phys_to_virt(pa);

		fresh->free = (uint32_t)BIT(SMALL_COUNT) - 1;
		list_insert_before(&payer->small_pages, &fresh->node);
	}
	struct small_page *page = list_entry(payer->small_pages.next, struct small_page, node);
	char *record = (char *)(page + 1) + (uint32_t)__builtin_ctz(page->free) * SMALL_BYTES;

	page->free &= page->free - 1;
	if (page->free == 0) {
		list_remove(&page->node);
	}
	return memset(record, 0, SMALL_BYTES);
}

void small_free(struct domain *payer, void *record)
{
	struct small_page *page = (struct small_page *)ALIGN_DOWN((uint64_t)record, PAGE_SIZE);
	uint64_t bit = BIT(((uint64_t)record - (uint64_t)(page + 1)) / SMALL_BYTES);

	CHECK((page->free & bit) == 0);
	page->free |= (uint32_t)bit;
	list_remove(&page->node);
	if (page->free == BIT(SMALL_COUNT) - 1) {
		quota_run_free(payer, virt_to_phys(page), PAGE_SIZE);
	} else {
		list_insert_before(payer->small_pages.next, &page->node);
	}
}
