// SPDX-License-Identifier: Apache-2.0
/*
 * 8254: control words, latches, the six modes, derived from elapsed time.
 *
 * Must never: divide by a count of zero; a written 0 means 65536 (10000 in BCD).
 */
#include "vmm/devices/pit.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"

#define CONTROL_READ_BACK   3u
#define READ_BACK_NO_COUNT  0x20u
#define READ_BACK_NO_STATUS 0x10u

#define STATUS_OUT          0x80u
#define STATUS_NULL         0x40u

#define ACCESS_LOW          1u
#define ACCESS_HIGH         2u
#define ACCESS_BOTH         3u

#define PORT61_GATE2        0x01u
#define PORT61_WRITABLE     0x0fu
#define PORT61_REFRESH      0x10u
#define PORT61_OUT2         0x20u
#define REFRESH_NS          15085u /* DRAM refresh toggles this often */

static uint64_t now_of(const struct pit *pit)
{
	return device_clock_now(pit->clock);
}

static bool mode_is_periodic(const struct pit_channel *channel)
{
	return channel->mode == 2 || channel->mode == 3;
}

/* Input-clock ticks that this channel has counted since its count was loaded. */
static uint64_t channel_elapsed(const struct pit_channel *channel, uint64_t now_ns)
{
	if (!channel->is_loaded) {
		return 0;
	}
	if (!channel->is_running) {
		return device_ns_to_ticks(channel->paused_ns, PIT_HZ);
	}
	return now_ns <= channel->start_ns ? 0
	                                   : device_ns_to_ticks(now_ns - channel->start_ns, PIT_HZ);
}

/*
 * A new count in a periodic mode begins with the next period: move the start there once it has
 * passed.
 */
static void channel_settle(struct pit_channel *channel, uint64_t now_ns)
{
	uint64_t periods;

	if (channel->next_reload == 0 || !channel->is_running) {
		return;
	}
	periods = channel_elapsed(channel, now_ns) / channel->reload;
	if (periods > 0) {
		channel->start_ns += device_ticks_to_ns(channel->reload, PIT_HZ);
		channel->reload = channel->next_reload;
		channel->next_reload = 0;
	}
}

static uint32_t channel_modulus(const struct pit_channel *channel)
{
	return channel->is_bcd ? 10000u : 65536u;
}

/* The counting element as it is read: it wraps in the one-shot modes (8254, "Mode Definitions"). */
static uint32_t channel_count(const struct pit_channel *channel, uint64_t now_ns)
{
	uint64_t elapsed = channel_elapsed(channel, now_ns);
	uint32_t modulus = channel_modulus(channel);
	uint32_t count;

	if (channel->mode == 2) {
		count = channel->reload - (uint32_t)(elapsed % channel->reload);
	} else if (channel->mode == 3) {
		count = channel->reload - (uint32_t)(elapsed * 2 % channel->reload);
		count &= ~1u; /* counts by twos */
	} else {
		count = (channel->reload + modulus - (uint32_t)(elapsed % modulus)) % modulus;
	}
	if (channel->is_bcd) {
		count %= 10000u;
		count = count / 1000 << 12 | count / 100 % 10 << 8 | count / 10 % 10 << 4 |
		        count % 10;
	}
	return count & 0xffffu;
}

static bool channel_out(const struct pit_channel *channel, uint64_t now_ns)
{
	uint64_t elapsed = channel_elapsed(channel, now_ns);

	if (!channel->is_loaded) {
		return channel->mode != 0;
	}
	switch (channel->mode) {
	case 0:
		return elapsed >= channel->reload;
	case 1:
		return !channel->is_running || elapsed >= channel->reload;
	case 2:
		return !channel->is_running || elapsed % channel->reload != channel->reload - 1;
	case 3:
		return !channel->is_running ||
		       elapsed % channel->reload < (channel->reload + 1u) / 2;
	default: /* 4, 5: low for the one tick of the terminal count */
		return elapsed != channel->reload;
	}
}

/* The ns at which channel 0's output rises next, after `now_ns`; DEVICE_NEVER if it does not. */
static uint64_t channel_next_rise(const struct pit_channel *channel, uint64_t now_ns)
{
	uint64_t periods;

	if (!channel->is_loaded || !channel->is_running) {
		return DEVICE_NEVER;
	}
	if (mode_is_periodic(channel)) {
		if (channel->next_reload != 0) {
			return channel->start_ns + device_ticks_to_ns(channel->reload, PIT_HZ);
		}
		periods = channel_elapsed(channel, now_ns) / channel->reload + 1;
		return channel->start_ns + device_ticks_to_ns(periods * channel->reload, PIT_HZ);
	}
	return channel->has_fired ? DEVICE_NEVER
	                          : channel->start_ns + device_ticks_to_ns(channel->reload, PIT_HZ);
}

