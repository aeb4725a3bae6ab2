/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas, and small objects in slab pages. A slab page belongs to one payer and one size class; free slots are linked by their index.
 * Must never hand out memory that has not been cleared.
 */
#include "kernel/quota.h"

#include "kernel/limbo.h"
#include "kernel/memory.h"
#include "kernel/string.h"

struct slab {
	struct list node; /* in payer->slabs[class] while it has free slots; alone else */
	uint16_t class_idx;
	uint16_t used_count;
	uint16_t free_first; /* index of a free slot, or SLAB_END */
	uint16_t fresh;      /* slots from here on were never used */
};

#define SLAB_HEAD 64u /* bytes before the first slot; slots stay 32-byte aligned */
#define SLAB_END  0xffffu

static const uint16_t slab_sizes[SLAB_CLASSES] = { 32, 64, 96, 128, 256, 512 };

static struct domain *payer_or_kernel(struct domain *payer)
{
	return payer != NULL ? payer : &kernel_domain;
}

int quota_charge(struct domain *payer, uint64_t bytes)
{
	payer = payer_or_kernel(payer);
	if (payer == &kernel_domain) {
		return BH_OK; /* not counted here: the start code of all pCPUs comes this way without lock */
	}
	if (bytes > payer->quota_bytes - payer->used_bytes) {
		return BH_ERR_QUOTA;
	}
	payer->used_bytes += bytes;
	return BH_OK;
}

void quota_refund(struct domain *payer, uint64_t bytes)
{
	payer = payer_or_kernel(payer);
	if (payer != &kernel_domain) {
		CHECK(payer->used_bytes >= bytes);
		payer->used_bytes -= bytes;
	}
}

int quota_run_allocate(struct domain *payer, uint64_t size, uint64_t alignment, hpa_t *pa)
{
	int error = quota_charge(payer, size);

	if (error < 0) {
		return error;
	}
	error = memory_allocate(size, alignment, payer_or_kernel(payer)->id, pa);
	if (error < 0) {
		quota_refund(payer, size);
	}
	return error;
}

void quota_run_free(struct domain *payer, hpa_t pa, uint64_t size)
{
	memory_change(pa, size, payer_or_kernel(payer)->id, MEMORY_FREE);
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
	quota_run_free(payer, pa, PAGE_SIZE << order);
}

int ptable_page_allocate(void *owner, hpa_t *page)
{
	return quota_pages_allocate(owner, 0, page);
}

/* A pCPU may still hold the page in its paging-structure caches (SDM 3A 4.10.3). */
void ptable_page_free(void *owner, hpa_t page)
{
	limbo_add_pages(owner, page, PAGE_SIZE);
}

static uint32_t slab_class(size_t size)
{
	uint32_t class_idx = 0;

	CHECK(size <= slab_sizes[SLAB_CLASSES - 1]);
	while (slab_sizes[class_idx] < size) {
		class_idx++;
	}
	return class_idx;
}

static struct slab *slab_create(struct domain *payer, uint32_t class_idx)
{
	hpa_t page;

	if (quota_pages_allocate(payer, 0, &page) < 0) {
		return NULL;
	}
	struct slab *slab = phys_to_virt(page);

	slab->class_idx = (uint16_t)class_idx;
	slab->free_first = SLAB_END;
	list_insert_before(&payer->slabs[class_idx], &slab->node);
	return slab;
}

static void *slab_slot(struct slab *slab, uint32_t slot)
{
	return (char *)slab + SLAB_HEAD + slot * slab_sizes[slab->class_idx];
}

void *quota_object_allocate(struct domain *payer, size_t size)
{
	uint32_t class_idx = slab_class(size);
	struct slab *slab;
	uint16_t *object;

	payer = payer_or_kernel(payer);
	if (list_is_empty(&payer->slabs[class_idx])) {
		slab = slab_create(payer, class_idx);
	} else {
		slab = list_entry(payer->slabs[class_idx].next, struct slab, node);
	}
	if (slab == NULL) {
		return NULL;
	}
	if (slab->free_first != SLAB_END) {
		object = slab_slot(slab, slab->free_first);
		slab->free_first = *object;
	} else {
		object = slab_slot(slab, slab->fresh++);
	}
	slab->used_count++;
	if (slab->free_first == SLAB_END &&
	    SLAB_HEAD + (slab->fresh + 1u) * slab_sizes[class_idx] > PAGE_SIZE) {
		list_remove(&slab->node);
	}
	memset(object, 0, slab_sizes[class_idx]);
	return object;
}

void quota_object_free(struct domain *payer, void *object, size_t size)
{
	struct slab *slab = (struct slab *)((uint64_t)object & ~(PAGE_SIZE - 1));
	uint16_t *slot = object;

	payer = payer_or_kernel(payer);
	CHECK(slab->class_idx == slab_class(size) && slab->used_count > 0);
	*slot = slab->free_first;
	slab->free_first = (uint16_t)(((uint64_t)object % PAGE_SIZE - SLAB_HEAD) /
	                              slab_sizes[slab->class_idx]);
	slab->used_count--;
	list_remove(&slab->node);
	if (slab->used_count == 0) {
		quota_pages_free(payer, 0, virt_to_phys(slab));
	} else {
		list_insert_before(payer->slabs[slab->class_idx].next, &slab->node);
	}
}
