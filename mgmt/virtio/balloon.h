/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (virtio 1.2 5.5): pages that a guest lends back. A bit for each of them is in a record that root keeps;
 * when all pages of a chunk are lent, the chunk goes back to the machine (mgmt/chunks.h), and before the guest has
 * one of them again, it is there again, cleared. A page counts once, and only if it is the guest's own RAM.
 *
 * With free-page reporting the driver also tells which pages are free just now. Chunks that one report covers whole go before the report is
 * answered; after that the guest uses them again without a word, and gets them cleared at the first touch (mgmt/chunks.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/virtio/backend.h"

/* Of the driver, in bytes; 0 and false while it has not said (virtio 1.2 5.5.6.3). */
#define BALLOON_STATS 10u

struct balloon_info {
	uint64_t lent_bytes;    /* pages in the balloon */
	uint64_t wanted_bytes;  /* size of the balloon that the driver is asked for */
	uint64_t refused_count; /* page numbers that were out of range, twice there, or not there */
	bool has_stat[BALLOON_STATS];
	uint64_t stats[BALLOON_STATS];
	bool is_reporting; /* the driver reports free pages */
	uint64_t
		reported_bytes; /* of chunks that went because of reports, since this mgmt's start */
	uint64_t stats_count;   /* how often the driver has told them */
};

extern const char *const balloon_stat_names[BALLOON_STATS];

struct balloon_params {
	uint64_t memory_bytes;
	uint64_t wanted_bytes;
	bool can_report; /* offer free-page reporting */
};

/* The guest's chunks are attached. */
struct virtio_device *balloon_add(uint32_t slot, uint32_t idx, const struct balloon_params *params);

/* Asks the driver for a balloon of this size. */
void balloon_want(struct virtio_device *device, uint64_t bytes);

void balloon_info(const struct virtio_device *device, struct balloon_info *info);

/* Asks the driver for new statistics; false if it tells none. */
bool balloon_ask_stats(struct virtio_device *device);
