// SPDX-License-Identifier: Apache-2.0
/*
 * The 8254 interval timer with its three channels, and the system control port 0x61 that gates
 * channel 2.
 *
 * Owns: ports 0x40-0x43 and 0x61; ISA IRQ 0. Counts are computed from the clock when they are read;
 * nothing ticks. Must never: ask for more than one wake-up a period; ticks that were missed are
 * dropped, not made up. Manual: Intel 8254 data sheet (231164); port 0x61 as in Intel's PCH data
 * sheets ("NMI_SC").
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define PIT_CHANNELS 3
#define PIT_HZ       1193182ull

struct pit_channel {
	uint64_t start_ns;    /* when the current count was loaded */
	uint64_t paused_ns;   /* gate low: how long it had counted then */
	uint32_t reload;      /* 1..65536 */
	uint32_t next_reload; /* modes 2 and 3: taken at the end of the period; 0 = none */
	uint16_t latch;
	uint8_t latched_bytes; /* bytes of the latch still to be read */
	uint8_t status;        /* latched by read-back */
	bool is_status_latched;
	bool is_loaded; /* a count was written since the control word */
	bool is_gate_high;
	bool is_running; /* modes 1 and 5: triggered; others: gate high and loaded */
	bool has_fired;  /* one-shot modes: the terminal count was signalled */
	bool reads_high; /* next byte of a low-high read */
	bool writes_high;
	uint8_t write_low;
	uint8_t mode;   /* 0..5 */
	uint8_t access; /* 1 low, 2 high, 3 low then high */
	bool is_bcd;
};

struct pit {
	struct pit_channel channels[PIT_CHANNELS];
	uint8_t port61;        /* bits 0-3 as written */
	uint64_t next_tick_ns; /* channel 0: when its output rises next */
	uint64_t ticks_count;
	struct irq_line irq;
	const struct device_clock *clock;
};

void pit_reset(struct pit *pit);
int pit_attach(struct pit *pit, struct bus *bus);

/*
 * When pit_run() wants to be called (ns), or DEVICE_NEVER; and the call: raises IRQ 0 if it is
 * time.
 */
uint64_t pit_deadline(const struct pit *pit);
void pit_run(struct pit *pit);
