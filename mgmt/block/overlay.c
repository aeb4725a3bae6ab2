// SPDX-License-Identifier: Apache-2.0
/*
 * In-memory overlays (see overlay.h). Blocks of 4 KiB: a table says for each block of the base where its copy
 * is, or that there is none. A block's entry is stored after its content, so an overlay is whole at any
 * moment, and mgmt may die at any.
 *
 * Several requests are carried out at a time, each by a job that goes from block to block and waits only for reads of
 * the base. They begin in their order, and one that touches a block of a job under way, with a write among the
 * two, waits for its end.
 */
#include "mgmt/block/overlay.h"

#include <stdlib.h>
#include <string.h>

#define OVERLAY_MAGIC       0x3179616c7265766full
#define OVERLAY_BLOCK_BYTES 4096u
#define HEADER_BYTES        4096u

/* At the start of the memory. */
struct overlay_header {
	uint64_t magic; /* stored last */
	uint64_t base_sectors;
	uint64_t capacity_blocks;
	uint64_t used_blocks; /* stored before a block is filled; one may be lost when mgmt dies */
};

#define OVERLAY_JOBS_MAX 16u

struct overlay_job {
	struct overlay *overlay;
	struct block_request *request; /* NULL: free */
	uint64_t done_bytes;
	bool is_waiting;    /* for the sub-request */
	uint32_t filled;    /* copy that the sub-request fills + 1, 0 = it reads for the guest */
	uint64_t sub_bytes; /* what is done when it ends */
	enum block_status status; /* of the sub-request */
	struct block_request sub;
	struct block_piece pieces[BLOCK_PIECES_MAX];
};

struct overlay {
	struct block_device device;
	struct block_device *base;
	struct overlay_header *header;
	uint32_t *map; /* by block of the base: 0 = none, n = copy n - 1 */
	uint8_t *data;
	struct block_request *first; /* of those that have no job */
	struct block_request *last;
	bool is_stepping; /* a sub-request that ends now is seen by the loop below us */
	uint32_t spare;   /* copy that was taken and could not be filled + 1 */
	uint32_t jobs_count;
	struct overlay_job *jobs[OVERLAY_JOBS_MAX];
};

static uint64_t base_blocks(const struct block_device *base)
{
	return (base->sectors_count * BLOCK_SECTOR_BYTES + OVERLAY_BLOCK_BYTES - 1) /
	       OVERLAY_BLOCK_BYTES;
}

static uint64_t map_bytes(const struct block_device *base)
{
	return (base_blocks(base) * sizeof(uint32_t) + OVERLAY_BLOCK_BYTES - 1) &
	       ~(uint64_t)(OVERLAY_BLOCK_BYTES - 1);
}

uint64_t overlay_bytes_needed(const struct block_device *base, uint64_t data_bytes)
{
	uint64_t all = base_blocks(base) * OVERLAY_BLOCK_BYTES;

	if (data_bytes == 0 || data_bytes > all) {
		data_bytes = all;
	}
	return HEADER_BYTES + map_bytes(base) + data_bytes;
}

static uint8_t *copy_at(const struct overlay *overlay, uint32_t entry)
{
	return overlay->data + (uint64_t)(entry - 1) * OVERLAY_BLOCK_BYTES;
}

/* The copy of a block: 0 if there is none. The memory is mgmt's, but its forerunner may have spoilt it. */
static uint32_t entry_of(const struct overlay *overlay, uint64_t block)
{
	uint32_t entry = overlay->map[block];

	return entry <= overlay->header->capacity_blocks ? entry : 0;
}

static void end_job(struct overlay_job *job, enum block_status status)
{
	struct block_request *request = job->request;

	if (job->filled != 0) {
		job->overlay->spare = job->filled;
	}
	job->request = NULL;
	request->done(request, status);
}

static void sub_done(struct block_request *sub, enum block_status status);

static void submit_sub(struct overlay_job *job, uint64_t position, uint64_t bytes)
{
	job->is_waiting = true;
	job->sub.operation = BLOCK_READ;
	job->sub.sector = position / BLOCK_SECTOR_BYTES;
	job->sub.sectors_count = bytes / BLOCK_SECTOR_BYTES;
	job->sub.pieces = job->pieces;
	job->sub.done = sub_done;
	job->sub.owner = job;
	block_submit(job->overlay->base, &job->sub);
}

/* Bytes from position to the end of its block, at most left. */
static uint64_t rest_of_block(uint64_t position, uint64_t left)
{
	uint64_t rest = OVERLAY_BLOCK_BYTES - position % OVERLAY_BLOCK_BYTES;

	return rest < left ? rest : left;
}

