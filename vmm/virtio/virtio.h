// SPDX-License-Identifier: Apache-2.0
/*
 * One virtio-pci device, modern transport only: what a driver sees of a device page that mgmt
 * serves (bulkhead/virtio_channel.h). No ring is touched here, and no device type is known but for
 * a few numbers.
 *
 * Owns: negotiation, queue set-up, status, interrupts' routing, the PCI function. All state is
 * private and published to the page; of the page only mgmt's half is read. Called under the
 * machine's lock. Manual: virtio 1.2 chapters 2, 3 and 4.1; PCI Local Bus 3.0 6.8.2 (MSI-X).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/virtio_channel.h"
#include "vmm/devices/pci.h"
#include "vmm/guest_memory.h"

#define VIRTIO_SLOT_FIRST  1u /* PCI slot of page 0 */
#define VIRTIO_VECTORS_MAX (VIO_QUEUES_MAX + 1)

/* Device status (virtio 1.2 2.1). */
#define VIRTIO_ACKNOWLEDGE 0x01u
#define VIRTIO_DRIVER      0x02u
#define VIRTIO_DRIVER_OK   0x04u
#define VIRTIO_FEATURES_OK 0x08u
#define VIRTIO_NEEDS_RESET 0x40u
#define VIRTIO_FAILED      0x80u

/* Device types (virtio 1.2 5) of which something is known here. */
#define VIRTIO_TYPE_NET     1u
#define VIRTIO_TYPE_BLOCK   2u
#define VIRTIO_TYPE_CONSOLE 3u
#define VIRTIO_TYPE_RNG     4u
#define VIRTIO_TYPE_BALLOON 5u
#define VIRTIO_TYPE_VSOCK   19u
#define VIRTIO_TYPE_MAX     0x3fu /* device ids 1040h + type stay below 1080h */

/* Feature bits that belong to the ring and the transport (virtio 1.2 6). */
#define VIRTIO_F_VERSION_1   (1ull << 32)
#define VIRTIO_F_RING_PACKED (1ull << 34)
#define VIRTIO_F_RING_RESET  (1ull << 40)
#define VIRTIO_F_NEVER       0xfa00000000ull /* bits 33, 35, 36, 37, 38, 39 */

/* Console device (virtio 1.2 5.3.4): a byte written here is sent at once. */
#define VIRTIO_CONSOLE_F_EMERG_WRITE (1ull << 2)
#define VIRTIO_CONSOLE_EMERG_WR      8u

/* ISR status (virtio 1.2 4.1.4.5). */
#define VIRTIO_ISR_QUEUE  0x1u
#define VIRTIO_ISR_CONFIG 0x2u

/* The memory BAR. */
#define VIRTIO_BAR_NOTIFY     0
#define VIRTIO_BAR_MEMORY     1
#define VIRTIO_COMMON_OFFSET  0x0000u
#define VIRTIO_COMMON_BYTES   0x0040u
#define VIRTIO_ISR_OFFSET     0x0100u
#define VIRTIO_CONFIG_OFFSET  0x0200u
#define VIRTIO_TABLE_OFFSET   0x1000u
#define VIRTIO_PENDING_OFFSET 0x1800u
#define VIRTIO_MEMORY_BYTES   0x2000u
#define VIRTIO_NOTIFY_BYTES   4u

/* What is below a device: the calls of the kernel, or a test. */
struct virtio_ops {
	void (*kick)(void *context, uint32_t device);
	void (*notify_mgmt)(void *context);
	void (*message)(void *context, uint64_t address, uint32_t data);
	void (*intx)(void *context, uint32_t device, bool level);
	/* Writes to the port set the device's kick event, or no longer do. An enum bh_error. */
	int (*doorbell)(void *context, uint32_t device, uint16_t port, bool is_bound);
	void *context;
};

struct virtio_queue {
	uint64_t descriptors, driver, device; /* guest-physical */
	uint16_t size;
	uint16_t vector;
	bool is_enabled;
	bool is_resetting; /* until mgmt has let go of it */
};

struct virtio_vector {
	uint32_t words[4]; /* address low and high, data, control */
};

