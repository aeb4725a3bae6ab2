/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ACPI says about power-off and reset (ACPI 6.4, 4.8.3.2, 4.8.3.6, 5.2.9, 7.4.2), interrupts,
 * PCI, timers and memory (acpi_machine.c): read from the tables, never believed beyond their bounds.
 *
 * No AML is run: the package \_S5 is found by its bytes, as its form is fixed in practice. Pure but
 * for the reader that is given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_SPACE_MEMORY 0u
#define ACPI_SPACE_IO     1u
#define ACPI_SPACE_PCI    2u

struct acpi_power {
	bool has_sleep; /* all that power-off needs is known */
	uint16_t pm1a_control_port;
	uint16_t pm1b_control_port; /* 0: none */
	uint8_t sleep_type_a;
	uint8_t sleep_type_b;
	uint16_t smi_command_port; /* 0: none */
	uint8_t acpi_enable;
	bool has_reset;
	uint8_t reset_space; /* ACPI_SPACE_* */
	uint8_t reset_value;
	uint64_t reset_address;
};

/* Copies size bytes of physical memory; false if they cannot be read. */
typedef bool acpi_read_fn(void *context, uint64_t address, void *out, uint32_t size);

/*
 * The table number `nth` of those with that signature. Returns its length as it says, 0 and address
 * 0 if there is none. `root`: mgmt_info.acpi_root.
 */
uint32_t acpi_find_table(uint64_t root, const char *signature, uint32_t nth, acpi_read_fn *read,
                         void *context, uint64_t *address);

/* False if there is no FADT; out says what was found of the rest. */
bool acpi_find_power(uint64_t root, acpi_read_fn *read, void *context, struct acpi_power *out);

/* Finds \_S5 in AML. False if it is not there in its usual form. */
bool acpi_find_s5(const uint8_t *aml, size_t size, uint8_t *type_a, uint8_t *type_b);

/* ---- acpi_machine.c ---- */

#define ACPI_ECAM_MAX      8u
#define ACPI_OVERRIDES_MAX 24u

struct acpi_line { /* an interrupt line of the machine */
	uint32_t gsi;
	bool is_level;
	bool is_low;
};

struct acpi_machine {
	struct {
		uint64_t base; /* of bus 0, also where the range begins later */
		uint16_t segment;
		uint8_t bus_first;
		uint8_t bus_last;
	} ecam[ACPI_ECAM_MAX]; /* MCFG */
	uint32_t ecam_count;
	uint64_t hpet_base;   /* 0: none */
	uint32_t nodes_count; /* of memory and processors (SRAT); 0: not said */
	uint16_t serial_port; /* SPCR; 0: none */
	uint8_t serial_irq;   /* 0: none */
	uint32_t serial_gsi;  /* UINT32_MAX: none */
	struct {
		uint8_t irq;
		struct acpi_line line;
	} overrides
		[ACPI_OVERRIDES_MAX]; /* MADT: ISA interrupts that are not GSI = IRQ, edge, high */
	uint32_t overrides_count;
};

/* All zero (or none) where a table is absent or broken. */
void acpi_read_machine(uint64_t root, acpi_read_fn *read, void *context, struct acpi_machine *out);

/* Where an ISA interrupt arrives. */
struct acpi_line acpi_isa_line(const struct acpi_machine *machine, uint8_t irq);

/* The interrupt line of the UART at that port; false if it has none. */
bool acpi_serial_line(const struct acpi_machine *machine, uint16_t port, struct acpi_line *out);
