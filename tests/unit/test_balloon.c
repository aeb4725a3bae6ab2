// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-balloon: pages count once and only if they are the guest's, chunks go when all of their pages are lent and
 * are back before one of them is returned, a reset ends it, the next mgmt finds it, statistics. Reports of free pages: which chunks
 * go, when the report is answered, and what happens when they are used again.
 */
// sources: mgmt/virtio/balloon.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/virtio/balloon.h"
#include "tests/unit/fake_chunks.h"

#define DATA_GPA    0x10000ull
#define CHUNK_PAGES 16u
#define FIRST_FRAME 0x180u /* of chunk 24, behind the rings */

static struct virtio_device *device;

static void begin(void)
{
	fake_backend_reset();
	fake_chunks_reset();
	device = balloon_add(2, 14, &(struct balloon_params){ FAKE_BYTES, 0, true });
	assert_non_null(device);
	fake_backend_start(device->offered);
}

static void end(void)
{
	device->operations->destroy(device);
}

static struct balloon_info info_now(void)
{
	struct balloon_info info;

	balloon_info(device, &info);
	return info;
}

/* Puts page numbers into a queue; true if the buffer came back. */
static bool put(uint32_t queue, uint32_t first, uint32_t count, int32_t step)
{
	struct fake_piece piece = { DATA_GPA, count * 4, false };
	uint32_t frames[256];
	uint16_t id;
	uint32_t bytes;

	for (uint32_t i = 0; i < count; i++) {
		frames[i] = first + (uint32_t)((int32_t)i * step);
	}
	memcpy(fake_backend.memory.base + DATA_GPA, frames, count * 4);
	fake_driver_add(&fake_backend.drivers[queue], &piece, 1, false);
	fake_backend_work();
	return fake_driver_used(&fake_backend.drivers[queue], &id, &bytes);
}

static void test_a_chunk_goes_and_comes(void **state)
{
	uint16_t id;
	uint32_t bytes;

	(void)state;
	begin();
	assert_true(put(0, FIRST_FRAME + CHUNK_PAGES - 2, CHUNK_PAGES - 1, -1));
	fake_chunks_work();
	assert_int_equal(fake_chunks.handles[24], 7);
	assert_true(put(0, FIRST_FRAME + CHUNK_PAGES - 1, 1, 1));
	fake_chunks_work();
	assert_int_equal(fake_chunks.handles[24], 0);
	assert_int_equal(info_now().lent_bytes, CHUNK_PAGES * 4096);
	assert_null(guest_memory_at(&fake_backend.memory, FIRST_FRAME * 4096ull, 1));
	assert_null(guest_memory_at(&fake_backend.memory, FIRST_FRAME * 4096ull - 1, 2));
	assert_non_null(guest_memory_at(&fake_backend.memory, FIRST_FRAME * 4096ull - 1, 1));
	/* A page of it is returned only when it is there. */
	assert_false(put(1, FIRST_FRAME + 3, 1, 1));
	fake_backend_work();
	assert_int_equal(info_now().lent_bytes, CHUNK_PAGES * 4096);
	fake_chunks_work();
	fake_backend_work();
	assert_true(fake_driver_used(&fake_backend.drivers[1], &id, &bytes));
	assert_int_equal(info_now().lent_bytes, (CHUNK_PAGES - 1) * 4096);
	assert_int_equal(fake_chunks.handles[24], 7);
	assert_int_equal(info_now().refused_count, 0);
	end();
}

/* Chunk 0 and pages above 4 GiB. */
static void test_ends_of_memory(void **state)
{
	(void)state;
	begin();
	assert_true(put(0, 0, CHUNK_PAGES, 1));
	assert_true(put(0, (uint32_t)(GUEST_HIGH_BASE >> 12), CHUNK_PAGES, 1));
	fake_chunks_work();
	assert_int_equal(fake_chunks.handles[0], 7);
	assert_int_equal(fake_chunks.handles[FAKE_LOW_BYTES / FAKE_CHUNK_BYTES], 0);
	assert_int_equal(info_now().lent_bytes, 2 * CHUNK_PAGES * 4096);
	end();
}

