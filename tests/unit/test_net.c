// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net (virtio 1.2 5.1) on a port of a switch: frames in one buffer and in several, pairs of queues, what the
 * control queue sets, and that all of it is there again for a new mgmt.
 */
// sources: mgmt/virtio/net.c mgmt/virtio/net_control.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c mgmt/switch/*.c mgmt/config_net.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/machine.h"
#include "mgmt/virtio/net.h"
#include "mgmt/virtio/net_internal.h"
#include "tests/unit/fake_backend.h"

#define BUFFERS_GPA 0x20000ull
#define SEND_GPA    0x60000ull
#define COMMAND_GPA 0x70000ull
#define ACK_GPA     0x71000ull
#define FEATURES \
	(NET_F_MRG_RXBUF | NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN | NET_F_MQ | NET_F_MTU)

static struct virtio_device *device;
static struct switch_port *other;
static struct switch_settings settings;
static uint8_t got[9200];
static uint32_t got_bytes;
#define drivers fake_backend.drivers
static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

uint64_t machine_tsc_hz(void)
{
	return 1000000;
}

static bool take(void *owner, const struct switch_frame *frame)
{
	(void)owner;
	got_bytes = frame->bytes;
	switch_frame_copy(frame, got);
	return true;
}

static void add_net(void)
{
	struct net_params params = {
		.switch_name = "lan", .port_name = "a.0", .is_trunk = true, .pairs_count = 4
	};

	memcpy(params.mac, mac, sizeof(mac));
	device = net_add(0, 0, &params);
	assert_non_null(device);
}

