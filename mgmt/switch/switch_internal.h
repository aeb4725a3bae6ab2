/* SPDX-License-Identifier: Apache-2.0 */
/* The switch's own records. Of mgmt/switch alone. */
#pragma once

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
	char name[SWITCH_NAME_SIZE]; /* "" = free */
	bool is_kept;                /* was added by name: stays without ports */
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
	bool is_pinned;
	bool is_isolated;
	uint16_t vlan;
	uint32_t rate_kbit;
	struct switch_bucket in_bucket;
	struct switch_bucket out_bucket;
	struct switch_counters counters;
	bool is_dirty;
	struct switch_port *next_dirty;
};
