// SPDX-License-Identifier: Apache-2.0
/*
 * Stolen time for the guest in KVM's form: how long a vCPU could have run and others did on its pCPU.
 *
 * Owns: the register of one vCPU and the record that it names in guest memory. The kernel counts and tells, by a kick, when there is more
 * (bh_vcpu_stats.steal_tsc). Must never: write anywhere but into the guest's RAM. Manual: Linux Documentation/virt/kvm/x86/msr.rst.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/abi.h"
#include "vmm/guest_memory.h"

struct steal {
	const struct guest_memory *memory;
	const struct bh_info *info;
	const uint64_t *steal_tsc; /* in the statistics page */
	uint64_t *preempted_byte;  /* in the run page */
	uint64_t value;            /* the register as the guest wrote it */
	uint64_t base_tsc;         /* *steal_tsc when it was turned on: the guest counts from 0 */
	uint64_t told_tsc;         /* *steal_tsc at the last record */
	uint32_t version;          /* of the record, even */
};

/* The guest writes STEAL_TIME (bit 0: on). BH_ERR_INVALID: reserved bits are set. An address that is not RAM is ignored. */
int steal_set(struct steal *steal, uint64_t value);

/* There may be more: into the record, if it is on and there is. */
void steal_update(struct steal *steal);
