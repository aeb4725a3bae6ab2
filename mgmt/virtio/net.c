// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net (virtio 1.2 5.1): frames between a guest's queues and a port of a switch.
 *
 * A frame that the guest sends goes to the switch with its pieces in the guest's memory; a frame for the
 * guest is copied from the sender's pieces into the guest's buffers: one copy from guest to guest. The header's
 * offload fields are the guest's word and are checked by whoever acts on them. A guest without room for a
 * frame loses it.
 */
#include "mgmt/virtio/net.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/switch/frame.h"
#include "mgmt/virtio/net_internal.h"

#define NET_QUEUE_SIZE 1024u
#define NET_TURN       128u /* frames a queue sends in one turn */
#define NET_MERGED_MAX 64u  /* buffers of one received frame */
#define NET_SENT_MAX   16u  /* frames that are given back to the sender at once */

/* Small frames are most of them: by 16 bytes, the last ones again where they overlap. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t i;

	if (bytes < 16 || bytes > SWITCH_HEAD_BYTES) {
		memcpy(to, from, bytes);
		return;
	}
	for (i = 0; i + 16 < bytes; i += 16) {
		memcpy(to + i, from + i, 16);
	}
	memcpy(to + bytes - 16, from + bytes - 16, 16);
}

/* ---- from the switch to the guest --------------------------------------------------------------------- */

/* Where a frame is being put: buffers taken so far, and the first one for the header. */
struct filler {
	struct virtqueue *queue;
	struct virtqueue_done done[NET_MERGED_MAX];
	uint32_t count;
	uint32_t offset; /* in the present chain */
	bool is_merging;
};

/* One thread: one frame at a time. */
static struct virtqueue_chain first_chain;
static struct virtqueue_chain more_chain;
static struct filler filler;

static struct virtqueue_chain *present_chain(void)
{
	return filler.count == 1 ? &first_chain : &more_chain;
}

static bool next_chain(void)
{
	if (filler.count == NET_MERGED_MAX || !filler.is_merging ||
	    !virtqueue_take(filler.queue, &more_chain)) {
		return false;
	}
	filler.done[filler.count] = (struct virtqueue_done){ more_chain.id, more_chain.slots, 0 };
	filler.count++;
	filler.offset = 0;
	return true;
}

/* Puts bytes into the buffers; false if they are not enough. */
static bool put(const void *from, uint32_t bytes)
{
	const uint8_t *at = from;

	while (bytes > 0) {
		uint32_t part = virtqueue_write(present_chain(), filler.offset, at, bytes);

		filler.offset += part;
		filler.done[filler.count - 1].bytes += part;
		at += part;
		bytes -= part;
		if (bytes > 0 && !next_chain()) {
			return false;
		}
	}
	return true;
}

static bool put_frame(const struct switch_frame *frame)
{
	static const uint8_t blank[NET_HEADER_BYTES];
	uint32_t i;

	if (!put(blank, NET_HEADER_BYTES) || !put(frame->head, frame->head_bytes)) {
		return false;
	}
	for (i = 0; i < frame->pieces_count; i++) {
		if (!put(frame->pieces[i].address, frame->pieces[i].bytes)) {
			return false;
		}
	}
	return true;
}

static struct net_header header_of(const struct switch_frame *frame, uint32_t buffers)
{
	const struct switch_offload *offload = &frame->offload;

	return (struct net_header){
		.flags = offload->flags,
		.gso_type = offload->gso_type,
		.hdr_len = offload->header_bytes,
		.gso_size = offload->segment_bytes,
		.csum_start = offload->csum_start,
		.csum_offset = offload->csum_offset,
		.num_buffers = (uint16_t)buffers,
	};
}

/* All of the frame into the one piece of the first chain. */
static void put_whole(const struct switch_frame *frame)
{
	uint8_t *to = first_chain.pieces[0].address;
	struct net_header header = header_of(frame, 1);
	uint32_t i;

	memcpy(to, &header, sizeof(header));
	to += sizeof(header);
	copy_bytes(to, frame->head, frame->head_bytes);
	to += frame->head_bytes;
	for (i = 0; i < frame->pieces_count; i++) {
		memcpy(to, frame->pieces[i].address, frame->pieces[i].bytes);
		to += frame->pieces[i].bytes;
	}
}

static void give_back(struct net *net, uint32_t pair)
{
	struct net_given *given = &net->given[pair];

	virtqueue_give_all(&net->device->queues[2 * pair], given->done, given->count);
	given->count = 0;
}

