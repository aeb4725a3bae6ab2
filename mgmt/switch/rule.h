/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of a switch: which frames a port's guest may send and get. A rule is a line of words, the same in the
 * configuration and at the prompt:
 *
 *   allow|deny [in] [out] [port=NAME] [smac=MAC] [dmac=MAC] [ether=TYPE] [vlan=N] [src=PREFIX] [dst=PREFIX]
 *   [proto=P] [sport=N[-M]] [dport=N[-M]] [icmp-type=N]
 *
 * The first rule that matches decides. What a rule asks for and a frame does not show (ports of a later
 * fragment, headers that are not in its head) counts as matching for deny, and as not matching for allow.
 * All of it is pure and bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt/switch/address.h"

#define SWITCH_RULES_MAX      64u
#define SWITCH_RULE_TEXT      400u
#define SWITCH_RULE_PORT_SIZE 32u

#define SWITCH_RULE_IN        0x1u /* to the port's owner */
#define SWITCH_RULE_OUT       0x2u /* from it */

/* What a rule asks for: a bit for each word. */
enum switch_rule_field {
	RULE_HAS_PORT = 1u << 0,
	RULE_HAS_SMAC = 1u << 1,
	RULE_HAS_DMAC = 1u << 2,
	RULE_HAS_ETHER = 1u << 3,
	RULE_HAS_VLAN = 1u << 4,
	RULE_HAS_SRC = 1u << 5,
	RULE_HAS_DST = 1u << 6,
	RULE_HAS_PROTO = 1u << 7,
	RULE_HAS_SPORT = 1u << 8,
	RULE_HAS_DPORT = 1u << 9,
	RULE_HAS_ICMP_TYPE = 1u << 10,
};

struct switch_rule {
	uint32_t fields; /* enum switch_rule_field */
	uint8_t is_deny;
	uint8_t directions; /* SWITCH_RULE_* */
	uint8_t protocol;
	uint8_t icmp_type;
	uint16_t ethertype;
	uint16_t vlan;
	uint16_t sport[2]; /* first and last */
	uint16_t dport[2];
	uint8_t smac[6];
	uint8_t dmac[6];
	struct switch_prefix source;
	struct switch_prefix destination;
	char port[SWITCH_RULE_PORT_SIZE];
	uint64_t frames_count; /* that it decided on */
	uint64_t bytes_count;
};

struct switch_frame;
struct frame_fields;

/* Reads a rule. False, with the reason in why[size] and *offset = where in the text, if it is none. */
bool switch_rule_parse(const char *text, struct switch_rule *rule, char *why, size_t size,
                       size_t *offset);

/* Writes what switch_rule_parse() reads back. */
void switch_rule_print(const struct switch_rule *rule, char *out, size_t size);

/* False if the record cannot have come from switch_rule_parse(). */
bool switch_rule_is_sane(const struct switch_rule *rule);

/* True if the rule decides on this frame of this VLAN. The fields are those of frame_parse_ip(). */
bool switch_rule_matches(const struct switch_rule *rule, const struct switch_frame *frame,
                         const struct frame_fields *fields, uint16_t vlan);
