// SPDX-License-Identifier: Apache-2.0
/*
 * Packed virtqueues (virtio 1.2 2.8): one ring of descriptors that go back and forth.
 *
 * A chain that is given back overwrites the slot of its first descriptor, so the ring alone does not
 * say where a new mgmt goes on: struct vio_progress does. It is written around the one store that
 * hands the slot over, so that either state can be told from the slot's flags.
 */
#include "mgmt/virtio/queue_internal.h"

#define WRAP_BIT 0x8000u

static uint16_t pack(uint16_t slot, bool is_wrap)
{
	return (uint16_t)(slot | (is_wrap ? WRAP_BIT : 0));
}

/* Is the slot available to a device whose wrap counter is this? (virtio 1.2 2.8.1) */
static bool is_available(uint16_t flags, bool is_wrap)
{
	bool avail = (flags & VIRTQ_DESC_AVAIL) != 0;
	bool used = (flags & VIRTQ_DESC_USED) != 0;

	return avail == is_wrap && used != is_wrap;
}

static void advance(const struct virtqueue *queue, uint16_t *slot, bool *is_wrap, uint16_t count)
{
	*slot = (uint16_t)(*slot + count);
	if (*slot >= queue->size) {
		*slot = (uint16_t)(*slot - queue->size);
		*is_wrap = !*is_wrap;
	}
}

static void save(struct virtqueue *queue, uint16_t next_available, uint16_t next_used)
{
	__atomic_store_n(&queue->progress->next_used, next_used, __ATOMIC_RELEASE);
	__atomic_store_n(&queue->progress->next_available, next_available, __ATOMIC_RELEASE);
}

void queue_packed_resume(struct virtqueue *queue)
{
	uint16_t at = pack(0, true);

	if (queue->progress->is_valid == 1) {
		uint16_t before = queue->progress->next_available;
		uint16_t after = queue->progress->next_used;
		uint16_t slot = before & (WRAP_BIT - 1);
		bool is_wrap = (before & WRAP_BIT) != 0;

		at = before;
		/* Died while a chain was given back: had its flags been stored? */
		if (before != after && slot < queue->size &&
		    !is_available(queue_load16(&queue->packed[slot].flags), is_wrap)) {
			at = after;
		}
	}
	if ((at & (WRAP_BIT - 1)) >= queue->size) {
		virtqueue_break(queue, "the record of a packed queue's progress is spoilt");
		return;
	}
	queue->next_available = at & (WRAP_BIT - 1);
	queue->next_used = queue->next_available;
	queue->is_wrap_available = (at & WRAP_BIT) != 0;
	queue->is_wrap_used = queue->is_wrap_available;
	save(queue, at, at);
	__atomic_store_n(&queue->progress->is_valid, 1, __ATOMIC_RELEASE);
}

static bool has_chain(const struct virtqueue *queue)
{
	return is_available(queue_load16(&queue->packed[queue->next_available].flags),
	                    queue->is_wrap_available);
}

/* Tables have the ring's layout (virtio 1.2 2.8.8). Where the flags count, the caller has read them before. */
static struct queue_desc read_desc(const void *at)
{
	struct queue_desc desc = queue_read_desc(at);
	uint16_t id = desc.flags;

	/* The last four bytes are the split layout's the other way round: id, then flags. */
	desc.flags = desc.next;
	desc.next = id;
	return desc;
}

/* In an indirect table only WRITE means something, and order is by position (virtio 1.2 2.8.8). */
static bool take_indirect(struct virtqueue *queue, struct virtqueue_chain *chain,
                          const struct queue_desc *head)
{
	uint32_t count;
	uint32_t i;
	const uint8_t *table = queue_indirect_table(queue, head, &count);

	if (table == NULL) {
		return false;
	}
	for (i = 0; i < count; i++) {
		struct queue_desc desc = read_desc(table + 16u * i);

		if (!queue_add_piece(queue, chain, &desc)) {
			return false;
		}
	}
	chain->id = head->next;
	return true;
}