static uint32_t word_at(const struct switch_frame *frame, uint32_t at)
{
	uint32_t word;

	memcpy(&word, frame->head + at, sizeof(word));
	return word;
}

/* The same for both ways of a flow: addresses and ports are folded together. */
static uint32_t flow_of(const struct switch_frame *frame)
{
	struct frame_fields fields;
	uint32_t hash = 0;
	uint32_t i;

	if (!frame_parse(frame, &fields)) {
		return 0;
	}
	frame_parse_ip(frame, &fields);
	if (fields.ip_version == 4) {
		hash = word_at(frame, fields.l3 + 12) ^ word_at(frame, fields.l3 + 16);
	}
	for (i = 8; fields.ip_version == 6 && i < 40; i += 4) {
		hash ^= word_at(frame, fields.l3 + i);
	}
	if (fields.has_l4 && fields.protocol != IP_PROTOCOL_ICMP &&
	    fields.protocol != IP_PROTOCOL_ICMPV6) {
		hash ^= (uint32_t)fields.source_port ^ fields.destination_port;
	}
	hash ^= hash >> 16;
	return (hash ^ hash >> 8) % NET_FLOWS;
}

/* The pair that a frame goes to: the one that its flow was last sent on (virtio 1.2 5.1.6.5.6). */
static uint32_t pair_of(const struct net *net, const struct switch_frame *frame)
{
	uint32_t flow;
	uint32_t pair;

	if (net->state.pairs == 1) {
		return 0;
	}
	flow = flow_of(frame);
	pair = net->flows[flow];
	return pair != 0 && pair <= net->state.pairs ? pair - 1 : flow % net->state.pairs;
}

/* The long way: the frame goes into as many pieces and buffers as it takes. The first chain is taken. */
static __attribute__((noinline)) bool deliver_in_parts(struct net *net, uint32_t pair,
                                                       const struct switch_frame *frame,
                                                       struct virtqueue_mark mark)
{
	struct virtio_device *device = net->device;
	struct net_header header;

	filler.queue = &device->queues[2 * pair];
	filler.done[0] = (struct virtqueue_done){ first_chain.id, first_chain.slots, 0 };
	filler.count = 1;
	filler.offset = 0;
	filler.is_merging = (device->features & NET_F_MRG_RXBUF) != 0;
	if (first_chain.in_bytes < NET_HEADER_BYTES) {
		virtio_device_break(device, "a receive buffer has no room for the header");
		return false;
	}
	if (!put_frame(frame)) {
		if (!virtio_device_check_queue(device, filler.queue)) {
			virtqueue_rewind(filler.queue, mark);
		}
		return false;
	}
	header = header_of(frame, filler.count);
	virtqueue_write(&first_chain, 0, &header, sizeof(header));
	give_back(net, pair);
	virtqueue_give_all(filler.queue, filler.done, filler.count);
	return true;
}

static bool deliver(void *owner, const struct switch_frame *frame)
{
	struct net *net = owner;
	struct virtio_device *device = net->device;
	struct virtqueue_mark mark;
	struct virtqueue *queue;
	struct net_given *given;
	uint32_t pair;

	if (device == NULL || !device->is_running) {
		return false;
	}
	if (!net_filter_passes(net, frame)) {
		return true;
	}
	pair = pair_of(net, frame);
	queue = &device->queues[2 * pair];
	if (queue->size == 0) {
		return false;
	}
	mark = virtqueue_mark(queue);
	if (!virtqueue_take(queue, &first_chain)) {
		virtio_device_check_queue(device, queue);
		return false;
	}
	if (first_chain.in_count != 1 || first_chain.out_count != 0 ||
	    first_chain.in_bytes < NET_HEADER_BYTES + frame->bytes) {
		return deliver_in_parts(net, pair, frame, mark);
	}
	put_whole(frame);
	given = &net->given[pair];
	given->done[given->count++] = (struct virtqueue_done){ first_chain.id, first_chain.slots,
		                                               NET_HEADER_BYTES + frame->bytes };
	if (given->count == NET_GIVEN_MAX) {
		give_back(net, pair);
	}
	return true;
}

static void flush(void *owner)
{
	struct net *net = owner;
	uint32_t i;

	for (i = 0; net->device != NULL && net->device->is_running && i < net->state.pairs; i++) {
		give_back(net, i);
		virtio_device_interrupt(net->device, 2 * i);
	}
}

