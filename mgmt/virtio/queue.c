// SPDX-License-Identifier: Apache-2.0
/*
 * Virtqueues, what split and packed rings share: set-up, private copies of descriptors and their
 * checks, copies of data (see queue.h). The formats are in queue_split.c and queue_packed.c.
 */
#include "mgmt/virtio/queue_internal.h"

#include <string.h>

void virtqueue_break(struct virtqueue *queue, const char *why)
{
	if (queue->broken == NULL) {
		queue->broken = why;
	}
}

static void *area(struct virtqueue *queue, uint64_t gpa, uint64_t bytes, uint64_t alignment)
{
	void *at = guest_memory_at(queue->memory, gpa, bytes);

	if (at == NULL) {
		virtqueue_break(queue, "a ring is not in the guest's memory");
	} else if ((gpa & (alignment - 1)) != 0) {
		virtqueue_break(queue, "a ring is not aligned");
	}
	return at;
}

bool virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory,
                    const struct vio_queue *setup, uint64_t features, struct vio_progress *progress)
{
	uint32_t size = setup->size;

	memset(queue, 0, sizeof(*queue));
	queue->memory = memory;
	queue->progress = progress;
	queue->is_packed = (features & VIRTIO_F_RING_PACKED) != 0;
	queue->has_event_idx = (features & VIRTIO_F_EVENT_IDX) != 0;
	queue->has_indirect = (features & VIRTIO_F_INDIRECT_DESC) != 0;
	/* Packed rings may have any size (virtio 1.2 2.8), split ones a power of two. */
	if (size == 0 || size > VIO_QUEUE_SIZE_MAX ||
	    (!queue->is_packed && (size & (size - 1)) != 0)) {
		virtqueue_break(queue, "a queue has a size that is not allowed");
		return false;
	}
	queue->size = (uint16_t)size;
	queue->descriptors = area(queue, setup->descriptors, 16ull * size, 16);
	if (queue->is_packed) {
		queue->driver_event = area(queue, setup->driver, sizeof(struct virtq_event), 4);
		queue->device_event = area(queue, setup->device, sizeof(struct virtq_event), 4);
	} else {
		queue->driver = area(queue, setup->driver, 6 + 2ull * size, 2);
		queue->device = area(queue, setup->device, 6 + 8ull * size, 4);
	}
	if (queue->broken != NULL) {
		return false;
	}
	if (queue->is_packed) {
		queue_packed_resume(queue);
	} else {
		queue_split_resume(queue);
	}
	return queue->broken == NULL;
}

bool queue_refuse_piece(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        const struct queue_desc *desc)
{
	bool is_in = (desc->flags & VIRTQ_DESC_WRITE) != 0;

	if (desc->bytes == 0) {
		virtqueue_break(queue, "a descriptor's length is not allowed");
	} else if (!is_in && chain->in_count != 0) {
		virtqueue_break(queue, "a readable descriptor follows a writable one");
	} else if (chain->out_count + chain->in_count == VIRTQUEUE_PIECES_MAX) {
		virtqueue_break(queue, "a chain has too many descriptors");
	} else {
		virtqueue_break(queue, "a chain's length is not allowed");
	}
	return false;
}

/* Is the range on its way? Then the queue waits. */
static bool is_coming(struct virtqueue *queue, const struct queue_desc *desc)
{
	queue->is_waiting = guest_memory_miss(queue->memory, desc->address, desc->bytes);
	return queue->is_waiting;
}

bool queue_refuse_address(struct virtqueue *queue, const struct queue_desc *desc)
{
	if (desc->bytes == 0) {
		virtqueue_break(queue, "a descriptor's length is not allowed");
	} else if (!is_coming(queue, desc)) {
		virtqueue_break(queue, "a descriptor points outside the guest's memory");
	}
	return false;
}

const uint8_t *queue_indirect_table(struct virtqueue *queue, const struct queue_desc *desc,
                                    uint32_t *count)
{
	const uint8_t *table;

	if (!queue->has_indirect) {
		virtqueue_break(queue, "an indirect descriptor without VIRTIO_F_INDIRECT_DESC");
		return NULL;
	}
	/* Not longer than the queue, virtio 1.2 2.7.5.3.1; VIRTQUEUE_PIECES_MAX bounds it further. */
	if (desc->bytes == 0 || desc->bytes % 16 != 0 || desc->bytes / 16 > VIO_QUEUE_SIZE_MAX) {
		virtqueue_break(queue, "an indirect table's length is not allowed");
		return NULL;
	}
	if ((desc->flags & VIRTQ_DESC_NEXT) != 0) {
		virtqueue_break(queue, "an indirect descriptor has a next one");
		return NULL;
	}
	table = guest_memory_at(queue->memory, desc->address, desc->bytes);
	if (table == NULL) {
		if (!is_coming(queue, desc)) {
			virtqueue_break(queue, "an indirect table is outside the guest's memory");
		}
		return NULL;
	}
	*count = desc->bytes / 16;
	return table;
}

bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	if (queue->broken != NULL) {
		return false;
	}
	queue->is_waiting = false;
	return queue->is_packed ? queue_packed_take(queue, chain) : queue_split_take(queue, chain);
}

void virtqueue_rewind(struct virtqueue *queue, struct virtqueue_mark mark)
{
	queue->next_available = mark.next_available;
	queue->is_wrap_available = mark.is_wrap;
}

void virtqueue_give_all(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count)
{
	if (queue->broken != NULL || count == 0) {
		return;
	}
	if (queue->is_packed) {
		queue_packed_give(queue, done, count);
	} else {
		queue_split_give(queue, done, count);
	}
}

/* Finds the part of the pieces from *offset on: piece *i, *part bytes of it. False at the end. */
static bool find_part(const struct block_piece *pieces, uint32_t count, uint32_t *i,
                      uint32_t *offset, uint32_t *part)
{
	while (*i < count && *offset >= pieces[*i].bytes) {
		*offset -= pieces[*i].bytes;
		(*i)++;
	}
	if (*i == count) {
		return false;
	}
	*part = *part < pieces[*i].bytes - *offset ? *part : pieces[*i].bytes - *offset;
	return true;
}

uint32_t virtqueue_read(const struct virtqueue_chain *chain, uint32_t offset, void *to,
                        uint32_t bytes)
{
	uint32_t done = 0;
	uint32_t part = bytes;
	uint32_t i = 0;

	while (done < bytes && find_part(chain->pieces, chain->out_count, &i, &offset, &part)) {
		memcpy((uint8_t *)to + done, (uint8_t *)chain->pieces[i].address + offset, part);
		done += part;
		offset += part;
		part = bytes - done;
	}
	return done;
}

uint32_t virtqueue_write(const struct virtqueue_chain *chain, uint32_t offset, const void *from,
                         uint32_t bytes)
{
	const struct block_piece *pieces = chain->pieces + chain->out_count;
	uint32_t done = 0;
	uint32_t part = bytes;
	uint32_t i = 0;

	while (done < bytes && find_part(pieces, chain->in_count, &i, &offset, &part)) {
		memcpy((uint8_t *)pieces[i].address + offset, (const uint8_t *)from + done, part);
		done += part;
		offset += part;
		part = bytes - done;
	}
	return done;
}
