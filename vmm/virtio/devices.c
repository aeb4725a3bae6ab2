// SPDX-License-Identifier: Apache-2.0
/* The set of virtio devices: offers, hot-plug and resets. */
#include "vmm/virtio/devices.h"

#include <stddef.h>

#include "bulkhead/errors.h"

static bool has_new_offer(const struct virtio_device *device)
{
	return __atomic_load_n(&device->page->offer_sequence, __ATOMIC_ACQUIRE) !=
	       device->offer_seen;
}

static uint32_t slot_bit(const struct virtio_device *device)
{
	return 1u << device->function.slot;
}

static void plug(struct virtio_devices *set, struct virtio_device *device)
{
	if (!virtio_take_offer(device)) {
		return;
	}
	/* One slot a page, and room for all of them: it cannot fail. */
	if (pci_function_add(set->pci, &device->function) == BH_OK && set->is_live) {
		pci_hotplug_insert(set->hotplug, slot_bit(device));
	}
}

static void unplug(struct virtio_devices *set, struct virtio_device *device)
{
	pci_function_remove(set->pci, &device->function);
	virtio_leave(device);
	if (has_new_offer(device)) {
		plug(set, device);
	}
}

static void device_poll(struct virtio_devices *set, struct virtio_device *device)
{
	if (!has_new_offer(device)) {
		virtio_poll(device);
	} else if (device->type == 0) {
		plug(set, device);
	} else if (!set->is_live) {
		unplug(set, device);
	} else {
		pci_hotplug_remove(set->hotplug, slot_bit(device));
		virtio_poll(device);
	}
}

bool virtio_devices_have_offers(const struct virtio_devices *set, uint32_t wanted)
{
	for (uint32_t i = 0; i < VIO_DEVICES_MAX && set->devices != NULL; i++) {
		const struct vio_device *page = set->devices[i].page;

		if ((wanted >> i & 1) != 0 &&
		    __atomic_load_n(&page->offer_sequence, __ATOMIC_ACQUIRE) == 0) {
			return false;
		}
	}
	return true;
}

void virtio_devices_poll(struct virtio_devices *set)
{
	for (uint32_t i = 0; i < VIO_DEVICES_MAX && set->devices != NULL; i++) {
		device_poll(set, &set->devices[i]);
	}
}

void virtio_devices_reset(struct virtio_devices *set)
{
	for (uint32_t i = 0; i < VIO_DEVICES_MAX && set->devices != NULL; i++) {
		virtio_reset(&set->devices[i]);
	}
	set->is_live = false;
	virtio_devices_poll(set);
}

bool virtio_devices_are_quiet(struct virtio_devices *set)
{
	for (uint32_t i = 0; i < VIO_DEVICES_MAX && set->devices != NULL; i++) {
		if (!virtio_is_quiet(&set->devices[i])) {
			return false;
		}
	}
	return true;
}

void virtio_devices_eject(struct virtio_devices *set, uint32_t slots)
{
	for (uint32_t i = 0; i < VIO_DEVICES_MAX && set->devices != NULL; i++) {
		struct virtio_device *device = &set->devices[i];

		/* An eject that nobody asked for takes nothing away. */
		if (device->type != 0 && (slots & slot_bit(device)) != 0 && has_new_offer(device)) {
			unplug(set, device);
		}
	}
}
