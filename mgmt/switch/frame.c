// SPDX-License-Identifier: Apache-2.0
/*
 * Frames: headers, VLAN tags, checksums (see frame.h). Every offset is checked against the head.
 */
#include "mgmt/switch/frame.h"

#include <string.h>

bool switch_frame_set(struct switch_frame *frame, const struct switch_piece *pieces,
                      uint32_t pieces_count, struct switch_piece *rest)
{
	uint32_t bytes = 0;
	uint32_t used = 0;
	uint32_t i;

	frame->head_bytes = 0;
	frame->pieces = rest;
	for (i = 0; i < pieces_count; i++) {
		uint32_t part = SWITCH_HEAD_BYTES - frame->head_bytes;

		if (pieces[i].bytes > SWITCH_FRAME_MAX - bytes) {
			return false;
		}
		bytes += pieces[i].bytes;
		part = part < pieces[i].bytes ? part : pieces[i].bytes;
		memcpy(frame->head + frame->head_bytes, pieces[i].address, part);
		frame->head_bytes += part;
		if (part == pieces[i].bytes) {
			continue;
		}
		if (used == SWITCH_PIECES_MAX) {
			return false;
		}
		rest[used].address = (const uint8_t *)pieces[i].address + part;
		rest[used].bytes = pieces[i].bytes - part;
		used++;
	}
	frame->bytes = bytes;
	frame->pieces_count = used;
	return bytes >= ETHERNET_BYTES;
}

void switch_frame_copy(const struct switch_frame *frame, void *to)
{
	uint8_t *at = to;
	uint32_t i;

	memcpy(at, frame->head, frame->head_bytes);
	at += frame->head_bytes;
	for (i = 0; i < frame->pieces_count; i++) {
		memcpy(at, frame->pieces[i].address, frame->pieces[i].bytes);
		at += frame->pieces[i].bytes;
	}
}

void switch_frame_copy_part(struct switch_cursor *cursor, void *to, uint32_t bytes)
{
	const struct switch_frame *frame = cursor->frame;
	uint8_t *at = to;

	while (bytes != 0 &&
	       (cursor->head_done < frame->head_bytes || cursor->piece < frame->pieces_count)) {
		bool is_head = cursor->head_done < frame->head_bytes;
		const struct switch_piece *piece = &frame->pieces[cursor->piece];
		const uint8_t *from = is_head ? frame->head + cursor->head_done
		                              : (const uint8_t *)piece->address +
		                                        cursor->piece_done;
		uint32_t left = is_head ? frame->head_bytes - cursor->head_done
		                        : piece->bytes - cursor->piece_done;
		uint32_t part = left < bytes ? left : bytes;

		memcpy(at, from, part);
		at += part;
		bytes -= part;
		*(is_head ? &cursor->head_done : &cursor->piece_done) += part;
		if (!is_head && cursor->piece_done == piece->bytes) {
			cursor->piece++;
			cursor->piece_done = 0;
		}
	}
}

/* IPv6 extension headers (RFC 8200 4, RFC 4302). */
#define IPV6_HOP_BY_HOP  0u
#define IPV6_ROUTING     43u
#define IPV6_FRAGMENT    44u
#define IPV6_AUTH        51u
#define IPV6_DESTINATION 60u
#define IPV6_HEADERS_MAX 8u /* that are followed */

static void parse_transport(const struct switch_frame *frame, struct frame_fields *fields)
{
	const uint8_t *header = frame->head + fields->l4;

	if (fields->is_fragment) {
		return;
	}
	if (fields->protocol == IP_PROTOCOL_TCP || fields->protocol == IP_PROTOCOL_UDP) {
		fields->has_l4 = fields->l4 + 4 <= frame->head_bytes;
		if (fields->has_l4) {
			fields->source_port = frame_get16(header);
			fields->destination_port = frame_get16(header + 2);
		}
	} else if (fields->protocol == IP_PROTOCOL_ICMP || fields->protocol == IP_PROTOCOL_ICMPV6) {
		fields->has_l4 = fields->l4 + 1 <= frame->head_bytes;
		fields->icmp_type = fields->has_l4 ? header[0] : 0;
	}
}

static void parse_ipv4(const struct switch_frame *frame, struct frame_fields *fields)
{
	const uint8_t *header = frame->head + fields->l3;
	uint32_t length;

	fields->is_opaque = true;
	if (fields->l3 + 20 > frame->head_bytes) {
		return;
	}
	length = (header[0] & 15u) * 4u;
	if (header[0] >> 4 != 4 || length < 20 || fields->l3 + length > frame->head_bytes) {
		return;
	}
	fields->is_opaque = false;
	fields->ip_version = 4;
	fields->has_protocol = true;
	fields->protocol = header[9];
	fields->source_ip = header + 12;
	fields->destination_ip = header + 16;
	fields->is_fragment = (frame_get16(header + 6) & 0x1fffu) != 0;
	fields->l4 = fields->l3 + length;
	parse_transport(frame, fields);
}

/* One extension header: moves on to the next. False if `next` is none, or it is not in the head. */
static bool skip_extension(const struct switch_frame *frame, struct frame_fields *fields,
                           uint8_t *next)
{
	const uint8_t *header;
	uint32_t length = 8;

	if (fields->l4 + 8 > frame->head_bytes) {
		return false;
	}
	header = frame->head + fields->l4;
	if (*next == IPV6_FRAGMENT) {
		fields->is_fragment = frame_get16(header + 2) >> 3 != 0;
	} else if (*next == IPV6_AUTH) {
		length = (header[1] + 2u) * 4u;
	} else {
		length = (header[1] + 1u) * 8u;
	}
	*next = header[0];
	fields->l4 += length;
	return true;
}

