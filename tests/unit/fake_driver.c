// SPDX-License-Identifier: Apache-2.0
/* The tests' virtio driver (see fake_driver.h), after virtio 1.2 2.7.13 and 2.8.21. */
#include "tests/unit/fake_driver.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SPACE_BYTES (GUEST_HIGH_BASE + FAKE_HIGH_BYTES)

struct guest_memory fake_guest_memory(void)
{
	static uint8_t *base;
	struct guest_memory memory = { .low_bytes = FAKE_LOW_BYTES, .high_bytes = FAKE_HIGH_BYTES };

	if (base == NULL) {
		base = mmap(NULL, SPACE_BYTES, PROT_NONE,
		            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (base == MAP_FAILED ||
		    mprotect(base, GUEST_HOLE_START, PROT_READ | PROT_WRITE) != 0 ||
		    mprotect(base + GUEST_HOLE_END, FAKE_LOW_BYTES - GUEST_HOLE_END,
		             PROT_READ | PROT_WRITE) != 0 ||
		    mprotect(base + GUEST_HIGH_BASE, FAKE_HIGH_BYTES, PROT_READ | PROT_WRITE) !=
		            0) {
			abort();
		}
	}
	memset(base, 0, GUEST_HOLE_START);
	memset(base + GUEST_HOLE_END, 0, FAKE_LOW_BYTES - GUEST_HOLE_END);
	memset(base + GUEST_HIGH_BASE, 0, FAKE_HIGH_BYTES);
	memory.base = base;
	return memory;
}

static bool is_packed(const struct fake_driver *driver)
{
	return (driver->features & VIRTIO_F_RING_PACKED) != 0;
}

static void *at(const struct fake_driver *driver, uint64_t gpa)
{
	return driver->memory.base + gpa;
}

void fake_driver_init(struct fake_driver *driver, uint64_t gpa, uint16_t size, uint64_t features)
{
	struct guest_memory memory = driver->memory;

	memset(driver, 0, sizeof(*driver));
	driver->memory = memory;
	driver->features = features;
	driver->setup.descriptors = gpa;
	driver->setup.driver = gpa + 16ull * size;
	driver->setup.device = (driver->setup.driver + 6 + 2ull * size + 15) & ~15ull;
	driver->setup.size = size;
	driver->setup.flags = VIO_QUEUE_ENABLED;
	driver->indirect = (driver->setup.device + 6 + 8ull * size + 4095) & ~4095ull;
	driver->wrap_avail = true;
	driver->wrap_used = true;
}

static void put_desc(void *where, const struct fake_piece *piece, uint16_t flags, uint16_t next)
{
	struct virtq_desc desc = { piece->gpa, piece->bytes, flags, next };

	memcpy(where, &desc, sizeof(desc));
}

static uint16_t add_split(struct fake_driver *driver, const struct fake_piece *pieces,
                          uint32_t count, bool is_indirect)
{
	struct virtq_desc *table = at(driver, driver->setup.descriptors);
	struct virtq_avail *avail = at(driver, driver->setup.driver);
	uint16_t mask = (uint16_t)(driver->setup.size - 1);
	uint16_t head = driver->free_next & mask;
	uint32_t i;

	for (i = 0; i < count; i++) {
		uint16_t flags = (uint16_t)((pieces[i].is_in ? VIRTQ_DESC_WRITE : 0) |
		                            (i + 1 < count ? VIRTQ_DESC_NEXT : 0));
		uint16_t slot = (uint16_t)(driver->free_next + i) & mask;

		if (is_indirect) {
			put_desc((uint8_t *)at(driver, driver->indirect + 4096ull * head) + 16 * i,
			         &pieces[i], flags, (uint16_t)(i + 1));
		} else {
			put_desc(&table[slot], &pieces[i], flags, (uint16_t)(slot + 1) & mask);
		}
	}
	if (is_indirect) {
		struct fake_piece whole = { driver->indirect + 4096ull * head, 16 * count, false };

		put_desc(&table[head], &whole, VIRTQ_DESC_INDIRECT, 0);
		count = 1;
	}
	driver->free_next = (uint16_t)(driver->free_next + count);
	avail->ring[driver->avail_idx & mask] = head;
	driver->avail_idx++;
	__atomic_store_n(&avail->idx, driver->avail_idx, __ATOMIC_SEQ_CST);
	return head;
}

static void step(const struct fake_driver *driver, uint16_t *slot, bool *wrap)
{
	if (++*slot == driver->setup.size) {
		*slot = 0;
		*wrap = !*wrap;
	}
}

static uint16_t add_packed(struct fake_driver *driver, const struct fake_piece *pieces,
                           uint32_t count, bool is_indirect)
{
	struct virtq_packed_desc *ring = at(driver, driver->setup.descriptors);
	uint16_t head = driver->free_next;
	uint16_t head_flags = 0;
	struct fake_piece whole = { driver->indirect + 4096ull * head, 16 * count, false };
	uint32_t i;

	for (i = 0; is_indirect && i < count; i++) {
		/* id, then flags */
		put_desc((uint8_t *)at(driver, whole.gpa) + 16 * i, &pieces[i], 0,
		         pieces[i].is_in ? VIRTQ_DESC_WRITE : 0);
	}
	if (is_indirect) {
		pieces = &whole;
		count = 1;
	}
	driver->slots_of[head] = (uint16_t)count;
	for (i = 0; i < count; i++) {
		uint16_t slot = driver->free_next;
		uint16_t flags = (uint16_t)(driver->wrap_avail ? VIRTQ_DESC_AVAIL
		                                               : VIRTQ_DESC_USED);

		flags |= (uint16_t)((pieces[i].is_in ? VIRTQ_DESC_WRITE : 0) |
		                    (i + 1 < count ? VIRTQ_DESC_NEXT : 0) |
		                    (is_indirect ? VIRTQ_DESC_INDIRECT : 0));
		ring[slot].address = pieces[i].gpa;
		ring[slot].bytes = pieces[i].bytes;
		ring[slot].id = head;
		if (slot == head && i == 0) {
			head_flags = flags;
		} else {
			ring[slot].flags = flags;
		}
		step(driver, &driver->free_next, &driver->wrap_avail);
	}
	__atomic_store_n(&ring[head].flags, head_flags, __ATOMIC_SEQ_CST);
	driver->avail_idx++;
	return head;
}

uint16_t fake_driver_add(struct fake_driver *driver, const struct fake_piece *pieces,
                         uint32_t count, bool is_indirect)
{
	return is_packed(driver) ? add_packed(driver, pieces, count, is_indirect)
	                         : add_split(driver, pieces, count, is_indirect);
}

static bool used_packed(struct fake_driver *driver, uint16_t *id, uint32_t *bytes)
{
	struct virtq_packed_desc *desc = at(driver, driver->setup.descriptors);
	bool avail;
	bool used;
	uint16_t i;

	desc += driver->used_idx;
	avail = (desc->flags & VIRTQ_DESC_AVAIL) != 0;
	used = (desc->flags & VIRTQ_DESC_USED) != 0;
	if (avail != used || used != driver->wrap_used) {
		return false;
	}
	*id = desc->id;
	*bytes = (desc->flags & VIRTQ_DESC_WRITE) != 0 ? desc->bytes : 0;
	for (i = driver->slots_of[*id]; i > 0; i--) {
		step(driver, &driver->used_idx, &driver->wrap_used);
	}
	return true;
}

bool fake_driver_used(struct fake_driver *driver, uint16_t *id, uint32_t *bytes)
{
	struct virtq_used *used = at(driver, driver->setup.device);
	struct virtq_used_elem *elem;

	if (is_packed(driver)) {
		return used_packed(driver, id, bytes);
	}
	if (used->idx == driver->used_idx) {
		return false;
	}
	elem = &used->ring[driver->used_idx++ & (driver->setup.size - 1)];
	*id = (uint16_t)elem->id;
	*bytes = elem->bytes;
	return true;
}

void fake_driver_want_interrupt(struct fake_driver *driver, bool is_wanted)
{
	bool has_event_idx = (driver->features & VIRTIO_F_EVENT_IDX) != 0;

	if (is_packed(driver)) {
		struct virtq_event *event = at(driver, driver->setup.driver);

		event->off_wrap = (uint16_t)(driver->used_idx | (driver->wrap_used ? 0x8000 : 0));
		event->flags = !is_wanted      ? VIRTQ_EVENT_DISABLE
		               : has_event_idx ? VIRTQ_EVENT_DESC
		                               : VIRTQ_EVENT_ENABLE;
	} else {
		struct virtq_avail *avail = at(driver, driver->setup.driver);

		avail->flags = is_wanted ? 0 : VIRTQ_AVAIL_NO_INTERRUPT;
		avail->ring[driver->setup.size] = (uint16_t)(is_wanted ? driver->used_idx
		                                                       : driver->used_idx - 1);
	}
}

bool fake_driver_must_kick(const struct fake_driver *driver, uint16_t old_idx)
{
	if (is_packed(driver)) {
		const struct virtq_event *event = at(driver, driver->setup.device);

		return event->flags != VIRTQ_EVENT_DISABLE;
	}
	const struct virtq_used *used = at(driver, driver->setup.device);
	uint16_t event = *(const uint16_t *)(const void *)&used->ring[driver->setup.size];

	if ((driver->features & VIRTIO_F_EVENT_IDX) != 0) {
		return (uint16_t)(driver->avail_idx - event - 1) <
		       (uint16_t)(driver->avail_idx - old_idx);
	}
	return (used->flags & VIRTQ_USED_NO_NOTIFY) == 0;
}
