// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-blk (virtio 1.2 5.2) over a disk in memory that answers at once or when the test says so: requests of every kind and
 * shape, what is refused and how, the order in which chains come back, and stops with requests under way.
 */
// sources: mgmt/virtio/blk.c mgmt/block/block.c mgmt/block/ram.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/block/ram.h"
#include "mgmt/virtio/blk.h"
#include "tests/unit/fake_backend.h"

#define SECTORS    64u
#define HELD_MAX   128u
#define HEADER_GPA 0x10000ull
#define DATA_GPA   0x20000ull
#define STATUS_GPA 0x30000ull
#define F_FLUSH    (1ull << 9)
#define drivers    fake_backend.drivers

enum {
	IN = 0,
	OUT = 1,
	FLUSH = 4,
	GET_ID = 8,
	DISCARD = 11,
	WRITE_ZEROES = 13
};
enum {
	OK = 0,
	IOERR = 1,
	UNSUPP = 2,
	NOTHING = 0xee
};

static uint8_t medium[SECTORS * 512];
static struct ram_disk ram;
static void (*at_once)(struct block_device *device, struct block_request *request);
static struct block_request *held[HELD_MAX];
static uint32_t held_count;
static uint32_t flushes_count;
static uint32_t submits_count;
static uint32_t gone_count;
static struct virtio_device *device;

static void later(struct block_device *disk, struct block_request *request)
{
	(void)disk;
	assert_true(held_count < HELD_MAX);
	held[held_count++] = request;
}

static void counted(struct block_device *disk, struct block_request *request)
{
	submits_count++;
	flushes_count += request->operation == BLOCK_FLUSH ? 1 : 0;
	at_once(disk, request);
}

static void release(uint32_t i)
{
	struct block_request *request = held[i];

	held[i] = held[--held_count];
	at_once(&ram.device, request);
}

static void gone(void *owner)
{
	(void)owner;
	gone_count++;
}

static void begin(uint64_t features, uint32_t queues, bool is_read_only)
{
	const struct blk_params params = { .disk = &ram.device,
		                           .is_read_only = is_read_only,
		                           .queues_count = queues,
		                           .serial = "twenty characters ok",
		                           .gone = gone };

	for (uint32_t i = 0; i < sizeof(medium); i++) {
		medium[i] = (uint8_t)(i * 3 + i / 512);
	}
	ram_disk_init(&ram, medium, sizeof(medium), false);
	ram.device.flags |= BLOCK_CAN_FLUSH;
	at_once = ram.device.submit;
	ram.device.submit = counted;
	held_count = flushes_count = submits_count = gone_count = 0;
	fake_backend_reset();
	device = blk_add(0, 0, &params);
	assert_non_null(device);
	fake_backend_start(features);
}

static void end(void)
{
	if (device->is_running) {
		fake_backend_stop();
	}
	assert_true(device->operations->is_idle(device));
	device->operations->destroy(device);
	assert_int_equal(gone_count, 1);
}

static void put_header(uint64_t gpa, uint32_t type, uint64_t sector)
{
	const struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = { type, 0, sector };

	memcpy(fake_backend.memory.base + gpa, &header, sizeof(header));
}

/* The pieces with the header in front and the status behind; the status byte. */
static uint8_t run(uint32_t type, uint64_t sector, struct fake_piece data)
{
	struct fake_piece pieces[3] = { { HEADER_GPA, 16, false }, data };
	uint8_t *status = fake_backend.memory.base + STATUS_GPA;
	uint32_t count = data.bytes != 0 ? 2 : 1;
	uint16_t id;
	uint32_t used = 0;

	put_header(HEADER_GPA, type, sector);
	pieces[count++] = (struct fake_piece){ STATUS_GPA, 1, true };
	*status = NOTHING;
	fake_driver_add(&drivers[0], pieces, count, false);
	fake_backend_work();
	assert_null(fake_backend.broken);
	assert_true(fake_driver_used(&drivers[0], &id, &used));
	assert_int_equal(used, *status == OK && data.is_in ? data.bytes + 1 : 1);
	return *status;
}

static uint8_t run_range(uint32_t type, uint64_t sector, uint32_t count, uint32_t flags,
                         uint32_t bytes)
{
	const struct {
		uint64_t sector;
		uint32_t count, flags;
	} range = { sector, count, flags };

	memcpy(fake_backend.memory.base + DATA_GPA, &range, sizeof(range));
	return run(type, 0, (struct fake_piece){ DATA_GPA, bytes, false });
}

