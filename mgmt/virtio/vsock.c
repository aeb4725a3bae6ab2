// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-vsock's queues (see vsock.h): packets from the driver, checked on a copy, to mgmt's services or to another
 * guest's buffers; and back. A packet that is longer than a buffer of the receiver goes in several; where it stands
 * is kept, so that it is never looked at twice.
 */
#include "mgmt/virtio/vsock.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/machine.h"

#define QUEUE_RECEIVE  0u
#define QUEUE_TRANSMIT 1u
#define QUEUE_EVENT    2u
#define QUEUE_SIZE     256u
#define TURN           32u
#define PACKET_MAX     65536u /* bytes of payload in one of the driver's packets */
#define HEADER_BYTES   ((uint32_t)sizeof(struct vsock_header))

/* virtio 1.2 5.10.6.7: all connections are gone, and the driver reads its CID again. */
#define EVENT_TRANSPORT_RESET 0u

struct vsock {
	struct virtio_device *device;
	struct vsock_params params;
	struct vsock_host host;
	struct vsock_counters counters;
	bool must_tell_reset;
	/* the packet that is being passed on to another guest */
	bool is_passing;
	struct vsock_header passing;
	uint32_t passed_bytes;
};

static struct vsock *all[BH_PARTITIONS_MAX]; /* by slot */
static struct virtqueue_chain sent_chain;    /* from a driver */
static struct virtqueue_chain room_chain;    /* a driver's buffer */

static struct vsock *by_cid(uint64_t cid)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		if (all[slot] != NULL && all[slot]->params.cid == cid) {
			return all[slot];
		}
	}
	return NULL;
}

static bool names(const struct vsock *vsock, uint32_t cid)
{
	uint32_t i;

	for (i = 0; i < vsock->params.peers_count; i++) {
		if (vsock->params.peers[i] == cid) {
			return true;
		}
	}
	return vsock->params.takes_any;
}

/* The guest that the packet is for, if both want it; it runs. */
static struct vsock *peer_of(const struct vsock *from, uint64_t cid)
{
	struct vsock *to = by_cid(cid);

	return to != NULL && to != from && names(from, to->params.cid) &&
	                       names(to, from->params.cid) && to->device->is_running
	               ? to
	               : NULL;
}

/* ---- buffers of a driver ---------------------------------------------------------------------------- */

/* One to be filled, with room for a header and, if it must hold payload, a byte more; without one the driver is asked to
 * kick when there is. */
static bool take_room(struct virtio_device *device, uint32_t queue_idx, uint32_t bytes)
{
	struct virtqueue *queue = &device->queues[queue_idx];

	if (!device->is_running || queue->size == 0) {
		return false;
	}
	for (;;) {
		if (virtqueue_take(queue, &room_chain)) {
			if (room_chain.out_count == 0 && room_chain.in_bytes >= bytes) {
				return true;
			}
			virtio_device_break(device,
			                    "a buffer for packets is too small or not writable");
			return false;
		}
		if (virtio_device_check_queue(device, queue) || !virtqueue_kicks_on(queue)) {
			return false;
		}
	}
}

static void give_room(struct virtio_device *device, uint32_t queue_idx, uint32_t bytes)
{
	virtqueue_give(&device->queues[queue_idx], &room_chain, bytes);
	device->page->counters.chains++;
}

/* ---- to another guest ---------------------------------------------------------------------------------- */

static void copy_payload(uint32_t from, uint32_t to, uint32_t bytes)
{
	uint8_t part[512];

	while (bytes > 0) {
		uint32_t count = bytes < sizeof(part) ? bytes : (uint32_t)sizeof(part);

		if (virtqueue_read(&sent_chain, from, part, count) != count) {
			memset(part, 0,
			       sizeof(part)); /* the driver has changed the chain: its own loss */
		}
		virtqueue_write(&room_chain, to, part, count);
		from += count;
		to += count;
		bytes -= count;
	}
}

/* One packet of what is left; true once nothing is. */
static bool pass_part(struct vsock *from, struct vsock *to)
{
	uint32_t left = from->passing.len - from->passed_bytes;
	uint32_t room = room_chain.in_bytes - HEADER_BYTES;
	struct vsock_header header = from->passing;

	header.len = left < room ? left : room;
	virtqueue_write(&room_chain, 0, &header, HEADER_BYTES);
	copy_payload(HEADER_BYTES + from->passed_bytes, HEADER_BYTES, header.len);
	give_room(to->device, QUEUE_RECEIVE, HEADER_BYTES + header.len);
	from->passed_bytes += header.len;
	to->counters.packets_out++;
	to->counters.bytes_out += header.len;
	return from->passed_bytes == from->passing.len;
}

