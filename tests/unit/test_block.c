// SPDX-License-Identifier: Apache-2.0
/*
 * The block layer: checks of requests, overlays against a model of their own (over a base that answers at
 * once, and over one that answers later), their take-over, and GPT partitions.
 */
// sources: mgmt/block/*.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/block/block.h"
#include "mgmt/block/gpt.h"
#include "mgmt/block/overlay.h"
#include "mgmt/block/ram.h"

#define SECTORS 100u /* not a multiple of the overlay's blocks */
#define BYTES   (SECTORS * 512u)

static uint8_t base_bytes[BYTES];
static uint8_t model[BYTES];
static uint8_t buffer[BYTES];
static struct ram_disk base;
#define HELD_MAX 64u
static struct block_request *held[HELD_MAX]; /* by the base that answers later, in any order */
static uint32_t held_count;
static enum block_status held_status;
static enum block_status last_status;
static uint32_t ends_count;

static void done(struct block_request *request, enum block_status status)
{
	(void)request;
	last_status = status;
	ends_count++;
}

static void (*at_once)(struct block_device *device, struct block_request *request);

static void later(struct block_device *device, struct block_request *request)
{
	(void)device;
	assert_true(held_count < HELD_MAX);
	held[held_count++] = request;
}

static void release_one(uint32_t i)
{
	struct block_request *request = held[i];

	held[i] = held[--held_count];
	if (held_status == BLOCK_OK) {
		at_once(&base.device, request);
	} else {
		request->done(request, held_status);
	}
}

static void release(void)
{
	while (held_count > 0) {
		release_one((uint32_t)rand() % held_count);
	}
}

static void set_up(bool is_later)
{
	uint32_t i;

	for (i = 0; i < BYTES; i++) {
		base_bytes[i] = (uint8_t)(i * 31 + i / 512);
	}
	memcpy(model, base_bytes, BYTES);
	ram_disk_init(&base, base_bytes, BYTES, true);
	at_once = base.device.submit;
	held_count = 0;
	held_status = BLOCK_OK;
	if (is_later) {
		base.device.submit = later;
	}
}

/* A request in three pieces of odd sizes. */
static enum block_status run(struct block_device *device, enum block_operation operation,
                             uint64_t sector, uint64_t count)
{
	uint32_t bytes = (uint32_t)count * 512;
	struct block_piece pieces[] = { { buffer, bytes < 100 ? bytes : 100 },
		                        { buffer + 100, 301 },
		                        { buffer + 401, bytes - 401 } };
	struct block_request request = { .operation = operation,
		                         .sector = sector,
		                         .sectors_count = count,
		                         .pieces = pieces,
		                         .pieces_count = bytes != 0 ? 3 : 0,
		                         .done = done };
	uint32_t before = ends_count;

	block_submit(device, &request);
	release();
	assert_int_equal(ends_count, before + 1);
	return last_status;
}

static void exercise(struct block_device *device, uint32_t rounds)
{
	uint32_t round;
	uint32_t i;

	for (round = 0; round < rounds; round++) {
		uint32_t count = 1 + (uint32_t)rand() % 20;
		uint32_t sector = (uint32_t)rand() % (SECTORS - count + 1);
		uint32_t kind = (uint32_t)rand() % 8;

		if (kind < 4) {
			for (i = 0; i < count * 512; i++) {
				buffer[i] = (uint8_t)rand();
			}
			memcpy(model + sector * 512, buffer, count * 512);
			assert_int_equal(run(device, BLOCK_WRITE, sector, count), BLOCK_OK);
		} else if (kind == 4) {
			memset(model + sector * 512, 0, count * 512);
			assert_int_equal(run(device, BLOCK_WRITE_ZEROES, sector, count), BLOCK_OK);
		} else {
			memset(buffer, 0xee, sizeof(buffer));
			assert_int_equal(run(device, BLOCK_READ, sector, count), BLOCK_OK);
			assert_memory_equal(buffer, model + sector * 512, count * 512);
		}
	}
	assert_int_equal(run(device, BLOCK_FLUSH, 0, 0), BLOCK_OK);
}

