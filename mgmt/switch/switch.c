// SPDX-License-Identifier: Apache-2.0
/*
 * The virtual switches (see switch.h): ports, addresses that were learnt, and the way of a frame.
 *
 * A frame is judged once, on its private head, when it enters: link, VLAN, source address, rate. Then it goes
 * to the port behind which its destination was seen, or to all of its VLAN. What the receiver cannot
 * do (VLAN tag, checksum, segmentation) is done for it on the way out.
 */
#include "mgmt/switch/switch_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/switch/frame.h"

#define NATIVE_VLAN 0u

static struct virtual_switch switches[SWITCHES_MAX];
static struct switch_port *ports; /* all, in the order of adding */
static struct switch_port *dirty; /* frames were delivered since the last flush */

/* ---- switches and ports ------------------------------------------------------------------------- */

struct virtual_switch *switch_find(const char *name)
{
	uint32_t i;

	for (i = 0; i < SWITCHES_MAX; i++) {
		if (switches[i].name[0] != '\0' && strcmp(switches[i].name, name) == 0) {
			return &switches[i];
		}
	}
	return NULL;
}

struct virtual_switch *switch_make(const char *name)
{
	struct virtual_switch *found = switch_find(name);
	uint32_t i;

	for (i = 0; i < SWITCHES_MAX && found == NULL; i++) {
		if (switches[i].name[0] == '\0') {
			found = &switches[i];
			memset(found, 0, sizeof(*found));
			snprintf(found->name, sizeof(found->name), "%s", name);
			switch_refresh(found);
		}
	}
	return found;
}

void switch_drop(struct virtual_switch *virtual_switch)
{
	if (virtual_switch->ports_count == 0 && virtual_switch->settings == NULL) {
		free(virtual_switch->table);
		memset(virtual_switch, 0, sizeof(*virtual_switch));
	}
}

struct switch_port *switch_ports(void)
{
	return ports;
}

struct switch_port *switch_port_find(const char *name)
{
	struct switch_port *port;

	for (port = ports; port != NULL; port = port->next) {
		if (strcmp(port->owner.name, name) == 0) {
			return port;
		}
	}
	return NULL;
}

struct switch_port *switch_port_add(const char *switch_name, const struct switch_owner *owner)
{
	struct switch_port **link = &ports;
	struct switch_port *port;

	if (switch_port_find(owner->name) != NULL) {
		return NULL;
	}
	port = calloc(1, sizeof(*port));
	if (port == NULL) {
		return NULL;
	}
	port->home = switch_make(switch_name);
	if (port->home == NULL) {
		free(port);
		return NULL;
	}
	if (port->home->table == NULL) {
		port->home->table = calloc(SWITCH_TABLE_SIZE, sizeof(*port->home->table));
	}
	port->owner = *owner;
	port->is_up = true;
	port->home->ports_count++;
	while (*link != NULL) {
		link = &(*link)->next;
	}
	*link = port;
	switch_refresh(port->home);
	return port;
}

static void forget_addresses(const struct switch_port *port)
{
	struct switch_address *table = port->home->table;
	uint32_t i;

	for (i = 0; table != NULL && i < SWITCH_TABLE_SIZE; i++) {
		if (table[i].port == port) {
			table[i].port = NULL;
		}
	}
}

static void remove_dirty(const struct switch_port *port)
{
	struct switch_port **link = &dirty;

	while (*link != NULL && *link != port) {
		link = &(*link)->next_dirty;
	}
	if (*link != NULL) {
		*link = port->next_dirty;
	}
}

void switch_port_remove(struct switch_port *port)
{
	struct switch_port **link = &ports;

	forget_addresses(port);
	remove_dirty(port);
	if (port->home->mirror == port) {
		port->home->mirror = NULL;
	}
	while (*link != port) {
		link = &(*link)->next;
	}
	*link = port->next;
	port->home->ports_count--;
	switch_drop(port->home);
	free(port);
}

void switch_port_set_flags(struct switch_port *port, uint32_t flags)
{
	const uint32_t kept = SWITCH_PORT_UPLINK | SWITCH_PORT_GUEST;

	port->owner.flags = (port->owner.flags & kept) | (flags & ~kept);
}

void switch_port_set_link(struct switch_port *port, bool is_up)
{
	port->is_up = is_up;
	if (!is_up) {
		forget_addresses(port);
	}
}

void switch_port_set_frame_max(struct switch_port *port, uint32_t bytes)
{
	port->frame_max = bytes;
}

