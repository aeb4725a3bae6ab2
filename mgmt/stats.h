/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates from counters: how busy a guest is and how often it exits, over the last few seconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/ledger.h"

#define STATS_TICK_SECONDS 5u

struct stats_rates {
	uint32_t cpu_tenths; /* 1000 = one pCPU wholly busy */
	uint64_t exits_per_second;
};

/* Keeps a sample of every running guest. Call about every STATS_TICK_SECONDS. */
void stats_tick(void);

/* Of a pCPU, over the last 5 to 10 s: without any thread, and in guests. Together at most 1000. */
struct stats_cpu_rates {
	uint32_t idle_tenths, guest_tenths;
};
void stats_cpu_read(uint32_t cpu, struct stats_cpu_rates *rates);

/* Rates since a sample 5 to 10 s ago, or since the guest's start. vcpu_idx < 0: the whole guest.
 * False if it does not run. */
bool stats_read(const struct guest *guest, int vcpu_idx, struct stats_rates *rates);

/* All exits of a vCPU. */
struct bh_vcpu_stats;
uint64_t stats_count_exits(const struct bh_vcpu_stats *stats);
uint64_t stats_count_injections(const struct bh_vcpu_stats *stats);

/* Counters of all vCPUs into all[BH_MAX_VCPUS]; false, with an error in the result, if the guest has none now. */
struct result;
bool stats_read_all(const struct guest *guest, struct bh_vcpu_stats *all, struct result *result);

/* The word for an enum bh_reason below BH_REASON_COUNT. */
const char *stats_reason_name(uint32_t reason);

uint64_t stats_tsc_to_ns(uint64_t tsc);

/* Where the machine's memory is: columns, and their values. `kept` is what disks in memory, fetched files and drivers have. */
#define STATS_MEMORY_COLUMNS                                                  \
	{ "memory", "memory_bytes", RESULT_BYTES },                           \
		{ "memory free", "memory_free_bytes", RESULT_BYTES },         \
		{ "memory kernel", "memory_kernel_bytes", RESULT_BYTES },     \
		{ "memory guests", "memory_guests_bytes", RESULT_BYTES },     \
		{ "memory disks, files", "memory_kept_bytes", RESULT_BYTES }, \
		{ "memory root", "memory_root_bytes", RESULT_BYTES },         \
	{                                                                     \
		"memory mgmt", "memory_mgmt_bytes", RESULT_BYTES              \
	}
void stats_put_memory(struct result *result);

/* The table of a guest's vCPUs. */
void stats_put_vcpus(const struct guest *guest, struct result *result);

/* A count over a span of ticks as a rate. */
uint64_t stats_per_second(uint64_t count, uint64_t span_tsc);
