// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-blk (virtio 1.2 5.2): requests out of the queues, onto a block device, and back in order.
 *
 * A request's pieces go to the block layer as they are in the chain, in guest memory. Requests may end
 * in any order below; their chains are given back in the order in which they came (see queue.h).
 */
#include "mgmt/virtio/blk.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/machine.h"

#define BLK_QUEUE_SIZE   256u
#define BLK_SEG_MAX      (VIRTQUEUE_PIECES_MAX - 2)
#define BLK_REQUESTS_MAX 64u        /* under way, of one device */
#define BLK_TURN         64u        /* requests a queue in one turn */
#define BLK_TURN_BYTES   (1u << 20) /* of all queues in one turn: then others have theirs */
#define BLK_SIZE_MAX     0x20000u   /* bytes of one piece */
#define BLK_TRANSFER_MAX (BLK_SIZE_MAX * BLK_SEG_MAX)
#define BLK_DISCARD_MAX \
	(BLK_TRANSFER_MAX / BLOCK_SECTOR_BYTES) /* sectors of one discard or write-zeroes */

#define BLK_F_SIZE_MAX     (1ull << 1)
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_MQ           (1ull << 12)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum blk_type {
	BLK_T_IN = 0,
	BLK_T_OUT = 1,
	BLK_T_FLUSH = 4,
	BLK_T_GET_ID = 8,
	BLK_T_DISCARD = 11,
	BLK_T_WRITE_ZEROES = 13,
};

enum blk_result {
	BLK_S_OK = 0,
	BLK_S_IOERR = 1,
	BLK_S_UNSUPP = 2,
};

struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};
_Static_assert(sizeof(struct blk_header) == 16, "virtio 1.2 5.2.6");

/* The same anywhere in guest memory. */
struct blk_header_words {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
} __attribute__((packed));

struct blk_range {
	uint64_t sector;
	uint32_t sectors_count;
	uint32_t flags; /* bit 0: unmap */
};
_Static_assert(sizeof(struct blk_range) == 16, "virtio 1.2 5.2.6");

