// SPDX-License-Identifier: Apache-2.0
/*
 * Fetching (see fetch.h): lwIP's callbacks only note what came; all else is done in fetch_poll(), so
 * that a connection can be ended from anywhere. What the server sends waits in TCP's window while
 * root clears memory.
 */
#include "mgmt/net/fetch.h"

#include <lwip/tcp.h>
#include <lwip/udp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/time.h"
#include "mgmt/kept.h"
#include "mgmt/machine.h"
#include "mgmt/net/fetch_sink.h"
#include "mgmt/net/http.h"
#include "mgmt/net/net.h"
#include "mgmt/net/resolve.h"
#include "mgmt/net/tftp.h"

#define STALL_NS      30000000000ull /* without a byte */
#define RESEND_NS     1000000000ull  /* TFTP, doubled each time */
#define RESENDS_MAX   5u
#define REDIRECTS_MAX 5u

enum step {
	STEP_IDLE,
	STEP_NAME, /* the name server is asked */
	STEP_CONNECTING,
	STEP_HTTP, /* the request is sent */
	STEP_TFTP,
	STEP_DONE, /* the outcome is there, and has been told to no shell yet */
};

static struct {
	enum step step;
	struct fetch_order order;
	ip_addr_t address;
	struct sink sink;
	struct http http;
	struct tftp tftp;
	struct tcp_pcb *tcp;
	struct udp_pcb *udp;
	struct pbuf *pending; /* what TCP brought and is not taken yet */
	bool is_connected;
	bool is_closed;                   /* by the server */
	err_t error;                      /* the connection is gone */
	uint16_t peer_port;               /* TFTP: the server's, 0 until it has answered */
	uint8_t packet[TFTP_PACKET_SIZE]; /* TFTP: what was sent last */
	size_t packet_bytes;
	uint32_t resends;
	uint64_t resend_tsc;
	bool is_answer_due; /* TFTP: once there is memory */
	uint32_t redirects;
	uint64_t begin_tsc, end_tsc, moved_tsc;
	bool is_good;
	uint8_t digest[SHA256_BYTES];
	char why[192];
	uint64_t event_number; /* of the event that tells the outcome, from 1 */
} fetch;

/* ---- the end --------------------------------------------------------------------------------- */

static void close_sockets(void)
{
	if (fetch.tcp != NULL) {
		tcp_arg(fetch.tcp, NULL);
		tcp_recv(fetch.tcp, NULL);
		tcp_err(fetch.tcp, NULL);
		if (tcp_close(fetch.tcp) != ERR_OK) {
			tcp_abort(fetch.tcp);
		}
		fetch.tcp = NULL;
	}
	if (fetch.udp != NULL) {
		udp_remove(fetch.udp);
		fetch.udp = NULL;
	}
	if (fetch.pending != NULL) {
		pbuf_free(fetch.pending);
		fetch.pending = NULL;
	}
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fetch.why, sizeof(fetch.why), format, arguments);
	va_end(arguments);
	close_sockets();
	sink_drop(&fetch.sink);
	fetch.step = STEP_DONE;
	fetch.is_good = false;
	fetch.end_tsc = bh_tsc();
	ledger_event(machine_ledger(), machine_now_tsc(), "", "fetch of %s failed: %.140s",
	             fetch.order.name, fetch.why);
	fetch.event_number = machine_ledger()->events_count;
}

static void digest_print(const uint8_t digest[SHA256_BYTES], char out[2 * SHA256_BYTES + 1])
{
	uint32_t i;

	for (i = 0; i < SHA256_BYTES; i++) {
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	}
}

