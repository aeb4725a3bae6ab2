// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-blk of a machine that is a guest itself (virtio 1.2, 5.2): one queue, requests through the
 * slots of disk.h. The serial number is asked for before the disk is made known.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/disk.h"
#include "drivers/virtio.h"

#define DEVICE_TYPE    2u
#define F_SIZE_MAX     (1ull << 1)
#define F_RO           (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH        (1ull << 9)
#define F_TOPOLOGY     (1ull << 10)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

/* 5.2.4: offsets in the configuration */
#define CONFIG_CAPACITY    0u
#define CONFIG_SIZE_MAX    8u
#define CONFIG_BLK_SIZE    20u
#define CONFIG_OPT_IO      28u
#define CONFIG_MAX_DISCARD 36u
#define CONFIG_MAX_ZEROES  48u

/* 5.2.6: request types and status */
#define TYPE_READ          0u
#define TYPE_WRITE         1u
#define TYPE_FLUSH         4u
#define TYPE_GET_ID        8u
#define TYPE_DISCARD       11u
#define TYPE_WRITE_ZEROES  13u
#define STATUS_OK          0u
#define STATUS_UNSUPPORTED 2u
#define ID_BYTES           20u
#define QUEUE_ENTRIES      64u /* three for each slot */

/* What the device reads and writes beside the data, one for each slot. */
struct control {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
	struct {
		uint64_t sector;
		uint32_t sectors_count;
		uint32_t flags;
	} range;
	uint8_t status;
	uint8_t pad[31];
};
_Static_assert(sizeof(struct control) == 64, "slots lie 64 bytes apart");
#define RANGE_OFFSET  16u
#define STATUS_OFFSET 32u

struct virtio_blk {
	struct disk disk;
	struct virtio virtio;
	struct virtio_queue queue;
	volatile struct control *controls;
	uint64_t controls_physical;
	uint16_t slot_of[VIRTIO_QUEUE_MAX]; /* by the head that the queue gave */
	bool is_naming;                     /* slot 0 asks for the serial number */
};

static bool virtio_blk_matches(const struct pci_function *pci)
{
	return pci->vendor_id == VIRTIO_VENDOR &&
	       (pci->device_id == VIRTIO_DEVICE + DEVICE_TYPE || pci->device_id == 0x1001);
}

static void put(struct virtio_blk *blk, uint32_t idx, uint32_t type, struct virtio_piece data)
{
	uint64_t control = blk->controls_physical + idx * sizeof(struct control);
	struct virtio_piece pieces[3] = { { .physical = control, .bytes = RANGE_OFFSET }, data };
	uint32_t count = data.bytes != 0 ? 2 : 1;
	int head;

	blk->controls[idx].type = type;
	blk->controls[idx].status = 0xff;
	pieces[count++] = (struct virtio_piece){ .physical = control + STATUS_OFFSET,
		                                 .bytes = 1,
		                                 .is_written = true };
	head = virtio_queue_put(&blk->queue, pieces, count);
	if (head >= 0) { /* always: the queue has room for all slots */
		blk->slot_of[head] = (uint16_t)idx;
	}
}

static void issue(struct disk *disk, uint32_t idx)
{
	struct virtio_blk *blk = (struct virtio_blk *)disk;
	const struct disk_slot *slot = &disk->slots[idx];
	volatile struct control *control = &blk->controls[idx];
	struct virtio_piece data = { .physical = slot->physical,
		                     .bytes = slot->sectors_count * BLOCK_SECTOR_BYTES };

	control->sector = slot->sector;
	switch (slot->request->operation) {
	case BLOCK_READ:
		data.is_written = true;
		put(blk, idx, TYPE_READ, data);
		return;
	case BLOCK_WRITE:
		put(blk, idx, TYPE_WRITE, data);
		return;
	case BLOCK_FLUSH:
		control->sector = 0;
		data.bytes = 0;
		put(blk, idx, TYPE_FLUSH, data);
		return;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		control->sector = 0;
		control->range.sector = slot->sector;
		control->range.sectors_count = slot->sectors_count;
		control->range.flags = 0;
		data.physical = blk->controls_physical + idx * sizeof(*control) + RANGE_OFFSET;
		data.bytes = sizeof(control->range);
		put(blk, idx,
		    slot->request->operation == BLOCK_DISCARD ? TYPE_DISCARD : TYPE_WRITE_ZEROES,
		    data);
		return;
	}
}

