// SPDX-License-Identifier: Apache-2.0
/*
 * The record of stolen time (see steal.h). `preempted` is the kernel's to set, where steal_set() says.
 */
#include "vmm/steal.h"

#include <stddef.h>

#include "bulkhead/errors.h"

#define NS_PER_SECOND 1000000000ull
#define ENABLED       1ull
#define RESERVED      0x3eull
#define RECORD_BYTES  64u

struct steal_record {
	uint64_t steal_ns;
	uint32_t version; /* odd while it is written */
	uint32_t flags;
	uint8_t preempted;
	uint8_t pad[47];
};
_Static_assert(sizeof(struct steal_record) == RECORD_BYTES, "KVM's ABI");

/* NULL: it is off, or there is no RAM. */
static struct steal_record *record_of(const struct steal *steal)
{
	return (steal->value & ENABLED) != 0
	               ? guest_memory_at(steal->memory,
	                                 steal->value & ~(uint64_t)(RECORD_BYTES - 1), RECORD_BYTES)
	               : NULL;
}

static uint64_t preempted_at(const struct steal *steal)
{
	struct steal_record *record = record_of(steal);

	return record != NULL ? (uint64_t)&record->preempted : 0;
}

static void record_write(struct steal *steal, uint64_t now_tsc)
{
	struct steal_record *record = record_of(steal);

	if (record == NULL) {
		return;
	}
	steal->told_tsc = now_tsc;
	steal->version += 2;
	__atomic_store_n(&record->version, steal->version - 1, __ATOMIC_SEQ_CST);
	record->flags = 0;
	record->steal_ns = (uint64_t)((unsigned __int128)(now_tsc - steal->base_tsc) *
	                              NS_PER_SECOND / steal->info->tsc_hz);
	__atomic_store_n(&record->version, steal->version, __ATOMIC_SEQ_CST);
}

int steal_set(struct steal *steal, uint64_t value)
{
	if ((value & RESERVED) != 0) {
		return BH_ERR_INVALID;
	}
	if ((value & ENABLED) != 0 && (steal->value & ENABLED) == 0) {
		steal->base_tsc = __atomic_load_n(steal->steal_tsc, __ATOMIC_RELAXED);
	}
	steal->value = value;
	*steal->preempted_byte = preempted_at(steal);
	record_write(steal, __atomic_load_n(steal->steal_tsc, __ATOMIC_RELAXED));
	return BH_OK;
}

void steal_update(struct steal *steal)
{
	uint64_t now_tsc = __atomic_load_n(steal->steal_tsc, __ATOMIC_RELAXED);

	if (now_tsc != steal->told_tsc) {
		record_write(steal, now_tsc);
	}
}
