// SPDX-License-Identifier: Apache-2.0
/*
 * Connections to mgmt's services (see vsock_host.h). Credit both ways (virtio 1.2 5.10.6.3): the guest may send what our
 * buffer has room for, and loses its connection if it sends more; we send no more than it has said that it has room for.
 */
#include "mgmt/virtio/vsock_host.h"

#include <stdlib.h>
#include <string.h>

/* What is to be said of a connection, in this order. */
#define SAY_RESPONSE 0x1u
#define SAY_CREDIT   0x2u
#define SAY_ASK      0x4u /* that we wait for credit */
#define SAY_SHUTDOWN 0x8u
#define SAY_RESET    0x10u

struct ring {
	uint32_t head, tail; /* free-running */
	uint8_t bytes[VSOCK_BUFFER_BYTES];
};

struct vsock_connection {
	uint32_t guest_port, host_port;
	uint32_t say;
	bool is_ending;     /* nothing more will be put into out */
	bool is_shut;       /* our SHUTDOWN has been said */
	bool has_asked;     /* for credit; until some comes */
	uint32_t peer_shut; /* VSOCK_SHUTDOWN_* */
	uint32_t peer_alloc, peer_forwarded;
	uint32_t sent;           /* bytes ever, modulo 2^32 */
	uint32_t forwarded;      /* bytes that the service has taken */
	uint32_t forwarded_told; /* and what the guest knows of it */
	struct ring in, out;
};

static uint32_t used(const struct ring *ring)
{
	return ring->head - ring->tail;
}

static void put(struct ring *ring, const uint8_t *bytes, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		ring->bytes[ring->head++ % VSOCK_BUFFER_BYTES] = bytes[i];
	}
}

static uint32_t get(struct ring *ring, uint8_t *bytes, uint32_t room)
{
	uint32_t count = used(ring) < room ? used(ring) : room;
	uint32_t i;

	for (i = 0; i < count; i++) {
		bytes[i] = ring->bytes[ring->tail++ % VSOCK_BUFFER_BYTES];
	}
	return count;
}

/* ---- connections ------------------------------------------------------------------------------------ */

static struct vsock_connection **find(struct vsock_host *host, const struct vsock_header *header)
{
	uint32_t i;

	for (i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = host->connections[i];

		if (connection != NULL && connection->guest_port == header->src_port &&
		    connection->host_port == header->dst_port) {
			return &host->connections[i];
		}
	}
	return NULL;
}

static void drop(struct vsock_connection **place)
{
	free(*place);
	*place = NULL;
}

bool vsock_host_has_room(const struct vsock_host *host)
{
	return host->resets_count < VSOCK_RESETS_MAX;
}

void vsock_host_refuse(struct vsock_host *host, const struct vsock_header *header)
{
	if (header->op != VSOCK_OP_RST && vsock_host_has_room(host)) {
		host->resets[host->resets_count++] = *header;
	}
}

static void open_info(struct vsock_host *host, struct vsock_connection *connection)
{
	char text[512];
	size_t length = host->describe(host->owner, text, sizeof(text));

	put(&connection->out, (const uint8_t *)text, (uint32_t)length);
	connection->is_ending = true;
}

/* A connection for a request; false if there is no such service, or no room. */
static bool accept_request(struct vsock_host *host, const struct vsock_header *header)
{
	struct vsock_connection *connection;
	uint32_t i = 0;

	while (i < VSOCK_CONNECTIONS_MAX && host->connections[i] != NULL) {
		i++;
	}
	if (i == VSOCK_CONNECTIONS_MAX ||
	    (header->dst_port != VSOCK_PORT_ECHO && header->dst_port != VSOCK_PORT_INFO)) {
		return false;
	}
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		return false;
	}
	connection->guest_port = header->src_port;
	connection->host_port = header->dst_port;
	connection->say = SAY_RESPONSE;
	connection->peer_alloc = header->buf_alloc;
	connection->peer_forwarded = header->fwd_cnt;
	if (header->dst_port == VSOCK_PORT_INFO) {
		open_info(host, connection);
	}
	host->connections[i] = connection;
	host->counters->connects++;
	return true;
}

