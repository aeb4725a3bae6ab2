// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-console's ports: the control protocol, bytes both ways, sizes, emergency bytes, going on after mgmt's
 * death, and messages that are none.
 */
// sources: mgmt/virtio/ports.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/machine.h"
#include "mgmt/virtio/ports.h"
#include "tests/unit/fake_backend.h"

#define DATA_GPA  0x10000ull
#define SIZE      0x1ull
#define MULTIPORT 0x2ull

enum {
	DEVICE_READY,
	PORT_ADD,
	PORT_REMOVE,
	PORT_READY,
	CONSOLE_PORT,
	RESIZE,
	PORT_OPEN,
	PORT_NAME
};

static struct bh_console rings[BH_PORTS_MAX];
static struct virtio_device *device;
#define drivers (fake_backend.drivers)

struct bh_console *machine_port_console(uint32_t slot, uint32_t port)
{
	assert_int_equal(slot, 3);
	assert_true(port < BH_PORTS_MAX);
	return &rings[port];
}

static struct ports_params params = { .count = 3,
	                              .has_console = true,
	                              .names = { "", "agent", "log" } };

static void begin(uint64_t features)
{
	fake_backend_reset();
	memset(rings, 0, sizeof(rings));
	device = ports_add(3, 13, &params);
	assert_non_null(device);
	fake_backend_start(features);
}

static void end(void)
{
	fake_backend_stop();
	device->operations->destroy(device);
	ports_have_news();
}

static void kick(void)
{
	fake_backend_work();
}

static void say(uint32_t id, uint16_t event, uint16_t value)
{
	struct fake_piece piece = { DATA_GPA, 8, false };
	uint16_t words[4] = { (uint16_t)id, (uint16_t)(id >> 16), event, value };
	uint16_t used;
	uint32_t bytes;

	memcpy(fake_backend.memory.base + DATA_GPA, words, 8);
	fake_driver_add(&drivers[3], &piece, 1, false);
	kick();
	assert_true(fake_driver_used(&drivers[3], &used, &bytes));
}

/* What the driver is told next; the event, or -1. */
static int heard(uint32_t *id, char text[64])
{
	static uint64_t gpa = DATA_GPA + 0x1000;
	struct fake_piece piece = { gpa, 64, true };
	const uint8_t *at = fake_backend.memory.base + gpa;
	uint16_t used;
	uint32_t bytes;
	uint16_t event;

	fake_driver_add(&drivers[2], &piece, 1, false);
	kick();
	if (!fake_driver_used(&drivers[2], &used, &bytes)) {
		gpa += 64; /* that buffer is waited for */
		return -1;
	}
	memcpy(id, at, 4);
	memcpy(&event, at + 4, 2);
	memset(text, 0, 64);
	memcpy(text, at + 8, bytes - 8);
	gpa += 64;
	return event;
}

static void expect(int event, uint32_t id)
{
	char text[64];
	uint32_t heard_id = 99;

	assert_int_equal(heard(&heard_id, text), event);
	assert_int_equal(heard_id, id);
}

static void open_all(void)
{
	uint32_t id;

	say(0, DEVICE_READY, 1);
	for (id = 0; id < 3; id++) {
		expect(PORT_ADD, id);
	}
	for (id = 0; id < 3; id++) {
		say(id, PORT_READY, 1);
	}
	expect(CONSOLE_PORT, 0);
	expect(PORT_OPEN, 0);
	for (id = 1; id < 3; id++) {
		expect(PORT_NAME, id);
		expect(PORT_OPEN, id);
	}
}

static void test_ports_are_made_known(void **state)
{
	uint32_t id;
	char text[64];

	(void)state;
	begin(MULTIPORT | SIZE);
	assert_int_equal(fake_backend.config[4], 3); /* max_nr_ports */
	say(0, DEVICE_READY, 1);
	expect(PORT_ADD, 0);
	expect(PORT_ADD, 1);
	expect(PORT_ADD, 2);
	say(1, PORT_READY, 1);
	assert_int_equal(heard(&id, text), PORT_NAME);
	assert_string_equal(text, "agent");
	expect(PORT_OPEN, 1);
	assert_int_equal(heard(&id, text), -1);
	assert_false(ports_is_open(device, 1));
	say(1, PORT_OPEN, 1);
	assert_true(ports_is_open(device, 1));
	say(1, PORT_OPEN, 0);
	assert_false(ports_is_open(device, 1));
	end();
}

