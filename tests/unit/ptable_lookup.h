/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a table of the kernel's page-table walker says of an address, found by a walk of its own over the fake RAM: the kernel itself never
 * asks. SDM 3A 4.5, 3C 28.3.2.
 */
#pragma once

#include "arch/x86/arch_inline.h"
#include "arch/x86/ptable.h"
#include "arch/x86/reg/cr.h"

/* Physical address and PTABLE_* that `va` maps to; false if none. `left`: bytes to the end of that page. */
static inline bool ptable_lookup(const struct ptable *pt, uint64_t va, hpa_t *pa, uint32_t *flags,
                                 uint64_t *left)
{
	uint64_t span = 1ull << 39, entry = pt->root.raw;

	if (pt->format != PTABLE_KERNEL && va >= (pt->format == PTABLE_HOST ? BIT(47) : BIT(48))) {
		return false;
	}
	for (;; span >>= 9) {
		const uint64_t *table = phys_to_virt(HPA(entry & PTE_ADDRESS));

		entry = table[va / span % 512];
		if ((entry & 1) == 0) {
			return false;
		}
		if (span == PAGE_SIZE || (entry & PTE_LARGE) != 0) {
			break;
		}
	}
	*left = span - va % span;
	*pa = HPA((entry & PTE_ADDRESS & ~(span - 1)) + va % span);
	if (pt->format == PTABLE_EPT) {
		*flags = (uint32_t)(entry & 7) | ((entry & 0x38) == 0 ? PTABLE_UNCACHED : 0);
	} else {
		*flags = (uint32_t)(entry & 3) | (entry & PTE_NX ? 0 : PTABLE_EXECUTE) |
		         (entry & PTE_PCD ? PTABLE_UNCACHED : 0);
	}
	return true;
}
