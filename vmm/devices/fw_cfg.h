// SPDX-License-Identifier: Apache-2.0
/*
 * A firmware-configuration port (0x510, 0x511) with the handful of keys that multiboot test kernels
 * ask for: how many CPUs there are and how much memory. No files, no DMA.
 *
 * Must never: hold anything that the guest could change.
 * Manual: Linux Documentation/devicetree/bindings/firmware/qemu,fw-cfg-mmio.txt; QEMU
 * docs/specs/fw_cfg.
 */
#pragma once

#include "vmm/bus.h"

struct fw_cfg {
	uint64_t memory_bytes;
	uint16_t cpus_count;
	uint16_t key;
	uint32_t offset; /* next byte of the item */
};

void fw_cfg_reset(struct fw_cfg *fw_cfg);
int fw_cfg_attach(struct fw_cfg *fw_cfg, struct bus *bus);
