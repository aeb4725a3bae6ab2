// SPDX-License-Identifier: Apache-2.0
/*
 * Split virtqueues (virtio 1.2 2.7): descriptor table, available ring, used ring.
 *
 * Chains are taken and given back in the same order, so chain n of the available ring is entry n of
 * the used ring, and used->idx is where a new mgmt goes on.
 */
#include "mgmt/virtio/queue_internal.h"

static uint16_t load16(const uint16_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static uint16_t *used_event(const struct virtqueue *queue)
{
	return &queue->driver->ring[queue->size];
}

static uint16_t *avail_event(const struct virtqueue *queue)
{
	return (uint16_t *)(void *)&queue->device->ring[queue->size];
}

void queue_split_resume(struct virtqueue *queue)
{
	queue->next_used = load16(&queue->device->idx);
	queue->next_available = queue->next_used;
	queue->available = queue->next_used;
}

bool virtqueue_split_has_chain(struct virtqueue *queue)
{
	if (queue->available != queue->next_available) {
		return true;
	}
	queue->available = load16(&queue->driver->idx);
	if ((uint16_t)(queue->available - queue->next_used) > queue->size) {
		virtqueue_break(queue, "the available ring holds more than the queue's size");
		return false;
	}
	return queue->available != queue->next_available;
}

/* Follows a chain in a table of `count` descriptors; each step adds a piece, so it is bounded. */
static bool walk(struct virtqueue *queue, struct virtqueue_chain *chain, const uint8_t *table,
                 uint32_t count, struct queue_desc desc)
{
	for (;;) {
		if ((desc.flags & VIRTQ_DESC_INDIRECT) != 0) {
			virtqueue_break(queue, "an indirect descriptor inside a chain's table");
			return false;
		}
		if (!queue_add_piece(queue, chain, &desc)) {
			return false;
		}
		if ((desc.flags & VIRTQ_DESC_NEXT) == 0) {
			return true;
		}
		if (desc.next >= count) {
			virtqueue_break(queue, "a descriptor's next is outside its table");
			return false;
		}
		desc = queue_read_desc(table + 16u * desc.next);
	}
}

/* Direct descriptors may be followed by one indirect table (virtio 1.2 2.7.5.3.2). */
static __attribute__((noinline)) bool walk_direct(struct virtqueue *queue,
                                                  struct virtqueue_chain *chain,
                                                  struct queue_desc desc)
{
	const uint8_t *table = (const uint8_t *)queue->descriptors;

	queue_clear(chain);
	while ((desc.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) == VIRTQ_DESC_NEXT) {
		if (!queue_add_piece(queue, chain, &desc)) {
			return false;
		}
		if (desc.next >= queue->size) {
			virtqueue_break(queue, "a descriptor's next is outside its table");
			return false;
		}
		desc = queue_read_desc(table + 16u * desc.next);
	}
	if ((desc.flags & VIRTQ_DESC_INDIRECT) != 0) {
		uint32_t count;

		table = queue_indirect_table(queue, &desc, &count);
		return table != NULL && walk(queue, chain, table, count, queue_read_desc(table));
	}
	return queue_add_piece(queue, chain, &desc);
}

/* A chain of one direct descriptor, which most of a network's are. False: the long way must tell. */
static inline bool take_single(const struct virtqueue *queue, struct virtqueue_chain *chain,
                               struct queue_desc desc)
{
	uint8_t *address;

	if ((desc.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) != 0 || desc.bytes == 0) {
		return false;
	}
	address = guest_memory_at(queue->memory, desc.address, desc.bytes);
	if (address == NULL) {
		return false;
	}
	queue_clear(chain);
	if ((desc.flags & VIRTQ_DESC_WRITE) != 0) {
		chain->in_count = 1;
		chain->in_bytes = desc.bytes;
	} else {
		chain->out_count = 1;
		chain->out_bytes = desc.bytes;
	}
	chain->pieces[0] = (struct block_piece){ address, desc.bytes };
	return true;
}

/*
 * A chain of several as it should be, which nearly all of a disk's are. False: walk_direct() must look; it reads all of them but the first
 * anew, and nothing of what was read here counts.
 */
static __attribute__((noinline)) bool take_plain(const struct virtqueue *queue,
                                                 struct virtqueue_chain *chain,
                                                 struct queue_desc desc)
{
	const struct guest_memory *memory = queue->memory;
	uint64_t out_bytes = 0;
	uint64_t in_bytes = 0;
	uint32_t out_count = 0;
	uint32_t count = 0;

	for (;;) {
		uint8_t *address = guest_memory_at(memory, desc.address, desc.bytes);

		if (address == NULL || desc.bytes == 0 || count == VIRTQUEUE_PIECES_MAX) {
			return false;
		}
		chain->pieces[count++] = (struct block_piece){ address, desc.bytes };
		if ((desc.flags & VIRTQ_DESC_WRITE) != 0) {
			in_bytes += desc.bytes;
		} else if (in_bytes == 0) {
			out_bytes += desc.bytes;
			out_count++;
		} else {
			return false;
		}
		if ((desc.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) == 0) {
			break;
		}
		if ((desc.flags & VIRTQ_DESC_INDIRECT) != 0 || desc.next >= queue->size) {
			return false;
		}
		desc = queue_read_desc(&queue->descriptors[desc.next]);
	}
	chain->slots = 0;
	chain->out_count = out_count;
	chain->in_count = count - out_count;
	chain->out_bytes = (uint32_t)out_bytes;
	chain->in_bytes = (uint32_t)in_bytes;
	return ((out_bytes | in_bytes) >> 32) == 0;
}

bool queue_split_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	struct queue_desc desc;
	uint16_t head;

	if (queue->available == queue->next_available && !virtqueue_split_has_chain(queue)) {
		return false;
	}
	head = load16(&queue->driver->ring[queue->next_available & (queue->size - 1)]);
	if (head >= queue->size) {
		virtqueue_break(queue, "the available ring names a descriptor that does not exist");
		return false;
	}
	chain->id = head;
	desc = queue_read_desc(&queue->descriptors[head]);
	if (!take_single(queue, chain, desc) && !take_plain(queue, chain, desc) &&
	    !walk_direct(queue, chain, desc)) {
		return false;
	}
	queue->next_available++;
	return true;
}

