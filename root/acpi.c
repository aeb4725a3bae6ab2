/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the ACPI tables and reads MADT and SPCR (acpi.h). Tables are not trusted: lengths are bounded, checksums must be right, a bad table
 * counts as absent and is named in the log. Every field is fetched by its offset, and is zero where its table or record is too short to
 * hold it. ACPI 6.4 5.2.5-5.2.8, 5.2.12; SPCR 1.08.
 */
#include "root/acpi.h"

#include <string.h>

#define TABLE_LENGTH_MAX    0x200000u /* no sane table that we read is larger */
#define BIOS_AREA           0xe0000u
#define BIOS_AREA_BYTES     0x20000u
#define EBDA_POINTER        0x40eu
#define EBDA_SEARCH_BYTES   1024u
#define RSDP1_BYTES         20u

#define MADT_RECORDS        44u
#define MADT_LAPIC          0u
#define MADT_LAPIC_ID_SHIFT 24
#define MADT_IOAPIC         1u
#define MADT_X2APIC         9u
#define MADT_ENABLED        1u
#define SPCR_TYPE           36u
#define SPCR_TYPE_16450     1u
#define SPCR_ADDRESS_SPACE  40u
#define SPCR_SPACE_PORT     1u
#define SPCR_ADDRESS        44u
#define SPCR_BAUD           58u

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum_all;
	uint8_t reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.4 table 5.3");

struct table {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
};
_Static_assert(sizeof(struct table) == 36, "ACPI 6.4 table 5.4");

static bool checksum_is_right(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++) {
		sum = (uint8_t)(sum + bytes[i]);
	}
	return sum == 0;
}

static bool rsdp_is_valid(const struct rsdp *rsdp)
{
	return rsdp != NULL && strncmp(rsdp->signature, "RSD PTR ", 8) == 0 &&
	       checksum_is_right(rsdp, RSDP1_BYTES) &&
	       (rsdp->revision < 2 || checksum_is_right(rsdp, sizeof(*rsdp)));
}

static const struct rsdp *rsdp_search(uint64_t start, uint32_t size)
{
	const char *area = acpi_window(start, size);

	for (uint32_t at = 0; area != NULL && at + sizeof(struct rsdp) <= size; at += 16) {
		const struct rsdp *rsdp = (const struct rsdp *)(const void *)(area + at);

		if (rsdp_is_valid(rsdp)) {
			return rsdp;
		}
	}
	return NULL;
}

/* `found`: by the boot path. */
static const struct rsdp *rsdp_find(const void *found)
{
	const uint16_t *pointer = acpi_window(EBDA_POINTER, sizeof(*pointer));
	const struct rsdp *rsdp = found;

	if (rsdp_is_valid(rsdp)) {
		return rsdp;
	}
	rsdp = pointer != NULL && *pointer != 0
	               ? rsdp_search((uint64_t)*pointer << 4, EBDA_SEARCH_BYTES)
	               : NULL;
	return rsdp != NULL ? rsdp : rsdp_search(BIOS_AREA, BIOS_AREA_BYTES);
}

/* Map one table and check it. NULL: not to be used. */
static const struct table *table_open(uint64_t pa)
{
	const struct table *table = pa != 0 ? acpi_window(pa, sizeof(*table)) : NULL;
	uint32_t length = table != NULL ? table->length : 0;

	if (length >= sizeof(*table) && length <= TABLE_LENGTH_MAX) {
		table = acpi_window(pa, length);
		if (table != NULL && table->length == length && checksum_is_right(table, length)) {
			return table;
		}
	}
	root_log("ACPI: the table at %lx is broken: ignored", pa);
	return NULL;
}

/* A little-endian field of a table; 0 where it does not reach. */
static uint64_t field(const struct table *table, uint32_t offset, uint32_t bytes)
{
	uint64_t value = 0;

	if (offset + bytes <= table->length) {
		memcpy(&value, (const uint8_t *)table + offset, bytes);
	}
	return value;
}

