// SPDX-License-Identifier: Apache-2.0
/*
 * The common configuration structure (virtio 1.2 4.1.4.3): what a driver writes to set a device up,
 * and every refusal that the standard asks for.
 *
 * A field is written whole and in its own width (64-bit fields also as two halves); anything else
 * is ignored. Must never: publish a queue whose areas are not wholly inside guest memory.
 */
#include <string.h>

#include "vmm/virtio/virtio.h"

#define DEVICE_FEATURE_SELECT 0x00u
#define DEVICE_FEATURE        0x04u
#define DRIVER_FEATURE_SELECT 0x08u
#define DRIVER_FEATURE        0x0cu
#define CONFIG_MSIX_VECTOR    0x10u
#define NUM_QUEUES            0x12u
#define DEVICE_STATUS         0x14u
#define CONFIG_GENERATION     0x15u
#define QUEUE_SELECT          0x16u
#define QUEUE_SIZE            0x18u
#define QUEUE_MSIX_VECTOR     0x1au
#define QUEUE_ENABLE          0x1cu
#define QUEUE_NOTIFY_OFF      0x1eu
#define QUEUE_DESC            0x20u
#define QUEUE_DRIVER          0x28u
#define QUEUE_DEVICE          0x30u
#define QUEUE_RESET           0x3au

/* Bits of the status register that a driver may set. */
#define STATUS_WRITABLE \
	(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK | VIRTIO_FAILED)

/* Sizes of the rings' parts (virtio 1.2 2.7 and 2.8). */
#define DESCRIPTOR_BYTES   16u
#define AVAILABLE_BYTES(n) (6u + 2u * (n))
#define USED_BYTES(n)      (6u + 8u * (n))
#define PACKED_EVENT_BYTES 4u
#define ALIGN_DESCRIPTORS  16u
#define ALIGN_AVAILABLE    2u
#define ALIGN_USED         4u

static struct virtio_queue *selected(struct virtio_device *device)
{
	return device->queue_select < device->queues_count ? &device->queues[device->queue_select]
	                                                   : NULL;
}

/* ---- reading ---- */

static void image_put(uint8_t *image, uint32_t offset, uint64_t value, uint32_t width)
{
	for (uint32_t i = 0; i < width; i++) {
		image[offset + i] = (uint8_t)(value >> (i * 8));
	}
}

static uint32_t feature_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (select * 32)) : 0;
}

/* A reset is done once mgmt has let go: until then the driver reads anything but 0 (4.1.4.3.1). */
static uint8_t status_read(const struct virtio_device *device)
{
	return device->is_reset_pending ? VIRTIO_FAILED : device->status;
}

static void image_put_queue(struct virtio_device *device, uint8_t *image)
{
	const struct virtio_queue *queue = selected(device);

	if (queue == NULL) {
		return; /* a size of 0 says that there is no such queue */
	}
	image_put(image, QUEUE_SIZE, queue->size, 2);
	image_put(image, QUEUE_MSIX_VECTOR, queue->vector, 2);
	image_put(image, QUEUE_ENABLE, queue->is_enabled, 2);
	image_put(image, QUEUE_DESC, queue->descriptors, 8);
	image_put(image, QUEUE_DRIVER, queue->driver, 8);
	image_put(image, QUEUE_DEVICE, queue->device, 8);
	image_put(image, QUEUE_RESET, queue->is_resetting, 2);
}

