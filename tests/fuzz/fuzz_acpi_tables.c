/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's reading of firmware tables: whatever stands in one, no byte outside of it is read and no array overruns. The table lies at
 * the very end of its memory, its length field is what acpi.c would have checked.
 */
// sources: arch/x86/acpi_tables.c
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/acpi.h"

struct acpi_machine acpi;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void log_print(const char *format, ...);

void log_print(const char *format, ...)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acpi_header *table;

	if (size < sizeof(*table) || size > 1u << 20) {
		return 0;
	}
	memset(&acpi, 0, sizeof(acpi));
	table = malloc(size);
	memcpy(table, data, size);
	table->length = (uint32_t)size;
	acpi_table_read(table);
	free(table);
	if (acpi.cpus_count > BH_MAX_CPUS || acpi.ioapics_count > ACPI_IOAPICS_MAX ||
	    acpi.overrides_count > ACPI_OVERRIDES_MAX || acpi.mcfg_count > ACPI_MCFG_MAX) {
		abort();
	}
	return 0;
}