static void test_overlay(void **state)
{
	int is_later;

	(void)state;
	srand(1);
	for (is_later = 0; is_later < 2; is_later++) {
		uint64_t bytes;
		uint8_t *memory;
		struct overlay *overlay;
		uint32_t times;

		set_up(is_later != 0);
		bytes = overlay_bytes_needed(&base.device, 0);
		memory = calloc(1, bytes);
		for (times = 0; times < 4; times++) {
			/* Opened again, as by a new mgmt: all is there. */
			overlay = overlay_open(&base.device, memory, bytes);
			assert_non_null(overlay);
			assert_int_equal(overlay_device(overlay)->sectors_count, SECTORS);
			exercise(overlay_device(overlay), 300);
			overlay_close(overlay);
		}
		free(memory);
	}
	/* The base is as it was. */
	set_up(false);
}

static void test_overlay_is_full(void **state)
{
	uint64_t bytes;
	uint8_t *memory;
	struct overlay *overlay;
	struct block_device *device;

	(void)state;
	set_up(false);
	bytes = overlay_bytes_needed(&base.device, 8192);
	memory = calloc(1, bytes);
	overlay = overlay_open(&base.device, memory, bytes);
	device = overlay_device(overlay);
	memset(buffer, 1, sizeof(buffer));
	assert_int_equal(run(device, BLOCK_WRITE, 0, 8), BLOCK_OK);
	assert_int_equal(run(device, BLOCK_WRITE, 16, 8), BLOCK_OK);
	assert_int_equal(run(device, BLOCK_WRITE, 32, 8), BLOCK_NO_SPACE);
	/* What is there can be written again, and the rest reads as the base. */
	assert_int_equal(run(device, BLOCK_WRITE, 1, 7), BLOCK_OK);
	assert_int_equal(run(device, BLOCK_READ, 32, 8), BLOCK_OK);
	assert_memory_equal(buffer, base_bytes + 32 * 512, 8 * 512);
	overlay_close(overlay);
	free(memory);
}

/* A request of the tests that need several at a time. */
struct many {
	struct block_request request;
	struct block_piece piece;
	uint8_t bytes[20 * 512];
	uint8_t wanted[20 * 512];
	bool is_out;
};

static void many_done(struct block_request *request, enum block_status status)
{
	struct many *many = request->owner;

	assert_int_equal(status, BLOCK_OK);
	assert_true(many->is_out);
	many->is_out = false;
	if (request->operation == BLOCK_READ) {
		assert_memory_equal(many->bytes, many->wanted, request->sectors_count * 512);
	}
}

static void many_submit(struct block_device *device, struct many *many,
                        enum block_operation operation, uint64_t sector, uint64_t count)
{
	many->piece = (struct block_piece){ many->bytes, (uint32_t)count * 512 };
	many->request = (struct block_request){ .operation = operation,
		                                .sector = sector,
		                                .sectors_count = count,
		                                .pieces = &many->piece,
		                                .pieces_count = 1,
		                                .done = many_done,
		                                .owner = many };
	many->is_out = true;
	if (operation == BLOCK_WRITE) {
		memcpy(model + sector * 512, many->bytes, count * 512);
	}
	memcpy(many->wanted, model + sector * 512, count * 512);
	block_submit(device, &many->request);
}

