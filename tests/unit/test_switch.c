// SPDX-License-Identifier: Apache-2.0
/*
 * The virtual switch: learning, VLANs, pinned addresses, isolation, mirrors, rates, and what is done for
 * receivers that cannot do it themselves.
 */
// sources: mgmt/switch/*.c tests/unit/mgmt_machine.c mgmt/ledger.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/switch/frame.h"
#include "mgmt/switch/switch.h"
#include "tests/unit/mgmt_machine.h"

#define PORTS_MAX 4u

/* What a port got last, and how much. */
struct sink {
	struct switch_port *port;
	uint32_t count;
	uint32_t bytes;
	uint32_t flushes;
	uint8_t last[SWITCH_FRAME_MAX];
	struct switch_offload offload;
	uint32_t payload; /* of all segments, behind 54 bytes of headers */
};

static struct sink sinks[PORTS_MAX];

static bool deliver(void *owner, const struct switch_frame *frame)
{
	struct sink *sink = owner;

	sink->count++;
	sink->bytes = frame->bytes;
	sink->offload = frame->offload;
	sink->payload += frame->bytes - 54;
	switch_frame_copy(frame, sink->last);
	return true;
}

static void flush(void *owner)
{
	((struct sink *)owner)->flushes++;
}

static int setup(void **state)
{
	uint32_t i;

	(void)state;
	fake_reset();
	memset(sinks, 0, sizeof(sinks));
	for (i = 0; i < PORTS_MAX; i++) {
		struct switch_owner owner = { .mac = { 2, 0, 0, 0, 0, (uint8_t)i },
			                      .deliver = deliver,
			                      .flush = flush,
			                      .flags = i < 3 ? SWITCH_PORT_GUEST : 0,
			                      .owner = &sinks[i] };

		snprintf(owner.name, sizeof(owner.name), "port%u", (unsigned int)i);
		sinks[i].port = switch_port_add("lan", &owner);
		assert_non_null(sinks[i].port);
	}
	return 0;
}

static int teardown(void **state)
{
	uint32_t ports;
	uint32_t addresses;
	uint32_t i;

	(void)state;
	switch_unset("lan");
	for (i = 0; i < PORTS_MAX; i++) {
		switch_port_remove(sinks[i].port);
	}
	assert_null(switch_name_at(0, &ports, &addresses));
	return 0;
}

static uint8_t packet[70000];

/* From port `from` to port `to` (0xff: broadcast), of so many bytes. */
static void send_bytes(uint32_t from, uint32_t to, uint32_t bytes, struct switch_offload offload)
{
	static struct switch_piece rest[SWITCH_PIECES_MAX];
	struct switch_piece piece = { packet, bytes };
	struct switch_frame frame;

	memset(packet, to == 0xff ? 0xff : 0, 6);
	if (to != 0xff) {
		packet[0] = 2;
		packet[5] = (uint8_t)to;
	}
	memcpy(packet + 6, (uint8_t[]){ 2, 0, 0, 0, 0, (uint8_t)from }, 6);
	frame.offload = offload;
	assert_true(switch_frame_set(&frame, &piece, 1, rest));
	switch_input(sinks[from].port, &frame);
}

static void send(uint32_t from, uint32_t to)
{
	packet[12] = 0x12;
	packet[13] = 0x34;
	send_bytes(from, to, 60, (struct switch_offload){ 0 });
}

/* Counts since the last call, as digits: port 0 first. */
static const char *got(void)
{
	static char text[PORTS_MAX + 1];
	uint32_t i;

	for (i = 0; i < PORTS_MAX; i++) {
		text[i] = (char)('0' + sinks[i].count);
		sinks[i].count = 0;
	}
	return text;
}