static bool is_extension(uint8_t next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT ||
	       next == IPV6_AUTH || next == IPV6_DESTINATION;
}

/* The protocol is known if the chain of headers ends in the head. A later fragment does not say it for sure:
 * the receiver takes the first one's word (RFC 8200 4.5). */
static void parse_ipv6(const struct switch_frame *frame, struct frame_fields *fields)
{
	const uint8_t *header = frame->head + fields->l3;
	uint8_t next;
	uint32_t i;

	fields->is_opaque = fields->l3 + 40 > frame->head_bytes || header[0] >> 4 != 6;
	if (fields->is_opaque) {
		return;
	}
	fields->ip_version = 6;
	fields->source_ip = header + 8;
	fields->destination_ip = header + 24;
	fields->l4 = fields->l3 + 40;
	next = header[6];
	for (i = 0; i < IPV6_HEADERS_MAX && is_extension(next) && !fields->is_fragment; i++) {
		if (!skip_extension(frame, fields, &next)) {
			return;
		}
	}
	if (fields->is_fragment || is_extension(next) || fields->l4 > frame->head_bytes) {
		return;
	}
	fields->has_protocol = true;
	fields->protocol = next;
	parse_transport(frame, fields);
}

void frame_parse_ip(const struct switch_frame *frame, struct frame_fields *fields)
{
	fields->is_ip_parsed = true;
	fields->has_protocol = false;
	fields->has_l4 = false;
	fields->is_fragment = false;
	fields->ip_version = 0;
	fields->protocol = 0;
	fields->l4 = 0;
	/* Behind more tags, or in LLC and SNAP, there may be IP for who looks for it. */
	fields->is_opaque = fields->has_more_tags || fields->ethertype < ETHERTYPE_FIRST;
	if (fields->ethertype == ETHERTYPE_IPV4) {
		parse_ipv4(frame, fields);
	} else if (fields->ethertype == ETHERTYPE_IPV6) {
		parse_ipv6(frame, fields);
	}
}

/* Moves the offload's offsets by so many bytes. */
static void shift_offload(struct switch_offload *offload, int bytes)
{
	if (offload->flags != 0) {
		offload->csum_start = (uint16_t)(offload->csum_start + bytes);
	}
	if (offload->gso_type != 0) {
		offload->header_bytes = (uint16_t)(offload->header_bytes + bytes);
	}
}

void frame_tag(struct switch_frame *frame, uint16_t vlan)
{
	memmove(frame->head + 16, frame->head + 12, frame->head_bytes - 12);
	frame->head[12] = ETHERTYPE_VLAN >> 8;
	frame->head[13] = ETHERTYPE_VLAN & 0xff;
	frame->head[14] = (uint8_t)(vlan >> 8);
	frame->head[15] = (uint8_t)vlan;
	frame->head_bytes += VLAN_TAG_BYTES;
	frame->bytes += VLAN_TAG_BYTES;
	shift_offload(&frame->offload, (int)VLAN_TAG_BYTES);
}

void frame_untag(struct switch_frame *frame)
{
	memmove(frame->head + 12, frame->head + 16, frame->head_bytes - 16);
	frame->head_bytes -= VLAN_TAG_BYTES;
	frame->bytes -= VLAN_TAG_BYTES;
	shift_offload(&frame->offload, -(int)VLAN_TAG_BYTES);
}

/* Ones' complement sums (RFC 1071) over bytes that may begin at an odd offset of the whole. */
struct checksum {
	uint64_t sum;
	bool is_odd;
};

static void checksum_add(struct checksum *checksum, const uint8_t *at, uint32_t bytes)
{
	uint64_t sum = 0;
	uint32_t i;

	if (bytes == 0) {
		return;
	}
	if (checksum->is_odd) {
		sum += at[0];
		at++;
		bytes--;
		checksum->is_odd = false;
	}
	for (i = 0; i + 1 < bytes; i += 2) {
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	}
	if (i < bytes) {
		sum += (uint32_t)at[i] << 8;
		checksum->is_odd = true;
	}
	checksum->sum += sum;
}

static uint16_t checksum_end(const struct checksum *checksum)
{
	uint64_t sum = checksum->sum;

	while (sum >> 16 != 0) {
		sum = (sum & 0xffffu) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

bool frame_finish_checksum(struct switch_frame *frame)
{
	struct checksum checksum = { 0 };
	uint32_t start = frame->offload.csum_start;
	uint32_t at = start + frame->offload.csum_offset;
	uint16_t value;
	uint32_t i;

	if (frame->offload.flags == 0) {
		return true;
	}
	if (start < ETHERNET_BYTES || start >= frame->head_bytes || at + 2 > frame->head_bytes) {
		return false;
	}
	/* The field holds the pseudo header's sum, which counts with the rest. */
	checksum_add(&checksum, frame->head + start, frame->head_bytes - start);
	for (i = 0; i < frame->pieces_count; i++) {
		checksum_add(&checksum, frame->pieces[i].address, frame->pieces[i].bytes);
	}
	value = checksum_end(&checksum);
	/* 0 says that UDP has no checksum; ffff is the same number. */
	value = value == 0 ? 0xffff : value;
	frame->head[at] = (uint8_t)(value >> 8);
	frame->head[at + 1] = (uint8_t)value;
	frame->offload.flags = 0;
	frame->offload.csum_start = 0;
	frame->offload.csum_offset = 0;
	return true;
}
