/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio devices that mgmt serves: one record for each device of a guest, between its page
 * (bulkhead/virtio_channel.h) and what it is: a disk, a network interface.
 *
 * Life of a device: it is offered (virtio_device_add), its driver starts it (queues set up, start()), kicks
 * make it ready (work()), its driver or VMM resets it (stop(), and once is_idle() the reset is acknowledged).
 * What the driver does wrong makes it broken until a reset. A new mgmt adds the devices of the ledger again and finds
 * their drivers running.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/virtio/queue.h"

struct virtio_device;

struct virtio_operations {
	const char *name; /* "blk", "net" */
	/* The driver is there: queues and features are set. Breaks the device if something is wrong. */
	void (*start)(struct virtio_device *device);
	/* Looks at the queues, for a bounded time; true if there is more to do in the next turn. */
	bool (*work)(struct virtio_device *device);
	/* From now on no ring is touched. */
	void (*stop)(struct virtio_device *device);
	/* False while requests are out that still may touch the guest's memory. NULL: never. */
	bool (*is_idle)(const struct virtio_device *device);
	/* Frees device->own. The device is idle. */
	void (*destroy)(struct virtio_device *device);
	/* Do requests that are out touch any of mgmt's bytes [from, end)? NULL: none is ever out. */
	bool (*uses)(const struct virtio_device *device, const uint8_t *from, const uint8_t *end);
	/* The VMM has something to say that is no change of generation. NULL: nothing is of interest. */
	void (*told)(struct virtio_device *device);
};

struct virtio_device {
	uint32_t slot;
	uint32_t idx;
	const struct virtio_operations *operations;
	void *own;
	struct vio_device *page;
	uint64_t offered;  /* features */
	uint64_t features; /* accepted by the driver; 0 while it is not running */
	uint32_t generation;
	bool is_seen;     /* generation is valid */
	bool is_running;  /* the rings may be touched */
	bool is_broken;   /* until the next generation */
	bool is_stopping; /* a change of generation waits for is_idle() */
	bool is_leaving;  /* the guest is asked to let it go */
	bool is_removed;  /* goes away once it is idle */
	bool is_ready;    /* is in the list of those with work */
	struct virtio_device *next_ready;
	uint32_t queues_count;
	uint32_t queue_size_max;
	struct virtqueue *queues; /* queues_count; those that are not enabled have size 0 */
	uint64_t breaks_count;
	uint64_t kick_tsc; /* of the first kick that no turn has answered; 0: none */
};

struct virtio_offer {
	uint32_t type;     /* enum virtio_type */
	uint64_t features; /* the device's own bits; those of rings and transport are added */
	uint32_t queues_count;
	uint32_t queue_size_max;
	const void *config;
	uint32_t config_bytes;
};

/* A partition with device pages is there (new, or found by a new mgmt) or goes. After virtio_slot_end() no
 * device of it touches guest memory once virtio_slot_is_idle(). */
void virtio_slot_begin(uint32_t slot, uint64_t memory_bytes);
void virtio_slot_end(uint32_t slot);
bool virtio_slot_is_idle(uint32_t slot);
bool virtio_slot_is_there(uint32_t slot);

/* The guest's memory as its devices see it. */
struct guest_memory *virtio_slot_memory(uint32_t slot);

/* True while a ring or a request of any of the guest's devices lies in mgmt's bytes [from, end), or may. */
bool virtio_slot_uses(uint32_t slot, const uint8_t *from, const uint8_t *end);

/* Offers a device to the guest. NULL if there is no memory or the place is taken. */
struct virtio_device *virtio_device_add(uint32_t slot, uint32_t idx,
                                        const struct virtio_operations *operations, void *own,
                                        const struct virtio_offer *offer);
/* Asks the guest to let the device go; destroy() is called once it has, and the device is idle. */
void virtio_device_remove(struct virtio_device *device);
struct virtio_device *virtio_device_at(uint32_t slot, uint32_t idx);

/* The device's configuration changed: size of a disk, link of a network. */
void virtio_device_set_config(struct virtio_device *device, const void *config, uint32_t bytes);

/* The driver broke the rules. */
void virtio_device_break(struct virtio_device *device, const char *why);
/* True, and the device is broken, if the queue is. */
bool virtio_device_check_queue(struct virtio_device *device, const struct virtqueue *queue);

/* Tells the driver of what was given back in the queue, if it wants to know. */
void virtio_device_interrupt(struct virtio_device *device, uint32_t queue_idx);

/* Has work() called in this turn or the next. */
void virtio_device_poke(struct virtio_device *device);

/* Counts a span of time. */
static inline void virtio_time_add(struct bh_time *time, uint64_t ticks)
{
	uint32_t idx = 63 - (uint32_t)__builtin_clzll(ticks >> 7 | 1);

	time->total_tsc += ticks;
	if (ticks > time->max_tsc) {
		time->max_tsc = ticks;
	}
	time->histogram[idx < BH_TIME_BUCKETS ? idx : BH_TIME_BUCKETS - 1]++;
}

/* Looks whether drivers of this slot were started or reset. After MGMT_EVENT_VMM + slot. */
void virtio_slot_look(uint32_t slot);

/* The words of events that are kicks. */
#define MGMT_EVENT_KICK_WORDS (~0u << MGMT_EVENT_KICK / 64)

/* The devices whose kick events are set in `bits`, which is this word of events, one of MGMT_EVENT_KICK_WORDS. */
void virtio_take_kicks(uint32_t word, uint64_t bits, uint64_t now);

/* One turn of all that is ready; true if there is more. */
bool virtio_work(void);
