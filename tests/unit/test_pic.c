// SPDX-License-Identifier: Apache-2.0
/*
 * The 8259 pair: initialization, priorities, cascade, edge and level, spurious interrupts, EOI
 * forms, polling.
 */
// sources: vmm/devices/pic.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/devices/pic.h"

static struct pic pic;
static struct bus bus;
static bool is_high;

static void intr_set(void *context, uint32_t number, bool level)
{
	(void)context;
	(void)number;
	is_high = level;
}

static void out(uint32_t port, uint32_t value)
{
	bus_port_write(&bus, port, 1, value);
}

static uint32_t in(uint32_t port)
{
	return (uint32_t)bus_port_read(&bus, port, 1);
}

static int setup(void **state)
{
	(void)state;
	memset(&pic, 0, sizeof(pic));
	is_high = false;
	pic.intr = (struct irq_line){ intr_set, NULL, 0, false };
	bus_init(&bus);
	pic_attach(&pic, &bus);
	pic_reset(&pic);
	out(0x20, 0x11);
	out(0x21, 0x30);
	out(0x21, 0x04);
	out(0x21, 0x01);
	out(0xa0, 0x11);
	out(0xa1, 0x38);
	out(0xa1, 0x02);
	out(0xa1, 0x01);
	return 0;
}

static void test_mask_register_probe(void **state)
{
	(void)state;
	out(0x21, 0xfb); /* what Linux does to see whether there is a PIC */
	assert_int_equal(in(0x21), 0xfb);
	assert_int_equal(in(0xa1), 0x00);
}

static void test_edge(void **state)
{
	(void)state;
	pic_line_set(&pic, 4, true);
	assert_true(is_high);
	assert_int_equal(pic_acknowledge(&pic), 0x34);
	assert_false(is_high);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0x10);
	out(0x20, 0x20);
	assert_false(is_high); /* still high: no new edge */
	pic_line_set(&pic, 4, false);
	pic_line_set(&pic, 4, true);
	assert_true(is_high);
}

static void test_spurious(void **state)
{
	(void)state;
	pic_line_set(&pic, 5, true);
	pic_line_set(&pic, 5, false);
	assert_false(is_high);
	assert_int_equal(pic_acknowledge(&pic), 0x37);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0); /* no in-service bit for it */
}

static void test_priority(void **state)
{
	(void)state;
	pic_line_set(&pic, 4, true);
	assert_int_equal(pic_acknowledge(&pic), 0x34);
	pic_line_set(&pic, 7, true);
	assert_false(is_high);
	pic_line_set(&pic, 1, true);
	assert_true(is_high);
	assert_int_equal(pic_acknowledge(&pic), 0x31);
	out(0x20, 0x20); /* ends 1, the highest */
	assert_false(is_high);
	out(0x20, 0x64); /* ends 4 by name */
	assert_true(is_high);
	assert_int_equal(pic_acknowledge(&pic), 0x37);
}

static void test_cascade(void **state)
{
	(void)state;
	pic_line_set(&pic, 8, true);
	pic_line_set(&pic, 12, true);
	assert_true(is_high);
	assert_int_equal(pic_acknowledge(&pic), 0x38);
	assert_false(is_high);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_true(is_high);
	assert_int_equal(pic_acknowledge(&pic), 0x3c);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_false(is_high);
}

static void test_level(void **state)
{
	(void)state;
	out(0x4d1, 0xff);
	assert_int_equal(in(0x4d1), 0xde); /* 8 and 13 stay edge-triggered */
	pic_line_set(&pic, 9, true);
	assert_int_equal(pic_acknowledge(&pic), 0x39);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_true(is_high); /* still asserted */
	pic_line_set(&pic, 9, false);
	assert_false(is_high);
}

static void test_mask(void **state)
{
	(void)state;
	out(0x21, 0x10);
	pic_line_set(&pic, 4, true);
	assert_false(is_high);
	out(0x20, 0x0a);
	assert_int_equal(in(0x20), 0x10);
	out(0x21, 0x00);
	assert_true(is_high);
}

static void test_auto_eoi_and_poll(void **state)
{
	(void)state;
	out(0x20, 0x11);
	out(0x21, 0x30);
	out(0x21, 0x04);
	out(0x21, 0x03);
	pic_line_set(&pic, 3, true);
	assert_int_equal(pic_acknowledge(&pic), 0x33);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0);
	pic_line_set(&pic, 6, true);
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0x86);
	assert_int_equal(in(0x20), 0x00);
}

static void test_rotation(void **state)
{
	(void)state;
	pic_line_set(&pic, 0, true);
	pic_line_set(&pic, 3, true);
	assert_int_equal(pic_acknowledge(&pic), 0x30);
	out(0x20, 0xa0); /* rotate on EOI: 0 is lowest now */
	pic_line_set(&pic, 0, false);
	pic_line_set(&pic, 0, true);
	assert_int_equal(pic_acknowledge(&pic), 0x33);
	assert_false(is_high);
	out(0x20, 0x20);
	assert_int_equal(pic_acknowledge(&pic), 0x30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_mask_register_probe, setup),
		cmocka_unit_test_setup(test_edge, setup),
		cmocka_unit_test_setup(test_spurious, setup),
		cmocka_unit_test_setup(test_priority, setup),
		cmocka_unit_test_setup(test_cascade, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_mask, setup),
		cmocka_unit_test_setup(test_auto_eoi_and_poll, setup),
		cmocka_unit_test_setup(test_rotation, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
