/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's network interface, between its driver and the switch's uplink.
 *
 * Frames go out through buffers of the device's: reserve() gives them, commit() sends what was written there,
 * flush() tells the device of all that were committed. Frames come in by receive(), from service(). A
 * frame begins with the Ethernet header and has no FCS. A long one lies in several pieces.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NIC_HEADER_BYTES 18u   /* of Ethernet, with a VLAN tag */
#define NIC_FRAME_MAX    1518u /* until set_frame_max() */
#define NIC_FRAME_JUMBO  9018u /* the longest that an uplink asks for */
#define NIC_PIECE_BYTES  2048u
#define NIC_PIECES_MAX   5u /* of a frame of NIC_FRAME_JUMBO, and a driver's header */

struct device;

struct nic_piece {
	uint8_t *address;
	uint32_t bytes;
};

struct nic {
	struct device *device;
	uint8_t mac[6];
	bool is_link_up;
	uint32_t link_mbps; /* 0: not known */
	uint64_t received_count, received_bytes;
	uint64_t sent_count, sent_bytes;
	uint64_t dropped_count; /* no room to send, or the device had no buffer */
	uint64_t too_long_count;
	uint64_t errors_count;
	uint32_t frame_limit; /* what set_frame_max() takes at most: the device's */
	uint32_t frame_max;   /* the longest frame that goes either way now */
	/* The driver's. reserve() takes 1 to frame_max bytes and gives the pieces that the frame goes into, which hold just so many,
	 * or 0 when there is no room; commit() sends them, and takes the same number. */
	uint32_t (*reserve)(struct nic *nic, uint32_t bytes, struct nic_piece *pieces);
	void (*commit)(struct nic *nic, uint32_t bytes);
	void (*flush)(struct nic *nic);
	void (*set_frame_max)(struct nic *nic, uint32_t bytes);
	/* the user's; the pieces are the device's again afterwards */
	void (*receive)(void *user, const struct nic_piece *pieces, uint32_t count);
	void *user;
};
