// SPDX-License-Identifier: Apache-2.0
/*
 * Stolen time: the guest counts from zero in nanoseconds, every change has a version of its own, and nothing is written but into the
 * guest's RAM and while it is on.
 */
// sources: vmm/steal.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/steal.h"

#define RAM_GPA 0x10000ull

static _Alignas(4096) uint8_t ram[4096];
static struct guest_memory memory;
static struct bh_info info;
static uint64_t steal_tsc, preempted_byte;
static struct steal steal;

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memory = (struct guest_memory){ .slots = { { RAM_GPA, sizeof(ram), ram } },
		                        .slots_count = 1 };
	info.tsc_hz = 2000000000;
	steal_tsc = 5000;
	steal = (struct steal){ .memory = &memory,
		                .info = &info,
		                .steal_tsc = &steal_tsc,
		                .preempted_byte = &preempted_byte };
	return 0;
}

static uint64_t ns_at(uint64_t offset)
{
	uint64_t ns;

	memcpy(&ns, ram + offset, sizeof(ns));
	return ns;
}

static uint32_t version_at(uint64_t offset)
{
	uint32_t version;

	memcpy(&version, ram + offset + 8, sizeof(version));
	return version;
}

static void counts_from_zero(void **state)
{
	(void)state;
	assert_int_equal(steal_set(&steal, (RAM_GPA + 0x40) | 1), BH_OK);
	assert_int_equal(ns_at(0x40), 0);
	assert_int_equal(version_at(0x40), 2);
	steal_tsc += 4000;
	steal_update(&steal);
	assert_int_equal(ns_at(0x40), 2000);
	assert_int_equal(version_at(0x40), 4);
	steal_update(&steal); /* nothing new */
	assert_int_equal(version_at(0x40), 4);
	steal_tsc += 1ull << 60; /* no overflow on the way */
	steal_update(&steal);
	assert_int_equal(ns_at(0x40), 2000 + (1ull << 59));
}

static void a_move_keeps_the_count(void **state)
{
	(void)state;
	assert_int_equal(steal_set(&steal, RAM_GPA | 1), BH_OK);
	steal_tsc += 2000;
	assert_int_equal(steal_set(&steal, (RAM_GPA + 0x80) | 1), BH_OK);
	assert_int_equal(ns_at(0), 0);
	assert_int_equal(ns_at(0x80), 1000);
	assert_int_equal(steal_set(&steal, 0), BH_OK);
	steal_tsc += 2000;
	steal_update(&steal);
	assert_int_equal(ns_at(0x80), 1000);
	assert_int_equal(steal_set(&steal, RAM_GPA | 1), BH_OK); /* on again: anew */
	assert_int_equal(ns_at(0), 0);
}

static void reserved_bits_are_refused(void **state)
{
	(void)state;
	for (uint32_t bit = 1; bit < 6; bit++) {
		assert_int_equal(steal_set(&steal, RAM_GPA | 1 | 1u << bit), BH_ERR_INVALID);
	}
	assert_int_equal(steal.value, 0);
}

/* What lies outside, at its edge, or wraps: kept, and without effect. */
static void only_ram_is_written(void **state)
{
	static const uint64_t places[] = { 0, RAM_GPA - 64, RAM_GPA + sizeof(ram), ~63ull };

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		assert_int_equal(steal_set(&steal, places[i] | 1), BH_OK);
		steal_tsc += 1000;
		steal_update(&steal);
	}
	for (size_t i = 0; i < sizeof(ram); i++) {
		assert_int_equal(ram[i], 0);
	}
	assert_int_equal(steal_set(&steal, (RAM_GPA + sizeof(ram) - 64) | 1), BH_OK);
	assert_int_equal(version_at(sizeof(ram) - 64), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counts_from_zero, setup),
		cmocka_unit_test_setup(a_move_keeps_the_count, setup),
		cmocka_unit_test_setup(reserved_bits_are_refused, setup),
		cmocka_unit_test_setup(only_ram_is_written, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