uint64_t virtio_common_read(struct virtio_device *device, uint32_t offset, uint32_t width)
{
	uint8_t image[VIRTIO_COMMON_BYTES + 8] = { 0 };
	uint64_t value = 0;

	if (offset >= VIRTIO_COMMON_BYTES) {
		return 0;
	}
	(void)virtio_is_quiet(device);
	image_put(image, DEVICE_FEATURE_SELECT, device->feature_select[0], 4);
	image_put(image, DEVICE_FEATURE, feature_word(device->features, device->feature_select[0]),
	          4);
	image_put(image, DRIVER_FEATURE_SELECT, device->feature_select[1], 4);
	image_put(image, DRIVER_FEATURE,
	          feature_word(device->driver_features, device->feature_select[1]), 4);
	image_put(image, CONFIG_MSIX_VECTOR, device->config_vector, 2);
	image_put(image, NUM_QUEUES, device->queues_count, 2);
	image[DEVICE_STATUS] = status_read(device);
	image[CONFIG_GENERATION] = device->config_generation;
	image_put(image, QUEUE_SELECT, device->queue_select, 2);
	image_put_queue(device, image);
	memcpy(&value, image + offset, width <= 8 ? width : 8);
	return value;
}

/* ---- status and features ---- */

static void status_write(struct virtio_device *device, uint8_t value)
{
	uint8_t added = (uint8_t)(value & STATUS_WRITABLE & ~device->status);

	if (value == 0) {
		virtio_driver_reset(device);
		return;
	}
	if (device->is_reset_pending) {
		return;
	}
	/* virtio 1.2 2.2.2: FEATURES_OK stays clear for a subset that the device cannot do. */
	if ((added & VIRTIO_FEATURES_OK) != 0 &&
	    !virtio_features_fit(device->type, device->features, device->driver_features)) {
		added &= (uint8_t)~VIRTIO_FEATURES_OK;
	}
	if (((device->status | added) & VIRTIO_FEATURES_OK) == 0) {
		added &= (uint8_t)~VIRTIO_DRIVER_OK;
	}
	device->status |= added;
	if ((added & VIRTIO_DRIVER_OK) != 0) {
		virtio_publish(device);
	}
}

static void driver_feature_write(struct virtio_device *device, uint32_t value)
{
	uint32_t shift = device->feature_select[1] * 32;

	if (device->feature_select[1] > 1 || (device->status & VIRTIO_FEATURES_OK) != 0) {
		return;
	}
	device->driver_features = (device->driver_features & ~(0xffffffffull << shift)) |
	                          (uint64_t)value << shift;
}

/* ---- queues ---- */

static bool area_fits(const struct virtio_device *device, uint64_t gpa, uint32_t alignment,
                      uint32_t length)
{
	return (gpa & (alignment - 1)) == 0 && guest_memory_has(device->memory, gpa, length);
}

static bool queue_fits(const struct virtio_device *device, const struct virtio_queue *queue)
{
	bool is_packed = (device->driver_features & VIRTIO_F_RING_PACKED) != 0;
	uint32_t size = queue->size;

	if (size == 0 || size > device->queue_size_max ||
	    (!is_packed && (size & (size - 1)) != 0)) {
		return false;
	}
	return area_fits(device, queue->descriptors, ALIGN_DESCRIPTORS, DESCRIPTOR_BYTES * size) &&
	       area_fits(device, queue->driver, is_packed ? ALIGN_USED : ALIGN_AVAILABLE,
	                 is_packed ? PACKED_EVENT_BYTES : AVAILABLE_BYTES(size)) &&
	       area_fits(device, queue->device, ALIGN_USED,
	                 is_packed ? PACKED_EVENT_BYTES : USED_BYTES(size));
}

/* The driver must not write 0 (virtio 1.2 4.1.4.3.2): ignored. */
static void queue_enable(struct virtio_device *device, struct virtio_queue *queue, uint16_t value)
{
	if (value != 1 || queue->is_enabled || queue->is_resetting ||
	    (device->status & VIRTIO_FEATURES_OK) == 0 || !queue_fits(device, queue)) {
		return;
	}
	queue->is_enabled = true;
	if ((device->status & VIRTIO_DRIVER_OK) != 0) {
		virtio_publish(device);
	}
}