void switch_port_set_vlan(struct switch_port *port, uint16_t vlan, bool is_trunk)
{
	port->wanted_vlan = vlan;
	port->is_trunk = is_trunk;
	switch_refresh_port(port);
	forget_addresses(port);
}

void switch_port_set_rate(struct switch_port *port, uint32_t rate_kbit)
{
	port->rate_kbit = rate_kbit;
	memset(&port->in_bucket, 0, sizeof(port->in_bucket));
	memset(&port->out_bucket, 0, sizeof(port->out_bucket));
	switch_refresh_port(port);
}

void switch_port_set_pinned(struct switch_port *port, bool is_pinned)
{
	port->wants_pinned = is_pinned;
	switch_refresh_port(port);
}

void switch_port_set_addresses(struct switch_port *port, const struct switch_prefix *prefixes,
                               uint32_t count)
{
	count = count < SWITCH_PINS_MAX ? count : SWITCH_PINS_MAX;
	memcpy(port->pins.prefixes, prefixes, count * sizeof(*prefixes));
	port->pins.count = count;
	switch_refresh_port(port);
}

void switch_port_set_isolated(struct switch_port *port, bool is_isolated)
{
	port->wants_isolated = is_isolated;
	switch_refresh_port(port);
}

bool switch_set_mirror(const char *switch_name, struct switch_port *port)
{
	struct virtual_switch *found = switch_find(switch_name);
	struct switch_port *other;

	if (found == NULL || (port != NULL && port->home != found)) {
		return false;
	}
	for (other = ports; other != NULL; other = other->next) {
		if (other->home == found) {
			other->wants_mirror = other == port;
		}
	}
	switch_refresh(found);
	return true;
}

/* ---- addresses ------------------------------------------------------------------------------------ */

static uint32_t hash_of(const uint8_t *mac, uint16_t vlan)
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, mac + 2, sizeof(low));
	memcpy(&high, mac, sizeof(high));
	low ^= ((uint32_t)high << 16 | vlan) * 0x9e3779b1u;
	low *= 0x85ebca6bu;
	return low >> 16;
}

static struct switch_address *find_address(const struct virtual_switch *home, const uint8_t *mac,
                                           uint16_t vlan)
{
	uint32_t hash = hash_of(mac, vlan);
	uint32_t i;

	for (i = 0; home->table != NULL && i < SWITCH_TABLE_WAYS; i++) {
		struct switch_address *entry = &home->table[(hash + i) % SWITCH_TABLE_SIZE];

		if (entry->port != NULL && entry->vlan == vlan && memcmp(entry->mac, mac, 6) == 0) {
			return entry;
		}
	}
	return NULL;
}

static inline bool is_entry(const struct switch_address *entry, const uint8_t *mac, uint16_t vlan)
{
	return entry->vlan == vlan && memcmp(entry->mac, mac, 6) == 0;
}

/* A place for the address: where it is, or where the one not seen for longest goes. */
static struct switch_address *place_for(struct virtual_switch *home, const uint8_t *mac,
                                        uint16_t vlan)
{
	struct switch_address *entry = find_address(home, mac, vlan);
	uint32_t hash = hash_of(mac, vlan);
	uint32_t i;

	if (entry != NULL) {
		return entry;
	}
	entry = &home->table[hash % SWITCH_TABLE_SIZE];
	for (i = 1; i < SWITCH_TABLE_WAYS && entry->port != NULL; i++) {
		struct switch_address *other = &home->table[(hash + i) % SWITCH_TABLE_SIZE];

		if (other->port == NULL || other->seen < entry->seen) {
			entry = other;
		}
	}
	memcpy(entry->mac, mac, 6);
	entry->vlan = vlan;
	return entry;
}

/* The source is behind this port. */
static void learn(struct virtual_switch *home, const uint8_t *mac, uint16_t vlan,
                  struct switch_port *port)
{
	struct switch_address *entry = port->source;

	home->frames_count++;
	if (entry == NULL || entry->port != port || !is_entry(entry, mac, vlan)) {
		if (home->table == NULL) {
			return;
		}
		entry = place_for(home, mac, vlan);
		entry->port = port;
		port->source = entry;
	}
	entry->seen = home->frames_count;
}

