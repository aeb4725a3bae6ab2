/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of virtio-vsock (virtio 1.2 5.10): connections of one guest to the services of mgmt, CID 2. A pure
 * state machine over packets: what comes in changes it, what it has to say is fetched packet by packet. Nothing that
 * the guest does makes it hold more than VSOCK_CONNECTIONS_MAX connections and VSOCK_RESETS_MAX refusals.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VSOCK_CID_HOST        2u
#define VSOCK_CID_FIRST       3u /* of guests */
#define VSOCK_CID_LAST        0xfffffffeu
#define VSOCK_CONNECTIONS_MAX 8u /* of one guest */
#define VSOCK_RESETS_MAX      32u
#define VSOCK_BUFFER_BYTES    4096u /* each way, of a connection */

/* Services, by port. */
#define VSOCK_PORT_ECHO   7u
#define VSOCK_PORT_INFO   1000u /* a text about the guest, as mgmt sees it */

#define VSOCK_TYPE_STREAM 1u

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};

#define VSOCK_SHUTDOWN_RECEIVE 1u
#define VSOCK_SHUTDOWN_SEND    2u
#define VSOCK_SHUTDOWN_BOTH    3u

/* virtio 1.2 5.10.6 */
struct vsock_header {
	uint64_t src_cid;
	uint64_t dst_cid;
	uint32_t src_port;
	uint32_t dst_port;
	uint32_t len;
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t buf_alloc;
	uint32_t fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct vsock_header) == 44, "virtio 1.2 5.10.6");

struct vsock_counters {
	uint64_t packets_in, packets_out;
	uint64_t bytes_in, bytes_out;
	uint64_t connects;
	uint64_t resets; /* that were sent */
	uint64_t forged; /* packets with another's address, dropped */
};

struct vsock_connection;

struct vsock_host {
	uint64_t cid; /* of the guest */
	struct vsock_connection *connections[VSOCK_CONNECTIONS_MAX];
	struct vsock_header resets[VSOCK_RESETS_MAX]; /* the packets that are refused */
	uint32_t resets_count;
	struct vsock_counters *counters;
	/* The text of VSOCK_PORT_INFO; returns its length. */
	size_t (*describe)(void *owner, char *text, size_t size);
	void *owner;
};

/* True if one more packet can be received without losing a refusal. */
bool vsock_host_has_room(const struct vsock_host *host);

/* A packet of the guest, with src_cid checked; payload holds header->len bytes, or is NULL if that is more than
 * VSOCK_BUFFER_BYTES. */
void vsock_host_receive(struct vsock_host *host, const struct vsock_header *header,
                        const uint8_t *payload);

/* Answers a packet with a reset, unless it is one. */
void vsock_host_refuse(struct vsock_host *host, const struct vsock_header *header);

/* The next packet for the guest, with at most room bytes of payload. False if there is nothing to say. */
bool vsock_host_send(struct vsock_host *host, struct vsock_header *header, uint8_t *payload,
                     uint32_t room);
/* Is there a next packet? */
bool vsock_host_has_more(const struct vsock_host *host);

/* Ends all connections without a word. */
void vsock_host_clear(struct vsock_host *host);
uint32_t vsock_host_count(const struct vsock_host *host);