static void cpu_add(struct acpi_tables *acpi, uint32_t apic_id, uint32_t flags)
{
	bool is_known = (flags & MADT_ENABLED) == 0;

	/* Some firmware lists a CPU as LAPIC and as x2APIC. */
	for (uint32_t i = 0; i < acpi->cpus_count; i++) {
		is_known |= acpi->apic_ids[i] == apic_id;
	}
	if (!is_known && acpi->cpus_count == BH_MAX_CPUS) {
		acpi->cpus_ignored++;
	} else if (!is_known) {
		acpi->apic_ids[acpi->cpus_count++] = apic_id;
	}
}

static void madt_record_read(struct acpi_tables *acpi, const uint8_t *record, uint32_t length)
{
	uint32_t words[4] = { 0 }; /* of a record that is too short the rest is zero */

	memcpy(words, record, length < sizeof(words) ? length : sizeof(words));
	if (record[0] == MADT_LAPIC) {
		cpu_add(acpi, words[0] >> MADT_LAPIC_ID_SHIFT, words[1]);
	} else if (record[0] == MADT_X2APIC) {
		cpu_add(acpi, words[1], words[2]);
	} else if (record[0] == MADT_IOAPIC && acpi->ioapics_count < ACPI_IOAPICS_MAX) {
		acpi->ioapics[acpi->ioapics_count].base = words[1];
		acpi->ioapics[acpi->ioapics_count++].gsi_base = words[2];
	}
}

static void madt_read(struct acpi_tables *acpi, const struct table *madt)
{
	const uint8_t *record, *end = (const uint8_t *)madt + madt->length;

	for (record = (const uint8_t *)madt + MADT_RECORDS; record + 2 <= end;
	     record += record[1]) {
		if (record[1] < 2 || record[1] > end - record) {
			root_log("ACPI: the MADT ends in a broken record");
			break;
		}
		madt_record_read(acpi, record, record[1]);
	}
}

static void spcr_read(struct acpi_tables *acpi, const struct table *spcr)
{
	static const uint32_t bauds[] = { [3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200 };
	uint64_t baud = field(spcr, SPCR_BAUD, 1);
	uint64_t address = field(spcr, SPCR_ADDRESS, 8);

	if (field(spcr, SPCR_TYPE, 1) > SPCR_TYPE_16450 ||
	    field(spcr, SPCR_ADDRESS_SPACE, 1) != SPCR_SPACE_PORT || address > 0xfff8) {
		root_log("ACPI: SPCR names no 16550 at a port: not used");
		return;
	}
	acpi->serial_port = (uint16_t)address;
	acpi->serial_baud = baud < sizeof(bauds) / sizeof(bauds[0]) ? bauds[baud] : 0;
}

static void table_read(struct acpi_tables *acpi, uint64_t pa)
{
	const struct table *table = table_open(pa);

	if (table == NULL) {
		return;
	}
	if (strncmp(table->signature, "APIC", 4) == 0) {
		madt_read(acpi, table);
	} else if (strncmp(table->signature, "SPCR", 4) == 0) {
		spcr_read(acpi, table);
	}
}

bool acpi_read(const void *found, struct acpi_tables *acpi)
{
	const struct rsdp *rsdp = rsdp_find(found);
	const struct table *root = NULL;
	uint32_t entry_bytes = 8;

	memset(acpi, 0, sizeof(*acpi));
	if (rsdp == NULL) {
		return false;
	}
	if (rsdp->revision >= 2) {
		acpi->root = rsdp->xsdt;
		root = table_open(acpi->root);
	}
	if (root == NULL) {
		entry_bytes = 4;
		acpi->root = rsdp->rsdt;
		root = table_open(acpi->root);
	}
	for (uint32_t at = sizeof(*root); root != NULL && at + entry_bytes <= root->length;
	     at += entry_bytes) {
		table_read(acpi, field(root, at, entry_bytes));
	}
	return true;
}