/* The port behind which the destination was seen, or NULL. */
static struct switch_port *destination_of(struct switch_port *port, const uint8_t *mac,
                                          uint16_t vlan)
{
	const struct switch_address *entry = port->destination;

	if (entry == NULL || entry->port == NULL || !is_entry(entry, mac, vlan)) {
		entry = find_address(port->home, mac, vlan);
		port->destination = entry;
	}
	return entry != NULL ? entry->port : NULL;
}

/* ---- rates ------------------------------------------------------------------------------------------ */

/* Fills the bucket, which holds a tenth of a second, or two frames: whole bytes only, what is left of the time counts next time. */
static void fill(const struct switch_port *port, struct switch_bucket *bucket)
{
	uint64_t hz = machine_tsc_hz();
	uint64_t rate = port->rate_kbit * 125ull; /* bytes a second, at most 5 * 10^8 */
	uint64_t room = rate / 10 > 2 * SWITCH_FRAME_MAX ? rate / 10 : 2 * SWITCH_FRAME_MAX;
	uint64_t now = machine_now_tsc();
	uint64_t ticks = now - bucket->tsc;
	uint64_t bytes;

	if (bucket->tsc == 0 || ticks > room * hz / rate) {
		bucket->bytes = room;
		bucket->tsc = now;
		return;
	}
	bytes = ticks * rate / hz;
	bucket->tsc += bytes * hz / rate;
	bucket->bytes += bytes;
	bucket->bytes = bucket->bytes < room ? bucket->bytes : room;
}

static bool take_from(const struct switch_port *port, struct switch_bucket *bucket, uint32_t bytes)
{
	fill(port, bucket);
	if (bucket->bytes < bytes) {
		return false;
	}
	bucket->bytes -= bytes;
	return true;
}

static inline bool is_within_rate(const struct switch_port *port, struct switch_bucket *bucket,
                                  uint32_t bytes)
{
	return port->rate_kbit == 0 || take_from(port, bucket, bytes);
}

/* ---- rules ------------------------------------------------------------------------------------------ */

/* False if the frame may not pass by the rules of this mask. */
static bool is_let_through(struct switch_port *port, uint64_t mask,
                           const struct switch_frame *frame, const struct frame_fields *fields,
                           uint16_t vlan)
{
	struct switch_settings *settings = port->home->settings;

	for (; mask != 0; mask &= mask - 1) {
		struct switch_rule *rule = &settings->rules[__builtin_ctzll(mask)];

		if (switch_rule_matches(rule, frame, fields, vlan)) {
			rule->frames_count++;
			rule->bytes_count += frame->bytes;
			return rule->is_deny == 0;
		}
	}
	return !port->is_deny;
}

static void parse_ip_once(const struct switch_frame *frame, struct frame_fields *fields)
{
	if (!fields->is_ip_parsed) {
		frame_parse_ip(frame, fields);
	}
}

/* ---- out ---------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void count_refused(struct switch_port *port,
                                                    const struct switch_frame *frame)
{
	bool is_long = port->frame_max != 0 && frame->bytes > port->frame_max;

	*(is_long ? &port->counters.too_long : &port->counters.no_room) += 1;
}

static inline void hand_over(struct switch_port *port, const struct switch_frame *frame)
{
	if (!port->owner.deliver(port->owner.owner, frame)) {
		count_refused(port, frame);
		return;
	}
	port->counters.out_frames++;
	port->counters.out_bytes += frame->bytes;
	if (!port->is_dirty) {
		port->is_dirty = true;
		port->next_dirty = dirty;
		dirty = port;
	}
}

static void hand_over_segment(void *context, struct switch_frame *frame)
{
	hand_over(context, frame);
}

/* Does what the port's owner cannot, then delivers. The frame is the port's own copy of the record. */
static void finish(struct switch_port *port, struct switch_frame *frame)
{
	bool has_offload = (port->owner.flags & SWITCH_PORT_OFFLOAD) != 0;
	bool has_tso = (port->owner.flags & SWITCH_PORT_TSO) != 0;

	if (frame->offload.gso_type != 0 && !has_tso) {
		if (!frame_segment(frame, !has_offload, hand_over_segment, port)) {
			port->counters.bad++;
		}
		return;
	}
	if (frame->offload.flags != 0 && !has_offload && !frame_finish_checksum(frame)) {
		port->counters.bad++;
		return;
	}
	hand_over(port, frame);
}

