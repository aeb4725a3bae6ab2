/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root takes from the ACPI tables for the kernel, which reads none: the other pCPUs, the I/O APICs, the console. Everything else (power,
 * routing of ISA interrupts, ECAM, HPET, memory nodes) mgmt reads (mgmt/acpi.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"

#define ACPI_IOAPICS_MAX 16u

/* All zero where a table is absent. */
struct acpi_tables {
	uint64_t root; /* physical address of the XSDT or RSDT; 0 = no ACPI */
	uint32_t apic_ids[BH_MAX_CPUS];
	uint32_t cpus_count;
	uint32_t cpus_ignored; /* beyond BH_MAX_CPUS */
	struct {
		uint32_t base, gsi_base;
	} ioapics[ACPI_IOAPICS_MAX];
	uint32_t ioapics_count;
	uint16_t serial_port; /* SPCR; 0 = none */
	uint32_t serial_baud; /* 0 = not said */
};

/* `found`: 36 bytes, the RSDP that the boot path found; zero: look where a BIOS keeps it. False: there is no ACPI. */
bool acpi_read(const void *found, struct acpi_tables *acpi);

/* ---- supplied by root/machine.c ---- */

/* Where this physical memory can be read from now on; NULL where it cannot be. */
const void *acpi_window(uint64_t pa, uint64_t size);
void root_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
