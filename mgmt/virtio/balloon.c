// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-balloon (see balloon.h). The record of lent pages is the truth; counts of it are made anew by each mgmt.
 *
 * Deflating is told first (MUST_TELL_HOST): a buffer with pages of chunks that are away is not taken before they are
 * back. A driver's reset ends its balloon, and the device is not idle until all chunks are back: the guest's next
 * life has all of its memory.
 *
 * Reports (virtio 1.2 5.5.6.7) are answered one after another: a report waits until its chunks have gone, or will not go. Other than a page
 * of the balloon, one that was reported is the guest's again once the report is answered.
 */
#include "mgmt/virtio/balloon.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/chunks.h"
#include "mgmt/machine.h"

/* virtio 1.2 5.5.3 */
#define BALLOON_F_MUST_TELL_HOST (1ull << 0)
#define BALLOON_F_STATS_VQ       (1ull << 1)
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define BALLOON_F_REPORTING      (1ull << 5)

#define BALLOON_QUEUE_SIZE       128u
#define BALLOON_TURN             16u
#define BALLOON_PAGES_MAX        4096u /* of one buffer */
#define PAGE_SHIFT               12u
#define QUEUE_INFLATE            0u
#define QUEUE_DEFLATE            1u
#define QUEUE_STATS              2u
/* virtio 1.2 5.5.2 has the reporting queue behind that of free-page hints, though there is none; Linux does not count that one. */
#define QUEUE_REPORT      3u
#define QUEUE_REPORT_LAST 4u
#define REPORTS_A_SECOND  256u /* chunks; what is reported beyond stays */
#define STAT_BYTES        10u

struct balloon_config {
	uint32_t num_pages;
	uint32_t actual;
};
_Static_assert(sizeof(struct balloon_config) == 8, "virtio 1.2 5.5.4");

struct balloon {
	uint64_t memory_bytes;
	uint64_t wanted_bytes;
	uint64_t lent_pages;
	uint64_t refused_count;
	uint8_t *record;                /* bit a page */
	bool is_empty;                  /* no bit is set */
	uint32_t counts[BH_CHUNKS_MAX]; /* lent pages of each chunk */
	/* the driver's buffer for statistics, until they are asked for */
	struct virtqueue_done stats_done;
	bool has_stats_buffer;
	bool is_stats_wanted;
	bool has_stat[BALLOON_STATS];
	uint64_t stats[BALLOON_STATS];
	uint64_t stats_count;
	/* the report that is being worked on; its buffer is the driver's again when all of its chunks are settled */
	struct {
		bool is_out;
		uint32_t queue_idx;
		struct virtqueue_done done;
		uint64_t chunks[GUEST_CHUNK_WORDS];
	} report;
	uint64_t reported_bytes;
	uint64_t window_tsc; /* a second, and what was reported in it */
	uint32_t window_count;
};

const char *const balloon_stat_names[BALLOON_STATS] = {
	"swapped_in", "swapped_out", "major_faults", "minor_faults",        "free",
	"total",      "available",   "disk_caches",  "hugetlb_allocations", "hugetlb_failures",
};

static struct virtqueue_chain chain;

/* The page numbers of the chain: a copy, read once. */
static uint32_t frames[BALLOON_PAGES_MAX];
static uint32_t frames_count;

static struct balloon *balloon_of(const struct virtio_device *device)
{
	return device->own;
}

/* ---- the record ----------------------------------------------------------------------------------- */

static bool is_lent(const struct balloon *balloon, uint64_t page)
{
	return (balloon->record[page / 8] >> (page % 8) & 1) != 0;
}

static uint32_t chunk_of(const struct virtio_device *device, uint64_t page)
{
	return (uint32_t)(page >> (virtio_slot_memory(device->slot)->chunk_shift - PAGE_SHIFT));
}

/* Pages that a chunk has; the last may have fewer. */
static uint64_t chunk_pages(const struct virtio_device *device, uint32_t chunk)
{
	uint64_t pages = 1ull << (virtio_slot_memory(device->slot)->chunk_shift - PAGE_SHIFT);
	uint64_t left = (balloon_of(device)->memory_bytes >> PAGE_SHIFT) - chunk * pages;

	return left < pages ? left : pages;
}

