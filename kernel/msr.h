/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers that a guest does not own by the MSR bitmap. Errors mean #GP(0) for the guest; nothing else happens then.
 */
#pragma once

#include "kernel/vcpu.h"

/* Any intercepted register. NOT_FOUND: no such register (counted, logged at a limited rate); INVALID: value refused. */
int msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value) must_check;
int msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value) must_check;
/* The few that are worth it on the fast path (local APIC, TSC deadline). False: nothing has happened, take the slow path. */
bool msr_guest_fast(struct vcpu *vcpu, uint32_t msr, bool is_write, uint64_t *value);
/* Every byte of a PAT value is a memory type (SDM 3A 11.12.2). */
bool msr_pat_is_valid(uint64_t value);
/* The guest's TSC reads `value` now. */
void msr_guest_set_tsc(struct vcpu *vcpu, uint64_t value);