static void test_requests(void **state)
{
	const uint64_t features[] = { F_FLUSH, F_FLUSH | VIRTIO_F_RING_PACKED };

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		begin(features[i], 1, false);
		uint8_t *data = fake_backend.memory.base + DATA_GPA;

		assert_int_equal(run(IN, 3, (struct fake_piece){ DATA_GPA, 1024, true }), OK);
		assert_memory_equal(data, medium + 3 * 512, 1024);
		memset(data, 0x5a, 512);
		assert_int_equal(run(OUT, SECTORS - 1, (struct fake_piece){ DATA_GPA, 512, false }),
		                 OK);
		assert_memory_equal(data, medium + (SECTORS - 1) * 512, 512);
		assert_int_equal(run(FLUSH, 0, (struct fake_piece){ 0 }), OK);
		assert_int_equal(flushes_count, 1);
		assert_int_equal(run(GET_ID, 0, (struct fake_piece){ DATA_GPA, 20, true }), OK);
		assert_memory_equal(data, "twenty characters ok", 20);
		assert_int_equal(run_range(WRITE_ZEROES, 4, 2, 0, 16), OK);
		assert_int_equal(run_range(DISCARD, 6, 1, 0, 16), OK);
		assert_int_equal(medium[4 * 512] | medium[6 * 512 - 1], 0);
		assert_int_equal(run_range(WRITE_ZEROES, 7, 1, 1, 16), OK); /* may unmap */
		end();
	}
}

/* Status bytes of 5.2.6.2. */
static void test_refusals(void **state)
{
	(void)state;
	begin(F_FLUSH, 1, false);
	assert_int_equal(run(99, 0, (struct fake_piece){ DATA_GPA, 512, true }), UNSUPP);
	assert_int_equal(run(IN, 0, (struct fake_piece){ DATA_GPA, 513, true }), IOERR);
	assert_int_equal(run(IN, 0, (struct fake_piece){ 0 }), IOERR);
	assert_int_equal(run(OUT, 0, (struct fake_piece){ DATA_GPA, 512, true }), IOERR);
	assert_int_equal(run(IN, SECTORS, (struct fake_piece){ DATA_GPA, 512, true }), IOERR);
	assert_int_equal(run(IN, UINT64_MAX, (struct fake_piece){ DATA_GPA, 512, true }), IOERR);
	assert_int_equal(run_range(DISCARD, 0, 1, 0, 15), UNSUPP);
	assert_int_equal(run_range(DISCARD, 0, 1, 1, 16), UNSUPP);
	assert_int_equal(run_range(WRITE_ZEROES, 0, 1, 2, 16), UNSUPP);
	assert_int_equal(run_range(WRITE_ZEROES, 0, UINT32_MAX, 0, 16), IOERR);
	assert_int_equal(run_range(WRITE_ZEROES, SECTORS - 1, 2, 0, 16), IOERR);
	end();
	begin(F_FLUSH, 1, true);
	assert_int_equal(run(OUT, 0, (struct fake_piece){ DATA_GPA, 512, false }), IOERR);
	assert_int_equal(run_range(DISCARD, 0, 1, 0, 16), IOERR);
	assert_int_equal(run(IN, 0, (struct fake_piece){ DATA_GPA, 512, true }), OK);
	end();
}

/* Without FLUSH a write is stable when it ends (5.2.6.2). */
static void test_write_through(void **state)
{
	(void)state;
	begin(0, 1, false);
	assert_int_equal(run(OUT, 0, (struct fake_piece){ DATA_GPA, 512, false }), OK);
	assert_int_equal(flushes_count, 1);
	assert_int_equal(run(IN, 0, (struct fake_piece){ DATA_GPA, 512, true }), OK);
	assert_int_equal(flushes_count, 1);
	assert_int_equal(run_range(WRITE_ZEROES, 0, 1, 0, 16), OK);
	assert_int_equal(flushes_count, 2);
	end();
}

