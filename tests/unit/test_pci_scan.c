// SPDX-License-Identifier: Apache-2.0
/*
 * PCI enumeration, BARs and capability lists of the machine over a config space of the test's own,
 * also one that lies.
 */
// sources: drivers/pci.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/pci.h"

#define SPACES 8u

static struct space {
	uint16_t bdf;
	bool is_used;
	uint8_t bytes[256];
	uint32_t bar_mask[6]; /* bits of the BAR that can be written */
} spaces[SPACES];

static struct space *find(uint16_t bdf)
{
	uint32_t i;

	for (i = 0; i < SPACES; i++) {
		if (spaces[i].is_used && spaces[i].bdf == bdf) {
			return &spaces[i];
		}
	}
	return NULL;
}

static uint32_t read_config(void *context, uint16_t bdf, uint32_t offset, uint32_t width)
{
	const struct space *space = find(bdf);
	uint32_t value = 0xffffffffu;

	assert_true(offset % width == 0 && offset + width <= 256);
	if (space != NULL) {
		value = 0;
		memcpy(&value, space->bytes + offset, width);
	}
	return width == 4 ? value : value & ((1u << (8 * width)) - 1);
}

static void write_config(void *context, uint16_t bdf, uint32_t offset, uint32_t width,
                         uint32_t value)
{
	struct space *space = find(bdf);

	assert_true(offset % width == 0 && offset + width <= 256);
	assert_non_null(space);
	if (offset >= PCI_BAR && offset < PCI_BAR + 24) {
		uint32_t mask = space->bar_mask[(offset - PCI_BAR) / 4];
		uint32_t old;

		assert_int_equal(width, 4);
		assert_int_equal(space->bytes[PCI_COMMAND] & 3, 0); /* decoding is off */
		memcpy(&old, space->bytes + offset, 4);
		value = (value & mask) | (old & ~mask);
	}
	memcpy(space->bytes + offset, &value, width);
}

static const struct pci_access access_fake = { .read = read_config, .write = write_config };

static struct space *add(uint16_t bdf, uint16_t vendor, uint16_t device, uint8_t header)
{
	uint32_t i;

	for (i = 0; spaces[i].is_used; i++) {
	}
	memset(&spaces[i], 0, sizeof(spaces[i]));
	spaces[i].is_used = true;
	spaces[i].bdf = bdf;
	memcpy(spaces[i].bytes, &vendor, 2);
	memcpy(spaces[i].bytes + 2, &device, 2);
	spaces[i].bytes[PCI_HEADER_TYPE] = header;
	return &spaces[i];
}

static int setup(void **state)
{
	memset(spaces, 0, sizeof(spaces));
	return 0;
}

static void test_scan(void **state)
{
	struct pci_function found[8];

	add(0x0000, 0x8086, 0x29c0, 0);
	add(0x0008, 0x8086, 1, 1)->bytes[PCI_SECONDARY_BUS] = 2;
	add(0x0010, 0x8086, 0x100e, 0x80);
	add(0x0013, 0x8086, 0x100f, 0); /* function 3 of a multi-function device */
	add(0x001b, 0x8086, 0xdead, 0); /* function 3 of nothing */
	add(0x0200, 0x1af4, 0x1041, 0);
	add(0x0201, 0x1af4, 0x1041, 0); /* of a single-function device: not looked at */
	assert_int_equal(pci_scan(&access_fake, found, 8), 5);
	assert_int_equal(found[2].device_id, 0x100e);
	assert_int_equal(found[3].bdf, 0x0013);
	assert_int_equal(found[4].bdf, 0x0200);
	assert_int_equal(pci_scan(&access_fake, found, 2), 2);
}

/* A bridge that leads to itself or back makes no loop. */
static void test_scan_loop(void **state)
{
	struct pci_function found[8];

	add(0x0008, 0x8086, 1, 1)->bytes[PCI_SECONDARY_BUS] = 1;
	add(0x0100, 0x8086, 2, 1)->bytes[PCI_SECONDARY_BUS] = 0;
	add(0x0108, 0x8086, 3, 1)->bytes[PCI_SECONDARY_BUS] = 1;
	assert_int_equal(pci_scan(&access_fake, found, 8), 3);
}

static void set32(struct space *space, uint32_t offset, uint32_t value)
{
	memcpy(space->bytes + offset, &value, 4);
}

