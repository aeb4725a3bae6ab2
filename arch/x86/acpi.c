/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the ACPI tables: RSDP, RSDT or XSDT, and each table in it, all checked before use. ACPI 6.4 5.2.5-5.2.8. */
#include "arch/x86/acpi.h"

#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define TABLE_LENGTH_MAX  0x200000u /* no sane table that we read is larger */
#define TABLES_MAX        256u
#define BIOS_AREA         0xe0000u
#define BIOS_AREA_END     0x100000u
#define EBDA_POINTER      0x40eu
#define EBDA_SEARCH_BYTES 1024u
#define RSDP1_BYTES       20u

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
	return memcmp(rsdp->signature, "RSD PTR ", 8) == 0 &&
	       checksum_is_right(rsdp, RSDP1_BYTES) &&
	       (rsdp->revision < 2 || checksum_is_right(rsdp, sizeof(*rsdp)));
}

static uint64_t rsdp_search(uint64_t start, uint64_t size)
{
	for (uint64_t pa = start; pa + sizeof(struct rsdp) <= start + size; pa += 16) {
		if (rsdp_is_valid(phys_to_virt(HPA(pa)))) {
			return pa;
		}
	}
	return 0;
}

/* The firmware's own address where it can be found; else the copy that a boot loader gave. */
static uint64_t rsdp_find(void)
{
	const struct rsdp *given = boot_info.rsdp != 0
	                                   ? firmware_map(HPA(boot_info.rsdp), sizeof(*given))
	                                   : NULL;
	bool is_copy = boot_info.rsdp >= boot_info.kernel_base &&
	               boot_info.rsdp < boot_info.kernel_base + boot_info.kernel_size;
	uint64_t ebda, found;

	if (given != NULL && rsdp_is_valid(given) && !is_copy) {
		return boot_info.rsdp;
	}
	found = rsdp_search(BIOS_AREA, BIOS_AREA_END - BIOS_AREA);
	if (found == 0) {
		ebda = (uint64_t) * (const uint16_t *)phys_to_virt(HPA(EBDA_POINTER)) << 4;
		found = ebda >= 0x400 && ebda < BIOS_AREA ? rsdp_search(ebda, EBDA_SEARCH_BYTES)
		                                          : 0;
	}
	/* UEFI keeps it beside the tables; mgmt can be shown it there, but not a copy within the kernel. */
	for (uint32_t i = 0; found == 0 && i < boot_info.memory_count; i++) {
		if (boot_info.memory[i].kind == BOOT_MEMORY_ACPI) {
			found = rsdp_search(boot_info.memory[i].base, boot_info.memory[i].size);
		}
	}
	if (found == 0 && given != NULL && rsdp_is_valid(given)) {
		found = boot_info.rsdp;
	}
	return found;
}

/* Map one table and check it. NULL: not to be used. */
static const struct acpi_header *table_open(uint64_t pa)
{
	const struct acpi_header *table = pa != 0 ? firmware_map(HPA(pa), sizeof(*table)) : NULL;
	uint32_t length = table != NULL ? table->length : 0;

	if (length < sizeof(*table) || length > TABLE_LENGTH_MAX) {
		log_print("ACPI: the table at %lx has no sane length (%u): ignored", pa, length);
		return NULL;
	}
	table = firmware_map(HPA(pa), length);
	if (table == NULL || table->length != length || !checksum_is_right(table, length)) {
		log_print("ACPI: the table at %lx has a wrong checksum: ignored", pa);
		return NULL;
	}
	return table;
}

static void root_table_read(const struct acpi_header *root, uint32_t entry_bytes)
{
	const uint8_t *entry = (const uint8_t *)(root + 1);
	uint32_t count = (root->length - (uint32_t)sizeof(*root)) / entry_bytes;

	count = count < TABLES_MAX ? count : TABLES_MAX;
	for (uint32_t i = 0; i < count; i++) {
		const struct acpi_header *table;
		uint64_t pa = 0;

		memcpy(&pa, entry + i * entry_bytes, entry_bytes);
		table = table_open(pa);
		if (table != NULL) {
			acpi_table_read(table);
		}
	}
}

void acpi_init(void)
{
	const struct acpi_header *root = NULL;
	struct rsdp rsdp;

	acpi.serial.gsi = ~0u;
	boot_info.rsdp = rsdp_find();
	if (boot_info.rsdp == 0) {
		log_print("ACPI: none found; taking this machine for a single CPU with PC devices");
		return;
	}
	memcpy(&rsdp, firmware_map(HPA(boot_info.rsdp), sizeof(rsdp)), sizeof(rsdp));
	if (rsdp.revision >= 2 && rsdp.xsdt != 0) {
		root = table_open(rsdp.xsdt);
	}
	if (root != NULL && memcmp(root->signature, "XSDT", 4) == 0) {
		root_table_read(root, 8);
	} else {
		root = table_open(rsdp.rsdt);
		if (root == NULL || memcmp(root->signature, "RSDT", 4) != 0) {
			log_print("ACPI: neither XSDT nor RSDT is usable");
			return;
		}
		root_table_read(root, 4);
	}
	acpi.is_present = true;
}

struct acpi_override acpi_isa_route(uint8_t irq)
{
	for (uint32_t i = 0; i < acpi.overrides_count; i++) {
		if (acpi.overrides[i].irq == irq) {
			return acpi.overrides[i];
		}
	}
	/* Without ACPI the timer is wired to pin 2 on every PC with an I/O APIC (MP 1.4 3.6.2). */
	return (struct acpi_override){ .irq = irq, .gsi = irq == 0 && !acpi.is_present ? 2 : irq };
}