static void test_pages_that_are_refused(void **state)
{
	(void)state;
	begin();
	put(0, FIRST_FRAME, 16, 0); /* sixteen times the same */
	assert_int_equal(info_now().lent_bytes, 4096);
	assert_int_equal(info_now().refused_count, 15);
	put(0, (uint32_t)(FAKE_LOW_BYTES >> 12), 4, 1); /* behind the low part */
	put(0, 0xa0, 4, 1);                             /* the hole */
	put(0, (uint32_t)((GUEST_HIGH_BASE + FAKE_HIGH_BYTES) >> 12), 4, 1);
	put(0, 0xfffffff0, 16, 1);
	assert_int_equal(info_now().lent_bytes, 4096);
	assert_int_equal(info_now().refused_count, 15 + 4 + 4 + 4 + 16);
	put(1, FIRST_FRAME + 1, 3, 1); /* never lent */
	assert_int_equal(info_now().refused_count, 43 + 3);
	put(1, FIRST_FRAME, 2, 0); /* returned twice */
	assert_int_equal(info_now().lent_bytes, 0);
	assert_int_equal(info_now().refused_count, 46 + 1);
	assert_null(fake_backend.broken);
	end();
}

static void test_buffers_that_are_none(void **state)
{
	struct fake_piece odd = { DATA_GPA, 7, false };
	struct fake_piece writable = { DATA_GPA, 8, true };
	struct fake_piece large[2] = { { DATA_GPA, 0x4000, false }, { DATA_GPA, 4, false } };

	(void)state;
	begin();
	fake_driver_add(&fake_backend.drivers[0], &odd, 1, false);
	fake_backend_work();
	assert_non_null(fake_backend.broken);
	end();
	begin();
	fake_driver_add(&fake_backend.drivers[1], &writable, 1, false);
	fake_backend_work();
	assert_non_null(fake_backend.broken);
	end();
	begin();
	fake_driver_add(&fake_backend.drivers[0], large, 2, false);
	fake_backend_work();
	assert_non_null(fake_backend.broken);
	end();
	begin();
	fake_driver_add(&fake_backend.drivers[2], &writable, 1, false);
	fake_backend_work();
	assert_non_null(fake_backend.broken);
	end();
}

static void test_a_reset_ends_it(void **state)
{
	struct vio_device *page;

	(void)state;
	begin();
	page = fake_backend_page();
	page->driver_generation = device->generation;
	page->driver_state = VIO_DRIVER_RUNNING;
	put(0, FIRST_FRAME, CHUNK_PAGES, 1);
	fake_chunks_work();
	assert_true(device->operations->is_idle(device)); /* the same driver goes on */
	page->driver_generation++;
	page->driver_state = VIO_DRIVER_RESET;
	fake_backend_stop();
	assert_false(device->operations->is_idle(device));
	assert_int_equal(info_now().lent_bytes, 0);
	fake_chunks_work();
	assert_true(device->operations->is_idle(device));
	assert_int_equal(fake_chunks.handles[24], 7);
	end();
}

static void test_next_mgmt(void **state)
{
	(void)state;
	begin();
	put(0, FIRST_FRAME, CHUNK_PAGES, 1); /* root has not been asked yet */
	put(0, FIRST_FRAME + 40, 3, 1);
	memset(fake_gives, 0, sizeof(fake_gives));
	end();
	device = balloon_add(2, 14, &(struct balloon_params){ FAKE_BYTES, 64 * 4096, true });
	fake_backend_start(device->offered);
	assert_int_equal(info_now().lent_bytes, (CHUNK_PAGES + 3) * 4096);
	assert_int_equal(fake_backend.config[0], 64);
	assert_true(fake_gives[24]);
	assert_false(fake_gives[26]);
	end();
}

static void test_size(void **state)
{
	uint32_t words[2];

	(void)state;
	begin();
	fake_backend_page()->config_written[4] = 3; /* the driver's */
	balloon_want(device, 10 * 4096);
	memcpy(words, fake_backend.config, sizeof(words));
	assert_int_equal(words[0], 10);
	assert_int_equal(words[1], 3);
	assert_int_equal(info_now().wanted_bytes, 10 * 4096);
	end();
}

static void stat_put(uint32_t i, uint16_t tag, uint64_t value)
{
	memcpy(fake_backend.memory.base + DATA_GPA + i * 10, &tag, 2);
	memcpy(fake_backend.memory.base + DATA_GPA + i * 10 + 2, &value, 8);
}

static void test_statistics(void **state)
{
	struct fake_piece piece = { DATA_GPA, 35, false }; /* three and a half */
	uint16_t id;
	uint32_t bytes;

	(void)state;
	begin();
	stat_put(0, 4, 1234567);
	stat_put(1, 5, 0x123456789abcull);
	stat_put(2, 77, 1);
	fake_driver_add(&fake_backend.drivers[2], &piece, 1, false);
	fake_backend_work();
	assert_true(info_now().has_stat[4] && info_now().has_stat[5]);
	assert_false(info_now().has_stat[0]);
	assert_int_equal(info_now().stats[4], 1234567);
	assert_int_equal(info_now().stats[5], 0x123456789abcull);
	/* The buffer is the driver's again when new figures are asked for. */
	assert_false(fake_driver_used(&fake_backend.drivers[2], &id, &bytes));
	assert_true(balloon_ask_stats(device));
	fake_backend_work();
	assert_true(fake_driver_used(&fake_backend.drivers[2], &id, &bytes));
	assert_int_equal(info_now().stats_count, 1);
	fake_driver_add(&fake_backend.drivers[2], &piece, 1, false);
	fake_backend_work();
	assert_int_equal(info_now().stats_count, 2);
	end();
}