static void channel0_reschedule(struct pit *pit, uint64_t now_ns)
{
	uint64_t next = channel_next_rise(&pit->channels[0], now_ns);

	if (next != pit->next_tick_ns) {
		pit->next_tick_ns = next;
		device_clock_moved(pit->clock);
	}
}

static void channel_start(struct pit_channel *channel, uint64_t now_ns)
{
	channel->start_ns = now_ns;
	channel->paused_ns = 0;
	channel->has_fired = false;
	/* Modes 1 and 5 wait for an edge of the gate; the others count while it is high. */
	channel->is_running = channel->mode != 1 && channel->mode != 5 && channel->is_gate_high;
}

static uint32_t decode_count(const struct pit_channel *channel, uint32_t written)
{
	uint32_t count = written;

	if (channel->is_bcd) {
		count = (written >> 12) * 1000 + (written >> 8 & 15u) * 100 +
		        (written >> 4 & 15u) * 10 + (written & 15u);
		count %= 10000u;
	}
	if (count == 0) {
		count = channel_modulus(channel);
	}
	/*
	 * A count of 1 is not legal in modes 2 and 3 (8254, table "Minimum and Maximum Initial
	 * Counts").
	 */
	return count == 1 && mode_is_periodic(channel) ? 2 : count;
}

static void channel_load(struct pit *pit, uint32_t idx, uint32_t written)
{
	struct pit_channel *channel = &pit->channels[idx];
	uint64_t now_ns = now_of(pit);
	uint32_t count = decode_count(channel, written);

	channel_settle(channel, now_ns);
	if (channel->is_loaded && channel->is_running && mode_is_periodic(channel)) {
		channel->next_reload = count;
	} else {
		channel->reload = count;
		channel->next_reload = 0;
		channel->is_loaded = true;
		channel_start(channel, now_ns);
	}
	if (idx == 0) {
		irq_line_set(&pit->irq, channel_out(channel, now_ns));
		channel0_reschedule(pit, now_ns);
	}
}

static void channel_latch(struct pit_channel *channel, uint64_t now_ns)
{
	if (channel->latched_bytes == 0) {
		channel->latch = (uint16_t)channel_count(channel, now_ns);
		channel->latched_bytes = channel->access == ACCESS_BOTH ? 2 : 1;
	}
}

static void channel_latch_status(struct pit_channel *channel, uint64_t now_ns)
{
	if (channel->is_status_latched) {
		return;
	}
	channel->is_status_latched = true;
	channel->status = (uint8_t)((channel_out(channel, now_ns) ? STATUS_OUT : 0u) |
	                            (channel->is_loaded ? 0u : STATUS_NULL) |
	                            (uint32_t)channel->access << 4 | (uint32_t)channel->mode << 1 |
	                            (channel->is_bcd ? 1u : 0u));
}

static void read_back(struct pit *pit, uint32_t value)
{
	uint64_t now_ns = now_of(pit);

	for (uint32_t i = 0; i < PIT_CHANNELS; i++) {
		if ((value & (2u << i)) == 0) {
			continue;
		}
		channel_settle(&pit->channels[i], now_ns);
		if ((value & READ_BACK_NO_COUNT) == 0) {
			channel_latch(&pit->channels[i], now_ns);
		}
		if ((value & READ_BACK_NO_STATUS) == 0) {
			channel_latch_status(&pit->channels[i], now_ns);
		}
	}
}

static void control_write(struct pit *pit, uint32_t value)
{
	uint32_t idx = value >> 6 & 3u;
	uint32_t access = value >> 4 & 3u;
	struct pit_channel *channel;

	if (idx == CONTROL_READ_BACK) {
		read_back(pit, value);
		return;
	}
	channel = &pit->channels[idx];
	channel_settle(channel, now_of(pit));
	if (access == 0) {
		channel_latch(channel, now_of(pit));
		return;
	}
	channel->access = (uint8_t)access;
	channel->mode = (uint8_t)(value >> 1 & 7u);
	if (channel->mode > 5) {
		channel->mode = (uint8_t)(channel->mode - 4u); /* 6 and 7 are 2 and 3 */
	}
	channel->is_bcd = (value & 1u) != 0;
	channel->is_loaded = false;
	channel->is_running = false;
	channel->paused_ns = 0;
	channel->next_reload = 0;
	channel->latched_bytes = 0;
	channel->is_status_latched = false;
	channel->reads_high = false;
	channel->writes_high = false;
	if (idx == 0) {
		irq_line_set(&pit->irq, channel->mode != 0);
		channel0_reschedule(pit, now_of(pit));
	}
}

static uint8_t channel_read(struct pit_channel *channel, uint64_t now_ns)
{
	uint32_t value;
	bool high;

	if (channel->is_status_latched) {
		channel->is_status_latched = false;
		return channel->status;
	}
	channel_settle(channel, now_ns);
	value = channel->latched_bytes ? channel->latch : channel_count(channel, now_ns);
	if (channel->access == ACCESS_BOTH) {
		high = channel->reads_high;
		channel->reads_high = !high;
	} else {
		high = channel->access == ACCESS_HIGH;
	}
	if (channel->latched_bytes) {
		channel->latched_bytes--;
	}
	return (uint8_t)(high ? value >> 8 : value);
}