/* False: the receiver has no buffers now, and pokes us when it has. */
static bool pass_on(struct vsock *from)
{
	for (;;) {
		struct vsock *to = peer_of(from, from->passing.dst_cid);

		if (to == NULL) {
			vsock_host_refuse(&from->host, &from->passing);
			break;
		}
		if (!take_room(to->device, QUEUE_RECEIVE, HEADER_BYTES + 1)) {
			if (to->device->is_running) {
				return false;
			}
			continue; /* it has just been broken */
		}
		bool is_done = pass_part(from, to);

		virtio_device_interrupt(to->device, QUEUE_RECEIVE);
		if (is_done) {
			break;
		}
	}
	from->is_passing = false;
	return true;
}

/* ---- from the driver -------------------------------------------------------------------------------------- */

static void to_host(struct vsock *vsock, const struct vsock_header *header)
{
	static uint8_t payload[VSOCK_BUFFER_BYTES];

	if (header->len > sizeof(payload)) {
		vsock_host_receive(&vsock->host, header, NULL);
		return;
	}
	if (virtqueue_read(&sent_chain, HEADER_BYTES, payload, header->len) == header->len) {
		vsock_host_receive(&vsock->host, header, payload);
	}
}

/* A packet that its chain holds; else the device is broken. */
static bool read_header(struct vsock *vsock, struct vsock_header *header)
{
	if (sent_chain.in_count == 0 &&
	    virtqueue_read(&sent_chain, 0, header, HEADER_BYTES) == HEADER_BYTES &&
	    header->len <= PACKET_MAX && header->len <= sent_chain.out_bytes - HEADER_BYTES) {
		return true;
	}
	virtio_device_break(vsock->device, "a packet is shorter than it says, or no packet");
	return false;
}

/* What a packet without payload may not have counts for nothing. */
static void normalize(struct vsock_header *header)
{
	if (header->op != VSOCK_OP_RW) {
		header->len = 0;
	}
}

/* False: it waits for its receiver, or the device is broken. */
static bool take_packet(struct vsock *vsock)
{
	struct vsock_header header;

	if (vsock->is_passing) {
		return pass_on(vsock);
	}
	if (!read_header(vsock, &header)) {
		return false;
	}
	normalize(&header);
	if (header.src_cid != vsock->params.cid) {
		vsock->counters.forged++;
	} else if (header.dst_cid == VSOCK_CID_HOST) {
		to_host(vsock, &header);
	} else if (header.type != VSOCK_TYPE_STREAM || peer_of(vsock, header.dst_cid) == NULL) {
		vsock_host_refuse(&vsock->host, &header);
	} else {
		vsock->counters.packets_in++;
		vsock->counters.bytes_in += header.len;
		vsock->passing = header;
		vsock->passed_bytes = 0;
		vsock->is_passing = true;
		return pass_on(vsock);
	}
	return true;
}

static bool work_sent(struct vsock *vsock)
{
	struct virtio_device *device = vsock->device;
	struct virtqueue *queue = &device->queues[QUEUE_TRANSMIT];
	uint32_t left = TURN;

	if (queue->size == 0) {
		return false;
	}
	virtqueue_kicks_off(queue);
	/* Refusals that the driver takes no buffers for stop it, and nobody else. */
	for (; left > 0 && vsock_host_has_room(&vsock->host); left--) {
		struct virtqueue_mark mark = virtqueue_mark(queue);

		if (!virtqueue_take(queue, &sent_chain)) {
			break;
		}
		if (!take_packet(vsock)) {
			if (device->is_running) {
				virtqueue_rewind(queue, mark);
				virtio_device_interrupt(device, QUEUE_TRANSMIT);
			}
			return false;
		}
		virtqueue_give(queue, &sent_chain, 0);
		device->page->counters.chains++;
	}
	if (virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, QUEUE_TRANSMIT);
	if (!vsock_host_has_room(&vsock->host)) {
		return false;
	}
	return left == 0 || virtqueue_kicks_on(queue);
}

/* ---- to the driver --------------------------------------------------------------------------------------- */

static void send_event(struct vsock *vsock)
{
	const uint32_t event = EVENT_TRANSPORT_RESET;

	if (vsock->must_tell_reset && take_room(vsock->device, QUEUE_EVENT, sizeof(event))) {
		virtqueue_write(&room_chain, 0, &event, sizeof(event));
		give_room(vsock->device, QUEUE_EVENT, sizeof(event));
		vsock->must_tell_reset = false;
		virtio_device_interrupt(vsock->device, QUEUE_EVENT);
	}
}