/* ---- reports ---- */

#define REPORT_QUEUE 3u
#define CHUNK_GPA(n) ((n)*FAKE_CHUNK_BYTES)

static void report(uint32_t queue, const struct fake_piece *pieces, uint32_t count)
{
	fake_driver_add(&fake_backend.drivers[queue], pieces, count, false);
	fake_backend_work();
}

static bool is_answered(uint32_t queue)
{
	uint16_t id;
	uint32_t bytes;

	return fake_driver_used(&fake_backend.drivers[queue], &id, &bytes);
}

static uint32_t reports_count(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FAKE_CHUNKS; i++) {
		count += fake_reports[i];
	}
	return count;
}

static void test_a_report_is_answered_when_its_chunks_have_gone(void **state)
{
	struct fake_piece piece = { CHUNK_GPA(24), 2 * FAKE_CHUNK_BYTES, true };

	(void)state;
	begin();
	assert_true(info_now().is_reporting);
	report(REPORT_QUEUE, &piece, 1);
	assert_int_equal(reports_count(), 2);
	assert_true(fake_reports[24] && fake_reports[25]);
	assert_false(is_answered(REPORT_QUEUE));
	fake_backend_work();
	assert_false(is_answered(REPORT_QUEUE));
	fake_chunks_work();
	assert_int_equal(info_now().reported_bytes, 0);
	fake_backend_work();
	assert_true(is_answered(REPORT_QUEUE));
	assert_int_equal(fake_chunks.handles[24], 0);
	assert_int_equal(info_now().reported_bytes, 2 * FAKE_CHUNK_BYTES);
	assert_int_equal(info_now().lent_bytes, 0);
	end();
}

/* One that cannot go, since a device uses it: the report is answered all the same, and it stays. */
static void test_a_report_that_is_dropped(void **state)
{
	struct fake_piece piece = { CHUNK_GPA(24), FAKE_CHUNK_BYTES, true };

	(void)state;
	begin();
	report(4, &piece, 1); /* the queue's number by the book */
	assert_false(is_answered(4));
	fake_reports[24] = false;
	fake_backend_work();
	assert_true(is_answered(4));
	assert_int_equal(info_now().reported_bytes, 0);
	assert_int_equal(fake_chunks.handles[24], 7);
	end();
}

static void test_only_whole_chunks_are_reported(void **state)
{
	struct fake_piece parts[] = {
		{ CHUNK_GPA(24) + 4096, FAKE_CHUNK_BYTES, true }, /* parts of two */
		{ CHUNK_GPA(26), FAKE_CHUNK_BYTES - 1, true },
		{ CHUNK_GPA(28) + 1, FAKE_CHUNK_BYTES, true },
		{ 0, FAKE_CHUNK_BYTES, true }, /* the first never goes */
	};
	struct fake_piece large[] = {
		{ CHUNK_GPA(24) + 1, 3 * FAKE_CHUNK_BYTES - 1, true },
		{ GUEST_HIGH_BASE, FAKE_CHUNK_BYTES, true },
	};

	(void)state;
	begin();
	report(REPORT_QUEUE, parts, 4);
	assert_int_equal(reports_count(), 0);
	assert_true(is_answered(REPORT_QUEUE));
	report(REPORT_QUEUE, large, 2);
	assert_int_equal(reports_count(), 3);
	assert_true(fake_reports[25] && fake_reports[26]);
	assert_true(fake_reports[FAKE_LOW_BYTES / FAKE_CHUNK_BYTES]);
	end();
}

/* What is not the guest's ends the device; without the feature the queue is not looked at. */
static void test_reports_that_are_none(void **state)
{
	struct fake_piece outside = { FAKE_LOW_BYTES - 4096, 8192, true };
	struct fake_piece piece = { CHUNK_GPA(24), FAKE_CHUNK_BYTES, true };

	(void)state;
	begin();
	report(REPORT_QUEUE, &outside, 1);
	assert_non_null(fake_backend.broken);
	assert_int_equal(reports_count(), 0);
	end();
	begin();
	fake_backend_start(device->offered & ~(1ull << 5));
	assert_false(info_now().is_reporting);
	report(REPORT_QUEUE, &piece, 1);
	assert_int_equal(reports_count(), 0);
	assert_false(is_answered(REPORT_QUEUE));
	end();
}

