// SPDX-License-Identifier: Apache-2.0
/*
 * Ping (RFC 792, RFC 4443 4): a second between requests, a table of times at the end, or so far by Ctrl-C. One at a time.
 */
#include "mgmt/net/ping.h"

#include <lwip/icmp.h>
#include <lwip/icmp6.h>
#include <lwip/inet_chksum.h>
#include <lwip/ip.h>
#include <lwip/prot/icmp6.h>
#include <lwip/raw.h>
#include <stdio.h>
#include <string.h>

#include "lib/time.h"
#include "mgmt/net/net.h"
#include "mgmt/net/resolve.h"

#define PAYLOAD_BYTES 48u
#define INTERVAL_NS   1000000000ull
#define LIMIT_NS      2000000000ull /* for one answer */

enum step {
	STEP_IDLE,
	STEP_NAME,    /* the name server is asked */
	STEP_SENDING, /* the next request goes out at next_tsc */
	STEP_WAITING, /* for its answer, until next_tsc */
	STEP_DONE,
};

static struct {
	enum step step;
	struct raw_pcb *pcb;
	char name[256];
	ip_addr_t address;
	uint16_t id;
	uint32_t wanted_count, sent_count, received_count;
	uint64_t sent_tsc, next_tsc;
	uint64_t micros[PING_COUNT_MAX]; /* 0: no answer */
	char why[96];                    /* it could not begin */
} ping;

/* An answer of ours carries our number and the sequence that waits. */
static u8_t take(void *argument, struct raw_pcb *pcb, struct pbuf *pbuf, const ip_addr_t *from)
{
	struct icmp_echo_hdr header;
	uint16_t at = (uint16_t)ip_current_header_tot_len();
	uint8_t wanted = IP_IS_V6(from) ? ICMP6_TYPE_EREP : ICMP_ER;

	(void)argument;
	(void)pcb;
	if (ping.step != STEP_WAITING ||
	    pbuf_copy_partial(pbuf, &header, sizeof(header), at) != sizeof(header) ||
	    header.type != wanted || header.id != lwip_htons(ping.id) ||
	    header.seqno != lwip_htons((uint16_t)ping.sent_count)) {
		return 0;
	}
	ping.micros[ping.sent_count - 1] = bh_tsc_to_ns(bh_tsc() - ping.sent_tsc) / 1000 + 1;
	ping.received_count++;
	ping.step = ping.sent_count == ping.wanted_count ? STEP_DONE : STEP_SENDING;
	ping.next_tsc = ping.sent_tsc + bh_ns_to_tsc(INTERVAL_NS);
	pbuf_free(pbuf);
	return 1;
}

static bool open_socket(void)
{
	bool is_v6 = IP_IS_V6(&ping.address);

	if (ping.pcb != NULL) {
		raw_remove(ping.pcb);
	}
	ping.pcb = raw_new_ip_type(is_v6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4,
	                           is_v6 ? IP6_NEXTH_ICMP6 : IP_PROTO_ICMP);
	if (ping.pcb == NULL) {
		return false;
	}
	if (is_v6) {
		ping.pcb->chksum_reqd = 1;
		ping.pcb->chksum_offset = 2; /* RFC 3542 3.1 */
	}
	raw_recv(ping.pcb, take, NULL);
	raw_bind(ping.pcb, is_v6 ? IP6_ADDR_ANY : IP4_ADDR_ANY);
	return true;
}

static err_t send_request(void)
{
	struct pbuf *pbuf = pbuf_alloc(PBUF_IP, sizeof(struct icmp_echo_hdr) + PAYLOAD_BYTES,
	                               PBUF_RAM);
	struct icmp_echo_hdr *header;
	err_t error;

	if (pbuf == NULL) {
		return ERR_MEM;
	}
	header = pbuf->payload;
	memset(header, 0, pbuf->len);
	header->type = IP_IS_V6(&ping.address) ? ICMP6_TYPE_EREQ : ICMP_ECHO;
	header->id = lwip_htons(ping.id);
	header->seqno = lwip_htons((uint16_t)ping.sent_count);
	if (!IP_IS_V6(&ping.address)) {
		header->chksum = inet_chksum(header, pbuf->len);
	}
	error = raw_sendto(ping.pcb, pbuf, &ping.address);
	pbuf_free(pbuf);
	return error;
}

