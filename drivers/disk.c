// SPDX-License-Identifier: Apache-2.0
/*
 * Slots, pieces, time limits and resets of disks (see disk.h).
 */
#include "drivers/disk.h"

#include <string.h>

#define LIMIT_MS    20000u /* a disk that spins up takes ten seconds */
#define POLL_MS     1000u
#define QUICK_MS    2u /* without an interrupt */
#define ERRORS_TOLD 16u
#define UNLIMITED   0x7fffffffu

static void submit(struct block_device *block, struct block_request *request);

bool disk_init(struct disk *disk, struct device *device, uint32_t slots_count)
{
	uint32_t i;

	disk->device = device;
	disk->slots_count = slots_count;
	disk->block.submit = submit;
	disk->block.driver = disk;
	for (i = 0; i < slots_count; i++) {
		struct disk_slot *slot = &disk->slots[i];

		slot->buffer = driver_dma(device, DISK_BUFFER_BYTES, &slot->physical);
		if (slot->buffer == NULL) {
			return false;
		}
	}
	for (i = 0; i <= BLOCK_WRITE_ZEROES; i++) {
		disk->piece_sectors[i] = i == BLOCK_READ || i == BLOCK_WRITE
		                                 ? DISK_BUFFER_BYTES / BLOCK_SECTOR_BYTES
		                                 : UNLIMITED;
	}
	return true;
}

/* Hands the request's next piece to the device. */
static void issue_piece(struct disk *disk, struct disk_slot *slot)
{
	struct block_request *request = slot->request;
	uint64_t left = request->sectors_count - slot->done_sectors;
	uint32_t most = disk->piece_sectors[request->operation];

	slot->sector = request->sector + slot->done_sectors;
	slot->sectors_count = left < most ? (uint32_t)left : most;
	if (request->operation == BLOCK_WRITE) {
		block_copy_from_pieces(request, slot->done_sectors * BLOCK_SECTOR_BYTES,
		                       slot->buffer,
		                       (uint64_t)slot->sectors_count * BLOCK_SECTOR_BYTES);
	}
	slot->sent_tsc = driver_now_tsc();
	disk->issue(disk, (uint32_t)(slot - disk->slots));
}

static struct disk_slot *free_slot(struct disk *disk)
{
	uint32_t i;

	for (i = 0; i < disk->slots_count; i++) {
		if (disk->slots[i].request == NULL) {
			return &disk->slots[i];
		}
	}
	return NULL;
}

void disk_pump(struct disk *disk)
{
	struct disk_slot *slot;
	bool is_any = false;

	if (disk->is_pumping || disk->is_stopped) {
		return;
	}
	disk->is_pumping = true;
	while (disk->first != NULL && (slot = free_slot(disk)) != NULL) {
		slot->request = disk->first;
		slot->done_sectors = 0;
		slot->errors_count = 0;
		disk->first = disk->first->next;
		issue_piece(disk, slot);
		is_any = true;
	}
	disk->is_pumping = false;
	if (is_any) {
		disk->kick(disk);
		disk->device->deadline_tsc = disk_deadline_tsc(disk);
	}
}

static void submit(struct block_device *block, struct block_request *request)
{
	struct disk *disk = block->driver;

	request->next = NULL;
	if (disk->device->state == DEVICE_FAILED || disk->is_ended) {
		request->done(request, BLOCK_GONE);
		return;
	}
	if (disk->first == NULL) {
		disk->first = request;
	} else {
		disk->last->next = request;
	}
	disk->last = request;
	disk_pump(disk);
}

/* The first errors, then fewer and fewer: a disk that dies must not drown what others have to tell. */
static void say_error(struct disk *disk, const struct disk_slot *slot)
{
	static const char *const names[] = { "a read", "a write", "a flush", "a discard",
		                             "a clearing" };
	uint64_t errors = ++disk->block.errors_count;

	if (errors <= ERRORS_TOLD || (errors & (errors - 1)) == 0) {
		driver_say(disk->device, "%s of %u sectors at %llu fails (error %llu)",
		           names[slot->request->operation], slot->sectors_count,
		           (unsigned long long)slot->sector, (unsigned long long)errors);
	}
}

