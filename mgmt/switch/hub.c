// SPDX-License-Identifier: Apache-2.0
/*
 * A plain hub behind mgmt/switch/switch.h: every frame goes to all other ports of the same name. Its
 * functions are weak, so that they give way to those of a real switch.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/switch/switch.h"

#define PORTS_MAX 16u
#define WEAK      __attribute__((weak))

struct switch_port {
	bool is_used;
	bool is_up;
	bool is_due; /* flush() is to be called */
	char switch_name[SWITCH_NAME_SIZE];
	struct switch_owner owner;
};

static struct switch_port ports[PORTS_MAX];

WEAK struct switch_port *switch_port_add(const char *switch_name, const struct switch_owner *owner)
{
	uint32_t i;

	for (i = 0; i < PORTS_MAX; i++) {
		if (!ports[i].is_used) {
			ports[i] = (struct switch_port){ .is_used = true,
				                         .is_up = true,
				                         .owner = *owner };
			snprintf(ports[i].switch_name, SWITCH_NAME_SIZE, "%s", switch_name);
			return &ports[i];
		}
	}
	return NULL;
}

WEAK void switch_port_remove(struct switch_port *port)
{
	port->is_used = false;
}

WEAK void switch_port_set_link(struct switch_port *port, bool is_up)
{
	port->is_up = is_up;
}

WEAK void switch_input(struct switch_port *port, const struct switch_frame *frame)
{
	uint32_t i;

	for (i = 0; i < PORTS_MAX; i++) {
		struct switch_port *to = &ports[i];

		if (to != port && to->is_used && to->is_up &&
		    strcmp(to->switch_name, port->switch_name) == 0) {
			to->is_due |= to->owner.deliver(to->owner.owner, frame);
		}
	}
}

WEAK bool switch_frame_set(struct switch_frame *frame, const struct switch_piece *pieces,
                           uint32_t pieces_count, struct switch_piece *rest)
{
	uint32_t i;

	frame->head_bytes = 0;
	frame->bytes = 0;
	frame->pieces = rest;
	frame->pieces_count = 0;
	if (pieces_count > SWITCH_PIECES_MAX) {
		return false;
	}
	for (i = 0; i < pieces_count; i++) {
		uint32_t room = SWITCH_HEAD_BYTES - frame->head_bytes;
		uint32_t part = pieces[i].bytes < room ? pieces[i].bytes : room;

		memcpy(frame->head + frame->head_bytes, pieces[i].address, part);
		frame->head_bytes += part;
		frame->bytes += pieces[i].bytes;
		if (part < pieces[i].bytes) {
			rest[frame->pieces_count++] = (struct switch_piece){
				.address = (const uint8_t *)pieces[i].address + part,
				.bytes = pieces[i].bytes - part,
			};
		}
	}
	return frame->bytes >= 14 && frame->bytes <= SWITCH_FRAME_MAX;
}

WEAK void switch_frame_copy(const struct switch_frame *frame, void *to)
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

WEAK void switch_flush(void)
{
	uint32_t i;

	for (i = 0; i < PORTS_MAX; i++) {
		if (ports[i].is_used && ports[i].is_due && ports[i].owner.flush != NULL) {
			ports[i].is_due = false;
			ports[i].owner.flush(ports[i].owner.owner);
		}
	}
}
