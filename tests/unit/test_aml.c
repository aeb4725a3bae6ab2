// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupt routing by AML over tables of the test's own: link devices with fixed and computed settings, bridges, names that
 * are defined later, and AML that lies, loops, calls itself, or is changed at random.
 */
// sources: mgmt/aml_*.c vmm/aml.c drivers/pci.c mgmt/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/aml.h"
#include "vmm/aml.h"

#define EMIT(...)        emit((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define NAME(a, b, c, d) (uint8_t)(a), (uint8_t)(b), (uint8_t)(c), (uint8_t)(d)

static uint8_t bytes[4096];
static struct aml out;
static uint32_t port_reads, config_writes;
static uint8_t isa_config[256];

static void emit(const uint8_t *code, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		aml_put(&out, code[i], 1);
	}
}

static bool read_memory(void *context, uint64_t address, void *to, uint32_t size)
{
	(void)context;
	(void)address;
	memset(to, 0, size);
	return true;
}

static uint32_t read_port(void *context, uint16_t port, uint32_t width)
{
	(void)context;
	(void)port;
	(void)width;
	port_reads++;
	return 0;
}

/* ISA bridge at 1f.0; bridges 5.0 to bus 1, 6.0 to bus 2, and 2:3.0 behind that to bus 3. */
static uint32_t read_config(void *context, uint16_t bdf, uint32_t offset, uint32_t width)
{
	(void)context;
	(void)width;
	if (bdf == 0x1f << 3) {
		return isa_config[offset];
	}
	if (offset == PCI_SECONDARY_BUS) {
		return bdf == 5 << 3 ? 1 : bdf == 6 << 3 ? 2 : bdf == (2 << 8 | 3 << 3) ? 3 : 0;
	}
	return 0;
}

static void write_config(void *context, uint16_t bdf, uint32_t offset, uint32_t width,
                         uint32_t value)
{
	(void)context;
	(void)bdf;
	(void)offset;
	(void)width;
	(void)value;
	config_writes++;
}

static const struct pci_access access = { .read = read_config, .write = write_config };
static const struct aml_machine machine = { .read = read_memory,
	                                    .read_port = read_port,
	                                    .pci = &access };
static const struct pci_function functions[] = {
	{ .access = &access, .bdf = 5 << 3, .header_kind = PCI_HEADER_BRIDGE },
	{ .access = &access, .bdf = 6 << 3, .header_kind = PCI_HEADER_BRIDGE },
	{ .access = &access, .bdf = 2 << 8 | 3 << 3, .header_kind = PCI_HEADER_BRIDGE },
};

static void begin(void)
{
	memset(bytes, 0, sizeof(bytes));
	out = (struct aml){ .bytes = bytes, .size = sizeof(bytes) };
}

static void put_entry(uint32_t device, uint8_t pin, const char *link, uint8_t number)
{
	uint32_t entry = aml_package_begin(&out, 4);

	aml_put_integer(&out, device << 16 | 0xffff);
	aml_put_integer(&out, pin);
	if (link != NULL) {
		aml_put_name(&out, link);
	} else {
		aml_put_integer(&out, 0);
	}
	aml_put_integer(&out, number);
	aml_end(&out, entry);
}

/* Links: LNKA's settings stand there, level and high; LNKB's are made of the ISA bridge's register. */
static void put_links(void)
{
	uint32_t device = aml_device_begin(&out, "ISA_");
	uint32_t method;

	aml_name_integer(&out, "_ADR", 0x1f0000);
	EMIT(0x5b, 0x80, NAME('P', 'I', 'R', 'Q'), 2, 0x0a, 0x60, 0x0a, 4); /* PCI config */
	EMIT(0x5b, 0x81, 0x10, NAME('P', 'I', 'R', 'Q'), 1, NAME('P', 'R', 'Q', 'A'), 8,
	     NAME('P', 'R', 'Q', 'B'), 8);
	aml_end(&out, device);
	device = aml_device_begin(&out, "LNKA");
	EMIT(0x08, NAME('_', 'C', 'R', 'S'), 0x11, 0x0e, 0x0a, 11, 0x89, 6, 0, 0x09, 1, 20, 0, 0, 0,
	     0x79, 0);
	aml_end(&out, device);
	device = aml_device_begin(&out, "LNKB");
	method = aml_method_begin(&out, "_CRS", 0);
	EMIT(0x08, NAME('B', 'U', 'F', '_'), 0x11, 0x08, 0x0a, 5, 0x22, 0, 0, 0x79, 0);
	EMIT(0x8b, NAME('B', 'U', 'F', '_'), 1, NAME('I', 'R', 'Q', 'W'));
	EMIT(0x70, 0x79, 1, '^', '^', '.' /* ^^ISA_.PRQB */, NAME('I', 'S', 'A', '_'),
	     NAME('P', 'R', 'Q', 'B'), 0, NAME('I', 'R', 'Q', 'W'));
	EMIT(0x70, 0x0a, 7, '^', '^', '.', NAME('I', 'S', 'A', '_'), NAME('P', 'R', 'Q', 'A'));
	EMIT(0xa4, NAME('B', 'U', 'F', '_'));
	aml_end(&out, method);
	aml_end(&out, device);
}

