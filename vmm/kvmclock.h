// SPDX-License-Identifier: Apache-2.0
/*
 * Time for the guest in KVM's form: a page for each vCPU from which the guest computes nanoseconds
 * out of its TSC, and the wall clock at time 0, which is the start of this machine.
 *
 * Owns: the two registers of one vCPU and the records that they name in guest memory. Must never:
 * write anywhere but into the guest's RAM. The TSC never stops nor changes its rate, so a record is
 * written once, and again only after the guest has moved its TSC.
 * Manual: Linux Documentation/virt/kvm/x86/msr.rst.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/abi.h"
#include "vmm/guest_memory.h"

struct kvmclock {
	const struct guest_memory *memory;
	const struct bh_info *info;
	uint64_t wall_seconds;      /* UNIX time at info->boot_tsc */
	const uint64_t *tsc_offset; /* in the run page */
	uint64_t system_time;       /* the registers as the guest wrote them */
	uint64_t wall_clock;
	uint32_t version; /* of the clock record, even */
};

/* The guest writes SYSTEM_TIME (bit 0: on) or WALL_CLOCK. An address that is not RAM is ignored. */
void kvmclock_set_system_time(struct kvmclock *clock, uint64_t value);
void kvmclock_set_wall_clock(struct kvmclock *clock, uint64_t value);

/* The guest's TSC has moved. Does nothing while the clock is off. */
void kvmclock_update(struct kvmclock *clock);

/*
 * The guest, which does not run at the moment, was paused: its watchdogs must not take the time for a CPU's or a task's that hangs (Linux looks
 * for it there). Does nothing while the clock is off.
 */
void kvmclock_tell_pause(const struct kvmclock *clock);

/* Pure: nanoseconds = (ticks shifted left by *shift) * *multiplier >> 32. */
void kvmclock_scale(uint64_t tsc_hz, uint32_t *multiplier, int8_t *shift);
