/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual switches: ports, and frames between them.
 *
 * A port belongs to a guest's network device, to mgmt's own TCP/IP stack, or to a machine's NIC (an
 * uplink). Whoever owns it gives frames in by switch_input() and gets frames by its deliver function, which
 * copies them at once: a frame's pieces may be guest memory and are valid, but not constant, during
 * the call only. All of it runs in mgmt's one thread; nothing waits.
 *
 * A frame begins with the Ethernet header and has no FCS. Its first SWITCH_HEAD_BYTES are copied once
 * into `head`, and every decision is made on that copy, which is also what the receiver gets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/switch/rule.h"

#define SWITCH_NAME_SIZE  32u
#define SWITCH_HEAD_BYTES 128u /* enough for Ethernet, VLAN, IPv6 and TCP with options */
#define SWITCH_PIECES_MAX 64u
#define SWITCH_FRAME_MAX  65550u /* with segmentation offload; 9018 without */
#define SWITCH_MTU        1500u  /* of a switch that has no settings */
#define SWITCH_MTU_MIN    1280u
#define SWITCH_MTU_MAX    9000u

struct switch_piece {
	const void *address;
	uint32_t bytes;
};

/* What is left for the receiver to do, in the terms of virtio 1.2 5.1.6 (struct virtio_net_hdr). */
struct switch_offload {
	uint8_t flags; /* 1 = NEEDS_CSUM: checksum from csum_start on into csum_start + csum_offset */
	uint8_t gso_type; /* 0 = none, 1 = TCPv4, 3 = UDP, 4 = TCPv6; 0x80 = ECN */
	uint16_t header_bytes;
	uint16_t segment_bytes;
	uint16_t csum_start;
	uint16_t csum_offset;
};

#define SWITCH_GSO_TCP4 1u
#define SWITCH_GSO_TCP6 4u
#define SWITCH_GSO_ECN  0x80u

struct switch_frame {
	/* The first head_bytes bytes, a private copy: min(bytes, SWITCH_HEAD_BYTES), and a tag that is put in. */
	uint8_t head[SWITCH_HEAD_BYTES + 4];
	uint32_t head_bytes;
	uint32_t bytes;                    /* of the whole frame */
	const struct switch_piece *pieces; /* all that follows the head */
	uint32_t pieces_count;
	struct switch_offload offload;
};

#define SWITCH_PORT_UPLINK  0x1u /* a machine's NIC: unknown addresses are behind it */
#define SWITCH_PORT_OFFLOAD 0x2u /* the owner takes frames with NEEDS_CSUM */
#define SWITCH_PORT_TSO     0x4u /* and with gso_type TCPv4 or TCPv6 */
#define SWITCH_PORT_GUEST \
	0x8u /* of a guest: the switch's own settings and rules are for such ports */

struct switch_port;

/* What an owner says about its port. deliver() copies the frame and returns false if it had no room,
 * or if the frame is longer than switch_port_set_frame_max() said. It must not
 * call switch_input(). flush(), if there is one, is called at the end of a turn in which frames were delivered:
 * raise the interrupt, ring the doorbell, work on what came (it may call switch_input()). */
struct switch_owner {
	char name
		[SWITCH_NAME_SIZE]; /* of the port, as the verbs show it: "alpha.0", "mgmt", "e1000-0" */
	uint8_t mac[6];             /* the port's own address; for an uplink: the NIC's */
	uint32_t flags;             /* SWITCH_PORT_* */
	bool (*deliver)(void *owner, const struct switch_frame *frame);
	void (*flush)(void *owner);
	void *owner;
};

/* Adds a port to the switch of this name, which is made if there is none. NULL if there are too many
 * ports, or the name is taken. The record is copied. */
struct switch_port *switch_port_add(const char *switch_name, const struct switch_owner *owner);
void switch_port_remove(struct switch_port *port);

/* After the owner's features changed: SWITCH_PORT_OFFLOAD and _TSO. */
void switch_port_set_flags(struct switch_port *port, uint32_t flags);

/* Cable in or out: without link no frame goes either way, and what was learnt about the port is forgotten. */
void switch_port_set_link(struct switch_port *port, bool is_up);

/* The longest frame, with its tag, that the owner takes. At first 0: any. */
void switch_port_set_frame_max(struct switch_port *port, uint32_t bytes);

/* A frame from the port's owner. The head is filled by switch_frame_set() or by the caller. */
void switch_input(struct switch_port *port, const struct switch_frame *frame);