static int setup(void **state)
{
	struct switch_owner owner = { .name = "other",
		                      .mac = { 2, 0, 0, 0, 0, 9 },
		                      .deliver = take };

	(void)state;
	memset(&settings, 0, sizeof(settings));
	strcpy(settings.name, "lan");
	settings.mtu = 9000;
	switch_set(&settings);
	other = switch_port_add("lan", &owner);
	switch_port_set_vlan(other, 0, true);
	fake_backend_reset();
	add_net();
	fake_backend_start(FEATURES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	device->operations->destroy(device);
	switch_port_remove(other);
	switch_unset("lan");
	return 0;
}

/* A buffer for pair `pair` to receive into. */
static void add_buffer(uint32_t pair, uint64_t gpa, uint32_t bytes)
{
	const struct fake_piece piece = { gpa, bytes, true };

	memset(fake_backend.memory.base + gpa, 0, bytes);
	fake_driver_add(&drivers[2 * pair], &piece, 1, false);
}

/* An UDP packet between hosts a and b; from the other port if `is_in`, else from the guest on `pair`. */
static void udp(uint8_t *frame, const uint8_t *to, const uint8_t *from, uint8_t a, uint8_t b,
                uint8_t port)
{
	static const uint8_t headers[] = {
		8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0
	};

	memset(frame, 0, 64);
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	memcpy(frame + 12, headers, sizeof(headers));
	frame[29] = a;
	frame[30] = 10;
	frame[33] = b;
	frame[35] = a < b ? port : 53;
	frame[37] = a < b ? 53 : port;
}

static void input(const uint8_t *bytes, uint32_t size)
{
	static struct switch_piece rest[SWITCH_PIECES_MAX];
	const struct switch_piece piece = { bytes, size };
	struct switch_frame frame = { .offload = { 0 } };

	assert_true(switch_frame_set(&frame, &piece, 1, rest));
	switch_input(other, &frame);
	switch_flush();
}

/* From the other port to the guest. */
static void send_in(const uint8_t *to, uint8_t a, uint8_t b, uint8_t port)
{
	uint8_t frame[64];

	udp(frame, to, (const uint8_t *)"\x02\0\0\0\0\x09", a, b, port);
	input(frame, sizeof(frame));
}

static void send_out(uint32_t pair, uint8_t a, uint8_t b, uint8_t port)
{
	const struct fake_piece piece = { SEND_GPA, NET_HEADER_BYTES + 64, false };
	uint16_t id;
	uint32_t bytes;

	memset(fake_backend.memory.base + SEND_GPA, 0, NET_HEADER_BYTES);
	udp(fake_backend.memory.base + SEND_GPA + NET_HEADER_BYTES,
	    (const uint8_t *)"\x02\0\0\0\0\x09", mac, a, b, port);
	fake_driver_add(&drivers[2 * pair + 1], &piece, 1, false);
	fake_backend_work();
	assert_true(fake_driver_used(&drivers[2 * pair + 1], &id, &bytes));
	assert_int_equal(bytes, 0);
}

static uint32_t received(uint32_t pair)
{
	uint16_t id;
	uint32_t bytes = 0;

	return fake_driver_used(&drivers[2 * pair], &id, &bytes) ? bytes : 0;
}

/* A command of the control queue; the answer. */
static uint8_t control(uint8_t class, uint8_t command, const void *data, uint32_t size)
{
	const struct fake_piece pieces[] = { { COMMAND_GPA, 2 + size, false },
		                             { ACK_GPA, 1, true } };
	uint8_t *at = fake_backend.memory.base + COMMAND_GPA;
	uint16_t id;
	uint32_t bytes;

	at[0] = class;
	at[1] = command;
	memcpy(at + 2, data, size);
	fake_driver_add(&drivers[8], pieces, 2, false);
	fake_backend_work();
	assert_true(fake_driver_used(&drivers[8], &id, &bytes));
	assert_int_equal(bytes, 1);
	return fake_backend.memory.base[ACK_GPA];
}

static void test_frames(void **state)
{
	const uint8_t *buffer = fake_backend.memory.base + BUFFERS_GPA;
	const struct net_config *config = (const struct net_config *)fake_backend.config;

	(void)state;
	assert_int_equal(config->mtu, 9000);
	assert_int_equal(config->max_virtqueue_pairs, 4);
	send_out(0, 1, 2, 7);
	assert_int_equal(got_bytes, 64);
	assert_memory_equal(got, fake_backend.memory.base + SEND_GPA + NET_HEADER_BYTES, 64);
	add_buffer(0, BUFFERS_GPA, 76);
	add_buffer(0, BUFFERS_GPA + 0x1000, 2000);
	send_in(mac, 2, 1, 7);
	send_in(mac, 2, 1, 8);
	assert_int_equal(received(0), 76);
	assert_int_equal(received(0), 76);
	assert_int_equal(buffer[10], 1);
	assert_memory_equal(buffer + 12, mac, 6);
	assert_int_equal(buffer[NET_HEADER_BYTES + 37], 7);
	assert_int_equal(buffer[0x1000 + NET_HEADER_BYTES + 37], 8);
	/* No buffer: lost, as on a wire. */
	send_in(mac, 2, 1, 7);
	assert_int_equal(received(0), 0);
}

static void test_merged_buffers(void **state)
{
	static uint8_t frame[3000];
	const uint8_t *buffer = fake_backend.memory.base + BUFFERS_GPA;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(frame); i++) {
		frame[i] = (uint8_t)(i * 7);
	}
	udp(frame, mac, (const uint8_t *)"\x02\0\0\0\0\x09", 2, 1, 7);
	add_buffer(0, BUFFERS_GPA, 1100);
	add_buffer(0, BUFFERS_GPA + 0x1000, 1100);
	/* Two are not enough: nothing is taken. */
	input(frame, sizeof(frame));
	assert_int_equal(received(0), 0);
	add_buffer(0, BUFFERS_GPA + 0x2000, 1100);
	input(frame, sizeof(frame));
	assert_int_equal(received(0), 1100);
	assert_int_equal(received(0), 1100);
	assert_int_equal(received(0), 3012 - 2200);
	assert_int_equal(buffer[10], 3);
	assert_memory_equal(buffer + 12, frame, 1088);
	assert_memory_equal(buffer + 0x1000, frame + 1088, 1100);
	assert_memory_equal(buffer + 0x2000, frame + 2188, 812);
	add_buffer(0, BUFFERS_GPA, 11);
	send_in(mac, 2, 1, 7);
	assert_non_null(strstr(fake_backend.broken, "no room for the header"));
}

