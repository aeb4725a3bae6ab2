// SPDX-License-Identifier: Apache-2.0
/*
 * PCI: both configuration mechanisms give the same, BAR sizing and moving, capabilities, absent
 * functions.
 */
// sources: vmm/devices/pci.c vmm/devices/fw_cfg.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/devices/fw_cfg.h"
#include "vmm/devices/pci.h"

#define ECAM 0xe0000000ull

static struct pci pci;
static struct bus bus;
static struct pci_function function;
static uint32_t written;

static uint64_t bar_read(void *device, uint64_t offset, uint32_t width)
{
	(void)device;
	(void)width;
	return 0x100 + offset;
}

static void config_written(void *device, uint32_t offset, uint32_t width)
{
	(void)device;
	(void)offset;
	(void)width;
	written++;
}

static uint32_t get(uint32_t devfn, uint32_t offset, uint32_t width)
{
	uint32_t value;

	bus_port_write(&bus, 0xcf8, 4, 0x80000000u | devfn << 8 | (offset & 0xfc));
	value = (uint32_t)bus_port_read(&bus, 0xcfc + (offset & 3), width);
	assert_int_equal(value, bus_mmio_read(&bus, ECAM + (devfn << 12) + offset, width));
	return value;
}

static void set(uint32_t devfn, uint32_t offset, uint32_t width, uint32_t value)
{
	bus_port_write(&bus, 0xcf8, 4, 0x80000000u | devfn << 8 | (offset & 0xfc));
	bus_port_write(&bus, 0xcfc + (offset & 3), width, value);
}

static int setup(void **state)
{
	const struct pci_bar io = { .size = 32, .kind = PCI_BAR_IO, .read = bar_read, .widths = 7 };
	const struct pci_bar memory = {
		.size = 0x4000, .kind = PCI_BAR_MEMORY64, .read = bar_read, .widths = 15
	};

	(void)state;
	memset(&pci, 0, sizeof(pci));
	memset(&function, 0, sizeof(function));
	written = 0;
	bus_init(&bus);
	assert_int_equal(pci_attach(&pci, &bus, ECAM), BH_OK);
	pci_function_init(&function, 0x10411af4, 0x020000);
	function.slot = 3;
	function.written = config_written;
	assert_int_equal(pci_bar_set(&function, 0, &io, 0xc000), BH_OK);
	assert_int_equal(pci_bar_set(&function, 4, &memory, 0xd0000000), BH_OK);
	assert_int_equal(pci_bar_set(&function, 5, &memory, 0xd0000000), BH_ERR_INVALID);
	assert_int_equal(pci_bar_set(&function, 1, &io, 0xc001), BH_ERR_INVALID);
	assert_int_equal(pci_function_add(&pci, &function), BH_OK);
	assert_int_equal(pci_function_add(&pci, &function), BH_ERR_EXISTS);
	return 0;
}

