// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net of a machine that is a guest itself (virtio 1.2, 5.1): one pair of queues, no offloads,
 * every frame in buffers of ours behind its header. Long frames take several: as a chain on the way out,
 * as mergeable buffers on the way in. Without a receive-mode queue the device passes all frames, as an uplink wants.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/nic.h"
#include "drivers/virtio.h"

#define DEVICE_TYPE    1u
#define RX_QUEUE       0u
#define TX_QUEUE       1u
#define BUFFERS        VIRTIO_QUEUE_MAX
#define BUFFER_BYTES   NIC_PIECE_BYTES
#define NO_BUFFER      0xffffu
#define HEADER_BYTES   12u /* 5.1.6, with VERSION_1 */
#define HEADER_BUFFERS 10u /* of the frame, with MRG_RXBUF */

#define F_MTU          (1ull << 3)
#define F_MAC          (1ull << 5)
#define F_MRG_RXBUF    (1ull << 15)
#define F_STATUS       (1ull << 16)
#define CONFIG_STATUS  6u
#define CONFIG_MTU     10u
#define STATUS_LINK    1u

#define POLL_MS        1000u
#define QUICK_MS       2u
#define STUCK_MS       5000u

struct virtio_net {
	struct nic nic;
	struct virtio virtio;
	struct virtio_queue rx, tx;
	uint8_t *rx_buffers, *tx_buffers;
	uint64_t rx_physical, tx_physical;
	uint16_t rx_buffer_of[BUFFERS]; /* by the head that the queue gave */
	uint16_t tx_buffer_of[BUFFERS];
	uint16_t tx_next[BUFFERS]; /* of the same frame, or NO_BUFFER */
	uint16_t tx_free[BUFFERS];
	uint32_t tx_free_count;
	/* The frame that is coming in: what there is of it, and how many buffers it has. */
	struct nic_piece rx_pieces[NIC_PIECES_MAX];
	uint16_t rx_held[NIC_PIECES_MAX];
	uint32_t rx_count, rx_wanted;
	uint64_t tx_moved_tsc;
	bool is_known;
};

static bool virtio_net_matches(const struct pci_function *pci)
{
	return pci->vendor_id == VIRTIO_VENDOR &&
	       (pci->device_id == VIRTIO_DEVICE + DEVICE_TYPE || pci->device_id == 0x1000);
}

static void give_rx(struct virtio_net *net, uint16_t buffer)
{
	const struct virtio_piece piece = {
		.physical = net->rx_physical + (uint64_t)buffer * BUFFER_BYTES,
		.bytes = BUFFER_BYTES,
		.is_written = true,
	};
	int head = virtio_queue_put(&net->rx, &piece, 1);

	if (head >= 0) {
		net->rx_buffer_of[head] = buffer;
	}
}

static void read_link(struct device *device, struct virtio_net *net)
{
	bool is_up = (net->virtio.features & F_STATUS) == 0 ||
	             (virtio_config_read32(&net->virtio, 4) >> 16 & STATUS_LINK) != 0;

	if (is_up != net->nic.is_link_up) {
		net->nic.is_link_up = is_up;
		driver_say(device, "link is %s", is_up ? "up" : "down");
		if (net->is_known) {
			driver_nic_link(&net->nic);
		}
	}
}

/* From reset to running; false if it failed. */
static bool begin(struct device *device, struct virtio_net *net)
{
	uint16_t i;

	if (!virtio_begin(&net->virtio, F_MAC | F_STATUS | F_MRG_RXBUF | F_MTU) ||
	    !virtio_queue_begin(&net->virtio, &net->rx, RX_QUEUE, BUFFERS) ||
	    !virtio_queue_begin(&net->virtio, &net->tx, TX_QUEUE, BUFFERS)) {
		return false;
	}
	net->tx_free_count = 0;
	net->rx_count = 0;
	net->rx_wanted = 0;
	for (i = 0; i < net->tx.size; i++) {
		net->tx_free[net->tx_free_count++] = i;
	}
	for (i = 0; i < net->rx.size; i++) {
		give_rx(net, i);
	}
	virtio_end_setup(&net->virtio);
	virtio_queue_kick(&net->rx);
	device->state = DEVICE_RUNNING;
	return true;
}

static void read_mac(struct virtio_net *net)
{
	uint32_t low = virtio_config_read32(&net->virtio, 0);
	uint32_t high = virtio_config_read32(&net->virtio, 4);
	uint32_t i;

	if ((net->virtio.features & F_MAC) == 0) {
		low = 0x02u | (uint32_t)net->virtio.device->pci->bdf << 8;
		high = 0x4242u;
	}
	for (i = 0; i < 6; i++) {
		net->nic.mac[i] = (uint8_t)(i < 4 ? low >> (8 * i) : high >> (8 * (i - 4)));
	}
}

