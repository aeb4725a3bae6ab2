// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio-pci transport under random accesses to its functions and BARs, hot-plug registers, and random changes of mgmt's half of
 * the pages. What must hold: no access outside a record (sanitizers); a queue is published only with areas inside guest memory; no
 * message by a masked vector; no device whose driver did not agree to VERSION_1 runs; a line is high only with INTx on.
 *
 * Input: 12-byte steps: kind, device, width, spare, 4 bytes of offset, 4 bytes of value.
 */
// sources: vmm/virtio/device.c vmm/virtio/common.c vmm/virtio/features.c vmm/virtio/interrupt.c vmm/virtio/function.c vmm/virtio/devices.c vmm/devices/pci.c vmm/devices/pci_hotplug.c vmm/devices/acpi_pm.c vmm/bus.c vmm/guest_memory.c
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/virtio_board.h"
#include "tests/fuzz/check.h"

#define STEP_BYTES 12u
#define DEVICES    3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t kind, device, width, spare;
	uint32_t offset, value;
};

static void mgmt_step(struct vio_device *page, const struct step *step)
{
	switch (step->spare % 9) {
	case 0:
		page->type = step->value % 70;
		page->features = (uint64_t)step->value << 32 | step->offset;
		page->queues_count = step->offset % 20;
		page->queue_size_max = 1u << (step->value >> 8) % 12;
		page->config_bytes = (step->value >> 16) % 260;
		page->offer_sequence++;
		break;
	case 1:
		page->config_generation += step->value % 3;
		page->config[step->offset % VIO_CONFIG_BYTES] = (uint8_t)step->value;
		break;
	case 2:
		page->backend_generation = page->driver_generation;
		page->backend_state = step->value % 4;
		break;
	case 3:
		page->msi_pending |= step->value;
		break;
	case 4:
		page->intx_pending |= step->value;
		break;
	case 5: /* nonsense where a VMM must not read twice */
		page->driver_generation = step->value;
		break;
	case 6:
		page->backend_generation = step->value;
		break;
	case 7:
		virtio_devices_reset(&board.set);
		break;
	default:
		board.set.is_live = true;
		break;
	}
	virtio_devices_poll(&board.set);
}

static void access_step(const struct step *step)
{
	uint32_t width = 1u << step->width % 4;
	uint64_t ecam = BOARD_ECAM + ((1u + step->device % DEVICES) << 15) + (step->offset & 0xff);
	uint64_t memory = BOARD_MEMORY + (step->device % DEVICES) * VIRTIO_MEMORY_BYTES +
	                  step->offset % VIRTIO_MEMORY_BYTES;
	uint64_t value = (uint64_t)step->offset << 32 | step->value;

	if (step->spare % 4 != 0) {
		memory = (memory & ~0xfffull) | (memory & 0x3f); /* the common structure */
	}
	value &= width == 8 ? ~0ull : (1ull << (width * 8)) - 1;
	switch (step->kind % 8) {
	case 0:
	case 1:
		bus_mmio_write(&board.bus, memory, width, value);
		break;
	case 2:
		(void)bus_mmio_read(&board.bus, memory, width);
		break;
	case 3:
		bus_mmio_write(&board.bus, ecam, width > 4 ? 4 : width, value & 0xffffffff);
		break;
	case 4:
		(void)bus_mmio_read(&board.bus, ecam, width > 4 ? 4 : width);
		break;
	case 5:
		bus_port_write(&board.bus, step->offset & 0xffff, width > 4 ? 4 : width,
		               value & 0xffffffff);
		break;
	case 6:
		(void)bus_port_read(&board.bus, step->offset & 0xffff, width > 4 ? 4 : width);
		break;
	default:
		mgmt_step(&board.pages[step->device % DEVICES], step);
		break;
	}
}

static void queue_check(const struct virtio_device *device, const struct vio_queue *queue)
{
	bool is_packed = (device->page->driver_features & VIRTIO_F_RING_PACKED) != 0;

	if ((queue->flags & VIO_QUEUE_ENABLED) == 0) {
		return;
	}
	CHECK(device->page->driver_state == VIO_DRIVER_RUNNING);
	CHECK(queue->size >= 1 && queue->size <= device->queue_size_max);
	CHECK(is_packed || (queue->size & (queue->size - 1)) == 0);
	CHECK(guest_memory_at(&board.memory, queue->descriptors, 16u * queue->size) != NULL);
	CHECK(guest_memory_at(&board.memory, queue->driver, 4) != NULL);
	CHECK(guest_memory_at(&board.memory, queue->device, is_packed ? 4 : 6 + 8u * queue->size) !=
	      NULL);
}

static void state_check(const struct virtio_device *device)
{
	const struct vio_device *page = device->page;

	CHECK(device->queues_count <= VIO_QUEUES_MAX);
	if (page->driver_state == VIO_DRIVER_RUNNING) {
		CHECK(device->type != 0 && (page->driver_features & VIRTIO_F_VERSION_1) != 0);
		CHECK((page->driver_features & ~device->features) == 0);
	}
	for (uint32_t i = 0; i < VIO_QUEUES_MAX; i++) {
		queue_check(device, &page->queues[i]);
		CHECK((page->msi[i].sequence & 1) == 0);
		CHECK(device->is_msix_on || page->msi[i].is_masked != 0 ||
		      page->msi[i].sequence == 0);
	}
	CHECK(!device->is_line_high || !device->is_msix_on);
	CHECK(device->type == 0 || device->has_doorbell == (board.doorbells[device->idx] != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CHECK(board_init() == BH_OK);
	for (uint32_t i = 0; i < DEVICES; i++) {
		board_offer(i,
		            i == 0   ? VIRTIO_TYPE_BLOCK
		            : i == 1 ? VIRTIO_TYPE_NET
		                     : VIRTIO_TYPE_RNG,
		            ~0ull, 1 + i * 8);
	}
	virtio_devices_poll(&board.set);
	for (uint32_t i = 0; i < DEVICES; i++) {
		bus_mmio_write(&board.bus, BOARD_ECAM + ((i + 1) << 15) + PCI_COMMAND, 2, 7);
	}
	for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
		struct step step;

		memcpy(&step, data, sizeof(step));
		access_step(&step);
		for (uint32_t i = 0; i < DEVICES; i++) {
			state_check(&board.devices[i]);
		}
	}
	return 0;
}
