// SPDX-License-Identifier: Apache-2.0
/*
 * Finding power-off and reset, interrupt lines, PCI, HPET and nodes in ACPI tables: good ones, and
 * tables that lie about everything.
 */
// sources: mgmt/acpi.c mgmt/acpi_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/acpi.h"

#define MEMORY_BYTES 65536u
#define XSDT         0x200u
#define FADT         0x1000u
#define DSDT         0x2000u

static uint8_t memory[MEMORY_BYTES];

static bool read_memory(void *context, uint64_t address, void *out, uint32_t size)
{
	(void)context;
	if (address > MEMORY_BYTES || size > MEMORY_BYTES - address) {
		return false;
	}
	memcpy(out, memory + address, size);
	return true;
}

static void put32(uint32_t at, uint32_t value)
{
	memcpy(memory + at, &value, 4);
}

static void put64(uint32_t at, uint64_t value)
{
	memcpy(memory + at, &value, 8);
}

static void put_header(uint32_t at, const char *signature, uint32_t length)
{
	memcpy(memory + at, signature, 4);
	put32(at + 4, length);
}

static const uint8_t s5_package[] = { 0x08, '_',  'S',  '5',  '_',  0x12, 0x08,
	                              0x04, 0x0a, 0x05, 0x0a, 0x06, 0x00, 0x00 };

static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	put_header(XSDT, "XSDT", 36 + 16);
	put64(XSDT + 36, 0x500);
	put64(XSDT + 44, FADT);
	put_header(0x500, "APIC", 44);
	put_header(FADT, "FACP", 276);
	put32(FADT + 40, DSDT);
	put32(FADT + 48, 0xb2);
	memory[FADT + 52] = 0xf1;
	put32(FADT + 64, 0x604);
	put32(FADT + 112, 1u << 10);
	memory[FADT + 116] = ACPI_SPACE_IO;
	put64(FADT + 120, 0xcf9);
	memory[FADT + 128] = 0x0f;
	put_header(DSDT, "DSDT", 9000);
	memcpy(memory + DSDT + 8000, s5_package, sizeof(s5_package));
	return 0;
}

static void reads_good_tables(void **state)
{
	struct acpi_power power;

	(void)state;
	assert_true(acpi_find_power(XSDT, read_memory, NULL, &power));
	assert_true(power.has_sleep);
	assert_int_equal(power.pm1a_control_port, 0x604);
	assert_int_equal(power.pm1b_control_port, 0);
	assert_int_equal(power.sleep_type_a, 5);
	assert_int_equal(power.sleep_type_b, 6);
	assert_int_equal(power.smi_command_port, 0xb2);
	assert_int_equal(power.acpi_enable, 0xf1);
	assert_true(power.has_reset);
	assert_int_equal(power.reset_address, 0xcf9);
	assert_int_equal(power.reset_value, 0x0f);
	/* The extended fields win. */
	memory[FADT + 172] = ACPI_SPACE_IO;
	put64(FADT + 176, 0xb004);
	assert_true(acpi_find_power(XSDT, read_memory, NULL, &power));
	assert_int_equal(power.pm1a_control_port, 0xb004);
}

static void reads_old_tables(void **state)
{
	struct acpi_power power;

	(void)state;
	put_header(0x300, "RSDT", 36 + 4);
	put32(0x300 + 36, FADT);
	put32(FADT + 4, 116);
	assert_true(acpi_find_power(0x300, read_memory, NULL, &power));
	assert_true(power.has_sleep);
	assert_false(power.has_reset);
}

static void finds_s5_in_an_ssdt_and_over_windows(void **state)
{
	struct acpi_power power;
	uint32_t at;

	(void)state;
	memset(memory + DSDT + 36, 0, 8990);
	put64(XSDT + 36, 0x8000);
	put_header(0x8000, "SSDT", 20000);
	for (at = 36; at < 9000; at += 1) {
		memset(memory + 0x8000 + 36, 0x5a, 20000 - 36);
		memcpy(memory + 0x8000 + at, s5_package, sizeof(s5_package));
		if (!acpi_find_power(XSDT, read_memory, NULL, &power) || !power.has_sleep ||
		    power.sleep_type_b != 6) {
			print_error("not found at %u\n", at);
			fail();
		}
		at += at > 4000 && at < 4200 ? 0 : 97;
	}
}

