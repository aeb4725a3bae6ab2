/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of virtio over PCI (virtio 1.2, 2 and 4.1): a machine that is itself a guest has
 * such devices. Split rings only. The device is not believed: an id or length beyond its ring is
 * dropped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "drivers/driver.h"

#define VIRTIO_VENDOR      0x1af4u
#define VIRTIO_DEVICE      0x1040u /* + device type, of modern devices */

#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_QUEUE_MAX   128u
#define VIRTIO_QUEUE_DMA   8192u /* of one queue: descriptors and rings on two pages */

struct virtio {
	struct device *device;
	volatile uint8_t *bars[PCI_BARS];
	volatile uint8_t *common;
	volatile uint8_t *notify;
	volatile uint8_t *isr;
	volatile uint8_t *config; /* of the device type */
	uint32_t config_bytes;
	uint32_t notify_bytes;
	uint32_t notify_multiplier;
	uint64_t features; /* as negotiated */
};

struct virtio_queue {
	uint16_t idx;
	uint16_t size;
	uint16_t avail_idx;
	uint16_t told_idx; /* avail_idx when the device was told */
	uint16_t used_idx;
	uint16_t free_head;
	uint16_t free_count;
	volatile struct virtio_descriptor *descriptors;
	volatile uint16_t *avail;
	volatile uint16_t *used;
	volatile uint16_t *doorbell;
	uint8_t *memory;
	uint64_t physical;
};

struct virtio_piece {
	uint64_t physical;
	uint32_t bytes;
	bool is_written; /* by the device */
};

/* Finds the register blocks. Once, from start(). False with driver_fail(). */
bool virtio_find(struct virtio *virtio, struct device *device);

/* Resets the device and negotiates what it has of `wanted`. False with driver_fail(). */
bool virtio_begin(struct virtio *virtio, uint64_t wanted);

/* Memory for a queue; once. */
bool virtio_queue_allocate(struct virtio *virtio, struct virtio_queue *queue);

/* Makes queue idx, empty, of at most `most` entries. False with driver_fail(). */
bool virtio_queue_begin(struct virtio *virtio, struct virtio_queue *queue, uint16_t idx,
                        uint16_t most);

void virtio_end_setup(struct virtio *virtio);
bool virtio_needs_reset(const struct virtio *virtio);

/* Reads the interrupt status, which drops the interrupt: bit 0 queues, bit 1 configuration. */
uint8_t virtio_read_isr(struct virtio *virtio);

/* The pieces in order, those that the device writes last. The index of the first descriptor, or -1 if there
 * is no room. */
int virtio_queue_put(struct virtio_queue *queue, const struct virtio_piece *pieces, uint32_t count);

/* What the device is done with: index as above and bytes written, or -1. */
int virtio_queue_take(struct virtio_queue *queue, uint32_t *bytes);

void virtio_queue_kick(struct virtio_queue *queue);

static inline uint32_t virtio_config_read32(const struct virtio *virtio, uint32_t offset)
{
	return offset + 4 <= virtio->config_bytes ? mmio_read32(virtio->config, offset) : 0;
}