static void lend(struct virtio_device *device, uint64_t page)
{
	struct balloon *balloon = balloon_of(device);
	uint32_t chunk = chunk_of(device, page);

	balloon->record[page / 8] |= (uint8_t)(1u << (page % 8));
	balloon->is_empty = false;
	balloon->lent_pages++;
	balloon->counts[chunk]++;
	if (balloon->counts[chunk] == chunk_pages(device, chunk)) {
		chunks_set_lent(device->slot, chunk, true);
		chunks_give(device->slot, chunk);
	}
}

static void take_back(struct virtio_device *device, uint64_t page)
{
	struct balloon *balloon = balloon_of(device);
	uint32_t chunk = chunk_of(device, page);

	balloon->record[page / 8] &= (uint8_t) ~(1u << (page % 8));
	balloon->lent_pages--;
	if (balloon->counts[chunk] == chunk_pages(device, chunk)) {
		chunks_set_lent(device->slot, chunk, false);
	}
	balloon->counts[chunk]--;
}

static uint64_t pages_count(const struct balloon *balloon)
{
	return balloon->memory_bytes >> PAGE_SHIFT;
}

static void set_none_lent(const struct virtio_device *device)
{
	uint32_t i;

	for (i = 0; i < virtio_slot_memory(device->slot)->chunks->count; i++) {
		chunks_set_lent(device->slot, i, false);
	}
}

static void count_record(struct virtio_device *device)
{
	struct balloon *balloon = balloon_of(device);
	uint64_t page;

	set_none_lent(device);
	memset(balloon->counts, 0, sizeof(balloon->counts));
	balloon->lent_pages = 0;
	if (balloon->is_empty) {
		return;
	}
	for (page = 0; page < pages_count(balloon); page++) {
		if (page % 8 == 0 && balloon->record[page / 8] == 0) {
			page += 7;
		} else if (is_lent(balloon, page)) {
			lend(device, page);
		}
	}
}

/* Ends the balloon: all of the guest's memory is to be there. True once it is. */
static bool empty(struct virtio_device *device)
{
	const struct guest_memory *memory = virtio_slot_memory(device->slot);
	struct balloon *balloon = balloon_of(device);
	bool is_complete = true;
	uint32_t i;

	if (!balloon->is_empty) {
		set_none_lent(device);
		balloon->is_empty = true;
		memset(balloon->record, 0, pages_count(balloon) / 8 + 1);
		memset(balloon->counts, 0, sizeof(balloon->counts));
		balloon->lent_pages = 0;
	}
	for (i = 0; i < memory->chunks->count; i++) {
		chunks_take(device->slot, i);
		is_complete &= guest_memory_chunk_is_there(memory, i);
	}
	return is_complete;
}

/* ---- pages ------------------------------------------------------------------------------------------ */

/* The number of the page in the guest's memory; false if the driver's number is none of its RAM. */
static bool page_of(const struct virtio_device *device, uint32_t frame, uint64_t *page)
{
	const struct guest_memory *memory = virtio_slot_memory(device->slot);
	uint64_t gpa = (uint64_t)frame << PAGE_SHIFT;

	if (guest_memory_range(memory, gpa, 1ull << PAGE_SHIFT) == NULL) {
		return false;
	}
	*page = guest_memory_offset(memory, gpa) >> PAGE_SHIFT;
	return *page < pages_count(balloon_of(device));
}

static void inflate(struct virtio_device *device)
{
	struct balloon *balloon = balloon_of(device);
	uint32_t i;

	for (i = 0; i < frames_count; i++) {
		uint64_t page;

		if (page_of(device, frames[i], &page) && !is_lent(balloon, page)) {
			lend(device, page);
		} else {
			balloon->refused_count++;
		}
	}
}

/* Are the chunks of all pages there, and stay? */
static bool want_chunks(struct virtio_device *device)
{
	bool are_there = true;
	uint32_t i;

	for (i = 0; i < frames_count; i++) {
		uint64_t page;

		if (page_of(device, frames[i], &page) && is_lent(balloon_of(device), page)) {
			chunks_take(device->slot, chunk_of(device, page));
			are_there &= guest_memory_chunk_is_there(virtio_slot_memory(device->slot),
			                                         chunk_of(device, page));
		}
	}
	return are_there;
}

