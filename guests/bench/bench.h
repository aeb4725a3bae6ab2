/* SPDX-License-Identifier: Apache-2.0 */
/* What the bench guest's files share. Figures are measured in the order of their tables; names are those of build/bench.json. */
#pragma once

#include "guests/lib/guest.h"

#define BENCH_BATCH 64u

/* `run` does the operation BENCH_BATCH times; its argument is unused. A table ends with name NULL. */
struct bench_figure {
	const char *name;
	void (*run)(void *argument);
};

/* The body of a figure: one operation, BENCH_BATCH times. */
#define BENCH_LOOP(name, ...)                                \
	static void name(void *argument)                     \
	{                                                    \
		(void)argument;                              \
		for (uint32_t i = 0; i < BENCH_BATCH; i++) { \
			__VA_ARGS__;                         \
			__asm__ volatile("");                \
		}                                            \
	}

void bench_empty(void *argument);
void bench_init(void);

/* primitives.c: all but the local APIC. */
extern const struct bench_figure bench_primitives[];

/* interrupts.c: with the local APIC as xAPIC, as x2APIC, and on a CPU that has no x2APIC. */
extern const struct bench_figure bench_xapic[], bench_x2apic[], bench_x2apic_missing[];
/* Between two processors, as x2APIC where the CPU has it. */
extern const struct bench_figure bench_cross[], bench_cross_x2apic[], bench_cross_x2apic_missing[];
void bench_interrupts_init(void);
bool bench_x2apic_enable(void);
bool bench_start_others(uint32_t count);
/* many.c: from this processor to all `others`, on a hypervisor with KVM's call for it. */
extern const struct bench_figure bench_many[];
void bench_many_init(uint32_t others);
/* The second processor follows the first into x2APIC mode. */
void bench_cross_turn(void);
