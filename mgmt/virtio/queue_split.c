// SPDX-License-Identifier: Apache-2.0
/*
 * Split virtqueues (virtio 1.2 2.7): descriptor table, available ring, used ring.
 *
 * Chains are taken and given back in the same order, so chain n of the available ring is entry n of
 * the used ring, and used->idx is where a new mgmt goes on.
 */
#include "mgmt/virtio/queue_internal.h"

void queue_split_resume(struct virtqueue *queue)
{
	queue->next_used = queue_load16(&queue->device->idx);
	queue->next_available = queue->next_used;
	queue->available = queue->next_used;
}

bool virtqueue_split_has_chain(struct virtqueue *queue)
{
	if (queue->available != queue->next_available) {
		return true;
	}
	queue->available = queue_load16(&queue->driver->idx);
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
 * A chain of several as it should be, which nearly all of a disk's are, in memory that is there for good. False: walk_direct() must look; it
 * reads all of them but the first anew, and nothing of what was read here counts.
 */
static __attribute__((noinline)) bool take_plain(const struct virtqueue *queue,
                                                 struct virtqueue_chain *chain,
                                                 struct queue_desc desc)
{
	const struct guest_memory *memory = queue->memory;
	struct block_piece *piece = chain->pieces;
	uint64_t ram = guest_memory_plain_bytes(memory);
	uint64_t out_bytes = 0;
	uint64_t all_bytes = 0;
	struct block_piece *in = NULL; /* the first writable one */

	for (;;) {
		if (!queue_is_plain(ram, &desc) || piece == &chain->pieces[VIRTQUEUE_PIECES_MAX]) {
			return false;
		}
		if ((desc.flags & VIRTQ_DESC_WRITE) == 0) {
			if (in != NULL) {
				return false;
			}
		} else if (in == NULL) {
			in = piece;
			out_bytes = all_bytes;
		}
		*piece++ = (struct block_piece){ memory->base + desc.address, desc.bytes };
		all_bytes += desc.bytes;
		if ((desc.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) != VIRTQ_DESC_NEXT ||
		    desc.next >= queue->size) {
			break;
		}
		desc = queue_read_desc(&queue->descriptors[desc.next]);
	}
	if (in == NULL) {
		in = piece;
		out_bytes = all_bytes;
	}
	chain->slots = 0;
	chain->out_count = (uint32_t)(in - chain->pieces);
	chain->in_count = (uint32_t)(piece - in);
	chain->out_bytes = (uint32_t)out_bytes;
	chain->in_bytes = (uint32_t)(all_bytes - out_bytes);
	/* It ended as a chain does, and its length can be told. */
	return (desc.flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)) == 0 && all_bytes >> 32 == 0;
}

bool queue_split_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	struct queue_desc desc;
	uint16_t head;

	if (queue->available == queue->next_available && !virtqueue_split_has_chain(queue)) {
		return false;
	}
	head = queue_load16(&queue->driver->ring[queue->next_available & (queue->size - 1)]);
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
