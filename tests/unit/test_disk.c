// SPDX-License-Identifier: Apache-2.0
/*
 * What drivers of disks share, over a device that the test plays: pieces, errors and who tries again, devices that do not
 * answer. No request may ever stay without an end.
 */
// sources: drivers/disk.c mgmt/block/block.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/disk.h"

#define SECTORS    2048u
#define BYTES      (SECTORS * 512u)
#define MS_TICKS   1000u
#define LATE_TICKS (20001u * MS_TICKS)
#define WAITERS    (DISK_SLOTS_MAX + 5)

static uint8_t medium[BYTES];
static uint8_t data[BYTES];
static struct device device;
static struct disk disk;
static uint32_t issued[64]; /* slots that the device holds */
static uint32_t issued_count;
static uint32_t issues_count;
static uint32_t says_count;
static uint64_t now;
static uint32_t ends_count;
static enum block_status last_status;

/* ---- what mgmt gives drivers ---- */

void driver_fail(struct device *failed, const char *format, ...)
{
	(void)format;
	failed->state = DEVICE_FAILED;
}

void driver_say(const struct device *about, const char *format, ...)
{
	(void)about;
	(void)format;
	says_count++;
}

void *driver_dma(struct device *owner, uint64_t bytes, uint64_t *physical)
{
	void *at = owner->dma + owner->dma_used;

	*physical = owner->dma_used;
	owner->dma_used += bytes;
	return owner->dma_used <= owner->dma_bytes ? at : NULL;
}

uint64_t driver_now_tsc(void)
{
	return now;
}

uint64_t driver_ms_to_tsc(uint64_t ms)
{
	return ms * MS_TICKS;
}

/* ---- the device ---- */

static void issue(struct disk *of, uint32_t idx)
{
	assert_ptr_equal(of, &disk);
	assert_true(of->slots[idx].sectors_count <= DISK_BUFFER_BYTES / 512);
	assert_true(issued_count < 64);
	issued[issued_count++] = idx;
	issues_count++;
}

static void kick(struct disk *of)
{
	(void)of;
}

static void answer(enum block_status status, bool may_retry)
{
	uint32_t idx = issued[0];
	struct disk_slot *slot = &disk.slots[idx];
	uint64_t bytes = slot->sectors_count * 512ull;

	assert_true(issued_count > 0);
	memmove(issued, issued + 1, --issued_count * sizeof(issued[0]));
	if (status == BLOCK_OK && slot->request->operation == BLOCK_READ) {
		memcpy(slot->buffer, medium + slot->sector * 512, bytes);
	} else if (status == BLOCK_OK && slot->request->operation == BLOCK_WRITE) {
		memcpy(medium + slot->sector * 512, slot->buffer, bytes);
	}
	disk_complete(&disk, idx, status, may_retry);
	disk_pump(&disk);
}

static void answer_all(void)
{
	while (issued_count > 0) {
		answer(BLOCK_OK, true);
	}
}

static int set_up(void **state)
{
	static uint8_t dma[DISK_DMA_BYTES];
	uint32_t i;

	(void)state;
	memset(&device, 0, sizeof(device));
	memset(&disk, 0, sizeof(disk));
	device.dma = dma;
	device.dma_bytes = sizeof(dma);
	device.has_interrupt = true;
	issued_count = issues_count = says_count = ends_count = 0;
	now = 1;
	for (i = 0; i < BYTES; i++) {
		medium[i] = (uint8_t)(i * 7 + i / 512);
	}
	assert_true(disk_init(&disk, &device, DISK_SLOTS_MAX));
	disk.issue = issue;
	disk.kick = kick;
	disk.block.sectors_count = SECTORS;
	disk.block.sector_bytes = 512;
	disk.block.flags = BLOCK_CAN_FLUSH | BLOCK_CAN_DISCARD;
	strcpy(disk.block.name, "fake0");
	disk_ready(&disk);
	assert_non_null(block_find("fake0"));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	disk_end(&disk);
	assert_null(block_find("fake0"));
	return 0;
}

/* ---- requests ---- */

static void done(struct block_request *request, enum block_status status)
{
	(void)request;
	last_status = status;
	ends_count++;
}

/* All of the medium from `sector` on, in pieces of odd sizes. */
static struct block_piece pieces[3];

static struct block_request make(enum block_operation operation, uint64_t sector, uint32_t count)
{
	struct block_request request = { .operation = operation,
		                         .sector = sector,
		                         .sectors_count = count,
		                         .pieces = pieces,
		                         .pieces_count = 3,
		                         .done = done };

	pieces[0] = (struct block_piece){ data, 101 };
	pieces[1] = (struct block_piece){ data + 101, 7 };
	pieces[2] = (struct block_piece){ data + 108, count * 512 - 108 };
	return request;
}

/* More than the device takes at once: in parts, and every byte where it belongs. */
static void test_large_requests_are_cut(void **state)
{
	struct block_request request = make(BLOCK_READ, 3, SECTORS - 3);
	uint32_t i;

	(void)state;
	block_submit(&disk.block, &request);
	answer_all();
	assert_int_equal(ends_count, 1);
	assert_int_equal(last_status, BLOCK_OK);
	assert_int_equal(issues_count, (SECTORS - 3 + 255) / 256);
	assert_memory_equal(data, medium + 3 * 512, BYTES - 3 * 512);
	for (i = 0; i < BYTES; i++) {
		data[i] = (uint8_t)(i * 13);
	}
	request = make(BLOCK_WRITE, 1, 700);
	block_submit(&disk.block, &request);
	answer_all();
	assert_int_equal(ends_count, 2);
	assert_memory_equal(data, medium + 512, 700 * 512);
	assert_int_equal(disk.block.reads_count, 1);
}

