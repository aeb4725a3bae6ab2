// SPDX-License-Identifier: Apache-2.0
/*
 * Rules of a switch: their text and what they match; addresses that ports are pinned to. Frames are written
 * as hexadecimal, headers apart.
 */
// sources: mgmt/switch/address.c mgmt/switch/rule.c mgmt/switch/match.c mgmt/switch/pin.c mgmt/switch/frame.c mgmt/config_net.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/switch/pin.h"
#include "mgmt/switch/rule.h"

static void test_prefixes(void **state)
{
	static const char *const same[] = {
		"10.0.0.5",          "10.0.0.0/8",      "0.0.0.0/0",      "::", "::1", "fe80::/10",
		"2001:db8::1:0:0:1", "fd00:1:2:3::/64", "1:2:3:4:5:6:7:8"
	};
	static const char *const changed[][2] = { { "10.1.2.3/8", "10.0.0.0/8" },
		                                  { "FD00:0:0:0::1", "fd00::1" },
		                                  { "1:0:0:4:0:0:0:8/127", "1:0:0:4::8/127" },
		                                  { "ffff::ffff/17", "ffff::/17" } };
	static const char *const bad[] = { "",
		                           "10.0.0",
		                           "10.0.0.5/33",
		                           "10.0.0.5/",
		                           "10.0.0.5/0x8",
		                           ":",
		                           ":::",
		                           "1:2:3:4:5:6:7",
		                           "1::2::3",
		                           "12345::",
		                           "1:2:3:4:5:6:7:8:9",
		                           "::/129",
		                           "fe80::1%eth0",
		                           "1:2:3:4:5:6:7:",
		                           "::1/",
		                           "1:2:3:4:5:6:7::8" };
	char text[SWITCH_PREFIX_TEXT];
	struct switch_prefix prefix;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_true(switch_prefix_parse(same[i], &prefix));
		switch_prefix_print(&prefix, text, sizeof(text));
		assert_string_equal(text, same[i]);
	}
	for (i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
		assert_true(switch_prefix_parse(changed[i][0], &prefix));
		switch_prefix_print(&prefix, text, sizeof(text));
		assert_string_equal(text, changed[i][1]);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (switch_prefix_parse(bad[i], &prefix)) {
			fail_msg("'%s' is taken for a prefix", bad[i]);
		}
	}
	assert_true(switch_prefix_parse("10.0.0.128/25", &prefix));
	assert_true(switch_prefix_has(&prefix, 4, (const uint8_t *)"\x0a\x00\x00\xff"));
	assert_false(switch_prefix_has(&prefix, 4, (const uint8_t *)"\x0a\x00\x00\x7f"));
	assert_false(
		switch_prefix_has(&prefix, 6, (const uint8_t *)"\x0a\x00\x00\xff\0\0\0\0\0\0\0"));
}

static void test_rules_print_what_they_read(void **state)
{
	static const char *const same[] = {
		"allow",
		"deny in proto=tcp dport=22",
		"deny out port=alpha.0 smac=52:42:48:00:00:01 dmac=ff:ff:ff:ff:ff:ff ether=arp vlan=7",
		"allow in src=10.0.0.0/8 dst=10.1.0.0/16 proto=udp sport=53 dport=1024-65535",
		"allow ether=0x88cc",
		"deny ether=ipv6 src=fd00::/8 proto=icmpv6 icmp-type=134",
		"deny proto=47",
		"allow dport=80",
	};
	struct switch_rule rule;
	char text[SWITCH_RULE_TEXT];
	char why[256];
	size_t offset;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_true(switch_rule_parse(same[i], &rule, why, sizeof(why), &offset));
		assert_true(switch_rule_is_sane(&rule));
		switch_rule_print(&rule, text, sizeof(text));
		assert_string_equal(text, same[i]);
	}
	assert_true(switch_rule_parse(" drop  in out\tproto=6 ", &rule, why, sizeof(why), &offset));
	switch_rule_print(&rule, text, sizeof(text));
	assert_string_equal(text, "deny proto=tcp");
}

