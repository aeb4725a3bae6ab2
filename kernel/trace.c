/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace's rings (see trace.h): whose memory they are in, on and off, and the one function that writes. A pCPU writes its own ring only,
 * with interrupts off; where it stands there is in its own record, since others may be able to write the region.
 */
#include "kernel/trace.h"

#include "arch/x86/hvm.h"
#include "kernel/call.h"
#include "kernel/region.h"

uint32_t trace_kinds;

void trace_write(uint64_t tsc, enum bh_trace_kind kind, uint32_t who, uint64_t argument)
{
	struct cpu *cpu = cpu_self();
	struct bh_trace_ring *ring = cpu->trace_ring;

	ring->records[cpu->trace_head++ % cpu->trace_size] = (struct bh_trace_record){
		tsc, (uint32_t)argument, (uint16_t)(who >> 8), (uint8_t)who, (uint8_t)kind
	};
	__atomic_store_n(&ring->head, cpu->trace_head, __ATOMIC_RELEASE);
}

static void trace_set(uint64_t kinds)
{
	hvm_trace((kinds & BIT(BH_TRACE_EXIT)) != 0);
	__atomic_store_n(&trace_kinds, (uint32_t)kinds, __ATOMIC_RELEASE);
}

static void rings_begin(const struct region *region)
{
	uint64_t bytes = BH_TRACE_RING_BYTES(region->size, cpus_count);
	struct bh_trace_ring *ring = phys_to_virt(region->pa);

	for (uint32_t i = 0; i < cpus_count; i++) {
		cpus[i]->trace_ring = ring;
		cpus[i]->trace_head = 0;
		cpus[i]->trace_size = (bytes - sizeof(*ring)) / sizeof(ring->records[0]);
		*ring = (struct bh_trace_ring){ .records_count = cpus[i]->trace_size };
		ring += bytes / sizeof(*ring);
	}
}

int64_t call_trace(struct call *call)
{
	uint64_t kinds = call->arg[2];
	int error = call_object(call, call->arg[1], BH_OBJECT_REGION, BH_RIGHT_WRITE,
	                        &call->object);
	const struct region *region = error < 0 ? NULL : region_of(call->object);

	if (region == NULL || call->caller != root_domain || region->kind != REGION_MEMORY ||
	    region->zeroed_bytes != region->size || region->size < cpus_count * PAGE_SIZE ||
	    kinds >= BIT(BH_TRACE_KINDS)) {
		return region == NULL ? error : BH_ERR_INVALID;
	}
	trace_set(0);
	message_sync(); /* nobody is in the middle of a record */
	if (kinds != 0) {
		rings_begin(region);
		trace_set(kinds);
	}
	return BH_OK;
}
