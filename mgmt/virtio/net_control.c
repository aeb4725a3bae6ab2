// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net's control queue and the filter that it sets (virtio 1.2 5.1.6.5): which frames the
 * driver wants, its MAC address, its number of queue pairs.
 *
 * The state is lost when mgmt is started again: then everything passes, and the driver's stack drops
 * what is not for it.
 */
#include <string.h>

#include "mgmt/virtio/net_internal.h"

#define CONTROL_TURN 16u

enum control_class {
	CONTROL_RX = 0,
	CONTROL_MAC = 1,
	CONTROL_VLAN = 2,
	CONTROL_MQ = 4,
};

#define RX_PROMISC    0u
#define RX_ALLMULTI   1u
#define RX_ALLUNI     2u
#define RX_NOMULTI    3u
#define RX_NOUNI      4u
#define RX_NOBCAST    5u

#define MAC_TABLE_SET 0u
#define MAC_ADDR_SET  1u

#define VLAN_ADD      0u
#define VLAN_DEL      1u

#define MQ_PAIRS_SET  0u

#define ACK_OK        0u
#define ACK_ERR       1u

struct control {
	uint8_t class;
	uint8_t command;
};

static struct virtqueue_chain chain;

void net_filter_reset(struct net *net)
{
	memset(&net->filter, 0, sizeof(net->filter));
	memcpy(net->filter.mac, net->params.mac, sizeof(net->filter.mac));
	/* Until the driver has said what it wants, it gets everything. */
	net->filter.is_promiscuous = true;
}

static bool in_table(const struct net_filter *filter, const uint8_t *mac)
{
	uint32_t i;

	for (i = 0; i < filter->macs_count; i++) {
		if (memcmp(filter->macs[i], mac, 6) == 0) {
			return true;
		}
	}
	return false;
}

bool net_filter_passes(const struct net *net, const struct switch_frame *frame)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_filter *filter = &net->filter;
	const uint8_t *mac = frame->head;

	if (filter->is_promiscuous) {
		return true;
	}
	if (memcmp(mac, broadcast, sizeof(broadcast)) == 0) {
		return !filter->takes_no_broadcast;
	}
	if ((mac[0] & 1) != 0) {
		return !filter->takes_no_multicast &&
		       (filter->takes_all_multicast || in_table(filter, mac));
	}
	return !filter->takes_no_unicast &&
	       (filter->takes_all_unicast || memcmp(mac, filter->mac, 6) == 0 ||
	        in_table(filter, mac));
}

static bool read_at(uint32_t offset, void *to, uint32_t bytes)
{
	return virtqueue_read(&chain, offset, to, bytes) == bytes;
}

static uint8_t set_rx(struct net_filter *filter, uint8_t command)
{
	bool *const fields[] = {
		[RX_PROMISC] = &filter->is_promiscuous,
		[RX_ALLMULTI] = &filter->takes_all_multicast,
		[RX_ALLUNI] = &filter->takes_all_unicast,
		[RX_NOMULTI] = &filter->takes_no_multicast,
		[RX_NOUNI] = &filter->takes_no_unicast,
		[RX_NOBCAST] = &filter->takes_no_broadcast,
	};
	uint8_t is_on;

	if (command >= sizeof(fields) / sizeof(fields[0]) || !read_at(2, &is_on, 1)) {
		return ACK_ERR;
	}
	*fields[command] = is_on != 0;
	return ACK_OK;
}

/* Two tables, unicast and multicast: each a count and so many addresses. */
static uint8_t set_table(struct net_filter *filter)
{
	uint32_t offset = 2;
	uint32_t total = 0;
	uint32_t table;

	for (table = 0; table < 2; table++) {
		uint32_t entries;
		uint32_t i;

		if (!read_at(offset, &entries, sizeof(entries)) ||
		    entries > (chain.out_bytes - offset - 4) / 6) {
			return ACK_ERR;
		}
		offset += 4;
		for (i = 0; i < entries; i++, offset += 6) {
			if (total == NET_MACS_MAX) {
				filter->takes_all_multicast = true;
				filter->takes_all_unicast = true;
				offset += 6 * (entries - i);
				break;
			}
			if (!read_at(offset, filter->macs[total], 6)) {
				return ACK_ERR;
			}
			total++;
		}
	}
	filter->macs_count = total;
	return ACK_OK;
}

static uint8_t set_mac(struct net *net, uint8_t command)
{
	uint8_t mac[6];

	if (command == MAC_TABLE_SET) {
		return set_table(&net->filter);
	}
	if (command != MAC_ADDR_SET || !read_at(2, mac, sizeof(mac)) || (mac[0] & 1) != 0) {
		return ACK_ERR;
	}
	memcpy(net->filter.mac, mac, sizeof(mac));
	return ACK_OK;
}

static uint8_t set_vlan(struct net_filter *filter, uint8_t command)
{
	uint16_t vlan;

	if (command > VLAN_DEL || !read_at(2, &vlan, sizeof(vlan)) || vlan > 4095) {
		return ACK_ERR;
	}
	if (command == VLAN_ADD) {
		filter->vlans[vlan / 64] |= 1ull << (vlan % 64);
	} else {
		filter->vlans[vlan / 64] &= ~(1ull << (vlan % 64));
	}
	return ACK_OK;
}

static uint8_t set_pairs(struct net *net, uint8_t command)
{
	uint16_t pairs;

	if (command != MQ_PAIRS_SET || (net->device->features & NET_F_MQ) == 0 ||
	    !read_at(2, &pairs, sizeof(pairs)) || pairs == 0 || pairs > net->params.pairs_count) {
		return ACK_ERR;
	}
	net->pairs = pairs;
	return ACK_OK;
}

static uint8_t run(struct net *net)
{
	struct control control;

	if (!read_at(0, &control, sizeof(control))) {
		return ACK_ERR;
	}
	switch (control.class) {
	case CONTROL_RX:
		return set_rx(&net->filter, control.command);
	case CONTROL_MAC:
		return set_mac(net, control.command);
	case CONTROL_VLAN:
		return set_vlan(&net->filter, control.command);
	case CONTROL_MQ:
		return set_pairs(net, control.command);
	default:
		return ACK_ERR;
	}
}

bool net_control_work(struct net *net)
{
	struct virtio_device *device = net->device;
	struct virtqueue *queue;
	uint32_t left = CONTROL_TURN;

	if (net->control_idx >= device->queues_count ||
	    device->queues[net->control_idx].size == 0) {
		return false;
	}
	queue = &device->queues[net->control_idx];
	virtqueue_kicks_off(queue);
	for (; left > 0 && virtqueue_take(queue, &chain); left--) {
		uint8_t ack;

		if (chain.out_bytes < sizeof(struct control) || chain.in_bytes < 1) {
			virtio_device_break(device, "a control command without head or answer");
			return false;
		}
		ack = run(net);
		virtqueue_write(&chain, 0, &ack, 1);
		virtqueue_give(queue, &chain, 1);
	}
	if (virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, net->control_idx);
	return left == 0 || virtqueue_kicks_on(queue);
}