/* False: the buffer waits for chunks. */
static bool deflate(struct virtio_device *device)
{
	struct balloon *balloon = balloon_of(device);
	uint32_t i;

	if (!want_chunks(device)) {
		return false;
	}
	for (i = 0; i < frames_count; i++) {
		uint64_t page;

		if (page_of(device, frames[i], &page) && is_lent(balloon, page)) {
			take_back(device, page);
		} else {
			balloon->refused_count++;
		}
	}
	return true;
}

/* A buffer of page numbers: readable, whole numbers, not endless. */
static bool read_buffer(struct virtio_device *device)
{
	if (chain.in_count == 0 && chain.out_bytes % 4 == 0 && chain.out_bytes <= sizeof(frames)) {
		frames_count = virtqueue_read(&chain, 0, frames, sizeof(frames)) / 4;
		return true;
	}
	virtio_device_break(device, "a buffer with page numbers is none");
	return false;
}

static bool work_pages(struct virtio_device *device, uint32_t queue_idx)
{
	struct virtqueue *queue = &device->queues[queue_idx];
	uint32_t left = BALLOON_TURN;

	if (queue->size == 0) {
		return false;
	}
	virtqueue_kicks_off(queue);
	for (; left > 0; left--) {
		struct virtqueue_mark mark = virtqueue_mark(queue);

		if (!virtqueue_take(queue, &chain)) {
			break;
		}
		if (!read_buffer(device)) {
			return false;
		}
		if (queue_idx == QUEUE_INFLATE) {
			inflate(device);
		} else if (!deflate(device)) {
			virtqueue_rewind(queue, mark);
			virtio_device_interrupt(device, queue_idx);
			return false; /* chunks_poll() pokes */
		}
		virtqueue_give(queue, &chain, 0);
		device->page->counters.chains++;
	}
	if (virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, queue_idx);
	return left == 0 || virtqueue_kicks_on(queue);
}

/* ---- statistics (5.5.6.3) ------------------------------------------------------------------------------- */

static void read_stats(struct balloon *balloon)
{
	uint8_t stat[STAT_BYTES];
	uint32_t offset = 0;
	uint32_t left = 64;

	for (; left > 0 && virtqueue_read(&chain, offset, stat, STAT_BYTES) == STAT_BYTES; left--) {
		uint16_t tag = (uint16_t)(stat[0] | stat[1] << 8);

		if (tag < BALLOON_STATS) {
			memcpy(&balloon->stats[tag], stat + 2, sizeof(balloon->stats[tag]));
			balloon->has_stat[tag] = true;
		}
		offset += STAT_BYTES;
	}
	balloon->stats_count++;
}

/* The driver's buffer is kept, and given back to ask for the next figures. */
static bool work_stats(struct virtio_device *device)
{
	struct virtqueue *queue = &device->queues[QUEUE_STATS];
	struct balloon *balloon = balloon_of(device);

	if (queue->size == 0) {
		return false;
	}
	if (balloon->has_stats_buffer && balloon->is_stats_wanted) {
		balloon->has_stats_buffer = false;
		balloon->is_stats_wanted = false;
		virtqueue_give_all(queue, &balloon->stats_done, 1);
		virtio_device_interrupt(device, QUEUE_STATS);
	}
	if (balloon->has_stats_buffer) {
		return false;
	}
	if (virtqueue_take(queue, &chain)) {
		if (chain.in_count != 0) {
			virtio_device_break(device, "a buffer with statistics is none");
			return false;
		}
		read_stats(balloon);
		balloon->stats_done = (struct virtqueue_done){ chain.id, chain.slots, 0 };
		balloon->has_stats_buffer = true;
		device->page->counters.chains++;
		return false;
	}
	return !virtio_device_check_queue(device, queue) && virtqueue_kicks_on(queue);
}

/* ---- free pages (5.5.6.7) ------------------------------------------------------------------------------- */

