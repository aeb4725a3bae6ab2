/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ACPI says about power-off and reset (ACPI 6.4, 4.8.3.2, 4.8.3.6, 5.2.9, 7.4.2): read from
 * the tables, never believed beyond their bounds.
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

/* Walks from the RSDP. False if there is no FADT; out says what was found of the rest. */
bool acpi_find_power(uint64_t rsdp, acpi_read_fn *read, void *context, struct acpi_power *out);

/* Finds \_S5 in AML. False if it is not there in its usual form. */
bool acpi_find_s5(const uint8_t *aml, size_t size, uint8_t *type_a, uint8_t *type_b);
