// SPDX-License-Identifier: Apache-2.0
/*
 * What ACPI says about interrupt lines, PCI configuration space, HPET, memory nodes and the serial
 * console (see acpi.h). A table is read whole into a buffer and counts only if its checksum is right.
 * ACPI 6.4, 5.2.12, 5.2.16; PCI Firmware 3.2, 4.1.2; IA-PC HPET 1.0a, 3.2.4; SPCR 1.08.
 */
#include "mgmt/acpi.h"

#include <string.h>

#define TABLE_BYTES_MAX 8192u
#define HEADER_BYTES    36u
#define GAS_SPACE       0u
#define GAS_ADDRESS     4u

#define MADT_RECORDS    44u
#define MADT_OVERRIDE   2u
#define SRAT_RECORDS    48u
#define SRAT_LAPIC      0u
#define SRAT_MEMORY     1u
#define SRAT_X2APIC     2u
#define MCFG_RECORDS    44u
#define MCFG_BYTES      16u
#define HPET_GAS        40u
#define SPCR_GAS        40u
#define SPCR_INTERRUPT  52u /* bit 0: IRQ, bit 1: GSI */
#define SPCR_IRQ        53u
#define SPCR_GSI        54u

#define COM1_PORT       0x3f8u
#define COM1_IRQ        4u
#define COM2_PORT       0x2f8u
#define COM2_IRQ        3u

struct table {
	uint8_t bytes[TABLE_BYTES_MAX];
	uint32_t length; /* 0: there is none */
};

/* A little-endian field; 0 where the table does not reach. */
static uint64_t field(const struct table *table, uint32_t offset, uint32_t size)
{
	uint64_t value = 0;

	if (offset + size <= table->length) {
		memcpy(&value, table->bytes + offset, size);
	}
	return value;
}

static void read_table(uint64_t root, const char *signature, acpi_read_fn *read, void *context,
                       struct table *table)
{
	uint64_t address;
	uint32_t length = acpi_find_table(root, signature, 0, read, context, &address);
	uint8_t sum = 0;
	uint32_t i;

	table->length = 0;
	if (length < HEADER_BYTES || length > TABLE_BYTES_MAX ||
	    !read(context, address, table->bytes, length)) {
		return;
	}
	for (i = 0; i < length; i++) {
		sum = (uint8_t)(sum + table->bytes[i]);
	}
	table->length = sum == 0 ? length : 0;
}

/* The record after the one at `at`; 0 at the end, or where a record's length is wrong. */
static uint32_t next_record(const struct table *table, uint32_t at)
{
	uint32_t next = at + (uint32_t)field(table, at + 1, 1);

	return next >= at + 2 && next + 2 <= table->length ? next : 0;
}

static void read_overrides(const struct table *madt, struct acpi_machine *out)
{
	uint32_t at;

	for (at = MADT_RECORDS; at != 0; at = next_record(madt, at)) {
		uint64_t flags = field(madt, at + 8, 2);
		struct acpi_line *line;

		if (field(madt, at, 1) != MADT_OVERRIDE || field(madt, at + 1, 1) < 10 ||
		    out->overrides_count == ACPI_OVERRIDES_MAX) {
			continue;
		}
		out->overrides[out->overrides_count].irq = (uint8_t)field(madt, at + 3, 1);
		line = &out->overrides[out->overrides_count++].line;
		line->gsi = (uint32_t)field(madt, at + 4, 4);
		line->is_low = (flags & 3) == 3;
		line->is_level = (flags >> 2 & 3) == 3;
	}
}

