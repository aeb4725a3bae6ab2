// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target of the switch's rules: a rule that is read prints and reads back the same, and is matched against
 * a frame without looking outside its head. Input: the rule, a newline, the frame.
 */
// sources: mgmt/switch/address.c mgmt/switch/rule.c mgmt/switch/match.c mgmt/switch/pin.c mgmt/switch/frame.c mgmt/config_net.c
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "mgmt/switch/pin.h"
#include "mgmt/switch/rule.h"
#include "tests/fuzz/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_rule(const uint8_t *data, size_t size, struct switch_rule *rule)
{
	static char text[1024];
	char why[256];
	size_t offset = 0;

	if (size >= sizeof(text)) {
		return false;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	if (switch_rule_parse(text, rule, why, sizeof(why), &offset)) {
		return true;
	}
	CHECK(offset <= size);
	CHECK(strlen(why) > 0);
	return false;
}

static void check_round_trip(const struct switch_rule *rule)
{
	char text[SWITCH_RULE_TEXT];
	char again_text[SWITCH_RULE_TEXT];
	struct switch_rule again;

	CHECK(switch_rule_is_sane(rule));
	switch_rule_print(rule, text, sizeof(text));
	CHECK(strlen(text) < sizeof(text) - 1);
	CHECK(read_rule((const uint8_t *)text, strlen(text), &again));
	switch_rule_print(&again, again_text, sizeof(again_text));
	CHECK(strcmp(text, again_text) == 0);
	CHECK(again.fields == rule->fields && again.directions == rule->directions);
}

/* The head lies at the end of its own memory, so that a byte behind it is found. */
static bool make_frame(const uint8_t *data, size_t size, struct switch_frame *frame)
{
	memset(frame, 0xa5, sizeof(*frame));
	frame->head_bytes = size < SWITCH_HEAD_BYTES ? (uint32_t)size : SWITCH_HEAD_BYTES;
	frame->bytes = frame->head_bytes;
	memcpy(frame->head, data, frame->head_bytes);
	return frame->head_bytes >= ETHERNET_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct switch_pins pins = {
		.count = 1, .prefixes = { { .version = 4, .bits = 8, .address = { 10 } } }
	};
	struct switch_rule rule;
	struct switch_rule opposite;
	static struct switch_frame frame;
	struct frame_fields fields;

	if (end == NULL || !read_rule(data, (size_t)(end - data), &rule)) {
		return 0;
	}
	check_round_trip(&rule);
	size -= (size_t)(end - data) + 1;
	if (!make_frame(end + 1, size, &frame) || !frame_parse(&frame, &fields)) {
		return 0;
	}
	frame_parse_ip(&frame, &fields);
	CHECK(!fields.has_l4 || fields.l4 < frame.head_bytes);
	/* What an allow rule lets through, a deny rule of the same words stops. */
	opposite = rule;
	rule.is_deny = 0;
	opposite.is_deny = 1;
	CHECK(!switch_rule_matches(&rule, &frame, &fields, fields.vlan) ||
	      switch_rule_matches(&opposite, &frame, &fields, fields.vlan));
	switch_pins_allow(&pins, mac, &frame, &fields);
	return 0;
}