/* Framing is the driver's choice (2.7.4): a header in parts, data and status in one piece. */
static void test_any_framing(void **state)
{
	const struct fake_piece write[] = { { HEADER_GPA, 3, false },
		                            { HEADER_GPA + 3, 12, false },
		                            { HEADER_GPA + 15, 101, false },
		                            { HEADER_GPA + 116, 412, false },
		                            { STATUS_GPA, 1, true } };
	const struct fake_piece read[] = { { HEADER_GPA, 16, false },
		                           { DATA_GPA, 7, true },
		                           { DATA_GPA + 7, 506, true } };
	uint16_t id;
	uint32_t used;

	(void)state;
	begin(F_FLUSH, 1, false);
	uint8_t *base = fake_backend.memory.base;

	put_header(HEADER_GPA, OUT, 9);
	for (uint32_t i = 0; i < 512; i++) {
		base[HEADER_GPA + 16 + i] = (uint8_t)(i * 11);
	}
	base[STATUS_GPA] = NOTHING;
	fake_driver_add(&drivers[0], write, 5, false);
	fake_backend_work();
	assert_true(fake_driver_used(&drivers[0], &id, &used));
	assert_int_equal(base[STATUS_GPA], OK);
	assert_memory_equal(medium + 9 * 512, base + HEADER_GPA + 16, 512);
	put_header(HEADER_GPA, IN, 9);
	fake_driver_add(&drivers[0], read, 3, false);
	fake_backend_work();
	assert_true(fake_driver_used(&drivers[0], &id, &used));
	assert_int_equal(used, 513);
	assert_int_equal(base[DATA_GPA + 512], OK);
	assert_memory_equal(medium + 9 * 512, base + DATA_GPA, 512);
	end();
}

static void test_broken_chains(void **state)
{
	static const struct {
		struct fake_piece pieces[2];
		uint32_t count;
	} bad[] = { { { { HEADER_GPA, 15, false }, { STATUS_GPA, 1, true } }, 2 },
		    { { { HEADER_GPA, 16, false } }, 1 },
		    { { { STATUS_GPA, 512, true } }, 1 } };

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		begin(F_FLUSH, 1, false);
		put_header(HEADER_GPA, IN, 0);
		fake_driver_add(&drivers[0], bad[i].pieces, bad[i].count, false);
		fake_backend_work();
		assert_string_equal(fake_backend.broken, "a disk request without header or status");
		fake_backend_stop();
		fake_backend_start(F_FLUSH); /* the driver resets it, and all is well */
		assert_int_equal(run(IN, 0, (struct fake_piece){ DATA_GPA, 512, true }), OK);
		end();
	}
}

static void add_read(uint32_t queue, uint32_t i)
{
	const struct fake_piece pieces[] = { { HEADER_GPA + i * 16, 16, false },
		                             { DATA_GPA + i * 512, 512, true },
		                             { STATUS_GPA + i, 1, true } };

	put_header(HEADER_GPA + i * 16, IN, i % SECTORS);
	fake_backend.memory.base[STATUS_GPA + i] = NOTHING;
	fake_driver_add(&drivers[queue], pieces, 3, false);
}

static uint32_t take_all(uint32_t queue)
{
	uint32_t count = 0;
	uint32_t used;
	uint16_t id;

	while (fake_driver_used(&drivers[queue], &id, &used)) {
		count++;
	}
	return count;
}

/* The device below answers backwards: chains come back oldest first all the same. */
static void test_order(void **state)
{
	(void)state;
	begin(F_FLUSH, 1, false);
	ram.device.submit = later;
	for (uint32_t i = 0; i < 4; i++) {
		add_read(0, i);
	}
	fake_backend_work();
	assert_int_equal(held_count, 4);
	release(3);
	release(2);
	release(1);
	fake_backend_work();
	assert_int_equal(take_all(0), 0);
	assert_int_equal(fake_backend.memory.base[STATUS_GPA + 3], OK);
	release(0);
	assert_true(fake_backend.pokes_count > 0);
	fake_backend_work();
	assert_int_equal(take_all(0), 4);
	end();
}

/* More than can be under way: the rest follows as the first end. */
static void test_more_than_can_be_under_way(void **state)
{
	uint32_t taken = 0;

	(void)state;
	begin(F_FLUSH | VIRTIO_F_INDIRECT_DESC, 10, false);
	ram.device.submit = later;
	for (uint32_t i = 0; i < 10 * 5; i++) {
		add_read(i / 5, i);
	}
	fake_backend_work();
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t queue = 0; queue < 10; queue++) {
			taken += take_all(queue);
		}
		while (held_count > 0) {
			release((uint32_t)rand() % held_count);
		}
		fake_backend_work();
	}
	assert_int_equal(taken, 50);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(fake_backend.memory.base[STATUS_GPA + i], OK);
		assert_memory_equal(fake_backend.memory.base + DATA_GPA + i * 512, medium + i * 512,
		                    512);
	}
	end();
}