static void test_flows_come_back_on_their_pair(void **state)
{
	uint16_t pairs = 4;
	uint32_t pair;

	(void)state;
	pairs = 5;
	assert_int_equal(control(4, 0, &pairs, 2), 1);
	pairs = 4;
	assert_int_equal(control(4, 0, &pairs, 2), 0);
	for (pair = 0; pair < 4; pair++) {
		add_buffer(pair, BUFFERS_GPA + 0x1000 * pair, 2000);
	}
	for (pair = 0; pair < 4; pair++) {
		send_out(pair, 1, 2, (uint8_t)(10 + pair));
	}
	for (pair = 4; pair-- > 0;) {
		send_in(mac, 2, 1, (uint8_t)(10 + pair));
		assert_int_equal(received(pair), 76);
	}
	/* The flow moves with the sender. */
	send_out(3, 1, 2, 10);
	add_buffer(3, BUFFERS_GPA, 2000);
	send_in(mac, 2, 1, 10);
	assert_int_equal(received(3), 76);
}

static void set_filters(void)
{
	const uint8_t off = 0;
	const uint8_t tables[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0 };
	const uint16_t vlan = 5;
	const uint16_t pairs = 2;

	assert_int_equal(control(0, 0, &off, 1), 0);
	assert_int_equal(control(1, 0, tables, sizeof(tables)), 0);
	assert_int_equal(control(2, 0, &vlan, 2), 0);
	assert_int_equal(control(4, 0, &pairs, 2), 0);
}

/* True if the frame with this destination and tag (0: none) passes. */
static bool passes(const char *to, uint8_t vlan)
{
	uint8_t frame[68];
	uint32_t all = 0;

	udp(frame, (const uint8_t *)to, (const uint8_t *)"\x02\0\0\0\0\x09", 2, 1, 7);
	if (vlan != 0) {
		memmove(frame + 16, frame + 12, 52);
		memcpy(frame + 12, "\x81\0\0", 3);
		frame[15] = vlan;
	}
	add_buffer(0, BUFFERS_GPA, 2000);
	add_buffer(1, BUFFERS_GPA + 0x1000, 2000);
	input(frame, vlan != 0 ? 68 : 64);
	all = received(0) + received(1);
	return all != 0;
}

static void check_filters(void)
{
	assert_true(passes("\x02\0\0\0\0\x01", 0));
	assert_true(passes("\x02\0\0\0\0\x02", 0));
	assert_false(passes("\x02\0\0\0\0\x03", 0));
	assert_true(passes("\xff\xff\xff\xff\xff\xff", 0));
	assert_false(passes("\x01\0\0\0\0\x03", 0));
	assert_true(passes("\x02\0\0\0\0\x01", 5));
	assert_false(passes("\x02\0\0\0\0\x01", 6));
}

static void test_filters(void **state)
{
	const uint16_t bad_vlan = 4096;

	(void)state;
	assert_true(passes("\x02\0\0\0\0\x03", 6));
	set_filters();
	check_filters();
	assert_int_equal(control(2, 0, &bad_vlan, 2), 1);
	assert_int_equal(control(0, 9, "", 1), 1);
	assert_int_equal(control(9, 0, "", 1), 1);
}

/* Another mgmt finds the same driver: same generation, and running while the device is still being added. */
static void renew(void)
{
	fake_backend_stop();
	device->operations->destroy(device);
	device->generation--;
	fake_backend.has_driver = true;
	fake_backend.driver_features = FEATURES;
	add_net();
	fake_backend.has_driver = false;
}

static void test_state_outlives_mgmt(void **state)
{
	struct net_state *kept = (struct net_state *)fake_backend_page()->kept;

	(void)state;
	set_filters();
	renew();
	assert_int_equal(((struct net *)device->own)->state.pairs, 2);
	check_filters();
	/* What nobody can have told is not believed. */
	kept->pairs = 5;
	renew();
	assert_int_equal(((struct net *)device->own)->state.pairs, 1);
	assert_true(passes("\x02\0\0\0\0\x03", 0));
	set_filters();
	kept->macs_count = NET_MACS_MAX + 1;
	renew();
	assert_true(passes("\x02\0\0\0\0\x03", 0));
	/* Nor what another driver has told. */
	set_filters();
	fake_backend_start(FEATURES);
	assert_true(passes("\x02\0\0\0\0\x03", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_merged_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows_come_back_on_their_pair, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state_outlives_mgmt, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
