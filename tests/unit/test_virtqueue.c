// SPDX-License-Identifier: Apache-2.0
/*
 * Virtqueues from the device's side, in both formats: data, order, wraps, indirect tables, suppression
 * of kicks and interrupts, going on after mgmt's death at every point, and what a driver may do wrong.
 */
// sources: mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/virtio/queue.h"
#include "tests/unit/fake_driver.h"

#define RING_GPA 0x100000ull
#define DATA_GPA 0x10000ull
#define ALL      (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

static const uint64_t formats[] = { 0,
	                            VIRTIO_F_INDIRECT_DESC,
	                            ALL,
	                            VIRTIO_F_RING_PACKED,
	                            VIRTIO_F_RING_PACKED | VIRTIO_F_INDIRECT_DESC,
	                            VIRTIO_F_RING_PACKED | ALL };
#define FORMATS_COUNT (sizeof(formats) / sizeof(formats[0]))

static struct fake_driver driver;
static struct guest_memory memory;
static struct virtqueue queue;
static struct vio_progress progress;
static struct virtqueue_chain chain;

static void begin(uint64_t features, uint16_t size)
{
	driver.memory = memory = fake_guest_memory();
	memset(&progress, 0, sizeof(progress));
	fake_driver_init(&driver, RING_GPA, size, features);
	assert_true(virtqueue_init(&queue, &memory, &driver.setup, features, &progress));
}

static void begin_again(void)
{
	assert_true(virtqueue_init(&queue, &memory, &driver.setup, driver.features, &progress));
}

/* Echo: what is in the readable pieces comes back in the writable ones. */
static void test_data_goes_both_ways(void **state)
{
	uint32_t f;

	(void)state;
	for (f = 0; f < FORMATS_COUNT; f++) {
		uint32_t round;

		begin(formats[f], 8);
		for (round = 0; round < 100; round++) {
			struct fake_piece pieces[] = { { DATA_GPA, 5, false },
				                       { DATA_GPA + 100, 7, false },
				                       { DATA_GPA + 200, 3, true },
				                       { GUEST_HIGH_BASE + 10, 20, true } };
			bool is_indirect = (formats[f] & VIRTIO_F_INDIRECT_DESC) != 0;
			uint16_t id = fake_driver_add(&driver, pieces, 4, is_indirect);
			uint8_t text[32];
			uint16_t used_id;
			uint32_t used_bytes;

			memset(memory.base + DATA_GPA, (int)round, 5);
			memset(memory.base + DATA_GPA + 100, (int)round + 1, 7);
			assert_true(virtqueue_take(&queue, &chain));
			assert_int_equal(chain.out_count, 2);
			assert_int_equal(chain.in_count, 2);
			assert_int_equal(chain.out_bytes, 12);
			assert_int_equal(chain.in_bytes, 23);
			assert_int_equal(virtqueue_read(&chain, 0, text, 32), 12);
			assert_int_equal(text[4], (uint8_t)round);
			assert_int_equal(text[5], (uint8_t)(round + 1));
			assert_int_equal(virtqueue_write(&chain, 1, text, 12), 12);
			virtqueue_give(&queue, &chain, 13);
			assert_int_equal(memory.base[GUEST_HIGH_BASE + 10 + 3],
			                 (uint8_t)(round + 1));
			assert_true(fake_driver_used(&driver, &used_id, &used_bytes));
			assert_int_equal(used_id, id);
			assert_int_equal(used_bytes, 13);
			assert_false(virtqueue_take(&queue, &chain));
		}
		assert_null(queue.broken);
	}
}

/* A queue that is full, taken whole, given back whole, many times round. */
static void test_full_queue(void **state)
{
	uint32_t f;

	(void)state;
	for (f = 0; f < FORMATS_COUNT; f++) {
		static struct virtqueue_chain chains[8];
		uint32_t round;

		begin(formats[f], 8);
		for (round = 0; round < 30; round++) {
			uint16_t ids[8];
			uint32_t i;

			for (i = 0; i < 8; i++) {
				struct fake_piece piece = { DATA_GPA + 64 * i, 64, true };

				ids[i] = fake_driver_add(&driver, &piece, 1, false);
			}
			for (i = 0; i < 8; i++) {
				assert_true(virtqueue_take(&queue, &chains[i]));
			}
			assert_false(virtqueue_take(&queue, &chain));
			for (i = 0; i < 8; i++) {
				uint16_t id;
				uint32_t bytes;

				virtqueue_give(&queue, &chains[i], i + 1);
				assert_true(fake_driver_used(&driver, &id, &bytes));
				assert_int_equal(id, ids[i]);
				assert_int_equal(bytes, i + 1);
			}
		}
		assert_null(queue.broken);
	}
}

