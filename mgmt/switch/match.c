// SPDX-License-Identifier: Apache-2.0
/*
 * Rules against frames (see rule.h). Reads the frame's private head and what frame_parse_ip() found in it;
 * never the guest's memory.
 */
#include <string.h>

#include "mgmt/switch/frame.h"
#include "mgmt/switch/rule.h"

/* Whether a frame is what a rule asks for. In this order: the least certain of several counts. */
enum match {
	MATCH_NO,
	MATCH_UNKNOWN, /* the frame does not show it */
	MATCH_YES,
};

static enum match yes_or_no(bool is_match)
{
	return is_match ? MATCH_YES : MATCH_NO;
}

static enum match worse(enum match a, enum match b)
{
	return a < b ? a : b;
}

static enum match match_link(const struct switch_rule *rule, const struct switch_frame *frame,
                             const struct frame_fields *fields, uint16_t vlan)
{
	enum match match = MATCH_YES;

	if ((rule->fields & RULE_HAS_SMAC) != 0) {
		match = worse(match, yes_or_no(memcmp(frame->head + 6, rule->smac, 6) == 0));
	}
	if ((rule->fields & RULE_HAS_DMAC) != 0) {
		match = worse(match, yes_or_no(memcmp(frame->head, rule->dmac, 6) == 0));
	}
	if ((rule->fields & RULE_HAS_ETHER) != 0) {
		match = worse(match, fields->has_more_tags
		                             ? MATCH_UNKNOWN
		                             : yes_or_no(fields->ethertype == rule->ethertype));
	}
	if ((rule->fields & RULE_HAS_VLAN) != 0) {
		match = worse(match, yes_or_no(vlan == rule->vlan));
	}
	return match;
}

static enum match match_addresses(const struct switch_rule *rule, const struct frame_fields *fields)
{
	bool is_match = true;

	if ((rule->fields & RULE_HAS_SRC) != 0) {
		is_match &= switch_prefix_has(&rule->source, fields->ip_version, fields->source_ip);
	}
	if ((rule->fields & RULE_HAS_DST) != 0) {
		is_match &= switch_prefix_has(&rule->destination, fields->ip_version,
		                              fields->destination_ip);
	}
	return yes_or_no(is_match);
}

static bool in_range(const uint16_t range[2], uint16_t port)
{
	return port >= range[0] && port <= range[1];
}

/* sport= and dport= without proto= are those of TCP and of UDP. */
static enum match match_ports(const struct switch_rule *rule, const struct frame_fields *fields)
{
	bool is_match = true;

	if (fields->has_protocol && fields->protocol != IP_PROTOCOL_TCP &&
	    fields->protocol != IP_PROTOCOL_UDP) {
		return MATCH_NO;
	}
	if (!fields->has_l4) {
		return MATCH_UNKNOWN;
	}
	if ((rule->fields & RULE_HAS_SPORT) != 0) {
		is_match &= in_range(rule->sport, fields->source_port);
	}
	if ((rule->fields & RULE_HAS_DPORT) != 0) {
		is_match &= in_range(rule->dport, fields->destination_port);
	}
	return yes_or_no(is_match);
}

static enum match match_transport(const struct switch_rule *rule, const struct frame_fields *fields)
{
	enum match match = MATCH_YES;

	if ((rule->fields & RULE_HAS_PROTO) != 0) {
		match = fields->has_protocol ? yes_or_no(fields->protocol == rule->protocol)
		                             : MATCH_UNKNOWN;
	}
	if ((rule->fields & (RULE_HAS_SPORT | RULE_HAS_DPORT)) != 0) {
		match = worse(match, match_ports(rule, fields));
	}
	if ((rule->fields & RULE_HAS_ICMP_TYPE) != 0) {
		match = worse(match, fields->has_l4
		                             ? yes_or_no(fields->icmp_type == rule->icmp_type)
		                             : MATCH_UNKNOWN);
	}
	return match;
}

#define RULE_IP_FIELDS (RULE_HAS_SRC | RULE_HAS_DST)
#define RULE_L4_FIELDS (RULE_HAS_PROTO | RULE_HAS_SPORT | RULE_HAS_DPORT | RULE_HAS_ICMP_TYPE)

static enum match match_ip(const struct switch_rule *rule, const struct frame_fields *fields)
{
	enum match match;

	if ((rule->fields & (RULE_IP_FIELDS | RULE_L4_FIELDS)) == 0) {
		return MATCH_YES;
	}
	if (fields->is_opaque) {
		return MATCH_UNKNOWN;
	}
	if (fields->ip_version == 0) {
		return MATCH_NO;
	}
	match = match_addresses(rule, fields);
	if ((rule->fields & RULE_L4_FIELDS) != 0) {
		match = worse(match, match_transport(rule, fields));
	}
	return match;
}

bool switch_rule_matches(const struct switch_rule *rule, const struct switch_frame *frame,
                         const struct frame_fields *fields, uint16_t vlan)
{
	enum match match = match_link(rule, frame, fields, vlan);

	if (match != MATCH_NO) {
		match = worse(match, match_ip(rule, fields));
	}
	return match == MATCH_YES || (match == MATCH_UNKNOWN && rule->is_deny != 0);
}
