/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues from the device's side: split and packed rings, indirect descriptors, EVENT_IDX
 * (virtio 1.2 2.6 to 2.8). The rings are in guest memory and the guest is hostile: each descriptor is
 * read once into a private copy, all that is in it is checked there, and no chain is longer than
 * VIRTQUEUE_PIECES_MAX. What breaks the rules makes the queue broken, with a reason, for good.
 *
 * Chains are given back in the order in which they were taken. So the ring itself says how far the
 * queue is, and a new mgmt can go on with it (struct vio_progress).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/virtio_channel.h"
#include "mgmt/block/block.h"
#include "mgmt/virtio/memory.h"
#include "mgmt/virtio/virtio.h"

#define VIRTQUEUE_PIECES_MAX 66u /* of one chain: 64 pages of data, a header and a status */

/* The addresses are checked; the guest may change the bytes at any time. No piece is empty. The record is
 * the block layer's, so that pieces go there as they are. */
/* What the driver gave: pieces to read, then pieces to write. */
struct virtqueue_chain {
	uint16_t id;    /* split: head; packed: buffer id */
	uint16_t slots; /* packed: descriptors of the ring that it takes */
	uint32_t out_count;
	uint32_t in_count;
	uint32_t out_bytes;
	uint32_t in_bytes;
	struct block_piece pieces[VIRTQUEUE_PIECES_MAX];
};

struct virtqueue {
	const struct guest_memory *memory;
	uint16_t size;
	bool is_packed;
	bool has_event_idx;
	bool has_indirect;
	bool is_waiting; /* the next chain's memory is on its way: virtqueue_take() gives it later */
	bool is_wrap_available; /* packed: wrap counters */
	bool is_wrap_used;
	uint16_t next_available; /* split: free-running; packed: slot */
	uint16_t next_used;
	uint16_t
		added; /* split: chains, packed: slots given back since the last decision on an interrupt */
	uint16_t available; /* split: the index last read and checked */
	union {
		struct virtq_desc *descriptors;
		struct virtq_packed_desc *packed;
	};
	union {
		struct virtq_avail *driver;
		struct virtq_event *driver_event;
	};
	union {
		struct virtq_used *device;
		struct virtq_event *device_event;
	};
	struct vio_progress *progress; /* packed; mgmt's own memory in all but name */
	const char *broken;            /* NULL, or what the driver did */
};

/* Sets up an enabled queue. False with queue->broken set if its areas are not where they may be. */
bool virtqueue_init(struct virtqueue *queue, const struct guest_memory *memory,
                    const struct vio_queue *setup, uint64_t features,
                    struct vio_progress *progress);

/* The next chain. False if there is none, or it cannot be had yet (the device is poked when it can), or the queue is broken. */
bool virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain);

/* A chain as nearly all of a disk's are: a piece to read, one of data, one to write. Addresses are checked, no piece is empty. */
struct virtqueue_request {
	const void *header;
	uint8_t *data;
	uint8_t *status;
	uint32_t header_bytes;
	uint32_t data_bytes;
	uint32_t status_bytes;
	bool is_in; /* data is to be written */
	uint16_t id;
};

/* For virtqueue_is_empty(): there is a chain to take. */
bool virtqueue_split_has_chain(struct virtqueue *queue);

/* True: virtqueue_take() would find no chain. To know it sooner where taking one needs preparation. */
static inline bool virtqueue_is_empty(struct virtqueue *queue)
{
	if (queue->is_packed || queue->available != queue->next_available) {
		return false;
	}
	/* An index that has not moved has been checked. */
	return __atomic_load_n(&queue->driver->idx, __ATOMIC_ACQUIRE) == queue->available ||
	       !virtqueue_split_has_chain(queue);
}

/* A place in the queue: chains that were taken since are taken again after a rewind. */
struct virtqueue_mark {
	uint16_t next_available;
	bool is_wrap;
};
static inline struct virtqueue_mark virtqueue_mark(const struct virtqueue *queue)
{
	return (struct virtqueue_mark){ queue->next_available, queue->is_wrap_available };
}

void virtqueue_rewind(struct virtqueue *queue, struct virtqueue_mark mark);

/* What is given back of a chain. */
struct virtqueue_done {
	uint16_t id;
	uint16_t slots;
	uint32_t bytes; /* that were written into its pieces */
};

/* Gives several, oldest first; the driver sees all of them at once. */
void virtqueue_give_all(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count);

/* Marks the queue broken. */
void virtqueue_break(struct virtqueue *queue, const char *why);

/* Copies from the chain's readable pieces, or into its writable ones, from byte offset on. Returns the
 * bytes that there were. */
uint32_t virtqueue_read(const struct virtqueue_chain *chain, uint32_t offset, void *to,
                        uint32_t bytes);
uint32_t virtqueue_write(const struct virtqueue_chain *chain, uint32_t offset, const void *from,
                         uint32_t bytes);

/* ---- what every request passes; the rest of these is in queue_packed.c ---- */

