// SPDX-License-Identifier: Apache-2.0
/*
 * GPT tables of a disk that the fuzzer wrote; checksums are made right for it. What must hold: every partition
 * lies inside its device, and reading it stays there.
 *
 * Input: the disk's first sectors, from sector 1 on.
 */
// sources: mgmt/block/*.c
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mgmt/block/block.h"
#include "mgmt/block/gpt.h"
#include "mgmt/block/ram.h"
#include "tests/fuzz/check.h"

#define DISK_BYTES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t disk[DISK_BYTES];

static uint32_t crc32(const uint8_t *at, uint64_t bytes)
{
	uint32_t crc = 0xffffffffu;

	for (uint64_t i = 0; i < bytes; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
		}
	}
	return ~crc;
}

static uint32_t get32(uint32_t at)
{
	uint32_t value;

	memcpy(&value, disk + at, sizeof(value));
	return value;
}

/* Whatever the header says, its checksums are right where they can be. */
static void fix_checksums(void)
{
	uint64_t entries_lba;
	uint64_t bytes = (uint64_t)get32(512 + 80) * get32(512 + 84);
	uint32_t crc;

	memcpy(disk + 512, "EFI PART", 8);
	memcpy(&entries_lba, disk + 512 + 72, sizeof(entries_lba));
	if (entries_lba < DISK_BYTES / 512 && bytes <= DISK_BYTES - entries_lba * 512) {
		crc = crc32(disk + entries_lba * 512, bytes);
		memcpy(disk + 512 + 88, &crc, sizeof(crc));
	}
	if (get32(512 + 12) <= 512) {
		memset(disk + 512 + 16, 0, 4);
		crc = crc32(disk + 512, get32(512 + 12));
		memcpy(disk + 512 + 16, &crc, sizeof(crc));
	}
}

static void done(struct block_request *request, enum block_status status)
{
	*(enum block_status *)request->owner = status;
}

static void read_all(struct block_device *device)
{
	static uint8_t buffer[DISK_BYTES];
	enum block_status status = BLOCK_IO_ERROR;
	struct block_piece piece = { buffer, (uint32_t)(device->sectors_count * 512) };
	struct block_request request = { .operation = BLOCK_READ,
		                         .sectors_count = device->sectors_count,
		                         .pieces = &piece,
		                         .pieces_count = 1,
		                         .done = done,
		                         .owner = &status };

	CHECK(device->sectors_count >= 1 && device->sectors_count <= DISK_BYTES / 512);
	block_submit(device, &request);
	CHECK(status == BLOCK_OK);
	request.sector = 1;
	block_submit(device, &request);
	CHECK(status == BLOCK_OUT_OF_RANGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ram_disk ram;
	struct block_device *device;

	memset(disk, 0, sizeof(disk));
	memcpy(disk + 512, data, size < DISK_BYTES - 512 ? size : DISK_BYTES - 512);
	fix_checksums();
	ram_disk_init(&ram, disk, DISK_BYTES, true);
	memcpy(ram.device.name, "disk", 5);
	CHECK(block_add(&ram.device));
	gpt_poll();
	for (device = block_next(NULL); device != NULL; device = block_next(device)) {
		read_all(device);
	}
	block_remove(&ram.device);
	gpt_poll();
	CHECK(block_next(NULL) == NULL);
	return 0;
}
