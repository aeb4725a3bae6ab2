/* SPDX-License-Identifier: Apache-2.0 */
/* The switch's own records. Of mgmt/switch alone. */
#pragma once

#include "mgmt/switch/pin.h"
#include "mgmt/switch/switch.h"

#define SWITCHES_MAX      16u
#define SWITCH_TABLE_SIZE 512u /* addresses of a switch */
#define SWITCH_TABLE_WAYS 8u   /* places that an address may be in */

struct switch_address {
	uint8_t mac[6];
	uint16_t vlan;
	struct switch_port *port; /* NULL = free */
	uint64_t seen;            /* frames_count of its last frame */
};

struct virtual_switch {
	char name[SWITCH_NAME_SIZE];      /* "" = free */
	struct switch_settings *settings; /* NULL = none: it goes with its last port */
	uint32_t frame_max;               /* bytes of a frame without a tag */
	uint32_t ports_count;
	uint64_t frames_count;
	struct switch_port *mirror;
	struct switch_address
		*table; /* SWITCH_TABLE_SIZE; NULL = no memory: every frame is flooded */
};

struct switch_bucket {
	uint64_t bytes;
	uint64_t tsc;
};

struct switch_port {
	struct switch_port *next;
	struct virtual_switch *home;
	struct switch_owner owner;
	bool is_up;
	bool is_trunk;
	/* As the owner wants it, and as it is with the switch's settings. */
	bool wants_pinned, is_pinned;
	bool wants_isolated, is_isolated;
	bool wants_mirror;
	uint16_t wanted_vlan, vlan;
	struct switch_pins pins;
	/* Rules that may decide on frames to the owner (in) and from it (out): bit i for rule i. */
	uint64_t rules_in, rules_out;
	bool is_deny;       /* of what no rule decides on */
	bool is_checked_in; /* there is something to look at */
	bool is_checked_out;
	/* Nothing to look at but link and tags: no trunk, pins, rules, rate. */
	bool is_plain_in;
	bool is_plain_out;
	uint32_t rate_kbit;
	/* Places in the switch's table: of its last source and destination. Checked at each use. */
	struct switch_address *source;
	const struct switch_address *destination;
	struct switch_bucket in_bucket;
	struct switch_bucket out_bucket;
	uint32_t frame_max; /* that the owner takes; 0 = any */
	struct switch_counters counters;
	bool is_dirty;
	struct switch_port *next_dirty;
};

/* All ports, in the order of adding, by `next`. */
struct switch_port *switch_ports(void);
struct virtual_switch *switch_make(const char *name);
struct virtual_switch *switch_find(const char *name);
/* Frees a switch that has neither ports nor settings. */
void switch_drop(struct virtual_switch *virtual_switch);

/* settings.c: works out what the switch's settings mean for the port. After any change of either. */
void switch_refresh_port(struct switch_port *port);
/* And what they mean for the switch and all its ports. */
void switch_refresh(struct virtual_switch *home);
