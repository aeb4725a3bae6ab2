/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that nobody can reach any more but that another pCPU may still be using: freed only after every pCPU has passed a safe point
 * and forgotten old translations. Filled during a call, emptied at its end. Caller holds kernel_lock.
 */
#pragma once

#include "kernel/object.h"

struct vm;

/* Free `object` by its type. */
void limbo_add_object(struct object *object);
/* Give back a run of pages and its quota. */
void limbo_add_pages(struct domain *payer, hpa_t pa, uint64_t size);
/* Rights were taken away in some ring-3 address space: translations must go before the call ends. */
void limbo_note_unmap(void);
/* The same for a guest's memory. To be called before its table changes. */
void limbo_note_guest_unmap(struct vm *vm);
/* Wait for the other pCPUs if anything asks for it, then free. */
void limbo_flush(void);