static void test_probe(void **state)
{
	(void)state;
	assert_int_equal(get(0, PCI_VENDOR_ID, 4), 0x00081b36);
	assert_int_equal(get(0, 0x0b, 1), 0x06);
	assert_int_equal(get(3 << 3, PCI_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(get(3 << 3, 0x0a, 2), 0x0200);
	assert_int_equal(get(4 << 3, PCI_VENDOR_ID, 4), 0xffffffff);
	assert_int_equal(get(3 << 3 | 1, PCI_VENDOR_ID, 4), 0xffffffff);
	bus_port_write(&bus, 0xcf8, 4, 0x80010000); /* bus 1 */
	assert_int_equal(bus_port_read(&bus, 0xcfc, 4), 0xffffffff);
	bus_port_write(&bus, 0xcf8, 4, 0x00000000); /* not enabled */
	assert_int_equal(bus_port_read(&bus, 0xcfc, 4), 0xffffffff);
	bus_port_write(&bus, 0xcf8, 4, 0x80000000);
	assert_int_equal(bus_port_read(&bus, 0xcf8, 4), 0x80000000); /* mechanism 1 is there */
	assert_int_equal(bus_mmio_read(&bus, ECAM + 0x100, 4), 0);   /* no extended capabilities */
}

static void test_read_only(void **state)
{
	(void)state;
	set(3 << 3, PCI_VENDOR_ID, 4, 0);
	assert_int_equal(get(3 << 3, PCI_VENDOR_ID, 4), 0x10411af4);
	set(3 << 3, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(get(3 << 3, PCI_COMMAND, 2), 0x0547);
	set(3 << 3, PCI_INTERRUPT_LINE, 1, 11);
	assert_int_equal(get(3 << 3, PCI_INTERRUPT_LINE, 1), 11);
	assert_int_equal(written, 3);
}

static void test_bars(void **state)
{
	(void)state;
	assert_int_equal(get(3 << 3, PCI_BAR0, 4), 0xc001);
	set(3 << 3, PCI_BAR0, 4, 0xffffffff);
	assert_int_equal(get(3 << 3, PCI_BAR0, 4), 0xffffffe1);
	set(3 << 3, PCI_BAR0, 4, 0xc000);
	set(3 << 3, 0x20, 4, 0xffffffff);
	set(3 << 3, 0x24, 4, 0xffffffff);
	assert_int_equal(get(3 << 3, 0x20, 4), 0xffffc004);
	assert_int_equal(get(3 << 3, 0x24, 4), 0xffffffff);
	set(3 << 3, 0x20, 4, 0xd0000000);
	set(3 << 3, 0x24, 4, 0);
	assert_int_equal(bus_port_read(&bus, 0xc004, 1), 0xff);
	set(3 << 3, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(bus_port_read(&bus, 0xc004, 2), 0x104);
	assert_int_equal(bus_mmio_read(&bus, 0xd0000008, 8), 0x108);
	set(3 << 3, 0x24, 4, 2); /* above 4 GiB */
	assert_int_equal(bus_mmio_read(&bus, 0xd0000008, 4), 0xffffffff);
	assert_int_equal(bus_mmio_read(&bus, 0x2d0000008, 4), 0x108);
	set(3 << 3, 0x24, 4, 0);
	set(3 << 3, 0x20, 4, (uint32_t)ECAM); /* over something else: claims nothing */
	assert_int_equal(get(0, PCI_VENDOR_ID, 4), 0x00081b36);
	set(3 << 3, 0x20, 4, 0xd0000000);
	assert_int_equal(bus_mmio_read(&bus, 0xd0000008, 4), 0x108);
	pci_reset(&pci);
	assert_int_equal(bus_mmio_read(&bus, 0xd0000008, 4), 0xffffffff);
	assert_int_equal(bus.mmio.count, 1);
}

static void test_capabilities(void **state)
{
	int first = pci_capability_add(&function, 0x09, 16);
	int second = pci_capability_add(&function, 0x11, 12);

	(void)state;
	assert_int_equal(first, 0x40);
	assert_int_equal(second, 0x50);
	assert_int_equal(get(3 << 3, PCI_CAPABILITIES, 1), 0x50);
	assert_int_equal(get(3 << 3, 0x50, 2), 0x4011);
	assert_int_equal(get(3 << 3, 0x40, 2), 0x0009);
	assert_int_equal(get(3 << 3, PCI_STATUS, 2) & 0x10, 0x10);
	assert_int_equal(pci_capability_add(&function, 0x09, 0xc0), BH_ERR_LIMIT);
	assert_int_equal(pci_capability_add(&function, 0x09, 0xa4), 0x5c);
	assert_int_equal(pci_capability_add(&function, 0x09, 8), BH_ERR_LIMIT);
}

static void test_fw_cfg(void **state)
{
	struct fw_cfg fw_cfg = { .memory_bytes = 0x123456789a, .cpus_count = 4 };

	(void)state;
	assert_int_equal(fw_cfg_attach(&fw_cfg, &bus), BH_OK);
	bus_port_write(&bus, 0x510, 2, 0);
	assert_int_equal(bus_port_read(&bus, 0x511, 1), 'Q');
	assert_int_equal(bus_port_read(&bus, 0x511, 1), 'E');
	bus_port_write(&bus, 0x510, 2, 5);
	assert_int_equal(bus_port_read(&bus, 0x511, 1), 4);
	assert_int_equal(bus_port_read(&bus, 0x511, 1), 0);
	bus_port_write(&bus, 0x510, 2, 3);
	assert_int_equal(bus_port_read(&bus, 0x511, 1), 0x9a);
	for (uint32_t i = 0; i < 20; i++) {
		(void)bus_port_read(&bus, 0x511, 1);
	}
	assert_int_equal(bus_port_read(&bus, 0x511, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_probe, setup),
		cmocka_unit_test_setup(test_read_only, setup),
		cmocka_unit_test_setup(test_bars, setup),
		cmocka_unit_test_setup(test_capabilities, setup),
		cmocka_unit_test_setup(test_fw_cfg, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