static void channel_write(struct pit *pit, uint32_t idx, uint8_t value)
{
	struct pit_channel *channel = &pit->channels[idx];

	switch (channel->access) {
	case ACCESS_LOW:
		channel_load(pit, idx, value);
		break;
	case ACCESS_HIGH:
		channel_load(pit, idx, (uint32_t)value << 8);
		break;
	default:
		if (channel->writes_high) {
			channel_load(pit, idx, (uint32_t)value << 8 | channel->write_low);
		} else {
			channel->write_low = value;
			if (channel->mode == 0) {
				channel->is_running = false; /* the first byte stops the count */
			}
		}
		channel->writes_high = !channel->writes_high;
		break;
	}
}

static uint64_t timer_read(void *device, uint64_t offset, uint32_t width)
{
	struct pit *pit = device;

	(void)width;
	return offset < PIT_CHANNELS ? channel_read(&pit->channels[offset], now_of(pit)) : 0xff;
}

static void timer_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)width;
	if (offset < PIT_CHANNELS) {
		channel_write(device, (uint32_t)offset, (uint8_t)value);
	} else {
		control_write(device, (uint32_t)value);
	}
}

/* The gate of channel 2 (8254, table "Gate Pin Operations Summary"). */
static void gate_set(struct pit_channel *channel, bool level, uint64_t now_ns)
{
	bool rises = level && !channel->is_gate_high;
	bool falls = !level && channel->is_gate_high;

	channel_settle(channel, now_ns);
	channel->is_gate_high = level;
	if (!channel->is_loaded) {
		return;
	}
	if (rises) {
		if (channel->mode == 0 || channel->mode == 4) {
			channel->start_ns = now_ns - channel->paused_ns;
		} else {
			channel->start_ns = now_ns; /* triggers: counts from the reload value */
			channel->has_fired = false;
		}
		channel->is_running = true;
	} else if (falls && channel->mode != 1 && channel->mode != 5) {
		channel->paused_ns = channel->is_running ? now_ns - channel->start_ns : 0;
		channel->is_running = false;
	}
}

static uint64_t control_port_read(void *device, uint64_t offset, uint32_t width)
{
	struct pit *pit = device;
	uint64_t now_ns = now_of(pit);
	uint32_t value = pit->port61;

	(void)offset;
	(void)width;
	channel_settle(&pit->channels[2], now_ns);
	if (channel_out(&pit->channels[2], now_ns)) {
		value |= PORT61_OUT2;
	}
	if (now_ns / REFRESH_NS % 2) {
		value |= PORT61_REFRESH;
	}
	return value;
}

static void control_port_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pit *pit = device;

	(void)offset;
	(void)width;
	pit->port61 = (uint8_t)value & PORT61_WRITABLE;
	gate_set(&pit->channels[2], (value & PORT61_GATE2) != 0, now_of(pit));
}

uint64_t pit_deadline(const struct pit *pit)
{
	return pit->next_tick_ns;
}

void pit_run(struct pit *pit)
{
	struct pit_channel *channel = &pit->channels[0];
	uint64_t now_ns = now_of(pit);

	if (now_ns < pit->next_tick_ns) {
		return;
	}
	pit->ticks_count++;
	if (mode_is_periodic(channel)) {
		irq_line_set(&pit->irq, false);
	} else {
		channel->has_fired = true;
		irq_line_set(&pit->irq, channel->mode == 1);
	}
	irq_line_set(&pit->irq, true);
	channel_settle(channel, now_ns);
	channel0_reschedule(pit, now_ns);
}

void pit_reset(struct pit *pit)
{
	memset(pit->channels, 0, sizeof(pit->channels));
	for (uint32_t i = 0; i < PIT_CHANNELS; i++) {
		pit->channels[i].access = ACCESS_BOTH;
		pit->channels[i].mode = i == 0 ? 0 : 3;
		pit->channels[i].reload = 65536;
		pit->channels[i].is_gate_high = i != 2;
	}
	pit->port61 = 0;
	pit->next_tick_ns = DEVICE_NEVER;
	irq_line_set(&pit->irq, false);
	device_clock_moved(pit->clock);
}

int pit_attach(struct pit *pit, struct bus *bus)
{
	const struct bus_range timer = { 0x40, 4, timer_read, timer_write, pit, BUS_WIDTH_1 };
	const struct bus_range control = { 0x61, 1,          control_port_read, control_port_write,
		                           pit,  BUS_WIDTH_1 };
	int error = bus_port_add(bus, &timer);

	return error == BH_OK ? bus_port_add(bus, &control) : error;
}
