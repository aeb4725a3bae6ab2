// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-vsock: connections to mgmt's services with credit both ways, resets and limits; packets between two guests;
 * what is forged, too long, or for nobody; the next mgmt.
 */
// sources: mgmt/virtio/vsock.c mgmt/virtio/vsock_host.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/virtio/vsock.h"
#include "tests/unit/fake_backend.h"

#define SEND_GPA 0x10000ull
#define ROOM_GPA \
	0x40000ull /* buffers of a guest: 256 bytes apart, those of the second guest behind */
#define PORT 5555u

static struct virtio_device *devices[2];
static uint32_t rooms[2];
static uint32_t alloc = 1000000; /* what the guest says that it has room for */
static uint32_t forwarded;

static size_t describe(void *owner, char *text, size_t size)
{
	(void)owner;
	return (size_t)snprintf(text, size, "name=test\n");
}

static struct vsock_params params_of(uint32_t cid, uint32_t peer)
{
	return (struct vsock_params){
		.cid = cid, .peers_count = 1, .peers = { peer }, .describe = describe
	};
}

static void choose(uint32_t which)
{
	fake_backend_chosen = which;
}

static void begin(void)
{
	fake_backend_reset();
	memset(rooms, 0, sizeof(rooms));
	alloc = 1000000;
	forwarded = 0;
	for (uint32_t i = 2; i-- > 0;) {
		struct vsock_params params = params_of(3 + i, 4 - i);

		choose(i);
		devices[i] = vsock_add(i, 15, &params);
		assert_non_null(devices[i]);
		fake_backend_start(0);
	}
}

static void end(void)
{
	for (uint32_t i = 0; i < 2; i++) {
		devices[i]->operations->destroy(devices[i]);
	}
}

static struct vsock_counters counters(uint32_t which)
{
	struct vsock_counters now;
	uint32_t connections;

	vsock_counters(devices[which], &now, &connections);
	return now;
}

static uint32_t connections(void)
{
	struct vsock_counters now;
	uint32_t count;

	vsock_counters(devices[0], &now, &count);
	return count;
}

/* A buffer of the chosen guest for packets. */
static void room(uint32_t bytes)
{
	struct fake_piece piece = { ROOM_GPA + fake_backend_chosen * 0x10000 +
		                            (rooms[fake_backend_chosen]++ % 64) * 1024,
		                    bytes, true };

	fake_driver_add(&fake_backend.drivers[0], &piece, 1, false);
	fake_backend_work();
}

static struct vsock_header packet(uint16_t op, uint64_t dst_cid, uint32_t dst_port)
{
	return (struct vsock_header){ .src_cid = 3 + fake_backend_chosen,
		                      .dst_cid = dst_cid,
		                      .src_port = PORT,
		                      .dst_port = dst_port,
		                      .type = VSOCK_TYPE_STREAM,
		                      .op = op,
		                      .buf_alloc = alloc,
		                      .fwd_cnt = forwarded };
}

/* True if the packet was taken. */
static bool put(const struct vsock_header *header, const void *payload, uint32_t bytes)
{
	struct fake_piece pieces[2] = { { SEND_GPA, 44, false }, { SEND_GPA + 64, bytes, false } };
	uint16_t id;
	uint32_t used;

	memcpy(fake_backend.memory.base + SEND_GPA, header, 44);
	if (payload != NULL) {
		memcpy(fake_backend.memory.base + SEND_GPA + 64, payload, bytes);
	}
	fake_driver_add(&fake_backend.drivers[1], pieces, bytes != 0 ? 2 : 1, false);
	fake_backend_work();
	return fake_driver_used(&fake_backend.drivers[1], &id, &used);
}

static bool say(uint16_t op, uint32_t dst_port)
{
	struct vsock_header header = packet(op, 2, dst_port);

	return put(&header, NULL, 0);
}

static bool say_data(uint32_t dst_port, const void *payload, uint32_t bytes)
{
	struct vsock_header header = packet(VSOCK_OP_RW, 2, dst_port);

	header.len = bytes;
	return put(&header, payload, bytes);
}

/* The next packet that the chosen guest has got; op 0 if there is none. */
static struct vsock_header got(uint8_t *payload)
{
	static uint32_t taken[2];
	struct vsock_header header = { .op = 0 };
	uint32_t which = fake_backend_chosen;
	const uint8_t *at;
	uint16_t id;
	uint32_t used;

