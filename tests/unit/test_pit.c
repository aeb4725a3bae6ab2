// SPDX-License-Identifier: Apache-2.0
/*
 * The 8254: what kernels do with it to calibrate (mode 0 on channel 2 with gate and output at port
 * 0x61, latched mode 2 on channel 0), the interrupt of every mode, read-back, reloads, missed
 * ticks.
 */
// sources: vmm/devices/pit.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_board.h"
#include "vmm/devices/pit.h"

#define MS 1000000ull

static struct pit pit;
static struct bus bus;
static struct device_clock clock_device;

static void out(uint32_t port, uint32_t value)
{
	bus_port_write(&bus, port, 1, value);
}

static uint32_t in(uint32_t port)
{
	return (uint32_t)bus_port_read(&bus, port, 1);
}

static uint32_t latch(uint32_t channel)
{
	uint32_t low;

	out(0x43, channel << 6);
	low = in(0x40 + channel);
	return low | in(0x40 + channel) << 8;
}

static int setup(void **state)
{
	(void)state;
	memset(&pit, 0, sizeof(pit));
	clock_device = (struct device_clock){ now, NULL, NULL };
	pit.clock = &clock_device;
	pit.irq = (struct irq_line){ irq_set, NULL, 0, false };
	now_ns = 12345678;
	bus_init(&bus);
	pit_attach(&pit, &bus);
	pit_reset(&pit);
	edges = 0;
	level_now = false;
	return 0;
}

/* Linux: gate on, mode 0, full count; the output rises when it is through. */
static void test_calibration_by_output(void **state)
{
	uint32_t count = 1193182 / 100;

	(void)state;
	out(0x61, (in(0x61) & ~2u) | 1u);
	out(0x43, 0xb0);
	out(0x42, count & 0xff);
	out(0x42, count >> 8);
	assert_int_equal(in(0x61) & 0x20, 0);
	now_ns += 9 * MS;
	assert_int_equal(in(0x61) & 0x20, 0);
	now_ns += MS + 1000;
	assert_int_equal(in(0x61) & 0x20, 0x20);
}

/* Linux's quick calibration reads the high byte over and over without latching (low, then high). */
static void test_calibration_by_count(void **state)
{
	uint32_t high, last = 0xff;

	(void)state;
	out(0x61, 1);
	out(0x43, 0xb0);
	out(0x42, 0xff);
	out(0x42, 0xff);
	for (uint32_t i = 0; i < 200; i++) {
		now_ns += 100000; /* 119 ticks */
		(void)in(0x42);
		high = in(0x42);
		assert_true(high <= last && last - high <= 1);
		last = high;
	}
	assert_true(last > 0xa0 && last < 0xa6);
}

static void test_gate(void **state)
{
	(void)state;
	out(0x61, 0);
	out(0x43, 0xb0);
	out(0x42, 0xff);
	out(0x42, 0xff);
	now_ns += 5 * MS;
	assert_int_equal(latch(2), 0xffff);
	out(0x61, 1);
	now_ns += MS;
	assert_in_range(latch(2), 0xffff - 1194, 0xffff - 1192);
	out(0x61, 0);
	now_ns += 5 * MS;
	assert_in_range(latch(2), 0xffff - 1194, 0xffff - 1192);
	out(0x61, 1);
	now_ns += MS;
	assert_in_range(latch(2), 0xffff - 2387, 0xffff - 2385);
}

static void run_for(uint64_t ns)
{
	uint64_t end = now_ns + ns;

	while (pit_deadline(&pit) <= end) {
		now_ns = pit_deadline(&pit);
		pit_run(&pit);
	}
	now_ns = end;
}

static void periodic(uint32_t control)
{
	out(0x43, control);
	out(0x40, 11932 & 0xff); /* 100 Hz */
	out(0x40, 11932 >> 8);
	edges = 0;
	run_for(1000 * MS);
	assert_in_range(edges, 99, 100);
	assert_true(level_now);
}