static void test_rules_explain_themselves(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
		const char *part;
	} bad[] = {
		{ "", 0, "begins with allow or deny" },
		{ "  reject", 2, "begins with allow or deny" },
		{ "deny im", 5, "'im' is not good; meant is in, out" },
		{ "deny in dprot=22", 8,
		  "'dprot=22' is not good; meant is in, out, or one of port=" },
		{ "deny dport=70000", 5, "meant is a port, or a range" },
		{ "deny dport=20-10", 5, "meant is a port, or a range" },
		{ "deny port=22", 5, "of TCP and UDP: sport, dport" },
		{ "deny src=10.0.0.300", 5, "an address or network" },
		{ "deny vlan=4095", 5, "a number from 0" },
		{ "deny ether=0x100", 5, "ipv4, ipv6, arp" },
		{ "deny proto=tpc", 5, "tcp, udp, icmp" },
		{ "deny proto=tcp proto=udp", 15, "proto= is given twice" },
		{ "deny proto=icmp dport=22", 0, "go with proto=tcp or proto=udp" },
		{ "deny icmp-type=8", 0, "needs proto=icmp" },
		{ "deny src=10.0.0.1 dst=fd00::1", 0, "IPv4 and IPv6" },
		{ "deny ether=arp src=10.0.0.1", 0, "ether= is another" },
		{ "deny ether=ipv6 proto=icmp", 0, "ether= is another" },
		{ "allow smac=52:42:48:00:00", 6, "a MAC address" },
		{ "deny dmac=0123456789012345678901234567890123456789012345678901234567890123456789",
		  5, "a MAC address" },
	};
	struct switch_rule rule;
	char why[256];
	size_t offset;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (switch_rule_parse(bad[i].text, &rule, why, sizeof(why), &offset)) {
			fail_msg("'%s' is taken for a rule", bad[i].text);
		}
		if (strstr(why, bad[i].part) == NULL || offset != bad[i].offset) {
			fail_msg("'%s' at %zu: %s", bad[i].text, offset, why);
		}
	}
}

/* ---- frames ---------------------------------------------------------------------------------- */

#define MACS       "52424800000252424800000 1"
#define IP4(proto) "0800 45000028 12340000 40" proto "0000 0a000001 0a000102"
#define TCP_22     "30390016 00000001"
#define UDP_53     "30390035 00080000"
/* Behind it next header, hop limit are in the macro's argument. */
#define IP6(next)                 \
	"86dd 60000000 0028" next \
	"40 fd000000000000000000000000000001 fd000000000000000000000000000002"

static struct switch_frame frame;
static struct frame_fields fields;

static void make(const char *hex)
{
	uint32_t bytes = 0;
	uint32_t half = 0;

	memset(&frame, 0, sizeof(frame));
	for (; *hex != '\0'; hex++) {
		int digit = *hex >= 'a' ? *hex - 'a' + 10 : *hex - '0';

		if (*hex == ' ') {
			continue;
		}
		frame.head[bytes] = (uint8_t)(frame.head[bytes] << 4 | digit);
		half ^= 1;
		bytes += half == 0;
	}
	frame.head_bytes = bytes;
	frame.bytes = bytes;
	assert_true(frame_parse(&frame, &fields));
	frame_parse_ip(&frame, &fields);
}

static bool matches(const char *text)
{
	struct switch_rule rule;
	char why[256];
	size_t offset;

	if (!switch_rule_parse(text, &rule, why, sizeof(why), &offset)) {
		fail_msg("%s: %s", text, why);
	}
	return switch_rule_matches(&rule, &frame, &fields, fields.vlan);
}

static void test_matches_each_field(void **state)
{
	(void)state;
	make(MACS IP4("06") TCP_22);
	assert_true(matches("allow"));
	assert_true(matches("deny proto=tcp dport=22"));
	assert_true(matches("allow src=10.0.0.1 dst=10.0.1.0/24 sport=12345 dport=1-22"));
	assert_true(
		matches("allow ether=ipv4 smac=52:42:48:00:00:01 dmac=52:42:48:00:00:02 vlan=0"));
	assert_false(matches("deny dport=23-65535"));
	assert_false(matches("deny proto=udp dport=22"));
	assert_false(matches("deny src=10.0.0.2"));
	assert_false(matches("deny src=fd00::/8"));
	assert_false(matches("deny smac=52:42:48:00:00:02"));
	assert_false(matches("deny ether=ipv6"));
	assert_false(matches("deny vlan=7"));
	assert_false(matches("deny proto=icmp icmp-type=0"));
	make(MACS "81006007" IP4("11") UDP_53);
	assert_true(matches("allow vlan=7 proto=udp dport=53"));
	assert_true(matches("allow dport=53"));
	make(MACS IP4("01") "08000000");
	assert_true(matches("allow proto=icmp icmp-type=8"));
	assert_false(matches("deny proto=icmp icmp-type=0"));
	/* Ports are those of TCP and UDP alone. */
	assert_false(matches("deny dport=0"));
	make(MACS IP6("06") TCP_22);
	assert_true(matches("allow src=fd00::1 dst=fd00::/64 proto=tcp dport=22"));
	assert_false(matches("deny src=0.0.0.0/0"));
	assert_false(matches("deny proto=icmpv6"));
	/* src= and dst= are of IP packets, not of ARP. */
	make(MACS "0806 0001080006040001 524248000001 0a000001 000000000000 0a000002");
	assert_true(matches("allow ether=arp"));
	assert_false(matches("deny src=10.0.0.1"));
}

