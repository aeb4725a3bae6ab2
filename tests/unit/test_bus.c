// SPDX-License-Identifier: Apache-2.0
/*
 * The buses: lookup, overlap, splitting of widths, unclaimed accesses.
 */
// sources: vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/bus.h"

struct fake {
	uint64_t offset[8];
	uint32_t width[8];
	uint64_t value[8];
	uint32_t count;
};

static uint64_t fake_read(void *device, uint64_t offset, uint32_t width)
{
	struct fake *fake = device;

	fake->offset[fake->count % 8] = offset;
	fake->width[fake->count++ % 8] = width;
	return 0xffffffffffffff00ull | offset; /* bits above the width must not be seen */
}

static void fake_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct fake *fake = device;

	fake->offset[fake->count % 8] = offset;
	fake->value[fake->count % 8] = value;
	fake->width[fake->count++ % 8] = width;
}

static void test_ranges(void **state)
{
	struct bus bus;
	struct bus_range range = { 0x100, 0x10, NULL, NULL, NULL, BUS_WIDTH_1 };

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_port_add(&bus, &range), BH_OK);
	assert_int_equal(bus_port_add(&bus, &range), BH_ERR_EXISTS);
	range.base = 0xf8;
	range.size = 9;
	assert_int_equal(bus_port_add(&bus, &range), BH_ERR_EXISTS);
	range.size = 8;
	assert_int_equal(bus_port_add(&bus, &range), BH_OK);
	range.base = 0x110;
	assert_int_equal(bus_port_add(&bus, &range), BH_OK);
	range.base = 0xfffc;
	assert_int_equal(bus_port_add(&bus, &range), BH_ERR_INVALID);
	range.base = UINT64_MAX;
	range.size = 1;
	assert_int_equal(bus_mmio_add(&bus, &range), BH_OK);
	range.size = 2;
	assert_int_equal(bus_mmio_add(&bus, &range), BH_ERR_INVALID);
	assert_int_equal(bus_port_remove(&bus, 0x101), BH_ERR_NOT_FOUND);
	assert_int_equal(bus_port_remove(&bus, 0x100), BH_OK);
	assert_int_equal(bus_port_remove(&bus, 0x100), BH_ERR_NOT_FOUND);
}

static void test_limit(void **state)
{
	struct bus bus;
	struct bus_range range = { 0, 1, NULL, NULL, NULL, BUS_WIDTH_1 };

	(void)state;
	bus_init(&bus);
	for (uint32_t i = 0; i < BUS_PORT_RANGES_MAX; i++) {
		range.base = (i * 37) % 512 * 2; /* in no order */
		assert_int_equal(bus_port_add(&bus, &range), BH_OK);
	}
	range.base = 0x8000;
	assert_int_equal(bus_port_add(&bus, &range), BH_ERR_LIMIT);
	for (uint32_t i = 1; i < bus.ports.count; i++) {
		assert_true(bus.ports.ranges[i - 1].base < bus.ports.ranges[i].base);
	}
}

static void test_split(void **state)
{
	struct bus bus;
	struct fake fake = { .count = 0 };
	struct bus_range range = { 0x40, 4, fake_read, fake_write, &fake, BUS_WIDTH_1 };

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_port_add(&bus, &range), BH_OK);
	assert_int_equal(bus_port_read(&bus, 0x40, 4), 0x03020100);
	assert_int_equal(fake.count, 4);
	assert_int_equal(bus_port_read(&bus, 0x42, 4), 0xffff0302); /* runs off its end */
	fake.count = 0;
	bus_port_write(&bus, 0x41, 2, 0xabcd);
	assert_int_equal(fake.count, 2);
	assert_int_equal(fake.value[0], 0xcd);
	assert_int_equal(fake.offset[1], 2);
	assert_int_equal(fake.value[1], 0xab);
	bus_port_write(&bus, 0x3f, 2, 0x1122); /* its high byte only */
	assert_int_equal(fake.value[2], 0x11);
	assert_int_equal(fake.count, 3);
}

static void test_wide(void **state)
{
	struct bus bus;
	struct fake fake = { .count = 0 };
	struct bus_range range = { 0x1000, 0x100, fake_read, fake_write, &fake, BUS_WIDTH_4 };

	(void)state;
	bus_init(&bus);
	assert_int_equal(bus_mmio_add(&bus, &range), BH_OK);
	assert_int_equal(bus_mmio_read(&bus, 0x1010, 4), 0xffffff10);
	assert_int_equal(bus_mmio_read(&bus, 0x1010, 8), 0xffffff14ffffff10ull);
	assert_int_equal(bus.unclaimed_count, 0);
	assert_int_equal(bus_mmio_read(&bus, 0x1011, 1), 0xff); /* a width that it does not take */
	assert_int_equal(bus.unclaimed_count, 1);
	assert_int_equal(bus_mmio_read(&bus, 0x9000, 8), UINT64_MAX);
	assert_int_equal(bus_mmio_read(&bus, UINT64_MAX - 1, 8), UINT64_MAX);
	bus_mmio_write(&bus, 0x9000, 4, 1);
	assert_int_equal(bus.unclaimed_count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_wide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