static void test_periodic(void **state)
{
	(void)state;
	periodic(0x34);
	periodic(0x36);
	periodic(0x3c); /* 6 is 2 */
}

static void test_missed_ticks(void **state)
{
	(void)state;
	periodic(0x34);
	edges = 0;
	now_ns += 500 * MS;
	pit_run(&pit);
	assert_int_equal(edges, 1); /* they are not made up */
	assert_true(pit_deadline(&pit) > now_ns && pit_deadline(&pit) <= now_ns + 10 * MS + 1000);
}

static void test_one_shot(void **state)
{
	(void)state;
	out(0x43, 0x30);
	assert_false(level_now);
	assert_true(pit_deadline(&pit) == DEVICE_NEVER);
	out(0x40, 0xe8);
	out(0x40, 0x03);
	assert_false(level_now);
	run_for(2 * MS);
	assert_int_equal(edges, 1);
	assert_true(level_now);
	run_for(1000 * MS);
	assert_int_equal(edges, 1);
	out(0x40, 0xe8); /* a new count starts it again, output low first */
	out(0x40, 0x03);
	assert_false(level_now);
	run_for(2 * MS);
	assert_int_equal(edges, 2);
}

static void test_mode4(void **state)
{
	(void)state;
	out(0x43, 0x38);
	out(0x40, 0xe8);
	out(0x40, 0x03);
	edges = 0;
	run_for(2 * MS);
	assert_int_equal(edges, 1);
}

static void test_reload_at_period_end(void **state)
{
	(void)state;
	out(0x43, 0x34);
	out(0x40, 0x00); /* 65536: 54.9 ms */
	out(0x40, 0x00);
	now_ns += 10 * MS;
	out(0x40, 0xe8);
	out(0x40, 0x03);
	edges = 0;
	run_for(44 * MS);
	assert_int_equal(edges, 0);
	run_for(2 * MS);
	assert_in_range(edges, 1, 2);
	run_for(10 * MS);
	assert_in_range(edges, 11, 14);
}

static void test_read_back(void **state)
{
	(void)state;
	out(0x43, 0x34);
	out(0x43, 0xe2);                  /* status of channel 0 */
	assert_int_equal(in(0x40), 0xf4); /* output high, no count yet */
	out(0x40, 0x10);
	out(0x40, 0x27);
	now_ns += MS;
	out(0x43, 0xc2); /* both; status comes first */
	assert_int_equal(in(0x40), 0xb4);
	now_ns += MS;
	assert_in_range(in(0x40) | in(0x40) << 8, 10000 - 1195, 10000 - 1192);
}

static void test_bcd(void **state)
{
	(void)state;
	out(0x61, 1);
	out(0x43, 0xb1);
	out(0x42, 0x00);
	out(0x42, 0x50);
	assert_int_equal(latch(2), 0x5000);
	now_ns += MS;
	assert_int_equal(latch(2) >> 4, 0x380);
}

static void test_refresh_toggles(void **state)
{
	uint32_t changes = 0, last = in(0x61) & 0x10;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		now_ns += 1000;
		changes += (in(0x61) & 0x10) != last;
		last = in(0x61) & 0x10;
	}
	assert_in_range(changes, 65, 67);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_calibration_by_output, setup),
		cmocka_unit_test_setup(test_calibration_by_count, setup),
		cmocka_unit_test_setup(test_gate, setup),
		cmocka_unit_test_setup(test_periodic, setup),
		cmocka_unit_test_setup(test_missed_ticks, setup),
		cmocka_unit_test_setup(test_one_shot, setup),
		cmocka_unit_test_setup(test_mode4, setup),
		cmocka_unit_test_setup(test_reload_at_period_end, setup),
		cmocka_unit_test_setup(test_read_back, setup),
		cmocka_unit_test_setup(test_bcd, setup),
		cmocka_unit_test_setup(test_refresh_toggles, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