bool queue_packed_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	uint16_t slot = queue->next_available;
	bool is_wrap = queue->is_wrap_available;
	struct queue_desc desc;

	if (!has_chain(queue)) {
		return false;
	}
	queue_clear(chain);
	desc = read_desc(&queue->packed[slot]);
	if ((desc.flags & VIRTQ_DESC_INDIRECT) != 0) {
		if (!take_indirect(queue, chain, &desc)) {
			return false;
		}
		chain->slots = 1;
		advance(queue, &slot, &is_wrap, 1);
	} else {
		do {
			desc = read_desc(&queue->packed[slot]);
			chain->slots++;
			if (chain->slots > queue->size || (desc.flags & VIRTQ_DESC_INDIRECT) != 0) {
				virtqueue_break(queue,
				                "a chain is longer than the queue, or mixed");
				return false;
			}
			if (!queue_add_piece(queue, chain, &desc)) {
				return false;
			}
			chain->id = desc.next;
			advance(queue, &slot, &is_wrap, 1);
		} while ((desc.flags & VIRTQ_DESC_NEXT) != 0);
	}
	queue->next_available = slot;
	queue->is_wrap_available = is_wrap;
	return true;
}

/* Writes one used descriptor at a slot; its flags hand it over. */
static void hand_over(struct virtq_packed_desc *desc, const struct virtqueue_done *done,
                      bool is_wrap)
{
	uint16_t flags = is_wrap ? VIRTQ_DESC_AVAIL | VIRTQ_DESC_USED : 0;

	desc->id = done->id;
	desc->bytes = done->bytes;
	flags |= done->bytes != 0 ? VIRTQ_DESC_WRITE : 0;
	__atomic_store_n(&desc->flags, flags, __ATOMIC_RELEASE);
}

void queue_packed_give(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count)
{
	struct virtq_packed_desc *first = &queue->packed[queue->next_used];
	bool is_first_wrap = queue->is_wrap_used;
	uint16_t before = pack(queue->next_used, queue->is_wrap_used);
	uint16_t slot = queue->next_used;
	bool is_wrap = queue->is_wrap_used;
	uint16_t after;
	uint32_t i;

	for (i = 0; i < count; i++) {
		advance(queue, &queue->next_used, &queue->is_wrap_used, done[i].slots);
	}
	after = pack(queue->next_used, queue->is_wrap_used);
	save(queue, before, after);
	/* The driver reads in order and stops at the first: that one is stored last. */
	for (i = 0; i < count; i++) {
		if (i > 0) {
			hand_over(&queue->packed[slot], &done[i], is_wrap);
		}
		advance(queue, &slot, &is_wrap, done[i].slots);
		queue->added = (uint16_t)(queue->added + done[i].slots);
	}
	hand_over(first, &done[0], is_first_wrap);
	save(queue, after, after);
}

void queue_packed_give_one(struct virtqueue *queue, const struct virtqueue_chain *chain,
                           uint32_t bytes)
{
	queue_packed_give(queue, &(struct virtqueue_done){ chain->id, chain->slots, bytes }, 1);
}

bool queue_packed_needs_interrupt(struct virtqueue *queue)
{
	uint16_t flags = queue_load16(&queue->driver_event->flags) & 3u;
	uint16_t off_wrap;
	uint16_t event;

	if (flags != VIRTQ_EVENT_DESC || !queue->has_event_idx) {
		return flags != VIRTQ_EVENT_DISABLE;
	}
	off_wrap = queue_load16(&queue->driver_event->off_wrap);
	event = off_wrap & (WRAP_BIT - 1);
	if (((off_wrap & WRAP_BIT) != 0) != queue->is_wrap_used) {
		event = (uint16_t)(event - queue->size);
	}
	return queue_passes(event, queue->next_used, (uint16_t)(queue->next_used - queue->added));
}

void queue_packed_kicks_off(struct virtqueue *queue)
{
	__atomic_store_n(&queue->device_event->flags, VIRTQ_EVENT_DISABLE, __ATOMIC_RELAXED);
}

bool queue_packed_kicks_on(struct virtqueue *queue)
{
	uint16_t flags = VIRTQ_EVENT_ENABLE;

	if (queue->has_event_idx) {
		__atomic_store_n(&queue->device_event->off_wrap,
		                 pack(queue->next_available, queue->is_wrap_available),
		                 __ATOMIC_RELAXED);
		flags = VIRTQ_EVENT_DESC;
	}
	__atomic_store_n(&queue->device_event->flags, flags, __ATOMIC_RELEASE);
	/* The driver looks at this after its flags are stored; we look at its flags after this. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return has_chain(queue);
}