/* An error that goes away is not seen; one that stays is told and counted; both cost nobody else. */
static void test_errors(void **state)
{
	struct block_request request = make(BLOCK_READ, 0, 600);
	struct block_request other = make(BLOCK_FLUSH, 0, 0);

	(void)state;
	block_submit(&disk.block, &request);
	answer(BLOCK_OK, true);
	answer(BLOCK_IO_ERROR, true);
	answer_all();
	assert_int_equal(ends_count, 1);
	assert_int_equal(last_status, BLOCK_OK);
	assert_memory_equal(data, medium, 600 * 512);
	assert_int_equal(disk.block.errors_count, 0);

	block_submit(&disk.block, &request);
	answer(BLOCK_OK, true);
	issues_count = 0;
	while (ends_count == 1) {
		answer(BLOCK_IO_ERROR, true);
	}
	assert_int_equal(last_status, BLOCK_IO_ERROR);
	assert_int_equal(issues_count, DISK_TRIES_MAX - 1);
	assert_int_equal(disk.block.errors_count, 1);
	assert_int_equal(says_count, 1);

	/* The device knows that another try is in vain. */
	block_submit(&disk.block, &request);
	answer(BLOCK_IO_ERROR, false);
	assert_int_equal(ends_count, 3);
	assert_int_equal(last_status, BLOCK_IO_ERROR);
	block_submit(&disk.block, &request);
	answer(BLOCK_UNSUPPORTED, true);
	assert_int_equal(ends_count, 4);
	assert_int_equal(last_status, BLOCK_UNSUPPORTED);
	other.sectors_count = 0;
	block_submit(&disk.block, &other);
	answer_all();
	assert_int_equal(ends_count, 5);
	assert_int_equal(last_status, BLOCK_OK);
}

/* A disk that fails for ever must not fill the log. */
static void test_errors_are_told_rarely(void **state)
{
	struct block_request request = make(BLOCK_READ, 0, 1);
	uint32_t i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		block_submit(&disk.block, &request);
		answer(BLOCK_IO_ERROR, false);
	}
	assert_int_equal(ends_count, 5000);
	assert_int_equal(disk.block.errors_count, 5000);
	assert_true(says_count > 3 && says_count < 40);
}

/* Answers for what was never asked, or twice. */
static void test_answers_out_of_the_blue(void **state)
{
	struct block_request request = make(BLOCK_READ, 0, 1);

	(void)state;
	disk_complete(&disk, 3, BLOCK_OK, true);
	disk_complete(&disk, DISK_SLOTS_MAX, BLOCK_OK, true);
	disk_complete(&disk, 0xffff, BLOCK_IO_ERROR, true);
	block_submit(&disk.block, &request);
	answer(BLOCK_OK, true);
	disk_complete(&disk, 0, BLOCK_OK, true);
	assert_int_equal(ends_count, 1);
}

/* One reset helps: all that was out is sent again, and nothing of it is lost. */
static void test_a_reset_helps(void **state)
{
	struct block_request requests[WAITERS];
	uint32_t i;

	(void)state;
	for (i = 0; i < WAITERS; i++) {
		requests[i] = make(BLOCK_READ, i, 2);
		block_submit(&disk.block, &requests[i]);
	}
	assert_int_equal(issued_count, DISK_SLOTS_MAX);
	assert_false(disk_is_late(&disk));
	now += LATE_TICKS;
	assert_true(disk_is_late(&disk));
	assert_true(disk_begin_reset(&disk, "test"));
	issued_count = 0;
	block_submit(&disk.block, &requests[0]); /* meanwhile: the caller may, and waits */
	ends_count = 0;
	assert_int_equal(issued_count, 0);
	disk_ready(&disk);
	assert_int_equal(issued_count, DISK_SLOTS_MAX);
	assert_false(disk_is_late(&disk));
	answer_all();
	assert_int_equal(ends_count, WAITERS + 1);
	assert_int_equal(last_status, BLOCK_OK);
}

static struct block_request again;

static void done_and_again(struct block_request *request, enum block_status status)
{
	(void)request;
	last_status = status;
	ends_count++;
	if (ends_count == 3) {
		again = make(BLOCK_FLUSH, 0, 0);
		again.sectors_count = 0;
		block_submit(&disk.block, &again);
	}
}

/* It never answers: after some resets everything ends, also what is asked from inside an end. */
static void test_a_dead_device(void **state)
{
	struct block_request requests[WAITERS];
	uint32_t resets = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < WAITERS; i++) {
		requests[i] = make(BLOCK_WRITE, i, 2);
		requests[i].done = done_and_again;
		block_submit(&disk.block, &requests[i]);
	}
	while (device.state != DEVICE_FAILED) {
		assert_true(resets++ < 10);
		now += LATE_TICKS;
		assert_true(disk_is_late(&disk));
		if (disk_begin_reset(&disk, "test")) {
			issued_count = 0;
			disk_ready(&disk);
		}
	}
	assert_int_equal(resets, DISK_RESETS_MAX + 1);
	assert_int_equal(ends_count, WAITERS + 1);
	assert_int_equal(last_status, BLOCK_GONE);
	block_submit(&disk.block, &requests[0]);
	assert_int_equal(ends_count, WAITERS + 2);
	assert_int_equal(last_status, BLOCK_GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_large_requests_are_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors_are_told_rarely, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_answers_out_of_the_blue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_reset_helps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_dead_device, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