/* A copy of the record, with or without a tag as the port needs it. */
static __attribute__((noinline)) void change_and_finish(struct switch_port *port,
                                                        const struct switch_frame *frame,
                                                        const struct frame_fields *fields,
                                                        uint16_t vlan)
{
	static struct switch_frame copy;
	bool has_tag = fields->has_tag && fields->vlan != NATIVE_VLAN;
	bool needs_tag = port->is_trunk && vlan != NATIVE_VLAN;

	copy = *frame;
	if (fields->has_tag && !needs_tag) {
		frame_untag(&copy);
	} else if (!has_tag && needs_tag) {
		if (fields->has_tag) {
			frame_untag(&copy);
		}
		frame_tag(&copy, vlan);
	}
	finish(port, &copy);
}

static __attribute__((noinline)) void send_out_checked(struct switch_port *port,
                                                       const struct switch_frame *frame,
                                                       struct frame_fields *fields, uint16_t vlan)
{
	if (port->is_checked_in && port != port->home->mirror) {
		parse_ip_once(frame, fields);
		if (!is_let_through(port, port->rules_in, frame, fields, vlan)) {
			port->counters.denied++;
			return;
		}
	}
	if (!is_within_rate(port, &port->out_bucket, frame->bytes)) {
		port->counters.over_rate++;
		return;
	}
	change_and_finish(port, frame, fields, vlan);
}

static inline void send_out(struct switch_port *port, const struct switch_frame *frame,
                            struct frame_fields *fields, uint16_t vlan)
{
	if (port->is_plain_in && !fields->has_tag && frame->offload.flags == 0) {
		hand_over(port, frame);
	} else {
		send_out_checked(port, frame, fields, vlan);
	}
}

static bool may_reach(const struct switch_port *from, const struct switch_port *to, uint16_t vlan)
{
	return to != from && to->is_up && to->home == from->home &&
	       !(from->is_isolated && to->is_isolated) && (to->is_trunk || to->vlan == vlan);
}

static __attribute__((noinline)) void flood(struct switch_port *from,
                                            const struct switch_frame *frame,
                                            struct frame_fields *fields, uint16_t vlan)
{
	struct switch_port *to;

	for (to = ports; to != NULL; to = to->next) {
		if (may_reach(from, to, vlan) && to != from->home->mirror) {
			send_out(to, frame, fields, vlan);
		}
	}
}

/* ---- in ------------------------------------------------------------------------------------------------- */

/* The frame's VLAN, or -1 if it may not come from this port. */
static int vlan_of(const struct switch_port *port, const struct frame_fields *fields)
{
	if (port->is_trunk) {
		return fields->vlan;
	}
	/* A tag of VLAN 0 is a priority only, and is taken off; a second one would then be the first. */
	return (fields->has_tag && fields->vlan != NATIVE_VLAN) || fields->has_more_tags
	               ? -1
	               : port->vlan;
}

static bool is_forged(const struct switch_port *port, const struct switch_frame *frame,
                      struct frame_fields *fields)
{
	const uint8_t *source = frame->head + 6;

	if ((source[0] & 1) != 0 || (port->is_pinned && memcmp(source, port->owner.mac, 6) != 0)) {
		return true;
	}
	if (port->pins.count == 0) {
		return false;
	}
	parse_ip_once(frame, fields);
	return !switch_pins_allow(&port->pins, port->owner.mac, frame, fields);
}

/* What the sender left to do must be possible: receivers rely on it. */
static bool is_offload_good(const struct switch_frame *frame, struct frame_fields *fields)
{
	const struct switch_offload *offload = &frame->offload;
	uint32_t type = offload->gso_type & ~SWITCH_GSO_ECN;

	if (offload->flags == 0) {
		return offload->gso_type == 0;
	}
	if (offload->csum_start + offload->csum_offset + 2u > frame->bytes) {
		return false;
	}
	if (offload->gso_type == 0) {
		return true;
	}
	parse_ip_once(frame, fields);
	return (type == SWITCH_GSO_TCP4 || type == SWITCH_GSO_TCP6) &&
	       frame_segment_headers(frame, fields) != 0;
}

/* The frame, or each of its segments. */
static bool is_too_long(const struct switch_port *port, const struct switch_frame *frame,
                        const struct frame_fields *fields)
{
	uint32_t bytes = frame->bytes;

	if (frame->offload.gso_type != 0) {
		bytes = frame_segment_headers(frame, fields) + frame->offload.segment_bytes;
		bytes = bytes < frame->bytes ? bytes : frame->bytes;
	}
	return bytes > port->home->frame_max + (fields->has_tag ? VLAN_TAG_BYTES : 0);
}

