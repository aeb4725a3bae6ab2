// SPDX-License-Identifier: Apache-2.0
/*
 * The PCI function of a device: header, capabilities, the two BARs, the window through
 * configuration space (virtio 1.2 4.1.4.9), and the doorbell.
 *
 * Every queue is kicked at the same port (queue_notify_off 0, multiplier 0): the event is the
 * device's. A write to the port that reaches us because no doorbell is bound kicks all the same.
 */
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/virtio/virtio.h"

#define VENDOR_VIRTIO   0x1af4u
#define DEVICE_ID_FIRST 0x1040u
#define REVISION        1u

#define CAP_VENDOR      0x09u
#define CAP_MSIX        0x11u

#define CAP_COMMON      1u
#define CAP_NOTIFY      2u
#define CAP_ISR         3u
#define CAP_DEVICE      4u
#define CAP_PCI         5u

#define CAP_BYTES       16u
#define CAP_EXTRA_BYTES 20u /* with notify_off_multiplier or pci_cfg_data */
#define CAP_BAR         4u
#define CAP_OFFSET      8u
#define CAP_LENGTH      12u
#define CAP_DATA        16u
#define MSIX_BYTES      12u

/* Where a function is until the guest puts it elsewhere; firmware would do that on a PC. */
#define NOTIFY_BASE 0xc000u
#define MEMORY_BASE 0xf0000000u

/* ---- the memory BAR ---- */

static uint64_t config_read(const struct virtio_device *device, uint32_t offset, uint32_t width)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < width && offset + i < device->config_bytes; i++) {
		value |= (uint64_t)device->config[offset + i] << (i * 8);
	}
	return value;
}

/* Bytes that a driver may not write are left out (virtio 1.2 4.1.4.6). */
static void emergency_write(struct virtio_device *device, uint8_t byte)
{
	struct vio_device *page = device->page;
	uint64_t count = page->emergency_count;

	page->emergency[count % VIO_EMERGENCY_BYTES] = byte;
	__atomic_store_n(&page->emergency_count, count + 1, __ATOMIC_RELEASE);
	device->ops->notify_mgmt(device->ops->context);
}

static void config_write(struct virtio_device *device, uint32_t offset, uint32_t width,
                         uint64_t value)
{
	struct vio_device *page = device->page;
	bool is_changed = false;

	/* It may be used before anything is negotiated (virtio 1.2 5.3.4). */
	if (device->type == VIRTIO_TYPE_CONSOLE && offset == VIRTIO_CONSOLE_EMERG_WR &&
	    (device->features & VIRTIO_CONSOLE_F_EMERG_WRITE) != 0) {
		emergency_write(device, (uint8_t)value);
		return;
	}
	if ((device->status & VIRTIO_FEATURES_OK) == 0) {
		return;
	}
	for (uint32_t i = 0; i < width && offset + i < device->config_bytes; i++) {
		if (virtio_config_is_writable(device->type, device->driver_features, offset + i)) {
			device->config[offset + i] = (uint8_t)(value >> (i * 8));
			page->config_written[offset + i] = device->config[offset + i];
			is_changed = true;
		}
	}
	if (is_changed) {
		__atomic_fetch_add(&page->config_written_sequence, 1, __ATOMIC_RELEASE);
		device->ops->notify_mgmt(device->ops->context);
	}
}

static uint64_t msix_read(const struct virtio_device *device, uint32_t offset, uint32_t width)
{
	uint64_t value = 0;

	if (width < 4) {
		return 0; /* only whole words are defined (PCI 3.0 6.8.2) */
	}
	for (uint32_t i = 0; i < width / 4; i++) {
		uint32_t at = (offset & ~3u) + i * 4;
		uint32_t word = at >= VIRTIO_PENDING_OFFSET
		                        ? virtio_msix_pending_read(device,
		                                                   at - VIRTIO_PENDING_OFFSET)
		                        : virtio_msix_table_read(device, at - VIRTIO_TABLE_OFFSET);

		value |= (uint64_t)word << (i * 32);
	}
	return value;
}

static void msix_write(struct virtio_device *device, uint32_t offset, uint32_t width,
                       uint64_t value)
{
	if (width < 4 || (offset & 3) != 0 || offset >= VIRTIO_PENDING_OFFSET) {
		return;
	}
	for (uint32_t i = 0; i < width / 4; i++) {
		virtio_msix_table_write(device, offset - VIRTIO_TABLE_OFFSET + i * 4,
		                        (uint32_t)(value >> (i * 32)));
	}
}