static void fail(const char *why)
{
	snprintf(ping.why, sizeof(ping.why), "%s", why);
	ping.step = STEP_DONE;
}

static void resolved(void *owner, const ip_addr_t *address, const char *why)
{
	(void)owner;
	if (ping.step != STEP_NAME) {
		return;
	}
	if (address == NULL) {
		fail(why);
		return;
	}
	ping.address = *address;
	if (!open_socket()) {
		fail("too many sockets are open");
		return;
	}
	ping.step = STEP_SENDING;
	ping.next_tsc = bh_tsc();
}

static void move_on(void)
{
	err_t error;

	if (ping.step == STEP_WAITING && bh_tsc() >= ping.next_tsc) {
		ping.step = ping.sent_count == ping.wanted_count ? STEP_DONE : STEP_SENDING;
	}
	if (ping.step != STEP_SENDING || bh_tsc() < ping.next_tsc) {
		return;
	}
	ping.sent_count++;
	ping.sent_tsc = bh_tsc();
	ping.next_tsc = ping.sent_tsc + bh_ns_to_tsc(LIMIT_NS);
	ping.step = STEP_WAITING;
	error = send_request();
	if (error != ERR_OK) {
		fail(error == ERR_RTE ? "no route leads there" : "it could not be sent");
	}
}

static const struct result_column summary_columns[] = {
	{ "host", "host", RESULT_TEXT },
	{ "address", "address", RESULT_TEXT },
	{ "sent", "sent", RESULT_COUNT },
	{ "received", "received", RESULT_COUNT },
};

static const struct result_column time_columns[] = {
	{ "SEQ", "sequence", RESULT_COUNT },
	{ "MICROSECONDS", "microseconds", RESULT_COUNT },
};

static void print(struct result *result)
{
	char text[NET_TEXT_SIZE];
	uint32_t i;

	if (ping.why[0] != '\0') {
		result_error(result, "ping", "", "%s: %s", ping.name, ping.why);
		return;
	}
	result_begin(result, "summary", RESULT_RECORD, summary_columns, 4);
	result_text(result, ping.name);
	if (ping.step == STEP_NAME) {
		result_empty(result);
	} else {
		net_address_print(&ping.address, text, sizeof(text));
		result_text(result, text);
	}
	result_value(result, ping.sent_count);
	result_value(result, ping.received_count);
	result_begin(result, "answers", RESULT_TABLE, time_columns, 2);
	for (i = 0; i < ping.sent_count; i++) {
		result_value(result, i + 1);
		if (ping.micros[i] != 0) {
			result_value(result, ping.micros[i]);
		} else {
			result_empty(result);
		}
	}
}

static void end(struct result *result)
{
	print(result);
	if (ping.pcb != NULL) {
		raw_remove(ping.pcb);
		ping.pcb = NULL;
	}
	ping.step = STEP_IDLE;
}

static bool poll(struct shell_wait *wait, struct result *result)
{
	move_on();
	wait->deadline_tsc = ping.step == STEP_NAME ? BH_FOREVER : ping.next_tsc;
	if (ping.step != STEP_DONE) {
		return false;
	}
	end(result);
	return true;
}

void ping_begin(const char *name, uint32_t count, struct shell_wait *wait)
{
	struct raw_pcb *pcb = ping.pcb;
	uint16_t id = (uint16_t)(ping.id + 1);

	memset(&ping, 0, sizeof(ping));
	ping.pcb = pcb;
	ping.id = id;
	ping.step = STEP_NAME;
	ping.wanted_count = count < PING_COUNT_MAX ? count : PING_COUNT_MAX;
	snprintf(ping.name, sizeof(ping.name), "%s", name);
	wait->poll = poll;
	wait->leave = end;
	if (!net_is_up(false) && !net_is_up(true)) {
		fail("this machine has no network address (see net stat)");
		return;
	}
	net_resolve(name, resolved, NULL);
}
