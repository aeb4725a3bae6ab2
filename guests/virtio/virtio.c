/* SPDX-License-Identifier: Apache-2.0 */
/* Functions, negotiation and rings (see virtio.h). */
#include "guests/virtio/virtio.h"

#define CONFIG_ADDRESS 0xcf8u
#define CONFIG_DATA    0xcfcu
#define SLOTS          32u
#define VENDOR         0x1af4u
#define CAPABILITIES   0x34u
#define CAP_VENDOR     9u
#define CAP_MSIX       0x11u
#define CAPS_MAX       16u

/* Each turn is an exit to the VMM, or a good while of pausing: enough for any machine that is not stuck. */
#define PATIENCE_EXITS 2000000u
#define PATIENCE_LOOPS 400000u
#define PAUSES         100u

struct queue queues[QUEUES_MAX];

uint32_t pci_read(uint32_t slot, uint32_t offset)
{
	out32(CONFIG_ADDRESS, 0x80000000u | slot << 11 | offset);
	return in32(CONFIG_DATA);
}

void pci_write(uint32_t slot, uint32_t offset, uint32_t value)
{
	out32(CONFIG_ADDRESS, 0x80000000u | slot << 11 | offset);
	out32(CONFIG_DATA, value);
}

/* ---- registers ---- */

static void put8(volatile uint8_t *at, uint8_t value)
{
	*at = value;
}

static void put16(volatile uint8_t *at, uint16_t value)
{
	*(volatile uint16_t *)(volatile void *)at = value;
}

static void put32(volatile uint8_t *at, uint32_t value)
{
	*(volatile uint32_t *)(volatile void *)at = value;
}

static uint16_t get16(volatile uint8_t *at)
{
	return *(volatile uint16_t *)(volatile void *)at;
}

static uint32_t get32(volatile uint8_t *at)
{
	return *(volatile uint32_t *)(volatile void *)at;
}

/* ---- functions ---- */

static void capability_take(struct device *device, uint32_t at)
{
	uint32_t head = pci_read(device->slot, at);
	uint32_t bar = pci_read(device->slot, 0x10 + (pci_read(device->slot, at + 4) & 7) * 4);
	volatile uint8_t *place = (volatile uint8_t *)(uint64_t)((bar & ~15u) +
	                                                         pci_read(device->slot, at + 8));

	if ((head & 0xff) == CAP_MSIX) {
		uint32_t table = pci_read(device->slot, at + 4);

		bar = pci_read(device->slot, 0x10 + (table & 7) * 4);
		device->msix_at = at;
		device->table = (volatile uint8_t *)(uint64_t)((bar & ~15u) + (table & ~7u));
		return;
	}
	switch (head >> 24) {
	case 1:
		device->common = place;
		break;
	case 2:
		device->notify_port = (uint16_t)(bar & ~3u);
		break;
	case 3:
		device->isr = place;
		break;
	case 4:
		device->config = place;
		break;
	default:
		break;
	}
}

static void capabilities_take(struct device *device)
{
	uint32_t at = pci_read(device->slot, CAPABILITIES) & 0xfc;

	for (uint32_t i = 0; i < CAPS_MAX && at != 0; i++) {
		uint32_t head = pci_read(device->slot, at);

		if ((head & 0xff) == CAP_VENDOR || (head & 0xff) == CAP_MSIX) {
			capability_take(device, at);
		}
		at = head >> 8 & 0xfc;
	}
}

bool device_find(uint32_t type, uint32_t nth, struct device *device)
{
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		if (pci_read(slot, 0) != (VENDOR | (0x1040 + type) << 16) || nth-- != 0) {
			continue;
		}
		*device = (struct device){ .slot = slot, .type = type };
		pci_write(slot, 4, 0x7);
		capabilities_take(device);
		put32(device->common, 0);
		device->features = get32(device->common + 4);
		put32(device->common, 1);
		device->features |= (uint64_t)get32(device->common + 4) << 32;
		device->queues_count = get16(device->common + COMMON_QUEUES);
		return true;
	}
	return false;
}

uint8_t device_status(const struct device *device)
{
	return device->common[COMMON_STATUS];
}

void device_reset(const struct device *device)
{
	uint32_t i = 0;

	put8(device->common + COMMON_STATUS, 0);
	while (device_status(device) != 0 && i < PATIENCE_EXITS) {
		i++;
	}
	check(i < PATIENCE_EXITS, "slot %u: the reset does not end", device->slot);
}

bool device_negotiate(const struct device *device, uint64_t features)
{
	device_reset(device);
	put8(device->common + COMMON_STATUS, 3);
	put32(device->common + 8, 0);
	put32(device->common + 12, (uint32_t)features);
	put32(device->common + 8, 1);
	put32(device->common + 12, (uint32_t)(features >> 32));
	put8(device->common + COMMON_STATUS, 3 | STATUS_FEATURES_OK);
	return (device_status(device) & STATUS_FEATURES_OK) != 0;
}

