/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A board with virtio devices for the tests: a PCI bus, pages that the test plays mgmt on, guest memory, and what the devices did to
 * the world below.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "vmm/virtio/devices.h"

#define BOARD_ECAM   0xe0000000ull
#define BOARD_MEMORY 0xf0000000ull
#define BOARD_RAM    0x10000u

static struct {
	struct bus bus;
	struct pci pci;
	struct acpi_pm acpi_pm;
	struct pci_hotplug hotplug;
	struct virtio_devices set;
	struct virtio_device devices[VIO_DEVICES_MAX];
	struct vio_device pages[VIO_DEVICES_MAX] __attribute__((aligned(4096)));
	struct guest_memory memory;
	uint8_t ram[2 * BOARD_RAM];
	struct device_clock clock;
	uint32_t kicks[VIO_DEVICES_MAX], notifies, messages_count;
	uint64_t message_address;
	uint32_t message_data;
	uint32_t lines;                      /* bit a device */
	uint32_t doorbells[VIO_DEVICES_MAX]; /* port; 0 = none */
	int doorbell_error;
} board;

static inline uint64_t board_now(void *context)
{
	(void)context;
	return 0;
}

static inline void board_kick(void *context, uint32_t device)
{
	(void)context;
	board.kicks[device]++;
}

static inline void board_notify(void *context)
{
	(void)context;
	board.notifies++;
}

static inline void board_message(void *context, uint64_t address, uint32_t data)
{
	(void)context;
	board.messages_count++;
	board.message_address = address;
	board.message_data = data;
}

static inline void board_intx(void *context, uint32_t device, bool level)
{
	(void)context;
	board.lines = level ? board.lines | 1u << device : board.lines & ~(1u << device);
}

static inline int board_doorbell(void *context, uint32_t device, uint16_t port, bool is_bound)
{
	(void)context;
	if (is_bound && board.doorbell_error < 0) {
		return board.doorbell_error;
	}
	board.doorbells[device] = is_bound ? port : 0;
	return BH_OK;
}

static inline void board_eject(void *context, uint32_t slots)
{
	(void)context;
	virtio_devices_eject(&board.set, slots);
}

/* RAM at [0, 64 KiB) and at [4 GiB, + 64 KiB). */
static inline int board_init(void)
{
	static const struct virtio_ops ops = { .kick = board_kick,
		                               .notify_mgmt = board_notify,
		                               .message = board_message,
		                               .intx = board_intx,
		                               .doorbell = board_doorbell };

	memset(&board, 0, sizeof(board));
	bus_init(&board.bus);
	board.clock.now_ns = board_now;
	board.acpi_pm.clock = &board.clock;
	board.memory.slots[0] = (struct guest_memory_slot){ 0, BOARD_RAM, board.ram };
	board.memory.slots[1] = (struct guest_memory_slot){ 1ull << 32, BOARD_RAM,
		                                            board.ram + BOARD_RAM };
	board.memory.slots_count = 2;
	board.hotplug.acpi_pm = &board.acpi_pm;
	board.hotplug.eject = board_eject;
	board.set = (struct virtio_devices){ board.devices, &board.pci, &board.hotplug, false };
	for (uint32_t i = 0; i < VIO_DEVICES_MAX; i++) {
		board.devices[i].ops = &ops;
		board.devices[i].memory = &board.memory;
		virtio_init(&board.devices[i], i, &board.pages[i]);
	}
	return pci_attach(&board.pci, &board.bus, BOARD_ECAM) == BH_OK &&
	                       acpi_pm_attach(&board.acpi_pm, &board.bus) == BH_OK
	               ? pci_hotplug_attach(&board.hotplug, &board.bus)
	               : BH_ERR_LIMIT;
}

/* mgmt's half. */
static inline void board_offer(uint32_t idx, uint32_t type, uint64_t features, uint32_t queues)
{
	struct vio_device *page = &board.pages[idx];

	page->type = type;
	page->features = features;
	page->queues_count = queues;
	page->queue_size_max = 256;
	page->config_bytes = 64;
	page->offer_sequence++;
}

static inline void board_acknowledge(uint32_t idx)
{
	board.pages[idx].backend_state = VIO_BACKEND_SERVES;
	board.pages[idx].backend_generation = board.pages[idx].driver_generation;
}
