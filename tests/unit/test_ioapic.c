// SPDX-License-Identifier: Apache-2.0
/*
 * The I/O APIC: identity, masks, edge and level delivery, remote IRR, EOI by broadcast and by
 * register.
 */
// sources: vmm/devices/ioapic.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/devices/ioapic.h"

static struct ioapic ioapic;
static struct bus bus;
static uint32_t sent;
static uint64_t last_address;
static uint32_t last_data;

static void send(void *context, uint64_t address, uint32_t data)
{
	(void)context;
	sent++;
	last_address = address;
	last_data = data;
}

static void set(uint32_t reg, uint32_t value)
{
	bus_mmio_write(&bus, IOAPIC_GPA, 4, reg);
	bus_mmio_write(&bus, IOAPIC_GPA + 0x10, 4, value);
}

static uint32_t get(uint32_t reg)
{
	bus_mmio_write(&bus, IOAPIC_GPA, 4, reg);
	return (uint32_t)bus_mmio_read(&bus, IOAPIC_GPA + 0x10, 4);
}

static int setup(void **state)
{
	(void)state;
	memset(&ioapic, 0, sizeof(ioapic));
	ioapic.send = send;
	sent = 0;
	bus_init(&bus);
	ioapic_attach(&ioapic, &bus);
	ioapic_reset(&ioapic);
	return 0;
}

static void test_identity(void **state)
{
	(void)state;
	assert_int_equal(get(1), 0x00170020);
	set(0, 0x05000000);
	assert_int_equal(get(0), 0x05000000);
	assert_int_equal(get(0x10), 0x10000);
	assert_int_equal(get(0x3f), 0);
	assert_int_equal(get(0x40), UINT32_MAX);
	set(0x40, 0); /* nothing is there */
}

static void test_edge(void **state)
{
	(void)state;
	ioapic_line_set(&ioapic, 2, true); /* masked: lost */
	set(0x15, 0x03000000);
	set(0x14, 0x00000031);
	assert_int_equal(sent, 0);
	ioapic_line_set(&ioapic, 2, true);
	assert_int_equal(sent, 0);
	ioapic_line_set(&ioapic, 2, false);
	ioapic_line_set(&ioapic, 2, true);
	assert_int_equal(sent, 1);
	assert_int_equal(last_address, 0xfee03000);
	assert_int_equal(last_data, 0x31);
	assert_int_equal(get(0x14), 0x31);
	ioapic_line_set(&ioapic, 24, true); /* no such pin */
}

static void test_level(void **state)
{
	(void)state;
	set(0x23, 0xff000000);
	set(0x22, 0x00008940); /* level, logical, lowest priority */
	ioapic_line_set(&ioapic, 9, true);
	assert_int_equal(sent, 1);
	assert_int_equal(last_address, 0xfeeff00c);
	assert_int_equal(last_data, 0xc140);
	assert_int_equal(get(0x22) & 0x4000, 0x4000);
	ioapic_line_set(&ioapic, 9, false);
	ioapic_line_set(&ioapic, 9, true);
	assert_int_equal(sent, 1); /* in service */
	ioapic_eoi(&ioapic, 0x41);
	assert_int_equal(sent, 1);
	ioapic_eoi(&ioapic, 0x40);
	assert_int_equal(sent, 2); /* still asserted */
	ioapic_line_set(&ioapic, 9, false);
	bus_mmio_write(&bus, IOAPIC_GPA + 0x40, 4, 0x40);
	assert_int_equal(sent, 2);
	assert_int_equal(get(0x22) & 0x4000, 0);
}

static void test_level_unmask(void **state)
{
	(void)state;
	set(0x22, 0x18040);
	ioapic_line_set(&ioapic, 9, true);
	assert_int_equal(sent, 0);
	set(0x22, 0x8040);
	assert_int_equal(sent, 1);
	set(0x22, 0xc040); /* remote IRR is read-only */
	assert_int_equal(sent, 1);
	set(0x22, 0x10040); /* edge: clears remote IRR */
	set(0x22, 0x8040);
	assert_int_equal(sent, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_identity, setup),
		cmocka_unit_test_setup(test_edge, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_level_unmask, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
