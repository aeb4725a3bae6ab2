/* SPDX-License-Identifier: Apache-2.0 */
/* What queue.c and the two ring formats share. Everybody else includes queue.h. */
#pragma once

#include "mgmt/virtio/queue.h"

/* A descriptor's private copy, the same for both formats. */
struct queue_desc {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next; /* split: next; packed: buffer id */
};

/* Sixteen bytes anywhere in guest memory: an indirect table need not be aligned. */
struct queue_desc_words {
	uint64_t address;
	uint64_t rest;
} __attribute__((packed));

/* Reads a descriptor exactly once. */
static inline struct queue_desc queue_read_desc(const void *at)
{
	const volatile struct queue_desc_words *words = at;
	uint64_t first = words->address;
	uint64_t second = words->rest;
	struct queue_desc desc = {
		.address = first,
		.bytes = (uint32_t)second,
		.flags = (uint16_t)(second >> 32),
		.next = (uint16_t)(second >> 48),
	};

	return desc;
}

static inline uint16_t queue_load16(const uint16_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

/* True if the step from `old` to `now` passes `event` (virtio 1.2 2.7.7.1). */
static inline bool queue_passes(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* A chain begins without pieces. */
static inline void queue_clear(struct virtqueue_chain *chain)
{
	chain->out_count = 0;
	chain->in_count = 0;
	chain->out_bytes = 0;
	chain->in_bytes = 0;
	chain->slots = 0;
}

/* Breaks the queue, with the reason why this descriptor cannot be the chain's next piece. False. */
bool queue_refuse_piece(struct virtqueue *queue, const struct virtqueue_chain *chain,
                        const struct queue_desc *desc);

/* The same for one whose bytes are not there, unless they are on their way: then the queue waits. */
bool queue_refuse_address(struct virtqueue *queue, const struct queue_desc *desc);

/* Checks a descriptor and adds it to the chain; false: the queue is broken, or waits. Here, since every descriptor passes it. */
static inline __attribute__((always_inline)) bool queue_add_piece(struct virtqueue *queue,
                                                                  struct virtqueue_chain *chain,
                                                                  const struct queue_desc *desc)
{
	uint32_t count = chain->out_count + chain->in_count;
	uint8_t *address = guest_memory_at(queue->memory, desc->address, desc->bytes);

	if (address == NULL) {
		return queue_refuse_address(queue, desc);
	}
	if (count == VIRTQUEUE_PIECES_MAX || desc->bytes == 0) {
		return queue_refuse_piece(queue, chain, desc);
	}
	chain->pieces[count] = (struct block_piece){ address, desc->bytes };
	if ((desc->flags & VIRTQ_DESC_WRITE) != 0) {
		chain->in_count++;
		return !__builtin_add_overflow(chain->in_bytes, desc->bytes, &chain->in_bytes) ||
		       queue_refuse_piece(queue, chain, desc);
	}
	chain->out_count++;
	return (chain->in_count == 0 &&
	        !__builtin_add_overflow(chain->out_bytes, desc->bytes, &chain->out_bytes)) ||
	       queue_refuse_piece(queue, chain, desc);
}

/* The checked table of an indirect descriptor; NULL: the queue is broken, or waits. */
const uint8_t *queue_indirect_table(struct virtqueue *queue, const struct queue_desc *desc,
                                    uint32_t *count);

void queue_split_resume(struct virtqueue *queue);
bool queue_split_take(struct virtqueue *queue, struct virtqueue_chain *chain);
void queue_split_give(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count);

void queue_packed_resume(struct virtqueue *queue);
bool queue_packed_take(struct virtqueue *queue, struct virtqueue_chain *chain);
void queue_packed_give(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count);
bool queue_packed_needs_interrupt(struct virtqueue *queue);
void queue_packed_kicks_off(struct virtqueue *queue);
bool queue_packed_kicks_on(struct virtqueue *queue);

/* ---- split, what every request passes ---- */

static inline uint16_t *queue_used_event(const struct virtqueue *queue)
{
	return &queue->driver->ring[queue->size];
}

static inline uint16_t *queue_avail_event(const struct virtqueue *queue)
{
	return (uint16_t *)(void *)&queue->device->ring[queue->size];
}

static inline void queue_split_give_one(struct virtqueue *queue, uint16_t id, uint32_t bytes)
{
	uint16_t next = queue->next_used;
	struct virtq_used_elem *to = &queue->device->ring[next & (queue->size - 1u)];

	to->id = id;
	to->bytes = bytes;
	queue->next_used = ++next;
	queue->added++;
	__atomic_store_n(&queue->device->idx, next, __ATOMIC_RELEASE);
}

static inline bool queue_split_needs_interrupt(struct virtqueue *queue)
{
	if (queue->has_event_idx) {
		return queue_passes(queue_load16(queue_used_event(queue)), queue->next_used,
		                    (uint16_t)(queue->next_used - queue->added));
	}
	return (queue_load16(&queue->driver->flags) & VIRTQ_AVAIL_NO_INTERRUPT) == 0;
}

static inline void queue_split_kicks_off(struct virtqueue *queue)
{
	/* With EVENT_IDX the index that was asked for is passed already: no kick comes. */
	if (!queue->has_event_idx) {
		__atomic_store_n(&queue->device->flags, VIRTQ_USED_NO_NOTIFY, __ATOMIC_RELAXED);
	}
}

static inline bool queue_split_kicks_on(struct virtqueue *queue)
{
	if (queue->has_event_idx) {
		__atomic_store_n(queue_avail_event(queue), queue->next_available, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&queue->device->flags, 0, __ATOMIC_RELAXED);
	}
	/* The driver looks at this after it has stored its index; we look at its index after this. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtqueue_split_has_chain(queue);
}
