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

/* Gives the oldest chain that was taken back to the driver; bytes were written into its pieces. */
void virtqueue_give(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t bytes);

/* Gives several, oldest first; the driver sees all of them at once. */
void virtqueue_give_all(struct virtqueue *queue, const struct virtqueue_done *done, uint32_t count);

/* True if the driver wants an interrupt for what was given back since the last call. */
bool virtqueue_needs_interrupt(struct virtqueue *queue);

/* Kicks off: the device looks by itself. Kicks on: true if a chain came meanwhile, so look again. */
void virtqueue_kicks_off(struct virtqueue *queue);
bool virtqueue_kicks_on(struct virtqueue *queue);

/* Marks the queue broken. */
void virtqueue_break(struct virtqueue *queue, const char *why);

/* Copies from the chain's readable pieces, or into its writable ones, from byte offset on. Returns the
 * bytes that there were. */
uint32_t virtqueue_read(const struct virtqueue_chain *chain, uint32_t offset, void *to,
                        uint32_t bytes);
uint32_t virtqueue_write(const struct virtqueue_chain *chain, uint32_t offset, const void *from,
                         uint32_t bytes);
