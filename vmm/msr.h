// SPDX-License-Identifier: Apache-2.0
/*
 * The model-specific registers that have no place in the CPU or the local APIC, and the time stamp: what they read, and what becomes of
 * writes (for the others: lapic.h, cpu_msr.h).
 *
 * Owns: the policy, and one vCPU's values. Must never: touch another vCPU's. Manual: SDM 4, APM 2 A.
 */
#pragma once

#include <stdint.h>

#include "vmm/kvmclock.h"
#include "vmm/steal.h"

#define MSR_MTRR_VARIABLE_COUNT 16u /* base and mask of 8 ranges */
#define MSR_MTRR_FIXED_COUNT    11u

/* All zero but for `run`, `clock` and `steal` before the first reset. */
struct msr_state {
	uint64_t mtrr_variable[MSR_MTRR_VARIABLE_COUNT];
	uint64_t mtrr_fixed[MSR_MTRR_FIXED_COUNT];
	uint64_t mtrr_def_type;
	uint64_t misc_enable;
	uint64_t tsc_adjust;
	uint64_t pv_eoi; /* as the guest wrote it */
	struct bh_run *run;
	struct kvmclock clock;
	struct steal steal;
};

/* As after power-on, with memory types set as firmware leaves them. */
void msr_reset(struct msr_state *msrs);

/* PV_EOI_EN: where the guest has its word (bit 0: on). INVALID: reserved bits are set. An address that is not RAM is ignored. */
int msr_pv_eoi_set(struct msr_state *msrs, uint64_t value);

/*
 * BH_ERR_NOT_FOUND: there is no such register. BH_ERR_INVALID: this value is refused. Either is
 * #GP(0) for the guest, and nothing has changed.
 */
int msr_read(struct msr_state *msrs, uint32_t number, uint64_t *value);
int msr_write(struct msr_state *msrs, uint32_t number, uint64_t value);