/* What the device can take, by the features. */
static void read_limit(struct virtio_net *net)
{
	uint32_t limit = (net->virtio.features & F_MRG_RXBUF) != 0 ? NIC_FRAME_JUMBO
	                                                           : NIC_FRAME_MAX;

	if ((net->virtio.features & F_MTU) != 0) {
		uint32_t mtu = virtio_config_read32(&net->virtio, CONFIG_MTU - 2) >> 16;

		limit = mtu + NIC_HEADER_BYTES < limit ? mtu + NIC_HEADER_BYTES : limit;
	}
	net->nic.frame_limit = limit;
	net->nic.frame_max = net->nic.frame_max < limit ? net->nic.frame_max : limit;
}

/* All of a frame has come. */
static void take_frame(struct virtio_net *net)
{
	struct nic *nic = &net->nic;
	uint32_t bytes = 0;
	uint32_t i;

	for (i = 0; i < net->rx_count && i < NIC_PIECES_MAX; i++) {
		bytes += net->rx_pieces[i].bytes;
	}
	if (net->rx_count > NIC_PIECES_MAX || bytes > nic->frame_max) {
		nic->too_long_count++;
	} else if (bytes < 14) {
		nic->errors_count++;
	} else {
		nic->received_count++;
		nic->received_bytes += bytes;
		if (nic->receive != NULL) {
			nic->receive(nic->user, net->rx_pieces, net->rx_count);
		}
	}
	for (i = 0; i < net->rx_count && i < NIC_PIECES_MAX; i++) {
		give_rx(net, net->rx_held[i]);
	}
	net->rx_count = 0;
}

/* One buffer, of which the device has written so much. */
static void take_buffer(struct virtio_net *net, uint16_t buffer, uint32_t bytes)
{
	uint8_t *at = net->rx_buffers + (uint32_t)buffer * BUFFER_BYTES;
	uint32_t skip = net->rx_count == 0 ? HEADER_BYTES : 0;
	uint16_t count = 1;

	if (net->rx_count == 0) {
		if (bytes >= HEADER_BYTES && (net->virtio.features & F_MRG_RXBUF) != 0) {
			memcpy(&count, at + HEADER_BUFFERS, sizeof(count));
		}
		net->rx_wanted = count == 0 ? 1 : count;
	}
	bytes = bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES;
	if (net->rx_count < NIC_PIECES_MAX) {
		net->rx_held[net->rx_count] = buffer;
		net->rx_pieces[net->rx_count].address = at + skip;
		net->rx_pieces[net->rx_count].bytes = bytes > skip ? bytes - skip : 0;
	} else {
		give_rx(net, buffer);
	}
	if (++net->rx_count >= net->rx_wanted) {
		take_frame(net);
	}
}

static void receive(struct virtio_net *net)
{
	uint32_t left = 2 * BUFFERS;
	uint32_t bytes;
	int head;

	while (left-- != 0 && (head = virtio_queue_take(&net->rx, &bytes)) >= 0) {
		take_buffer(net, net->rx_buffer_of[head], bytes);
	}
	virtio_queue_kick(&net->rx);
}

static void reclaim(struct virtio_net *net)
{
	uint32_t bytes;
	int head;

	while ((head = virtio_queue_take(&net->tx, &bytes)) >= 0) {
		uint16_t buffer = net->tx_buffer_of[head];

		while (buffer != NO_BUFFER && net->tx_free_count < BUFFERS) {
			net->tx_free[net->tx_free_count++] = buffer;
			buffer = net->tx_next[buffer];
		}
		net->tx_buffer_of[head] = NO_BUFFER;
		net->tx_moved_tsc = driver_now_tsc();
	}
}

static uint32_t pieces_for(uint32_t bytes)
{
	return (bytes + HEADER_BYTES + BUFFER_BYTES - 1) / BUFFER_BYTES;
}

/* The buffer that piece i of the next frame goes into. */
static uint16_t next_buffer(const struct virtio_net *net, uint32_t i)
{
	return net->tx_free[net->tx_free_count - 1 - i];
}

