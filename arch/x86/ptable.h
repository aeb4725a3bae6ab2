/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page-table walker for the kernel and for three formats of others: ring-3 address spaces and NPT (SDM 3A 4.5, APM 2 5.3, 15.25) and EPT (SDM 3C 28.3.2).
 * Maps with the largest page that fits (1G where the CPU has it, 2M, 4K). Table pages come from an allocator.
 * Never flushes: the caller does.
 */
#pragma once

#include "kernel/types.h"

enum ptable_format {
	PTABLE_KERNEL, /* the kernel's own half; pages by arch_early_pages, never freed */
	PTABLE_HOST,
	PTABLE_NPT,
	PTABLE_EPT
};

#define PTABLE_READ     0x1u
#define PTABLE_WRITE    0x2u
#define PTABLE_EXECUTE  0x4u
#define PTABLE_UNCACHED 0x8u

struct ptable {
	hpa_t root; /* one page: the value of CR3, nCR3, EPTP but for its low bits */
	enum ptable_format format;
	bool has_1g;
	void *owner; /* given to the allocator: the domain that pays */
};

/* Supplied by kernel/: one cleared page, or BH_ERR_MEMORY / BH_ERR_QUOTA; and back. */
int ptable_page_allocate(void *owner, hpa_t *page) must_check;
void ptable_page_free(void *owner, hpa_t page);

int ptable_init(struct ptable *pt, enum ptable_format format, bool has_1g, void *owner) must_check;
/* Free every table page below `limit` (ring-3 half only for PTABLE_HOST), and the root. */
void ptable_destroy(struct ptable *pt);
/* Map [va, va + size) to [pa, ...). EXISTS if any part is mapped (then nothing has changed), MEMORY/QUOTA (undone). 4K-aligned all. */
int ptable_map(struct ptable *pt, uint64_t va, hpa_t pa, uint64_t size, uint32_t flags) must_check;
/* Remove [va, va + size), which was mapped by exactly one ptable_map call; empties and frees tables. */
void ptable_unmap(struct ptable *pt, uint64_t va, uint64_t size);
