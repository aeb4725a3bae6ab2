/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block interface: drivers below, formats and partitions between, guests' disks above.
 *
 * Everything is asynchronous and runs in mgmt's one thread. A device is a record with a function that
 * takes requests; it calls each request's done() exactly once, possibly before submit() returns.
 * Requests may end in any order. A write that ended well is in the device, and on stable storage once
 * a flush that was submitted after that end has ended well too. Sectors are of 512 bytes everywhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_SECTOR_BYTES 512u
#define BLOCK_NAME_SIZE    32u
#define BLOCK_PIECES_MAX   256u

enum block_operation {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,        /* no sectors, no pieces */
	BLOCK_DISCARD,      /* what is read there later is not said */
	BLOCK_WRITE_ZEROES, /* is read as zeroes later */
};

/* How a request ended. */
enum block_status {
	BLOCK_OK = 0,
	BLOCK_IO_ERROR = 1,    /* the medium or the driver failed */
	BLOCK_UNSUPPORTED = 2, /* the device cannot do this operation */
	BLOCK_READ_ONLY = 3,
	BLOCK_OUT_OF_RANGE = 4, /* beyond the end, or not a multiple of the device's sector */
	BLOCK_NO_SPACE = 5,     /* an overlay is full */
	BLOCK_GONE = 6,         /* the device was taken away */
};

/* A run of memory in mgmt's address space. Where the guest owns it, it changes at any time. */
struct block_piece {
	void *address;
	uint32_t bytes;
};

/*
 * The caller's memory, untouched by the caller from block_submit() until done(). The pieces hold
 * exactly sectors_count * 512 bytes for READ and WRITE; single pieces may have any length.
 */
struct block_request {
	enum block_operation operation;
	uint64_t sector;
	uint64_t sectors_count;
	const struct block_piece *pieces;
	uint32_t pieces_count;
	void (*done)(struct block_request *request, enum block_status status);
	void *owner; /* the caller's */
	/* The layer that holds the request at the moment uses these as it likes. */
	struct block_request *next;
	uint64_t scratch[4];
};

#define BLOCK_IS_READ_ONLY     0x1u
#define BLOCK_CAN_FLUSH        0x2u /* has a volatile cache; without it a write that ended is stable */
#define BLOCK_CAN_DISCARD      0x4u
#define BLOCK_CAN_WRITE_ZEROES 0x8u
#define BLOCK_IS_HIDDEN        0x10u /* not listed by the verb devices: belongs to one guest */

struct block_device {
	char name[BLOCK_NAME_SIZE]; /* "nvme0", "virtio-blk0", "nvme0:root", a boot file's name */
	char about[64];             /* model, for the verb devices */
	char serial[24];            /* "" = none */
	uint64_t sectors_count;
	uint32_t sector_bytes;  /* of the device: 512 or 4096; requests are multiples of it */
	uint32_t optimal_bytes; /* good size and alignment of transfers, 0 = nothing to say */
	uint32_t flags;         /* BLOCK_* */
	/* The request was checked by block_submit() and may be of any length: who has a limit cuts it (drivers/disk.c). Calls done()
	 * once, now or later. */
	void (*submit)(struct block_device *device, struct block_request *request);
	void *driver;    /* the owner's */
	uint8_t *memory; /* of a device that is memory: all of it; else NULL */
	uint32_t users_count;
	uint32_t writers_count; /* of the users: guests that write to it */
	uint32_t is_gone;       /* by block_remove(): every submit ends with BLOCK_GONE */
	uint64_t reads_count, writes_count, flushes_count, errors_count;
	uint64_t read_bytes, written_bytes;
	struct block_device *next;
	struct block_device *parent; /* of a partition: the whole */
	bool is_scanned;             /* its partition table was looked for */
	bool is_searched;            /* a saved configuration was looked for */
};

/* Makes a device known: the verb devices lists it, `disk = NAME` finds it, its partition table is read. The
 * record stays the driver's. False if the name is taken. */
bool block_add(struct block_device *device);

/* The device is gone for good; the record must stay until its users_count is 0. Before the call the
 * driver ends all requests that it holds. */
void block_remove(struct block_device *device);

/* By name, NULL if there is none. block_next(NULL) is the first. */
struct block_device *block_find(const char *name);
struct block_device *block_next(struct block_device *device);

/* Checks the request against the device (range, read-only, operation), counts it, hands it on. */
void block_submit(struct block_device *device, struct block_request *request);

/*
 * For a caller that copies at once: where in a device that is memory these sectors are, and the transfer is counted. NULL: it is no memory, or
 * has more to do for a write, or block_submit() would refuse, and says why.
 */
static inline uint8_t *block_memory_at(struct block_device *device, bool is_write, uint64_t sector,
                                       uint64_t sectors_count)
{
	uint64_t bytes = sectors_count * BLOCK_SECTOR_BYTES;

	if (device->memory == NULL || device->is_gone != 0 ||
	    (is_write && (device->flags & (BLOCK_IS_READ_ONLY | BLOCK_CAN_FLUSH)) != 0) ||
	    sectors_count > device->sectors_count ||
	    sector > device->sectors_count - sectors_count) {
		return NULL;
	}
	if (is_write) {
		device->writes_count++;
		device->written_bytes += bytes;
	} else {
		device->reads_count++;
		device->read_bytes += bytes;
	}
	return device->memory + sector * BLOCK_SECTOR_BYTES;
}

const char *block_status_name(enum block_status status);

/* Copies between the request's pieces, from byte `offset` on, and linear memory; never past either
 * end. For drivers with bounce buffers. */
void block_copy_from_pieces(const struct block_request *request, uint64_t offset, void *to,
                            uint64_t bytes);
void block_copy_to_pieces(const struct block_request *request, uint64_t offset, const void *from,
                          uint64_t bytes);
void block_clear_pieces(const struct block_request *request, uint64_t offset, uint64_t bytes);

/* The pieces of [offset, offset + bytes) of the request: at most request->pieces_count, into out. Returns
 * their number. */
uint32_t block_slice_pieces(const struct block_request *request, uint64_t offset, uint64_t bytes,
                            struct block_piece *out);
