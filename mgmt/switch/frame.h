/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the switch reads in a frame and changes in it. All of it works on the frame's private head; only
 * checksums and segments read the rest.
 */
#pragma once

#include "mgmt/switch/switch.h"

#define ETHERNET_BYTES        14u
#define VLAN_TAG_BYTES        4u
#define ETHERTYPE_FIRST       0x0600u /* smaller ones are lengths (IEEE 802.3 3.2.6) */
#define ETHERTYPE_IPV4        0x0800u
#define ETHERTYPE_ARP         0x0806u
#define ETHERTYPE_VLAN        0x8100u
#define ETHERTYPE_IPV6        0x86ddu
#define ETHERTYPE_SERVICE_TAG 0x88a8u
#define ETHERTYPE_OLD_TAG     0x9100u
#define IP_PROTOCOL_ICMP      1u
#define IP_PROTOCOL_TCP       6u
#define IP_PROTOCOL_UDP       17u
#define IP_PROTOCOL_ICMPV6    58u

/* Where a frame's headers are, and what rules look at. Pointers are into the frame's head. */
struct frame_fields {
	bool has_tag;
	bool has_more_tags; /* behind the first, or of another kind: what follows is not looked at */
	uint16_t vlan;      /* of the tag */
	uint16_t ethertype; /* behind the tag */
	uint32_t l3;        /* offset of the network header */
	bool is_ip_parsed;
	/* From here on by frame_parse_ip(). */
	bool is_opaque;     /* what it carries cannot be told */
	bool has_protocol;  /* `protocol` is what the frame carries */
	bool has_l4;        /* the fields of that protocol's header are there */
	bool is_fragment;   /* not the first one */
	uint8_t ip_version; /* 4, 6, or 0: no IP */
	uint8_t protocol;
	uint8_t icmp_type;
	uint32_t l4; /* offset of the transport header */
	const uint8_t *source_ip;
	const uint8_t *destination_ip;
	uint16_t source_port;
	uint16_t destination_port;
};

static inline uint16_t frame_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* Reads the Ethernet header; false if the frame is none. Here, since every frame passes it. */
static inline bool frame_parse(const struct switch_frame *frame, struct frame_fields *fields)
{
	if (frame->head_bytes < ETHERNET_BYTES) {
		return false;
	}
	fields->has_tag = false;
	fields->is_ip_parsed = false;
	fields->vlan = 0;
	fields->ethertype = frame_get16(frame->head + 12);
	fields->l3 = ETHERNET_BYTES;
	if (fields->ethertype == ETHERTYPE_VLAN) {
		if (frame->head_bytes < ETHERNET_BYTES + VLAN_TAG_BYTES) {
			return false;
		}
		fields->has_tag = true;
		fields->vlan = frame_get16(frame->head + 14) & 0xfffu;
		fields->ethertype = frame_get16(frame->head + 16);
		fields->l3 += VLAN_TAG_BYTES;
	}
	fields->has_more_tags = fields->ethertype == ETHERTYPE_VLAN ||
	                        fields->ethertype == ETHERTYPE_SERVICE_TAG ||
	                        fields->ethertype == ETHERTYPE_OLD_TAG;
	return true;
}

/* Reads the IP header and what follows, after frame_parse(). */
void frame_parse_ip(const struct switch_frame *frame, struct frame_fields *fields);

/* Puts a VLAN tag in, or takes it out. The offload's offsets move with it. */
void frame_tag(struct switch_frame *frame, uint16_t vlan);
void frame_untag(struct switch_frame *frame);

/* Does the checksum that was left to the receiver, so that NEEDS_CSUM goes. False if its place is not in the
 * head. */
bool frame_finish_checksum(struct switch_frame *frame);

/* Bytes of the headers that each segment of the frame gets, or 0 if it is no TCP frame that can be cut. After
 * frame_parse_ip(). */
uint32_t frame_segment_headers(const struct switch_frame *frame, const struct frame_fields *fields);

/* Cuts a TCP frame with segmentation offload into segments that stand alone, and calls out() for each. False
 * if it is no such frame. needs_checksum: the receiver cannot do that either. */
bool frame_segment(const struct switch_frame *frame, bool needs_checksum,
                   void (*out)(void *context, struct switch_frame *segment), void *context);
