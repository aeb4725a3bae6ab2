// SPDX-License-Identifier: Apache-2.0
/*
 * ACPI fixed hardware and the ways to reset: power button, PM timer, S5, 0xcf9, keyboard
 * controller, port 0x92, debug exit.
 */
// sources: vmm/devices/acpi_pm.c vmm/devices/reset.c vmm/devices/pci.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_board.h"
#include "vmm/devices/acpi_pm.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/reset.h"

static struct acpi_pm pm;
static struct reset reset;
static struct pci pci;
static struct bus bus;
static uint32_t power_offs;
static uint32_t resets;
static enum reset_cause last_cause;
static uint32_t exits;
static uint32_t exit_code;
static struct device_clock clock_device;

static void power_off(void *context)
{
	(void)context;
	power_offs++;
}

static void request(void *context, enum reset_cause cause)
{
	(void)context;
	resets++;
	last_cause = cause;
}

static void debug_exit(void *context, uint8_t code)
{
	(void)context;
	exits++;
	exit_code = code;
}

static uint8_t cf9_read(void *context)
{
	return reset_control_read(context);
}

static void cf9_write(void *context, uint8_t value)
{
	reset_control_write(context, value);
}

static void out(uint32_t port, uint32_t width, uint32_t value)
{
	bus_port_write(&bus, port, width, value);
}

static uint32_t in(uint32_t port, uint32_t width)
{
	return (uint32_t)bus_port_read(&bus, port, width);
}

static int setup(void **state)
{
	(void)state;
	memset(&pm, 0, sizeof(pm));
	memset(&reset, 0, sizeof(reset));
	memset(&pci, 0, sizeof(pci));
	clock_device = (struct device_clock){ now, NULL, NULL };
	pm.clock = &clock_device;
	pm.sci = (struct irq_line){ irq_set, NULL, 9, false };
	pm.power_off = power_off;
	reset.request = request;
	reset.debug_exit = debug_exit;
	pci.cf9_read = cf9_read;
	pci.cf9_write = cf9_write;
	pci.context = &reset;
	now_ns = 0;
	level_now = false;
	power_offs = resets = exits = 0;
	bus_init(&bus);
	assert_int_equal(acpi_pm_attach(&pm, &bus), 0);
	assert_int_equal(reset_attach(&reset, &bus), 0);
	assert_int_equal(pci_attach(&pci, &bus, 0xe0000000), 0);
	acpi_pm_reset(&pm);
	reset_reset(&reset);
	return 0;
}

static void test_power_button(void **state)
{
	(void)state;
	acpi_pm_press_power_button(&pm);
	assert_false(level_now); /* not enabled */
	assert_int_equal(in(0x600, 2), 0x100);
	out(0x602, 2, 0x120);
	assert_true(level_now);
	assert_int_equal(in(0x602, 2), 0x120);
	assert_int_equal(in(0x603, 1), 0x01);
	out(0x600, 2, 0x020);
	assert_true(level_now);
	out(0x600, 2, 0x100);
	assert_false(level_now);
	assert_int_equal(in(0x600, 4), 0x01200000);
}

static void test_timer(void **state)
{
	(void)state;
	assert_int_equal(in(0x608, 4), 0);
	now_ns = 1000000000;
	assert_int_equal(in(0x608, 4), 3579545);
	out(0x602, 2, 0x001);
	assert_in_range(acpi_pm_deadline(&pm), 599930000000ull, 599940000000ull);
	now_ns = acpi_pm_deadline(&pm);
	acpi_pm_run(&pm);
	assert_true(level_now);
	out(0x600, 2, 1);
	assert_false(level_now);
	assert_true(acpi_pm_deadline(&pm) > now_ns);
	assert_int_equal(in(0x608, 4) >> 31, 1);
}

static void test_power_off(void **state)
{
	(void)state;
	assert_int_equal(in(0x604, 2), 0x0001); /* ACPI mode is on */
	out(0x604, 2, 0x1400);                  /* a type without the enable bit */
	assert_int_equal(power_offs, 0);
	out(0x604, 2, 0x3400); /* not S5 */
	assert_int_equal(power_offs, 0);
	assert_int_equal(in(0x604, 2), 0x1401); /* SLP_EN reads as zero */
	out(0x604, 2, 0x2000 | ACPI_PM_S5_TYPE << 10);
	assert_int_equal(power_offs, 1);
	out(0x605, 1, 0x20);
	assert_int_equal(power_offs, 2);
}

static void test_cf9(void **state)
{
	(void)state;
	out(0xcf9, 1, 0x02);
	assert_int_equal(resets, 0);
	assert_int_equal(in(0xcf9, 1), 0x02);
	out(0xcf9, 1, 0x06);
	assert_int_equal(resets, 1);
	assert_int_equal(last_cause, RESET_CAUSE_CF9);
	out(0xcf8, 4, 0x80000600); /* an address, no reset */
	assert_int_equal(resets, 1);
}

static void test_keyboard_controller(void **state)
{
	(void)state;
	assert_int_equal(in(0x64, 1) & 3, 0); /* neither full nor busy */
	out(0x64, 1, 0xaa);
	assert_int_equal(in(0x64, 1) & 1, 1);
	assert_int_equal(in(0x60, 1), 0x55);
	assert_int_equal(in(0x64, 1) & 1, 0);
	out(0x64, 1, 0x60);
	out(0x60, 1, 0x43);
	out(0x64, 1, 0x20);
	assert_int_equal(in(0x60, 1), 0x43);
	out(0x64, 1, 0xd3); /* what i8042 drivers loop through the controller */
	out(0x60, 1, 0xa5);
	assert_int_equal(in(0x60, 1), 0xa5);
	out(0x60, 1, 0xf2); /* identify keyboard: nobody answers */
	assert_int_equal(in(0x64, 1) & 1, 0);
	out(0x64, 1, 0xff);
	assert_int_equal(resets, 0);
	out(0x64, 1, 0xfe);
	assert_int_equal(resets, 1);
	assert_int_equal(last_cause, RESET_CAUSE_8042);
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xdf);
	assert_int_equal(resets, 1);
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xde);
	assert_int_equal(resets, 2);
}

static void test_port92(void **state)
{
	(void)state;
	assert_int_equal(in(0x92, 1), 0x02);
	out(0x92, 1, 0x00);
	assert_int_equal(in(0x92, 1), 0x00);
	assert_int_equal(resets, 0);
	out(0x92, 1, 0x03);
	assert_int_equal(resets, 1);
	assert_int_equal(last_cause, RESET_CAUSE_PORT92);
}

static void test_debug_exit(void **state)
{
	(void)state;
	out(0xf4, 1, 0x21);
	assert_int_equal(exit_code, 0x21);
	out(0xf4, 4, 0x10);
	assert_int_equal(exit_code, 0x10);
	assert_int_equal(exits, 2);
	bus_init(&bus);
	reset.debug_exit = NULL;
	reset_attach(&reset, &bus);
	out(0xf4, 1, 1);
	assert_int_equal(exits, 2);
	assert_int_equal(bus.unclaimed_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_power_button, setup),
		cmocka_unit_test_setup(test_timer, setup),
		cmocka_unit_test_setup(test_power_off, setup),
		cmocka_unit_test_setup(test_cf9, setup),
		cmocka_unit_test_setup(test_keyboard_controller, setup),
		cmocka_unit_test_setup(test_port92, setup),
		cmocka_unit_test_setup(test_debug_exit, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
