/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk (virtio 1.2 5.2): a guest's disk on a block device. */
#pragma once

#include "mgmt/block/block.h"
#include "mgmt/virtio/backend.h"

struct blk_params {
	struct block_device *disk; /* users_count is the caller's matter */
	bool is_read_only;         /* whatever the device can do */
	uint32_t queues_count;     /* 1 .. VIO_QUEUES_MAX */
	char serial[20];           /* NUL-padded, not terminated when full (5.2.6) */
	/* Called when the device is gone for good. */
	void (*gone)(void *owner);
	void *owner;
};

/* Offers the disk as device `idx` of the guest; NULL if there is no memory. */
struct virtio_device *blk_add(uint32_t slot, uint32_t idx, const struct blk_params *params);
