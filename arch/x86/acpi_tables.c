/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the ACPI tables that the kernel needs: MADT, FADT, MCFG, HPET, SRAT, SPCR. Every field is fetched by its offset, only when the table (or
 * its record) is long enough to hold it. ACPI 6.4 5.2.9, 5.2.12, 5.2.16; PCI Firmware 3.2 4.1.2; IA-PC HPET 1.0a 3.2.4; SPCR 1.08.
 */
#include "arch/x86/acpi.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define ADDRESS_SPACE_MEMORY  0u
#define ADDRESS_SPACE_PORT    1u

#define MADT_LAPIC_BASE       36u
#define MADT_RECORDS          44u
#define MADT_LAPIC            0u
#define MADT_IOAPIC           1u
#define MADT_OVERRIDE         2u
#define MADT_LAPIC_ADDRESS    5u
#define MADT_X2APIC           9u
#define MADT_ENABLED          1u
#define POLARITY_LOW          3u
#define TRIGGER_LEVEL         3u

#define FADT_PM_TIMER         76u
#define FADT_FLAGS            112u
#define FADT_FLAG_TIMER_32BIT BIT(8)
#define FADT_FLAG_RESET       BIT(10)
#define FADT_RESET_REGISTER   116u
#define FADT_RESET_VALUE      128u

#define MCFG_RECORDS          44u
#define MCFG_RECORD_BYTES     16u
#define HPET_ADDRESS          40u
#define SRAT_RECORDS          48u
#define SRAT_LAPIC            0u
#define SRAT_X2APIC           2u

#define SPCR_TYPE             36u
#define SPCR_TYPE_16450       1u
#define SPCR_ADDRESS          40u
#define SPCR_INTERRUPT_TYPE   52u
#define SPCR_IRQ              53u
#define SPCR_GSI              54u
#define SPCR_BAUD             58u

/* A little-endian field of a table or record of `length` bytes; 0 where it does not reach. */
static uint64_t field(const void *record, uint32_t length, uint32_t offset, uint32_t bytes)
{
	uint64_t value = 0;

	if (offset + bytes <= length) {
		memcpy(&value, (const uint8_t *)record + offset, bytes);
	}
	return value;
}

static struct acpi_register gas_read(const void *record, uint32_t length, uint32_t offset)
{
	uint32_t space = (uint32_t)field(record, length, offset, 1);
	struct acpi_register reg = { .address = field(record, length, offset + 4, 8),
		                     .is_port = space == ADDRESS_SPACE_PORT,
		                     .width_bits = (uint8_t)field(record, length, offset + 1, 1) };

	if ((space != ADDRESS_SPACE_PORT && space != ADDRESS_SPACE_MEMORY) ||
	    (reg.is_port && reg.address > 0xffff)) {
		reg.address = 0;
	}
	return reg;
}

static void cpu_add(uint32_t apic_id)
{
	for (uint32_t i = 0; i < acpi.cpus_count; i++) {
		if (acpi.cpus[i].apic_id == apic_id) {
			return; /* some firmware lists a CPU as LAPIC and as x2APIC */
		}
	}
	if (acpi.cpus_count == BH_MAX_CPUS) {
		acpi.cpus_ignored++;
		return;
	}
	acpi.cpus[acpi.cpus_count++].apic_id = apic_id;
}

static void override_add(const uint8_t *record, uint32_t length)
{
	uint32_t flags = (uint32_t)field(record, length, 8, 2);
	struct acpi_override *override;

	if (acpi.overrides_count == ACPI_OVERRIDES_MAX || field(record, length, 2, 1) != 0) {
		return;
	}
	override = &acpi.overrides[acpi.overrides_count++];
	override->irq = (uint8_t)field(record, length, 3, 1);
	override->gsi = (uint32_t)field(record, length, 4, 4);
	override->is_low = (flags & 3) == POLARITY_LOW;
	override->is_level = ((flags >> 2) & 3) == TRIGGER_LEVEL;
}

static void madt_record_read(const uint8_t *record, uint32_t length)
{
	switch (record[0]) {
	case MADT_LAPIC:
		if (field(record, length, 4, 4) & MADT_ENABLED) {
			cpu_add((uint32_t)field(record, length, 3, 1));
		}
		break;
	case MADT_X2APIC:
		if (field(record, length, 8, 4) & MADT_ENABLED) {
			cpu_add((uint32_t)field(record, length, 4, 4));
		}
		break;
	case MADT_IOAPIC:
		if (acpi.ioapics_count < ACPI_IOAPICS_MAX && length >= 12) {
			acpi.ioapics[acpi.ioapics_count].base = field(record, length, 4, 4);
			acpi.ioapics[acpi.ioapics_count++].gsi_base = (uint32_t)field(record,
			                                                              length, 8, 4);
		}
		break;
	case MADT_OVERRIDE:
		override_add(record, length);
		break;
	case MADT_LAPIC_ADDRESS:
		if (length >= 12) {
			acpi.lapic_base = field(record, length, 4, 8);
		}
		break;
	default:
		break;
	}
}