/* Fills head and bytes from pieces, which then begin behind the head: `rest` must have room for
 * SWITCH_PIECES_MAX pieces and live as long as the frame. False if the frame is too short, too long,
 * or in too many pieces. */
bool switch_frame_set(struct switch_frame *frame, const struct switch_piece *pieces,
                      uint32_t pieces_count, struct switch_piece *rest);

/* Copies the whole frame, head first, to linear memory of at least frame->bytes. */
void switch_frame_copy(const struct switch_frame *frame, void *to);

/* A place in a frame, which begins at its start. */
struct switch_cursor {
	const struct switch_frame *frame;
	uint32_t head_done; /* bytes of the head that are copied */
	uint32_t piece;     /* then the piece that is next, and what is copied of it */
	uint32_t piece_done;
};

/* Copies the next bytes of the frame, which must have so many left. */
void switch_frame_copy_part(struct switch_cursor *cursor, void *to, uint32_t bytes);

/* Calls flush() of every port that frames were delivered to since the last call. At the end of each turn. */
void switch_flush(void);

/* ---- settings ------------------------------------------------------------------------------ */

/* Access port of this VLAN (0 = untagged), or trunk: frames with the tags of all VLANs. */
void switch_port_set_vlan(struct switch_port *port, uint16_t vlan, bool is_trunk);

/* Each way, in kbit/s; 0 = no limit. */
void switch_port_set_rate(struct switch_port *port, uint32_t rate_kbit);

/* Pinned: frames with another source address than the port's are dropped. */
void switch_port_set_pinned(struct switch_port *port, bool is_pinned);

/* Pinned to IP addresses too, at most SWITCH_PINS_MAX; count 0 ends that. See pin.h. */
void switch_port_set_addresses(struct switch_port *port, const struct switch_prefix *prefixes,
                               uint32_t count);

/* Isolated ports reach only ports that are not isolated. */
void switch_port_set_isolated(struct switch_port *port, bool is_isolated);

/* All that enters the port's switch is copied to it; NULL as port ends that. */
bool switch_set_mirror(const char *switch_name, struct switch_port *port);

/* What is said of a switch as a whole. For ports of guests, but the MTU and rules that name a port. */
struct switch_settings {
	char name[SWITCH_NAME_SIZE];
	uint32_t mtu;
	uint32_t vlan; /* of ports that have none of their own; 0 = untagged */
	bool is_isolated;
	bool is_pinned;
	bool is_deny;                  /* of what no rule decides on */
	char mirror[SWITCH_NAME_SIZE]; /* the port that gets a copy of all, or "" */
	uint32_t rules_count;
	struct switch_rule rules[SWITCH_RULES_MAX]; /* the first that matches decides */
};

/* Makes the switch if it is not there, and gives it settings, which stay the caller's: the switch counts in the
 * rules, and must be told again when the caller has changed them. False: too many switches. */
bool switch_set(struct switch_settings *settings);

/* Takes the settings away; the switch goes with its last port. */
void switch_unset(const char *name);

/* The largest packet behind the Ethernet header, of a switch that is there or not. */
uint32_t switch_mtu(const char *name);

/* ---- for the verbs ----------------------------------------------------------------------------- */

struct switch_counters {
	uint64_t in_frames, in_bytes;   /* from the owner */
	uint64_t out_frames, out_bytes; /* to the owner */
	uint64_t no_room;               /* the owner had no buffer */
	uint64_t over_rate;
	uint64_t forged; /* another source address than is pinned, MAC or IP */
	uint64_t
		too_long; /* from the owner for the switch's MTU, or to the owner for what it takes */
	uint64_t bad;     /* no frame, or an offload that cannot be done */
	uint64_t vlan;    /* a tag on an access port */
	uint64_t denied; /* by a rule */
};

struct switch_port_info {
	const char *name;
	const char *switch_name;
	const uint8_t *mac;
	uint32_t flags;
	uint16_t vlan;
	bool is_trunk;
	bool is_up;
	bool is_pinned;
	bool is_isolated;
	bool is_mirror;
	uint32_t rate_kbit;
	struct switch_counters counters;
};

/* Ports by number from 0; false behind the last. */
bool switch_port_info(uint32_t number, struct switch_port_info *info);
struct switch_port *switch_port_find(const char *name);

/* Switches by number from 0; NULL behind the last. */
const char *switch_name_at(uint32_t number, uint32_t *ports_count, uint32_t *addresses_count);
