/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical memory: a buddy system over all RAM, with an owner for every page. Callers pay by kernel/quota.h where a domain pays.
 * A run of any number of pages costs just these pages. Has its own lock: any pCPU, any time, but not an NMI.
 */
#pragma once

#include "kernel/types.h"

#define MEMORY_ORDER_MAX 18u /* 1 GiB; longer runs are joined from neighbours */

/* Owners: a domain's id, or one of these. */
#define MEMORY_OWNER_KERNEL   0u
#define MEMORY_OWNER_BOOT     0x7fffu /* image, pages taken before this existed, boot data */
#define MEMORY_RECORD_FREE    0x8000u /* | order: first page of a free block */
#define MEMORY_RECORD_OUTSIDE 0xfffeu /* not RAM of ours */
#define MEMORY_RECORD_INSIDE  0xffffu /* within a free block, not its first page */

/*
 * Start, in this order: records for all frames below `limit` at `records` (2 bytes a frame, cleared by nobody), then the RAM that is
 * in use (counted as total, owned), then the RAM that is free.
 */
void memory_init(uint16_t *records, uint64_t limit);
void memory_add_used(hpa_t pa, uint64_t size, uint32_t owner);
void memory_add_free(hpa_t pa, uint64_t size);

/* `size` bytes in one run, page multiple, start aligned to `alignment` (power of two >= page). Not cleared. MEMORY, INVALID. */
int memory_allocate(uint64_t size, uint64_t alignment, uint32_t owner, hpa_t *pa) must_check;
/* Any run of pages of one owner, also a part of what was allocated. */
void memory_free(hpa_t pa, uint64_t size);
/* Pages in use become another owner's. */
void memory_change_owner(hpa_t pa, uint64_t size, uint32_t owner);
/* No page of the range is RAM that we manage. */
bool memory_is_outside(hpa_t pa, uint64_t size);
/* memory_record of one frame, for dumps and tests. */
uint32_t memory_record(hpa_t pa);
/* Bytes. */
uint64_t memory_total(void);
uint64_t memory_free_bytes(void);
/* Bytes that the kernel itself holds (owner 0). */
uint64_t memory_kernel_bytes(void);