void device_go(const struct device *device)
{
	put8(device->common + COMMON_STATUS, 3 | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

bool device_wait_broken(const struct device *device)
{
	for (uint32_t i = 0; i < PATIENCE_EXITS; i++) {
		if ((device_status(device) & STATUS_NEEDS_RESET) != 0) {
			return true;
		}
	}
	return false;
}

void device_kick(const struct device *device, uint16_t queue)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	out16(device->notify_port, queue);
}

/* ---- rings ---- */

static void address_put(volatile uint8_t *at, const volatile void *address)
{
	put32(at, (uint32_t)(uint64_t)address);
	put32(at + 4, (uint32_t)((uint64_t)address >> 32));
}

bool queue_start(const struct device *device, struct queue *queue, uint16_t idx, bool is_packed)
{
	volatile uint8_t *common = device->common;
	uint8_t *bytes = (uint8_t *)queue;

	for (uint32_t i = 0; i < sizeof(*queue); i++) {
		bytes[i] = 0;
	}
	queue->idx = idx;
	queue->is_packed = is_packed;
	queue->wrap = true;
	put16(common + COMMON_QUEUE_SELECT, idx);
	put16(common + COMMON_QUEUE_SIZE, QUEUE_SIZE);
	address_put(common + COMMON_QUEUE_DESC, queue->desc);
	address_put(common + COMMON_QUEUE_DESC + 8, queue->avail);
	address_put(common + COMMON_QUEUE_DESC + 16, queue->used);
	put16(common + COMMON_QUEUE_ENABLE, 1);
	return get16(common + COMMON_QUEUE_ENABLE) == 1;
}

/* All of the chain is there before its index says so: a device that is just looking for more needs no kick (virtio 1.2 2.7.13.3). */
static void split_put(struct queue *queue, const struct segment *segments, uint32_t count,
                      uint16_t more_flags)
{
	for (uint32_t i = 0; i < count; i++) {
		queue->desc[i] = (struct desc){
			.address = segments[i].address,
			.length = segments[i].length,
			.flags_or_id = (uint16_t)((segments[i].is_write ? DESC_WRITE : 0) |
			                          more_flags | (i + 1 < count ? DESC_NEXT : 0)),
			.next_or_flags = (uint16_t)(i + 1),
		};
	}
	queue->avail[2 + queue->next_avail % QUEUE_SIZE] = 0;
	queue->next_avail++;
	__atomic_store_n(&queue->avail[1], queue->next_avail, __ATOMIC_RELEASE);
}

/* The head becomes available last (virtio 1.2 2.8.13.2). */
static void packed_put(struct queue *queue, const struct segment *segments, uint32_t count,
                       uint16_t more_flags)
{
	struct desc *head = &queue->desc[queue->next_avail];
	uint16_t head_flags = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct desc *desc = &queue->desc[queue->next_avail];
		uint16_t flags = (uint16_t)((segments[i].is_write ? DESC_WRITE : 0) | more_flags |
		                            (i + 1 < count ? DESC_NEXT : 0) |
		                            (queue->wrap ? DESC_AVAIL : DESC_USED));

		desc->address = segments[i].address;
		desc->length = segments[i].length;
		desc->flags_or_id = 7;
		if (desc == head) {
			head_flags = flags;
		} else {
			desc->next_or_flags = flags;
		}
		if (++queue->next_avail == QUEUE_SIZE) {
			queue->next_avail = 0;
			queue->wrap = !queue->wrap;
		}
	}
	__atomic_store_n(&head->next_or_flags, head_flags, __ATOMIC_RELEASE);
}

/* A table for either kind of ring: in a packed one the descriptors follow each other (2.8.8). */
static struct segment table_fill(const struct queue *queue, const struct segment *segments,
                                 uint32_t count, struct desc *table)
{
	for (uint32_t i = 0; i < count; i++) {
		uint16_t flags = segments[i].is_write ? DESC_WRITE : 0;
		uint16_t next = i + 1 < count ? DESC_NEXT : 0;

		table[i] = (struct desc){ .address = segments[i].address,
			                  .length = segments[i].length };
		if (queue->is_packed) {
			table[i].next_or_flags = flags;
		} else {
			table[i].flags_or_id = flags | next;
			table[i].next_or_flags = (uint16_t)(i + 1);
		}
	}
	return (struct segment){ (uint64_t)table, count * (uint32_t)sizeof(*table), false };
}

void queue_put(struct queue *queue, const struct segment *segments, uint32_t count,
               struct desc *table)
{
	uint16_t more_flags = table != NULL ? DESC_INDIRECT : 0;
	struct segment whole;

	if (table != NULL) {
		whole = table_fill(queue, segments, count, table);
		segments = &whole;
		count = 1;
	}
	if (queue->is_packed) {
		packed_put(queue, segments, count, more_flags);
	} else {
		split_put(queue, segments, count, more_flags);
	}
}

static int64_t split_take(struct queue *queue)
{
	if (__atomic_load_n(&queue->used[1], __ATOMIC_ACQUIRE) == queue->next_used) {
		return -1;
	}
	uint32_t slot = 2 + queue->next_used++ % QUEUE_SIZE * 4u;

	check(queue->used[slot] == 0, "the used ring names chain %u", queue->used[slot]);
	return (int64_t)(queue->used[slot + 2] | (uint32_t)queue->used[slot + 3] << 16);
}

/* The device's wrap counter follows ours: one request at a time. */
static int64_t packed_take(struct queue *queue)
{
	struct desc *desc = &queue->desc[queue->next_used];
	uint16_t flags = __atomic_load_n(&desc->next_or_flags, __ATOMIC_ACQUIRE);

	if (((flags & DESC_AVAIL) != 0) != ((flags & DESC_USED) != 0)) {
		return -1;
	}
	check(desc->flags_or_id == 7, "the used descriptor names buffer %u", desc->flags_or_id);
	queue->next_used = queue->next_avail;
	return desc->length;
}

int64_t queue_take(struct queue *queue)
{
	return queue->is_packed ? packed_take(queue) : split_take(queue);
}

int64_t queue_wait(struct queue *queue)
{
	int64_t length = -1;

	for (uint32_t i = 0; i < PATIENCE_LOOPS && length < 0; i++) {
		length = queue_take(queue);
		for (uint32_t n = 0; n < PAUSES && length < 0; n++) {
			__asm__ volatile("pause");
		}
	}
	return length;
}
