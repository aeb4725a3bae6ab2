// SPDX-License-Identifier: Apache-2.0
/*
 * Disk requests of any driver, over a disk of 32 KiB that answers at once or later, in any order. What must hold: nothing outside of the
 * disk and the driver's buffers is touched (sanitizers), every turn ends, every chain that was taken comes back once what
 * it asks for has ended, and a read-only disk stays as it is.
 */
// sources: mgmt/virtio/blk.c mgmt/block/block.c mgmt/block/ram.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "mgmt/block/ram.h"
#include "mgmt/virtio/blk.h"
#include "tests/fuzz/device_target.h"

#define DISK_BYTES   0x8000u
#define HELD_MAX     64u
#define IS_PACKED    0x01u
#define IS_LATE      0x02u
#define IS_READ_ONLY 0x04u
#define HAS_FLUSH    0x08u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ram_disk ram;
static void (*at_once)(struct block_device *device, struct block_request *request);
static struct block_request *held[HELD_MAX];
static uint32_t held_count;

static void later(struct block_device *device, struct block_request *request)
{
	(void)device;
	CHECK(held_count < HELD_MAX);
	held[held_count++] = request;
}

static void release(uint32_t choice)
{
	uint32_t i = choice % held_count;
	struct block_request *request = held[i];

	held[i] = held[--held_count];
	at_once(&ram.device, request);
}

static void between(uint8_t choice)
{
	if (held_count > 0 && choice % 4 != 0) {
		release(choice);
	}
	/* A device that has stopped gets its requests back before its driver may go on. */
	while (!fake_backend.device.is_running && held_count > 0) {
		release(0);
	}
	CHECK(fake_backend.device.is_running ||
	      fake_backend.device.operations->is_idle(&fake_backend.device));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct blk_params params = { .disk = &ram.device, .queues_count = 2, .serial = "fuzz" };
	uint8_t *medium = calloc(1, DISK_BYTES); /* so that the sanitizer sees its ends */

	CHECK(medium != NULL);
	if (size < 1) {
		free(medium);
		return 0;
	}
	ram_disk_init(&ram, medium, DISK_BYTES, false);
	ram.device.flags |= (data[0] & HAS_FLUSH) != 0 ? BLOCK_CAN_FLUSH : 0;
	at_once = ram.device.submit;
	ram.device.submit = (data[0] & IS_LATE) != 0 ? later : at_once;
	held_count = 0;
	params.is_read_only = (data[0] & IS_READ_ONLY) != 0;
	fake_backend_reset();
	CHECK(blk_add(0, 0, &params) != NULL);
	fake_backend_start((data[0] & IS_PACKED) != 0 ? VIRTIO_F_RING_PACKED : 0);
	device_steps(data + 1, size - 1, between);
	fake_backend_stop();
	while (held_count > 0) {
		release(0);
	}
	CHECK(fake_backend.device.operations->is_idle(&fake_backend.device));
	for (uint32_t i = 0; params.is_read_only && i < DISK_BYTES; i++) {
		CHECK(medium[i] == 0);
	}
	fake_backend.device.operations->destroy(&fake_backend.device);
	free(medium);
	return 0;
}