/* Extension headers are followed, but not for ever and not out of the head. */
static void test_ipv6_extensions(void **state)
{
	char many[600] = MACS IP6("00");
	uint32_t i;

	(void)state;
	make(MACS IP6("00") "3c00000000000000"
	                    "0600000000000000" TCP_22);
	assert_true(matches("allow proto=tcp dport=22"));
	make(MACS IP6("33") "0604000000000000"
	                    "0000000000000000"
	                    "0000000000000000" TCP_22);
	assert_true(matches("allow proto=tcp dport=22"));
	/* The header says that it is longer than the frame. */
	make(MACS IP6("00") "06ff000000000000" TCP_22);
	assert_false(matches("allow proto=tcp"));
	assert_true(matches("deny proto=udp"));
	for (i = 0; i < 9; i++) {
		strcat(many, "0000000000000000");
	}
	make(many);
	assert_false(fields.has_protocol);
	assert_true(matches("deny proto=tcp dport=22"));
	assert_false(matches("allow proto=tcp"));
	assert_true(matches("allow src=fd00::1"));
	assert_false(matches("deny src=fd00::2 proto=tcp"));
}

/* What a fragment does not show counts as matching for deny, and as not matching for allow. */
static void test_fragments(void **state)
{
	(void)state;
	make(MACS "0800 45000028 12340010 40060000 0a000001 0a000102"
	          "00500050 00000000");
	assert_true(matches("deny proto=tcp dport=22"));
	assert_true(matches("deny dport=22"));
	assert_false(matches("allow dport=80"));
	assert_true(matches("allow proto=tcp"));
	assert_false(matches("deny proto=udp dport=22"));
	assert_false(matches("deny src=10.0.0.9 dport=22"));
	/* The first fragment shows them; a short one does not. */
	make(MACS "0800 45000028 12342000 40060000 0a000001 0a000102" TCP_22);
	assert_true(matches("allow dport=22"));
	make(MACS "0800 45000016 12342000 40060000 0a000001 0a000102"
	          "3039");
	assert_false(matches("allow dport=22"));
	assert_true(matches("deny dport=23"));
	/* A later fragment's next header is not what the receiver goes by (RFC 8200 4.5). */
	make(MACS IP6("2c") "1100000800000001"
	                    "0000000000000000");
	assert_true(fields.is_fragment);
	assert_true(matches("deny proto=tcp dport=22"));
	assert_false(matches("allow proto=udp"));
}

static void test_opaque_frames(void **state)
{
	static const char *const opaque[] = {
		MACS "81000007 81000008" IP4("06") TCP_22,                /* a tag in a tag */
		MACS "88a80007" IP4("06") TCP_22,                         /* a provider's tag */
		MACS "0800 55000028 12340000 40060000 0a000001 0a000102", /* not version 4 */
		MACS "0800 44000028 12340000 40060000 0a000001 0a000102", /* 16 bytes of header */
		MACS
		"0800 4f000028 12340000 40060000 0a000001 0a000102", /* options that are not there */
		MACS "0800 45000028",
		MACS "86dd 60000000",
		MACS
		"0030 aaaa03000000 0800 45000028 12340000 40060000 0a000001 0a000102", /* SNAP */
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(opaque) / sizeof(opaque[0]); i++) {
		make(opaque[i]);
		assert_true(fields.is_opaque);
		assert_true(matches("deny dst=192.168.0.1"));
		assert_false(matches("allow src=10.0.0.1"));
		assert_false(matches("allow proto=tcp"));
		assert_true(matches("allow smac=52:42:48:00:00:01"));
	}
}

/* ---- pinned addresses ------------------------------------------------------------------------ */

static bool pinned_allows(const char *hex)
{
	static const uint8_t mac[6] = { 0x52, 0x42, 0x48, 0, 0, 1 };
	struct switch_pins pins = { .count = 2 };

	assert_true(switch_prefix_parse("10.0.0.1", &pins.prefixes[0]));
	assert_true(switch_prefix_parse("fd00::1", &pins.prefixes[1]));
	make(hex);
	return switch_pins_allow(&pins, mac, &frame, &fields);
}

#define ARP_FROM(mac, ip) MACS "0806 0001080006040002" mac ip "000000000000 0a000002"

