// SPDX-License-Identifier: Apache-2.0
/*
 * Transport and split rings for drivers of virtio devices (see virtio.h).
 */
#include "drivers/virtio.h"

#include <string.h>

/* virtio 1.2, 4.1.4: the capability */
#define CAP_TYPE       3u
#define CAP_BAR        4u
#define CAP_OFFSET     8u
#define CAP_LENGTH     12u
#define CAP_MULTIPLIER 16u
#define TYPE_COMMON    1u
#define TYPE_NOTIFY    2u
#define TYPE_ISR       3u
#define TYPE_DEVICE    4u

/* 4.1.4.3: common configuration */
#define COMMON_BYTES          56u
#define DEVICE_FEATURE_SELECT 0u
#define DEVICE_FEATURE        4u
#define DRIVER_FEATURE_SELECT 8u
#define DRIVER_FEATURE        12u
#define CONFIG_VECTOR         16u
#define QUEUE_VECTOR          26u
#define NO_VECTOR             0xffffu
#define QUEUES_COUNT          18u
#define DEVICE_STATUS         20u
#define QUEUE_SELECT          22u
#define QUEUE_SIZE            24u
#define QUEUE_ENABLE          28u
#define QUEUE_NOTIFY_OFFSET   30u
#define QUEUE_DESCRIPTORS     32u
#define QUEUE_DRIVER          40u
#define QUEUE_DEVICE          48u

/* 2.1 */
#define STATUS_ACKNOWLEDGE 0x01u
#define STATUS_DRIVER      0x02u
#define STATUS_DRIVER_OK   0x04u
#define STATUS_FEATURES_OK 0x08u
#define STATUS_NEEDS_RESET 0x40u
#define STATUS_FAILED      0x80u

#define RESET_TRIES        100000u

/* 2.7.5 */
struct virtio_descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next;
};
#define DESCRIPTOR_NEXT  0x1u
#define DESCRIPTOR_WRITE 0x2u

/* 2.7.6, 2.7.8: flags and index in front of both rings */
#define RING_INDEX   1u
#define RING_ENTRIES 2u
#define USED_OFFSET  4096u /* the used ring has a page of its own */
#define AVAIL_OFFSET (VIRTIO_QUEUE_MAX * 16u)
_Static_assert(AVAIL_OFFSET + 6 + 2 * VIRTIO_QUEUE_MAX <= USED_OFFSET, "fits the first page");
_Static_assert(6 + 8 * VIRTIO_QUEUE_MAX <= VIRTIO_QUEUE_DMA - USED_OFFSET, "fits the second");

static uint8_t read8(const volatile uint8_t *base, uint32_t offset)
{
	return base[offset];
}

static uint16_t read16(const volatile uint8_t *base, uint32_t offset)
{
	return *(const volatile uint16_t *)(base + offset);
}

static void write8(volatile uint8_t *base, uint32_t offset, uint8_t value)
{
	base[offset] = value;
}

static void write16(volatile uint8_t *base, uint32_t offset, uint16_t value)
{
	*(volatile uint16_t *)(base + offset) = value;
}

static void write64(volatile uint8_t *base, uint32_t offset, uint64_t value)
{
	mmio_write32(base, offset, (uint32_t)value);
	mmio_write32(base, offset + 4, (uint32_t)(value >> 32));
}

/* The block of a capability, or NULL if it lies outside of its BAR. */
static volatile uint8_t *map_block(struct virtio *virtio, uint32_t cap, uint32_t *bytes)
{
	const struct pci_function *pci = virtio->device->pci;
	uint32_t bar = pci_read(pci, cap + CAP_BAR, 1);
	uint64_t offset = pci_read(pci, cap + CAP_OFFSET, 4);
	uint64_t length = pci_read(pci, cap + CAP_LENGTH, 4);

	if (bar >= PCI_BARS || (offset & 3) != 0 || offset + length > pci->bar[bar].bytes) {
		return NULL;
	}
	if (virtio->bars[bar] == NULL) {
		virtio->bars[bar] = driver_map_bar(virtio->device, bar, offset + length);
	}
	*bytes = (uint32_t)length;
	return virtio->bars[bar] != NULL ? virtio->bars[bar] + offset : NULL;
}

