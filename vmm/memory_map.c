// SPDX-License-Identifier: Apache-2.0
/*
 * Memory map of the small PC.
 *
 * Must never: let two entries overlap.
 */
#include "vmm/memory_map.h"

#include <stddef.h>

#include "bulkhead/errors.h"
#include "vmm/acpi_tables.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/uart.h"

#define HIGH_MEMORY_GPA   0x100000ull
#define APIC_BYTES        0x1000ull

#define BDA_GPA           0x400u
#define BDA_COM1_OFFSET   0x00u
#define BDA_EBDA_OFFSET   0x0eu
#define BDA_MEMORY_OFFSET 0x13u
#define BDA_BYTES         0x100u

struct map {
	struct loader_e820 *entries;
	uint32_t count;
};

static void put(struct map *map, uint64_t base, uint64_t size, uint32_t type)
{
	if (size != 0) {
		map->entries[map->count++] = (struct loader_e820){ base, size, type };
	}
}

uint32_t memory_map_build(const struct vmm_config *config,
                          struct loader_e820 entries[MEMORY_MAP_ENTRIES])
{
	struct map map = { entries, 0 };
	uint64_t low = config->low_bytes;

	put(&map, 0, MEMORY_MAP_EBDA_GPA, LOADER_E820_RAM);
	put(&map, MEMORY_MAP_EBDA_GPA, GUEST_HOLE_START - MEMORY_MAP_EBDA_GPA,
	    LOADER_E820_RESERVED);
	put(&map, ACPI_TABLES_GPA, ACPI_TABLES_BYTES, LOADER_E820_RESERVED);
	put(&map, HIGH_MEMORY_GPA, low > HIGH_MEMORY_GPA ? low - HIGH_MEMORY_GPA : 0,
	    LOADER_E820_RAM);
	put(&map, GUEST_ECAM_BASE, PCI_ECAM_BUS_BYTES, LOADER_E820_RESERVED);
	put(&map, GUEST_IOAPIC_BASE, APIC_BYTES, LOADER_E820_RESERVED);
	put(&map, GUEST_LAPIC_BASE, APIC_BYTES, LOADER_E820_RESERVED);
	put(&map, GUEST_HIGH_BASE, config->high_bytes, LOADER_E820_RAM);
	return map.count;
}

static void put_slot(struct guest_memory *memory, uint8_t *base, uint64_t start, uint64_t end)
{
	if (end > start) {
		memory->slots[memory->slots_count++] =
			(struct guest_memory_slot){ start, end - start, base + start };
	}
}

void memory_map_slots(const struct vmm_config *config, uint8_t *base, struct guest_memory *memory)
{
	uint64_t low = config->low_bytes;

	memory->slots_count = 0;
	memory->low_bytes = low;
	put_slot(memory, base, 0, low < GUEST_HOLE_START ? low : GUEST_HOLE_START);
	put_slot(memory, base, GUEST_HOLE_END, low);
	put_slot(memory, base, GUEST_HIGH_BASE, GUEST_HIGH_BASE + config->high_bytes);
}

int memory_map_bios_data(const struct vmm_config *config, const struct guest_memory *memory)
{
	uint8_t *bda = guest_memory_at(memory, BDA_GPA, BDA_BYTES);
	uint16_t ebda_segment = (uint16_t)(MEMORY_MAP_EBDA_GPA >> 4);
	uint16_t low_kib = (uint16_t)(MEMORY_MAP_EBDA_GPA / 1024);

	if (bda == NULL) {
		return BH_ERR_ADDRESS;
	}
	if (config->flags & VMM_CONFIG_CONSOLE) {
		bda[BDA_COM1_OFFSET] = (uint8_t)UART_COM1_PORT;
		bda[BDA_COM1_OFFSET + 1] = (uint8_t)(UART_COM1_PORT >> 8);
	}
	bda[BDA_EBDA_OFFSET] = (uint8_t)ebda_segment;
	bda[BDA_EBDA_OFFSET + 1] = (uint8_t)(ebda_segment >> 8);
	bda[BDA_MEMORY_OFFSET] = (uint8_t)low_kib;
	bda[BDA_MEMORY_OFFSET + 1] = (uint8_t)(low_kib >> 8);
	return guest_memory_zero(memory, MEMORY_MAP_EBDA_GPA,
	                         GUEST_HOLE_START - MEMORY_MAP_EBDA_GPA);
}
