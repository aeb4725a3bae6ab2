// SPDX-License-Identifier: Apache-2.0
/*
 * The list of block devices, and what every request passes: checks, counts, copies (see block.h).
 */
#include "mgmt/block/block.h"

#include <string.h>

static struct block_device *devices;

struct block_device *block_find(const char *name)
{
	struct block_device *device;

	for (device = devices; device != NULL; device = device->next) {
		if (strncmp(device->name, name, sizeof(device->name)) == 0) {
			return device;
		}
	}
	return NULL;
}

struct block_device *block_next(struct block_device *device)
{
	return device == NULL ? devices : device->next;
}

bool block_add(struct block_device *device)
{
	struct block_device **link = &devices;

	if (block_find(device->name) != NULL) {
		return false;
	}
	while (*link != NULL) {
		link = &(*link)->next;
	}
	device->is_gone = 0;
	device->next = NULL;
	*link = device;
	return true;
}

void block_remove(struct block_device *device)
{
	struct block_device **link = &devices;

	device->is_gone = 1;
	while (*link != NULL && *link != device) {
		link = &(*link)->next;
	}
	if (*link != NULL) {
		*link = device->next;
	}
}

static enum block_status check_range(const struct block_device *device,
                                     const struct block_request *request)
{
	uint32_t multiple = device->sector_bytes / BLOCK_SECTOR_BYTES;

	if (request->sectors_count > device->sectors_count ||
	    request->sector > device->sectors_count - request->sectors_count) {
		return BLOCK_OUT_OF_RANGE;
	}
	if (multiple > 1 &&
	    (request->sector % multiple != 0 || request->sectors_count % multiple != 0)) {
		return BLOCK_OUT_OF_RANGE;
	}
	return BLOCK_OK;
}

static enum block_status check(const struct block_device *device,
                               const struct block_request *request)
{
	if (device->is_gone != 0) {
		return BLOCK_GONE;
	}
	if (request->operation != BLOCK_READ && request->operation != BLOCK_FLUSH &&
	    (device->flags & BLOCK_IS_READ_ONLY) != 0) {
		return BLOCK_READ_ONLY;
	}
	if ((request->operation == BLOCK_DISCARD && (device->flags & BLOCK_CAN_DISCARD) == 0) ||
	    (request->operation == BLOCK_WRITE_ZEROES &&
	     (device->flags & BLOCK_CAN_WRITE_ZEROES) == 0)) {
		return BLOCK_UNSUPPORTED;
	}
	return request->operation == BLOCK_FLUSH ? BLOCK_OK : check_range(device, request);
}

static void count(struct block_device *device, const struct block_request *request)
{
	uint64_t bytes = request->sectors_count * BLOCK_SECTOR_BYTES;

	if (request->operation == BLOCK_READ) {
		device->reads_count++;
		device->read_bytes += bytes;
	} else if (request->operation == BLOCK_FLUSH) {
		device->flushes_count++;
	} else {
		device->writes_count++;
		device->written_bytes += bytes;
	}
}

void block_submit(struct block_device *device, struct block_request *request)
{
	enum block_status status = check(device, request);

	if (status != BLOCK_OK) {
		device->errors_count++;
		request->done(request, status);
		return;
	}
	count(device, request);
	if (request->operation == BLOCK_FLUSH && (device->flags & BLOCK_CAN_FLUSH) == 0) {
		request->done(request, BLOCK_OK);
		return;
	}
	device->submit(device, request);
}

const char *block_status_name(enum block_status status)
{
	static const char *const names[] = {
		[BLOCK_OK] = "ok",
		[BLOCK_IO_ERROR] = "input/output error",
		[BLOCK_UNSUPPORTED] = "not supported",
		[BLOCK_READ_ONLY] = "read-only",
		[BLOCK_OUT_OF_RANGE] = "out of range",
		[BLOCK_NO_SPACE] = "no space",
		[BLOCK_GONE] = "the device is gone",
	};

	return (uint32_t)status < sizeof(names) / sizeof(names[0]) ? names[status] : "?";
}

/* The usual case: one piece, and all of it. */
static bool is_whole(const struct block_request *request, uint64_t offset, uint64_t bytes)
{
	return offset == 0 && request->pieces_count != 0 && request->pieces[0].bytes == bytes;
}

static void copy(const struct block_request *request, uint64_t offset, uint8_t *to,
                 const uint8_t *from, uint64_t bytes)
{
	uint64_t done = 0;
	uint32_t i;

	for (i = 0; i < request->pieces_count && done < bytes; i++) {
		uint8_t *piece = request->pieces[i].address;
		uint64_t part = request->pieces[i].bytes;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < bytes - done ? part : bytes - done;
		if (to != NULL) {
			memcpy(to + done, piece + offset, part);
		} else if (from != NULL) {
			memcpy(piece + offset, from + done, part);
		} else {
			memset(piece + offset, 0, part);
		}
		done += part;
		offset = 0;
	}
}

void block_copy_from_pieces(const struct block_request *request, uint64_t offset, void *to,
                            uint64_t bytes)
{
	if (is_whole(request, offset, bytes)) {
		memcpy(to, request->pieces[0].address, bytes);
		return;
	}
	copy(request, offset, to, NULL, bytes);
}

void block_copy_to_pieces(const struct block_request *request, uint64_t offset, const void *from,
                          uint64_t bytes)
{
	if (is_whole(request, offset, bytes)) {
		memcpy(request->pieces[0].address, from, bytes);
		return;
	}
	copy(request, offset, NULL, from, bytes);
}

void block_clear_pieces(const struct block_request *request, uint64_t offset, uint64_t bytes)
{
	copy(request, offset, NULL, NULL, bytes);
}

uint32_t block_slice_pieces(const struct block_request *request, uint64_t offset, uint64_t bytes,
                            struct block_piece *out)
{
	uint32_t used = 0;
	uint32_t i;

	for (i = 0; i < request->pieces_count && bytes > 0; i++) {
		uint64_t part = request->pieces[i].bytes;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < bytes ? part : bytes;
		out[used].address = (uint8_t *)request->pieces[i].address + offset;
		out[used].bytes = (uint32_t)part;
		used++;
		bytes -= part;
		offset = 0;
	}
	return used;
}