/* A reset with requests under way: the device is not idle until they have ended, and no ring is touched any more. */
static void test_stop_under_way(void **state)
{
	(void)state;
	begin(F_FLUSH, 1, false);
	ram.device.submit = later;
	add_read(0, 0);
	add_read(0, 1);
	fake_backend_work();
	fake_backend_stop();
	assert_false(device->operations->is_idle(device));
	release(1);
	assert_false(device->operations->is_idle(device));
	release(0);
	assert_true(device->operations->is_idle(device));
	assert_int_equal(take_all(0), 0);
	end();
}

/* A guest that wants much at once gets it in parts: others have their turns in between. */
static void test_large_requests_take_turns(void **state)
{
	(void)state;
	begin(F_FLUSH, 1, false);
	ram.device.sectors_count = 1ull << 40; /* which the test never touches */
	ram.device.submit = later;
	for (uint32_t i = 0; i < 5; i++) {
		const struct fake_piece pieces[] = { { HEADER_GPA, 16, false },
			                             { FAKE_LOW_BYTES / 2, FAKE_LOW_BYTES / 4,
			                               true },
			                             { STATUS_GPA + i, 1, true } };

		put_header(HEADER_GPA, IN, 0);
		fake_driver_add(&drivers[0], pieces, 3, false);
	}
	assert_true(device->operations->work(device)); /* more is left */
	assert_true(held_count > 0 && held_count < 5);
	fake_backend_work();
	assert_int_equal(held_count, 5);
	for (uint32_t i = 0; i < 5; i++) {
		held[i]->done(held[i], BLOCK_OK);
	}
	held_count = 0;
	fake_backend_work();
	assert_int_equal(take_all(0), 5);
	/* More than any driver may ask for: zeroes of 8 MiB and a sector. */
	assert_int_equal(run_range(WRITE_ZEROES, 0, 0x4001, 0, 16), IOERR);
	end();
}

/* In memory that needs no further look, where most of a guest's is. */
#define FAR_HEADER 0xd0000ull
#define FAR_DATA   0xe0000ull
#define FAR_STATUS 0xf0000ull

/* A request of three pieces there; its status, and in *submits whether it went through the block layer. */
static uint8_t run_far(uint32_t type, uint64_t sector, const struct fake_piece pieces[3],
                       bool is_indirect, uint32_t *submits)
{
	uint8_t *status = fake_backend.memory.base + pieces[2].gpa + pieces[2].bytes - 1;
	uint32_t used = 0;
	uint16_t id;

	put_header(FAR_HEADER, type, sector);
	*status = NOTHING;
	submits_count = 0;
	fake_driver_add(&drivers[0], pieces, 3, is_indirect);
	fake_backend_work();
	assert_null(fake_backend.broken);
	assert_true(fake_driver_used(&drivers[0], &id, &used));
	assert_int_equal(used,
	                 *status == OK && pieces[1].is_in ? pieces[1].bytes + pieces[2].bytes : 1);
	*submits = submits_count;
	return *status;
}