bool virtio_find(struct virtio *virtio, struct device *device)
{
	const struct pci_function *pci = device->pci;
	uint32_t common_bytes = 0;
	uint32_t isr_bytes = 0;
	uint32_t cap = 0;
	uint32_t left = 16;

	virtio->device = device;
	while (left-- != 0 && (cap = pci_find_capability(pci, PCI_CAP_VENDOR, cap)) != 0) {
		uint32_t type = pci_read(pci, cap + CAP_TYPE, 1);

		/* The first of each type is the one that the device prefers. */
		if (type == TYPE_COMMON && virtio->common == NULL) {
			virtio->common = map_block(virtio, cap, &common_bytes);
		} else if (type == TYPE_NOTIFY && virtio->notify == NULL) {
			virtio->notify = map_block(virtio, cap, &virtio->notify_bytes);
			virtio->notify_multiplier = pci_read(pci, cap + CAP_MULTIPLIER, 4);
		} else if (type == TYPE_ISR && virtio->isr == NULL) {
			virtio->isr = map_block(virtio, cap, &isr_bytes);
		} else if (type == TYPE_DEVICE && virtio->config == NULL) {
			virtio->config = map_block(virtio, cap, &virtio->config_bytes);
		}
	}
	if (virtio->common == NULL || common_bytes < COMMON_BYTES || virtio->notify == NULL ||
	    virtio->isr == NULL || isr_bytes < 1 || virtio->config == NULL) {
		driver_fail(device, "it has not all register blocks of virtio 1.x");
		return false;
	}
	return true;
}

static uint64_t read_features(const struct virtio *virtio)
{
	uint64_t low;

	mmio_write32(virtio->common, DEVICE_FEATURE_SELECT, 0);
	low = mmio_read32(virtio->common, DEVICE_FEATURE);
	mmio_write32(virtio->common, DEVICE_FEATURE_SELECT, 1);
	return low | (uint64_t)mmio_read32(virtio->common, DEVICE_FEATURE) << 32;
}

static bool refuse(struct virtio *virtio, const char *why)
{
	write8(virtio->common, DEVICE_STATUS, STATUS_FAILED);
	driver_fail(virtio->device, "%s", why);
	return false;
}

bool virtio_begin(struct virtio *virtio, uint64_t wanted)
{
	uint32_t tries = RESET_TRIES;
	uint8_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;

	write8(virtio->common, DEVICE_STATUS, 0);
	while (read8(virtio->common, DEVICE_STATUS) != 0) {
		if (tries-- == 0) {
			driver_fail(virtio->device, "it does not come out of reset");
			return false;
		}
	}
	write8(virtio->common, DEVICE_STATUS, status);
	write16(virtio->common, CONFIG_VECTOR, virtio->device->has_msix ? 0 : NO_VECTOR);
	virtio->features = read_features(virtio) & (wanted | VIRTIO_F_VERSION_1);
	if ((virtio->features & VIRTIO_F_VERSION_1) == 0) {
		return refuse(virtio, "it is a legacy device (disable-legacy=on is needed)");
	}
	mmio_write32(virtio->common, DRIVER_FEATURE_SELECT, 0);
	mmio_write32(virtio->common, DRIVER_FEATURE, (uint32_t)virtio->features);
	mmio_write32(virtio->common, DRIVER_FEATURE_SELECT, 1);
	mmio_write32(virtio->common, DRIVER_FEATURE, (uint32_t)(virtio->features >> 32));
	write8(virtio->common, DEVICE_STATUS, status | STATUS_FEATURES_OK);
	if ((read8(virtio->common, DEVICE_STATUS) & STATUS_FEATURES_OK) == 0) {
		return refuse(virtio, "it refuses the features that it has offered");
	}
	return true;
}

bool virtio_queue_allocate(struct virtio *virtio, struct virtio_queue *queue)
{
	queue->memory = driver_dma(virtio->device, VIRTIO_QUEUE_DMA, &queue->physical);
	if (queue->memory == NULL) {
		driver_fail(virtio->device, "no memory");
		return false;
	}
	return true;
}

/* Where the queue is told of; NULL if the device says a place outside its block. */
static volatile uint16_t *find_doorbell(const struct virtio *virtio)
{
	uint64_t offset = (uint64_t)read16(virtio->common, QUEUE_NOTIFY_OFFSET) *
	                  virtio->notify_multiplier;

	if (offset + 2 > virtio->notify_bytes || (offset & 1) != 0) {
		return NULL;
	}
	return (volatile uint16_t *)(virtio->notify + offset);
}