static uint64_t memory_read(void *context, uint64_t at, uint32_t width)
{
	struct virtio_device *device = context;
	uint32_t offset = (uint32_t)at;

	if (offset < VIRTIO_COMMON_OFFSET + VIRTIO_COMMON_BYTES) {
		return virtio_common_read(device, offset, width);
	}
	if (offset == VIRTIO_ISR_OFFSET) {
		return virtio_isr_read(device);
	}
	if (offset >= VIRTIO_TABLE_OFFSET) {
		return msix_read(device, offset, width);
	}
	return offset >= VIRTIO_CONFIG_OFFSET
	               ? config_read(device, offset - VIRTIO_CONFIG_OFFSET, width)
	               : 0;
}

static void memory_write(void *context, uint64_t at, uint32_t width, uint64_t value)
{
	struct virtio_device *device = context;
	uint32_t offset = (uint32_t)at;

	if (offset < VIRTIO_COMMON_OFFSET + VIRTIO_COMMON_BYTES) {
		virtio_common_write(device, offset, width, value);
	} else if (offset >= VIRTIO_TABLE_OFFSET) {
		msix_write(device, offset, width, value);
	} else if (offset >= VIRTIO_CONFIG_OFFSET) {
		config_write(device, offset - VIRTIO_CONFIG_OFFSET, width, value);
	}
}

/* ---- the notify BAR ---- */

static uint64_t notify_read(void *context, uint64_t at, uint32_t width)
{
	(void)context;
	(void)at;
	(void)width;
	return 0;
}

static void notify_write(void *context, uint64_t at, uint32_t width, uint64_t value)
{
	const struct virtio_device *device = context;

	(void)at;
	(void)width;
	(void)value;
	device->ops->kick(device->ops->context, device->idx);
}

void virtio_doorbell_update(struct virtio_device *device)
{
	const struct virtio_ops *ops = device->ops;
	const struct pci_bar *bar = &device->function.bars[VIRTIO_BAR_NOTIFY];
	uint16_t port = (uint16_t)bar->claimed_base;

	if (device->has_doorbell && (!bar->is_claimed || port != device->doorbell_port)) {
		(void)ops->doorbell(ops->context, device->idx, device->doorbell_port, false);
		device->has_doorbell = false;
	}
	if (bar->is_claimed && !device->has_doorbell) {
		device->doorbell_port = port;
		device->has_doorbell = ops->doorbell(ops->context, device->idx, port, true) ==
		                       BH_OK;
	}
}

/* ---- configuration space ---- */

struct window {
	uint32_t bar;
	uint32_t offset;
	uint32_t length;
	bool is_valid;
};

static struct window window_of(const struct virtio_device *device)
{
	const struct pci_function *function = &device->function;
	struct window window = {
		.bar = function->config[device->window_at + CAP_BAR],
		.offset = pci_config_get32(function, device->window_at + CAP_OFFSET),
		.length = pci_config_get32(function, device->window_at + CAP_LENGTH),
	};
	uint32_t size = window.bar == VIRTIO_BAR_MEMORY   ? VIRTIO_MEMORY_BYTES
	                : window.bar == VIRTIO_BAR_NOTIFY ? VIRTIO_NOTIFY_BYTES
	                                                  : 0;

	window.is_valid = (window.length == 1 || window.length == 2 || window.length == 4) &&
	                  window.offset % window.length == 0 && window.offset < size;
	return window;
}

static bool window_is_touched(const struct virtio_device *device, uint32_t offset, uint32_t width)
{
	uint32_t data = device->window_at + CAP_DATA;

	return offset < data + 4 && offset + width > data;
}

static void config_reading(void *context, uint32_t offset, uint32_t width)
{
	struct virtio_device *device = context;
	struct window window = window_of(device);
	uint64_t value;

	if (!window_is_touched(device, offset, width) || !window.is_valid) {
		return;
	}
	value = window.bar == VIRTIO_BAR_MEMORY ? memory_read(device, window.offset, window.length)
	                                        : notify_read(device, window.offset, window.length);
	pci_config_set32(&device->function, device->window_at + CAP_DATA, (uint32_t)value);
}

