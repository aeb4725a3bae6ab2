/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's reading of firmware tables: whatever stands in one, no byte outside of it is read and no array overruns. RSDP and XSDT are
 * good and name one table, which is the input with its length and checksum set right and lies at the very end of its memory.
 */
// sources: arch/x86/acpi.c
// flags: -iquote tests/fake
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/start.h"

#define RSDP_AT  0x1000u
#define XSDT_AT  0x2000u
#define TABLE_AT 0x3000u

struct boot_info boot_info = { .rsdp = RSDP_AT };
char *fake_ram;
struct cpu *fake_cpu;
uint64_t fake_tsc;

static uint8_t rsdp[36], xsdt[36 + 8];
static uint8_t *table;
static size_t table_bytes;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void log_print(const char *format, ...);

void log_print(const char *format, ...)
{
}

void *memory_window(hpa_t pa, uint64_t size, uint32_t flags)
{
	if (pa.raw == RSDP_AT && size <= sizeof(rsdp)) {
		return rsdp;
	}
	if (pa.raw == XSDT_AT && size <= sizeof(xsdt)) {
		return xsdt;
	}
	return pa.raw == TABLE_AT && size <= table_bytes ? table : NULL;
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

	fake_ram = calloc(1, 0x101000);
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

	if (size < 36 || size > 1u << 20) {
		return 0;
	}
	if (fake_ram == NULL) {
		roots_make();
	}
	memset(&acpi, 0, sizeof(acpi));
	table_bytes = size;
	table = malloc(size);
	memcpy(table, data, size);
	memcpy(table + 4, &length, 4);
	sum_set(table, size, 9);
	acpi_init();
	free(table);
	if (acpi.root != XSDT_AT || acpi.cpus_count > BH_MAX_CPUS ||
	    acpi.ioapics_count > ACPI_IOAPICS_MAX) {
		abort();
	}
	return 0;
}
