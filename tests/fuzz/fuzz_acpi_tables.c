/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root's reading of firmware tables: whatever stands in one, no byte outside of it is read and no array overruns. RSDP and XSDT are
 * good and name one table, which is the input with its length and checksum set right and lies at the very end of its memory.
 */
// sources: root/acpi.c
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "root/acpi.h"

#define XSDT_AT  0x2000u
#define TABLE_AT 0x3000u

static uint8_t rsdp[36], xsdt[36 + 8];
static uint8_t *table;
static size_t table_bytes;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void root_log(const char *format, ...)
{
}

const void *acpi_window(uint64_t pa, uint64_t size)
{
	if (pa == XSDT_AT && size <= sizeof(xsdt)) {
		return xsdt;
	}
	return pa == TABLE_AT && size <= table_bytes ? table : NULL;
}

static void sum_set(uint8_t *bytes, size_t size, size_t at)
{
	uint8_t sum = 0;

	bytes[at] = 0;
	for (size_t i = 0; i < size; i++) {
		sum = (uint8_t)(sum + bytes[i]);
	}
	bytes[at] = (uint8_t)-sum;
}

static void roots_make(void)
{
	const uint64_t xsdt_at = XSDT_AT, table_at = TABLE_AT;
	const uint32_t length = sizeof(xsdt);

	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = 2;
	memcpy(rsdp + 24, &xsdt_at, 8);
	sum_set(rsdp, 20, 8);
	sum_set(rsdp, 36, 32);
	memcpy(xsdt, "XSDT", 4);
	memcpy(xsdt + 4, &length, 4);
	memcpy(xsdt + 36, &table_at, 8);
	sum_set(xsdt, sizeof(xsdt), 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint32_t length = (uint32_t)size;
	struct acpi_tables acpi;

	if (size < 36 || size > 1u << 20) {
		return 0;
	}
	if (rsdp[0] == 0) {
		roots_make();
	}
	table_bytes = size;
	table = malloc(size);
	memcpy(table, data, size);
	memcpy(table + 4, &length, 4);
	sum_set(table, size, 9);
	bool is_there = acpi_read(rsdp, &acpi);

	free(table);
	if (!is_there || acpi.root != XSDT_AT || acpi.cpus_count > BH_MAX_CPUS ||
	    acpi.ioapics_count > ACPI_IOAPICS_MAX) {
		abort();
	}
	return 0;
}