/* A driver that reports and touches without end costs root so much and no more. */
static bool may_report(struct balloon *balloon)
{
	uint64_t now = machine_now_tsc();

	if (now - balloon->window_tsc >= machine_tsc_hz()) {
		balloon->window_tsc = now;
		balloon->window_count = 0;
	}
	return balloon->window_count++ < REPORTS_A_SECOND;
}

/* The chunks that lie wholly in one run of free memory. */
static void report_piece(struct virtio_device *device, const struct block_piece *piece)
{
	const struct guest_memory *memory = virtio_slot_memory(device->slot);
	struct balloon *balloon = balloon_of(device);
	uint64_t gpa = (uint64_t)((const uint8_t *)piece->address - memory->base);
	uint64_t page = guest_memory_offset(memory, gpa + (1u << PAGE_SHIFT) - 1) >> PAGE_SHIFT;
	uint64_t end = (guest_memory_offset(memory, gpa) + piece->bytes) >> PAGE_SHIFT;

	while (page < end) {
		uint32_t chunk = chunk_of(device, page);
		uint64_t first = (uint64_t)chunk << (memory->chunk_shift - PAGE_SHIFT);
		uint64_t next = first + chunk_pages(device, chunk);

		if (page == first && next <= end && chunk != 0 && may_report(balloon)) {
			chunks_report(device->slot, chunk);
			balloon->report.chunks[chunk / 64] |= 1ull << (chunk % 64);
		}
		page = next;
	}
}

static void report_begin(struct virtio_device *device, uint32_t queue_idx)
{
	struct balloon *balloon = balloon_of(device);
	uint32_t i;

	balloon->report.is_out = true;
	balloon->report.queue_idx = queue_idx;
	balloon->report.done = (struct virtqueue_done){ chain.id, chain.slots, 0 };
	memset(balloon->report.chunks, 0, sizeof(balloon->report.chunks));
	for (i = 0; i < chain.out_count + chain.in_count; i++) {
		report_piece(device, &chain.pieces[i]);
	}
	device->page->counters.chains++;
}

/* Answers the report once none of its chunks can go any more. */
static bool report_end(struct virtio_device *device)
{
	const struct guest_memory *memory = virtio_slot_memory(device->slot);
	struct balloon *balloon = balloon_of(device);
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < memory->chunks->count; i++) {
		if ((balloon->report.chunks[i / 64] >> (i % 64) & 1) == 0) {
			continue;
		}
		if (!chunks_is_settled(device->slot, i)) {
			return false;
		}
		if (!guest_memory_chunk_is_there(memory, i)) {
			bytes += chunk_pages(device, i) << PAGE_SHIFT;
		}
	}
	balloon->reported_bytes += bytes;
	balloon->report.is_out = false;
	virtqueue_give_all(&device->queues[balloon->report.queue_idx], &balloon->report.done, 1);
	virtio_device_interrupt(device, balloon->report.queue_idx);
	return true;
}

static bool work_reports(struct virtio_device *device, uint32_t queue_idx)
{
	struct virtqueue *queue = &device->queues[queue_idx];
	const struct balloon *balloon = balloon_of(device);
	uint32_t left = BALLOON_TURN;

	if (queue->size == 0) {
		return false;
	}
	virtqueue_kicks_off(queue);
	for (; left > 0; left--) {
		if (balloon->report.is_out && !report_end(device)) {
			return false; /* chunks_poll() pokes */
		}
		if (!virtqueue_take(queue, &chain)) {
			break;
		}
		report_begin(device, queue_idx);
	}
	return !virtio_device_check_queue(device, queue) &&
	       (left == 0 || virtqueue_kicks_on(queue));
}

/* ---- the device ------------------------------------------------------------------------------------------- */

static bool is_reporting(const struct virtio_device *device)
{
	return device->is_running && (device->features & BALLOON_F_REPORTING) != 0;
}

static bool work(struct virtio_device *device)
{
	bool is_more = work_pages(device, QUEUE_INFLATE);
	uint32_t i;

	if (device->is_running) {
		is_more |= work_pages(device, QUEUE_DEFLATE);
	}
	if (device->is_running) {
		is_more |= work_stats(device);
	}
	for (i = QUEUE_REPORT; i <= QUEUE_REPORT_LAST && is_reporting(device); i++) {
		is_more |= work_reports(device, i);
	}
	return is_more && device->is_running;
}

