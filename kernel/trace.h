/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace (bulkhead/trace.h). Off, which it is unless somebody looks, a point costs one test and a branch that is not taken, and the fast
 * path nothing (hvm_trace()). Not from NMI, #MC or double fault: they may come while a record is written.
 */
#pragma once

#include "bulkhead/trace.h"
#include "kernel/object.h"

/* Bit k: records of that kind are wanted. Changes under kernel_lock; others read it as it comes, and the change waits for their safe points. */
extern uint32_t trace_kinds;

/* `owner` and `part` of a record. */
#define TRACE_WHO(owner, part) ((uint32_t)(owner) << 8 | (uint8_t)(part))
#define TRACE_VCPU(vcpu)       TRACE_WHO((vcpu)->vm->id, (vcpu)->idx)

/* A record with this time, whether wanted or not. */
void trace_write(uint64_t tsc, enum bh_trace_kind kind, uint32_t who, uint64_t argument);

/* Its arguments are looked at only if it is wanted. */
#define trace(kind, who, argument)                                         \
	do {                                                               \
		if (unlikely((trace_kinds & 1u << (kind)) != 0)) {         \
			trace_write(arch_tsc_read(), kind, who, argument); \
		}                                                          \
	} while (0)

/* The number of a thread. */
#define TRACE_THREAD(thread) ((thread) != NULL ? virt_to_phys(thread).raw >> PAGE_SHIFT : 0)
