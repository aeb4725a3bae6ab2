/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's trace: one ring of records a pCPU, in memory that a supervisor gives (BH_CALL_TRACE), read by whoever has that
 * memory mapped. The kernel reads nothing of it. docs/abi.md.
 */
#pragma once

#include "bulkhead/abi.h"

/*
 * What happened. `owner` and `part` of the record are the VM's id (bh_vm_params.id) and the vCPU's index where no other is said. A
 * thread's number is its own while it lives.
 */
enum bh_trace_kind {
	/* Into the guest. What it left it for last: 2 * enum bh_reason, + 1 if its VMM finished that. */
	BH_TRACE_ENTER = 1,
	/*
	 * Out of the guest: enum bh_reason. From BH_REASON_COUNT on: the exit has no reason of its own, or its record stands before this
	 * one already, and the kernel looks for work.
	 */
	BH_TRACE_EXIT = 2,
	BH_TRACE_INJECT =
		3, /* BH_INJECT_*: goes in at the next entry, or the CPU delivered it before this exit */
	BH_TRACE_SWITCH = 4, /* a thread runs from now on: its number; owner: its domain. 0: idle */
	BH_TRACE_SIGNAL =
		5,         /* number of the thread that waits on the set; owner: the event's bit */
	BH_TRACE_CALL = 6, /* low half of the first argument; owner: domain; part: enum bh_call */
	BH_TRACE_CALL_END = 7,  /* low half of the result; owner and part as before */
	BH_TRACE_INTERRUPT = 8, /* of the machine: its vector; owner and part: 0 */
	BH_TRACE_KINDS = 9,
};

/* Of one pCPU in order of TSC, but an exit that was finished at once stands behind what was injected for it. */
struct bh_trace_record {
	uint64_t tsc;
	uint32_t argument; /* as the kind says */
	uint16_t owner;
	uint8_t part;
	uint8_t kind; /* enum bh_trace_kind */
};
_Static_assert(sizeof(struct bh_trace_record) == 16, "ABI");

/*
 * pCPU i's ring begins BH_TRACE_RING_BYTES(region's size, pCPUs) * i bytes into the region. Record n is records[n % records_count].
 * A reader copies a record, then looks at head: it is whole if head - n < records_count, else overwritten.
 */
struct bh_trace_ring {
	uint64_t head;          /* records ever written; stored after the record */
	uint64_t records_count; /* room for so many */
	uint64_t reserved[6];
	struct bh_trace_record records[];
};
_Static_assert(sizeof(struct bh_trace_ring) == 64, "ABI");

#define BH_TRACE_RING_BYTES(region_bytes, cpus_count) ((region_bytes) / (cpus_count) & ~63ull)
