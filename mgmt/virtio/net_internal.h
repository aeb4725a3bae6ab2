/* SPDX-License-Identifier: Apache-2.0 */
/* What net.c and net_control.c share: records of virtio 1.2 5.1, and the interface's own. */
#pragma once

#include "mgmt/virtio/net.h"

#define NET_F_CSUM          (1ull << 0)
#define NET_F_GUEST_CSUM    (1ull << 1)
#define NET_F_MTU           (1ull << 3)
#define NET_F_MAC           (1ull << 5)
#define NET_F_GUEST_TSO4    (1ull << 7)
#define NET_F_GUEST_TSO6    (1ull << 8)
#define NET_F_GUEST_ECN     (1ull << 9)
#define NET_F_HOST_TSO4     (1ull << 11)
#define NET_F_HOST_TSO6     (1ull << 12)
#define NET_F_HOST_ECN      (1ull << 13)
#define NET_F_MRG_RXBUF     (1ull << 15)
#define NET_F_STATUS        (1ull << 16)
#define NET_F_CTRL_VQ       (1ull << 17)
#define NET_F_CTRL_RX       (1ull << 18)
#define NET_F_CTRL_VLAN     (1ull << 19)
#define NET_F_MQ            (1ull << 22)
#define NET_F_CTRL_MAC_ADDR (1ull << 23)

#define NET_STATUS_LINK_UP  1u
#define NET_HDR_NEEDS_CSUM  1u
#define NET_HEADER_BYTES    12u

struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};
_Static_assert(sizeof(struct net_header) == NET_HEADER_BYTES, "virtio 1.2 5.1.6");

struct net_config {
	uint8_t mac[6];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
};
_Static_assert(sizeof(struct net_config) == 12, "virtio 1.2 5.1.4");

#define NET_MACS_MAX 32u
#define NET_FLOWS    256u

/* What the driver wants to receive (5.1.6.5.1): bits by the number of the command that sets them. */
#define RX_PROMISC  0u
#define RX_ALLMULTI 1u
#define RX_ALLUNI   2u
#define RX_NOMULTI  3u
#define RX_NOUNI    4u
#define RX_NOBCAST  5u
#define RX_COMMANDS 6u

/* What a driver has told by the control queue. Kept in the device's page for mgmt's next life, which checks it. */
struct net_state {
	uint32_t is_valid;
	uint32_t generation; /* of the driver that told it */
	uint32_t pairs;      /* in use */
	uint32_t rx;         /* 1 << RX_* */
	uint32_t macs_count; /* more than there is room for: all pass */
	uint32_t has_vlans;  /* tags that are not in `vlans` do not pass */
	uint8_t mac[6];
	uint8_t macs[NET_MACS_MAX][6];
	uint64_t vlans[64]; /* bit a VLAN */
};
_Static_assert(sizeof(struct net_state) <= VIO_KEPT_BYTES, "it lies in the device's page");

#define NET_GIVEN_MAX 32u

/* Received buffers that are filled and not yet given back: at the end of the turn all at once. */
struct net_given {
	uint32_t count;
	struct virtqueue_done done[NET_GIVEN_MAX];
};

struct net {
	struct net_params params;
	struct virtio_device *device;
	struct switch_port *port;
	uint32_t control_idx;
	struct net_state state;
	uint8_t flows
		[NET_FLOWS]; /* by hash: 1 + the pair that the flow was last sent on; 0 = none */
	struct net_given given[NET_PAIRS_MAX];
};

/* net_control.c */

/* The state of a driver that has told nothing, or what it told an earlier mgmt. The device is running. */
void net_state_begin(struct net *net);
bool net_filter_passes(const struct net *net, const struct switch_frame *frame);

/* The control queue's turn; true if there is more to do. */
bool net_control_work(struct net *net);
