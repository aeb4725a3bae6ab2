/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM disks: a run of mgmt's address space as a block device. The memory is a boot file (read-only) or
 * kept by root over mgmt's death; a write that ended is as safe as it will ever be, so there is no flush.
 */
#pragma once

#include "mgmt/block/block.h"

struct ram_disk {
	struct block_device device;
	uint8_t *memory;
};

/* Fills in the record; the caller names it and adds it. bytes are rounded down to whole sectors. */
void ram_disk_init(struct ram_disk *disk, void *memory, uint64_t bytes, bool is_read_only);
