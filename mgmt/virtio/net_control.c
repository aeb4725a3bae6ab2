// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-net's control queue and the filter that it sets (virtio 1.2 5.1.6.5): which frames the
 * driver wants, its MAC address, its number of queue pairs.
 *
 * The state is copied into the device's page after each command, so a new mgmt goes on with it. The VMM may
 * write there too: what is read is checked, and can harm that guest alone.
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

static void keep(struct net *net)
{
	memcpy(net->device->page->kept, &net->state, sizeof(net->state));
}

/* What an earlier mgmt has kept of this driver. */
static bool take_kept(struct net *net)
{
	struct net_state kept;
	uint32_t pairs_max = (net->device->features & NET_F_MQ) != 0 ? net->params.pairs_count : 1;

	memcpy(&kept, net->device->page->kept, sizeof(kept));
	if (kept.is_valid != 1 || kept.generation != net->device->generation || kept.pairs == 0 ||
	    kept.pairs > pairs_max || kept.macs_count > NET_MACS_MAX) {
		return false;
	}
	net->state = kept;
	return true;
}

void net_state_begin(struct net *net)
{
	if (take_kept(net)) {
		return;
	}
	memset(&net->state, 0, sizeof(net->state));
	net->state.is_valid = 1;
	net->state.generation = net->device->generation;
	net->state.pairs = 1;
	/* Until the driver has said what it wants, it gets everything. */
	net->state.rx = 1u << RX_PROMISC;
	net->state.has_vlans = (net->device->features & NET_F_CTRL_VLAN) != 0;
	memcpy(net->state.mac, net->params.mac, sizeof(net->state.mac));
	keep(net);
}

static bool in_table(const struct net_state *state, const uint8_t *mac)
{
	uint32_t i;

	for (i = 0; i < state->macs_count; i++) {
		if (memcmp(state->macs[i], mac, 6) == 0) {
			return true;
		}
	}
	return false;
}

/* A tag of VLAN 0 is a priority only. */
static bool vlan_passes(const struct net_state *state, const uint8_t *head)
{
	uint32_t vlan = (head[14] & 0xfu) << 8 | head[15];

	return head[12] != 0x81 || head[13] != 0 || vlan == 0 ||
	       (state->vlans[vlan / 64] >> (vlan % 64) & 1) != 0;
}

static inline bool has(const struct net_state *state, uint32_t command)
{
	return (state->rx >> command & 1) != 0;
}

bool net_filter_passes(const struct net *net, const struct switch_frame *frame)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_state *state = &net->state;
	const uint8_t *mac = frame->head;

	if (has(state, RX_PROMISC)) {
		return true;
	}
	if (state->has_vlans != 0 && !vlan_passes(state, frame->head)) {
		return false;
	}
	if (memcmp(mac, broadcast, sizeof(broadcast)) == 0) {
		return !has(state, RX_NOBCAST);
	}
	if ((mac[0] & 1) != 0) {
		return !has(state, RX_NOMULTI) && (has(state, RX_ALLMULTI) || in_table(state, mac));
	}
	return !has(state, RX_NOUNI) &&
	       (has(state, RX_ALLUNI) || memcmp(mac, state->mac, 6) == 0 || in_table(state, mac));
}

static bool read_at(uint32_t offset, void *to, uint32_t bytes)
{
	return virtqueue_read(&chain, offset, to, bytes) == bytes;
}

static uint8_t set_rx(struct net_state *state, uint8_t command)
{
	uint8_t is_on;

	if (command >= RX_COMMANDS || !read_at(2, &is_on, 1)) {
		return ACK_ERR;
	}
	state->rx = (state->rx & ~(1u << command)) | (is_on != 0 ? 1u << command : 0);
	return ACK_OK;
}

/* Two tables, unicast and multicast: each a count and so many addresses. */
static uint8_t set_table(struct net_state *state)
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
				state->rx |= 1u << RX_ALLMULTI | 1u << RX_ALLUNI;
				offset += 6 * (entries - i);
				break;
			}
			if (!read_at(offset, state->macs[total], 6)) {
				return ACK_ERR;
			}
			total++;
		}
	}
	state->macs_count = total;
	return ACK_OK;
}

static uint8_t set_mac(struct net *net, uint8_t command)
{
	uint8_t mac[6];

	if (command == MAC_TABLE_SET) {
		return set_table(&net->state);
	}
	if (command != MAC_ADDR_SET || !read_at(2, mac, sizeof(mac)) || (mac[0] & 1) != 0) {
		return ACK_ERR;
	}
	memcpy(net->state.mac, mac, sizeof(mac));
	return ACK_OK;
}

static uint8_t set_vlan(struct net_state *state, uint8_t command)
{
	uint16_t vlan;

	if (command > VLAN_DEL || !read_at(2, &vlan, sizeof(vlan)) || vlan > 4095) {
		return ACK_ERR;
	}
	if (command == VLAN_ADD) {
		state->vlans[vlan / 64] |= 1ull << (vlan % 64);
	} else {
		state->vlans[vlan / 64] &= ~(1ull << (vlan % 64));
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
	net->state.pairs = pairs;
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
		return set_rx(&net->state, control.command);
	case CONTROL_MAC:
		return set_mac(net, control.command);
	case CONTROL_VLAN:
		return set_vlan(&net->state, control.command);
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
		keep(net);
		virtqueue_write(&chain, 0, &ack, 1);
		virtqueue_give(queue, &chain, 1);
	}
	if (virtio_device_check_queue(device, queue)) {
		return false;
	}
	virtio_device_interrupt(device, net->control_idx);
	return left == 0 || virtqueue_kicks_on(queue);
}