static void kick(struct disk *disk)
{
	virtio_queue_kick(&((struct virtio_blk *)disk)->queue);
}

/* The configuration as a block device. */
static void describe(struct virtio_blk *blk)
{
	struct virtio *virtio = &blk->virtio;
	struct block_device *block = &blk->disk.block;
	uint32_t zeroes = virtio_config_read32(virtio, CONFIG_MAX_ZEROES);
	uint32_t discard = virtio_config_read32(virtio, CONFIG_MAX_DISCARD);
	uint32_t size_max = virtio_config_read32(virtio, CONFIG_SIZE_MAX);
	uint32_t most = DISK_BUFFER_BYTES;

	block->sectors_count = virtio_config_read32(virtio, CONFIG_CAPACITY) |
	                       (uint64_t)virtio_config_read32(virtio, CONFIG_CAPACITY + 4) << 32;
	block->sector_bytes = BLOCK_SECTOR_BYTES;
	if ((virtio->features & F_BLK_SIZE) != 0 &&
	    virtio_config_read32(virtio, CONFIG_BLK_SIZE) == 4096) {
		block->sector_bytes = 4096;
	}
	block->optimal_bytes = (virtio->features & F_TOPOLOGY) != 0
	                               ? virtio_config_read32(virtio, CONFIG_OPT_IO) *
	                                         block->sector_bytes
	                               : 0;
	block->flags =
		((virtio->features & F_RO) != 0 ? BLOCK_IS_READ_ONLY : 0) |
		((virtio->features & F_FLUSH) != 0 ? BLOCK_CAN_FLUSH : 0) |
		((virtio->features & F_DISCARD) != 0 && discard != 0 ? BLOCK_CAN_DISCARD : 0) |
		((virtio->features & F_WRITE_ZEROES) != 0 && zeroes != 0 ? BLOCK_CAN_WRITE_ZEROES
	                                                                 : 0);
	if ((virtio->features & F_SIZE_MAX) != 0 && size_max >= 4096 && size_max < most) {
		most = size_max & ~4095u;
	}
	blk->disk.piece_sectors[BLOCK_READ] = most / BLOCK_SECTOR_BYTES;
	blk->disk.piece_sectors[BLOCK_WRITE] = most / BLOCK_SECTOR_BYTES;
	/* pieces of whole 4 KiB, whatever the device's sectors are */
	blk->disk.piece_sectors[BLOCK_DISCARD] = discard >= 8 ? discard & ~7u : 8;
	blk->disk.piece_sectors[BLOCK_WRITE_ZEROES] = zeroes >= 8 ? zeroes & ~7u : 8;
}

static bool begin(struct virtio_blk *blk)
{
	if (!virtio_begin(&blk->virtio, F_SIZE_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY |
	                                        F_DISCARD | F_WRITE_ZEROES) ||
	    !virtio_queue_begin(&blk->virtio, &blk->queue, 0, QUEUE_ENTRIES)) {
		return false;
	}
	if (blk->queue.size < 3 * blk->disk.slots_count) {
		blk->disk.slots_count = blk->queue.size / 3;
	}
	virtio_end_setup(&blk->virtio);
	return true;
}

/* The serial number is there, or the device has none. */
static void named(struct virtio_blk *blk)
{
	struct block_device *block = &blk->disk.block;

	blk->is_naming = false;
	if (blk->controls[0].status == STATUS_OK) {
		memcpy(block->serial, blk->disk.slots[0].buffer, ID_BYTES);
		block->serial[ID_BYTES] = '\0';
	}
	disk_ready(&blk->disk);
}