/* A driver that reports without end: so many chunks a second go, the rest stays. */
static void test_a_flood_of_reports(void **state)
{
	struct fake_piece piece = { CHUNK_GPA(24), FAKE_CHUNK_BYTES, true };
	uint32_t gone = 0;

	(void)state;
	begin();
	for (uint32_t i = 0; i < 1000; i++) {
		report(REPORT_QUEUE, &piece, 1);
		gone += reports_count();
		fake_chunks_work();
		fake_backend_work();
		assert_true(is_answered(REPORT_QUEUE));
		fake_takes[24] = true;
		fake_chunks_work();
	}
	assert_int_equal(gone, 256);
	end();
}

/* A page number in a buffer that lies in reported memory: the buffer waits until that is there again. */
static void test_a_buffer_in_reported_memory(void **state)
{
	struct fake_piece piece = { CHUNK_GPA(24), 8, false };
	uint32_t frames[2] = { 0x100, 0x101 };

	(void)state;
	begin();
	fake_chunks.handles[24] = 0;
	report(0, &piece, 1);
	assert_null(fake_backend.broken);
	assert_false(is_answered(0));
	assert_true(fake_have_news && fake_news.is_missed);
	assert_int_equal(fake_news.missed[0], 1ull << 24);
	fake_chunks_bring_missed();
	memcpy(fake_backend.memory.base + CHUNK_GPA(24), frames, sizeof(frames));
	fake_backend_work();
	assert_true(is_answered(0));
	assert_int_equal(info_now().lent_bytes, 2 * 4096);
	end();
}

/* The same in the balloon: nobody but the balloon brings that back. */
static void test_a_buffer_in_the_balloon(void **state)
{
	struct fake_piece piece = { CHUNK_GPA(24), 8, false };

	(void)state;
	begin();
	assert_true(put(0, FIRST_FRAME, CHUNK_PAGES, 1));
	fake_chunks_work();
	assert_int_equal(fake_news.lent[0], 1ull << 24);
	report(0, &piece, 1);
	assert_non_null(fake_backend.broken);
	assert_false(fake_news.is_missed);
	end();
	/* Half in the balloon, gone by a report: the rest is the guest's. */
	begin();
	assert_true(put(0, FIRST_FRAME, CHUNK_PAGES / 2, 1));
	fake_chunks.handles[24] = 0;
	assert_int_equal(fake_news.lent[0], 0);
	report(0, &piece, 1);
	assert_null(fake_backend.broken);
	assert_true(fake_news.is_missed);
	/* A page is taken out of the balloon when its chunk is there. */
	assert_false(put(1, FIRST_FRAME, 1, 1));
	assert_true(fake_takes[24]);
	end();
}

static void test_a_reset_forgets_reports(void **state)
{
	struct fake_piece piece = { CHUNK_GPA(24), FAKE_CHUNK_BYTES, true };

	(void)state;
	begin();
	fake_backend_page()->own = device->generation;
	report(REPORT_QUEUE, &piece, 1);
	assert_int_equal(reports_count(), 1);
	fake_backend_page()->driver_generation = device->generation + 1;
	fake_backend_stop();
	assert_true(device->operations->is_idle(device));
	assert_int_equal(reports_count(), 0);
	fake_chunks_work();
	fake_chunks.handles[24] = 0; /* one that went before */
	assert_false(device->operations->is_idle(device));
	fake_chunks_work();
	assert_int_equal(fake_chunks.handles[24], 7);
	assert_true(device->operations->is_idle(device));
	fake_backend_start(device->offered);
	assert_false(is_answered(REPORT_QUEUE));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_chunk_goes_and_comes),
		cmocka_unit_test(test_ends_of_memory),
		cmocka_unit_test(test_pages_that_are_refused),
		cmocka_unit_test(test_buffers_that_are_none),
		cmocka_unit_test(test_a_reset_ends_it),
		cmocka_unit_test(test_next_mgmt),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_a_report_is_answered_when_its_chunks_have_gone),
		cmocka_unit_test(test_a_report_that_is_dropped),
		cmocka_unit_test(test_only_whole_chunks_are_reported),
		cmocka_unit_test(test_reports_that_are_none),
		cmocka_unit_test(test_a_flood_of_reports),
		cmocka_unit_test(test_a_buffer_in_reported_memory),
		cmocka_unit_test(test_a_buffer_in_the_balloon),
		cmocka_unit_test(test_a_reset_forgets_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
