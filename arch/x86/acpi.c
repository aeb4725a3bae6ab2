/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the ACPI tables and reads MADT, FADT and SPCR (start.h). Every field is fetched by its offset, and is zero where its table or record
 * is too short to hold it. ACPI 6.4 5.2.5-5.2.9, 5.2.12; SPCR 1.08.
 */
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define TABLE_LENGTH_MAX    0x200000u /* no sane table that we read is larger */
#define BIOS_AREA           0xe0000u
#define BIOS_AREA_END       0x100000u
#define EBDA_POINTER        0x40eu
#define EBDA_SEARCH_BYTES   1024u
#define RSDP1_BYTES         20u

#define MADT_RECORDS        44u
#define MADT_LAPIC          0u
#define MADT_LAPIC_ID_SHIFT 24
#define MADT_IOAPIC         1u
#define MADT_X2APIC         9u
#define MADT_ENABLED        1u
#define FADT_PM_TIMER       76u
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

struct acpi_machine acpi;

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

static const struct rsdp *rsdp_search(uint64_t start, uint64_t end)
{
	for (; start + sizeof(struct rsdp) <= end; start += 16) {
		if (rsdp_is_valid(phys_to_virt(HPA(start)))) {
			return phys_to_virt(HPA(start));
		}
	}
	return NULL;
}

static const struct rsdp *rsdp_find(void)
{
	uint64_t ebda = (uint64_t) * (const uint16_t *)phys_to_virt(HPA(EBDA_POINTER)) << 4;
	const struct rsdp *rsdp = boot_info.rsdp != 0
	                                  ? memory_window(HPA(boot_info.rsdp), sizeof(*rsdp), 0)
	                                  : NULL;

	if (rsdp_is_valid(rsdp)) {
		return rsdp;
	}
	rsdp = rsdp_search(ebda, ebda + EBDA_SEARCH_BYTES);
	return rsdp != NULL ? rsdp : rsdp_search(BIOS_AREA, BIOS_AREA_END);
}

/* Map one table and check it. NULL: not to be used. */
static const struct table *table_open(uint64_t pa)
{
	const struct table *table = pa != 0 ? memory_window(HPA(pa), sizeof(*table), 0) : NULL;
	uint32_t length = table != NULL ? table->length : 0;

	if (length >= sizeof(*table) && length <= TABLE_LENGTH_MAX) {
		table = memory_window(HPA(pa), length, 0);
		if (table != NULL && table->length == length && checksum_is_right(table, length)) {
			return table;
		}
	}
	log_print("ACPI: the table at %lx is broken: ignored", pa);
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

static void cpu_add(uint32_t apic_id, uint32_t flags)
{
	bool is_known = (flags & MADT_ENABLED) == 0;

	/* Some firmware lists a CPU as LAPIC and as x2APIC. */
	for (uint32_t i = 0; i < acpi.cpus_count; i++) {
		is_known |= acpi.apic_ids[i] == apic_id;
	}
	if (!is_known && acpi.cpus_count == BH_MAX_CPUS) {
		acpi.cpus_ignored++;
	} else if (!is_known) {
		acpi.apic_ids[acpi.cpus_count++] = apic_id;
	}
}

static void madt_record_read(const uint8_t *record, uint32_t length)
{
	uint32_t words[4] = { 0 }; /* of a record that is too short the rest is zero */

	memcpy(words, record, length < sizeof(words) ? length : sizeof(words));
	if (record[0] == MADT_LAPIC) {
		cpu_add(words[0] >> MADT_LAPIC_ID_SHIFT, words[1]);
	} else if (record[0] == MADT_X2APIC) {
		cpu_add(words[1], words[2]);
	} else if (record[0] == MADT_IOAPIC && acpi.ioapics_count < ACPI_IOAPICS_MAX) {
		acpi.ioapics[acpi.ioapics_count].base = words[1];
		acpi.ioapics[acpi.ioapics_count++].gsi_base = words[2];
	}
}

static void madt_read(const struct table *madt)
{
	const uint8_t *record, *end = (const uint8_t *)madt + madt->length;

	for (record = (const uint8_t *)madt + MADT_RECORDS; record + 2 <= end;
	     record += record[1]) {
		if (record[1] < 2 || record[1] > end - record) {
			log_print("ACPI: the MADT ends in a broken record");
			break;
		}
		madt_record_read(record, record[1]);
	}
}

static void spcr_read(const struct table *spcr)
{
	static const uint32_t bauds[] = { [3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200 };
	uint64_t baud = field(spcr, SPCR_BAUD, 1);
	uint64_t address = field(spcr, SPCR_ADDRESS, 8);

	if (field(spcr, SPCR_TYPE, 1) > SPCR_TYPE_16450 ||
	    field(spcr, SPCR_ADDRESS_SPACE, 1) != SPCR_SPACE_PORT || address > 0xfff8) {
		log_print("ACPI: SPCR names no 16550 at a port: not used");
		return;
	}
	acpi.serial_port = (uint16_t)address;
	acpi.serial_baud = baud < ARRAY_SIZE(bauds) ? bauds[baud] : 0;
}

static void table_read(uint64_t pa)
{
	const struct table *table = table_open(pa);

	if (table == NULL) {
		return;
	}
	if (strncmp(table->signature, "APIC", 4) == 0) {
		madt_read(table);
	} else if (strncmp(table->signature, "FACP", 4) == 0) {
		acpi.pm_timer_port = (uint16_t)field(table, FADT_PM_TIMER, 4);
	} else if (strncmp(table->signature, "SPCR", 4) == 0) {
		spcr_read(table);
	}
}

void acpi_init(void)
{
	const struct rsdp *rsdp = rsdp_find();
	const struct table *root = NULL;
	uint32_t entry_bytes = 8;

	if (rsdp == NULL) {
		log_print("ACPI: none found; taking this machine for a single CPU with PC devices");
		return;
	}
	if (rsdp->revision >= 2) {
		acpi.root = rsdp->xsdt;
		root = table_open(acpi.root);
	}
	if (root == NULL) {
		entry_bytes = 4;
		acpi.root = rsdp->rsdt;
		root = table_open(acpi.root);
	}
	for (uint32_t at = sizeof(*root); root != NULL && at + entry_bytes <= root->length;
	     at += entry_bytes) {
		table_read(field(root, at, entry_bytes));
	}
}