static void reads_all_forms_of_the_package(void **state)
{
	static const uint8_t zero[] = {
		0x08, 0x5c, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x00, 0x01
	};
	static const uint8_t word[] = { 0x08, '_',  'S',  '5',  '_',  0x12, 0x40,
		                        0x0a, 0x02, 0x0b, 0x07, 0x00, 0x0a, 0x07 };
	static const uint8_t not_package[] = { 0x08, '_', 'S', '5', '_', 0x0a, 0x05, 0, 0, 0 };
	static const uint8_t large[] = { 0x08, '_',  'S',  '5',  '_',  0x12,
		                         0x06, 0x02, 0x0a, 0x08, 0x0a, 0x08 };
	uint8_t a = 99;
	uint8_t b = 99;
	size_t size;

	(void)state;
	assert_true(acpi_find_s5(zero, sizeof(zero), &a, &b));
	assert_int_equal(a, 0);
	assert_int_equal(b, 1);
	assert_true(acpi_find_s5(word, sizeof(word), &a, &b));
	assert_int_equal(a, 7);
	assert_int_equal(b, 7);
	assert_false(acpi_find_s5(not_package, sizeof(not_package), &a, &b));
	assert_false(acpi_find_s5(large, sizeof(large), &a, &b));
	/* No cut reads beyond its end (the sanitizer watches). */
	for (size = 0; size < sizeof(s5_package); size++) {
		uint8_t *cut = malloc(size + 1);

		memcpy(cut, s5_package, size);
		acpi_find_s5(cut, size, &a, &b);
		free(cut);
	}
}

static void survives_tables_that_lie(void **state)
{
	struct acpi_power power;
	unsigned int seed = 7;
	int i;

	(void)state;
	assert_false(acpi_find_power(0, read_memory, NULL, &power));
	assert_false(acpi_find_power(MEMORY_BYTES - 4, read_memory, NULL, &power));
	memory[XSDT] ^= 1;
	assert_false(acpi_find_power(XSDT, read_memory, NULL, &power));
	memory[XSDT] ^= 1;
	put32(XSDT + 4, 0xffffffff);
	acpi_find_power(XSDT, read_memory, NULL, &power);
	put32(XSDT + 4, 8);
	assert_false(acpi_find_power(XSDT, read_memory, NULL, &power));
	put32(XSDT + 4, 36 + 16);
	put32(DSDT + 4, 0xffffffff);
	assert_true(acpi_find_power(XSDT, read_memory, NULL, &power));
	assert_false(power.has_sleep);
	put32(DSDT + 4, 9000);
	put32(FADT + 64, 0x12345678);
	assert_true(acpi_find_power(XSDT, read_memory, NULL, &power));
	assert_false(power.has_sleep);
	for (i = 0; i < 20000; i++) {
		uint32_t at;

		seed = seed * 1103515245u + 12345u;
		at = (seed >> 8) % 0x2100;
		memory[at < 0x100 ? 0x1000 + at : at] = (uint8_t)(seed >> 24);
		memcpy(memory + XSDT, "XSDT", 4);
		acpi_find_power(XSDT, read_memory, NULL, &power);
	}
}

static void put_sum(uint32_t at, uint32_t length)
{
	uint8_t sum = 0;
	uint32_t i;

	memory[at + 9] = 0;
	for (i = 0; i < length; i++) {
		sum = (uint8_t)(sum + memory[at + i]);
	}
	memory[at + 9] = (uint8_t)-sum;
}

static void put_table(uint32_t at, uint32_t entry, const char *signature, const uint8_t *body,
                      uint32_t bytes)
{
	memset(memory + at, 0, 36);
	put_header(at, signature, 36 + bytes);
	memcpy(memory + at + 36, body, bytes);
	put_sum(at, 36 + bytes);
	put64(XSDT + 36 + entry * 8, at);
	put32(XSDT + 4, 36 + 8 * 8);
}

