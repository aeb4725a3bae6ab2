/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical memory: one owner for every page, free runs found first-fit from below. Callers pay by kernel/quota.h where a domain pays.
 * A run of any number of pages costs just these pages. Has its own lock: any pCPU, any time, but not an NMI.
 */
#pragma once

#include "kernel/types.h"

/* Owners: a domain's id, or one of these. */
#define MEMORY_OWNER_KERNEL 0u
#define MEMORY_OWNER_BOOT   0x7fffu /* image, pages taken before this existed, boot data */
#define MEMORY_FREE         0xfffeu
#define MEMORY_OUTSIDE      0xffffu /* not RAM of ours */

#define MEMORY_BLOCK_PAGES  512u /* 2 MiB: the search skips a block without free pages */

struct memory_bytes {
	uint64_t total, free, kernel;
};
extern struct memory_bytes memory_bytes;

/* Start: every frame below `limit` is OUTSIDE; what is RAM is then told by memory_change(). `records`: one a frame, one a block, and one. */
void memory_init(uint16_t *records, uint64_t limit);
/* `size` bytes in one run, page multiple, start aligned to `alignment` (power of two >= page). Not cleared. MEMORY, INVALID. */
int memory_allocate(uint64_t size, uint64_t alignment, uint32_t owner, hpa_t *pa) must_check;
/* All pages of a run go from one owner to another (MEMORY_FREE: back to the pool), also a part of what was allocated. */
void memory_change(hpa_t pa, uint64_t size, uint32_t from, uint32_t to);
/* No page of the range is RAM that we manage. */
bool memory_is_outside(hpa_t pa, uint64_t size);
/* The owner of one frame. */
uint32_t memory_owner(hpa_t pa);
