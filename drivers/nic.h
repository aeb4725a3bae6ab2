/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's network interface, between its driver and the switch's uplink.
 *
 * Frames go out through a buffer of the device's: reserve() gives one, commit() sends it, flush()
 * tells the device of all that were committed. Frames come in by receive(), from service(). A
 * frame begins with the Ethernet header and has no FCS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NIC_FRAME_MAX 1518u /* with a VLAN tag */

struct device;

struct nic {
	struct device *device;
	uint8_t mac[6];
	bool is_link_up;
	uint32_t link_mbps; /* 0: not known */
	uint64_t received_count, received_bytes;
	uint64_t sent_count, sent_bytes;
	uint64_t dropped_count; /* no room to send, or the device had no buffer */
	uint64_t errors_count;
	/* the driver's; reserve() gives NULL when there is no room */
	uint8_t *(*reserve)(struct nic *nic);
	void (*commit)(struct nic *nic, uint32_t bytes);
	void (*flush)(struct nic *nic);
	/* the user's */
	void (*receive)(void *user, const uint8_t *frame, uint32_t bytes);
	void *user;
};
