// SPDX-License-Identifier: Apache-2.0
/*
 * A sink for TCP (see iperf.h). At most IPERF_CONNECTIONS_MAX clients, each with a place of its own and nothing allocated beside lwIP's
 * pools; one that is silent for 10 to 20 s is broken off. A line in the events for each that has sent, at most one a second. lwIP's raw
 * interface: after tcp_abort() a callback returns ERR_ABRT, and in the error callback the connection is gone already.
 */
#include "mgmt/net/iperf.h"

#include <lwip/tcp.h>
#include <stdio.h>
#include <string.h>

#include "lib/time.h"
#include "mgmt/ledger.h"
#include "mgmt/machine.h"
#include "mgmt/net/net.h"
#include "mgmt/net/resolve.h"

#define POLL_HALF_SECONDS 20u
#define EVENT_NS          1000000000ull

struct client {
	struct tcp_pcb *pcb; /* NULL: free */
	uint64_t bytes, seen_bytes;
	uint64_t begin_tsc, last_tsc;
	char address[NET_TEXT_SIZE];
};

static struct {
	struct tcp_pcb *listener; /* NULL: not started */
	struct client clients[IPERF_CONNECTIONS_MAX];
	uint64_t done, refused, bytes;
	uint64_t event_tsc;
} iperf;

static uint64_t millis_of(const struct client *client)
{
	return bh_tsc_to_ns(client->last_tsc - client->begin_tsc) / 1000000;
}

/* Kilobits a second are bits a millisecond. */
static uint64_t kbits_of(const struct client *client)
{
	uint64_t ms = millis_of(client);

	return client->bytes * 8 / (ms != 0 ? ms : 1);
}

/* The client's place is free. */
static void finish(struct client *client, const char *how)
{
	uint64_t now = bh_tsc(), ms = millis_of(client);

	client->pcb = NULL;
	iperf.done++;
	iperf.bytes += client->bytes;
	if (client->bytes == 0 || now - iperf.event_tsc < bh_ns_to_tsc(EVENT_NS)) {
		return;
	}
	iperf.event_tsc = now;
	ledger_event(machine_ledger(), machine_now_tsc(), "",
	             "iperf: %llu bytes from %s in %llu.%03llu s, %llu kbit/s%s",
	             (unsigned long long)client->bytes, client->address,
	             (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000),
	             (unsigned long long)kbits_of(client), how);
}

static void forget(struct tcp_pcb *pcb)
{
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_err(pcb, NULL);
	tcp_poll(pcb, NULL, 0);
}

static err_t break_off(struct client *client, const char *how)
{
	struct tcp_pcb *pcb = client->pcb;

	finish(client, how);
	forget(pcb);
	tcp_abort(pcb);
	return ERR_ABRT;
}

static err_t came(void *argument, struct tcp_pcb *pcb, struct pbuf *pbuf, err_t error)
{
	struct client *client = argument;

	(void)error;
	if (pbuf != NULL) {
		client->bytes += pbuf->tot_len;
		client->last_tsc = bh_tsc();
		tcp_recved(pcb, pbuf->tot_len);
		pbuf_free(pbuf);
		return ERR_OK;
	}
	finish(client, "");
	forget(pcb);
	if (tcp_close(pcb) != ERR_OK) {
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	return ERR_OK;
}

static void failed(void *argument, err_t error)
{
	(void)error;
	finish(argument, ", broken off");
}

static err_t silent(void *argument, struct tcp_pcb *pcb)
{
	struct client *client = argument;

	(void)pcb;
	if (client->bytes == client->seen_bytes) {
		return break_off(client, ", then silent");
	}
	client->seen_bytes = client->bytes;
	return ERR_OK;
}

static err_t accepted(void *argument, struct tcp_pcb *pcb, err_t error)
{
	struct client *client = NULL;
	uint32_t i;

	(void)argument;
	if (error != ERR_OK || pcb == NULL) {
		return ERR_VAL;
	}
	for (i = 0; i < IPERF_CONNECTIONS_MAX && client == NULL; i++) {
		client = iperf.clients[i].pcb == NULL ? &iperf.clients[i] : NULL;
	}
	if (client == NULL) {
		iperf.refused++;
		tcp_abort(pcb);
		return ERR_ABRT;
	}
	memset(client, 0, sizeof(*client));
	client->pcb = pcb;
	client->begin_tsc = bh_tsc();
	client->last_tsc = client->begin_tsc;
	net_address_print(&pcb->remote_ip, client->address, sizeof(client->address));
	tcp_arg(pcb, client);
	tcp_recv(pcb, came);
	tcp_err(pcb, failed);
	tcp_poll(pcb, silent, POLL_HALF_SECONDS);
	return ERR_OK;
}

bool iperf_start(void)
{
	struct tcp_pcb *pcb, *listener;

	if (iperf.listener != NULL) {
		return true;
	}
	pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
	if (pcb == NULL) {
		return false;
	}
	tcp_setprio(pcb, TCP_PRIO_MIN); /* a fetch that needs a place takes one of these */
	listener = tcp_bind(pcb, IP_ANY_TYPE, IPERF_PORT) == ERR_OK
	                   ? tcp_listen_with_backlog(pcb, IPERF_CONNECTIONS_MAX)
	                   : NULL;
	if (listener == NULL) {
		tcp_abort(pcb);
		return false;
	}
	tcp_accept(listener, accepted);
	memset(&iperf, 0, sizeof(iperf));
	iperf.listener = listener;
	return true;
}

bool iperf_stop(void)
{
	uint32_t i;

	if (iperf.listener == NULL) {
		return false;
	}
	for (i = 0; i < IPERF_CONNECTIONS_MAX; i++) {
		if (iperf.clients[i].pcb != NULL) {
			(void)break_off(&iperf.clients[i], ", stopped");
		}
	}
	(void)tcp_close(iperf.listener); /* a listening one cannot fail */
	iperf.listener = NULL;
	return true;
}

static const struct result_column state_columns[] = {
	{ "is started", "is_on", RESULT_FLAG }, { "connected", "connected", RESULT_COUNT },
	{ "done", "done", RESULT_COUNT },       { "refused", "refused", RESULT_COUNT },
	{ "bytes", "bytes", RESULT_COUNT },
};

static const struct result_column client_columns[] = {
	{ "FROM", "from", RESULT_TEXT },
	{ "BYTES", "bytes", RESULT_COUNT },
	{ "KBIT/s", "kbit_per_second", RESULT_COUNT },
};

void iperf_print(struct result *result)
{
	uint64_t connected = 0;
	uint32_t i;

	for (i = 0; i < IPERF_CONNECTIONS_MAX; i++) {
		connected += iperf.clients[i].pcb != NULL ? 1 : 0;
	}
	result_begin(result, "iperf", RESULT_RECORD, state_columns, 5);
	result_value(result, iperf.listener != NULL ? 1 : 0);
	result_value(result, connected);
	result_value(result, iperf.done);
	result_value(result, iperf.refused);
	result_value(result, iperf.bytes);
	result_begin(result, "clients", RESULT_TABLE, client_columns, 3);
	for (i = 0; i < IPERF_CONNECTIONS_MAX; i++) {
		if (iperf.clients[i].pcb != NULL) {
			result_text(result, iperf.clients[i].address);
			result_value(result, iperf.clients[i].bytes);
			result_value(result, kbits_of(&iperf.clients[i]));
		}
	}
}