/* Walk the type-length records of MADT and SRAT; one with a length of less than its head ends the walk. */
static void records_walk(const struct acpi_header *table, uint32_t at,
                         void (*read)(const uint8_t *record, uint32_t length))
{
	while (at + 2 <= table->length) {
		const uint8_t *record = (const uint8_t *)table + at;

		if (record[1] < 2 || record[1] > table->length - at) {
			log_print("ACPI: a record in the %c%c%c%c table is cut off",
			          table->signature[0], table->signature[1], table->signature[2],
			          table->signature[3]);
			return;
		}
		read(record, record[1]);
		at += record[1];
	}
}

static void srat_record_read(const uint8_t *record, uint32_t length)
{
	uint32_t apic_id, node;

	if (record[0] == SRAT_LAPIC && (field(record, length, 4, 4) & 1)) {
		apic_id = (uint32_t)field(record, length, 3, 1);
		node = (uint32_t)(field(record, length, 2, 1) | field(record, length, 9, 3) << 8);
	} else if (record[0] == SRAT_X2APIC && (field(record, length, 12, 4) & 1)) {
		apic_id = (uint32_t)field(record, length, 8, 4);
		node = (uint32_t)field(record, length, 4, 4);
	} else {
		return;
	}
	for (uint32_t i = 0; i < acpi.cpus_count; i++) {
		if (acpi.cpus[i].apic_id == apic_id) {
			acpi.cpus[i].node = node;
		}
	}
	acpi.nodes_count = node + 1 > acpi.nodes_count ? node + 1 : acpi.nodes_count;
}

static void fadt_read(const struct acpi_header *table)
{
	uint64_t flags = field(table, table->length, FADT_FLAGS, 4);

	acpi.pm_timer_port = (uint16_t)field(table, table->length, FADT_PM_TIMER, 4);
	acpi.pm_timer_is_32bit = (flags & FADT_FLAG_TIMER_32BIT) != 0;
	if ((flags & FADT_FLAG_RESET) && table->length > FADT_RESET_VALUE) {
		acpi.reset = gas_read(table, table->length, FADT_RESET_REGISTER);
		acpi.reset_value = (uint8_t)field(table, table->length, FADT_RESET_VALUE, 1);
	}
}

static void mcfg_read(const struct acpi_header *table)
{
	for (uint32_t at = MCFG_RECORDS;
	     at + MCFG_RECORD_BYTES <= table->length && acpi.mcfg_count < ACPI_MCFG_MAX;
	     at += MCFG_RECORD_BYTES) {
		struct acpi_mcfg *mcfg = &acpi.mcfg[acpi.mcfg_count++];

		mcfg->base = field(table, table->length, at, 8);
		mcfg->segment = (uint16_t)field(table, table->length, at + 8, 2);
		mcfg->bus_first = (uint8_t)field(table, table->length, at + 10, 1);
		mcfg->bus_last = (uint8_t)field(table, table->length, at + 11, 1);
	}
}

static void spcr_read(const struct acpi_header *table)
{
	static const uint32_t bauds[] = { [3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200 };
	uint32_t baud = (uint32_t)field(table, table->length, SPCR_BAUD, 1);
	uint32_t interrupts = (uint32_t)field(table, table->length, SPCR_INTERRUPT_TYPE, 1);

	if (field(table, table->length, SPCR_TYPE, 1) > SPCR_TYPE_16450) {
		return; /* not a 16550 */
	}
	acpi.serial.base = gas_read(table, table->length, SPCR_ADDRESS);
	acpi.serial.baud = baud < ARRAY_SIZE(bauds) ? bauds[baud] : 0;
	acpi.serial.irq = interrupts & 1 ? (uint8_t)field(table, table->length, SPCR_IRQ, 1) : 0;
	acpi.serial.gsi = interrupts & 2 ? (uint32_t)field(table, table->length, SPCR_GSI, 4) : ~0u;
}

static bool table_is(const struct acpi_header *table, const char *signature)
{
	return memcmp(table->signature, signature, 4) == 0;
}

void acpi_table_read(const struct acpi_header *table)
{
	struct acpi_register reg;

	if (table_is(table, "APIC")) {
		if (acpi.lapic_base == 0) {
			acpi.lapic_base = field(table, table->length, MADT_LAPIC_BASE, 4);
		}
		records_walk(table, MADT_RECORDS, madt_record_read);
	} else if (table_is(table, "FACP")) {
		fadt_read(table);
	} else if (table_is(table, "MCFG")) {
		mcfg_read(table);
	} else if (table_is(table, "HPET")) {
		reg = gas_read(table, table->length, HPET_ADDRESS);
		acpi.hpet_base = reg.is_port ? 0 : reg.address;
	} else if (table_is(table, "SRAT")) {
		records_walk(table, SRAT_RECORDS, srat_record_read);
	} else if (table_is(table, "SPCR")) {
		spcr_read(table);
	}
}
