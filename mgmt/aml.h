/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware's AML, as far as interrupt routing needs it (ACPI 6.4, 5.3, 6.2.2, 6.2.13, 20): names, methods,
 * packages, buffers and their fields, values and conditions.
 *
 * It reads hardware and never writes it: a store to a field of an operation region does nothing. Every step, every level and
 * all memory have bounds; AML that is broken, unknown here, or without an end fails that one question.
 */
#pragma once

#include "drivers/pci.h"
#include "mgmt/acpi.h"

struct aml_machine {
	acpi_read_fn *read; /* physical memory */
	uint32_t (*read_port)(void *context, uint16_t port, uint32_t width);
	const struct pci_access *pci;
	void *context; /* of read and read_port */
};

struct aml_space;

/* Loads DSDT and SSDTs and says by \_PIC that I/O APICs are used. NULL if there are none, or no memory. */
struct aml_space *aml_open(uint64_t acpi_root, const struct aml_machine *machine);

/* The same from AML that is in memory already. */
struct aml_space *aml_open_bytes(const uint8_t *aml, uint32_t bytes,
                                 const struct aml_machine *machine);
void aml_close(struct aml_space *space);

/* Where pin 1 to 4 (INTA to INTD) of a function arrives; false if AML does not tell. functions: all of the
 * machine's, for the bridges above it. */
bool aml_route(struct aml_space *space, const struct pci_function *function,
               const struct pci_function *functions, uint32_t count, struct acpi_line *out);
