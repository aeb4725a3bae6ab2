/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net (virtio 1.2 5.1): a guest's network interface on a port of a switch. */
#pragma once

#include "mgmt/switch/pin.h"
#include "mgmt/switch/switch.h"
#include "mgmt/virtio/backend.h"

#define NET_PAIRS_MAX 8u

struct net_params {
	char switch_name[SWITCH_NAME_SIZE];
	char port_name[SWITCH_NAME_SIZE];
	uint8_t mac[6];
	bool is_trunk;
	bool is_pinned;
	bool is_isolated;
	bool is_mirror;
	uint16_t vlan;
	uint32_t rate_kbit;
	uint32_t pairs_count; /* queue pairs */
	uint32_t ips_count;   /* addresses that the port is pinned to */
	struct switch_prefix ips[SWITCH_PINS_MAX];
};

/* Offers the interface as device `idx` of the guest; NULL if there is no memory or no port. */
struct virtio_device *net_add(uint32_t slot, uint32_t idx, const struct net_params *params);

/* The interface's port, for the verbs; NULL if the device is another. */
struct switch_port *net_port(const struct virtio_device *device);