struct blk_config {
	uint64_t capacity;
	uint32_t size_max;
	uint32_t seg_max;
	uint32_t geometry;
	uint32_t blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_seg;
	uint32_t discard_sector_alignment;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
_Static_assert(sizeof(struct blk_config) == 64, "virtio 1.2 5.2.4 (padded)");

struct blk_request {
	struct block_request block;
	struct virtqueue_chain chain;
	struct blk_disk *disk;
	struct blk_request *next; /* in its queue's order, or in the free list */
	uint32_t queue_idx;
	uint32_t in_bytes; /* to report as written when all is well */
	uint8_t *status;
	bool is_done;
	bool must_flush;    /* the driver has no FLUSH: a write is stable when it ends */
	uint64_t start_tsc; /* of the turn that took it */
};

struct blk_queue {
	struct blk_request *first; /* oldest */
	struct blk_request *last;
};

struct blk_disk {
	struct blk_params params;
	struct virtio_device *device;
	struct blk_request *free;
	uint32_t requests_count;
	uint32_t under_way;
	uint64_t turn_tsc;
	uint64_t turn_bytes;
	uint32_t first_queue;
	bool is_working; /* inside work(): what ends now is given back there */
	struct blk_queue queues[VIO_QUEUES_MAX];
};

/* ---- ends ------------------------------------------------------------------------------------- */

static void free_request(struct blk_disk *disk, struct blk_request *request)
{
	request->next = disk->free;
	disk->free = request;
	disk->under_way--;
}

/* Gives back what has ended, oldest first. */
static void give_ended(struct blk_disk *disk, uint32_t queue_idx)
{
	struct blk_queue *queue = &disk->queues[queue_idx];
	struct blk_request *request = queue->first;

	while (request != NULL && request->is_done) {
		struct blk_request *next = request->next;

		if (disk->device->is_running) {
			virtqueue_give(&disk->device->queues[queue_idx], &request->chain,
			               request->in_bytes);
		}
		free_request(disk, request);
		request = next;
	}
	queue->first = request;
}

static void end(struct blk_request *request, enum blk_result result)
{
	struct vio_counters *counters = &request->disk->device->page->counters;

	if (result != BLK_S_OK) {
		request->in_bytes = 1;
		counters->errors++;
	}
	virtio_time_add(&counters->service, machine_now_tsc() - request->start_tsc);
	/* While the request is out, the device does not become idle, so the memory is still there. */
	__atomic_store_n(request->status, (uint8_t)result, __ATOMIC_RELEASE);
	request->is_done = true;
	if (!request->disk->is_working) {
		virtio_device_poke(request->disk->device);
	}
}

static void block_done(struct block_request *block, enum block_status status)
{
	struct blk_request *request = block->owner;

	if (status == BLOCK_OK && request->must_flush) {
		request->must_flush = false;
		block->operation = BLOCK_FLUSH;
		block_submit(request->disk->params.disk, block);
		return;
	}
	end(request, status == BLOCK_OK            ? BLK_S_OK
	             : status == BLOCK_UNSUPPORTED ? BLK_S_UNSUPP
	                                           : BLK_S_IOERR);
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* Takes the header off the front of the readable pieces, which usually is the first of them. */
static struct block_piece *take_header(struct virtqueue_chain *chain, struct blk_header *header)
{
	struct block_piece *piece = chain->pieces;
	uint32_t left = sizeof(*header);

	if (piece->bytes == sizeof(*header)) {
		const volatile struct blk_header_words *words = piece->address;

		/* Each once: the guest may change them at any time. */
		header->type = words->type;
		header->sector = words->sector;
		chain->out_count--;
		chain->out_bytes -= (uint32_t)sizeof(*header);
		return piece + 1;
	}
	virtqueue_read(chain, 0, header, sizeof(*header));
	chain->out_bytes -= left;
	while (left > 0) {
		uint32_t part = piece->bytes < left ? piece->bytes : left;

		piece->address = (uint8_t *)piece->address + part;
		piece->bytes -= part;
		left -= part;
		if (piece->bytes == 0) {
			piece++;
			chain->out_count--;
		}
	}
	return piece;
}

/* Takes the status byte off the end of the writable pieces. */
static uint8_t *take_status(struct virtqueue_chain *chain, struct block_piece *in)
{
	struct block_piece *last = &in[chain->in_count - 1];
	uint8_t *status = (uint8_t *)last->address + last->bytes - 1;

	last->bytes--;
	chain->in_bytes--;
	if (last->bytes == 0) {
		chain->in_count--;
	}
	return status;
}

static void count(struct blk_disk *disk, enum block_operation operation, uint64_t bytes)
{
	struct vio_counters *counters = &disk->device->page->counters;

	disk->turn_bytes += bytes;
	if (operation == BLOCK_READ) {
		counters->reads++;
		counters->read_bytes += bytes;
	} else {
		counters->writes++;
		counters->written_bytes += bytes;
	}
}

static void transfer(struct blk_request *request, enum block_operation operation,
                     const struct blk_header *header, const struct block_piece *out)
{
	struct blk_disk *disk = request->disk;
	struct virtqueue_chain *chain = &request->chain;
	bool is_read = operation == BLOCK_READ;
	uint32_t bytes = is_read ? chain->in_bytes : chain->out_bytes;

	if (bytes == 0 || bytes % BLOCK_SECTOR_BYTES != 0 || bytes > BLK_TRANSFER_MAX) {
		end(request, BLK_S_IOERR);
		return;
	}
	count(disk, operation, bytes);
	request->block.operation = operation;
	request->block.sector = header->sector;
	request->block.sectors_count = bytes / BLOCK_SECTOR_BYTES;
	request->block.pieces = is_read ? out + chain->out_count : out;
	request->block.pieces_count = is_read ? chain->in_count : chain->out_count;
	request->in_bytes = is_read ? bytes + 1 : 1;
	request->must_flush = !is_read && (disk->device->features & BLK_F_FLUSH) == 0 &&
	                      (disk->params.disk->flags & BLOCK_CAN_FLUSH) != 0;
	block_submit(disk->params.disk, &request->block);
}

static void erase(struct blk_request *request, enum block_operation operation,
                  const struct block_piece *out)
{
	struct blk_disk *disk = request->disk;
	struct virtqueue_chain *chain = &request->chain;
	struct block_request payload = { .pieces = out, .pieces_count = chain->out_count };
	struct blk_range range;

	if (chain->out_bytes != sizeof(range)) {
		end(request, BLK_S_UNSUPP);
		return;
	}
	block_copy_from_pieces(&payload, 0, &range, sizeof(range));
	if ((range.flags & ~1u) != 0 || (operation == BLOCK_DISCARD && range.flags != 0)) {
		end(request, BLK_S_UNSUPP);
		return;
	}
	if (range.sectors_count > BLK_DISCARD_MAX) {
		end(request, BLK_S_IOERR);
		return;
	}
	count(disk, operation, (uint64_t)range.sectors_count * BLOCK_SECTOR_BYTES);
	request->block.operation = operation;
	request->block.sector = range.sector;
	request->block.sectors_count = range.sectors_count;
	request->block.pieces_count = 0;
	request->must_flush = (disk->device->features & BLK_F_FLUSH) == 0 &&
	                      (disk->params.disk->flags & BLOCK_CAN_FLUSH) != 0;
	block_submit(disk->params.disk, &request->block);
}

static void get_id(struct blk_request *request, const struct block_piece *in)
{
	struct block_request target = { .pieces = in, .pieces_count = request->chain.in_count };
	uint32_t bytes = request->chain.in_bytes;

	bytes = bytes < sizeof(request->disk->params.serial)
	                ? bytes
	                : (uint32_t)sizeof(request->disk->params.serial);
	block_copy_to_pieces(&target, 0, request->disk->params.serial, bytes);
	request->in_bytes = bytes + 1;
	end(request, BLK_S_OK);
}

static bool is_write(uint32_t type)
{
	return type == BLK_T_OUT || type == BLK_T_DISCARD || type == BLK_T_WRITE_ZEROES;
}

/* Carries out one chain, whose header and status are checked to be there. */
static void run(struct blk_request *request)
{
	struct blk_disk *disk = request->disk;
	struct virtqueue_chain *chain = &request->chain;
	struct blk_header header;
	struct block_piece *out = take_header(chain, &header);

	request->status = take_status(chain, out + chain->out_count);
	request->in_bytes = 1;
	request->is_done = false;
	request->must_flush = false;
	if (disk->params.is_read_only && is_write(header.type)) {
		end(request, BLK_S_IOERR);
		return;
	}
	switch (header.type) {
	case BLK_T_IN:
		transfer(request, BLOCK_READ, &header, out);
		break;
	case BLK_T_OUT:
		transfer(request, BLOCK_WRITE, &header, out);
		break;
	case BLK_T_FLUSH:
		disk->device->page->counters.flushes++;
		request->block.operation = BLOCK_FLUSH;
		request->block.sectors_count = 0;
		request->block.pieces_count = 0;
		block_submit(disk->params.disk, &request->block);
		break;
	case BLK_T_GET_ID:
		get_id(request, out + chain->out_count);
		break;
	case BLK_T_DISCARD:
		erase(request, BLOCK_DISCARD, out);
		break;
	case BLK_T_WRITE_ZEROES:
		erase(request, BLOCK_WRITE_ZEROES, out);
		break;
	default:
		end(request, BLK_S_UNSUPP);
		break;
	}
}

/* One more request for the free list; false if there are enough, or no memory. */
static bool grow(struct blk_disk *disk)
{
	struct blk_request *request;

	if (disk->requests_count == BLK_REQUESTS_MAX) {
		return false;
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL) {
		return false;
	}
	disk->requests_count++;
	request->disk = disk;
	request->block.owner = request;
	request->block.done = block_done;
	request->next = disk->free;
	disk->free = request;
	return true;
}

static struct blk_request *allocate(struct blk_disk *disk)
{
	struct blk_request *request;

	if (disk->free == NULL && !grow(disk)) {
		return NULL;
	}
	request = disk->free;
	disk->free = request->next;
	disk->under_way++;
	return request;
}

static void append(struct blk_queue *queue, struct blk_request *request)
{
	request->next = NULL;
	if (queue->first == NULL) {
		queue->first = request;
	} else {
		queue->last->next = request;
	}
	queue->last = request;
}

enum blk_step {
	BLK_STEP_DONE,
	BLK_STEP_EMPTY,
	BLK_STEP_FULL, /* all requests are under way */
};

/* What has ended and has none before it in its queue goes back at once. */
static inline void give_or_append(struct blk_disk *disk, struct virtqueue *queue,
                                  struct blk_request *request)
{
	struct blk_queue *order = &disk->queues[request->queue_idx];

	if (request->is_done && order->first == NULL && disk->device->is_running) {
		virtqueue_give(queue, &request->chain, request->in_bytes);
		free_request(disk, request);
	} else {
		append(order, request);
		give_ended(disk, request->queue_idx);
	}
}

/*
 * A plain read or write of a disk that is memory, with no request before it in its queue: most of what there is to do for one, without a record
 * and without the layers between. False: the chain is untouched, and goes the long way, which also finds out what is wrong with it.
 */
static __attribute__((noinline)) bool run_quick(struct blk_disk *disk, struct virtqueue *queue)
{
	struct vio_counters *counters = &disk->device->page->counters;
	struct virtqueue_request request;
	const volatile struct blk_header_words *header;
	uint64_t sector;
	uint8_t *at;

	if (!virtqueue_split_look(queue, &request) || request.header_bytes != sizeof(*header) ||
	    request.status_bytes != 1 || request.data_bytes % BLOCK_SECTOR_BYTES != 0 ||
	    request.data_bytes > BLK_TRANSFER_MAX ||
	    (disk->params.is_read_only && !request.is_in)) {
		return false;
	}
	/* Each once: the guest may change them at any time. */
	header = request.header;
	sector = header->sector;
	if (header->type != (request.is_in ? BLK_T_IN : BLK_T_OUT)) {
		return false;
	}
	at = block_memory_at(disk->params.disk, !request.is_in, sector,
	                     request.data_bytes / BLOCK_SECTOR_BYTES);
	if (at == NULL) {
		return false;
	}
	counters->chains++;
	count(disk, request.is_in ? BLOCK_READ : BLOCK_WRITE, request.data_bytes);
	if (request.is_in) {
		memcpy(request.data, at, request.data_bytes);
	} else {
		memcpy(at, request.data, request.data_bytes);
	}
	virtio_time_add(&counters->service, machine_now_tsc() - disk->turn_tsc);
	__atomic_store_n(request.status, (uint8_t)BLK_S_OK, __ATOMIC_RELEASE);
	virtqueue_split_answer(queue, request.id, request.is_in ? request.data_bytes + 1 : 1);
	return true;
}

/* Takes the next chain of a queue and begins it. */
static __attribute__((noinline)) enum blk_step run_next(struct blk_disk *disk,
                                                        struct virtqueue *queue, uint32_t queue_idx)
{
	struct virtio_device *device = disk->device;
	struct blk_request *request = allocate(disk);

	if (request == NULL) {
		return BLK_STEP_FULL;
	}
	if (!virtqueue_take(queue, &request->chain)) {
		free_request(disk, request);
		return BLK_STEP_EMPTY;
	}
	device->page->counters.chains++;
	if (request->chain.out_bytes < sizeof(struct blk_header) || request->chain.in_bytes < 1) {
		free_request(disk, request);
		virtio_device_break(device, "a disk request without header or status");
		return BLK_STEP_EMPTY;
	}
	request->queue_idx = queue_idx;
	request->start_tsc = disk->turn_tsc;
	run(request);
	give_or_append(disk, queue, request);
	return BLK_STEP_DONE;
}

static inline enum blk_step run_one(struct blk_disk *disk, struct virtqueue *queue,
                                    uint32_t queue_idx)
{
	if (virtqueue_is_empty(queue)) {
		return BLK_STEP_EMPTY;
	}
	if (disk->params.disk->memory != NULL && !queue->is_packed &&
	    disk->queues[queue_idx].first == NULL && run_quick(disk, queue)) {
		return BLK_STEP_DONE;
	}
	return run_next(disk, queue, queue_idx);
}

/* One queue's turn; true if there is more to do. */
static bool work_queue(struct blk_disk *disk, uint32_t queue_idx)
{
	struct virtio_device *device = disk->device;
	struct virtqueue *queue = &device->queues[queue_idx];
	enum blk_step step = BLK_STEP_DONE;
	uint32_t left = BLK_TURN;

	if (disk->queues[queue_idx].first != NULL) {
		give_ended(disk, queue_idx);
	}
	virtqueue_kicks_off(queue);
	for (; left > 0 && step == BLK_STEP_DONE && disk->turn_bytes < BLK_TURN_BYTES; left--) {
		step = run_one(disk, queue, queue_idx);
	}
	if (!device->is_running ||
	    (queue->broken != NULL && virtio_device_check_queue(device, queue))) {
		return false;
	}
	virtio_device_interrupt(device, queue_idx);
	if (step == BLK_STEP_FULL) {
		/* The next end of a request brings us here again: no kick is needed. */
		return false;
	}
	return step == BLK_STEP_DONE || virtqueue_kicks_on(queue);
}

static bool work(struct virtio_device *device)
{
	struct blk_disk *disk = device->own;
	uint32_t count = device->queues_count;
	uint32_t idx = disk->first_queue + 1 < count ? disk->first_queue + 1 : 0;
	bool is_more = false;
	uint32_t i;

	disk->is_working = true;
	disk->turn_tsc = machine_now_tsc();
	disk->turn_bytes = 0;
	if (device->kick_tsc != 0) {
		virtio_time_add(&device->page->counters.queue, disk->turn_tsc - device->kick_tsc);
		device->kick_tsc = 0;
	}
	/* Each turn begins with another queue: what a turn may do is theirs together. */
	disk->first_queue = idx;
	for (i = 0; i < count && device->is_running; i++) {
		if (device->queues[idx].size != 0) {
			is_more |= work_queue(disk, idx);
		}
		idx = idx + 1 < count ? idx + 1 : 0;
	}
	disk->is_working = false;
	return is_more && device->is_running;
}

/* ---- life -------------------------------------------------------------------------------------------- */

static void start(struct virtio_device *device)
{
	(void)device;
}

static void stop(struct virtio_device *device)
{
	(void)device;
}

static bool request_uses(const struct blk_request *request, const uint8_t *from, const uint8_t *end)
{
	uint32_t i;

	for (i = 0; i < VIRTQUEUE_PIECES_MAX; i++) {
		const uint8_t *at = request->chain.pieces[i].address;

		if (at < end && at + request->chain.pieces[i].bytes > from) {
			return true; /* perhaps of an earlier chain in the record: that costs a delay */
		}
	}
	return request->status >= from && request->status < end;
}

static bool uses(const struct virtio_device *device, const uint8_t *from, const uint8_t *end)
{
	const struct blk_disk *disk = device->own;
	uint32_t i;

	for (i = 0; i < device->queues_count; i++) {
		const struct blk_request *request = disk->queues[i].first;

		for (; request != NULL; request = request->next) {
			if (request_uses(request, from, end)) {
				return true;
			}
		}
	}
	return false;
}

static bool is_idle(const struct virtio_device *device)
{
	struct blk_disk *disk = device->own;
	uint32_t i;

	/* Here and not in done(): a stopped device gets no turn. */
	for (i = 0; i < VIO_QUEUES_MAX && !device->is_running; i++) {
		give_ended(disk, i);
	}
	return disk->under_way == 0;
}

static void free_disk(struct blk_disk *disk)
{
	while (disk->free != NULL) {
		struct blk_request *request = disk->free;

		disk->free = request->next;
		free(request);
	}
	free(disk);
}

static void destroy(struct virtio_device *device)
{
	struct blk_disk *disk = device->own;

	if (disk->params.gone != NULL) {
		disk->params.gone(disk->params.owner);
	}
	free_disk(disk);
}

static const struct virtio_operations operations = {
	.name = "blk",
	.start = start,
	.work = work,
	.stop = stop,
	.is_idle = is_idle,
	.destroy = destroy,
	.uses = uses,
};

static void fill_config(const struct blk_params *params, struct blk_config *config)
{
	const struct block_device *disk = params->disk;
	uint32_t sector = disk->sector_bytes;

	memset(config, 0, sizeof(*config));
	config->capacity = disk->sectors_count;
	config->size_max = BLK_SIZE_MAX;
	config->seg_max = BLK_SEG_MAX;
	config->blk_size = sector;
	config->min_io_size = 1;
	config->opt_io_size = disk->optimal_bytes / sector;
	config->num_queues = (uint16_t)params->queues_count;
	config->max_discard_sectors = BLK_DISCARD_MAX;
	config->max_discard_seg = 1;
	config->discard_sector_alignment = sector / BLOCK_SECTOR_BYTES;
	config->max_write_zeroes_sectors = BLK_DISCARD_MAX;
	config->max_write_zeroes_seg = 1;
}

static uint64_t features_of(const struct blk_params *params)
{
	uint32_t flags = params->disk->flags;
	uint64_t features = BLK_F_SIZE_MAX | BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_TOPOLOGY |
	                    BLK_F_FLUSH;

	if (params->is_read_only || (flags & BLOCK_IS_READ_ONLY) != 0) {
		features |= BLK_F_RO;
	} else {
		features |= (flags & BLOCK_CAN_DISCARD) != 0 ? BLK_F_DISCARD : 0;
		features |= (flags & BLOCK_CAN_WRITE_ZEROES) != 0 ? BLK_F_WRITE_ZEROES : 0;
	}
	return features | (params->queues_count > 1 ? BLK_F_MQ : 0);
}

struct virtio_device *blk_add(uint32_t slot, uint32_t idx, const struct blk_params *params)
{
	struct blk_config config;
	struct virtio_offer offer = {
		.type = VIRTIO_TYPE_BLOCK,
		.features = features_of(params),
		.queues_count = params->queues_count,
		.queue_size_max = BLK_QUEUE_SIZE,
		.config = &config,
		.config_bytes = sizeof(config) - 4,
	};
	struct blk_disk *disk = calloc(1, sizeof(*disk));
	struct virtio_device *device;

	/* One request there always is, so that a queue can always go on. */
	if (disk == NULL || !grow(disk)) {
		free(disk);
		return NULL;
	}
	disk->params = *params;
	disk->params.is_read_only = (offer.features & BLK_F_RO) != 0;
	fill_config(params, &config);
	device = virtio_device_add(slot, idx, &operations, disk, &offer);
	if (device == NULL) {
		free_disk(disk);
		return NULL;
	}
	disk->device = device;
	return device;
}