static void test_learns_where_addresses_are(void **state)
{
	(void)state;
	send(0, 1);
	assert_string_equal(got(), "0111");
	send(1, 0);
	assert_string_equal(got(), "1000");
	send(0, 1);
	assert_string_equal(got(), "0100");
	send(2, 0xff);
	assert_string_equal(got(), "1101");
	/* Not back to where it came from. */
	send(1, 1);
	assert_string_equal(got(), "0000");
	/* A port without link is forgotten, gets and sends nothing. */
	switch_port_set_link(sinks[1].port, false);
	send(0, 1);
	assert_string_equal(got(), "0011");
	send(1, 0);
	assert_string_equal(got(), "0000");
}

static void test_flush_once_a_turn(void **state)
{
	(void)state;
	send(0, 0xff);
	send(1, 0xff);
	switch_flush();
	switch_flush();
	assert_int_equal(sinks[0].flushes, 1);
	assert_int_equal(sinks[3].flushes, 1);
}

static void test_vlans(void **state)
{
	uint32_t i;

	(void)state;
	switch_port_set_vlan(sinks[0].port, 7, false);
	switch_port_set_vlan(sinks[1].port, 7, false);
	switch_port_set_vlan(sinks[2].port, 0, true);
	send(0, 0xff);
	assert_string_equal(got(), "0110");
	/* The trunk's copy has the tag, the access port's has not. */
	assert_int_equal(sinks[2].bytes, 64);
	assert_memory_equal(sinks[2].last + 12, "\x81\x00\x00\x07\x12\x34", 6);
	assert_int_equal(sinks[1].bytes, 60);
	assert_memory_equal(sinks[1].last + 12, "\x12\x34", 2);
	/* A frame that fills the private head: its tag went over the head's end, into the record's lengths. */
	for (i = 14; i < 300; i++) {
		packet[i] = (uint8_t)(i * 3);
	}
	send_bytes(0, 0xff, 300, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0110");
	assert_int_equal(sinks[2].bytes, 304);
	assert_memory_equal(sinks[2].last + 16, packet + 12, 288);
	/* From the trunk, with a tag, to its VLAN; without one to the untagged. */
	memcpy(packet + 12, "\x81\x00\x00\x07\x12\x34", 6);
	send_bytes(2, 0xff, 64, (struct switch_offload){ 0 });
	assert_string_equal(got(), "1100");
	assert_int_equal(sinks[0].bytes, 60);
	send(2, 0xff);
	assert_string_equal(got(), "0001");
	/* A tag on an access port is not let in. */
	memcpy(packet + 12, "\x81\x00\x00\x09\x12\x34", 6);
	send_bytes(0, 0xff, 64, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0000");
}

static void test_pinned_isolated_mirrored(void **state)
{
	struct switch_port_info info;

	(void)state;
	switch_port_set_pinned(sinks[0].port, true);
	send(0, 0xff);
	assert_string_equal(got(), "0111");
	memset(packet, 0xff, 6);
	memcpy(packet + 6, "\x02\x00\x00\x00\x00\x01", 6);
	{
		struct switch_piece piece = { packet, 60 };
		struct switch_piece rest[SWITCH_PIECES_MAX];
		struct switch_frame frame = { .offload = { 0 } };

		assert_true(switch_frame_set(&frame, &piece, 1, rest));
		switch_input(sinks[0].port, &frame);
	}
	assert_string_equal(got(), "0000");
	assert_true(switch_port_info(0, &info));
	assert_int_equal(info.counters.forged, 1);
	switch_port_set_isolated(sinks[1].port, true);
	switch_port_set_isolated(sinks[2].port, true);
	send(1, 0xff);
	assert_string_equal(got(), "1001");
	assert_true(switch_set_mirror("lan", sinks[3].port));
	send(0, 1);
	assert_string_equal(got(), "0101");
	/* What is for the mirror's owner itself comes to it once. */
	send(3, 0xff);
	(void)got();
	send(0, 3);
	assert_string_equal(got(), "0001");
}

static void test_rates(void **state)
{
	uint32_t i;

	(void)state;
	switch_port_set_rate(sinks[0].port, 1000); /* 125000 bytes a second, 131100 at once */
	for (i = 0; i < 3000; i++) {
		send(0, 0xff);
	}
	assert_int_equal(sinks[1].count, 2 * SWITCH_FRAME_MAX / 60);
	fake_now += FAKE_HZ / 10;
	sinks[1].count = 0;
	for (i = 0; i < 3000; i++) {
		send(0, 0xff);
	}
	assert_in_range(sinks[1].count, 12500 / 60, 12500 / 60 + 1);
}

/* A tick is worth an eighth of a byte: who asks at each has his share all the same. */
static void test_rate_of_a_flood(void **state)
{
	uint32_t i;

	(void)state;
	switch_port_set_rate(sinks[0].port, 1000);
	for (i = 0; i < 3000; i++) {
		send(0, 0xff);
	}
	sinks[1].count = 0;
	for (i = 0; i < FAKE_HZ / 10; i++) {
		fake_now++;
		send(0, 0xff);
	}
	assert_in_range(sinks[1].count, 12500 / 60 - 1, 12500 / 60 + 1);
}

/* The bucket holds more than a second's worth: a pause of some seconds does not fill it. */
static void test_rate_that_is_low(void **state)
{
	uint32_t i;

	(void)state;
	switch_port_set_rate(sinks[0].port, 8); /* 1000 bytes a second */
	for (i = 0; i < 3000; i++) {
		send(0, 0xff);
	}
	fake_now += 3 * FAKE_HZ;
	sinks[1].count = 0;
	for (i = 0; i < 3000; i++) {
		send(0, 0xff);
	}
	assert_in_range(sinks[1].count, 3000 / 60 - 1, 3000 / 60 + 1);
	fake_now += 1000 * FAKE_HZ;
	sinks[1].count = 0;
	for (i = 0; i < 3000; i++) {
		send(0, 0xff);
	}
	assert_int_equal(sinks[1].count, 2 * SWITCH_FRAME_MAX / 60);
}

/* The ones' complement sum of the TCP segment with its pseudo header is 0 when its checksum is right. */
static uint32_t tcp_sum(const uint8_t *frame, uint32_t bytes)
{
	uint32_t tcp_bytes = bytes - 34;
	uint32_t sum = 6 + tcp_bytes;
	uint32_t i;

	for (i = 26; i < bytes; i++) {
		sum += (i & 1) == 0 ? (uint32_t)frame[i] << 8 : frame[i];
	}
	while (sum >> 16 != 0) {
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum ^ 0xffff;
}

/* An IPv4 TCP frame with so much payload; the checksum holds the pseudo header's sum, as drivers leave it. */
static void make_tcp(uint32_t payload)
{
	static const uint8_t headers[] = { 0x08, 0x00, 0x45, 0,  0, 0, 0x12, 0x34, 0x40, 0, 64,
		                           6,    0,    0,    10, 0, 0, 1,    10,   0,    0, 2,
		                           0,    1,    0,    2,  1, 2, 3,    4,    5,    6, 7,
		                           8,    0x50, 0x99, 1,  0, 0, 0,    0,    0 };
	uint32_t sum = 0x0a00 + 1 + 0x0a00 + 2 + 6 + payload + 20;
	uint32_t i;

	memcpy(packet + 12, headers, sizeof(headers));
	packet[16] = (uint8_t)((payload + 40) >> 8);
	packet[17] = (uint8_t)(payload + 40);
	sum = (sum & 0xffff) + (sum >> 16);
	packet[50] = (uint8_t)(sum >> 8);
	packet[51] = (uint8_t)sum;
	for (i = 0; i < payload; i++) {
		packet[54 + i] = (uint8_t)(i * 7);
	}
}

static const struct switch_offload tcp_offload = { .flags = 1,
	                                           .csum_start = 34,
	                                           .csum_offset = 16 };

static void test_checksum_is_finished(void **state)
{
	(void)state;
	switch_port_set_flags(sinks[2].port, SWITCH_PORT_OFFLOAD);
	make_tcp(301);
	send_bytes(0, 0xff, 54 + 301, tcp_offload);
	assert_int_equal(sinks[1].offload.flags, 0);
	assert_int_equal(tcp_sum(sinks[1].last, sinks[1].bytes), 0);
	/* Who takes it unfinished gets it so. */
	assert_int_equal(sinks[2].offload.flags, 1);
	assert_int_equal(sinks[2].offload.csum_start, 34);
	assert_int_not_equal(tcp_sum(sinks[2].last, sinks[2].bytes), 0);
}

static void test_segments(void **state)
{
	struct switch_offload offload = tcp_offload;
	uint32_t i;

	(void)state;
	offload.gso_type = SWITCH_GSO_TCP4;
	offload.segment_bytes = 1000;
	offload.header_bytes = 54;
	switch_port_set_flags(sinks[2].port, SWITCH_PORT_OFFLOAD | SWITCH_PORT_TSO);
	make_tcp(2500);
	send_bytes(0, 0xff, 54 + 2500, offload);
	assert_int_equal(sinks[2].count, 1);
	assert_int_equal(sinks[2].bytes, 2554);
	assert_int_equal(sinks[1].count, 3);
	assert_int_equal(sinks[1].payload, 2500);
	assert_int_equal(sinks[1].bytes, 554);
	assert_int_equal(tcp_sum(sinks[1].last, 554), 0);
	/* The last one: sequence 0x01020304 + 2000, number 0x1236, FIN and PSH, no CWR. */
	assert_memory_equal(sinks[1].last + 38, "\x01\x02\x0a\xd4", 4);
	assert_memory_equal(sinks[1].last + 18, "\x12\x36", 2);
	assert_int_equal(sinks[1].last[47], 0x19);
	for (i = 0; i < 500; i++) {
		assert_int_equal(sinks[1].last[54 + i], (uint8_t)((2000 + i) * 7));
	}
}

static void test_bad_offloads(void **state)
{
	static const struct switch_offload bad[] = {
		{ .flags = 1, .csum_start = 400, .csum_offset = 16 },
		{ .flags = 1, .csum_start = 65535, .csum_offset = 65535 },
		{ .gso_type = SWITCH_GSO_TCP4, .segment_bytes = 1000 },
		{ .flags = 1, .csum_start = 34, .csum_offset = 16, .gso_type = SWITCH_GSO_TCP4 },
		{ .flags = 1, .csum_start = 34, .gso_type = 3, .segment_bytes = 100 },
	};
	struct switch_offload tiny = tcp_offload;
	uint32_t i;

	(void)state;
	make_tcp(300);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		send_bytes(0, 0xff, 354, bad[i]);
		assert_string_equal(got(), "0000");
	}
	/* Not cut into segments that make a flood. */
	tiny.gso_type = SWITCH_GSO_TCP4;
	tiny.segment_bytes = 1;
	send_bytes(0, 0xff, 354, tiny);
	assert_string_equal(got(), "0000");
}

static struct switch_settings settings;

/* Settings of the switch "lan", with rules. Ports 0 to 2 are guests'. */
static void set(const char *const *rules)
{
	char why[256];
	size_t offset;
	uint32_t i;

	memset(&settings, 0, sizeof(settings));
	snprintf(settings.name, sizeof(settings.name), "lan");
	settings.mtu = SWITCH_MTU;
	for (i = 0; rules != NULL && rules[i] != NULL; i++) {
		assert_true(
			switch_rule_parse(rules[i], &settings.rules[i], why, sizeof(why), &offset));
	}
	settings.rules_count = i;
	assert_true(switch_set(&settings));
}

static void test_mtu(void **state)
{
	struct switch_offload offload = tcp_offload;
	struct switch_port_info info;

	(void)state;
	make_tcp(10);
	send_bytes(0, 0xff, 1514, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0111");
	send_bytes(0, 0xff, 1515, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0000");
	assert_true(switch_port_info(0, &info));
	assert_int_equal(info.counters.too_long, 1);
	/* A tag does not count, nor the length before segmentation. */
	switch_port_set_vlan(sinks[0].port, 0, true);
	memcpy(packet + 12, "\x81\x00\x00\x00\x12\x34", 6);
	send_bytes(0, 0xff, 1518, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0111");
	make_tcp(3000);
	offload.gso_type = SWITCH_GSO_TCP4;
	offload.segment_bytes = 1460;
	send_bytes(0, 0xff, 3054, offload);
	assert_string_equal(got(), "0333");
	offload.segment_bytes = 1461;
	send_bytes(0, 0xff, 3054, offload);
	assert_string_equal(got(), "0000");
	set(NULL);
	settings.mtu = 9000;
	switch_set(&settings);
	assert_int_equal(switch_mtu("lan"), 9000);
	send_bytes(0, 0xff, 9014, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0111");
	send_bytes(0, 0xff, 9015, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0000");
}

static bool refuse_all(void *owner, const struct switch_frame *frame)
{
	(void)owner;
	(void)frame;
	return false;
}

/* What an owner does not take is too long, or had no room. */
static void test_port_frame_max(void **state)
{
	const struct switch_owner owner = { .name = "nic", .deliver = refuse_all };
	struct switch_port *port = switch_port_add("lan", &owner);
	struct switch_port_info info;

	(void)state;
	assert_non_null(port);
	switch_port_set_frame_max(port, 1000);
	send_bytes(0, 0xff, 1000, (struct switch_offload){ 0 });
	send_bytes(0, 0xff, 1001, (struct switch_offload){ 0 });
	send_bytes(0, 0xff, 1002, (struct switch_offload){ 0 });
	assert_true(switch_port_info(PORTS_MAX, &info));
	assert_string_equal(info.name, "nic");
	assert_int_equal(info.counters.no_room, 1);
	assert_int_equal(info.counters.too_long, 2);
	assert_int_equal(info.counters.out_frames, 0);
	switch_port_remove(port);
	got();
}

/* A frame goes into pieces of any lengths as it is. */
static void test_copy_in_parts(void **state)
{
	static const uint32_t lengths[] = { 1, 13, 114, 1, 70, 400, 1 };
	const struct switch_piece pieces[] = { { packet, 10 },
		                               { packet + 10, 118 },
		                               { packet + 128, 60 },
		                               { packet + 188, 1 },
		                               { packet + 189, 411 } };
	struct switch_piece rest[SWITCH_PIECES_MAX];
	struct switch_frame frame = { .bytes = 0 };
	struct switch_cursor cursor = { .frame = &frame };
	uint8_t out[600];
	uint32_t done = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < 600; i++) {
		packet[i] = (uint8_t)(i * 3 + i / 256);
	}
	assert_true(switch_frame_set(&frame, pieces, 5, rest));
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		switch_frame_copy_part(&cursor, out + done, lengths[i]);
		done += lengths[i];
	}
	assert_int_equal(done, 600);
	assert_memory_equal(out, packet, 600);
}

/* A tag of VLAN 0 in front of another one: taken off on the way out, it left the other one on a trunk. */
static void test_no_hop_to_another_vlan(void **state)
{
	(void)state;
	switch_port_set_vlan(sinks[1].port, 0, true);
	switch_port_set_vlan(sinks[2].port, 5, false);
	memcpy(packet + 12, "\x81\x00\x00\x00\x81\x00\x00\x05\x12\x34", 10);
	send_bytes(0, 0xff, 64, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0000");
	memcpy(packet + 12, "\x88\xa8\x00\x05\x12\x34", 6);
	send_bytes(0, 0xff, 64, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0000");
	memcpy(packet + 12, "\x81\x00\xe0\x00\x12\x34", 6);
	send_bytes(0, 0xff, 64, (struct switch_offload){ 0 });
	assert_string_equal(got(), "0101");
}

/* TCP to port 2 (make_tcp), or something else. */
static void send_tcp(uint32_t from, uint32_t to)
{
	make_tcp(20);
	send_bytes(from, to, 74, (struct switch_offload){ 0 });
}

static void test_rules(void **state)
{
	static const char *const rules[] = { "allow out port=port0 proto=tcp dport=2",
		                             "deny in dport=2", "deny port=port3 dport=2", NULL };
	struct switch_port_info info;

	(void)state;
	set(rules);
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0000");
	send(0, 0xff);
	assert_string_equal(got(), "0111");
	/* The first that matches decides; each counts what it decided on. */
	assert_int_equal(settings.rules[0].frames_count, 1);
	assert_int_equal(settings.rules[0].bytes_count, 74);
	assert_int_equal(settings.rules[1].frames_count, 2);
	assert_int_equal(settings.rules[2].frames_count, 1);
	assert_true(switch_port_info(1, &info));
	assert_int_equal(info.counters.denied, 1);
	/* Port 3 is no guest's: rules that name no port are not for it. */
	settings.rules_count = 2;
	switch_set(&settings);
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0001");
	/* From port 3: denied to the guests; to an address that is known too. */
	send(1, 0xff);
	send_tcp(3, 1);
	assert_string_equal(got(), "1011");
	/* The mirror gets all that entered. */
	snprintf(settings.mirror, sizeof(settings.mirror), "port2");
	switch_set(&settings);
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0011");
	switch_unset("lan");
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0111");
}

static void test_policy(void **state)
{
	static const char *const rules[] = { "allow ether=0x1234 port=port0", NULL };

	(void)state;
	set(rules);
	settings.is_deny = true;
	switch_set(&settings);
	send(0, 0xff);
	assert_string_equal(got(), "0001");
	send(3, 0xff);
	assert_string_equal(got(), "1000");
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0000");
	assert_int_equal(settings.rules[0].frames_count, 2);
}

static void test_settings_of_all_ports(void **state)
{
	struct switch_port_info info;

	(void)state;
	set(NULL);
	settings.is_isolated = true;
	settings.is_pinned = true;
	settings.vlan = 9;
	switch_set(&settings);
	switch_port_set_vlan(sinks[1].port, 7, false);
	assert_true(switch_port_info(0, &info));
	assert_true(info.is_isolated && info.is_pinned && info.vlan == 9);
	assert_true(switch_port_info(1, &info));
	assert_int_equal(info.vlan, 7);
	/* Not of ports that are no guest's. */
	assert_true(switch_port_info(3, &info));
	assert_true(!info.is_isolated && !info.is_pinned && info.vlan == 0);
	switch_port_set_vlan(sinks[3].port, 9, false);
	send(0, 0xff);
	assert_string_equal(got(), "0001");
	settings.is_isolated = false;
	switch_set(&settings);
	send(0, 0xff);
	assert_string_equal(got(), "0011");
}

static void test_pinned_addresses(void **state)
{
	struct switch_prefix prefix;
	struct switch_port_info info;

	(void)state;
	assert_true(switch_prefix_parse("10.0.0.9", &prefix));
	switch_port_set_addresses(sinks[0].port, &prefix, 1);
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0000");
	assert_true(switch_port_info(0, &info));
	assert_int_equal(info.counters.forged, 1);
	assert_true(info.is_pinned);
	assert_true(switch_prefix_parse("10.0.0.1", &prefix));
	switch_port_set_addresses(sinks[0].port, &prefix, 1);
	send_tcp(0, 0xff);
	assert_string_equal(got(), "0111");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_learns_where_addresses_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_once_a_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vlans, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned_isolated_mirrored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_of_a_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_that_is_low, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checksum_is_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_offloads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mtu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_port_frame_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_hop_to_another_vlan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings_of_all_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinned_addresses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