	if (!fake_driver_used(&fake_backend.drivers[0], &id, &used)) {
		return header;
	}
	taken[which] = id; /* descriptors are taken in turn, and so are the buffers */
	at = fake_backend.memory.base +
	     *(const uint64_t *)(const void *)(fake_backend.memory.base +
	                                       fake_backend.drivers[0].setup.descriptors +
	                                       taken[which] * 16ull);
	memcpy(&header, at, sizeof(header));
	assert_int_equal(used, 44 + header.len);
	if (payload != NULL) {
		memcpy(payload, at + 44, header.len);
	}
	return header;
}

static void expect(uint16_t op)
{
	room(512);
	assert_int_equal(got(NULL).op, op);
}

static void test_echo(void **state)
{
	uint8_t bytes[512];
	struct vsock_header header;

	(void)state;
	begin();
	assert_int_equal(fake_backend.config[0], 3);
	assert_true(say(VSOCK_OP_REQUEST, VSOCK_PORT_ECHO));
	room(512);
	header = got(NULL);
	assert_int_equal(header.op, VSOCK_OP_RESPONSE);
	assert_int_equal(header.src_cid, 2);
	assert_int_equal(header.dst_cid, 3);
	assert_int_equal(header.src_port, VSOCK_PORT_ECHO);
	assert_int_equal(header.dst_port, PORT);
	assert_int_equal(header.buf_alloc, VSOCK_BUFFER_BYTES);
	assert_true(say_data(VSOCK_PORT_ECHO, "hello", 5));
	room(512);
	header = got(bytes);
	assert_int_equal(header.op, VSOCK_OP_RW);
	assert_int_equal(header.len, 5);
	assert_int_equal(header.fwd_cnt, 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(connections(), 1);
	/* It sends no more: what it has sent comes back, then the end. */
	header = packet(VSOCK_OP_SHUTDOWN, 2, VSOCK_PORT_ECHO);
	header.flags = VSOCK_SHUTDOWN_SEND;
	assert_true(put(&header, NULL, 0));
	room(512);
	header = got(NULL);
	assert_int_equal(header.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(header.flags, VSOCK_SHUTDOWN_BOTH);
	assert_true(say(VSOCK_OP_RST, VSOCK_PORT_ECHO));
	assert_int_equal(connections(), 0);
	assert_int_equal(counters(0).bytes_in, 5);
	assert_int_equal(counters(0).bytes_out, 5);
	end();
}

static void test_info(void **state)
{
	uint8_t bytes[512];
	struct vsock_header header;

	(void)state;
	begin();
	say(VSOCK_OP_REQUEST, VSOCK_PORT_INFO);
	expect(VSOCK_OP_RESPONSE);
	room(44 + 4); /* it comes in pieces as small as the buffers */
	assert_int_equal(got(bytes).len, 4);
	room(512);
	header = got(bytes);
	assert_int_equal(header.len, 6);
	assert_memory_equal(bytes, "=test\n", 6);
	expect(VSOCK_OP_SHUTDOWN);
	end();
}

/* What the guest has no room for is not sent. */
static void test_credit_of_the_guest(void **state)
{
	struct vsock_header header;

	(void)state;
	begin();
	alloc = 3;
	say(VSOCK_OP_REQUEST, VSOCK_PORT_ECHO);
	expect(VSOCK_OP_RESPONSE);
	say_data(VSOCK_PORT_ECHO, "0123456789", 10);
	room(512);
	header = got(NULL);
	assert_int_equal(header.op, VSOCK_OP_RW);
	assert_int_equal(header.len, 3);
	expect(VSOCK_OP_CREDIT_REQUEST);
	room(512);
	assert_int_equal(got(NULL).op, 0);
	forwarded = 2;
	say(VSOCK_OP_CREDIT_UPDATE, VSOCK_PORT_ECHO);
	assert_int_equal(got(NULL).len, 2);
	/* A count that makes no sense gives no credit. */
	forwarded = 77;
	say(VSOCK_OP_CREDIT_UPDATE, VSOCK_PORT_ECHO);
	expect(VSOCK_OP_CREDIT_REQUEST);
	end();
}

/* The guest may send what we have room for; more ends its connection. */
static void test_credit_of_ours(void **state)
{
	static const uint8_t bytes[VSOCK_BUFFER_BYTES + 1];

	(void)state;
	begin();
	alloc = 0;
	say(VSOCK_OP_REQUEST, VSOCK_PORT_ECHO);
	expect(VSOCK_OP_RESPONSE);
	assert_true(
		say_data(VSOCK_PORT_ECHO, bytes, VSOCK_BUFFER_BYTES)); /* all of it goes to out */
	expect(VSOCK_OP_CREDIT_UPDATE);
	expect(VSOCK_OP_CREDIT_REQUEST);
	assert_true(say_data(VSOCK_PORT_ECHO, bytes, VSOCK_BUFFER_BYTES)); /* and stays in */
	assert_int_equal(connections(), 1);
	assert_true(say_data(VSOCK_PORT_ECHO, bytes, 1));
	assert_int_equal(connections(), 0);
	say(VSOCK_OP_REQUEST, VSOCK_PORT_ECHO);
	say_data(VSOCK_PORT_ECHO, bytes, VSOCK_BUFFER_BYTES + 1);
	assert_int_equal(connections(), 0);
	assert_null(fake_backend.broken);
	end();
}

static void test_refusals(void **state)
{
	static const uint16_t ops[] = { VSOCK_OP_RW,
		                        VSOCK_OP_RESPONSE,
		                        VSOCK_OP_SHUTDOWN,
		                        0,
		                        VSOCK_OP_CREDIT_UPDATE,
		                        VSOCK_OP_CREDIT_REQUEST,
		                        VSOCK_OP_RW + 77 };
	struct vsock_header header;
	uint32_t i;

	(void)state;
	begin();
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		assert_true(say(ops[i], VSOCK_PORT_ECHO)); /* of no connection */
		expect(VSOCK_OP_RST);
	}
	say(VSOCK_OP_REQUEST, 99); /* no service */
	expect(VSOCK_OP_RST);
	say(VSOCK_OP_RST, 99); /* no answer to a reset */
	header = packet(VSOCK_OP_REQUEST, 2, VSOCK_PORT_ECHO);
	header.type = 2;
	put(&header, NULL, 0);
	expect(VSOCK_OP_RST);
	header = packet(VSOCK_OP_REQUEST, 77, 1); /* nobody */
	put(&header, NULL, 0);
	room(512);
	header = got(NULL);
	assert_int_equal(header.op, VSOCK_OP_RST);
	assert_int_equal(header.src_cid, 77);
	header = packet(VSOCK_OP_REQUEST, 2, VSOCK_PORT_ECHO);
	header.src_cid = 4;
	assert_true(put(&header, NULL, 0));
	assert_int_equal(counters(0).forged, 1);
	room(512);
	assert_int_equal(got(NULL).op, 0);
	/* A second request of a connection ends it. */
	say(VSOCK_OP_REQUEST, VSOCK_PORT_ECHO);
	assert_int_equal(got(NULL).op, VSOCK_OP_RESPONSE);
	say(VSOCK_OP_REQUEST, VSOCK_PORT_ECHO);
	expect(VSOCK_OP_RST);
	assert_int_equal(connections(), 0);
	end();
}

static void test_limits(void **state)
{
	uint32_t i;
	uint32_t taken = 0;
	uint16_t id;
	uint32_t used;

	(void)state;
	begin();
	for (i = 0; i < VSOCK_CONNECTIONS_MAX + 3; i++) {
		struct vsock_header header = packet(VSOCK_OP_REQUEST, 2, VSOCK_PORT_ECHO);

		header.src_port = i;
		assert_true(put(&header, NULL, 0));
	}
	assert_int_equal(connections(), VSOCK_CONNECTIONS_MAX);
	/* Refusals without buffers for them stop the sender, not us. */
	for (i = 0; i < VSOCK_RESETS_MAX; i++) {
		taken += say(VSOCK_OP_RW, 99);
		if (taken != i + 1) {
			break;
		}
	}
	assert_int_equal(taken, VSOCK_RESETS_MAX - 3);
	room(512);
	assert_int_equal(got(NULL).op, VSOCK_OP_RST);
	assert_true(fake_driver_used(&fake_backend.drivers[1], &id, &used));
	end();
}

static void test_between_guests(void **state)
{
	struct vsock_header header = { 0 };
	uint8_t bytes[512];
	uint16_t id;
	uint32_t used;

	(void)state;
	begin();
	header = packet(VSOCK_OP_RW, 4, 80);
	header.len = 300;
	memset(bytes, 0x5a, sizeof(bytes));
	assert_false(put(&header, bytes, 300)); /* no buffers there: it waits */
	choose(1);
	room(44 + 200);
	assert_int_equal(fake_backends[0].pokes_count, 1);
	choose(0);
	fake_backend_work();
	assert_false(fake_driver_used(&fake_backend.drivers[1], &id, &used));
	/* What the driver changes now is not looked at any more. */
	fake_backend.memory.base[SEND_GPA + 8] = 2;
	choose(1);
	room(512);
	choose(0);
	fake_backend_work();
	assert_true(fake_driver_used(&fake_backend.drivers[1], &id, &used));
	choose(1);
	memset(bytes, 0, sizeof(bytes));
	header = got(bytes);
	assert_int_equal(header.len, 200);
	assert_int_equal(bytes[199], 0x5a);
	header = got(bytes);
	assert_int_equal(header.len, 100);
	assert_int_equal(header.src_cid, 3);
	assert_int_equal(header.dst_port, 80);
	assert_int_equal(counters(1).bytes_out, 300);
	end();
}

/* The receiver resets, or has broken buffers: the sender is refused and goes on. */
static void test_a_receiver_goes(void **state)
{
	struct vsock_header header;
	struct fake_piece small = { ROOM_GPA, 44, true };

	(void)state;
	begin();
	header = packet(VSOCK_OP_REQUEST, 4, 80);
	assert_false(put(&header, NULL, 0));
	choose(1);
	fake_backend_stop();
	assert_int_equal(fake_backends[0].pokes_count, 1);
	choose(0);
	room(512);
	assert_int_equal(got(NULL).op, VSOCK_OP_RST);
	choose(1);
	fake_backend_start(0);
	fake_driver_add(&fake_backend.drivers[0], &small, 1, false);
	choose(0);
	header = packet(VSOCK_OP_REQUEST, 4, 80);
	put(&header, NULL, 0);
	expect(VSOCK_OP_RST);
	assert_non_null(fake_backends[1].broken);
	assert_null(fake_backends[0].broken);
	end();
}

static void test_who_may(void **state)
{
	struct vsock_params params = params_of(4, 99);
	struct vsock_header header;

	(void)state;
	begin();
	assert_null(vsock_add(5, 15, &params)); /* the CID is taken */
	devices[1]->operations->destroy(devices[1]);
	choose(1);
	devices[1] = vsock_add(1, 15, &params);
	fake_backend_start(0);
	room(512);
	choose(0);
	header = packet(VSOCK_OP_REQUEST, 4, 80);
	put(&header, NULL, 0); /* it does not name us */
	expect(VSOCK_OP_RST);
	choose(1);
	assert_int_equal(got(NULL).op, 0);
	end();
}

static void test_packets_that_are_none(void **state)
{
	struct vsock_header header;
	struct fake_piece small = { SEND_GPA, 43, false };
	struct fake_piece writable = { SEND_GPA, 44, true };

	(void)state;
	begin();
	header = packet(VSOCK_OP_RW, 2, VSOCK_PORT_ECHO);
	header.len = 11;
	assert_false(put(&header, "0123456789", 10));
	assert_non_null(fake_backend.broken);
	end();
	begin();
	fake_driver_add(&fake_backend.drivers[1], &small, 1, false);
	fake_backend_work();
	assert_non_null(fake_backend.broken);
	end();
	begin();
	fake_driver_add(&fake_backend.drivers[1], &writable, 1, false);
	fake_backend_work();
	assert_non_null(fake_backend.broken);
	end();
}

static void test_next_mgmt(void **state)
{
	struct fake_piece piece = { ROOM_GPA, 8, true };
	struct vsock_params params = params_of(3, 4);
	uint32_t generation;
	uint32_t event = 99;
	uint16_t id;
	uint32_t used;

	(void)state;
	begin();
	fake_driver_add(&fake_backend.drivers[2], &piece, 1, false);
	fake_backend_work();
	assert_false(fake_driver_used(&fake_backend.drivers[2], &id, &used));
	generation = devices[0]->generation;
	devices[0]->operations->destroy(devices[0]);
	devices[0] = vsock_add(0, 15, &params);
	devices[0]->generation = generation;
	devices[0]->operations->start(devices[0]);
	fake_backend_work();
	assert_true(fake_driver_used(&fake_backend.drivers[2], &id, &used));
	assert_int_equal(used, 4);
	memcpy(&event, fake_backend.memory.base + ROOM_GPA, 4);
	assert_int_equal(event, 0); /* TRANSPORT_RESET */
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_credit_of_the_guest),
		cmocka_unit_test(test_credit_of_ours),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_between_guests),
		cmocka_unit_test(test_a_receiver_goes),
		cmocka_unit_test(test_who_may),
		cmocka_unit_test(test_packets_that_are_none),
		cmocka_unit_test(test_next_mgmt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