static void start(struct virtio_device *device)
{
	struct balloon *balloon = balloon_of(device);

	device->page->own = device->generation;
	count_record(device);
	balloon->has_stats_buffer = false;
	balloon->is_stats_wanted = false;
	balloon->report.is_out = false;
	memset(balloon->has_stat, 0, sizeof(balloon->has_stat));
}

static void stop(struct virtio_device *device)
{
	(void)device;
}

/* A driver that a former mgmt has served keeps its balloon; else it ends first. */
static bool is_idle(const struct virtio_device *device)
{
	struct virtio_device *own = virtio_device_at(device->slot, device->idx);
	const struct vio_device *page = device->page;

	if (device->is_removed || own == NULL) {
		return true;
	}
	if (page->own == machine_load32(&page->driver_generation) &&
	    machine_load32(&page->driver_state) == VIO_DRIVER_RUNNING) {
		return true;
	}
	return empty(own);
}

static void destroy(struct virtio_device *device)
{
	free(device->own);
}

static const struct virtio_operations operations = {
	.name = "balloon",
	.start = start,
	.work = work,
	.stop = stop,
	.is_idle = is_idle,
	.destroy = destroy,
};

static struct balloon_config config_of(uint64_t wanted_bytes, uint32_t actual)
{
	return (struct balloon_config){ .num_pages = (uint32_t)(wanted_bytes >> PAGE_SHIFT),
		                        .actual = actual };
}

struct virtio_device *balloon_add(uint32_t slot, uint32_t idx, const struct balloon_params *params)
{
	const struct vio_device *page = machine_device_page(slot, idx);
	struct balloon_config config = config_of(params->wanted_bytes, 0);
	struct virtio_offer offer = {
		.type = VIRTIO_TYPE_BALLOON,
		.features = BALLOON_F_MUST_TELL_HOST | BALLOON_F_STATS_VQ |
		            BALLOON_F_DEFLATE_ON_OOM |
		            (params->can_report ? BALLOON_F_REPORTING : 0),
		.queues_count = params->can_report ? QUEUE_REPORT_LAST + 1 : QUEUE_STATS + 1,
		.queue_size_max = BALLOON_QUEUE_SIZE,
		.config = &config,
		.config_bytes = sizeof(config),
	};
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	struct virtio_device *device;

	if (balloon == NULL) {
		return NULL;
	}
	memcpy(&config.actual, page->config_written + 4, sizeof(config.actual));
	balloon->memory_bytes = params->memory_bytes;
	balloon->wanted_bytes = params->wanted_bytes;
	balloon->record = machine_guest_record(slot);
	device = virtio_device_add(slot, idx, &operations, balloon, &offer);
	if (device == NULL) {
		free(balloon);
	}
	return device;
}

void balloon_want(struct virtio_device *device, uint64_t bytes)
{
	struct balloon_config config = config_of(bytes, 0);

	balloon_of(device)->wanted_bytes = bytes;
	memcpy(&config.actual, device->page->config_written + 4, sizeof(config.actual));
	virtio_device_set_config(device, &config, sizeof(config));
}

void balloon_info(const struct virtio_device *device, struct balloon_info *info)
{
	const struct balloon *balloon = balloon_of(device);

	*info = (struct balloon_info){ .lent_bytes = balloon->lent_pages << PAGE_SHIFT,
		                       .wanted_bytes = balloon->wanted_bytes,
		                       .refused_count = balloon->refused_count,
		                       .is_reporting = is_reporting(device),
		                       .reported_bytes = balloon->reported_bytes,
		                       .stats_count = balloon->stats_count };
	memcpy(info->has_stat, balloon->has_stat, sizeof(info->has_stat));
	memcpy(info->stats, balloon->stats, sizeof(info->stats));
}

bool balloon_ask_stats(struct virtio_device *device)
{
	if (!device->is_running || device->queues[QUEUE_STATS].size == 0) {
		return false;
	}
	balloon_of(device)->is_stats_wanted = true;
	virtio_device_poke(device);
	return true;
}
