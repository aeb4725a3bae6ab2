/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model-specific registers of a guest that are state of the CPU or of the local APIC (SDM 4, APM 2 A), as far as the MSR bitmap lets
 * them exit. All others are policy, and the VMM's.
 */
#pragma once

#include "kernel/vcpu.h"

/* NOT_FOUND: not the kernel's. INVALID: #GP(0) for the guest; nothing has happened. */
int msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value) must_check;
int msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value) must_check;
/* The writes that are worth it on the fast path (local APIC, TSC deadline). False: nothing has happened, take the slow path. */
bool msr_guest_fast(struct vcpu *vcpu, uint32_t msr, uint64_t value);
/*
 * HVM_PAT to HVM_KERNEL_GS_BASE: addresses are canonical, PAT's bytes are memory types (SDM 3A 11.12.2). No other value makes a WRMSR or
 * VMLOAD of ours fault.
 */
bool msr_value_is_valid(uint32_t reg, uint64_t value);
/* The guest's TSC reads `value` now. */
void msr_guest_set_tsc(struct vcpu *vcpu, uint64_t value);

static inline bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}
