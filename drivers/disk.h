/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What drivers of disks share: requests of block.h in slots with a buffer that the device reaches,
 * cut into pieces that the device takes, with a time limit each.
 *
 * The driver issues what a slot says and calls disk_complete() when the device is done with it. It
 * may reset the device at any time and have all slots issued again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "drivers/driver.h"
#include "mgmt/block/block.h"

#define DISK_SLOTS_MAX    16u
#define DISK_BUFFER_BYTES (128u * 1024)
#define DISK_DMA_BYTES    (DISK_SLOTS_MAX * DISK_BUFFER_BYTES)
#define DISK_TRIES_MAX    3u /* of a piece that ends with an input or output error */
#define DISK_RESETS_MAX   3u /* in a row, without a request that ended */

struct disk_slot {
	struct block_request *request; /* NULL: free */
	uint8_t *buffer;               /* DISK_BUFFER_BYTES */
	uint64_t physical;
	uint64_t sector; /* of the piece that is under way */
	uint32_t sectors_count;
	uint64_t done_sectors; /* of the request, before this piece */
	uint32_t errors_count; /* of this piece */
	uint64_t sent_tsc;
};

struct disk {
	struct block_device block;
	struct device *device;
	struct disk_slot slots[DISK_SLOTS_MAX];
	uint32_t slots_count;
	struct block_request *first, *last; /* those without a slot */
	bool is_known;                      /* block_add() was called */
	bool is_stopped;                    /* the device is being reset: nothing is issued */
	bool is_pumping;
	bool is_ended; /* for good */
	uint32_t resets_in_row;
	uint32_t piece_sectors[BLOCK_WRITE_ZEROES + 1]; /* most of one piece, by operation */
	/* the driver's: hands slot idx to the device; kick() tells it of all that were issued */
	void (*issue)(struct disk *disk, uint32_t idx);
	void (*kick)(struct disk *disk);
};

/* Takes the buffers. False if there is no memory. */
bool disk_init(struct disk *disk, struct device *device, uint32_t slots_count);

/* The device is ready, disk->block filled: makes it known, or goes on after a reset. */
void disk_ready(struct disk *disk);

/* The device is done with what slot idx holds; an idx that it made up does no harm. An input or output error is tried again, unless the
 * device says that this is in vain. */
void disk_complete(struct disk *disk, uint32_t idx, enum block_status status, bool may_retry);

/* Sends what waits, if the device can take it. */
void disk_pump(struct disk *disk);

/* True if a slot has waited longer than a device may take. */
bool disk_is_late(const struct disk *disk);

/* When disk_is_late() has to be asked again. */
uint64_t disk_deadline_tsc(const struct disk *disk);

/* The device is about to be reset. False if that was done too often: the disk has then failed. */
bool disk_begin_reset(struct disk *disk, const char *why);

/* Ends all requests and the block device. */
void disk_end(struct disk *disk);
