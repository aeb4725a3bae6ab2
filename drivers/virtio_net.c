// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net of a machine that is a guest itself (virtio 1.2, 5.1): one pair of queues, no offloads,
 * every frame in a buffer of ours behind its header. Without a receive-mode queue the device passes
 * all frames, as an uplink wants.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/nic.h"
#include "drivers/virtio.h"

#define DEVICE_TYPE   1u
#define RX_QUEUE      0u
#define TX_QUEUE      1u
#define BUFFERS       VIRTIO_QUEUE_MAX
#define BUFFER_BYTES  2048u
#define HEADER_BYTES  12u /* 5.1.6, with VERSION_1 */

#define F_MAC         (1ull << 5)
#define F_STATUS      (1ull << 16)
#define CONFIG_STATUS 6u
#define STATUS_LINK   1u

#define POLL_MS       1000u
#define QUICK_MS      2u
#define STUCK_MS      5000u

struct virtio_net {
	struct nic nic;
	struct virtio virtio;
	struct virtio_queue rx, tx;
	uint8_t *rx_buffers, *tx_buffers;
	uint64_t rx_physical, tx_physical;
	uint16_t rx_buffer_of[BUFFERS]; /* by the head that the queue gave */
	uint16_t tx_buffer_of[BUFFERS];
	uint16_t tx_free[BUFFERS];
	uint32_t tx_free_count;
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

	if (!virtio_begin(&net->virtio, F_MAC | F_STATUS) ||
	    !virtio_queue_begin(&net->virtio, &net->rx, RX_QUEUE, BUFFERS) ||
	    !virtio_queue_begin(&net->virtio, &net->tx, TX_QUEUE, BUFFERS)) {
		return false;
	}
	net->tx_free_count = 0;
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

static void receive(struct virtio_net *net)
{
	uint32_t left = 2 * BUFFERS;
	uint32_t bytes;
	int head;

	while (left-- != 0 && (head = virtio_queue_take(&net->rx, &bytes)) >= 0) {
		uint16_t buffer = net->rx_buffer_of[head];
		const uint8_t *at = net->rx_buffers + (uint32_t)buffer * BUFFER_BYTES;

		if (bytes < HEADER_BYTES + 14 || bytes > HEADER_BYTES + NIC_FRAME_MAX) {
			net->nic.errors_count++;
		} else {
			net->nic.received_count++;
			net->nic.received_bytes += bytes - HEADER_BYTES;
			if (net->nic.receive != NULL) {
				net->nic.receive(net->nic.user, at + HEADER_BYTES,
				                 bytes - HEADER_BYTES);
			}
		}
		give_rx(net, buffer);
	}
	virtio_queue_kick(&net->rx);
}

static void reclaim(struct virtio_net *net)
{
	uint32_t bytes;
	int head;

	while ((head = virtio_queue_take(&net->tx, &bytes)) >= 0 && net->tx_free_count < BUFFERS) {
		net->tx_free[net->tx_free_count++] = net->tx_buffer_of[head];
		net->tx_moved_tsc = driver_now_tsc();
	}
}

static uint8_t *virtio_net_reserve(struct nic *nic)
{
	struct virtio_net *net = (struct virtio_net *)nic;

	if (nic->device->state != DEVICE_RUNNING || !nic->is_link_up) {
		return NULL;
	}
	if (net->tx_free_count == 0) {
		reclaim(net);
	}
	if (net->tx_free_count == 0) {
		return NULL;
	}
	return net->tx_buffers + (uint32_t)net->tx_free[net->tx_free_count - 1] * BUFFER_BYTES +
	       HEADER_BYTES;
}

static void virtio_net_commit(struct nic *nic, uint32_t bytes)
{
	struct virtio_net *net = (struct virtio_net *)nic;
	uint16_t buffer = net->tx_free[net->tx_free_count - 1];
	const struct virtio_piece piece = {
		.physical = net->tx_physical + (uint64_t)buffer * BUFFER_BYTES,
		.bytes = bytes + HEADER_BYTES,
	};
	int head;

	memset(net->tx_buffers + (uint32_t)buffer * BUFFER_BYTES, 0, HEADER_BYTES);
	if (net->tx_free_count == net->tx.size) {
		net->tx_moved_tsc = driver_now_tsc();
	}
	head = virtio_queue_put(&net->tx, &piece, 1);
	if (head < 0) {
		nic->dropped_count++;
		return;
	}
	net->tx_buffer_of[head] = buffer;
	net->tx_free_count--;
	nic->sent_count++;
	nic->sent_bytes += bytes;
}

static void virtio_net_flush(struct nic *nic)
{
	virtio_queue_kick(&((struct virtio_net *)nic)->tx);
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
