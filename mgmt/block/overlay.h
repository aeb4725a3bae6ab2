/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An in-memory overlay on a block device: what is written goes into memory, the base is never written.
 * The memory is kept by root, so a new mgmt finds the overlay as it was.
 */
#pragma once

#include "mgmt/block/block.h"

struct overlay;

/* Bytes of memory for an overlay with room for data_bytes of written blocks; 0 = for all of the base. */
uint64_t overlay_bytes_needed(const struct block_device *base, uint64_t data_bytes);

/* Opens the overlay in memory that is cleared or holds one already on a base of this size. NULL if there is no
 * memory for its record. */
struct overlay *overlay_open(struct block_device *base, void *memory, uint64_t bytes);
struct block_device *overlay_device(struct overlay *overlay);

/* No request is under way. */
void overlay_close(struct overlay *overlay);