struct virtio_device {
	struct pci_function function;
	struct vio_device *page;
	const struct virtio_ops *ops;
	const struct guest_memory *memory;
	uint32_t idx;

	/* the offer, copied and checked; type 0: there is no device */
	uint32_t type;
	uint32_t offer_seen;
	uint32_t queues_count;
	uint32_t queue_size_max;
	uint32_t config_bytes;
	uint64_t features;

	/* the driver */
	uint8_t status;
	bool is_reset_pending; /* mgmt may still use the rings of before */
	uint16_t queue_select;
	uint16_t config_vector;
	uint32_t feature_select[2]; /* device's, driver's */
	uint64_t driver_features;
	uint32_t generation; /* of what was published last */
	struct virtio_queue queues[VIO_QUEUES_MAX];

	/* the configuration: what the driver reads changes all at once */
	uint8_t config[VIO_CONFIG_BYTES];
	uint8_t config_generation;
	uint32_t config_seen; /* page->config_generation of the copy */

	/* interrupts */
	uint8_t isr;
	bool is_line_high;
	bool is_msix_on;
	bool is_function_masked;
	struct virtio_vector vectors[VIRTIO_VECTORS_MAX];

	/* the function */
	uint8_t msix_at, window_at; /* capabilities */
	bool has_doorbell;
	uint16_t doorbell_port;
};

/* ---- device.c ---- */

/* An empty device at its page. */
void virtio_init(struct virtio_device *device, uint32_t idx, struct vio_device *page);
/*
 * Takes the page's offer over, with a function that is not on the bus yet. False if there is none,
 * or it makes no sense.
 */
bool virtio_take_offer(struct virtio_device *device);
/* The device is gone from the guest's bus: no ring is used from now on; the page says so. */
void virtio_leave(struct virtio_device *device);
/* As after power-on: the driver's work is forgotten; BARs stay. */
void virtio_reset(struct virtio_device *device);
/* Does mgmt use no ring of an earlier life? */
bool virtio_is_quiet(struct virtio_device *device);
/* mgmt changed its half of the page. */
void virtio_poll(struct virtio_device *device);

/* ---- common.c ---- */

uint64_t virtio_common_read(struct virtio_device *device, uint32_t offset, uint32_t width);
void virtio_common_write(struct virtio_device *device, uint32_t offset, uint32_t width,
                         uint64_t value);

/* ---- features.c: what a driver may accept, by type ---- */

bool virtio_features_fit(uint32_t type, uint64_t offered, uint64_t accepted);
bool virtio_config_is_writable(uint32_t type, uint64_t accepted, uint32_t offset);
uint32_t virtio_class_code(uint32_t type);

/* ---- state that the files share ---- */

/* Status 0 was written, or the machine is reset. */
void virtio_driver_reset(struct virtio_device *device);
/* Everything about the driver goes into the page, under a new generation. */
void virtio_publish(struct virtio_device *device);
/* Queue vectors go into the page; the generation stays. */
void virtio_publish_vectors(struct virtio_device *device);

/* ---- interrupt.c ---- */

void virtio_interrupt_reset(struct virtio_device *device);
void virtio_interrupt_config(struct virtio_device *device);
uint8_t virtio_isr_read(struct virtio_device *device);
/* Takes what mgmt left for the line. */
void virtio_intx_poll(struct virtio_device *device);
/* The MSI-X capability's control word or the command register changed. */
void virtio_msix_control(struct virtio_device *device);
uint32_t virtio_msix_table_read(const struct virtio_device *device, uint32_t offset);
void virtio_msix_table_write(struct virtio_device *device, uint32_t offset, uint32_t value);
uint32_t virtio_msix_pending_read(const struct virtio_device *device, uint32_t offset);

static inline uint32_t virtio_vectors_count(const struct virtio_device *device)
{
	return device->queues_count + 1;
}

/* ---- function.c ---- */

/* A PCI function of the offer's type, at its slot and addresses. */
void virtio_function_init(struct virtio_device *device);
/* The doorbell follows the notify BAR. */
void virtio_doorbell_update(struct virtio_device *device);