/* A base with a queue gets several reads; what meets in a block keeps its order. */
static void test_overlay_of_many(void **state)
{
	static struct many many[24];
	uint64_t bytes;
	uint8_t *memory;
	struct overlay *overlay;
	uint32_t round;
	uint32_t i;

	(void)state;
	set_up(true);
	srand(2);
	bytes = overlay_bytes_needed(&base.device, 0);
	memory = calloc(1, bytes);
	overlay = overlay_open(&base.device, memory, bytes);
	for (i = 0; i < 6; i++) {
		many_submit(overlay_device(overlay), &many[i], BLOCK_READ, i * 16, 4);
	}
	assert_int_equal(held_count, 6);
	release();
	for (round = 0; round < 20000; round++) {
		struct many *one = &many[(uint32_t)rand() % 24];
		uint32_t count = 1 + (uint32_t)rand() % 20;

		if (one->is_out) {
			if (held_count > 0) {
				release_one((uint32_t)rand() % held_count);
			}
			continue;
		}
		for (i = 0; i < count * 512; i++) {
			one->bytes[i] = (uint8_t)rand();
		}
		many_submit(overlay_device(overlay), one,
		            rand() % 2 == 0 ? BLOCK_READ : BLOCK_WRITE,
		            (uint32_t)rand() % (SECTORS - count + 1), count);
		if (round % 1000 == 0) { /* anew, so that the base is asked */
			release();
			memset(memory, 0, bytes);
			memcpy(model, base_bytes, BYTES);
			overlay_close(overlay);
			overlay = overlay_open(&base.device, memory, bytes);
		}
	}
	release();
	for (i = 0; i < 24; i++) {
		assert_false(many[i].is_out);
	}
	overlay_close(overlay);
	free(memory);
}

/* A base that fails costs the request, and no room. */
static void test_overlay_of_a_bad_base(void **state)
{
	uint64_t bytes;
	uint8_t *memory;
	struct overlay *overlay;
	uint32_t i;

	(void)state;
	set_up(true);
	bytes = overlay_bytes_needed(&base.device, 4096);
	memory = calloc(1, bytes);
	overlay = overlay_open(&base.device, memory, bytes);
	held_status = BLOCK_IO_ERROR;
	assert_int_equal(run(overlay_device(overlay), BLOCK_READ, 3, 9), BLOCK_IO_ERROR);
	for (i = 0; i < 3; i++) {
		assert_int_equal(run(overlay_device(overlay), BLOCK_WRITE, 3, 2), BLOCK_IO_ERROR);
	}
	held_status = BLOCK_OK;
	assert_int_equal(run(overlay_device(overlay), BLOCK_WRITE, 3, 2), BLOCK_OK);
	assert_int_equal(run(overlay_device(overlay), BLOCK_READ, 0, 8), BLOCK_OK);
	assert_memory_equal(buffer, base_bytes, 3 * 512);
	overlay_close(overlay);
	free(memory);
}

static void test_requests_are_checked(void **state)
{
	(void)state;
	set_up(false);
	assert_int_equal(run(&base.device, BLOCK_WRITE, 0, 1), BLOCK_READ_ONLY);
	assert_int_equal(run(&base.device, BLOCK_READ, SECTORS, 1), BLOCK_OUT_OF_RANGE);
	assert_int_equal(run(&base.device, BLOCK_READ, SECTORS - 1, 2), BLOCK_OUT_OF_RANGE);
	assert_int_equal(run(&base.device, BLOCK_READ, UINT64_MAX, 2), BLOCK_OUT_OF_RANGE);
	assert_int_equal(run(&base.device, BLOCK_READ, 1, SECTORS - 1), BLOCK_OK);
	assert_memory_equal(buffer, base_bytes + 512, BYTES - 512);
	base.device.flags = 0;
	assert_int_equal(run(&base.device, BLOCK_DISCARD, 0, 1), BLOCK_UNSUPPORTED);
	base.device.sector_bytes = 4096;
	assert_int_equal(run(&base.device, BLOCK_READ, 1, 8), BLOCK_OUT_OF_RANGE);
	assert_int_equal(run(&base.device, BLOCK_READ, 8, 7), BLOCK_OUT_OF_RANGE);
	assert_int_equal(run(&base.device, BLOCK_READ, 8, 8), BLOCK_OK);
	base.device.is_gone = 1;
	assert_int_equal(run(&base.device, BLOCK_READ, 8, 8), BLOCK_GONE);
}