static void send_host_packets(struct vsock *vsock)
{
	static uint8_t payload[VSOCK_BUFFER_BYTES];
	bool has_sent = false;

	while (vsock_host_has_more(&vsock->host) &&
	       take_room(vsock->device, QUEUE_RECEIVE, HEADER_BYTES + 1)) {
		uint32_t room = room_chain.in_bytes - HEADER_BYTES;
		struct vsock_header header;

		vsock_host_send(&vsock->host, &header, payload,
		                room < sizeof(payload) ? room : (uint32_t)sizeof(payload));
		virtqueue_write(&room_chain, 0, &header, HEADER_BYTES);
		virtqueue_write(&room_chain, HEADER_BYTES, payload, header.len);
		give_room(vsock->device, QUEUE_RECEIVE, HEADER_BYTES + header.len);
		has_sent = true;
	}
	if (has_sent && vsock->device->is_running) {
		virtio_device_interrupt(vsock->device, QUEUE_RECEIVE);
	}
}

/* Those that wait for this guest's buffers look again. */
static void wake_senders(const struct vsock *vsock)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		if (all[slot] != NULL && all[slot]->is_passing &&
		    all[slot]->passing.dst_cid == vsock->params.cid) {
			virtio_device_poke(all[slot]->device);
		}
	}
}

static bool work(struct virtio_device *device)
{
	struct vsock *vsock = device->own;
	bool was_full = !vsock_host_has_room(&vsock->host);
	bool is_more;

	send_event(vsock);
	if (device->is_running) {
		send_host_packets(vsock);
	}
	is_more = device->is_running && work_sent(vsock);
	if (device->is_running) {
		send_host_packets(vsock);
		wake_senders(vsock);
	}
	/* What was refused for want of room is looked at again. */
	is_more |= was_full && vsock_host_has_room(&vsock->host);
	return is_more && device->is_running;
}

/* ---- the device ------------------------------------------------------------------------------------------- */

static void start(struct virtio_device *device)
{
	struct vsock *vsock = device->own;

	/* A driver that a former mgmt has served has connections that nobody knows any more. */
	vsock->must_tell_reset = device->page->own == device->generation;
	device->page->own = device->generation;
	vsock_host_clear(&vsock->host);
	vsock->is_passing = false;
}

static void stop(struct virtio_device *device)
{
	struct vsock *vsock = device->own;

	vsock_host_clear(&vsock->host);
	vsock->is_passing = false;
	wake_senders(vsock);
}

static void destroy(struct virtio_device *device)
{
	struct vsock *vsock = device->own;

	vsock_host_clear(&vsock->host);
	all[device->slot] = NULL;
	free(vsock);
}

static const struct virtio_operations operations = {
	.name = "vsock",
	.start = start,
	.work = work,
	.stop = stop,
	.is_idle = NULL,
	.destroy = destroy,
};

struct virtio_device *vsock_add(uint32_t slot, uint32_t idx, const struct vsock_params *params)
{
	const uint64_t cid = params->cid;
	struct virtio_offer offer = {
		.type = VIRTIO_TYPE_VSOCK,
		.queues_count = 3,
		.queue_size_max = QUEUE_SIZE,
		.config = &cid,
		.config_bytes = sizeof(cid),
	};
	struct vsock *vsock;

	if (by_cid(cid) != NULL || (vsock = calloc(1, sizeof(*vsock))) == NULL) {
		return NULL;
	}
	vsock->params = *params;
	vsock->host = (struct vsock_host){ .cid = cid,
		                           .counters = &vsock->counters,
		                           .describe = params->describe,
		                           .owner = params->owner };
	all[slot] = vsock;
	vsock->device = virtio_device_add(slot, idx, &operations, vsock, &offer);
	if (vsock->device == NULL) {
		all[slot] = NULL;
		free(vsock);
		return NULL;
	}
	return vsock->device;
}

void vsock_counters(const struct virtio_device *device, struct vsock_counters *counters,
                    uint32_t *connections)
{
	const struct vsock *vsock = device->own;

	*counters = vsock->counters;
	*connections = vsock_host_count(&vsock->host);
}

bool vsock_find(uint32_t cid, uint32_t *slot)
{
	const struct vsock *vsock = by_cid(cid);

	if (vsock != NULL) {
		*slot = vsock->device->slot;
	}
	return vsock != NULL;
}