static void step_read(struct overlay_job *job, uint64_t position, uint64_t left)
{
	const struct overlay *overlay = job->overlay;
	uint64_t part = rest_of_block(position, left);
	uint32_t entry = entry_of(overlay, position / OVERLAY_BLOCK_BYTES);

	if (entry != 0) {
		block_copy_to_pieces(job->request, job->done_bytes,
		                     copy_at(overlay, entry) + position % OVERLAY_BLOCK_BYTES,
		                     part);
		job->done_bytes += part;
		return;
	}
	while (part < left && entry_of(overlay, (position + part) / OVERLAY_BLOCK_BYTES) == 0) {
		part += rest_of_block(position + part, left - part);
	}
	job->sub.pieces_count = block_slice_pieces(job->request, job->done_bytes, part,
	                                           job->pieces);
	job->sub_bytes = part;
	submit_sub(job, position, part);
}

/* A new copy's number + 1, or 0 if there is no room. */
static uint32_t allocate(struct overlay *overlay)
{
	struct overlay_header *header = overlay->header;
	uint32_t spare = overlay->spare;

	if (spare != 0) {
		overlay->spare = 0;
		return spare;
	}
	if (header->used_blocks >= header->capacity_blocks) {
		return 0;
	}
	__atomic_store_n(&header->used_blocks, header->used_blocks + 1, __ATOMIC_RELEASE);
	return (uint32_t)header->used_blocks;
}

static void write_part(struct overlay_job *job, uint32_t entry, uint64_t position, uint64_t part)
{
	const struct overlay *overlay = job->overlay;
	uint8_t *to = copy_at(overlay, entry) + position % OVERLAY_BLOCK_BYTES;

	if (job->request->operation == BLOCK_WRITE_ZEROES) {
		memset(to, 0, part);
	} else {
		block_copy_from_pieces(job->request, job->done_bytes, to, part);
	}
	__atomic_store_n(&overlay->map[position / OVERLAY_BLOCK_BYTES], entry, __ATOMIC_RELEASE);
	job->done_bytes += part;
	job->filled = 0;
}

static void step_write(struct overlay_job *job, uint64_t position, uint64_t left)
{
	struct overlay *overlay = job->overlay;
	uint64_t part = rest_of_block(position, left);
	uint32_t entry = entry_of(overlay, position / OVERLAY_BLOCK_BYTES);
	uint64_t start = position - position % OVERLAY_BLOCK_BYTES;
	uint64_t end = overlay->base->sectors_count * BLOCK_SECTOR_BYTES;

	entry = entry != 0 ? entry : job->filled;
	if (entry != 0) {
		write_part(job, entry, position, part);
		return;
	}
	entry = allocate(overlay);
	if (entry == 0) {
		end_job(job, BLOCK_NO_SPACE);
		return;
	}
	if (part == OVERLAY_BLOCK_BYTES) {
		write_part(job, entry, position, part);
		return;
	}
	/* Only a part of the block is written: the rest comes from the base first. */
	job->filled = entry;
	job->sub_bytes = 0;
	job->pieces[0].address = copy_at(overlay, entry);
	job->pieces[0].bytes = (uint32_t)rest_of_block(start, end - start);
	job->sub.pieces_count = 1;
	submit_sub(job, start, job->pieces[0].bytes);
}

static void step(struct overlay_job *job)
{
	const struct block_request *request = job->request;
	uint64_t position = request->sector * BLOCK_SECTOR_BYTES + job->done_bytes;
	uint64_t left = request->sectors_count * BLOCK_SECTOR_BYTES - job->done_bytes;

	if (job->status != BLOCK_OK) {
		end_job(job, job->status);
	} else if (request->operation == BLOCK_FLUSH || request->operation == BLOCK_DISCARD ||
	           left == 0) {
		end_job(job, BLOCK_OK);
	} else if (request->operation == BLOCK_READ) {
		step_read(job, position, left);
	} else {
		step_write(job, position, left);
	}
}

/* Both touch a block, and one of them writes it. */
static bool is_conflict(const struct block_request *one, const struct block_request *other)
{
	uint64_t per_block = OVERLAY_BLOCK_BYTES / BLOCK_SECTOR_BYTES;

	if (one->sectors_count == 0 || other->sectors_count == 0 ||
	    (one->operation == BLOCK_READ && other->operation == BLOCK_READ)) {
		return false;
	}
	return one->sector / per_block <= (other->sector + other->sectors_count - 1) / per_block &&
	       other->sector / per_block <= (one->sector + one->sectors_count - 1) / per_block;
}

