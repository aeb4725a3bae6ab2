// SPDX-License-Identifier: Apache-2.0
/*
 * TCP segmentation for receivers that cannot take large frames: headers are repeated with their own
 * lengths, sequence numbers and flags, the payload is cut where it lies.
 */
#include <string.h>

#include "mgmt/switch/frame.h"

#define TCP_FIN     0x01u
#define TCP_PSH     0x08u
#define TCP_CWR     0x80u
#define TCP_CSUM    16u
#define SEGMENT_MIN 64u /* payload; smaller ones would make one frame a flood */

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void set16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void set32(uint8_t *at, uint32_t value)
{
	set16(at, value >> 16);
	set16(at + 2, value);
}

static uint32_t sum16(const uint8_t *at, uint32_t bytes)
{
	uint32_t sum = 0;
	uint32_t i;

	for (i = 0; i + 1 < bytes; i += 2) {
		sum += get16(at + i);
	}
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

/* The payload from `offset` on: in the head behind the headers, then in the pieces. */
static uint32_t slice(const struct switch_frame *frame, uint32_t headers, uint32_t offset,
                      uint32_t bytes, struct switch_piece *out)
{
	uint32_t in_head = frame->head_bytes - headers;
	uint32_t used = 0;
	uint32_t i;

	for (i = 0; i <= frame->pieces_count && bytes > 0; i++) {
		const uint8_t *address = i == 0 ? frame->head + headers
		                                : frame->pieces[i - 1].address;
		uint32_t part = i == 0 ? in_head : frame->pieces[i - 1].bytes;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		part = part < bytes ? part : bytes;
		out[used].address = address + offset;
		out[used].bytes = part;
		used++;
		bytes -= part;
		offset = 0;
	}
	return used;
}

/* Writes the lengths, IPv4's number and checksum, and the pseudo header's sum into the TCP checksum. */
static void set_ip(struct switch_frame *segment, const struct frame_fields *fields, uint32_t number)
{
	uint8_t *ip = segment->head + fields->l3;
	uint32_t tcp_bytes = segment->bytes - fields->l4;
	uint32_t sum = IP_PROTOCOL_TCP + tcp_bytes;

	if (fields->ethertype == ETHERTYPE_IPV4) {
		set16(ip + 2, segment->bytes - fields->l3);
		set16(ip + 4, get16(ip + 4) + number);
		set16(ip + 10, 0);
		set16(ip + 10, (uint16_t)~fold(sum16(ip, fields->l4 - fields->l3)));
		sum += sum16(ip + 12, 8);
	} else {
		set16(ip + 4, segment->bytes - fields->l3 - 40);
		sum += sum16(ip + 8, 32);
	}
	set16(segment->head + fields->l4 + TCP_CSUM, fold(sum));
}

uint32_t frame_segment_headers(const struct switch_frame *frame, const struct frame_fields *fields)
{
	uint32_t headers;

	if (!fields->has_l4 || fields->protocol != IP_PROTOCOL_TCP ||
	    fields->l4 + 20 > frame->head_bytes || frame->offload.segment_bytes < SEGMENT_MIN) {
		return 0;
	}
	headers = fields->l4 + (frame->head[fields->l4 + 12] >> 4) * 4u;
	return headers >= fields->l4 + 20 && headers <= frame->head_bytes ? headers : 0;
}

bool frame_segment(const struct switch_frame *frame, bool needs_checksum,
                   void (*out)(void *context, struct switch_frame *segment), void *context)
{
	static struct switch_frame segment;
	static struct switch_piece pieces[SWITCH_PIECES_MAX + 1];
	struct frame_fields fields;
	uint32_t headers;
	uint32_t payload;
	uint32_t done = 0;
	uint32_t number;

	if (!frame_parse(frame, &fields)) {
		return false;
	}
	frame_parse_ip(frame, &fields);
	headers = frame_segment_headers(frame, &fields);
	if (headers == 0) {
		return false;
	}
	payload = frame->bytes - headers;
	for (number = 0; done < payload || number == 0; number++) {
		uint32_t left = payload - done;
		uint32_t part = left < frame->offload.segment_bytes ? left
		                                                    : frame->offload.segment_bytes;
		uint8_t *tcp = segment.head + fields.l4;

		memcpy(segment.head, frame->head, headers);
		segment.head_bytes = headers;
		segment.bytes = headers + part;
		segment.pieces = pieces;
		segment.pieces_count = slice(frame, headers, done, part, pieces);
		segment.offload = (struct switch_offload){
			.flags = 1,
			.csum_start = (uint16_t)fields.l4,
			.csum_offset = TCP_CSUM,
		};
		set32(tcp + 4, get32(tcp + 4) + done);
		if (part != left) {
			tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		}
		if (number != 0) {
			tcp[13] &= (uint8_t)~TCP_CWR;
		}
		set_ip(&segment, &fields, number);
		if (needs_checksum) {
			frame_finish_checksum(&segment);
		}
		out(context, &segment);
		done += part;
	}
	return true;
}
