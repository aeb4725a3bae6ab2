/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel takes from the ACPI tables, read once at start; all zero where a table is absent. Tables are not trusted: lengths are bounded,
 * checksums must be right, a bad table counts as absent (and is named in the log). ACPI 6.4 5.2.
 */
#pragma once

#include "kernel/cpu.h"

#define ACPI_IOAPICS_MAX   16u
#define ACPI_OVERRIDES_MAX 24u
#define ACPI_MCFG_MAX      8u

struct acpi_cpu {
	uint32_t apic_id;
	uint32_t node;
};

struct acpi_ioapic {
	uint64_t base;
	uint32_t gsi_base;
};

struct acpi_override { /* an ISA interrupt that is not GSI = IRQ, edge, high */
	uint8_t irq;
	bool is_level, is_low;
	uint32_t gsi;
};

struct acpi_mcfg {
	uint64_t base;
	uint16_t segment;
	uint8_t bus_first, bus_last;
};

struct acpi_register {    /* generic address structure; is_port or memory */
	uint64_t address; /* 0 = none */
	bool is_port;
	uint8_t width_bits;
};

struct acpi_serial { /* SPCR */
	struct acpi_register base;
	uint32_t baud; /* 0 = as it is */
	uint32_t gsi;  /* 0xffffffff = none */
	uint8_t irq;   /* 0 = none */
};

struct acpi_machine {
	bool is_present;
	uint64_t lapic_base;
	struct acpi_cpu cpus[BH_MAX_CPUS];
	uint32_t cpus_count;
	uint32_t cpus_ignored; /* beyond BH_MAX_CPUS */
	struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
	uint32_t ioapics_count;
	struct acpi_override overrides[ACPI_OVERRIDES_MAX];
	uint32_t overrides_count;
	struct acpi_mcfg mcfg[ACPI_MCFG_MAX];
	uint32_t mcfg_count;
	uint16_t pm_timer_port;
	bool pm_timer_is_32bit;
	struct acpi_register reset;
	uint8_t reset_value;
	uint64_t hpet_base;
	uint32_t nodes_count;
	struct acpi_serial serial;
};

extern struct acpi_machine acpi;

/* Read everything; boot_info.rsdp becomes the RSDP's address (0: no ACPI). */
void acpi_init(void);
/* GSI and flags of an ISA interrupt. */
struct acpi_override acpi_isa_route(uint8_t irq);

/* ---- between acpi.c and acpi_tables.c ---- */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision, creator_id, creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4 table 5.4");

/* Take what we need from one table whose length and checksum are right. Unknown ones are nothing. */
void acpi_table_read(const struct acpi_header *table);