/* A chain comes again after a rewind, over the end of the ring too. */
static void test_rewind(void **state)
{
	uint32_t f;

	(void)state;
	for (f = 0; f < FORMATS_COUNT; f++) {
		uint32_t round;

		begin(formats[f], 8);
		for (round = 0; round < 40; round++) {
			struct fake_piece pieces[] = { { DATA_GPA, 1 + round, false },
				                       { DATA_GPA + 512, 8, true },
				                       { DATA_GPA + 1024, 8, true } };
			struct virtqueue_mark mark;
			uint16_t id;
			uint32_t bytes;

			fake_driver_add(&driver, pieces, 3, false);
			mark = virtqueue_mark(&queue);
			assert_true(virtqueue_take(&queue, &chain));
			virtqueue_rewind(&queue, mark);
			assert_true(virtqueue_take(&queue, &chain));
			assert_int_equal(chain.out_bytes, 1 + round);
			virtqueue_give(&queue, &chain, 0);
			assert_true(fake_driver_used(&driver, &id, &bytes));
			assert_int_equal(bytes, 0);
		}
	}
}

/* The interrupt is sent exactly when the driver wants it. */
static void test_interrupts(void **state)
{
	uint32_t f;

	(void)state;
	for (f = 0; f < FORMATS_COUNT; f++) {
		uint32_t round;

		begin(formats[f], 4);
		for (round = 0; round < 20; round++) {
			struct fake_piece piece = { DATA_GPA, 64, true };
			bool is_wanted = round % 3 != 0;
			uint16_t id;
			uint32_t bytes;

			fake_driver_want_interrupt(&driver, is_wanted);
			fake_driver_add(&driver, &piece, 1, false);
			fake_driver_add(&driver, &piece, 1, false);
			assert_false(virtqueue_needs_interrupt(&queue));
			while (virtqueue_take(&queue, &chain)) {
				virtqueue_give(&queue, &chain, 64);
			}
			assert_int_equal(virtqueue_needs_interrupt(&queue), is_wanted);
			assert_false(virtqueue_needs_interrupt(&queue));
			while (fake_driver_used(&driver, &id, &bytes)) {
			}
		}
	}
}

/* Kicks off, kicks on, and a chain that comes in between. */
static void test_kicks(void **state)
{
	uint32_t f;

	(void)state;
	for (f = 0; f < FORMATS_COUNT; f++) {
		struct fake_piece piece = { DATA_GPA, 64, true };
		uint16_t old;

		begin(formats[f], 8);
		assert_false(virtqueue_kicks_on(&queue));
		old = driver.avail_idx;
		fake_driver_add(&driver, &piece, 1, false);
		assert_true(fake_driver_must_kick(&driver, old));
		virtqueue_kicks_off(&queue);
		assert_true(virtqueue_take(&queue, &chain));
		virtqueue_give(&queue, &chain, 0);
		old = driver.avail_idx;
		fake_driver_add(&driver, &piece, 1, false);
		assert_false(fake_driver_must_kick(&driver, old));
		assert_true(virtqueue_kicks_on(&queue));
		assert_true(virtqueue_take(&queue, &chain));
		assert_false(virtqueue_kicks_on(&queue));
		old = driver.avail_idx;
		fake_driver_add(&driver, &piece, 1, false);
		assert_true(fake_driver_must_kick(&driver, old));
	}
}

/* A new mgmt goes on behind the last chain that was given back; what was only taken comes again. */
static void test_resume(void **state)
{
	uint32_t f;

	(void)state;
	for (f = 0; f < FORMATS_COUNT; f++) {
		uint32_t round;

		begin(formats[f], 8);
		for (round = 0; round < 50; round++) {
			struct fake_piece pieces[] = { { DATA_GPA, 1 + round, false },
				                       { DATA_GPA + 512, 8, true } };
			uint16_t id[3];
			uint16_t used_id;
			uint32_t bytes;
			uint32_t i;

			for (i = 0; i < 3; i++) {
				pieces[0].bytes = 1 + i;
				id[i] = fake_driver_add(&driver, pieces, 2, false);
			}
			assert_true(virtqueue_take(&queue, &chain));
			virtqueue_give(&queue, &chain, 1);
			assert_true(virtqueue_take(&queue, &chain));
			begin_again();
			for (i = 1; i < 3; i++) {
				assert_true(virtqueue_take(&queue, &chain));
				assert_int_equal(chain.out_bytes, 1 + i);
				virtqueue_give(&queue, &chain, 1 + i);
			}
			assert_false(virtqueue_take(&queue, &chain));
			for (i = 0; i < 3; i++) {
				assert_true(fake_driver_used(&driver, &used_id, &bytes));
				assert_int_equal(used_id, id[i]);
				assert_int_equal(bytes, 1 + i);
			}
		}
		assert_null(queue.broken);
	}
}

