/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the virtio standard, version 1.2, that the backends use: feature bits and the layouts of
 * rings (2.7, 2.8). The transport's registers are the VMM's.
 */
#pragma once

#include <stdint.h>

/* Device types (virtio 1.2 5). */
enum virtio_type {
	VIRTIO_TYPE_NONE = 0,
	VIRTIO_TYPE_NET = 1,
	VIRTIO_TYPE_BLOCK = 2,
	VIRTIO_TYPE_CONSOLE = 3,
	VIRTIO_TYPE_RNG = 4,
	VIRTIO_TYPE_BALLOON = 5,
	VIRTIO_TYPE_VSOCK = 19,
};

/* Feature bits of rings and transport (virtio 1.2 6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)
#define VIRTIO_F_RING_PACKED   (1ull << 34)
#define VIRTIO_F_RING          (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_RING_PACKED)

/* Descriptor flags, both ring formats. */
#define VIRTQ_DESC_NEXT     0x1u
#define VIRTQ_DESC_WRITE    0x2u /* the device writes */
#define VIRTQ_DESC_INDIRECT 0x4u
#define VIRTQ_DESC_AVAIL    0x80u   /* packed */
#define VIRTQ_DESC_USED     0x8000u /* packed */

/* Split: descriptor table (2.7.5). */
struct virtq_desc {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2 2.7.5");

/* Split: available ring (2.7.6); after ring[size] follows used_event. */
struct virtq_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};
#define VIRTQ_AVAIL_NO_INTERRUPT 0x1u

struct virtq_used_elem {
	uint32_t id;
	uint32_t bytes;
};

/* Split: used ring (2.7.8); after ring[size] follows avail_event. */
struct virtq_used {
	uint16_t flags;
	uint16_t idx;
	struct virtq_used_elem ring[];
};
#define VIRTQ_USED_NO_NOTIFY 0x1u

/* Packed: descriptor ring (2.8.13). */
struct virtq_packed_desc {
	uint64_t address;
	uint32_t bytes;
	uint16_t id;
	uint16_t flags;
};
_Static_assert(sizeof(struct virtq_packed_desc) == 16, "virtio 1.2 2.8.13");

/* Packed: event suppression structure (2.8.14). */
struct virtq_event {
	uint16_t off_wrap; /* slot, wrap counter in bit 15 */
	uint16_t flags;    /* enum virtq_event_flags in bits 1:0 */
};

enum virtq_event_flags {
	VIRTQ_EVENT_ENABLE = 0,
	VIRTQ_EVENT_DISABLE = 1,
	VIRTQ_EVENT_DESC = 2, /* when off_wrap is reached; with EVENT_IDX only */
};
