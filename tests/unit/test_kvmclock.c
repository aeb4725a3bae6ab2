// SPDX-License-Identifier: Apache-2.0
/*
 * The paravirtual clock: what the guest computes from its page is the time of this machine, records
 * are written only into the guest's RAM, and versions tell of every change.
 */
// sources: vmm/kvmclock.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/kvmclock.h"

#define RAM_GPA  0x10000ull
#define RAM_SIZE 0x2000ull
#define TSC_HZ   2400000000ull

static _Alignas(4096) uint8_t ram[RAM_SIZE];
static struct guest_memory memory;
static struct bh_info info;
static uint64_t tsc_offset;
static struct kvmclock clock;

struct record {
	uint32_t version;
	uint32_t pad;
	uint64_t timestamp;
	uint64_t system_time_ns;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags;
};

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memory = (struct guest_memory){ .slots = { { RAM_GPA, RAM_SIZE, ram } }, .slots_count = 1 };
	memset(&info, 0, sizeof(info));
	info.tsc_hz = TSC_HZ;
	info.boot_tsc = 5000;
	tsc_offset = 0;
	clock = (struct kvmclock){ .memory = &memory,
		                   .info = &info,
		                   .wall_seconds = 1700000000,
		                   .tsc_offset = &tsc_offset };
	return 0;
}

static struct record record_at(uint64_t offset)
{
	struct record record;

	memcpy(&record, ram + offset, sizeof(record));
	return record;
}

/* As a guest does it. */
static uint64_t guest_ns(uint64_t offset, uint64_t guest_tsc)
{
	struct record record = record_at(offset);
	uint64_t delta = guest_tsc - record.timestamp;

	delta = record.shift < 0 ? delta >> -record.shift : delta << record.shift;
	return record.system_time_ns +
	       (uint64_t)((unsigned __int128)delta * record.multiplier >> 32);
}

static void guest_reads_the_machines_time(void **state)
{
	(void)state;
	tsc_offset = 0 - 1000000ull; /* the guest's TSC began after the machine's */
	kvmclock_set_system_time(&clock, (RAM_GPA + 0x40) | 1);
	assert_int_equal(record_at(0x40).version, 2);
	assert_int_equal(record_at(0x40).flags, 1);
	assert_int_equal(guest_ns(0x40, info.boot_tsc + tsc_offset), 0);
	assert_in_range(guest_ns(0x40, info.boot_tsc + tsc_offset + 3600 * TSC_HZ),
	                3599999990000ull, 3600000010000ull);
}

static void clock_follows_the_tsc(void **state)
{
	(void)state;
	kvmclock_set_system_time(&clock, RAM_GPA | 1);
	tsc_offset = 123456789;
	kvmclock_update(&clock);
	assert_int_equal(record_at(0).version, 4);
	assert_int_equal(guest_ns(0, info.boot_tsc + tsc_offset), 0);
}

/* A guest that was paused for 47 seconds found a stall of RCU, since nothing told it. */
static void guest_learns_of_a_pause(void **state)
{
	(void)state;
	kvmclock_set_system_time(&clock, RAM_GPA | 1);
	kvmclock_tell_pause(&clock);
	assert_int_equal(record_at(0).flags, 3);
	assert_int_equal(record_at(0).version, 2);
	assert_int_equal(guest_ns(0, info.boot_tsc), 0);
}

static void clock_that_is_off_writes_nothing(void **state)
{
	static const uint8_t nothing[RAM_SIZE];

	(void)state;
	kvmclock_tell_pause(&clock);
	kvmclock_update(&clock);
	kvmclock_set_system_time(&clock, RAM_GPA);
	assert_memory_equal(ram, nothing, sizeof(ram));
	assert_int_equal(clock.system_time, RAM_GPA);
}

static void records_stay_in_memory(void **state)
{
	static const uint8_t nothing[RAM_SIZE];
	static const uint64_t places[] = {
		0,
		RAM_GPA - 4,
		RAM_GPA + RAM_SIZE - 8,
		RAM_GPA + RAM_SIZE,
		RAM_GPA + 2,
		UINT64_MAX - 2,
		1ull << 63,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		kvmclock_set_system_time(&clock, places[i] | 1);
		kvmclock_set_wall_clock(&clock, places[i]);
		kvmclock_update(&clock);
	}
	assert_memory_equal(ram, nothing, sizeof(ram));
}

static void wall_clock_is_told(void **state)
{
	uint32_t words[3];

	(void)state;
	kvmclock_set_wall_clock(&clock, RAM_GPA + 12);
	kvmclock_set_wall_clock(&clock, RAM_GPA + 12);
	memcpy(words, ram + 12, sizeof(words));
	assert_int_equal(words[0], 4);
	assert_int_equal(words[1], 1700000000);
	assert_int_equal(words[2], 0);
}

static void scale_is_exact_enough(void **state)
{
	(void)state;
	for (uint64_t hz = 90000000; hz < 9000000000ull; hz = hz * 3 / 2) {
		uint32_t multiplier;
		uint64_t ticks = hz / 7;
		int8_t shift;

		kvmclock_scale(hz, &multiplier, &shift);
		ticks = shift >= 0 ? ticks << shift : ticks >> -shift;
		assert_in_range((uint64_t)((unsigned __int128)ticks * multiplier >> 32),
		                1000000000 / 7 - 100, 1000000000 / 7 + 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(guest_reads_the_machines_time, setup),
		cmocka_unit_test_setup(clock_follows_the_tsc, setup),
		cmocka_unit_test_setup(guest_learns_of_a_pause, setup),
		cmocka_unit_test_setup(clock_that_is_off_writes_nothing, setup),
		cmocka_unit_test_setup(records_stay_in_memory, setup),
		cmocka_unit_test_setup(wall_clock_is_told, setup),
		cmocka_unit_test_setup(scale_is_exact_enough, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