static void take_answers(struct virtio_blk *blk)
{
	uint32_t left = 4 * QUEUE_ENTRIES;
	uint32_t bytes;
	int head;

	while (left-- != 0 && (head = virtio_queue_take(&blk->queue, &bytes)) >= 0) {
		uint32_t idx = blk->slot_of[head];
		uint8_t status = blk->controls[idx].status;

		if (blk->is_naming) {
			named(blk);
			continue;
		}
		disk_complete(&blk->disk, idx,
		              status == STATUS_OK            ? BLOCK_OK
		              : status == STATUS_UNSUPPORTED ? BLOCK_UNSUPPORTED
		                                             : BLOCK_IO_ERROR,
		              true);
	}
}

static void reset(struct virtio_blk *blk, const char *why)
{
	if (!disk_begin_reset(&blk->disk, why)) {
		return;
	}
	blk->is_naming = false;
	if (begin(blk)) {
		disk_ready(&blk->disk);
	} else {
		disk_end(&blk->disk);
	}
}

static void virtio_blk_service(struct device *device)
{
	struct virtio_blk *blk = device->own;
	bool is_changed = (virtio_read_isr(&blk->virtio) & 2) != 0;

	take_answers(blk);
	if (is_changed && device->state == DEVICE_RUNNING) {
		describe(blk);
	}
	if (virtio_needs_reset(&blk->virtio)) {
		reset(blk, "the device asks for a reset");
	} else if (disk_is_late(&blk->disk) ||
	           (blk->is_naming && driver_now_tsc() >= device->deadline_tsc &&
	            device->has_interrupt)) {
		reset(blk, "the device does not answer");
	} else if (!blk->is_naming) {
		disk_pump(&blk->disk);
		device->deadline_tsc = disk_deadline_tsc(&blk->disk);
	}
}

static void ask_name(struct virtio_blk *blk)
{
	const struct virtio_piece data = { .physical = blk->disk.slots[0].physical,
		                           .bytes = ID_BYTES,
		                           .is_written = true };

	blk->is_naming = true;
	blk->controls[0].sector = 0;
	put(blk, 0, TYPE_GET_ID, data);
	virtio_queue_kick(&blk->queue);
	blk->disk.device->deadline_tsc =
		driver_now_tsc() + driver_ms_to_tsc(blk->disk.device->has_interrupt ? 5000 : 2);
}

static void virtio_blk_start(struct device *device)
{
	struct virtio_blk *blk = driver_allocate(sizeof(*blk));

	if (blk == NULL || !disk_init(&blk->disk, device, DISK_SLOTS_MAX)) {
		driver_fail(device, "no memory");
		return;
	}
	device->own = blk;
	blk->controls = driver_dma(device, DISK_SLOTS_MAX * sizeof(struct control),
	                           &blk->controls_physical);
	if (blk->controls == NULL) {
		driver_fail(device, "no memory");
		return;
	}
	blk->disk.issue = issue;
	blk->disk.kick = kick;
	if (!virtio_find(&blk->virtio, device) ||
	    !virtio_queue_allocate(&blk->virtio, &blk->queue) || !begin(blk)) {
		return;
	}
	describe(blk);
	snprintf(blk->disk.block.name, sizeof(blk->disk.block.name), "%s", device->name);
	snprintf(blk->disk.block.about, sizeof(blk->disk.block.about), "virtio disk");
	snprintf(device->about, sizeof(device->about), "virtio disk, %llu MiB",
	         (unsigned long long)(blk->disk.block.sectors_count >> 11));
	ask_name(blk);
}

const struct driver driver_virtio_blk = {
	.name = "virtio-blk",
	.dma_bytes = DISK_DMA_BYTES + VIRTIO_QUEUE_DMA + 4096,
	.matches = virtio_blk_matches,
	.start = virtio_blk_start,
	.service = virtio_blk_service,
};
