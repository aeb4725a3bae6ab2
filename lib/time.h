/* SPDX-License-Identifier: Apache-2.0 */
/* Time of the machine from the read-only information page and the TSC: no call. */
#pragma once

#include "bulkhead/abi.h"

/* The kernel's information page. */
static inline const struct bh_info *bh_info(void)
{
	return (const struct bh_info *)BH_VA_INFO;
}

static inline uint64_t bh_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return ((uint64_t)high << 32) | low;
}

/* TSC ticks to nanoseconds and back; exact to the tick for any span below 500 years. */
static inline uint64_t bh_tsc_to_ns(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * 1000000000u / bh_info()->tsc_hz);
}

static inline uint64_t bh_ns_to_tsc(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * bh_info()->tsc_hz / 1000000000u);
}

/* Nanoseconds since the kernel's first instruction. */
static inline uint64_t bh_now_ns(void)
{
	return bh_tsc_to_ns(bh_tsc() - bh_info()->boot_tsc);
}

/* The TSC value at `ns` nanoseconds after the kernel's first instruction: a deadline for bh_event_wait(). */
static inline uint64_t bh_deadline_tsc(uint64_t ns)
{
	return bh_info()->boot_tsc + bh_ns_to_tsc(ns);
}
