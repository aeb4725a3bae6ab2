// SPDX-License-Identifier: Apache-2.0
/* virtio-rng (virtio 1.2 5.4): fills each buffer, up to RNG_BYTES_MAX of it. */
#include "mgmt/virtio/rng.h"

#include "mgmt/random.h"

#define RNG_QUEUE_SIZE 16u
#define RNG_BYTES_MAX  256u
#define RNG_TURN       8u

static struct virtqueue_chain chain;

static bool work(struct virtio_device *device)
{
	struct virtqueue *queue = &device->queues[0];
	uint8_t bytes[RNG_BYTES_MAX];
	uint32_t left = RNG_TURN;

	if (queue->size == 0) {
		return false;
	}
	virtqueue_kicks_off(queue);
	for (; left > 0 && virtqueue_take(queue, &chain); left--) {
		uint32_t count = chain.in_bytes < sizeof(bytes) ? chain.in_bytes
		                                                : (uint32_t)sizeof(bytes);

		if (chain.out_count != 0) {
			virtio_device_break(device, "a buffer for random bytes is not writable");
			return false;
		}
		random_bytes(bytes, count);
		virtqueue_write(&chain, 0, bytes, count);
		virtqueue_give(queue, &chain, count);
		device->page->counters.chains++;
	}
	if (virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, 0);
	return left == 0 || virtqueue_kicks_on(queue);
}

static void nothing(struct virtio_device *device)
{
	(void)device;
}

static const struct virtio_operations operations = {
	.name = "rng",
	.start = nothing,
	.work = work,
	.stop = nothing,
	.is_idle = NULL,
	.destroy = nothing,
};

struct virtio_device *rng_add(uint32_t slot, uint32_t idx)
{
	struct virtio_offer offer = {
		.type = VIRTIO_TYPE_RNG,
		.queues_count = 1,
		.queue_size_max = RNG_QUEUE_SIZE,
		.config = "",
	};

	return virtio_device_add(slot, idx, &operations, NULL, &offer);
}