static void config_written(void *context, uint32_t offset, uint32_t width)
{
	struct virtio_device *device = context;
	struct window window = window_of(device);

	if (window_is_touched(device, offset, width)) {
		uint32_t value = pci_config_get32(&device->function, device->window_at + CAP_DATA);

		value &= window.length < 4 ? (1u << (window.length * 8)) - 1 : UINT32_MAX;
		if (window.is_valid && window.bar == VIRTIO_BAR_MEMORY) {
			memory_write(device, window.offset, window.length, value);
		} else if (window.is_valid) {
			notify_write(device, window.offset, window.length, value);
		}
		return;
	}
	virtio_doorbell_update(device);
	virtio_msix_control(device);
}

static uint32_t capability_add(struct pci_function *function, uint32_t type, uint32_t bar,
                               uint32_t offset, uint32_t length)
{
	bool has_extra = type == CAP_NOTIFY || type == CAP_PCI;
	uint32_t bytes = has_extra ? CAP_EXTRA_BYTES : CAP_BYTES;
	int at = pci_capability_add(function, CAP_VENDOR, bytes);

	if (at < 0) {
		return 0; /* the six of them fit, as the unit test shows */
	}
	function->config[at + 2] = (uint8_t)bytes;
	function->config[at + 3] = (uint8_t)type;
	function->config[(uint32_t)at + CAP_BAR] = (uint8_t)bar;
	pci_config_set32(function, (uint32_t)at + CAP_OFFSET, offset);
	pci_config_set32(function, (uint32_t)at + CAP_LENGTH, length);
	return (uint32_t)at;
}

static void capabilities_add(struct virtio_device *device)
{
	struct pci_function *function = &device->function;
	uint32_t at;

	capability_add(function, CAP_COMMON, VIRTIO_BAR_MEMORY, VIRTIO_COMMON_OFFSET,
	               VIRTIO_COMMON_BYTES);
	capability_add(function, CAP_NOTIFY, VIRTIO_BAR_NOTIFY, 0, VIRTIO_NOTIFY_BYTES);
	capability_add(function, CAP_ISR, VIRTIO_BAR_MEMORY, VIRTIO_ISR_OFFSET, 1);
	if (device->config_bytes != 0) {
		capability_add(function, CAP_DEVICE, VIRTIO_BAR_MEMORY, VIRTIO_CONFIG_OFFSET,
		               device->config_bytes);
	}
	at = capability_add(function, CAP_PCI, 0, 0, 0);
	device->window_at = (uint8_t)at;
	function->writable[at + CAP_BAR] = 0xff;
	memset(&function->writable[at + CAP_OFFSET], 0xff, 12); /* offset, length, data */
	at = (uint32_t)pci_capability_add(function, CAP_MSIX, MSIX_BYTES);
	device->msix_at = (uint8_t)at;
	pci_config_set16(function, at + 2, virtio_vectors_count(device) - 1);
	function->writable[at + 3] = 0xc0; /* enable, function mask */
	pci_config_set32(function, at + 4, VIRTIO_TABLE_OFFSET | VIRTIO_BAR_MEMORY);
	pci_config_set32(function, at + 8, VIRTIO_PENDING_OFFSET | VIRTIO_BAR_MEMORY);
}

void virtio_function_init(struct virtio_device *device)
{
	struct pci_function *function = &device->function;
	const struct pci_bar notify = { .size = VIRTIO_NOTIFY_BYTES,
		                        .kind = PCI_BAR_IO,
		                        .read = notify_read,
		                        .write = notify_write,
		                        .widths = BUS_WIDTH_124 };
	const struct pci_bar memory = { .size = VIRTIO_MEMORY_BYTES,
		                        .kind = PCI_BAR_MEMORY32,
		                        .read = memory_read,
		                        .write = memory_write,
		                        .widths = BUS_WIDTH_ALL };

	pci_function_init(function, VENDOR_VIRTIO | (DEVICE_ID_FIRST + device->type) << 16,
	                  virtio_class_code(device->type));
	function->config[PCI_REVISION] = REVISION;
	function->config[PCI_INTERRUPT_PIN] = 1;
	function->slot = (uint8_t)(VIRTIO_SLOT_FIRST + device->idx);
	function->function = 0;
	function->device = device;
	function->written = config_written;
	function->reading = config_reading;
	(void)pci_bar_set(function, VIRTIO_BAR_NOTIFY, &notify,
	                  NOTIFY_BASE + device->idx * VIRTIO_NOTIFY_BYTES);
	(void)pci_bar_set(function, VIRTIO_BAR_MEMORY, &memory,
	                  MEMORY_BASE + device->idx * VIRTIO_MEMORY_BYTES);
	capabilities_add(device);
}