/* In the order of the tables below; entry 0 stays 0, as some firmware leaves it. */
static void put_machine(void)
{
	static const uint8_t madt[] = { [8] = 0, 8, 0, 0, 1, 0,  0, 0, 2, 10, 0, 0, 2,  0,
		                        0,       0, 0, 0, 2, 10, 0, 4, 5, 0,  0, 0, 15, 0 };
	static const uint8_t mcfg[] = { [8] = 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0, 0 };
	static const uint8_t hpet[] = { [4] = 0, 64, 0, 0, 0, 0, 0xd0, 0xfe, 0, 0, 0, 0 };
	static const uint8_t srat[] = { [12] = 0, 16, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t spcr[] = { [4] = 1, 8, 0, 0, 0xf8, 2,  0, 0, 0,
		                        0,       0, 0, 2, 0,    17, 0, 0, 0 };

	put64(XSDT + 36, 0);
	put_table(0x3000, 2, "APIC", madt, sizeof(madt));
	put_table(0x3100, 3, "MCFG", mcfg, sizeof(mcfg));
	put_table(0x3200, 4, "HPET", hpet, sizeof(hpet));
	put_table(0x3300, 5, "SRAT", srat, sizeof(srat));
	put_table(0x3400, 6, "SPCR", spcr, sizeof(spcr));
}

static void reads_the_machine(void **state)
{
	struct acpi_machine machine;
	struct acpi_line line;

	(void)state;
	put_machine();
	acpi_read_machine(XSDT, read_memory, NULL, &machine);
	assert_int_equal(machine.overrides_count, 2);
	assert_int_equal(acpi_isa_line(&machine, 0).gsi, 2);
	assert_false(acpi_isa_line(&machine, 0).is_level);
	assert_int_equal(acpi_isa_line(&machine, 4).gsi, 5);
	assert_true(acpi_isa_line(&machine, 4).is_level && acpi_isa_line(&machine, 4).is_low);
	assert_int_equal(acpi_isa_line(&machine, 7).gsi, 7);
	assert_int_equal(machine.ecam_count, 1);
	assert_int_equal(machine.ecam[0].base, 0xb0000000);
	assert_int_equal(machine.ecam[0].bus_first, 2);
	assert_int_equal(machine.ecam[0].bus_last, 9);
	assert_int_equal(machine.hpet_base, 0xfed00000);
	assert_int_equal(machine.nodes_count, 4);
	assert_true(acpi_serial_line(&machine, 0x3f8, &line) && line.gsi == 5);
	assert_true(acpi_serial_line(&machine, 0x2f8, &line) && line.gsi == 3); /* COM2's own */
	machine.serial_port = 0x1000;
	assert_true(acpi_serial_line(&machine, 0x1000, &line) && line.gsi == 17 && line.is_level);
	assert_false(acpi_serial_line(&machine, 0x1008, &line));
	/* A wrong checksum: as if it were not there. */
	memory[0x3100 + 44] ^= 1;
	acpi_read_machine(XSDT, read_memory, NULL, &machine);
	assert_int_equal(machine.ecam_count, 0);
	acpi_read_machine(0, read_memory, NULL, &machine);
	assert_true(acpi_serial_line(&machine, 0x3f8, &line) && line.gsi == 4 && !line.is_level);
}

/* Any bytes under right checksums, cut anywhere: the sanitizer watches. */
static void survives_machine_tables_that_lie(void **state)
{
	static const uint32_t tables[] = { 0x3000, 0x3100, 0x3200, 0x3300, 0x3400 };
	struct acpi_machine machine;
	unsigned int seed = 11;
	int i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		uint32_t table;
		uint32_t length;

		put_machine();
		seed = seed * 1103515245u + 12345u;
		table = tables[(seed >> 8) % 5];
		length = 36 + (seed >> 16) % 60;
		memory[table + 36 + (seed >> 12) % 40] = (uint8_t)(seed >> 24);
		put32(table + 4, length);
		put_sum(table, length);
		acpi_read_machine(XSDT, read_memory, NULL, &machine);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reads_good_tables, setup),
		cmocka_unit_test_setup(reads_old_tables, setup),
		cmocka_unit_test_setup(finds_s5_in_an_ssdt_and_over_windows, setup),
		cmocka_unit_test_setup(reads_all_forms_of_the_package, setup),
		cmocka_unit_test_setup(survives_tables_that_lie, setup),
		cmocka_unit_test_setup(reads_the_machine, setup),
		cmocka_unit_test_setup(survives_machine_tables_that_lie, setup),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