static void test_no_console_no_port_0(void **state)
{
	(void)state;
	params.has_console = false;
	begin(MULTIPORT);
	say(0, DEVICE_READY, 1);
	expect(PORT_ADD, 1);
	expect(PORT_ADD, 2);
	say(0, PORT_READY, 1);
	assert_int_equal(rings[0].port_flags, 0);
	params.has_console = true;
	end();
}

static void put(uint32_t queue, const char *text)
{
	struct fake_piece pieces[2] = { { DATA_GPA, 2, false },
		                        { DATA_GPA + 2, (uint32_t)strlen(text) - 2, false } };

	memcpy(fake_backend.memory.base + DATA_GPA, text, strlen(text));
	fake_driver_add(&drivers[queue], pieces, 2, false);
	kick();
}

static void test_bytes_both_ways(void **state)
{
	struct fake_piece room = { DATA_GPA + 0x100, 5, true };
	uint16_t used;
	uint32_t bytes;

	(void)state;
	begin(MULTIPORT);
	open_all();
	put(5, "from port one");
	assert_int_equal(rings[1].out_head, 13);
	assert_memory_equal(rings[1].out, "from port one", 13);
	assert_true(ports_have_news());
	assert_false(ports_have_news());
	/* Nothing is given to a port that the guest has not opened. */
	memcpy(rings[1].in, "hello!", 6);
	rings[1].in_head = 6;
	fake_driver_add(&drivers[4], &room, 1, false);
	kick();
	assert_false(fake_driver_used(&drivers[4], &used, &bytes));
	say(1, PORT_OPEN, 1);
	assert_true(fake_driver_used(&drivers[4], &used, &bytes));
	assert_int_equal(bytes, 5);
	assert_memory_equal(fake_backend.memory.base + DATA_GPA + 0x100, "hello", 5);
	assert_int_equal(rings[1].in_tail, 5);
	fake_driver_add(&drivers[4], &room, 1, false);
	kick();
	assert_true(fake_driver_used(&drivers[4], &used, &bytes));
	assert_int_equal(bytes, 1);
	end();
}

/* The end of a stream is in the ring, whatever its length. */
static void test_output_over_the_rings_end(void **state)
{
	struct fake_piece piece = { DATA_GPA, 0x8000, false };
	uint16_t used;
	uint32_t bytes;
	uint32_t i;

	(void)state;
	begin(0);
	for (i = 0; i < 0x8000; i++) {
		fake_backend.memory.base[DATA_GPA + i] = (uint8_t)(i >> 7);
	}
	put(1, "abc");
	for (i = 0; i < 5; i++) {
		fake_driver_add(&drivers[1], &piece, 1, false);
		kick();
		while (fake_driver_used(&drivers[1], &used, &bytes)) {
		}
	}
	assert_int_equal(rings[0].out_head, 3 + 5 * 0x8000);
	assert_int_equal(rings[0].out[(3 + 4 * 0x8000 + 256) % BH_CONSOLE_OUT_BYTES], 2);
	end();
}

/* A driver without MULTIPORT has port 0 alone, open from the start. */
static void test_one_port(void **state)
{
	struct fake_piece room = { DATA_GPA + 0x100, 8, true };
	uint16_t used;
	uint32_t bytes;

	(void)state;
	begin(0);
	put(1, "plain");
	assert_memory_equal(rings[0].out, "plain", 5);
	rings[0].in_head = 3;
	fake_driver_add(&drivers[0], &room, 1, false);
	kick();
	assert_true(fake_driver_used(&drivers[0], &used, &bytes));
	assert_int_equal(bytes, 3);
	put(5, "not listened to");
	assert_int_equal(rings[1].out_head, 0);
	end();
}