/* virtio 1.2 2.6.1: the queue is as after a device reset once mgmt has let go of it. */
static void queue_reset(struct virtio_device *device, struct virtio_queue *queue, uint16_t value)
{
	if (value != 1 || !queue->is_enabled ||
	    (device->driver_features & device->features & VIRTIO_F_RING_RESET) == 0) {
		return;
	}
	*queue = (struct virtio_queue){ .size = (uint16_t)device->queue_size_max,
		                        .vector = VIO_MSI_NONE };
	if ((device->status & VIRTIO_DRIVER_OK) != 0) {
		queue->is_resetting = true;
		virtio_publish(device);
	}
}

/* A vector that the table does not have reads back as none (virtio 1.2 4.1.5.1.2.1). */
static uint16_t vector_checked(const struct virtio_device *device, uint64_t value)
{
	return value < virtio_vectors_count(device) ? (uint16_t)value : VIO_MSI_NONE;
}

static void address_write(uint64_t *field, uint32_t offset, uint32_t width, uint64_t value)
{
	if (width == 8) {
		*field = value;
	} else if (offset == 0) {
		*field = (*field & ~0xffffffffull) | value;
	} else {
		*field = (*field & 0xffffffffull) | value << 32;
	}
}

/* Everything of the selected queue but its areas. */
static void queue_field_write(struct virtio_device *device, uint32_t offset, uint16_t value)
{
	struct virtio_queue *queue = selected(device);

	if (queue == NULL) {
		return;
	}
	switch (offset) {
	case QUEUE_SIZE:
		if (!queue->is_enabled && value != 0 && value <= device->queue_size_max) {
			queue->size = value;
		}
		break;
	case QUEUE_MSIX_VECTOR:
		queue->vector = vector_checked(device, value);
		virtio_publish_vectors(device);
		break;
	case QUEUE_ENABLE:
		queue_enable(device, queue, value);
		break;
	case QUEUE_RESET:
		queue_reset(device, queue, value);
		break;
	default:
		break;
	}
}

static void queue_area_write(struct virtio_device *device, uint32_t offset, uint32_t width,
                             uint64_t value)
{
	struct virtio_queue *queue = selected(device);

	if (queue == NULL || queue->is_enabled || (width != 4 && width != 8) ||
	    (offset & (width - 1)) != 0) {
		return;
	}
	if (offset < QUEUE_DRIVER) {
		address_write(&queue->descriptors, offset - QUEUE_DESC, width, value);
	} else if (offset < QUEUE_DEVICE) {
		address_write(&queue->driver, offset - QUEUE_DRIVER, width, value);
	} else {
		address_write(&queue->device, offset - QUEUE_DEVICE, width, value);
	}
}

static void write16(struct virtio_device *device, uint32_t offset, uint16_t value)
{
	if (offset == QUEUE_SELECT) {
		device->queue_select = value;
	} else if (offset == CONFIG_MSIX_VECTOR) {
		device->config_vector = vector_checked(device, value);
		virtio_publish_vectors(device);
	} else {
		queue_field_write(device, offset, value);
	}
}

static void write32(struct virtio_device *device, uint32_t offset, uint32_t value)
{
	if (offset == DEVICE_FEATURE_SELECT) {
		device->feature_select[0] = value;
	} else if (offset == DRIVER_FEATURE_SELECT) {
		device->feature_select[1] = value;
	} else if (offset == DRIVER_FEATURE) {
		driver_feature_write(device, value);
	}
}

void virtio_common_write(struct virtio_device *device, uint32_t offset, uint32_t width,
                         uint64_t value)
{
	(void)virtio_is_quiet(device);
	if (offset >= QUEUE_DESC && offset < QUEUE_DEVICE + 8) {
		queue_area_write(device, offset, width, value);
	} else if (offset == DEVICE_STATUS && width == 1) {
		status_write(device, (uint8_t)value);
	} else if (width == 2) {
		write16(device, offset, (uint16_t)value);
	} else if (width == 4) {
		write32(device, offset, (uint32_t)value);
	}
}