static uint32_t crc32(const uint8_t *at, uint32_t bytes)
{
	uint32_t crc = 0xffffffffu;
	uint32_t i;
	int bit;

	for (i = 0; i < bytes; i++) {
		crc ^= at[i];
		for (bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
		}
	}
	return ~crc;
}

static void put(uint8_t *at, uint64_t value, uint32_t bytes)
{
	memcpy(at, &value, bytes);
}

static void put_entry(uint8_t *entry, uint64_t first, uint64_t last, const char *name)
{
	uint32_t i;

	memset(entry, 0x5a, 32);
	put(entry + 32, first, 8);
	put(entry + 40, last, 8);
	for (i = 0; name[i] != '\0'; i++) {
		entry[56 + 2 * i] = (uint8_t)name[i];
	}
}

/* Header at `lba`, table of 8 entries at `entries`. */
static void put_table(uint8_t *disk, uint64_t lba, uint64_t entries)
{
	uint8_t *table = disk + entries * 512;
	uint8_t *header = disk + lba * 512;

	put_entry(table, 20, 29, "root");
	put_entry(table + 128, 30, 30, "root");
	put_entry(table + 256, 31, 40, "my data/1");
	put_entry(table + 384, 90, 100, "beyond");
	put_entry(table + 512, 50, 49, "backwards");
	memset(header, 0, 512);
	memcpy(header, "EFI PART", 8);
	put(header + 8, 0x10000, 4);
	put(header + 12, 92, 4);
	put(header + 24, lba, 8);
	put(header + 72, entries, 8);
	put(header + 80, 8, 4);
	put(header + 84, 128, 4);
	put(header + 88, crc32(table, 1024), 4);
	put(header + 16, crc32(header, 92), 4);
}

static void test_partitions(void **state)
{
	static struct ram_disk disk;
	static uint8_t bytes[BYTES];
	int is_second;

	(void)state;
	for (is_second = 0; is_second < 2; is_second++) {
		memset(bytes, 0, sizeof(bytes));
		if (is_second) {
			memcpy(bytes + 512, "EFI PART", 8);
			put_table(bytes, SECTORS - 1, SECTORS - 3);
		} else {
			put_table(bytes, 1, 2);
		}
		memset(bytes + 20 * 512, 0x77, 512);
		ram_disk_init(&disk, bytes, BYTES, false);
		strcpy(disk.device.name, "nvme0");
		assert_true(block_add(&disk.device));
		gpt_poll();
		assert_non_null(block_find("nvme0:root"));
		assert_int_equal(block_find("nvme0:root")->sectors_count, 10);
		assert_int_equal(block_find("nvme0:p2")->sectors_count, 1);
		assert_int_equal(block_find("nvme0:my_data_1")->sectors_count, 10);
		assert_true(gpt_overlap(block_find("nvme0:root"), block_find("nvme0:root")));
		assert_false(gpt_overlap(block_find("nvme0:root"), block_find("nvme0:p2")));
		assert_false(gpt_overlap(block_find("nvme0:root"), &disk.device));
		assert_null(block_find("nvme0:beyond"));
		assert_null(block_find("nvme0:backwards"));
		assert_int_equal(run(block_find("nvme0:root"), BLOCK_READ, 0, 1), BLOCK_OK);
		assert_int_equal(buffer[511], 0x77);
		assert_int_equal(run(block_find("nvme0:root"), BLOCK_READ, 9, 2),
		                 BLOCK_OUT_OF_RANGE);
		block_remove(&disk.device);
		gpt_poll();
		assert_null(block_next(NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlay),
		cmocka_unit_test(test_overlay_is_full),
		cmocka_unit_test(test_overlay_of_many),
		cmocka_unit_test(test_overlay_of_a_bad_base),
		cmocka_unit_test(test_requests_are_checked),
		cmocka_unit_test(test_partitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
