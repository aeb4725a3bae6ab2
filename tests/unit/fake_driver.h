/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio driver for tests: the guest's side of a virtqueue, split or packed, in a guest memory of the
 * test's own. It does what a well-meaning driver does; tests that want worse write the rings themselves.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/virtio/memory.h"
#include "mgmt/virtio/queue.h"

#define FAKE_LOW_BYTES  0x200000ull
#define FAKE_HIGH_BYTES 0x10000ull

/* Guest memory with a hole and a high part; freshly cleared at each call. */
struct guest_memory fake_guest_memory(void);

struct fake_driver {
	struct guest_memory memory;
	struct vio_queue setup;
	uint64_t features;
	uint64_t indirect;  /* where indirect tables go: one of 4 KiB a head */
	uint16_t free_next; /* next free descriptor or slot */
	uint16_t avail_idx;
	uint16_t used_idx; /* packed: slot */
	bool wrap_avail;
	bool wrap_used;
	uint16_t slots_of[1024]; /* packed: by buffer id */
};

struct fake_piece {
	uint64_t gpa;
	uint32_t bytes;
	bool is_in;
};

/* Lays out a queue of `size` entries from gpa on. */
void fake_driver_init(struct fake_driver *driver, uint64_t gpa, uint16_t size, uint64_t features);

/* Offers a chain; returns its id. Packed and split use an indirect table if is_indirect. */
uint16_t fake_driver_add(struct fake_driver *driver, const struct fake_piece *pieces,
                         uint32_t count, bool is_indirect);

/* Takes one chain that the device gave back; false if there is none. */
bool fake_driver_used(struct fake_driver *driver, uint16_t *id, uint32_t *bytes);

/* Asks for an interrupt after so many more chains (EVENT_IDX, split) or not at all. */
void fake_driver_want_interrupt(struct fake_driver *driver, bool is_wanted);

/* True if the device asked to be kicked for the chains added since old_idx (split: avail index). */
bool fake_driver_must_kick(const struct fake_driver *driver, uint16_t old_idx);