static void test_bars(void **state)
{
	struct space *space = add(0x0010, 0x8086, 0x100e, 0);
	struct pci_function function;

	set32(space, PCI_BAR, 0xfebc0000u);
	space->bar_mask[0] = 0xfffe0000u; /* 128 KiB */
	set32(space, PCI_BAR + 4, 0xc001u);
	space->bar_mask[1] = 0xffc0u; /* 64 ports, upper half wired to zero */
	set32(space, PCI_BAR + 8, 0x0000000cu);
	space->bar_mask[2] = 0xffffc000u; /* 64-bit, 16 KiB, above 4 GiB */
	set32(space, PCI_BAR + 12, 0x00000008u);
	space->bar_mask[3] = 0xffffffffu;
	space->bytes[PCI_COMMAND] = 7;
	assert_int_equal(pci_scan(&access_fake, &function, 1), 1);
	pci_read_bars(&function);
	assert_int_equal(function.bar[0].address, 0xfebc0000u);
	assert_int_equal(function.bar[0].bytes, 0x20000);
	assert_true(function.bar[1].is_port);
	assert_int_equal(function.bar[1].address, 0xc000);
	assert_int_equal(function.bar[1].bytes, 64);
	assert_int_equal(function.bar[2].address, 0x800000000ull);
	assert_int_equal(function.bar[2].bytes, 0x4000);
	assert_int_equal(function.bar[3].bytes, 0);
	assert_int_equal(function.bar[4].bytes, 0);
	assert_int_equal(space->bytes[PCI_COMMAND], 7);
	assert_int_equal(read_config(NULL, 0x0010, PCI_BAR, 4), 0xfebc0000u);
}

/* A BAR whose writable bits have holes is none. */
static void test_bar_nonsense(void **state)
{
	struct space *space = add(0x0010, 0x8086, 0x100e, 0);
	struct pci_function function;

	set32(space, PCI_BAR + 20, 4); /* 64-bit in the last BAR has no upper half */
	space->bar_mask[5] = 0xfffff000u;
	space->bar_mask[0] = 0xf0f0f000u;
	pci_scan(&access_fake, &function, 1);
	pci_read_bars(&function);
	assert_int_equal(function.bar[0].bytes, 0);
	assert_int_equal(function.bar[5].bytes, 4096);
}

static void test_capabilities(void **state)
{
	struct space *space = add(0x0010, 0x8086, 0x10d3, 0);
	struct pci_function function;
	uint32_t table[8];
	uint32_t bar, offset, entries;

	space->bytes[PCI_CAPABILITIES] = 0x52; /* the low two bits are reserved */
	memcpy(space->bytes + 0x50, (uint8_t[]){ PCI_CAP_VENDOR, 0x60 }, 2);
	memcpy(space->bytes + 0x60, (uint8_t[]){ PCI_CAP_MSI, 0x70, 0x86, 0 }, 4);
	memcpy(space->bytes + 0x70, (uint8_t[]){ PCI_CAP_VENDOR, 0 }, 2);
	pci_scan(&access_fake, &function, 1);
	assert_int_equal(pci_find_capability(&function, PCI_CAP_MSI, 0),
	                 0); /* the status says none */
	space->bytes[PCI_STATUS] = PCI_STATUS_CAPABILITIES;
	assert_int_equal(pci_find_capability(&function, PCI_CAP_VENDOR, 0), 0x50);
	assert_int_equal(pci_find_capability(&function, PCI_CAP_VENDOR, 0x50), 0x70);
	assert_int_equal(pci_find_capability(&function, PCI_CAP_VENDOR, 0x70), 0);
	assert_int_equal(pci_find_capability(&function, PCI_CAP_MSIX, 0), 0);
	assert_true(pci_enable_msi(&function, 0xfee01000u, 0x41));
	assert_int_equal(read_config(NULL, 0x0010, 0x64, 4), 0xfee01000u);
	assert_int_equal(read_config(NULL, 0x0010, 0x6c, 2), 0x41);
	assert_int_equal(read_config(NULL, 0x0010, 0x62, 2), 0x87);
	space->bytes[0x61] = 0x80; /* MSI, then MSI-X: two entries at 800h of BAR 1 */
	memcpy(space->bytes + 0x80, (uint8_t[]){ PCI_CAP_MSIX, 0x70, 1, 0, 1, 8, 0, 0 }, 8);
	assert_false(pci_msix_table(&function, &bar, &offset, &entries)); /* beyond the BAR */
	function.bar[1].bytes = 0x820;
	assert_true(pci_msix_table(&function, &bar, &offset, &entries));
	assert_int_equal(bar, 1);
	assert_int_equal(offset, 0x800);
	assert_int_equal(entries, 2);
	pci_enable_msix(&function, table, 0xfee02000u, 0x42);
	assert_int_equal(table[0], 0xfee02000u);
	assert_int_equal(table[2], 0x42);
	assert_int_equal(table[3], 0);
	assert_int_equal(table[7], 1); /* masked */
	assert_int_equal(read_config(NULL, 0x0010, 0x82, 2), 0x8001);
	space->bytes[0x61] = 0x70;
	space->bytes[0x71] = 0x50; /* a loop */
	assert_int_equal(pci_find_capability(&function, PCI_CAP_MSIX, 0), 0);
	space->bytes[0x51] = 0x10; /* into the header */
	assert_int_equal(pci_find_capability(&function, PCI_CAP_MSI, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_scan, setup),
		cmocka_unit_test_setup(test_scan_loop, setup),
		cmocka_unit_test_setup(test_bars, setup),
		cmocka_unit_test_setup(test_bar_nonsense, setup),
		cmocka_unit_test_setup(test_capabilities, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