/* ---- from the guest to the switch ----------------------------------------------------------------------- */

static struct virtqueue_chain send_chain;

/* The pieces of the chain behind the header; returns their count. */
static uint32_t pieces_behind_header(struct switch_piece *pieces)
{
	uint32_t skip = NET_HEADER_BYTES;
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < send_chain.out_count; i++) {
		const struct block_piece *piece = &send_chain.pieces[i];

		if (skip >= piece->bytes) {
			skip -= piece->bytes;
			continue;
		}
		pieces[count].address = (const uint8_t *)piece->address + skip;
		pieces[count].bytes = piece->bytes - skip;
		count++;
		skip = 0;
	}
	return count;
}

static void set_offload(struct switch_frame *frame, const struct net_header *header)
{
	frame->offload = (struct switch_offload){
		.flags = header->flags & NET_HDR_NEEDS_CSUM,
		.gso_type = header->gso_type,
		.header_bytes = header->hdr_len,
		.segment_bytes = header->gso_size,
		.csum_start = header->csum_start,
		.csum_offset = header->csum_offset,
	};
}

/* Fills the frame from the chain; false if the driver broke the rules (a frame that is merely not good is
 * dropped by the switch). */
static bool make_frame(struct net *net, struct switch_frame *frame)
{
	static struct switch_piece pieces[VIRTQUEUE_PIECES_MAX];
	static struct switch_piece rest[SWITCH_PIECES_MAX];
	const uint8_t *first = send_chain.pieces[0].address;
	uint32_t bytes = send_chain.out_bytes - NET_HEADER_BYTES;
	struct net_header header;

	if (send_chain.out_bytes <= NET_HEADER_BYTES || send_chain.in_count != 0) {
		virtio_device_break(net->device,
		                    "a frame without header, or with writable buffers");
		return false;
	}
	if (send_chain.out_count == 1 && bytes <= SWITCH_HEAD_BYTES && bytes >= 16) {
		memcpy(&header, first, sizeof(header));
		copy_bytes(frame->head, first + NET_HEADER_BYTES, bytes);
		frame->head_bytes = bytes;
		frame->bytes = bytes;
		frame->pieces = rest;
		frame->pieces_count = 0;
		set_offload(frame, &header);
		return true;
	}
	virtqueue_read(&send_chain, 0, &header, sizeof(header));
	set_offload(frame, &header);
	if (!switch_frame_set(frame, pieces, pieces_behind_header(pieces), rest)) {
		frame->bytes = 0;
	}
	return true;
}

/* Sends up to `left` frames, and gives their chains back in groups; returns how many were not sent. */
static uint32_t send_all(struct net *net, uint32_t pair, uint32_t left)
{
	static struct virtqueue_done done[NET_SENT_MAX];
	static struct switch_frame frame;
	struct virtio_device *device = net->device;
	struct virtqueue *queue = &device->queues[2 * pair + 1];
	uint32_t count = 0;

	for (; left > 0 && device->is_running && virtqueue_take(queue, &send_chain); left--) {
		if (!make_frame(net, &frame)) {
			return left;
		}
		if (net->state.pairs != 1) {
			net->flows[flow_of(&frame)] = (uint8_t)(pair + 1);
		}
		if (frame.bytes != 0) {
			switch_input(net->port, &frame);
		}
		done[count++] = (struct virtqueue_done){ send_chain.id, send_chain.slots, 0 };
		if (count == NET_SENT_MAX) {
			virtqueue_give_all(queue, done, count);
			count = 0;
		}
	}
	if (device->is_running) {
		virtqueue_give_all(queue, done, count);
	}
	return left;
}

/* One pair's turn; true if there is more to send. */
static bool work_pair(struct net *net, uint32_t pair)
{
	struct virtio_device *device = net->device;
	struct virtqueue *queue = &device->queues[2 * pair + 1];
	uint32_t left;

	virtqueue_kicks_off(&device->queues[2 * pair]);
	if (queue->size == 0) {
		return false;
	}
	virtqueue_kicks_off(queue);
	left = send_all(net, pair, NET_TURN);
	device->page->counters.chains += NET_TURN - left;
	if (!device->is_running || virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, 2 * pair + 1);
	return left == 0 || virtqueue_kicks_on(queue);
}