static void test_resize(void **state)
{
	uint32_t id;
	char text[64];
	uint16_t size[2];

	(void)state;
	begin(MULTIPORT | SIZE);
	open_all();
	assert_true(ports_resize(device, 0, 120, 40));
	assert_int_equal(fake_backend.configs_count, 1);
	assert_int_equal(fake_backend.config[0], 120);
	assert_int_equal(fake_backend.config[2], 40);
	assert_int_equal(heard(&id, text), RESIZE);
	memcpy(size, text, sizeof(size));
	assert_int_equal(size[0], 120); /* cols, rows (5.3.6.2) */
	assert_int_equal(size[1], 40);
	assert_false(ports_resize(device, 1, 80, 25));
	end();
	begin(MULTIPORT);
	assert_false(ports_resize(device, 0, 80, 25));
	end();
}

static void test_emergency_bytes(void **state)
{
	struct vio_device *page;
	uint64_t i;

	(void)state;
	begin(MULTIPORT);
	page = device->page;
	page->emergency[0] = 'o';
	page->emergency[1] = 'h';
	page->emergency_count = 2;
	device->operations->told(device);
	device->operations->told(device);
	assert_int_equal(rings[0].out_head, 2);
	assert_memory_equal(rings[0].out, "oh", 2);
	/* A count that makes no sense costs at most the ring. */
	for (i = 0; i < 3; i++) {
		uint64_t before = rings[0].out_head;

		page->emergency_count = i * 0x123456789abcdefull;
		device->operations->told(device);
		assert_true(rings[0].out_head - before <= VIO_EMERGENCY_BYTES);
	}
	end();
}

/* The next mgmt finds the driver running and says what was not said. */
static void test_next_mgmt(void **state)
{
	uint32_t generation;

	(void)state;
	begin(MULTIPORT);
	open_all();
	say(1, PORT_OPEN, 1);
	rings[2].port_pending = 1u << PORT_NAME;
	generation = device->generation;
	device->operations->destroy(device);
	device = ports_add(3, 13, &params);
	device->generation = generation - 1;
	device->operations->start(device);
	device->generation = generation;
	device->operations->start(device);
	assert_false(ports_is_open(device, 1)); /* another generation: forgotten */
	end();

	begin(MULTIPORT);
	open_all();
	say(1, PORT_OPEN, 1);
	rings[2].port_pending = 1u << PORT_NAME;
	generation = device->generation;
	device->operations->destroy(device);
	device = ports_add(3, 13, &params);
	device->generation = generation;
	device->operations->start(device);
	device->is_running = true;
	assert_true(ports_is_open(device, 1));
	expect(PORT_NAME, 2);
	end();
}

static void test_what_is_no_message(void **state)
{
	struct fake_piece small = { DATA_GPA, 7, false };
	struct fake_piece writable = { DATA_GPA, 8, true };
	struct fake_piece readable = { DATA_GPA, 8, false };

	(void)state;
	begin(MULTIPORT);
	say(3, PORT_READY, 1); /* there is no such port */
	say(0xffffffff, PORT_OPEN, 1);
	say(0, 77, 1);
	say(0, DEVICE_READY, 0);
	assert_null(fake_backend.broken);
	fake_driver_add(&drivers[3], &small, 1, false);
	kick();
	assert_non_null(fake_backend.broken);
	end();

	begin(MULTIPORT);
	fake_driver_add(&drivers[1], &writable, 1, false);
	kick();
	assert_non_null(fake_backend.broken);
	end();

	begin(MULTIPORT);
	say(0, DEVICE_READY, 1);
	fake_driver_add(&drivers[2], &readable, 1, false);
	kick();
	assert_non_null(fake_backend.broken);
	end();
}

/* A buffer that is too small for a message gets the beginning of it. */
static void test_small_buffers(void **state)
{
	struct fake_piece piece = { DATA_GPA + 0x800, 3, true };
	uint16_t used;
	uint32_t bytes;

	(void)state;
	begin(MULTIPORT);
	fake_driver_add(&drivers[2], &piece, 1, false);
	say(0, DEVICE_READY, 1);
	assert_true(fake_driver_used(&drivers[2], &used, &bytes));
	assert_int_equal(bytes, 3);
	assert_null(fake_backend.broken);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_are_made_known),
		cmocka_unit_test(test_no_console_no_port_0),
		cmocka_unit_test(test_bytes_both_ways),
		cmocka_unit_test(test_output_over_the_rings_end),
		cmocka_unit_test(test_one_port),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_emergency_bytes),
		cmocka_unit_test(test_next_mgmt),
		cmocka_unit_test(test_what_is_no_message),
		cmocka_unit_test(test_small_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