static void send_again(struct disk *disk, struct disk_slot *slot)
{
	issue_piece(disk, slot);
	disk->kick(disk);
}

void disk_complete(struct disk *disk, uint32_t idx, enum block_status status, bool may_retry)
{
	struct disk_slot *slot = idx < disk->slots_count ? &disk->slots[idx] : NULL;
	struct block_request *request = slot != NULL ? slot->request : NULL;

	if (request == NULL) {
		return;
	}
	disk->resets_in_row = 0;
	if (status == BLOCK_IO_ERROR) {
		if (may_retry && ++slot->errors_count < DISK_TRIES_MAX) {
			send_again(disk, slot);
			return;
		}
		say_error(disk, slot);
	}
	if (status == BLOCK_OK) {
		if (request->operation == BLOCK_READ) {
			block_copy_to_pieces(request, slot->done_sectors * BLOCK_SECTOR_BYTES,
			                     slot->buffer,
			                     (uint64_t)slot->sectors_count * BLOCK_SECTOR_BYTES);
		}
		slot->errors_count = 0;
		slot->done_sectors += slot->sectors_count;
		if (slot->done_sectors < request->sectors_count) {
			send_again(disk, slot);
			return;
		}
	}
	slot->request = NULL;
	request->done(request, status);
}

bool disk_is_late(const struct disk *disk)
{
	uint64_t now = driver_now_tsc();
	uint32_t i;

	for (i = 0; i < disk->slots_count; i++) {
		if (disk->slots[i].request != NULL &&
		    now - disk->slots[i].sent_tsc > driver_ms_to_tsc(LIMIT_MS)) {
			return true;
		}
	}
	return false;
}

uint64_t disk_deadline_tsc(const struct disk *disk)
{
	uint32_t i;

	for (i = 0; i < disk->slots_count; i++) {
		if (disk->slots[i].request != NULL) {
			return driver_now_tsc() +
			       driver_ms_to_tsc(disk->device->has_interrupt ? POLL_MS : QUICK_MS);
		}
	}
	return UINT64_MAX;
}

bool disk_begin_reset(struct disk *disk, const char *why)
{
	disk->is_stopped = true;
	disk->device->resets_count++;
	if (++disk->resets_in_row > DISK_RESETS_MAX) {
		driver_fail(disk->device, "%s, also after %u resets", why, DISK_RESETS_MAX);
		disk_end(disk);
		return false;
	}
	driver_say(disk->device, "%s: it is reset, and what it had is sent again", why);
	return true;
}

void disk_ready(struct disk *disk)
{
	bool is_any = false;
	uint32_t i;

	disk->is_stopped = false;
	disk->device->state = DEVICE_RUNNING;
	for (i = 0; i < disk->slots_count; i++) {
		if (disk->slots[i].request != NULL) {
			issue_piece(disk, &disk->slots[i]);
			is_any = true;
		}
	}
	if (is_any) {
		disk->kick(disk);
	}
	disk->device->deadline_tsc = disk_deadline_tsc(disk);
	if (!disk->is_known) {
		disk->is_known = true;
		if (!block_add(&disk->block)) {
			driver_fail(disk->device, "a disk of this name is there already");
			return;
		}
	}
	disk_pump(disk);
}

void disk_end(struct disk *disk)
{
	struct block_request *request;
	uint32_t i;

	disk->is_stopped = true;
	disk->is_ended = true; /* what is submitted from inside an end, ends at once */
	for (i = 0; i < disk->slots_count; i++) {
		request = disk->slots[i].request;
		disk->slots[i].request = NULL;
		if (request != NULL) {
			request->done(request, BLOCK_GONE);
		}
	}
	while ((request = disk->first) != NULL) {
		disk->first = request->next;
		request->done(request, BLOCK_GONE);
	}
	if (disk->is_known) {
		disk->is_known = false;
		block_remove(&disk->block);
	}
}
