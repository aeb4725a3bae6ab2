/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of guests' memory between their balloons and root: which are to be given back to the machine, which are to
 * come back. Nothing here waits: a chunk that a device still works on, or for which there is no memory, is tried
 * again by chunks_poll().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The guest in this slot has chunks (VMM_CONFIG_BALLOON), and devices that may poke() when chunks came or went; or no more. */
void chunks_attach(uint32_t slot, uint32_t device_idx);
void chunks_detach(uint32_t slot);
bool chunks_are_there(uint32_t slot);

/* Wishes; the later one counts. Chunk 0 never goes. */
void chunks_give(uint32_t slot, uint32_t idx);
void chunks_take(uint32_t slot, uint32_t idx);

/*
 * A chunk that the guest reported free: goes now or not at all, so that nothing is taken later which the guest uses again. Settled: it has
 * gone, or will not go.
 */
void chunks_report(uint32_t slot, uint32_t idx);
bool chunks_is_settled(uint32_t slot, uint32_t idx);

/*
 * Is all of the chunk in the guest's balloon? Then it comes back by chunks_take() alone; else also when the guest touches it (its VMM says
 * so in wanted_chunks) or one of its devices does (guest_memory_miss).
 */
void chunks_set_lent(uint32_t slot, uint32_t idx, bool is_lent);

/* Bytes that came back because they were touched, since this mgmt's start. */
uint64_t chunks_touched_bytes(uint32_t slot);

/* Bytes of the guest's memory that the machine has back now. */
uint64_t chunks_away_bytes(uint32_t slot, uint64_t memory_bytes);
/* True while the machine has no memory for chunks that are to come back. */
bool chunks_are_short(uint32_t slot);

/* True once after a wish: chunks_poll() has something to do. */
bool chunks_have_news(void);
void chunks_poll(void);
uint64_t chunks_deadline_tsc(void);