static void finish(void)
{
	char text[2 * SHA256_BYTES + 1];

	sha256_end(&fetch.sink.sha, fetch.digest);
	digest_print(fetch.digest, text);
	if (fetch.sink.used_bytes == 0) {
		fail("the file is empty");
		return;
	}
	if (fetch.order.has_sha256 &&
	    memcmp(fetch.digest, fetch.order.sha256, sizeof(fetch.digest)) != 0) {
		fail("its SHA-256 is another one: %s", text);
		return;
	}
	close_sockets();
	sink_finish(&fetch.sink);
	fetch.step = STEP_DONE;
	fetch.is_good = true;
	fetch.end_tsc = bh_tsc();
	ledger_event(machine_ledger(), machine_now_tsc(), "", "fetched %s, %llu bytes, sha256=%s",
	             fetch.order.name, (unsigned long long)fetch.sink.used_bytes, text);
	fetch.event_number = machine_ledger()->events_count;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static err_t tcp_came(void *argument, struct tcp_pcb *pcb, struct pbuf *pbuf, err_t error)
{
	(void)argument;
	(void)pcb;
	(void)error;
	if (pbuf == NULL) {
		fetch.is_closed = true;
	} else if (fetch.pending == NULL) {
		fetch.pending = pbuf;
	} else if ((uint32_t)fetch.pending->tot_len + pbuf->tot_len > 0xffffu) {
		return ERR_MEM; /* lwIP keeps it and asks again */
	} else {
		pbuf_cat(fetch.pending, pbuf);
	}
	return ERR_OK;
}

static void tcp_failed(void *argument, err_t error)
{
	(void)argument;
	fetch.tcp = NULL;
	fetch.error = error;
}

static err_t tcp_is_open(void *argument, struct tcp_pcb *pcb, err_t error)
{
	(void)argument;
	(void)pcb;
	(void)error;
	fetch.is_connected = true;
	return ERR_OK;
}

static void connect_http(void)
{
	http_init(&fetch.http);
	fetch.is_connected = false;
	fetch.is_closed = false;
	fetch.error = ERR_OK;
	fetch.tcp = tcp_new_ip_type(IP_GET_TYPE(&fetch.address));
	if (fetch.tcp == NULL) {
		fail("too many connections are open");
		return;
	}
	tcp_recv(fetch.tcp, tcp_came);
	tcp_err(fetch.tcp, tcp_failed);
	if (tcp_connect(fetch.tcp, &fetch.address, fetch.order.url.port, tcp_is_open) != ERR_OK) {
		fail("no route leads to %s", fetch.order.url.host);
		return;
	}
	fetch.step = STEP_CONNECTING;
}

static void send_request(void)
{
	static char request[URL_PATH_SIZE + URL_HOST_SIZE + 200];
	size_t length = http_request(&fetch.order.url, request, sizeof(request));

	if (tcp_write(fetch.tcp, request, (u16_t)length, TCP_WRITE_FLAG_COPY) != ERR_OK ||
	    tcp_output(fetch.tcp) != ERR_OK) {
		fail("the request cannot be sent");
		return;
	}
	fetch.step = STEP_HTTP;
}

static void resolve(void);

static void redirect(void)
{
	const char *why;

	if (++fetch.redirects > REDIRECTS_MAX) {
		fail("the server sends us on and on");
	} else if (fetch.http.location[0] == '\0') {
		fail("the server answers %u without a place", (unsigned int)fetch.http.status);
	} else if (!url_follow(&fetch.order.url, fetch.http.location, &why)) {
		fail("redirected to %.64s: %s", fetch.http.location, why);
	} else {
		close_sockets();
		resolve();
	}
}

/* The headers are complete: decide what to do with what follows. */
static void take_headers(void)
{
	if (http_is_redirect(&fetch.http)) {
		redirect();
	} else if (fetch.http.status != 200) {
		fail("the server answers %u%s", (unsigned int)fetch.http.status,
		     fetch.http.status == 404 ? ": there is no such file" : "");
	} else if (fetch.http.has_length) {
		sink_reserve(&fetch.sink, fetch.http.length);
	}
}

/* Takes a part of the first pending buffer; false if it cannot go on now. */
static bool take_pending(void)
{
	struct pbuf *first = fetch.pending;
	bool had_headers = http_has_headers(&fetch.http);
	const uint8_t *body;
	size_t body_bytes;
	size_t taken;

	if ((fetch.http.state == HTTP_BODY || fetch.http.state == HTTP_CHUNK) &&
	    sink_room(&fetch.sink) == 0) {
		sink_grow(&fetch.sink);
		return false;
	}
	taken = http_take(&fetch.http, first->payload, first->len, sink_room(&fetch.sink), &body,
	                  &body_bytes);
	if (body_bytes != 0) {
		sink_write(&fetch.sink, body, body_bytes);
	}
	if (fetch.tcp != NULL && taken != 0) {
		tcp_recved(fetch.tcp, (u16_t)taken);
	}
	fetch.pending = pbuf_free_header(first, (u16_t)taken);
	fetch.moved_tsc = bh_tsc();
	if (fetch.http.state != HTTP_FAILED && !had_headers && http_has_headers(&fetch.http)) {
		take_headers();
	}
	return taken != 0;
}

static void poll_http(void)
{
	while (fetch.step == STEP_HTTP && fetch.pending != NULL && fetch.sink.error == NULL &&
	       fetch.http.state != HTTP_DONE && fetch.http.state != HTTP_FAILED) {
		if (!take_pending()) {
			break;
		}
	}
	if (fetch.step != STEP_HTTP || fetch.sink.error != NULL) {
		return;
	}
	if (fetch.pending == NULL && fetch.is_closed) {
		http_close(&fetch.http);
	}
	if (fetch.http.state == HTTP_FAILED) {
		fail("%s", fetch.http.error);
	} else if (fetch.http.state == HTTP_DONE) {
		finish();
	} else if (fetch.error != ERR_OK) {
		fail("the connection was broken by the server");
	}
}

static void poll_connecting(void)
{
	if (fetch.error != ERR_OK) {
		fail(fetch.error == ERR_RST ? "%s refuses the connection" : "%s does not answer",
		     fetch.order.url.host);
	} else if (fetch.is_connected) {
		send_request();
	}
}

/* ---- TFTP ------------------------------------------------------------------------------------ */

static void send_packet(bool is_again)
{
	struct pbuf *pbuf = pbuf_alloc(PBUF_TRANSPORT, (u16_t)fetch.packet_bytes, PBUF_RAM);
	uint16_t port = fetch.peer_port != 0 ? fetch.peer_port : fetch.order.url.port;

	fetch.resends = is_again ? fetch.resends + 1 : 0;
	fetch.resend_tsc = bh_tsc() + (bh_ns_to_tsc(RESEND_NS) << fetch.resends);
	if (pbuf == NULL) {
		return; /* the next try may have memory */
	}
	pbuf_take(pbuf, fetch.packet, (u16_t)fetch.packet_bytes);
	udp_sendto(fetch.udp, pbuf, &fetch.address, port);
	pbuf_free(pbuf);
}

static void answer(void)
{
	fetch.is_answer_due = false;
	fetch.packet_bytes = tftp_answer(&fetch.tftp, fetch.packet);
	send_packet(false);
}

/* True if there is no room for a block: memory is asked for, and the server will send again. */
static bool lacks_room(const uint8_t *packet)
{
	bool is_data = packet[0] == 0 && packet[1] == 3;

	if (!is_data || sink_room(&fetch.sink) >= fetch.tftp.block_bytes ||
	    (fetch.tftp.has_total && fetch.sink.capacity_bytes >= fetch.tftp.total)) {
		return fetch.sink.is_waiting;
	}
	sink_grow(&fetch.sink);
	return true;
}

static void take_packet(const uint8_t *packet, size_t size)
{
	const uint8_t *data;
	size_t bytes;
	enum tftp_event event;

	if (size < 4 || lacks_room(packet)) {
		return;
	}
	event = tftp_take(&fetch.tftp, packet, size, &data, &bytes);
	fetch.moved_tsc = event != TFTP_IGNORED ? bh_tsc() : fetch.moved_tsc;
	switch (event) {
	case TFTP_IGNORED:
		break;
	case TFTP_AGREED:
		if (fetch.tftp.has_total) {
			sink_reserve(&fetch.sink, fetch.tftp.total);
		}
		fetch.is_answer_due = true;
		break;
	case TFTP_DATA:
	case TFTP_LAST:
		if (bytes > sink_room(&fetch.sink)) {
			fail("the server sends more than it said");
			break;
		}
		sink_write(&fetch.sink, data, bytes);
		answer();
		if (event == TFTP_LAST) {
			finish();
		}
		break;
	case TFTP_AGAIN:
		answer();
		break;
	case TFTP_FAILED:
		fail("%s", fetch.tftp.error);
		break;
	}
}

static void udp_came(void *argument, struct udp_pcb *pcb, struct pbuf *pbuf, const ip_addr_t *from,
                     u16_t port)
{
	static uint8_t packet[TFTP_PACKET_SIZE];
	size_t size = pbuf->tot_len;

	(void)argument;
	(void)pcb;
	/* The server answers from a port of its own, and only that counts then (RFC 1350 4). */
	if (fetch.step == STEP_TFTP && ip_addr_cmp(from, &fetch.address) &&
	    (fetch.peer_port == 0 || fetch.peer_port == port) && size <= sizeof(packet)) {
		fetch.peer_port = port;
		pbuf_copy_partial(pbuf, packet, (u16_t)size, 0);
		take_packet(packet, size);
	}
	pbuf_free(pbuf);
}

static void begin_tftp(void)
{
	fetch.udp = udp_new_ip_type(IP_GET_TYPE(&fetch.address));
	if (fetch.udp == NULL) {
		fail("too many sockets are open");
		return;
	}
	udp_bind(fetch.udp, IP_IS_V6(&fetch.address) ? IP6_ADDR_ANY : IP4_ADDR_ANY, 0);
	udp_recv(fetch.udp, udp_came, NULL);
	fetch.peer_port = 0;
	fetch.packet_bytes = tftp_begin(&fetch.tftp, fetch.order.url.path + 1, fetch.packet);
	fetch.step = STEP_TFTP;
	send_packet(false);
}

static void poll_tftp(void)
{
	if (fetch.sink.error != NULL) {
		return;
	}
	if (fetch.is_answer_due && !fetch.sink.is_waiting) {
		answer();
	}
	if (fetch.sink.is_waiting || bh_tsc() < fetch.resend_tsc) {
		return;
	}
	if (fetch.resends == RESENDS_MAX) {
		fail("%s does not answer", fetch.order.url.host);
		return;
	}
	send_packet(true);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void resolved(void *owner, const ip_addr_t *address, const char *why)
{
	(void)owner;
	if (fetch.step != STEP_NAME) {
		return;
	}
	if (address == NULL) {
		fail("%s: %s", fetch.order.url.host, why);
		return;
	}
	fetch.address = *address;
	if (fetch.order.url.scheme == URL_HTTP) {
		connect_http();
	} else {
		begin_tftp();
	}
}

static void resolve(void)
{
	fetch.step = STEP_NAME;
	fetch.moved_tsc = bh_tsc();
	net_resolve(fetch.order.url.host, resolved, NULL);
}

void fetch_poll(void)
{
	switch (fetch.step) {
	case STEP_IDLE:
	case STEP_DONE:
		return;
	case STEP_NAME:
		break;
	case STEP_CONNECTING:
		poll_connecting();
		break;
	case STEP_HTTP:
		poll_http();
		break;
	case STEP_TFTP:
		poll_tftp();
		break;
	}
	if (fetch.step == STEP_DONE) {
		return;
	}
	if (fetch.sink.error != NULL) {
		fail("%s", fetch.sink.error);
	} else if (fetch.sink.is_waiting) {
		fetch.moved_tsc = bh_tsc();
	} else if (bh_tsc() - fetch.moved_tsc > bh_ns_to_tsc(STALL_NS)) {
		fail("nothing came for 30 seconds");
	}
}

uint64_t fetch_deadline_tsc(void)
{
	uint64_t stall = fetch.moved_tsc + bh_ns_to_tsc(STALL_NS) + 1;

	if (fetch.step == STEP_IDLE || fetch.step == STEP_DONE || fetch.sink.is_waiting) {
		return BH_FOREVER;
	}
	return fetch.step == STEP_TFTP && fetch.resend_tsc < stall ? fetch.resend_tsc : stall;
}

void fetch_init(void)
{
	uint32_t idx;

	for (idx = 0; idx < BH_KEPT_MAX; idx++) {
		const struct kept_record *record = kept_record(idx);

		if (record != NULL && record->purpose == KEPT_FILE && record->size_bytes == 0) {
			kept_release(idx);
		}
	}
}

bool fetch_stop(void)
{
	if (fetch.step == STEP_IDLE || fetch.step == STEP_DONE) {
		return false;
	}
	fail("stopped by the operator");
	return true;
}

static const struct result_column columns[] = {
	{ "file", "name", RESULT_TEXT },
	{ "size", "size_bytes", RESULT_BYTES },
	{ "sha256", "sha256", RESULT_TEXT },
	{ "checked", "checked", RESULT_FLAG },
	{ "per second", "bytes_per_second", RESULT_BYTES },
};

static void print(struct result *result)
{
	uint64_t ns = bh_tsc_to_ns(fetch.end_tsc - fetch.begin_tsc) + 1;
	char text[2 * SHA256_BYTES + 1];

	if (!fetch.is_good) {
		result_error(result, "fetch", "", "%s: %s", fetch.order.name, fetch.why);
		return;
	}
	digest_print(fetch.digest, text);
	result_begin(result, "fetch", RESULT_RECORD, columns, sizeof(columns) / sizeof(columns[0]));
	result_text(result, fetch.order.name);
	result_value(result, fetch.sink.used_bytes);
	result_text(result, text);
	result_value(result, fetch.order.has_sha256);
	result_value(result,
	             (uint64_t)((unsigned __int128)fetch.sink.used_bytes * 1000000000u / ns));
}

static bool poll_wait(struct shell_wait *wait, struct result *result)
{
	wait->deadline_tsc = bh_tsc() + bh_ns_to_tsc(200000000);
	if (fetch.step != STEP_DONE) {
		return false;
	}
	print(result);
	wait->told_event = fetch.event_number;
	fetch.step = STEP_IDLE;
	return true;
}

static uint64_t progress(struct shell_wait *wait, uint64_t *total)
{
	(void)wait;
	*total = fetch.order.url.scheme == URL_TFTP ? fetch.tftp.total : fetch.http.length;
	return fetch.sink.used_bytes;
}

bool fetch_begin(const struct fetch_order *order, struct shell_wait *wait, struct result *result)
{
	uint32_t ticket = fetch.sink.ticket;

	if (fetch.step != STEP_IDLE && fetch.step != STEP_DONE) {
		result_error(result, "fetch", "wait for its end, or end it by: fetch stop",
		             "%s is being fetched", fetch.order.name);
		return false;
	}
	if (!net_is_up(false) && !net_is_up(true)) {
		result_error(result, "fetch", "see net stat, and the key switch of [host]",
		             "this machine has no network address");
		return false;
	}
	memset(&fetch, 0, sizeof(fetch));
	fetch.sink.ticket = ticket;
	fetch.order = *order;
	fetch.begin_tsc = bh_tsc();
	sink_open(&fetch.sink, order->name);
	wait->poll = poll_wait;
	wait->progress = progress;
	resolve();
	return true;
}
