// SPDX-License-Identifier: Apache-2.0
/*
 * Finding power-off and reset in ACPI tables: good ones, and tables that lie about everything.
 */
// sources: mgmt/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/acpi.h"

#define MEMORY_BYTES 65536u
#define RSDP         0x100u
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

static void checksum_rsdp(void)
{
	uint8_t sum = 0;
	uint32_t i;

	memory[RSDP + 8] = 0;
	for (i = 0; i < 20; i++) {
		sum = (uint8_t)(sum + memory[RSDP + i]);
	}
	memory[RSDP + 8] = (uint8_t)-sum;
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
	memcpy(memory + RSDP, "RSD PTR ", 8);
	memory[RSDP + 15] = 2;
	put64(RSDP + 24, XSDT);
	checksum_rsdp();
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
	assert_true(acpi_find_power(RSDP, read_memory, NULL, &power));
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
	assert_true(acpi_find_power(RSDP, read_memory, NULL, &power));
	assert_int_equal(power.pm1a_control_port, 0xb004);
}

static void reads_old_tables(void **state)
{
	struct acpi_power power;

	(void)state;
	memory[RSDP + 15] = 0;
	put32(RSDP + 16, 0x300);
	checksum_rsdp();
	put_header(0x300, "RSDT", 36 + 4);
	put32(0x300 + 36, FADT);
	put32(FADT + 4, 116);
	assert_true(acpi_find_power(RSDP, read_memory, NULL, &power));
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
		if (!acpi_find_power(RSDP, read_memory, NULL, &power) || !power.has_sleep ||
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
	memory[RSDP + 9] ^= 1;
	assert_false(acpi_find_power(RSDP, read_memory, NULL, &power));
	memory[RSDP + 9] ^= 1;
	put32(XSDT + 4, 0xffffffff);
	acpi_find_power(RSDP, read_memory, NULL, &power);
	put32(XSDT + 4, 8);
	assert_false(acpi_find_power(RSDP, read_memory, NULL, &power));
	put32(XSDT + 4, 36 + 16);
	put32(DSDT + 4, 0xffffffff);
	assert_true(acpi_find_power(RSDP, read_memory, NULL, &power));
	assert_false(power.has_sleep);
	put32(DSDT + 4, 9000);
	put32(FADT + 64, 0x12345678);
	assert_true(acpi_find_power(RSDP, read_memory, NULL, &power));
	assert_false(power.has_sleep);
	for (i = 0; i < 20000; i++) {
		uint32_t at;

		seed = seed * 1103515245u + 12345u;
		at = (seed >> 8) % 0x2100;
		memory[at < 0x100 ? 0x1000 + at : at] = (uint8_t)(seed >> 24);
		memcpy(memory + RSDP, "RSD PTR ", 8);
		checksum_rsdp();
		acpi_find_power(RSDP, read_memory, NULL, &power);
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
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
