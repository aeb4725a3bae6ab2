// SPDX-License-Identifier: Apache-2.0
/*
 * The thread of one vCPU: runs it, and answers the exits that the kernel hands on.
 *
 * Owns: the run page between two vcpu_run() calls, and this thread's parking. Must never: touch another vCPU's run page.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"

/* Stops. Called by the control thread only. */

/* Makes all vCPU threads leave the guest and returns when the last one is parked. `wait` sleeps for an event. */
void vcpu_park_all(void (*wait)(void));
/* Lets all parked threads go on. */
void vcpu_release_all(void);

/*
 * State of a parked vCPU as after power-on. vCPU 0 starts as `start` says, or waits for SIPI if NULL; the
 * others wait for SIPI. Errors of the kernel's calls.
 */
int vcpu_reset(uint32_t vcpu_idx, const struct bh_cpu_state *start);

/* Forgets what a parked vCPU's last exit left for the kernel (a reset makes it void). */
void vcpu_answers_drop(uint32_t vcpu_idx);

/* Registers and activity of a parked vCPU. */
int vcpu_registers(uint32_t vcpu_idx, struct bh_cpu_state *registers, uint32_t *activity);
