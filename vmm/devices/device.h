// SPDX-License-Identifier: Apache-2.0
/*
 * What every pretended device is given: an interrupt line to pull and a clock to read. Devices are
 * pure: they touch nothing but their own record and these two, so each one runs in a host test with
 * fakes.
 *
 * Must never: hold policy or state. Time is in nanoseconds of guest time since the machine was
 * built. All devices of one guest are called under the machine's lock; none of them locks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_NEVER    UINT64_MAX /* a deadline that does not come */

#define DEVICE_NS_PER_S 1000000000ull

/*
 * One wire of the board, with one driver. `set` may be NULL: not connected; it is called for
 * changes only.
 */
struct irq_line {
	void (*set)(void *context, uint32_t number, bool level);
	void *context;
	uint32_t number; /* ISA IRQ or I/O APIC pin, as the receiver counts them */
	bool level;
};

static inline void irq_line_set(struct irq_line *line, bool level)
{
	if (line->level != level) {
		line->level = level;
		if (line->set) {
			line->set(line->context, line->number, level);
		}
	}
}

/*
 * The clock of the machine. `deadline_moved` (may be NULL) tells the machine that this device wants
 * its run function called at another time than before.
 */
struct device_clock {
	uint64_t (*now_ns)(void *context);
	void (*deadline_moved)(void *context);
	void *context;
};

static inline uint64_t device_clock_now(const struct device_clock *clock)
{
	return clock->now_ns(clock->context);
}

static inline void device_clock_moved(const struct device_clock *clock)
{
	if (clock->deadline_moved) {
		clock->deadline_moved(clock->context);
	}
}

/*
 * ns of time in ticks of a clock of `hz` (< 2^33), without overflow; and the ns at which tick n
 * begins.
 */
static inline uint64_t device_ns_to_ticks(uint64_t ns, uint64_t hz)
{
	return ns / DEVICE_NS_PER_S * hz + ns % DEVICE_NS_PER_S * hz / DEVICE_NS_PER_S;
}

static inline uint64_t device_ticks_to_ns(uint64_t ticks, uint64_t hz)
{
	return ticks / hz * DEVICE_NS_PER_S + (ticks % hz * DEVICE_NS_PER_S + hz - 1) / hz;
}
