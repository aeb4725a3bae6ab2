/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who pays for memory. Every page that the kernel uses for a domain, and every region, counts against the domain's quota_bytes; small
 * objects come out of slab pages of the payer, which go back to the pool when they are empty. payer NULL = the kernel itself.
 * Caller holds kernel_lock (or is the start code). The allocating functions stand in kernel/object.h.
 */
#pragma once

#include "kernel/domain.h"

/* QUOTA if it does not fit. */
int quota_charge(struct domain *payer, uint64_t bytes) must_check;
void quota_refund(struct domain *payer, uint64_t bytes);
/* One run of physical memory, not cleared. QUOTA, MEMORY, INVALID. */
int quota_run_allocate(struct domain *payer, uint64_t size, uint64_t alignment,
                       hpa_t *pa) must_check;
void quota_run_free(struct domain *payer, hpa_t pa, uint64_t size);