static bool work(struct virtio_device *device)
{
	struct net *net = device->own;
	bool is_more = false;
	uint32_t pair;

	for (pair = 0; pair < net->state.pairs && device->is_running; pair++) {
		is_more |= work_pair(net, pair);
	}
	if (device->is_running && (device->features & NET_F_CTRL_VQ) != 0) {
		is_more |= net_control_work(net);
	}
	return is_more && device->is_running;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static uint32_t port_flags(uint64_t features)
{
	uint32_t flags = 0;

	if ((features & NET_F_GUEST_CSUM) != 0) {
		flags |= SWITCH_PORT_OFFLOAD;
		if ((features & (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6)) ==
		    (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6)) {
			flags |= SWITCH_PORT_TSO;
		}
	}
	return flags;
}

static void start(struct virtio_device *device)
{
	struct net *net = device->own;

	net->device = device; /* virtio_device_add() may start it */
	memset(net->given, 0, sizeof(net->given));
	memset(net->flows, 0, sizeof(net->flows));
	net_state_begin(net);
	net->control_idx = (device->features & NET_F_MQ) != 0 ? 2 * net->params.pairs_count : 2;
	if (net->port != NULL) {
		switch_port_set_flags(net->port, port_flags(device->features));
		switch_port_set_link(net->port, true);
	}
}

static void stop(struct virtio_device *device)
{
	struct net *net = device->own;

	if (net->port != NULL) {
		switch_port_set_link(net->port, false);
	}
}

static void destroy(struct virtio_device *device)
{
	struct net *net = device->own;

	if (net->port != NULL) {
		switch_port_remove(net->port);
	}
	free(net);
}

static const struct virtio_operations operations = {
	.name = "net",
	.start = start,
	.work = work,
	.stop = stop,
	.is_idle = NULL,
	.destroy = destroy,
};

static bool add_port(struct net *net)
{
	struct switch_owner owner = {
		.flags = SWITCH_PORT_GUEST, .deliver = deliver, .flush = flush, .owner = net
	};
	const struct net_params *params = &net->params;

	memcpy(owner.name, params->port_name, sizeof(owner.name));
	memcpy(owner.mac, params->mac, sizeof(owner.mac));
	net->port = switch_port_add(params->switch_name, &owner);
	if (net->port == NULL) {
		return false;
	}
	switch_port_set_vlan(net->port, params->vlan, params->is_trunk);
	switch_port_set_rate(net->port, params->rate_kbit);
	switch_port_set_pinned(net->port, params->is_pinned);
	switch_port_set_isolated(net->port, params->is_isolated);
	switch_port_set_addresses(net->port, params->ips, params->ips_count);
	if (params->is_mirror) {
		switch_set_mirror(params->switch_name, net->port);
	}
	switch_port_set_link(net->port, false);
	return true;
}

static uint64_t features_of(const struct net_params *params)
{
	return NET_F_MTU | NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_MAC | NET_F_GUEST_TSO4 |
	       NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 |
	       NET_F_HOST_ECN | NET_F_MRG_RXBUF | NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX |
	       NET_F_CTRL_VLAN | NET_F_CTRL_MAC_ADDR | (params->pairs_count > 1 ? NET_F_MQ : 0);
}

struct virtio_device *net_add(uint32_t slot, uint32_t idx, const struct net_params *params)
{
	struct net_config config = { .status = NET_STATUS_LINK_UP,
		                     .max_virtqueue_pairs = (uint16_t)params->pairs_count };
	struct virtio_offer offer = {
		.type = VIRTIO_TYPE_NET,
		.features = features_of(params),
		.queues_count = 2 * params->pairs_count + 1,
		.queue_size_max = NET_QUEUE_SIZE,
		.config = &config,
		.config_bytes = sizeof(config),
	};
	struct net *net = calloc(1, sizeof(*net));
	struct virtio_device *device;

	if (net == NULL) {
		return NULL;
	}
	memcpy(config.mac, params->mac, sizeof(config.mac));
	net->params = *params;
	net->state.pairs = 1;
	config.mtu = (uint16_t)switch_mtu(params->switch_name);
	if (!add_port(net)) {
		free(net);
		return NULL;
	}
	device = virtio_device_add(slot, idx, &operations, net, &offer);
	if (device == NULL) {
		switch_port_remove(net->port);
		free(net);
		return NULL;
	}
	net->device = device;
	return device;
}

struct switch_port *net_port(const struct virtio_device *device)
{
	return device->operations == &operations ? ((struct net *)device->own)->port : NULL;
}
