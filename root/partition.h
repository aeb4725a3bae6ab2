/* SPDX-License-Identifier: Apache-2.0 */
/* What root holds of one partition. Of partition.c, and of devices.c for the part that mgmt serves. */
#pragma once

#include "root/root.h"

struct partition {
	struct owned owned;
	bh_handle_t domain, vm, events, channel, console, command_event, console_event;
	bh_handle_t devices, device_event; /* 0 without VMM_CONFIG_DEVICES */
	bh_handle_t ports;                 /* rings of virtio-console's ports; 0 = none */
	uint32_t ports_count;
	uint32_t memory_first, memory_end; /* in owned.handles: guest memory, in its order */
	uint16_t vcpus[BH_MAX_VCPUS];
	uint16_t threads[BH_MAX_VCPUS + 1];
	uint32_t slot;
	uint32_t vcpus_count;
	uint64_t memory_bytes;
	uint64_t low_bytes;
	/* with VMM_CONFIG_BALLOON; else NULL and 0 */
	struct bh_chunks *chunks;
	bh_handle_t chunks_region;
	uint64_t chunk_bytes;
	bool is_attached; /* mgmt has the guest's memory mapped */
};

/* The parts of guest memory, which a caller may see as one run of offsets, and where each lies in the guest. */
struct guest_span {
	uint64_t offset; /* in the guest's memory */
	uint64_t size;
	uint64_t gpa;
	bool is_hole;
};

/* How many of the four there are. */
uint32_t partition_guest_spans(const struct partition *partition, struct guest_span spans[4]);

/* Map the piece of guest memory that begins at `offset` into the guest and into its VMM; into mgmt. Return enum bh_error. */
int partition_piece_map(const struct partition *partition, bh_handle_t region, uint64_t offset,
                        uint64_t size);
int devices_piece_map(const struct partition *partition, bh_handle_t region, uint64_t offset,
                      uint64_t size);

/* ---- root/chunks.c: guest memory that can be given back ---- */

/* All of a guest's memory, in chunks. Returns enum bh_error. */
int chunks_make(struct partition *partition, uint32_t slot);
int chunks_attach_mgmt(struct partition *partition, uint32_t slot);
void chunks_close(struct partition *partition);
int chunks_change(struct partition *partition, const struct root_partition_params *params,
                  bool is_given);

/* Device pages and the events of both sides (VMM_CONFIG_DEVICES), before the VMM starts. Returns enum bh_error. */
int devices_make(struct partition *partition, uint32_t slot);
/* Give mgmt the device pages, the events, the right to interrupt the guest, and its memory. Returns enum bh_error. */
int devices_attach_mgmt(struct partition *partition, uint32_t slot);