/* Death in the middle of giving a packed chain back: before and after the store of its flags. */
static void test_resume_inside_give(void **state)
{
	struct fake_piece pieces[] = { { DATA_GPA, 16, false }, { DATA_GPA + 512, 8, true } };
	struct virtq_packed_desc *ring;
	uint16_t saved;

	(void)state;
	begin(VIRTIO_F_RING_PACKED, 8);
	ring = (struct virtq_packed_desc *)queue.packed;
	fake_driver_add(&driver, pieces, 2, false);
	pieces[0].bytes = 17;
	fake_driver_add(&driver, pieces, 2, false);
	saved = ring[0].flags;
	assert_true(virtqueue_take(&queue, &chain));
	virtqueue_give(&queue, &chain, 8);
	/* As it was between the two records of progress, flags stored. */
	progress.next_available = 0x8000;
	progress.next_used = 0x8002;
	begin_again();
	assert_true(virtqueue_take(&queue, &chain));
	assert_int_equal(chain.out_bytes, 17);
	/* And with the flags not stored yet: the chain is done again. */
	ring[0].flags = saved;
	ring[0].bytes = 16;
	progress.next_available = 0x8000;
	progress.next_used = 0x8002;
	begin_again();
	assert_true(virtqueue_take(&queue, &chain));
	assert_int_equal(chain.out_bytes, 16);
}

static void put_split(uint32_t slot, uint64_t gpa, uint32_t bytes, uint16_t flags, uint16_t next)
{
	struct virtq_desc desc = { gpa, bytes, flags, next };

	memcpy(&queue.descriptors[slot], &desc, sizeof(desc));
}

static void offer(uint16_t head)
{
	queue.driver->ring[queue.driver->idx % queue.size] = head;
	queue.driver->idx++;
}

static void expect_broken(const char *why)
{
	assert_false(virtqueue_take(&queue, &chain));
	assert_non_null(queue.broken);
	assert_string_equal(queue.broken, why);
	/* For good. */
	assert_false(virtqueue_take(&queue, &chain));
}

static void test_broken_split(void **state)
{
	static const char outside[] = "a descriptor points outside the guest's memory";
	static const struct {
		uint64_t gpa;
		uint32_t bytes;
		const char *why;
	} bad[] = {
		{ 0x9ffff, 2, outside },
		{ 0xa0000, 1, outside },
		{ 0xbffff, 1, outside },
		{ FAKE_LOW_BYTES, 1, outside },
		{ FAKE_LOW_BYTES - 4, 5, outside },
		{ GUEST_HIGH_BASE - 1, 2, outside },
		{ GUEST_HIGH_BASE + FAKE_HIGH_BYTES, 1, outside },
		{ GUEST_HIGH_BASE + FAKE_HIGH_BYTES - 1, 2, outside },
		{ UINT64_MAX, 2, outside },
		{ UINT64_MAX - 15, UINT32_MAX, outside },
		{ DATA_GPA, 0, "a descriptor's length is not allowed" },
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(ALL, 8);
		put_split(0, bad[i].gpa, bad[i].bytes, 0, 0);
		offer(0);
		expect_broken(bad[i].why);
	}
	begin(ALL, 8);
	offer(8);
	expect_broken("the available ring names a descriptor that does not exist");
	begin(ALL, 8);
	queue.driver->idx = 9;
	expect_broken("the available ring holds more than the queue's size");
	begin(ALL, 8);
	put_split(0, DATA_GPA, 1, VIRTQ_DESC_NEXT, 0);
	offer(0);
	expect_broken("a chain has too many descriptors");
	begin(ALL, 8);
	put_split(0, DATA_GPA, 1, VIRTQ_DESC_NEXT, 8);
	offer(0);
	expect_broken("a descriptor's next is outside its table");
	begin(ALL, 8);
	put_split(0, DATA_GPA, 1, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 1);
	put_split(1, DATA_GPA, 1, 0, 0);
	offer(0);
	expect_broken("a readable descriptor follows a writable one");
}