/* A plain read and a plain write of a disk in memory go no way around; all others do, and end as they always did. */
static void test_quick(void **state)
{
	static const struct {
		uint32_t type, is_slow;
		uint64_t sector;
		struct fake_piece pieces[3];
		uint32_t status;
	} requests[] = {
		{ IN,
		  0,
		  3,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 1024, 1 }, { FAR_STATUS, 1, 1 } },
		  OK },
		{ OUT,
		  0,
		  9,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 512, 0 }, { FAR_STATUS, 1, 1 } },
		  OK },
		{ IN,
		  0,
		  SECTORS - 1,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 512, 1 }, { FAR_STATUS, 1, 1 } },
		  OK },
		{ IN,
		  1,
		  3,
		  { { FAR_HEADER, 16, 0 }, { DATA_GPA, 512, 1 }, { FAR_STATUS, 1, 1 } },
		  OK },
		{ IN,
		  1,
		  3,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 511, 1 }, { FAR_STATUS, 2, 1 } },
		  OK },
		{ IN,
		  0,
		  3,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 513, 1 }, { FAR_STATUS, 1, 1 } },
		  IOERR },
		{ OUT,
		  0,
		  3,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 512, 1 }, { FAR_STATUS, 1, 1 } },
		  IOERR },
		{ IN,
		  0,
		  3,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 512, 0 }, { FAR_STATUS, 1, 1 } },
		  IOERR },
		{ IN,
		  0,
		  SECTORS - 1,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 1024, 1 }, { FAR_STATUS, 1, 1 } },
		  IOERR },
		{ IN,
		  0,
		  UINT64_MAX,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 512, 1 }, { FAR_STATUS, 1, 1 } },
		  IOERR },
		{ 99,
		  0,
		  0,
		  { { FAR_HEADER, 16, 0 }, { FAR_DATA, 512, 1 }, { FAR_STATUS, 1, 1 } },
		  UNSUPP },
	};
	uint8_t *data;
	uint32_t submits;

	(void)state;
	for (uint32_t i = 0; i < 2 * sizeof(requests) / sizeof(requests[0]); i++) {
		uint32_t n = i / 2;
		uint32_t bytes = requests[n].pieces[1].bytes & ~1u;

		begin(F_FLUSH | VIRTIO_F_INDIRECT_DESC, 1, false);
		ram.device.flags &= ~BLOCK_CAN_FLUSH;
		data = fake_backend.memory.base + requests[n].pieces[1].gpa;
		memset(data, 0x5a, bytes);
		assert_int_equal(run_far(requests[n].type, requests[n].sector, requests[n].pieces,
		                         i % 2 == 1, &submits),
		                 requests[n].status);
		assert_int_equal(submits, requests[n].is_slow);
		if (requests[n].status == OK) {
			assert_memory_equal(data, medium + requests[n].sector * 512, bytes);
			assert_int_equal(data[0],
			                 requests[n].type == OUT
			                         ? 0x5a
			                         : (uint8_t)(requests[n].sector * (512 * 3 + 1)));
		}
		end();
	}
	/* A device that has been taken away, and one that is not to be written, though that is memory. */
	begin(F_FLUSH, 1, true);
	assert_int_equal(run_far(OUT, 9, requests[1].pieces, false, &submits), IOERR);
	ram.device.is_gone = 1;
	assert_int_equal(run_far(IN, 3, requests[0].pieces, false, &submits), IOERR);
	end();
}

/* None overtakes an older one of its queue. */
static void test_quick_waits(void **state)
{
	static const struct fake_piece quick[3] = { { FAR_HEADER, 16, 0 },
		                                    { FAR_DATA, 512, 1 },
		                                    { FAR_STATUS, 1, 1 } };

	(void)state;
	begin(F_FLUSH, 1, false);
	ram.device.submit = later;
	add_read(0, 0); /* goes the long way, for where it is */
	put_header(FAR_HEADER, IN, 3);
	fake_backend.memory.base[FAR_STATUS] = NOTHING;
	fake_driver_add(&drivers[0], quick, 3, false);
	fake_backend_work();
	assert_int_equal(held_count, 2);
	assert_int_equal(fake_backend.memory.base[FAR_STATUS], NOTHING);
	assert_int_equal(take_all(0), 0);
	release(1);
	fake_backend_work();
	assert_int_equal(take_all(0), 0);
	release(0);
	fake_backend_work();
	assert_int_equal(take_all(0), 2);
	assert_int_equal(fake_backend.memory.base[FAR_STATUS], OK);
	end();
}

static void test_config(void **state)
{
	uint64_t capacity;
	uint32_t word;

	(void)state;
	begin(F_FLUSH, 4, false);
	memcpy(&capacity, fake_backend.config, 8);
	assert_int_equal(capacity, SECTORS);
	memcpy(&word, fake_backend.config + 12, 4); /* seg_max */
	assert_true(word >= 2 && word + 2 <= device->queue_size_max);
	assert_int_equal(fake_backend.config[34], 4); /* num_queues */
	memcpy(&word, fake_backend.config + 40, 4);   /* max_discard_seg */
	assert_int_equal(word, 1);
	assert_true((device->offered & (1ull << 12)) != 0); /* MQ */
	end();
	begin(F_FLUSH, 1, true);
	assert_true((device->offered & (1ull << 5)) !=
	            0); /* RO, and neither DISCARD nor WRITE_ZEROES */
	assert_int_equal(device->offered & (3ull << 13 | 1ull << 12), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_write_through),
		cmocka_unit_test(test_any_framing),
		cmocka_unit_test(test_broken_chains),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_more_than_can_be_under_way),
		cmocka_unit_test(test_stop_under_way),
		cmocka_unit_test(test_large_requests_take_turns),
		cmocka_unit_test(test_quick),
		cmocka_unit_test(test_quick_waits),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
