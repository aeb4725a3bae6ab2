// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_backend.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/machine.h"

#define RING_GPA     0x100000ull
#define RING_BYTES   0x10000ull
#define SECOND_BYTES 0x80000ull
#define TURNS_MAX    1000u

struct fake_backend_state fake_backends[2];
uint32_t fake_backend_chosen;
static struct vio_device pages[2];

void fake_backend_reset(void)
{
	memset(fake_backends, 0, sizeof(fake_backends));
	memset(pages, 0, sizeof(pages));
	fake_backend_chosen = 0;
	fake_backends[0].memory = fake_backends[1].memory = fake_guest_memory();
}

void fake_backend_start(uint64_t features)
{
	struct virtio_device *device = &fake_backend.device;

	device->features = features;
	device->generation++;
	device->is_broken = false;
	fake_backend.broken = NULL;
	for (uint32_t i = 0; i < device->queues_count; i++) {
		fake_backend.drivers[i].memory = fake_backend.memory;
		fake_backend.progress[i] = (struct vio_progress){ 0 };
		fake_driver_init(&fake_backend.drivers[i],
		                 RING_GPA + fake_backend_chosen * SECOND_BYTES + i * RING_BYTES,
		                 FAKE_QUEUE_SIZE, features);
		if (!virtqueue_init(&device->queues[i], &fake_backend.memory,
		                    &fake_backend.drivers[i].setup, features,
		                    &fake_backend.progress[i])) {
			abort();
		}
	}
	device->is_running = true;
	device->operations->start(device);
}

void fake_backend_work(void)
{
	struct virtio_device *device = &fake_backend.device;
	uint32_t left = TURNS_MAX;

	while (device->is_running && device->operations->work(device)) {
		if (left-- == 0) {
			abort();
		}
	}
}

struct vio_device *fake_backend_page(void)
{
	return &pages[fake_backend_chosen];
}

void fake_backend_stop(void)
{
	fake_backend.device.is_running = false;
	fake_backend.device.operations->stop(&fake_backend.device);
}

/* ---- what the device calls ---- */

uint64_t machine_now_tsc(void)
{
	static uint64_t now;

	return ++now;
}

static struct fake_backend_state *backend_of(const struct virtio_device *device)
{
	return device == &fake_backends[1].device ? &fake_backends[1] : &fake_backends[0];
}

struct virtio_device *virtio_device_add(uint32_t slot, uint32_t idx,
                                        const struct virtio_operations *operations, void *own,
                                        const struct virtio_offer *offer)
{
	struct virtio_device *device = &fake_backend.device;

	if (offer->queues_count > FAKE_QUEUES_MAX) {
		abort();
	}
	device->slot = slot;
	device->idx = idx;
	device->operations = operations;
	device->own = own;
	device->page = &pages[fake_backend_chosen];
	device->offered = offer->features;
	device->queues_count = offer->queues_count;
	device->queue_size_max = offer->queue_size_max;
	device->queues = fake_backend.queues;
	memcpy(fake_backend.config, offer->config, offer->config_bytes);
	if (fake_backend.has_driver) {
		fake_backend_start(fake_backend.driver_features);
	}
	return device;
}

void virtio_device_set_config(struct virtio_device *device, const void *config, uint32_t bytes)
{
	memcpy(backend_of(device)->config, config, bytes);
	backend_of(device)->configs_count++;
}

void virtio_device_break(struct virtio_device *device, const char *why)
{
	if (device->is_running) {
		device->is_running = false;
		device->operations->stop(device);
	}
	device->is_broken = true;
	backend_of(device)->broken = why;
}

bool virtio_device_check_queue(struct virtio_device *device, const struct virtqueue *queue)
{
	if (queue->broken != NULL) {
		virtio_device_break(device, queue->broken);
	}
	return queue->broken != NULL;
}

void virtio_device_interrupt(struct virtio_device *device, uint32_t queue_idx)
{
	if (device->is_running && virtqueue_needs_interrupt(&device->queues[queue_idx])) {
		backend_of(device)->interrupts_count++;
	}
}

void virtio_device_poke(struct virtio_device *device)
{
	backend_of(device)->pokes_count++;
}
