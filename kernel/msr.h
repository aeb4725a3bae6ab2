/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model-specific registers that a guest writes all the time: the local APIC's in x2APIC mode, and the TSC deadline. All others are the
 * VMM's to answer (BH_EXIT_MSR).
 */
#pragma once

#include "kernel/vcpu.h"

/* False: not one of them, or the value is one that it refuses; nothing has happened. */
bool msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