/* ---- the services ------------------------------------------------------------------------------------- */

/* Echo moves what it can; info listens to nothing. */
static void serve(struct vsock_connection *connection)
{
	uint8_t bytes[256];
	uint32_t count;

	do {
		uint32_t room = VSOCK_BUFFER_BYTES - used(&connection->out);

		if (connection->host_port != VSOCK_PORT_ECHO) {
			room = VSOCK_BUFFER_BYTES;
		}
		count = get(&connection->in, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
		if (connection->host_port == VSOCK_PORT_ECHO) {
			put(&connection->out, bytes, count);
		}
		connection->forwarded += count;
	} while (count != 0);
	if ((connection->peer_shut & VSOCK_SHUTDOWN_SEND) != 0 && used(&connection->in) == 0) {
		connection->is_ending = true;
	}
	if (connection->forwarded - connection->forwarded_told >= VSOCK_BUFFER_BYTES / 2) {
		connection->say |= SAY_CREDIT;
	}
}

/* ---- packets of the guest ------------------------------------------------------------------------------- */

/* False: the guest has broken the rules, and the connection ends. */
static bool take_data(struct vsock_host *host, struct vsock_connection *connection,
                      const struct vsock_header *header, const uint8_t *payload)
{
	if (payload == NULL || (connection->peer_shut & VSOCK_SHUTDOWN_SEND) != 0 ||
	    header->len > VSOCK_BUFFER_BYTES - used(&connection->in)) {
		return false;
	}
	put(&connection->in, payload, header->len);
	host->counters->bytes_in += header->len;
	return true;
}

static bool take(struct vsock_host *host, struct vsock_connection *connection,
                 const struct vsock_header *header, const uint8_t *payload)
{
	switch (header->op) {
	case VSOCK_OP_RW:
		return take_data(host, connection, header, payload);
	case VSOCK_OP_SHUTDOWN:
		connection->peer_shut |= header->flags & VSOCK_SHUTDOWN_BOTH;
		return connection->peer_shut != VSOCK_SHUTDOWN_BOTH;
	case VSOCK_OP_CREDIT_UPDATE:
		return true;
	case VSOCK_OP_CREDIT_REQUEST:
		connection->say |= SAY_CREDIT;
		return true;
	default:
		return false; /* a second REQUEST, a RESPONSE to nothing, unknown ones */
	}
}

void vsock_host_receive(struct vsock_host *host, const struct vsock_header *header,
                        const uint8_t *payload)
{
	struct vsock_connection **place = find(host, header);

	host->counters->packets_in++;
	if (header->type != VSOCK_TYPE_STREAM) {
		vsock_host_refuse(host, header);
		return;
	}
	if (place == NULL) {
		if (header->op != VSOCK_OP_REQUEST || !accept_request(host, header)) {
			vsock_host_refuse(host, header);
		}
		return;
	}
	(*place)->peer_alloc = header->buf_alloc;
	(*place)->peer_forwarded = header->fwd_cnt;
	(*place)->has_asked = false;
	if (header->op == VSOCK_OP_RST) {
		drop(place);
	} else if (take(host, *place, header, payload)) {
		serve(*place);
	} else {
		vsock_host_refuse(host, header);
		drop(place);
	}
}

/* ---- packets for the guest ------------------------------------------------------------------------------ */

/* Bytes that the guest has room for, by what it says. */
static uint32_t credit(const struct vsock_connection *connection)
{
	uint32_t out = connection->sent - connection->peer_forwarded;

	return out < connection->peer_alloc ? connection->peer_alloc - out : 0;
}

static bool has_data(const struct vsock_connection *connection)
{
	return used(&connection->out) != 0 && (connection->peer_shut & VSOCK_SHUTDOWN_RECEIVE) == 0;
}

/* What is said next of a connection; 0: nothing. */
static uint32_t next_op(const struct vsock_connection *connection)
{
	if ((connection->say & SAY_RESPONSE) != 0) {
		return VSOCK_OP_RESPONSE;
	}
	if (has_data(connection) && credit(connection) != 0) {
		return VSOCK_OP_RW;
	}
	if ((connection->say & SAY_CREDIT) != 0) {
		return VSOCK_OP_CREDIT_UPDATE;
	}
	if (has_data(connection)) {
		return connection->has_asked ? 0 : VSOCK_OP_CREDIT_REQUEST;
	}
	return connection->is_ending && !connection->is_shut ? VSOCK_OP_SHUTDOWN : 0;
}

static void fill(struct vsock_host *host, struct vsock_connection *connection,
                 struct vsock_header *header, uint8_t *payload, uint32_t room)
{
	switch (header->op) {
	case VSOCK_OP_RESPONSE:
		connection->say &= ~SAY_RESPONSE;
		break;
	case VSOCK_OP_RW:
		room = room < credit(connection) ? room : credit(connection);
		header->len = get(&connection->out, payload, room);
		connection->sent += header->len;
		host->counters->bytes_out += header->len;
		serve(connection); /* there is room for more */
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		connection->has_asked = true;
		break;
	case VSOCK_OP_SHUTDOWN:
		header->flags = VSOCK_SHUTDOWN_BOTH;
		connection->is_shut = true;
		break;
	default:
		break;
	}
	/* Every packet tells our credit. */
	connection->say &= ~SAY_CREDIT;
	connection->forwarded_told = connection->forwarded;
	header->buf_alloc = VSOCK_BUFFER_BYTES;
	header->fwd_cnt = connection->forwarded;
}

static void send_reset(struct vsock_host *host, struct vsock_header *header)
{
	const struct vsock_header refused = host->resets[0];

	memmove(&host->resets[0], &host->resets[1],
	        (VSOCK_RESETS_MAX - 1) * sizeof(host->resets[0]));
	host->resets_count--;
	*header = (struct vsock_header){ .src_cid = refused.dst_cid,
		                         .dst_cid = host->cid,
		                         .src_port = refused.dst_port,
		                         .dst_port = refused.src_port,
		                         .type = refused.type,
		                         .op = VSOCK_OP_RST };
	host->counters->resets++;
}

bool vsock_host_send(struct vsock_host *host, struct vsock_header *header, uint8_t *payload,
                     uint32_t room)
{
	uint32_t i;

	if (host->resets_count != 0) {
		send_reset(host, header);
		host->counters->packets_out++;
		return true;
	}
	for (i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = host->connections[i];
		uint32_t op = connection != NULL ? next_op(connection) : 0;

		if (op != 0 && (op != VSOCK_OP_RW || room != 0)) {
			*header = (struct vsock_header){ .src_cid = VSOCK_CID_HOST,
				                         .dst_cid = host->cid,
				                         .src_port = connection->host_port,
				                         .dst_port = connection->guest_port,
				                         .type = VSOCK_TYPE_STREAM,
				                         .op = (uint16_t)op };
			fill(host, connection, header, payload, room);
			host->counters->packets_out++;
			return true;
		}
	}
	return false;
}

bool vsock_host_has_more(const struct vsock_host *host)
{
	uint32_t i;

	for (i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		if (host->connections[i] != NULL && next_op(host->connections[i]) != 0) {
			return true;
		}
	}
	return host->resets_count != 0;
}

void vsock_host_clear(struct vsock_host *host)
{
	uint32_t i;

	for (i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		drop(&host->connections[i]);
	}
	host->resets_count = 0;
}

uint32_t vsock_host_count(const struct vsock_host *host)
{
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		count += host->connections[i] != NULL;
	}
	return count;
}
