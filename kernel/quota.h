/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who pays for memory, and when it goes back. Every page that the kernel uses for a domain, and every region, counts against the domain's
 * quota_bytes; small records come out of pages of the payer, which go back to the pool when they are empty.
 * What another pCPU may still be using goes to limbo: it is freed at the end of the call, after every pCPU has passed a safe point and
 * forgotten old translations. Caller holds kernel_lock (or is the start code). Pages are in kernel/object.h.
 */
#pragma once

#include "kernel/domain.h"

#define SMALL_BYTES 192u /* the greatest small record */

struct vm;

/* QUOTA if it does not fit. */
int quota_charge(struct domain *payer, uint64_t bytes) must_check;
void quota_refund(struct domain *payer, uint64_t bytes);
/* One run of physical memory, not cleared. QUOTA, MEMORY, INVALID. */
int quota_run_allocate(struct domain *payer, uint64_t size, uint64_t alignment,
                       hpa_t *pa) must_check;
void quota_run_free(struct domain *payer, hpa_t pa, uint64_t size);
/* SMALL_BYTES, cleared; NULL when there is no quota or memory. */
void *small_allocate(struct domain *payer);
void small_free(struct domain *payer, void *record);

/* A small record of a new object; NULL. */
void *object_create(enum bh_object_type type, struct domain *payer);
/* The last handle is about to go: give back what the object has and, by way of limbo and last of all, what it is. BH_OK, REAP_MORE, AGAIN = a thread has to leave first. */
int object_end(struct object *object) must_check;
/* Give back a run of pages and its quota. */
void limbo_add_pages(struct domain *payer, hpa_t pa, uint64_t size);
/* Rights are taken away in a ring-3 address space, or with `vm` in a guest's memory (call before its table changes). */
void limbo_note_unmap(struct vm *vm);
/* Wait for the other pCPUs if anything asks for it, then free. */
void limbo_flush(void);
