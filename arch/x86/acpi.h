/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel itself takes from the ACPI tables, read once at start; all zero where a table is absent. Everything else (power, routing of
 * ISA interrupts, ECAM, HPET, memory nodes) is read in ring 3 (mgmt/acpi.c). Tables are not trusted: lengths are bounded, checksums
 * must be right, a bad table counts as absent and is named in the log. ACPI 6.4 5.2.
 */
#pragma once

#include "kernel/cpu.h"

#define ACPI_IOAPICS_MAX 16u

struct acpi_machine {
	uint64_t root; /* physical address of the XSDT or RSDT; 0 = no ACPI */
	uint32_t apic_ids[BH_MAX_CPUS];
	uint32_t cpus_count;
	uint32_t cpus_ignored; /* beyond BH_MAX_CPUS */
	struct {
		uint32_t base, gsi_base;
	} ioapics[ACPI_IOAPICS_MAX];
	uint32_t ioapics_count;
	uint16_t pm_timer_port; /* 0 = none */
	uint16_t serial_port;   /* SPCR; 0 = none */
	uint32_t serial_baud;   /* 0 = not said */
};

extern struct acpi_machine acpi;

/* Fill `acpi`, from boot_info.rsdp where the boot path found it, else from where a BIOS keeps it. */
void acpi_init(void);
