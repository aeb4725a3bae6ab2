// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's ACPI tables: RSDP, XSDT, FADT, FACS, MADT, MCFG and a DSDT.
 *
 * Owns: their contents and their places inside one area below 1 MiB. Must never: read anything back
 * from the guest, or describe what the machine does not have. Manual: ACPI 6.4 chapters 5, 6 and 20
 * (AML).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Where firmware would put the RSDP, so that kernels which search find it (ACPI 6.4 5.2.5.1). */
#define ACPI_TABLES_GPA   0xe0000ull
#define ACPI_TABLES_BYTES 0x20000ull

struct acpi_tables_config {
	uint32_t vcpus_count;
	uint64_t ecam_gpa;
	bool has_com1;
	bool has_hotplug;
};

/*
 * Writes all tables into area[0 .. size), which the guest sees at `gpa`, and clears the rest of it.
 * Gives the RSDP's address. BH_ERR_LIMIT if the area is too small; then its contents are undefined.
 */
int acpi_tables_build(const struct acpi_tables_config *config, uint8_t *area, uint64_t size,
                      uint64_t gpa, uint64_t *rsdp_gpa);