static void read_nodes(const struct table *srat, struct acpi_machine *out)
{
	uint32_t at;

	for (at = SRAT_RECORDS; srat->length != 0 && at != 0; at = next_record(srat, at)) {
		uint64_t node = 0;

		switch (field(srat, at, 1)) {
		case SRAT_LAPIC:
			node = (field(srat, at + 4, 4) & 1) != 0
			               ? field(srat, at + 2, 1) | field(srat, at + 9, 3) << 8
			               : 0;
			break;
		case SRAT_MEMORY:
			node = (field(srat, at + 28, 4) & 1) != 0 ? field(srat, at + 2, 4) : 0;
			break;
		case SRAT_X2APIC:
			node = (field(srat, at + 12, 4) & 1) != 0 ? field(srat, at + 4, 4) : 0;
			break;
		default:
			break;
		}
		if (node < UINT32_MAX && node >= out->nodes_count) {
			out->nodes_count = (uint32_t)node + 1;
		}
	}
}

static void read_ecam(const struct table *mcfg, struct acpi_machine *out)
{
	uint32_t at;

	for (at = MCFG_RECORDS; at + MCFG_BYTES <= mcfg->length && out->ecam_count < ACPI_ECAM_MAX;
	     at += MCFG_BYTES) {
		out->ecam[out->ecam_count].base = field(mcfg, at, 8);
		out->ecam[out->ecam_count].segment = (uint16_t)field(mcfg, at + 8, 2);
		out->ecam[out->ecam_count].bus_first = (uint8_t)field(mcfg, at + 10, 1);
		out->ecam[out->ecam_count++].bus_last = (uint8_t)field(mcfg, at + 11, 1);
	}
}

static void read_serial(const struct table *spcr, struct acpi_machine *out)
{
	uint64_t kinds = field(spcr, SPCR_INTERRUPT, 1);
	uint64_t port = field(spcr, SPCR_GAS + GAS_ADDRESS, 8);

	out->serial_gsi = UINT32_MAX;
	if (field(spcr, SPCR_GAS + GAS_SPACE, 1) != ACPI_SPACE_IO || port > 0xffff) {
		return;
	}
	out->serial_port = (uint16_t)port;
	out->serial_irq = (kinds & 1) != 0 ? (uint8_t)field(spcr, SPCR_IRQ, 1) : 0;
	out->serial_gsi = (kinds & 2) != 0 ? (uint32_t)field(spcr, SPCR_GSI, 4) : UINT32_MAX;
}

void acpi_read_machine(uint64_t root, acpi_read_fn *read, void *context, struct acpi_machine *out)
{
	static struct table table;

	memset(out, 0, sizeof(*out));
	read_table(root, "APIC", read, context, &table);
	read_overrides(&table, out);
	read_table(root, "SRAT", read, context, &table);
	read_nodes(&table, out);
	read_table(root, "MCFG", read, context, &table);
	read_ecam(&table, out);
	read_table(root, "HPET", read, context, &table);
	if (field(&table, HPET_GAS + GAS_SPACE, 1) == ACPI_SPACE_MEMORY) {
		out->hpet_base = field(&table, HPET_GAS + GAS_ADDRESS, 8);
	}
	read_table(root, "SPCR", read, context, &table);
	read_serial(&table, out);
}

struct acpi_line acpi_isa_line(const struct acpi_machine *machine, uint8_t irq)
{
	uint32_t i;

	for (i = 0; i < machine->overrides_count; i++) {
		if (machine->overrides[i].irq == irq) {
			return machine->overrides[i].line;
		}
	}
	return (struct acpi_line){ .gsi = irq };
}

bool acpi_serial_line(const struct acpi_machine *machine, uint16_t port, struct acpi_line *out)
{
	bool is_named = machine->serial_port != 0 && machine->serial_port == port;
	uint8_t irq = port == COM1_PORT ? COM1_IRQ : port == COM2_PORT ? COM2_IRQ : 0;

	if (is_named && machine->serial_irq != 0) {
		irq = machine->serial_irq;
	}
	if (irq != 0) {
		*out = acpi_isa_line(machine, irq);
		return true;
	}
	*out = (struct acpi_line){ .gsi = machine->serial_gsi, .is_level = true };
	return is_named && machine->serial_gsi != UINT32_MAX;
}