static void test_broken_indirect(void **state)
{
	static const struct {
		uint64_t gpa;
		uint32_t bytes;
		uint16_t flags;
		const char *why;
	} bad[] = {
		{ DATA_GPA, 8, 0, "an indirect table's length is not allowed" },
		{ DATA_GPA, 0, 0, "an indirect table's length is not allowed" },
		{ DATA_GPA, 17 * 1024, 0, "an indirect table's length is not allowed" },
		{ 0x9fff0, 32, 0, "an indirect table is outside the guest's memory" },
		{ DATA_GPA, 16, VIRTQ_DESC_NEXT, "an indirect descriptor has a next one" },
	};
	struct virtq_desc inner = { DATA_GPA, 16, VIRTQ_DESC_INDIRECT, 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(ALL, 8);
		put_split(0, bad[i].gpa, bad[i].bytes, VIRTQ_DESC_INDIRECT | bad[i].flags, 1);
		offer(0);
		expect_broken(bad[i].why);
	}
	begin(0, 8);
	put_split(0, DATA_GPA, 16, VIRTQ_DESC_INDIRECT, 0);
	offer(0);
	expect_broken("an indirect descriptor without VIRTIO_F_INDIRECT_DESC");
	begin(ALL, 8);
	memcpy(memory.base + DATA_GPA, &inner, sizeof(inner));
	put_split(0, DATA_GPA, 16, VIRTQ_DESC_INDIRECT, 0);
	offer(0);
	expect_broken("an indirect descriptor inside a chain's table");
	/* A loop inside the table, which is not aligned either. */
	begin(ALL, 8);
	inner = (struct virtq_desc){ DATA_GPA, 16, VIRTQ_DESC_NEXT, 0 };
	memcpy(memory.base + DATA_GPA + 1, &inner, sizeof(inner));
	put_split(0, DATA_GPA + 1, 16, VIRTQ_DESC_INDIRECT, 0);
	offer(0);
	expect_broken("a chain has too many descriptors");
}

static void test_broken_packed(void **state)
{
	uint32_t i;

	(void)state;
	begin(VIRTIO_F_RING_PACKED, 8);
	for (i = 0; i < 8; i++) {
		queue.packed[i] = (struct virtq_packed_desc){ DATA_GPA, 1, 0,
			                                      VIRTQ_DESC_AVAIL | VIRTQ_DESC_NEXT };
	}
	expect_broken("a chain is longer than the queue, or mixed");
	begin(VIRTIO_F_RING_PACKED | ALL, 8);
	queue.packed[0] = (struct virtq_packed_desc){ DATA_GPA, 16, 0,
		                                      VIRTQ_DESC_AVAIL | VIRTQ_DESC_NEXT };
	queue.packed[1] = (struct virtq_packed_desc){ DATA_GPA, 16, 0, VIRTQ_DESC_INDIRECT };
	expect_broken("a chain is longer than the queue, or mixed");
}

static void test_set_up_is_checked(void **state)
{
	struct vio_queue good;
	struct vio_queue bad;

	(void)state;
	begin(ALL, 8);
	good = driver.setup;
	bad = good;
	bad.size = 7;
	assert_false(virtqueue_init(&queue, &memory, &bad, ALL, &progress));
	bad.size = 2048;
	assert_false(virtqueue_init(&queue, &memory, &bad, ALL, &progress));
	bad.size = 0;
	assert_false(virtqueue_init(&queue, &memory, &bad, ALL, &progress));
	bad = good;
	bad.descriptors += 8;
	assert_false(virtqueue_init(&queue, &memory, &bad, ALL, &progress));
	bad = good;
	bad.driver = GUEST_HOLE_START;
	assert_false(virtqueue_init(&queue, &memory, &bad, ALL, &progress));
	bad = good;
	bad.device = FAKE_LOW_BYTES - 64;
	assert_false(virtqueue_init(&queue, &memory, &bad, ALL, &progress));
	progress = (struct vio_progress){ .next_available = 8, .next_used = 8, .is_valid = 1 };
	assert_false(virtqueue_init(&queue, &memory, &good, ALL | VIRTIO_F_RING_PACKED, &progress));
	assert_string_equal(queue.broken, "the record of a packed queue's progress is spoilt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_goes_both_ways),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_rewind),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_resume_inside_give),
		cmocka_unit_test(test_broken_split),
		cmocka_unit_test(test_broken_indirect),
		cmocka_unit_test(test_broken_packed),
		cmocka_unit_test(test_set_up_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
