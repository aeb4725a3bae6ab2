// SPDX-License-Identifier: Apache-2.0
/*
 * The model-specific registers that are in the CPU itself, as far as an access of them exits: seldom used, so they take the long way by the
 * whole record of a vCPU's state.
 *
 * Owns: nothing. Must never: allow in EFER what CPUID denies. Manual: SDM 4 table 2-2, APM 2 3.1.7.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/abi.h"

/* NOT_FOUND: there is no such register. */
int cpu_msr_read(const struct bh_vcpu_state *state, uint32_t number, uint64_t *value);

/*
 * Into `state`, whose `groups` are then what is to be set: that refuses addresses and memory types that cannot be. `features`: EDX of the
 * guest's CPUID leaf 80000001h. NOT_FOUND, or INVALID: not this value.
 */
int cpu_msr_write(struct bh_vcpu_state *state, uint32_t features, uint32_t number, uint64_t value);
