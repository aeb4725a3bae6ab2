// SPDX-License-Identifier: Apache-2.0
/*
 * All virtio devices of the guest: which pages have an offer, which of them are on the PCI bus, and
 * hot-plug between the two.
 *
 * Must never: take a device from a running guest that has not let go of it.
 */
#pragma once

#include "vmm/devices/pci_hotplug.h"
#include "vmm/virtio/virtio.h"

struct virtio_devices {
	struct virtio_device *devices; /* VIO_DEVICES_MAX of them; NULL: none at all */
	struct pci *pci;
	struct pci_hotplug *hotplug;
	bool is_live; /* the guest runs: changes are told to it */
};

/* Have all these pages (bit a page) an offer? */
bool virtio_devices_have_offers(const struct virtio_devices *set, uint32_t wanted);
/* Looks at every page: offers that came or went, and what mgmt changed. */
void virtio_devices_poll(struct virtio_devices *set);
/* The machine is reset, after its PCI bus: offers are taken or dropped at once. */
void virtio_devices_reset(struct virtio_devices *set);
/* Does mgmt use no ring of before the reset? */
bool virtio_devices_are_quiet(struct virtio_devices *set);
/* The guest ejects PCI slots (bit a slot). */
void virtio_devices_eject(struct virtio_devices *set, uint32_t slots);
