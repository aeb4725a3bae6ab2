// SPDX-License-Identifier: Apache-2.0
/*
 * From power-on to the first instruction: devices reset, tables written, images loaded, vCPUs set.
 *
 * Must never: run while a vCPU thread is not parked.
 */
#pragma once

#include <stddef.h>

#include "bulkhead/abi.h"

/*
 * Gives the guest its CPUID table; once, before the first boot_start(). Errors of the kernel's
 * calls, or BH_ERR_LIMIT.
 */
int boot_set_cpuid(void);
/* A CPUID that the kernel does not answer, into the registers of that vCPU. */
void boot_answer_cpuid(uint32_t vcpu_idx, struct bh_cpu_state *state);

/*
 * One start from the images: all but letting the vCPUs go. On an error `reason` gets one line that
 * says what was wrong and what would fit.
 */
int boot_start(char *reason, size_t reason_size, void (*wait)(void));

/* How vCPU 0 starts, after the images are loaded. */
const struct bh_cpu_state *boot_start_state(void);