static void test_pins_ipv4(void **state)
{
	(void)state;
	assert_true(pinned_allows(MACS IP4("06") TCP_22));
	assert_false(
		pinned_allows(MACS "0800 45000028 12340000 40060000 0a000002 0a000001" TCP_22));
	/* Every fragment shows its source. */
	assert_false(pinned_allows(MACS "0800 45000028 12340010 40060000 0a000002 0a000001"));
	/* DHCP before there is an address; nothing else. */
	assert_true(pinned_allows(
		MACS "0800 45000028 12340000 40110000 00000000 ffffffff 00440043 0008"));
	assert_false(pinned_allows(
		MACS "0800 45000028 12340000 40110000 00000000 ffffffff 00440035 0008"));
	assert_false(
		pinned_allows(MACS "0800 45000028 12340000 40060000 00000000 ffffffff 00440043"));
	assert_true(pinned_allows(ARP_FROM("524248000001", "0a000001")));
	assert_true(pinned_allows(ARP_FROM("524248000001", "00000000")));
	assert_false(pinned_allows(ARP_FROM("524248000001", "0a000003")));
	assert_false(pinned_allows(ARP_FROM("524248000002", "0a000001")));
	assert_false(pinned_allows(MACS "0806 0001080006040002 5242"));
	assert_false(pinned_allows(
		MACS "0806 0001080008040002 524248000001 0a000001 000000000000 0a000002"));
	assert_false(pinned_allows(MACS "88a80007" IP4("06") TCP_22));
	assert_false(pinned_allows(MACS "0800 4f000028 12340000 40060000 0a000001 0a000102"));
	/* What is not IP has no IP address. */
	assert_true(pinned_allows(MACS "88cc 0207"));
}

#define FROM6(next, from) \
	MACS "86dd 60000000 0028" next "ff" from "ff020000000000000000000000000001"
#define OWN        "fd000000000000000000000000000001"
#define OTHER      "fd000000000000000000000000000002"
#define OWN_LINK   "fe800000000000005042 48fffe000001"
#define OTHER_LINK "fe8000000000000050424 8fffe000002"
#define NAMELESS   "00000000000000000000000000000000"

static void test_pins_ipv6(void **state)
{
	(void)state;
	assert_true(pinned_allows(FROM6("06", OWN) TCP_22));
	assert_true(pinned_allows(FROM6("06", OWN_LINK) TCP_22));
	assert_false(pinned_allows(FROM6("06", OTHER) TCP_22));
	assert_false(pinned_allows(FROM6("06", OTHER_LINK) TCP_22));
	assert_false(pinned_allows(FROM6("11", NAMELESS) UDP_53));
	/* Neighbour advertisements for itself alone. */
	assert_true(pinned_allows(FROM6("3a", OWN) "88000000 60000000" OWN));
	assert_true(pinned_allows(FROM6("3a", OWN_LINK) "88000000 60000000" OWN));
	assert_false(pinned_allows(FROM6("3a", OWN) "88000000 60000000" OTHER));
	assert_false(pinned_allows(FROM6("3a", OWN) "88000000 60000000"));
	/* The same behind an extension header, or behind more of them than are followed. */
	assert_false(pinned_allows(FROM6("3c", OWN) "3a00000000000000 88000000 60000000" OTHER));
	assert_false(pinned_allows(FROM6("3c", OWN) "3aff000000000000 88000000 60000000" OTHER));
	/* Solicitations: for anyone by name, without a name for itself alone. */
	assert_true(pinned_allows(FROM6("3a", OWN) "87000000 00000000" OTHER));
	assert_true(pinned_allows(FROM6("3a", NAMELESS) "87000000 00000000" OWN));
	assert_false(pinned_allows(FROM6("3a", NAMELESS) "87000000 00000000" OTHER));
	assert_true(pinned_allows(FROM6("3a", NAMELESS) "85000000 00000000"));
	assert_true(pinned_allows(FROM6("3a", OWN) "80000000 00000000"));
	assert_false(pinned_allows(FROM6("3a", NAMELESS) "80000000 00000000"));
	/* No router, no redirects. */
	assert_false(pinned_allows(FROM6("3a", OWN_LINK) "86000000 00000000"));
	assert_false(pinned_allows(FROM6("3a", OWN_LINK) "89000000 00000000" OTHER));
	assert_true(pinned_allows(FROM6("2c", OWN) "3a00000800000001 0000"));
	assert_false(pinned_allows(FROM6("2c", OTHER) "3a00000800000001 0000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_rules_print_what_they_read),
		cmocka_unit_test(test_rules_explain_themselves),
		cmocka_unit_test(test_matches_each_field),
		cmocka_unit_test(test_ipv6_extensions),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_opaque_frames),
		cmocka_unit_test(test_pins_ipv4),
		cmocka_unit_test(test_pins_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