static void put_machine(void)
{
	uint32_t scope, device, bridge, list, method;

	begin();
	EMIT(0x08, NAME('P', 'I', 'C', 'F'), 0);
	method = aml_method_begin(&out, "_PIC", 1);
	EMIT(0x70, 0x68, NAME('P', 'I', 'C', 'F'));
	aml_end(&out, method);
	scope = aml_scope_begin(&out, "\\_SB_");
	device = aml_device_begin(&out, "PCI0");
	aml_name_eisa(&out, "_HID", "PNP0A08");
	EMIT(0x08, NAME('P', 'R', 'T', 'A'));
	list = aml_package_begin(&out, 3);
	put_entry(3, 0, "LNKA", 0);
	put_entry(3, 1, "LNKB", 0);
	put_entry(6, 2, NULL, 19);
	aml_end(&out, list);
	method = aml_method_begin(&out, "_PRT", 0);
	EMIT(0xa0, 12, 0x93, NAME('P', 'I', 'C', 'F'), 1, 0xa4, NAME('P', 'R', 'T', 'A'));
	EMIT(0xa4, 0);
	aml_end(&out, method);
	bridge = aml_device_begin(&out, "BR5_");
	aml_name_integer(&out, "_ADR", 0x50000);
	EMIT(0x08, NAME('_', 'P', 'R', 'T'));
	list = aml_package_begin(&out, 1);
	put_entry(2, 3, NULL, 42);
	aml_end(&out, list);
	aml_end(&out, bridge);
	put_links();
	aml_end(&out, device);
	aml_end(&out, scope);
	assert_false(out.is_full);
}

static struct aml_space *open_machine(void)
{
	struct aml_space *space = aml_open_bytes(bytes, out.used, &machine);

	assert_non_null(space);
	return space;
}

static bool route(struct aml_space *space, uint32_t bus, uint32_t device, uint8_t pin,
                  struct acpi_line *line)
{
	const struct pci_function function = { .access = &access,
		                               .bdf = (uint16_t)(bus << 8 | device << 3),
		                               .interrupt_pin = pin };

	return aml_route(space, &function, functions, 3, line);
}

static void assert_route(struct aml_space *space, uint32_t bus, uint32_t device, uint8_t pin,
                         uint32_t gsi, bool is_low)
{
	struct acpi_line line;

	assert_true(route(space, bus, device, pin, &line));
	assert_int_equal(line.gsi, gsi);
	assert_int_equal(line.is_low, is_low);
	assert_true(line.is_level);
}

static void test_routes(void **state)
{
	struct aml_space *space;
	struct acpi_line line;

	(void)state;
	put_machine();
	isa_config[0x61] = 11;
	space = open_machine();
	assert_route(space, 0, 3, 1, 20, false);
	assert_route(space, 0, 3, 2, 11, true);
	assert_route(space, 0, 6, 3, 19, true);
	assert_false(route(space, 0, 3, 3, &line));
	assert_false(route(space, 0, 3, 0, &line));
	assert_false(route(space, 0, 3, 5, &line));
	/* The bridge's own list; no list: pins turn on the way up, through two bridges. */
	assert_route(space, 1, 2, 4, 42, true);
	assert_false(route(space, 1, 2, 1, &line));
	assert_route(space, 2, 1, 2, 19, true);
	assert_route(space, 3, 2, 2, 19, true);
	assert_false(route(space, 9, 0, 1, &line));
	assert_int_equal(config_writes, 0);
	aml_close(space);
	/* A link that is off. */
	memcpy(isa_config, (uint8_t[256]){ 0 }, sizeof(isa_config));
	isa_config[0x61] = 40;
	space = open_machine();
	assert_false(route(space, 0, 3, 2, &line));
	aml_close(space);
}

/* Methods without an end cost their steps and nothing else. */
static void test_endless(void **state)
{
	static const uint8_t bodies[][16] = {
		{ 0xa2, 2, 1 },                                 /* While (One) {} */
		{ 0xa2, 4, 1, 0xa3, 0xa3 },                     /* While (One) {Noop} */
		{ NAME('_', 'P', 'R', 'T') },                   /* _PRT () */
		{ 0xa4, NAME('_', 'P', 'R', 'T') },             /* Return (_PRT ()) */
		{ 0xa2, 8, 1, 0x70, 0x11, 3, 0x0a, 200, 0x60 }, /* buffers for ever */
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		uint32_t device, method;
		struct aml_space *space;
		struct acpi_line line;

		begin();
		device = aml_device_begin(&out, "PCI0");
		aml_name_eisa(&out, "_HID", "PNP0A03");
		method = aml_method_begin(&out, "_PRT", 0);
		emit(bodies[i], sizeof(bodies[i]));
		aml_end(&out, method);
		aml_end(&out, device);
		space = open_machine();
		assert_false(route(space, 0, 3, 1, &line));
		assert_false(route(space, 0, 3, 1, &line));
		aml_close(space);
	}
}

/* Any byte may be any other, and the tables may end anywhere. */
static void test_random(void **state)
{
	static uint8_t good[sizeof(bytes)];
	uint64_t seed = 1;
	uint32_t round, i, size;

	(void)state;
	put_machine();
	size = out.used;
	memcpy(good, bytes, size);
	for (round = 0; round < 6000; round++) {
		struct aml_space *space;
		struct acpi_line line;

		memcpy(bytes, good, size);
		for (i = 0; i < 1 + round % 3; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			bytes[(seed >> 33) % size] = (uint8_t)(seed >> 25);
		}
		out.used = round % 4 == 0 ? (uint32_t)(seed >> 40) % (size + 1) : size;
		space = open_machine();
		for (i = 0; i < 4; i++) {
			(void)route(space, i, 1 + (round + i) % 6, (uint8_t)(1 + round % 4), &line);
		}
		aml_close(space);
	}
	assert_int_equal(config_writes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
