/* SPDX-License-Identifier: Apache-2.0 */
/* What root takes from ACPI tables: pCPUs, I/O APICs, the console; where it looks for them; and tables that it must not believe. */
// sources: root/acpi.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "root/acpi.h"

#define MEMORY_BYTES 0x100000u
#define EBDA         0x9fc00u
#define BIOS_RSDP    0xf5a00u
#define RSDT         0xa0000u
#define XSDT         0xa1000u
#define MADT         0xa2000u
#define SPCR         0xa3000u

static uint8_t memory[MEMORY_BYTES];
static const uint8_t nothing[36];
static uint32_t complaints;

const void *acpi_window(uint64_t pa, uint64_t size)
{
	return pa < MEMORY_BYTES && size <= MEMORY_BYTES - pa ? memory + pa : NULL;
}

void root_log(const char *format, ...)
{
	(void)format;
	complaints++;
}

static void put(uint32_t at, uint64_t value, uint32_t bytes)
{
	memcpy(memory + at, &value, bytes);
}

static void sum_set(uint32_t at, uint32_t size, uint32_t where)
{
	uint8_t sum = 0;

	memory[at + where] = 0;
	for (uint32_t i = 0; i < size; i++) {
		sum = (uint8_t)(sum + memory[at + i]);
	}
	memory[at + where] = (uint8_t)-sum;
}

static void table_put(uint32_t at, const char *signature, uint32_t length)
{
	memcpy(memory + at, signature, 4);
	put(at + 4, length, 4);
	sum_set(at, length, 9);
}

static void rsdp_put(uint32_t at, uint8_t revision)
{
	memcpy(memory + at, "RSD PTR ", 8);
	memory[at + 15] = revision;
	put(at + 16, RSDT, 4);
	put(at + 24, XSDT, 8);
	sum_set(at, 20, 8);
	sum_set(at, 36, 32);
}

static uint32_t madt_length;

static void record_put(uint32_t type, uint32_t length, uint64_t first, uint64_t second)
{
	memory[MADT + madt_length] = (uint8_t)type;
	memory[MADT + madt_length + 1] = (uint8_t)length;
	put(MADT + madt_length + 2, first, length >= 8 ? 6 : length - 2);
	if (length > 8) {
		put(MADT + madt_length + 8, second, length - 8);
	}
	madt_length += length;
	table_put(MADT, "APIC", madt_length);
}

/* Two CPUs as LAPIC, the second also as x2APIC, one more that is off, one that only x2APIC can name; two I/O APICs; COM2. */
static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	complaints = 0;
	madt_length = 44;
	put(XSDT + 36, MADT, 8);
	put(XSDT + 44, SPCR, 8);
	table_put(XSDT, "XSDT", 52);
	put(RSDT + 36, MADT, 4);
	table_put(RSDT, "RSDT", 40);
	record_put(0, 8, 1ull << 16 | 0ull << 8, 0);
	record_put(0, 8, 1ull << 16 | 4ull << 8, 0);
	record_put(0, 8, 0ull << 16 | 6ull << 8, 0);
	record_put(9, 16, 4ull << 16, 1);
	record_put(9, 16, 300ull << 16, 1);
	record_put(1, 12, 0xfec00000ull << 16, 0);
	record_put(1, 12, 0xfec10000ull << 16, 24);
	memory[SPCR + 40] = 1;
	put(SPCR + 44, 0x2f8, 8);
	memory[SPCR + 58] = 7;
	table_put(SPCR, "SPCR", 80);
	return 0;
}

static void expect_all(const struct acpi_tables *acpi)
{
	assert_int_equal(acpi->cpus_count, 3);
	assert_int_equal(acpi->apic_ids[0], 0);
	assert_int_equal(acpi->apic_ids[1], 4);
	assert_int_equal(acpi->apic_ids[2], 300);
	assert_int_equal(acpi->ioapics_count, 2);
	assert_int_equal(acpi->ioapics[1].base, 0xfec10000);
	assert_int_equal(acpi->ioapics[1].gsi_base, 24);
}

static void reads_what_the_boot_path_found(void **state)
{
	struct acpi_tables acpi;

	(void)state;
	rsdp_put(0x1000, 2);
	assert_true(acpi_read(memory + 0x1000, &acpi));
	expect_all(&acpi);
	assert_int_equal(acpi.root, XSDT);
	assert_int_equal(acpi.serial_port, 0x2f8);
	assert_int_equal(acpi.serial_baud, 115200);
	assert_int_equal(complaints, 0);
}

static void looks_where_a_bios_keeps_it(void **state)
{
	struct acpi_tables acpi;

	(void)state;
	assert_false(acpi_read(nothing, &acpi));
	assert_int_equal(acpi.cpus_count, 0);
	rsdp_put(BIOS_RSDP, 0);
	assert_true(acpi_read(nothing, &acpi));
	expect_all(&acpi);
	assert_int_equal(acpi.root, RSDT);
	assert_int_equal(acpi.serial_port, 0); /* the RSDT does not name SPCR */
	memset(memory + BIOS_RSDP, 0, 36);
	put(0x40e, EBDA >> 4, 2);
	rsdp_put(EBDA + 1024 - 48, 2);
	assert_true(acpi_read(nothing, &acpi));
	assert_int_equal(acpi.root, XSDT);
}

static void believes_no_broken_table(void **state)
{
	struct acpi_tables acpi;

	(void)state;
	rsdp_put(BIOS_RSDP, 2);
	memory[MADT + 50] ^= 1;
	assert_true(acpi_read(nothing, &acpi));
	assert_int_equal(acpi.cpus_count, 0);
	assert_int_equal(acpi.serial_port, 0x2f8);
	assert_int_equal(complaints, 1);
	memory[XSDT + 8] ^= 1; /* then the RSDT is there still, and the MADT is broken */
	assert_true(acpi_read(nothing, &acpi));
	assert_int_equal(acpi.root, RSDT);
	assert_int_equal(acpi.serial_port, 0);
	memory[BIOS_RSDP + 33] ^= 1;
	assert_false(acpi_read(nothing, &acpi));
}

static void stops_at_a_broken_record(void **state)
{
	struct acpi_tables acpi;

	(void)state;
	rsdp_put(BIOS_RSDP, 2);
	memory[MADT + 44 + 8 + 1] = 1; /* the second record's length */
	sum_set(MADT, madt_length, 9);
	assert_true(acpi_read(nothing, &acpi));
	assert_int_equal(acpi.cpus_count, 1);
	assert_int_equal(complaints, 1);
}

static void counts_what_is_too_much(void **state)
{
	struct acpi_tables acpi;

	(void)state;
	rsdp_put(BIOS_RSDP, 2);
	for (uint32_t i = 0; i < 300; i++) {
		record_put(9, 16, (1000ull + i) << 16, 1);
	}
	for (uint32_t i = 0; i < 20; i++) {
		record_put(1, 12, 0xfec20000ull << 16, 48);
	}
	assert_true(acpi_read(nothing, &acpi));
	assert_int_equal(acpi.cpus_count, BH_MAX_CPUS);
	assert_int_equal(acpi.cpus_ignored, 303 - BH_MAX_CPUS);
	assert_int_equal(acpi.ioapics_count, ACPI_IOAPICS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reads_what_the_boot_path_found, setup),
		cmocka_unit_test_setup(looks_where_a_bios_keeps_it, setup),
		cmocka_unit_test_setup(believes_no_broken_table, setup),
		cmocka_unit_test_setup(stops_at_a_broken_record, setup),
		cmocka_unit_test_setup(counts_what_is_too_much, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
