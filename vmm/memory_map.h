// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's memory map (E820) and the slots in which the VMM sees its RAM.
 *
 * Must never: call usable what is not backed by RAM. Addresses: bulkhead/protocol.h,
 * "guest-physical map".
 */
#pragma once

#include "bulkhead/protocol.h"
#include "vmm/guest_memory.h"
#include "vmm/loader.h"

#define MEMORY_MAP_ENTRIES  8
#define MEMORY_MAP_EBDA_GPA 0x9fc00ull /* 1 KiB below the video hole, as a PC's firmware keeps it */

/* Fills `map` (sorted, without overlaps); returns the number of entries. */
uint32_t memory_map_build(const struct vmm_config *config,
                          struct loader_e820 map[MEMORY_MAP_ENTRIES]);

/* The RAM of the guest, which root mapped at `base` + gpa. */
void memory_map_slots(const struct vmm_config *config, uint8_t *base, struct guest_memory *memory);

/*
 * Writes what firmware leaves in the BIOS data area: COM1's port, the EBDA's place, the size of low
 * memory.
 */
int memory_map_bios_data(const struct vmm_config *config, const struct guest_memory *memory);