bool virtio_queue_begin(struct virtio *virtio, struct virtio_queue *queue, uint16_t idx,
                        uint16_t most)
{
	uint16_t size;
	uint16_t i;

	write16(virtio->common, QUEUE_SELECT, idx);
	size = idx < read16(virtio->common, QUEUES_COUNT) ? read16(virtio->common, QUEUE_SIZE) : 0;
	size = size < most ? size : most;
	queue->doorbell = find_doorbell(virtio);
	if (size < 4 || (size & (size - 1)) != 0 || queue->doorbell == NULL) {
		return refuse(virtio, "it lacks a queue, or has one that is too small");
	}
	memset(queue->memory, 0, VIRTIO_QUEUE_DMA);
	queue->idx = idx;
	queue->size = size;
	queue->descriptors = (volatile struct virtio_descriptor *)queue->memory;
	queue->avail = (volatile uint16_t *)(queue->memory + AVAIL_OFFSET);
	queue->used = (volatile uint16_t *)(queue->memory + USED_OFFSET);
	queue->avail_idx = queue->told_idx = queue->used_idx = 0;
	queue->free_head = 0;
	queue->free_count = size;
	for (i = 0; i < size; i++) {
		queue->descriptors[i].next = (uint16_t)(i + 1);
	}
	write16(virtio->common, QUEUE_SIZE, size);
	write64(virtio->common, QUEUE_DESCRIPTORS, queue->physical);
	write64(virtio->common, QUEUE_DRIVER, queue->physical + AVAIL_OFFSET);
	write64(virtio->common, QUEUE_DEVICE, queue->physical + USED_OFFSET);
	write16(virtio->common, QUEUE_VECTOR, virtio->device->has_msix ? 0 : NO_VECTOR);
	write16(virtio->common, QUEUE_ENABLE, 1);
	return true;
}

void virtio_end_setup(struct virtio *virtio)
{
	write8(virtio->common, DEVICE_STATUS,
	       STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

bool virtio_needs_reset(const struct virtio *virtio)
{
	return (read8(virtio->common, DEVICE_STATUS) & STATUS_NEEDS_RESET) != 0;
}

uint8_t virtio_read_isr(struct virtio *virtio)
{
	return read8(virtio->isr, 0);
}

int virtio_queue_put(struct virtio_queue *queue, const struct virtio_piece *pieces, uint32_t count)
{
	uint16_t head = queue->free_head;
	uint16_t at = head;
	uint32_t i;

	if (count == 0 || count > queue->free_count) {
		return -1;
	}
	for (i = 0; i < count; i++) {
		volatile struct virtio_descriptor *descriptor = &queue->descriptors[at];

		descriptor->address = pieces[i].physical;
		descriptor->bytes = pieces[i].bytes;
		descriptor->flags = (uint16_t)((pieces[i].is_written ? DESCRIPTOR_WRITE : 0) |
		                               (i + 1 < count ? DESCRIPTOR_NEXT : 0));
		at = descriptor->next;
	}
	queue->free_head = at;
	queue->free_count = (uint16_t)(queue->free_count - count);
	queue->avail[RING_ENTRIES + queue->avail_idx % queue->size] = head;
	queue->avail_idx++;
	mmio_order();
	queue->avail[RING_INDEX] = queue->avail_idx;
	return head;
}

/* Back to the free list; the links are still as put() made them. */
static void free_chain(struct virtio_queue *queue, uint16_t head)
{
	uint16_t at = head;
	uint16_t count = 1;

	while ((queue->descriptors[at].flags & DESCRIPTOR_NEXT) != 0 && count < queue->size) {
		at = queue->descriptors[at].next;
		count++;
	}
	queue->descriptors[at].next = queue->free_head;
	queue->free_head = head;
	queue->free_count = (uint16_t)(queue->free_count + count);
}

int virtio_queue_take(struct virtio_queue *queue, uint32_t *bytes)
{
	const volatile uint32_t *entry;
	uint32_t head;

	if (queue->used[RING_INDEX] == queue->used_idx) {
		return -1;
	}
	mmio_order();
	entry = (const volatile uint32_t *)(queue->used + RING_ENTRIES) +
	        2 * (queue->used_idx % queue->size);
	head = entry[0];
	*bytes = entry[1];
	queue->used_idx++;
	if (head >= queue->size) {
		return -1;
	}
	free_chain(queue, (uint16_t)head);
	return (int)head;
}

void virtio_queue_kick(struct virtio_queue *queue)
{
	if (queue->told_idx == queue->avail_idx) {
		return;
	}
	queue->told_idx = queue->avail_idx;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* 2.7.13.4.1: bit 0 of the used ring's flags: need not be told */
	if ((queue->used[0] & 1) == 0) {
		*queue->doorbell = queue->idx;
	}
}
