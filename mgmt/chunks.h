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

/* Bytes of the guest's memory that the machine has back now. */
uint64_t chunks_away_bytes(uint32_t slot, uint64_t memory_bytes);
/* True while the machine has no memory for chunks that are to come back. */
bool chunks_are_short(uint32_t slot);

/* True once after a wish: chunks_poll() has something to do. */
bool chunks_have_news(void);
void chunks_poll(void);
uint64_t chunks_deadline_tsc(void);
