// SPDX-License-Identifier: Apache-2.0
/*
 * The life of one device: its offer, its resets, its configuration, and what its page says.
 *
 * Must never: believe two reads of the page to be the same; mgmt's half is copied once and the copy
 * checked. Nor let mgmt take half a change for a whole one: the state is CHANGING until all of it is there.
 */
#include <string.h>

#include "vmm/virtio/virtio.h"

static uint32_t load(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
}

/* ---- what the page says of the driver ---- */

void virtio_publish_vectors(struct virtio_device *device)
{
	struct vio_device *page = device->page;

	for (uint32_t i = 0; i < VIO_QUEUES_MAX; i++) {
		__atomic_store_n(&page->queue_vector[i],
		                 i < device->queues_count ? device->queues[i].vector : VIO_MSI_NONE,
		                 __ATOMIC_RELAXED);
	}
	__atomic_store_n(&page->queue_vector[VIO_QUEUES_MAX], device->config_vector,
	                 __ATOMIC_RELAXED);
}

void virtio_publish(struct virtio_device *device)
{
	struct vio_device *page = device->page;
	bool is_running = (device->status & VIRTIO_DRIVER_OK) != 0;

	store(&page->driver_state, VIO_DRIVER_CHANGING);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	page->driver_features = is_running ? device->driver_features : 0;
	page->offer_seen = device->offer_seen;
	for (uint32_t i = 0; i < VIO_QUEUES_MAX; i++) {
		const struct virtio_queue *queue = &device->queues[i];
		bool is_used = is_running && queue->is_enabled;

		page->queues[i] = (struct vio_queue){
			.descriptors = is_used ? queue->descriptors : 0,
			.driver = is_used ? queue->driver : 0,
			.device = is_used ? queue->device : 0,
			.size = is_used ? queue->size : 0,
			.flags = is_used ? VIO_QUEUE_ENABLED : 0,
		};
	}
	virtio_publish_vectors(device);
	device->generation++;
	store(&page->driver_generation, device->generation);
	store(&page->driver_state, is_running ? VIO_DRIVER_RUNNING : VIO_DRIVER_RESET);
	device->ops->notify_mgmt(device->ops->context);
}

/* ---- resets ---- */

static void driver_forget(struct virtio_device *device)
{
	device->status = 0;
	device->queue_select = 0;
	device->config_vector = VIO_MSI_NONE;
	device->feature_select[0] = 0;
	device->feature_select[1] = 0;
	device->driver_features = 0;
	for (uint32_t i = 0; i < VIO_QUEUES_MAX; i++) {
		device->queues[i] = (struct virtio_queue){ .size = (uint16_t)device->queue_size_max,
			                                   .vector = VIO_MSI_NONE };
	}
}

void virtio_driver_reset(struct virtio_device *device)
{
	bool was_running = (device->status & VIRTIO_DRIVER_OK) != 0;

	driver_forget(device);
	virtio_interrupt_reset(device);
	virtio_publish_vectors(device);
	if (was_running) {
		device->is_reset_pending = true;
		virtio_publish(device);
	}
}

bool virtio_is_quiet(struct virtio_device *device)
{
	if (load(&device->page->backend_generation) != device->generation) {
		return !device->is_reset_pending;
	}
	device->is_reset_pending = false;
	for (uint32_t i = 0; i < device->queues_count; i++) {
		device->queues[i].is_resetting = false;
	}
	return true;
}

void virtio_reset(struct virtio_device *device)
{
	virtio_driver_reset(device);
	for (uint32_t i = 0; i < VIRTIO_VECTORS_MAX; i++) {
		device->vectors[i] = (struct virtio_vector){ { 0, 0, 0, 1 } };
	}
	if (device->type != 0) {
		pci_config_set16(&device->function, device->msix_at + 2u,
		                 virtio_vectors_count(device) - 1);
		virtio_msix_control(device);
		virtio_doorbell_update(device);
	}
}

/* ---- offers ---- */

void virtio_init(struct virtio_device *device, uint32_t idx, struct vio_device *page)
{
	device->idx = idx;
	device->page = page;
	device->generation = load(&page->driver_generation);
	driver_forget(device);
}

/* The configuration as it stands; false while mgmt is changing it. */
static bool config_copy(struct virtio_device *device)
{
	const struct vio_device *page = device->page;
	uint32_t generation = load(&page->config_generation);
	uint8_t copy[VIO_CONFIG_BYTES];

	if ((generation & 1) != 0) {
		return false;
	}
	memcpy(copy, page->config, sizeof(copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (load(&page->config_generation) != generation) {
		return false;
	}
	memcpy(device->config, copy, sizeof(copy));
	device->config_seen = generation;
	return true;
}

bool virtio_take_offer(struct virtio_device *device)
{
	const struct vio_device *page = device->page;
	uint32_t sequence = load(&page->offer_sequence);
	uint32_t type = load(&page->type);
	uint32_t queues = load(&page->queues_count);
	uint32_t size = load(&page->queue_size_max);
	uint32_t bytes = load(&page->config_bytes);

	if (!config_copy(device)) {
		return false; /* it is being written: there will be an event */
	}
	device->offer_seen = sequence;
	device->type = 0;
	if (sequence == 0 || type == 0 || type > VIRTIO_TYPE_MAX || queues == 0 ||
	    queues > VIO_QUEUES_MAX || size == 0 || size > VIO_QUEUE_SIZE_MAX ||
	    (size & (size - 1)) != 0 || bytes > VIO_CONFIG_BYTES) {
		virtio_publish(device);
		return false;
	}
	device->type = type;
	device->queues_count = queues;
	device->queue_size_max = size;
	device->config_bytes = bytes;
	device->features = (__atomic_load_n(&page->features, __ATOMIC_RELAXED) & ~VIRTIO_F_NEVER) |
	                   VIRTIO_F_VERSION_1;
	virtio_function_init(device);
	virtio_reset(device);
	virtio_publish(device);
	return true;
}

void virtio_leave(struct virtio_device *device)
{
	uint32_t sequence = load(&device->page->offer_sequence);

	virtio_reset(device);
	device->type = 0;
	if (load(&device->page->type) == 0) {
		device->offer_seen = sequence; /* else the next offer is still to be taken */
	}
	virtio_publish(device);
}

/* ---- changes of mgmt's half ---- */

void virtio_poll(struct virtio_device *device)
{
	const struct vio_device *page = device->page;
	bool is_running = (device->status & VIRTIO_DRIVER_OK) != 0;

	if (device->type == 0) {
		return;
	}
	virtio_intx_poll(device);
	if (load(&page->config_generation) != device->config_seen && config_copy(device)) {
		device->config_generation++;
		virtio_interrupt_config(device);
	}
	if (is_running && (device->status & VIRTIO_NEEDS_RESET) == 0 &&
	    load(&page->backend_generation) == device->generation &&
	    load(&page->backend_state) == VIO_BACKEND_BROKEN) {
		device->status |= VIRTIO_NEEDS_RESET; /* virtio 1.2 2.1.2 */
		virtio_interrupt_config(device);
	}
}
