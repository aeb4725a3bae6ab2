/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-pci driver for tests (virtio 1.2, modern): finds functions, negotiates, sets up split or packed rings of its own, and lets a
 * test put anything at all into them. Everything is polled; one request at a time.
 */
#pragma once

#include "guests/lib/guest.h"

#define QUEUE_SIZE           64u
#define QUEUES_MAX           4u

#define TYPE_NET             1u
#define TYPE_BLOCK           2u
#define TYPE_CONSOLE         3u
#define TYPE_RNG             4u
#define TYPE_BALLOON         5u
#define TYPE_VSOCK           19u

#define F_BALLOON_REPORTING  (1ull << 5)
#define F_INDIRECT           (1ull << 28)
#define F_EVENT_IDX          (1ull << 29)
#define F_VERSION_1          (1ull << 32)
#define F_PACKED             (1ull << 34)
#define F_RING_RESET         (1ull << 40)

#define DESC_NEXT            1u
#define DESC_WRITE           2u
#define DESC_INDIRECT        4u
#define DESC_AVAIL           0x80u /* packed */
#define DESC_USED            0x8000u

#define STATUS_DRIVER_OK     4u
#define STATUS_FEATURES_OK   8u
#define STATUS_NEEDS_RESET   0x40u

#define COMMON_CONFIG_VECTOR 0x10u
#define COMMON_QUEUES        0x12u
#define COMMON_STATUS        0x14u
#define COMMON_QUEUE_SELECT  0x16u
#define COMMON_QUEUE_SIZE    0x18u
#define COMMON_QUEUE_VECTOR  0x1au
#define COMMON_QUEUE_ENABLE  0x1cu
#define COMMON_QUEUE_DESC    0x20u
#define COMMON_QUEUE_RESET   0x3au

struct desc {
	uint64_t address;
	uint32_t length;
	uint16_t flags_or_id; /* split: flags; packed: buffer id */
	uint16_t next_or_flags;
};

/* One ring; its parts lie a page apart. */
struct queue {
	struct desc desc[QUEUE_SIZE] __attribute__((aligned(4096)));
	volatile uint16_t avail[4 + QUEUE_SIZE]
		__attribute__((aligned(4096))); /* flags, idx, ring, event */
	volatile uint16_t used[4 + QUEUE_SIZE * 4] __attribute__((aligned(4096)));
	uint16_t idx; /* of the queue */
	bool is_packed;
	uint16_t next_avail; /* split: index; packed: slot */
	uint16_t next_used;
	bool wrap;
};

struct device {
	uint32_t slot, type;
	volatile uint8_t *common, *isr, *config, *table;
	uint16_t notify_port;
	uint32_t msix_at;
	uint64_t features; /* offered */
	uint32_t queues_count;
};

struct segment {
	uint64_t address;
	uint32_t length;
	bool is_write; /* by the device */
};

uint32_t pci_read(uint32_t slot, uint32_t offset);
void pci_write(uint32_t slot, uint32_t offset, uint32_t value);

/* The nth function of a type, with decoding on; false if there is none. */
bool device_find(uint32_t type, uint32_t nth, struct device *device);
uint8_t device_status(const struct device *device);
void device_reset(const struct device *device);
/* Up to FEATURES_OK; false if it is refused. */
bool device_negotiate(const struct device *device, uint64_t features);
void device_go(const struct device *device);
/* Until the device says that it needs a reset; false if it does not within the patience of a test. */
bool device_wait_broken(const struct device *device);
void device_kick(const struct device *device, uint16_t queue);

/* Sets a ring up; false if the device does not take it. */
bool queue_start(const struct device *device, struct queue *queue, uint16_t idx, bool is_packed);
/* One chain; with DESC_INDIRECT through `table`. */
void queue_put(struct queue *queue, const struct segment *segments, uint32_t count,
               struct desc *table);
/* The next chain that came back: its length by the device, or -1 if nothing comes. */
int64_t queue_wait(struct queue *queue);
/* The same without waiting. */
int64_t queue_take(struct queue *queue);

/* ---- the tests ---- */

void block_test(const struct device *device);
/* A sector that the machine's disk cannot read: it and what has it in it ends with an error, the rest well. */
void bad_sector_test(const struct device *device, uint32_t sector);
void ports_test(const struct device *device);
void balloon_test(const struct device *device);
/* Of a balloon that offers F_BALLOON_REPORTING; memory ends at `end`. */
void reports_test(const struct device *device, uint64_t end);
void vsock_test(const struct device *device);

/* What a device is like under broken rings. */
struct broken_target {
	bool (*start)(const struct device *device, struct queue *queue, uint64_t features);
	void (*put)(struct queue *queue); /* a good chain at descriptors 0 to 2 */
	bool (*works)(const struct device *device);
	uint32_t changes;
	uint32_t divisor; /* of floods */
};
extern const struct broken_target broken_block;
void broken_test(const struct device *device, const struct broken_target *of);
/* A device that takes chains of readable buffers on this queue, the first of so many bytes. */
void broken_plain_test(const struct device *device, uint16_t queue, uint32_t header_bytes);
enum bench_part {
	BENCH_ALL,
	BENCH_EXITS,
	BENCH_KICKS,
	BENCH_RESTART,
	BENCH_REPEAT
};
void bench_run(const struct device *device, enum bench_part part, uint32_t rounds);
void bench_net_run(enum bench_part part, uint32_t rounds);
/* For both: the vector of a queue's interrupt; the time; halted until the interrupt: what took so long but for the guest itself. */
void bench_prepare(const struct device *device, uint16_t queue);
uint64_t bench_start(void);
uint64_t bench_wait(uint64_t start);
void rng_test(const struct device *device);
void net_test(const struct device *device);
/* A negotiated, running device with one ring. */
bool block_start(const struct device *device, struct queue *queue, uint64_t features);
/* Reads one sector into a buffer of the module's; the status byte, or -1 if nothing came. */
int32_t block_read(const struct device *device, struct queue *queue, uint64_t sector);

extern struct queue queues[QUEUES_MAX];
extern uint32_t block_rounds;
