// SPDX-License-Identifier: Apache-2.0
/*
 * The MC146818: reading and setting the time in all encodings, update-in-progress, alarm, update
 * and periodic interrupts, NVRAM. The calendar is checked against the host's.
 */
// sources: vmm/devices/rtc.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/fake_board.h"
#include "vmm/devices/rtc.h"

#define S 1000000000ull

static struct rtc rtc;
static struct bus bus;
static struct device_clock clock_device;

static uint32_t get(uint32_t reg)
{
	bus_port_write(&bus, 0x70, 1, reg);
	return (uint32_t)bus_port_read(&bus, 0x71, 1);
}

static void set(uint32_t reg, uint32_t value)
{
	bus_port_write(&bus, 0x70, 1, reg | 0x80);
	bus_port_write(&bus, 0x71, 1, value);
}

static uint32_t bcd(uint32_t reg)
{
	uint32_t value = get(reg);

	return (value >> 4) * 10 + (value & 15);
}

static int setup(void **state)
{
	(void)state;
	memset(&rtc, 0, sizeof(rtc));
	clock_device = (struct device_clock){ now, NULL, NULL };
	rtc.clock = &clock_device;
	rtc.irq = (struct irq_line){ irq_set, NULL, 8, false };
	rtc.wall_seconds = 1767225600; /* 2026-01-01 00:00:00, a Thursday */
	now_ns = 0;
	edges = 0;
	level_now = false;
	bus_init(&bus);
	rtc_attach(&rtc, &bus);
	rtc_reset(&rtc);
	return 0;
}

static void check_against_host(time_t seconds)
{
	struct tm tm;

	gmtime_r(&seconds, &tm);
	rtc.wall_seconds = (uint64_t)seconds;
	now_ns = 0;
	assert_int_equal(bcd(0), tm.tm_sec);
	assert_int_equal(bcd(2), tm.tm_min);
	assert_int_equal(bcd(4), tm.tm_hour);
	assert_int_equal(get(6), tm.tm_wday + 1);
	assert_int_equal(bcd(7), tm.tm_mday);
	assert_int_equal(bcd(8), tm.tm_mon + 1);
	assert_int_equal(bcd(9) + bcd(RTC_CENTURY) * 100, tm.tm_year + 1900);
}

static void test_calendar(void **state)
{
	(void)state;
	for (time_t at = 0; at < 5000000000; at += 7654321) {
		check_against_host(at);
	}
	check_against_host(951782399);  /* 2000-02-28 23:59:59 */
	check_against_host(951868799);  /* 2000-02-29 23:59:59 */
	check_against_host(4107542399); /* 2100-02-28 23:59:59: no leap year */
	check_against_host(4107542400);
}

static void test_set_time(void **state)
{
	(void)state;
	set(0xb, 0x82);
	set(9, 0x31);
	set(RTC_CENTURY, 0x20);
	set(8, 0x12);
	set(7, 0x31);
	set(4, 0x23);
	set(2, 0x59);
	set(0, 0x58);
	now_ns += 5 * S;
	assert_int_equal(get(0), 0x58); /* frozen */
	set(0xb, 0x02);
	now_ns += 2 * S;
	assert_int_equal(get(9), 0x32);
	assert_int_equal(get(0), 0);
	assert_int_equal(get(8), 1);
	assert_int_equal(rtc.wall_seconds, 1767225600); /* the host's clock is not touched */
	set(2, 0x30);                                   /* without SET: one field at once */
	assert_int_equal(get(2), 0x30);
	assert_int_equal(get(9), 0x32);
}

static void test_encodings(void **state)
{
	(void)state;
	now_ns = 13 * 3600 * S;
	assert_int_equal(get(4), 0x13);
	set(0xb, 0x00);
	assert_int_equal(get(4), 0x81); /* 1 in the afternoon */
	set(0xb, 0x04);
	assert_int_equal(get(4), 0x81);
	set(0xb, 0x06);
	assert_int_equal(get(4), 13);
	set(0xb, 0x04);
	set(4, 0x0c); /* 12 at night */
	set(0xb, 0x06);
	assert_int_equal(get(4), 0);
}

static void test_update_in_progress(void **state)
{
	(void)state;
	now_ns = S / 2;
	assert_int_equal(get(0xa), 0x26);
	now_ns = S - 1000;
	assert_int_equal(get(0xa), 0xa6);
	now_ns = S;
	assert_int_equal(get(0xa), 0x26);
}

static void run_to(uint64_t end)
{
	while (rtc_deadline(&rtc) <= end) {
		now_ns = rtc_deadline(&rtc);
		rtc_run(&rtc);
		if (level_now) {
			(void)get(0xc);
		}
	}
	now_ns = end;
}

static void test_update_interrupt(void **state)
{
	(void)state;
	set(0xb, 0x12);
	run_to(10 * S + 1);
	assert_int_equal(edges, 10);
	set(0xb, 0x02);
	assert_true(rtc_deadline(&rtc) == DEVICE_NEVER);
	now_ns += 3 * S;
	assert_int_equal(get(0xc), 0x50); /* the flags come without the interrupt too */
	assert_int_equal(get(0xc), 0);
}

static void test_alarm(void **state)
{
	(void)state;
	set(1, 0x05);
	set(3, 0x30);
	set(5, 0x01);
	set(0xb, 0x22);
	assert_int_equal(rtc_deadline(&rtc), (3600 + 30 * 60 + 5) * S);
	now_ns = rtc_deadline(&rtc);
	rtc_run(&rtc);
	assert_true(level_now);
	assert_int_equal(get(0xc) & 0xa0, 0xa0);
	assert_false(level_now);
	assert_int_equal(rtc_deadline(&rtc), (86400 + 3600 + 30 * 60 + 5) * S);
	set(5, 0xff); /* every hour */
	assert_int_equal(rtc_deadline(&rtc), (2 * 3600 + 30 * 60 + 5) * S);
	set(3, 0xc0);
	set(1, 0xff); /* every second */
	edges = 0;
	run_to(now_ns + 5 * S);
	assert_int_equal(edges, 5);
}

static void test_periodic(void **state)
{
	(void)state;
	set(0xa, 0x26);
	set(0xb, 0x42);
	run_to(S);
	assert_int_equal(edges, 1024);
	set(0xa, 0x2f); /* 2 Hz */
	edges = 0;
	run_to(11 * S);
	assert_in_range(edges, 19, 21);
	set(0xa, 0x20);
	assert_true(rtc_deadline(&rtc) == DEVICE_NEVER);
}

static void test_memory(void **state)
{
	(void)state;
	set(0x40, 0xa5);
	assert_int_equal(get(0x40), 0xa5);
	assert_true(rtc.is_nmi_masked == false);
	set(0xd, 0);
	assert_int_equal(get(0xd), 0x80);
	rtc_set_memory(&rtc, 0x10000000, 0x40000000);
	assert_int_equal(get(0x34) | get(0x35) << 8, 0x0f00);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0x4000);
	assert_int_equal(bus_port_read(&bus, 0x70, 1), 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_calendar, setup),
		cmocka_unit_test_setup(test_set_time, setup),
		cmocka_unit_test_setup(test_encodings, setup),
		cmocka_unit_test_setup(test_update_in_progress, setup),
		cmocka_unit_test_setup(test_update_interrupt, setup),
		cmocka_unit_test_setup(test_alarm, setup),
		cmocka_unit_test_setup(test_periodic, setup),
		cmocka_unit_test_setup(test_memory, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