static inline uint16_t queue_load16(const uint16_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

/* True if the step from `old` to `now` passes `event` (virtio 1.2 2.7.7.1). */
static inline bool queue_passes(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

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

/* Not empty, and in memory that is there for good. `ram`: guest_memory_plain_bytes(). */
static inline bool queue_is_plain(uint64_t ram, const struct queue_desc *desc)
{
	uint64_t at = desc->address - GUEST_HOLE_END;

	return at < ram && desc->bytes - 1ull < ram - at;
}

/*
 * Looks at the next chain of a split queue that is not empty, and takes nothing. False: it is none like that, or not in memory that is there
 * for good; then virtqueue_take() must look, which reads all of it anew.
 */
static inline bool virtqueue_split_look(const struct virtqueue *queue,
                                        struct virtqueue_request *request)
{
	uint64_t ram = guest_memory_plain_bytes(queue->memory);
	uint8_t *base = queue->memory->base;
	const uint8_t *table = (const uint8_t *)queue->descriptors;
	uint32_t size = queue->size;
	uint16_t head = queue_load16(&queue->driver->ring[queue->next_available & (size - 1)]);
	struct queue_desc header;
	struct queue_desc data;
	struct queue_desc status;

	if (head >= size) {
		return false;
	}
	header = queue_read_desc(table + 16u * head);
	if (header.flags == VIRTQ_DESC_INDIRECT) {
		if (!queue->has_indirect || header.bytes != 3 * 16 ||
		    !queue_is_plain(ram, &header)) {
			return false;
		}
		table = base + header.address;
		size = 3;
		header = queue_read_desc(table);
	}
	if (header.flags != VIRTQ_DESC_NEXT || header.next >= size ||
	    !queue_is_plain(ram, &header)) {
		return false;
	}
	data = queue_read_desc(table + 16u * header.next);
	if ((data.flags & ~(uint32_t)VIRTQ_DESC_WRITE) != VIRTQ_DESC_NEXT || data.next >= size ||
	    !queue_is_plain(ram, &data)) {
		return false;
	}
	status = queue_read_desc(table + 16u * data.next);
	if (status.flags != VIRTQ_DESC_WRITE || !queue_is_plain(ram, &status)) {
		return false;
	}
	*request = (struct virtqueue_request){ .header = base + header.address,
		                               .data = base + data.address,
		                               .status = base + status.address,
		                               .header_bytes = header.bytes,
		                               .data_bytes = data.bytes,
		                               .status_bytes = status.bytes,
		                               .is_in = (data.flags & VIRTQ_DESC_WRITE) != 0,
		                               .id = head };
	return true;
}

/* Takes the chain that virtqueue_split_look() has shown, and gives it back; none was taken before it that is still out. */
static inline void virtqueue_split_answer(struct virtqueue *queue, uint16_t id, uint32_t bytes)
{
	queue->next_available++;
	queue_split_give_one(queue, id, bytes);
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
	return !virtqueue_is_empty(queue);
}

void queue_packed_give(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count);
void queue_packed_give_one(struct virtqueue *queue, const struct virtqueue_chain *chain,
                           uint32_t bytes);
bool queue_packed_needs_interrupt(struct virtqueue *queue);
void queue_packed_kicks_off(struct virtqueue *queue);
bool queue_packed_kicks_on(struct virtqueue *queue);

/* Gives the oldest chain that was taken back to the driver; bytes were written into its pieces. */
static inline void virtqueue_give(struct virtqueue *queue, const struct virtqueue_chain *chain,
                                  uint32_t bytes)
{
	if (queue->broken != NULL) {
		return;
	}
	if (queue->is_packed) {
		queue_packed_give_one(queue, chain, bytes);
	} else {
		queue_split_give_one(queue, chain->id, bytes);
	}
}

/* True if the driver wants an interrupt for what was given back since the last call. */
static inline bool virtqueue_needs_interrupt(struct virtqueue *queue)
{
	bool is_needed;

	if (queue->added == 0 || queue->broken != NULL) {
		return false;
	}
	/* The driver must see the used entries before we look at what it wants (virtio 1.2 2.7.7.2). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	is_needed = queue->is_packed ? queue_packed_needs_interrupt(queue)
	                             : queue_split_needs_interrupt(queue);
	queue->added = 0;
	return is_needed;
}

/* Kicks off: the device looks by itself. */
static inline void virtqueue_kicks_off(struct virtqueue *queue)
{
	if (queue->broken != NULL) {
		return;
	}
	if (queue->is_packed) {
		queue_packed_kicks_off(queue);
	} else {
		queue_split_kicks_off(queue);
	}
}

/* Kicks on: true if a chain came meanwhile, so look again. */
static inline bool virtqueue_kicks_on(struct virtqueue *queue)
{
	bool is_more;

	if (queue->broken != NULL) {
		return false;
	}
	is_more = queue->is_packed ? queue_packed_kicks_on(queue) : queue_split_kicks_on(queue);
	return is_more && !queue->is_waiting;
}