static uint32_t virtio_net_reserve(struct nic *nic, uint32_t bytes, struct nic_piece *pieces)
{
	struct virtio_net *net = (struct virtio_net *)nic;
	uint32_t count = pieces_for(bytes);
	uint32_t i;

	if (nic->device->state != DEVICE_RUNNING || !nic->is_link_up) {
		return 0;
	}
	if (net->tx_free_count < count) {
		reclaim(net);
	}
	if (net->tx_free_count < count) {
		return 0;
	}
	for (i = 0; i < count; i++) {
		uint32_t skip = i == 0 ? HEADER_BYTES : 0;
		uint32_t room = BUFFER_BYTES - skip;

		pieces[i].address = net->tx_buffers + (uint32_t)next_buffer(net, i) * BUFFER_BYTES +
		                    skip;
		pieces[i].bytes = bytes < room ? bytes : room;
		bytes -= pieces[i].bytes;
	}
	return count;
}

static void virtio_net_commit(struct nic *nic, uint32_t bytes)
{
	struct virtio_net *net = (struct virtio_net *)nic;
	uint32_t count = pieces_for(bytes);
	uint32_t left = bytes + HEADER_BYTES;
	uint16_t first = next_buffer(net, 0);
	struct virtio_piece pieces[NIC_PIECES_MAX];
	uint32_t i;
	int head;

	memset(net->tx_buffers + (uint32_t)first * BUFFER_BYTES, 0, HEADER_BYTES);
	for (i = 0; i < count; i++) {
		uint16_t buffer = next_buffer(net, i);

		pieces[i] = (struct virtio_piece){
			.physical = net->tx_physical + (uint64_t)buffer * BUFFER_BYTES,
			.bytes = left < BUFFER_BYTES ? left : BUFFER_BYTES,
		};
		left -= pieces[i].bytes;
		net->tx_next[buffer] = i + 1 < count ? next_buffer(net, i + 1) : NO_BUFFER;
	}
	if (net->tx_free_count == net->tx.size) {
		net->tx_moved_tsc = driver_now_tsc();
	}
	head = virtio_queue_put(&net->tx, pieces, count);
	if (head < 0) {
		nic->dropped_count++;
		return;
	}
	net->tx_buffer_of[head] = first;
	net->tx_free_count -= count;
	nic->sent_count++;
	nic->sent_bytes += bytes;
}

static void virtio_net_flush(struct nic *nic)
{
	virtio_queue_kick(&((struct virtio_net *)nic)->tx);
}

static void virtio_net_set_frame_max(struct nic *nic, uint32_t bytes)
{
	nic->frame_max = bytes;
}

static void virtio_net_service(struct device *device)
{
	struct virtio_net *net = device->own;

	virtio_read_isr(&net->virtio);
	read_link(device, net);
	reclaim(net);
	if (virtio_needs_reset(&net->virtio) ||
	    (net->tx_free_count < net->tx.size && net->nic.is_link_up &&
	     driver_now_tsc() - net->tx_moved_tsc > driver_ms_to_tsc(STUCK_MS))) {
		device->resets_count++;
		driver_say(device, "does not answer any more: it is reset");
		if (!begin(device, net)) {
			net->nic.is_link_up = false;
			driver_nic_link(&net->nic);
			return;
		}
	}
	receive(net);
	device->deadline_tsc = driver_now_tsc() +
	                       driver_ms_to_tsc(device->has_interrupt ? POLL_MS : QUICK_MS);
}

static void virtio_net_start(struct device *device)
{
	struct virtio_net *net = driver_allocate(sizeof(*net));

	if (net == NULL) {
		driver_fail(device, "no memory");
		return;
	}
	device->own = net;
	snprintf(device->about, sizeof(device->about), "virtio network");
	net->nic.device = device;
	net->nic.reserve = virtio_net_reserve;
	net->nic.commit = virtio_net_commit;
	net->nic.flush = virtio_net_flush;
	net->nic.set_frame_max = virtio_net_set_frame_max;
	net->nic.frame_max = NIC_FRAME_MAX;
	net->rx_buffers = driver_dma(device, BUFFERS * BUFFER_BYTES, &net->rx_physical);
	net->tx_buffers = driver_dma(device, BUFFERS * BUFFER_BYTES, &net->tx_physical);
	if (net->rx_buffers == NULL || net->tx_buffers == NULL) {
		driver_fail(device, "no memory");
		return;
	}
	if (!virtio_find(&net->virtio, device) || !virtio_queue_allocate(&net->virtio, &net->rx) ||
	    !virtio_queue_allocate(&net->virtio, &net->tx) || !begin(device, net)) {
		return;
	}
	read_mac(net);
	read_limit(net);
	read_link(device, net);
	net->is_known = true;
	driver_nic_ready(&net->nic);
	virtio_net_service(device);
}

const struct driver driver_virtio_net = {
	.name = "virtio-net",
	.dma_bytes = 2 * BUFFERS * BUFFER_BYTES + 2 * VIRTIO_QUEUE_DMA,
	.matches = virtio_net_matches,
	.start = virtio_net_start,
	.service = virtio_net_service,
};