void queue_split_give(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count)
{
	struct virtq_used_elem *ring = queue->device->ring;
	uint16_t next = queue->next_used;
	uint32_t mask = queue->size - 1u;
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct virtq_used_elem *to = &ring[next++ & mask];

		to->id = done[i].id;
		to->bytes = done[i].bytes;
	}
	queue->next_used = next;
	queue->added = (uint16_t)(queue->added + count);
	__atomic_store_n(&queue->device->idx, next, __ATOMIC_RELEASE);
}

void queue_split_give_one(struct virtqueue *queue, uint16_t id, uint32_t bytes)
{
	uint16_t next = queue->next_used;
	struct virtq_used_elem *to = &queue->device->ring[next & (queue->size - 1u)];

	to->id = id;
	to->bytes = bytes;
	queue->next_used = ++next;
	queue->added++;
	__atomic_store_n(&queue->device->idx, next, __ATOMIC_RELEASE);
}

bool queue_split_needs_interrupt(struct virtqueue *queue)
{
	if (queue->has_event_idx) {
		return queue_passes(load16(used_event(queue)), queue->next_used,
		                    (uint16_t)(queue->next_used - queue->added));
	}
	return (load16(&queue->driver->flags) & VIRTQ_AVAIL_NO_INTERRUPT) == 0;
}

void queue_split_kicks_off(struct virtqueue *queue)
{
	/* With EVENT_IDX the index that was asked for is passed already: no kick comes. */
	if (!queue->has_event_idx) {
		__atomic_store_n(&queue->device->flags, VIRTQ_USED_NO_NOTIFY, __ATOMIC_RELAXED);
	}
}

bool queue_split_kicks_on(struct virtqueue *queue)
{
	if (queue->has_event_idx) {
		__atomic_store_n(avail_event(queue), queue->next_available, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&queue->device->flags, 0, __ATOMIC_RELAXED);
	}
	/* The driver looks at this after it has stored its index; we look at its index after this. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtqueue_split_has_chain(queue);
}
