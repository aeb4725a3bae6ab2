// SPDX-License-Identifier: Apache-2.0
/*
 * The local APIC's registers as a guest reaches them: which there are in which mode, and which bits of a write count. The kernel keeps the
 * APIC and does what a register's write starts (kernel/vlapic.c); it takes values as they are.
 *
 * Owns: nothing. Must never: write but into the run page. Manual: SDM 3A 11.4, 11.12.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"

struct lapic {
	struct bh_run *run;
	const volatile uint32_t *registers; /* the page: the one at offset o is [o / 4] */
};

/* A write in xAPIC mode, 32 bits at a multiple of 16. What is not there or not writable ignores it. */
void lapic_write(const struct lapic *lapic, uint32_t offset, uint32_t value);

/*
 * IA32_APIC_BASE, and the registers of x2APIC mode. NOT_FOUND: no such register, or not in this mode. INVALID: it refuses the value.
 */
int lapic_msr_read(const struct lapic *lapic, uint32_t number, uint64_t *value);
int lapic_msr_write(const struct lapic *lapic, uint32_t number, uint64_t value);
