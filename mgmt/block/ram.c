// SPDX-License-Identifier: Apache-2.0
/* RAM disks (see ram.h). Every request ends before submit() returns. */
#include "mgmt/block/ram.h"

#include <string.h>

static void submit(struct block_device *device, struct block_request *request)
{
	struct ram_disk *disk = device->driver;
	uint8_t *at = disk->memory + request->sector * BLOCK_SECTOR_BYTES;
	uint64_t bytes = request->sectors_count * BLOCK_SECTOR_BYTES;

	switch (request->operation) {
	case BLOCK_READ:
		block_copy_to_pieces(request, 0, at, bytes);
		break;
	case BLOCK_WRITE:
		block_copy_from_pieces(request, 0, at, bytes);
		break;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		memset(at, 0, bytes);
		break;
	case BLOCK_FLUSH:
		break;
	}
	request->done(request, BLOCK_OK);
}

void ram_disk_init(struct ram_disk *disk, void *memory, uint64_t bytes, bool is_read_only)
{
	memset(disk, 0, sizeof(*disk));
	disk->memory = memory;
	disk->device.sectors_count = bytes / BLOCK_SECTOR_BYTES;
	disk->device.sector_bytes = BLOCK_SECTOR_BYTES;
	disk->device.flags = is_read_only ? BLOCK_IS_READ_ONLY
	                                  : BLOCK_CAN_DISCARD | BLOCK_CAN_WRITE_ZEROES;
	disk->device.memory = memory;
	disk->device.submit = submit;
	disk->device.driver = disk;
}
