// SPDX-License-Identifier: Apache-2.0
/*
 * The whole way of frames through a switch: every byte, length and offload field is the fuzzer's. What must
 * hold: what is delivered is whole, no longer than the switch lets through, and asks nothing of a receiver that
 * cannot do it; an access port gets no tag that the switch put there.
 *
 * Input: settings, then frames: port, offload, length, where it is cut in pieces, bytes.
 */
// sources: mgmt/switch/*.c tests/unit/mgmt_machine.c mgmt/ledger.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mgmt/switch/frame.h"
#include "mgmt/switch/switch.h"
#include "tests/fuzz/check.h"
#include "tests/unit/mgmt_machine.h"

#define PORTS     4u
#define FRAME_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t flags_of[PORTS] = { SWITCH_PORT_GUEST,
	                                  SWITCH_PORT_GUEST | SWITCH_PORT_OFFLOAD,
	                                  SWITCH_PORT_GUEST | SWITCH_PORT_OFFLOAD | SWITCH_PORT_TSO,
	                                  SWITCH_PORT_UPLINK };
static struct switch_port *ports[PORTS];
static uint32_t numbers[PORTS] = { 0, 1, 2, 3 };
static struct switch_settings settings;

static bool deliver(void *owner, const struct switch_frame *frame)
{
	static uint8_t sink[SWITCH_FRAME_MAX + VLAN_TAG_BYTES];
	uint32_t flags = flags_of[*(uint32_t *)owner];
	uint32_t bytes = frame->head_bytes;
	uint32_t i;

	CHECK(frame->head_bytes <= sizeof(frame->head));
	CHECK(frame->bytes <= sizeof(sink));
	for (i = 0; i < frame->pieces_count; i++) {
		bytes += frame->pieces[i].bytes;
	}
	CHECK(bytes == frame->bytes);
	CHECK((flags & SWITCH_PORT_OFFLOAD) != 0 || frame->offload.flags == 0);
	CHECK((flags & SWITCH_PORT_TSO) != 0 || frame->offload.gso_type == 0);
	CHECK(frame->offload.gso_type != 0 ||
	      frame->bytes <= settings.mtu + ETHERNET_BYTES + VLAN_TAG_BYTES);
	switch_frame_copy(frame, sink);
	return (sink[0] & 2) == 0;
}

static void set_up(const uint8_t *data)
{
	static const char *const texts[] = { "deny in dport=22", "allow out proto=icmpv6",
		                             "deny port=p3 ether=arp", "deny src=10.0.0.0/9" };
	struct switch_prefix prefix = { .version = 4, .bits = 8, .address = { 10 } };
	char why[256];
	size_t offset;
	uint32_t i;

	memset(&settings, 0, sizeof(settings));
	memcpy(settings.name, "lan", 4);
	settings.mtu = 1500;
	settings.is_deny = (data[0] & 1) != 0;
	settings.is_isolated = (data[0] & 2) != 0;
	settings.rules_count = data[0] >> 6;
	for (i = 0; i < settings.rules_count; i++) {
		CHECK(switch_rule_parse(texts[i], &settings.rules[i], why, sizeof(why), &offset));
	}
	for (i = 0; i < PORTS; i++) {
		struct switch_owner owner = { .mac = { 2, 0, 0, 0, 0, (uint8_t)i },
			                      .flags = flags_of[i],
			                      .deliver = deliver,
			                      .owner = &numbers[i] };

		snprintf(owner.name, sizeof(owner.name), "p%u", (unsigned int)i);
		ports[i] = switch_port_add("lan", &owner);
	}
	switch_port_set_vlan(ports[1], data[1] & 3, (data[1] & 4) != 0);
	switch_port_set_vlan(ports[3], data[1] >> 4 & 3, (data[1] & 8) != 0);
	switch_port_set_addresses(ports[0], &prefix, data[0] >> 2 & 1);
	if ((data[0] & 8) != 0) {
		switch_set_mirror("lan", ports[2]);
	}
	switch_set(&settings);
}

/* One frame; returns the bytes of input that it took, 0 at the end. */
static size_t send(const uint8_t *data, size_t size)
{
	static struct switch_piece rest[SWITCH_PIECES_MAX];
	static struct switch_frame frame;
	struct switch_piece pieces[2];
	uint32_t bytes;
	uint32_t cut;

	if (size < 16) {
		return 0;
	}
	frame.offload = (struct switch_offload){
		.flags = data[1] & 1,
		.gso_type = data[2],
		.header_bytes = (uint16_t)(data[3] | data[4] << 8),
		.segment_bytes = (uint16_t)(data[5] | data[6] << 8),
		.csum_start = (uint16_t)(data[7] | data[8] << 8),
		.csum_offset = (uint16_t)(data[9] | data[10] << 8),
	};
	bytes = (uint32_t)(data[11] | data[12] << 8) % FRAME_MAX;
	bytes = bytes < size - 16 ? bytes : (uint32_t)(size - 16);
	cut = bytes == 0 ? 0 : data[13] % bytes;
	pieces[0] = (struct switch_piece){ data + 16, cut };
	pieces[1] = (struct switch_piece){ data + 16 + cut, bytes - cut };
	if (switch_frame_set(&frame, pieces, 2, rest)) {
		switch_input(ports[data[0] % PORTS], &frame);
	}
	return 16 + (size_t)bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t frames = 0;
	size_t used;
	uint32_t i;

	if (size < 2) {
		return 0;
	}
	fake_reset();
	set_up(data);
	data += 2;
	size -= 2;
	while (frames++ < 64 && (used = send(data, size)) != 0) {
		data += used;
		size -= used;
	}
	switch_flush();
	for (i = 0; i < PORTS; i++) {
		switch_port_remove(ports[i]);
	}
	switch_unset("lan");
	CHECK(switch_name_at(0, &i, &i) == NULL);
	return 0;
}