/* The counter of why the frame may not enter, or NULL: then *vlan is its VLAN. */
static __attribute__((noinline)) uint64_t *refuse(struct switch_port *port,
                                                  const struct switch_frame *frame,
                                                  struct frame_fields *fields, uint16_t *vlan)
{
	struct switch_counters *counters = &port->counters;
	int found;

	if (!is_offload_good(frame, fields)) {
		return &counters->bad;
	}
	if (is_too_long(port, frame, fields)) {
		return &counters->too_long;
	}
	found = vlan_of(port, fields);
	if (found < 0) {
		return &counters->vlan;
	}
	*vlan = (uint16_t)found;
	if (is_forged(port, frame, fields)) {
		return &counters->forged;
	}
	if (port->is_checked_out) {
		parse_ip_once(frame, fields);
		if (!is_let_through(port, port->rules_out, frame, fields, *vlan)) {
			return &counters->denied;
		}
	}
	return is_within_rate(port, &port->in_bucket, frame->bytes) ? NULL : &counters->over_rate;
}

/* True if refuse() would find nothing, and needs not be asked. */
static inline bool is_plain(const struct switch_port *port, const struct switch_frame *frame,
                            const struct frame_fields *fields)
{
	return port->is_plain_out && !fields->has_tag && !fields->has_more_tags &&
	       frame->offload.flags == 0 && frame->offload.gso_type == 0 &&
	       frame->bytes <= port->home->frame_max && (frame->head[6] & 1) == 0;
}

void switch_input(struct switch_port *port, const struct switch_frame *frame)
{
	struct virtual_switch *home = port->home;
	struct switch_port *to = NULL;
	struct frame_fields fields;
	uint16_t vlan = port->vlan;

	if (!port->is_up || !frame_parse(frame, &fields)) {
		port->counters.bad++;
		return;
	}
	if (!is_plain(port, frame, &fields)) {
		uint64_t *reason = refuse(port, frame, &fields, &vlan);

		if (reason != NULL) {
			*reason += 1;
			return;
		}
	}
	port->counters.in_frames++;
	port->counters.in_bytes += frame->bytes;
	learn(home, frame->head + 6, vlan, port);
	if (home->mirror != NULL && home->mirror != port && home->mirror->is_up) {
		send_out_checked(home->mirror, frame, &fields, vlan);
	}
	if ((frame->head[0] & 1) == 0) {
		to = destination_of(port, frame->head, vlan);
	}
	if (to == NULL) {
		flood(port, frame, &fields, vlan);
	} else if (to != home->mirror && may_reach(port, to, vlan)) {
		send_out(to, frame, &fields, vlan); /* the mirror has it already */
	}
}

void switch_flush(void)
{
	while (dirty != NULL) {
		struct switch_port *port = dirty;

		dirty = port->next_dirty;
		port->is_dirty = false;
		if (port->owner.flush != NULL) {
			port->owner.flush(port->owner.owner);
		}
	}
}

/* ---- for the verbs ------------------------------------------------------------------------------------------ */

bool switch_port_info(uint32_t number, struct switch_port_info *info)
{
	const struct switch_port *port = ports;

	while (port != NULL && number > 0) {
		port = port->next;
		number--;
	}
	if (port == NULL) {
		return false;
	}
	*info = (struct switch_port_info){
		.name = port->owner.name,
		.switch_name = port->home->name,
		.mac = port->owner.mac,
		.flags = port->owner.flags,
		.vlan = port->vlan,
		.is_trunk = port->is_trunk,
		.is_up = port->is_up,
		.is_pinned = port->is_pinned,
		.is_isolated = port->is_isolated,
		.is_mirror = port->home->mirror == port,
		.rate_kbit = port->rate_kbit,
		.counters = port->counters,
	};
	return true;
}

const char *switch_name_at(uint32_t number, uint32_t *ports_count, uint32_t *addresses_count)
{
	uint32_t i;
	uint32_t j;

	for (i = 0; i < SWITCHES_MAX; i++) {
		const struct virtual_switch *found = &switches[i];

		if (found->name[0] == '\0' || number-- > 0) {
			continue;
		}
		*ports_count = found->ports_count;
		*addresses_count = 0;
		for (j = 0; found->table != NULL && j < SWITCH_TABLE_SIZE; j++) {
			*addresses_count += found->table[j].port != NULL;
		}
		return found->name;
	}
	return NULL;
}
