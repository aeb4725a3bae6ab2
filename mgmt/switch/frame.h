/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the switch reads in a frame and changes in it. All of it works on the frame's private head; only
 * checksums and segments read the rest.
 */
#pragma once

#include "mgmt/switch/switch.h"

#define ETHERNET_BYTES  14u
#define VLAN_TAG_BYTES  4u
#define ETHERTYPE_IPV4  0x0800u
#define ETHERTYPE_ARP   0x0806u
#define ETHERTYPE_VLAN  0x8100u
#define ETHERTYPE_IPV6  0x86ddu
#define IP_PROTOCOL_TCP 6u
#define IP_PROTOCOL_UDP 17u

/* Where a frame's headers are, and what rules look at. Fields without their header are 0. */
struct frame_fields {
	bool has_tag;
	uint16_t vlan;      /* of the tag */
	uint16_t ethertype; /* behind the tag */
	uint32_t l3;        /* offset of the network header */
	uint32_t l4;        /* offset of the transport header, 0 = none or not in the head */
	uint8_t protocol;
	bool is_fragment;
	uint32_t source_ip4;
	uint32_t destination_ip4;
	uint16_t source_port;
	uint16_t destination_port;
};

/* Reads the headers; false if the frame is none. */
bool frame_parse(const struct switch_frame *frame, struct frame_fields *fields);

/* Puts a VLAN tag in, or takes it out. The offload's offsets move with it. */
void frame_tag(struct switch_frame *frame, uint16_t vlan);
void frame_untag(struct switch_frame *frame);

/* Does the checksum that was left to the receiver, so that NEEDS_CSUM goes. False if its place is not in the
 * head. */
bool frame_finish_checksum(struct switch_frame *frame);

/* Cuts a TCP frame with segmentation offload into segments that stand alone, and calls out() for each. False
 * if it is no such frame. needs_checksum: the receiver cannot do that either. */
bool frame_segment(const struct switch_frame *frame, bool needs_checksum,
                   void (*out)(void *context, struct switch_frame *segment), void *context);
