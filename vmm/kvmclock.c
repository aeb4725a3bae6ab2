// SPDX-License-Identifier: Apache-2.0
/*
 * The paravirtual clock. All vCPUs count from the same instant with the same factor, so their clocks
 * agree to the tick, as the "stable" flag promises.
 */
#include "vmm/kvmclock.h"

#include <stddef.h>

#define NS_PER_SECOND    1000000000ull
#define ENABLED          1ull
#define CLOCK_TSC_STABLE 1u
#define CLOCK_WAS_PAUSED 2u /* KVM's PVCLOCK_GUEST_STOPPED; the guest clears it */

struct clock_record {
	uint32_t version; /* odd while it is written */
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time_ns; /* at tsc_timestamp */
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags;
	uint8_t pad2[2];
};
_Static_assert(sizeof(struct clock_record) == 32, "KVM's ABI");

struct wall_record {
	uint32_t version;
	uint32_t seconds;
	uint32_t nanoseconds;
};

void kvmclock_scale(uint64_t tsc_hz, uint32_t *multiplier, int8_t *shift)
{
	uint64_t hz = tsc_hz;

	/* Into (1, 2] GHz: then the multiplier fits in 32 bits and uses all of them. */
	*shift = 0;
	while (hz > 2 * NS_PER_SECOND) {
		hz >>= 1;
		(*shift)--;
	}
	while (hz <= NS_PER_SECOND) {
		hz <<= 1;
		(*shift)++;
	}
	*multiplier = (uint32_t)((NS_PER_SECOND << 32) / hz);
}

static void *record_at(const struct kvmclock *clock, uint64_t gpa, uint64_t size)
{
	return gpa % sizeof(uint32_t) == 0 ? guest_memory_at(clock->memory, gpa, size) : NULL;
}

/* Where the guest has its record; NULL while the clock is off. */
static struct clock_record *clock_record(const struct kvmclock *clock)
{
	return (clock->system_time & ENABLED) != 0 ? record_at(clock, clock->system_time & ~ENABLED,
	                                                       sizeof(struct clock_record))
	                                           : NULL;
}

void kvmclock_tell_pause(const struct kvmclock *clock)
{
	struct clock_record *record = clock_record(clock);

	if (record != NULL) {
		record->flags |= CLOCK_WAS_PAUSED;
	}
}

void kvmclock_update(struct kvmclock *clock)
{
	struct clock_record *record = clock_record(clock);

	if (record == NULL) {
		return;
	}
	clock->version += 2;
	__atomic_store_n(&record->version, clock->version - 1, __ATOMIC_SEQ_CST);
	record->pad = 0;
	record->tsc_timestamp = clock->info->boot_tsc + *clock->tsc_offset;
	record->system_time_ns = 0;
	kvmclock_scale(clock->info->tsc_hz, &record->multiplier, &record->shift);
	record->flags = CLOCK_TSC_STABLE;
	__atomic_store_n(&record->version, clock->version, __ATOMIC_SEQ_CST);
}

void kvmclock_set_system_time(struct kvmclock *clock, uint64_t value)
{
	clock->system_time = value;
	kvmclock_update(clock);
}

void kvmclock_set_wall_clock(struct kvmclock *clock, uint64_t value)
{
	struct wall_record *record = record_at(clock, value, sizeof(*record));
	uint32_t version;

	clock->wall_clock = value;
	if (record == NULL) {
		return;
	}
	version = __atomic_load_n(&record->version, __ATOMIC_RELAXED) & ~1u;
	__atomic_store_n(&record->version, version + 1, __ATOMIC_SEQ_CST);
	record->seconds = (uint32_t)clock->wall_seconds;
	record->nanoseconds = 0;
	__atomic_store_n(&record->version, version + 2, __ATOMIC_SEQ_CST);
}