/* A free job for the next request; NULL: it has to wait. */
static struct overlay_job *job_for(struct overlay *overlay, const struct block_request *request)
{
	struct overlay_job *job = NULL;
	uint32_t i;

	for (i = 0; i < overlay->jobs_count; i++) {
		if (overlay->jobs[i]->request == NULL) {
			job = overlay->jobs[i];
		} else if (is_conflict(overlay->jobs[i]->request, request)) {
			return NULL;
		}
	}
	if (job == NULL && overlay->jobs_count < OVERLAY_JOBS_MAX) {
		job = calloc(1, sizeof(*job));
		if (job != NULL) {
			job->overlay = overlay;
			overlay->jobs[overlay->jobs_count++] = job;
		}
	}
	return job;
}

/* Gives the first request without a job one. */
static bool begin(struct overlay *overlay)
{
	struct block_request *request = overlay->first;
	struct overlay_job *job = request != NULL ? job_for(overlay, request) : NULL;

	if (job == NULL) {
		return false;
	}
	overlay->first = request->next;
	job->request = request;
	job->done_bytes = 0;
	job->filled = 0;
	job->status = BLOCK_OK;
	return true;
}

static void go_on(struct overlay *overlay)
{
	bool is_any = true;
	uint32_t i;

	if (overlay->is_stepping) {
		return;
	}
	overlay->is_stepping = true;
	while (is_any) {
		is_any = begin(overlay);
		for (i = 0; i < overlay->jobs_count; i++) {
			struct overlay_job *job = overlay->jobs[i];

			while (job->request != NULL && !job->is_waiting) {
				step(job);
				is_any = true;
			}
		}
	}
	overlay->is_stepping = false;
}

static void sub_done(struct block_request *sub, enum block_status status)
{
	struct overlay_job *job = sub->owner;

	job->is_waiting = false;
	job->status = status;
	job->done_bytes += status == BLOCK_OK ? job->sub_bytes : 0;
	go_on(job->overlay);
}

static void submit(struct block_device *device, struct block_request *request)
{
	struct overlay *overlay = device->driver;

	request->next = NULL;
	if (overlay->first == NULL) {
		overlay->first = request;
	} else {
		overlay->last->next = request;
	}
	overlay->last = request;
	go_on(overlay);
}

static void open_header(struct overlay *overlay, uint64_t bytes)
{
	struct overlay_header *header = overlay->header;
	uint64_t capacity = (bytes - HEADER_BYTES - map_bytes(overlay->base)) / OVERLAY_BLOCK_BYTES;

	if (header->magic == OVERLAY_MAGIC && header->capacity_blocks == capacity &&
	    header->base_sectors == overlay->base->sectors_count) {
		return;
	}
	memset(overlay->map, 0, map_bytes(overlay->base));
	header->base_sectors = overlay->base->sectors_count;
	header->capacity_blocks = capacity;
	header->used_blocks = 0;
	__atomic_store_n(&header->magic, OVERLAY_MAGIC, __ATOMIC_RELEASE);
}

struct overlay *overlay_open(struct block_device *base, void *memory, uint64_t bytes)
{
	struct overlay *overlay;

	if (bytes < overlay_bytes_needed(base, OVERLAY_BLOCK_BYTES)) {
		return NULL;
	}
	overlay = calloc(1, sizeof(*overlay));
	if (overlay == NULL) {
		return NULL;
	}
	overlay->base = base;
	overlay->jobs[0] = calloc(1, sizeof(*overlay->jobs[0])); /* one there always is */
	if (overlay->jobs[0] == NULL) {
		free(overlay);
		return NULL;
	}
	overlay->jobs[0]->overlay = overlay;
	overlay->jobs_count = 1;
	overlay->header = memory;
	overlay->map = (uint32_t *)(void *)((uint8_t *)memory + HEADER_BYTES);
	overlay->data = (uint8_t *)memory + HEADER_BYTES + map_bytes(base);
	open_header(overlay, bytes);
	overlay->device.sectors_count = base->sectors_count;
	overlay->device.sector_bytes = base->sector_bytes;
	overlay->device.optimal_bytes = OVERLAY_BLOCK_BYTES;
	overlay->device.flags = BLOCK_CAN_WRITE_ZEROES | BLOCK_CAN_DISCARD | BLOCK_IS_HIDDEN;
	overlay->device.submit = submit;
	overlay->device.driver = overlay;
	return overlay;
}

struct block_device *overlay_device(struct overlay *overlay)
{
	return &overlay->device;
}

void overlay_close(struct overlay *overlay)
{
	while (overlay->jobs_count > 0) {
		free(overlay->jobs[--overlay->jobs_count]);
	}
	free(overlay);
}
