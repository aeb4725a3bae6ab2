/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that a port is pinned to: what its owner may say it is. Pure. */
#pragma once

#include "mgmt/switch/frame.h"

#define SWITCH_PINS_MAX 4u

struct switch_pins {
	uint32_t count; /* 0 = not pinned */
	struct switch_prefix prefixes[SWITCH_PINS_MAX];
};

/* False if the frame of the port with this MAC address claims an IP address that is not the port's: as IPv4 or
 * IPv6 source, in ARP, or in neighbour discovery. The fields are those of frame_parse_ip(). */
bool switch_pins_allow(const struct switch_pins *pins, const uint8_t mac[6],
                       const struct switch_frame *frame, const struct frame_fields *fields);
