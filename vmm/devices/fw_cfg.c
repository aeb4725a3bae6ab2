// SPDX-License-Identifier: Apache-2.0
/*
 * Firmware-configuration port: a selector and a byte stream.
 *
 * Must never: read past an item; beyond its end it gives zeros.
 */
#include "vmm/devices/fw_cfg.h"

#include <stddef.h>

#define KEY_SIGNATURE 0x00u
#define KEY_ID        0x01u
#define KEY_MEMORY    0x03u
#define KEY_CPUS      0x05u
#define KEY_CPUS_MAX  0x0fu

#define SIGNATURE     0x554d4551ull /* "QEMU", the interface's name for itself */
#define ID_PLAIN      1u            /* no DMA */

static uint64_t item_value(const struct fw_cfg *fw_cfg)
{
	switch (fw_cfg->key) {
	case KEY_SIGNATURE:
		return SIGNATURE;
	case KEY_ID:
		return ID_PLAIN;
	case KEY_MEMORY:
		return fw_cfg->memory_bytes;
	case KEY_CPUS:
	case KEY_CPUS_MAX:
		return fw_cfg->cpus_count;
	default:
		return 0;
	}
}

static uint64_t fw_cfg_read(void *device, uint64_t offset, uint32_t width)
{
	struct fw_cfg *fw_cfg = device;
	uint32_t at = fw_cfg->offset;

	(void)width;
	if (offset == 0) {
		return fw_cfg->key & 0xffu;
	}
	if (at >= sizeof(uint64_t)) {
		return 0;
	}
	fw_cfg->offset++;
	return item_value(fw_cfg) >> (at * 8);
}

static void fw_cfg_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct fw_cfg *fw_cfg = device;

	if (offset == 0 && width == 2) {
		fw_cfg->key = (uint16_t)value;
		fw_cfg->offset = 0;
	}
}

void fw_cfg_reset(struct fw_cfg *fw_cfg)
{
	fw_cfg->key = 0;
	fw_cfg->offset = 0;
}

int fw_cfg_attach(struct fw_cfg *fw_cfg, struct bus *bus)
{
	const struct bus_range range = { 0x510,        2,      fw_cfg_read,
		                         fw_cfg_write, fw_cfg, BUS_WIDTH_1 | BUS_WIDTH_2 };

	return bus_port_add(bus, &range);
}
