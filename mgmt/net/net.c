// SPDX-License-Identifier: Apache-2.0
/*
 * mgmt's network interface (see net.h): one lwIP netif that is the port `mgmt` of a switch.
 *
 * The switch may deliver at any time and must not be called back then, so what comes in waits in a
 * queue until net_poll(). The MAC address is made from the machine's name and its first NIC, so that
 * it stays over restarts and differs between machines.
 */
#include "mgmt/net/net.h"

#include <lwip/dhcp.h>
#include <lwip/dns.h>
#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/stats.h>
#include <lwip/timeouts.h>
#include <stdio.h>
#include <string.h>

#include "lib/time.h"
#include "mgmt/devices.h"
#include "mgmt/machine.h"
#include "mgmt/net/resolve.h"
#include "mgmt/net/uplink.h"
#include "mgmt/switch/switch.h"

#define QUEUE_COUNT     256u /* what a NIC may bring in a turn */
#define MTU_BYTES       1500u

#define FRAME_BYTES_MAX (MTU_BYTES + 18u)
_Static_assert(FRAME_BYTES_MAX <= PBUF_POOL_BUFSIZE, "a frame lies in one buffer of the pool");

static struct {
	struct netif netif;
	bool is_added;
	struct switch_port *port;
	struct config_host config; /* as it was taken last */
	struct pbuf *queue[QUEUE_COUNT];
	uint32_t head, tail; /* free-running */
	bool is_sending;     /* frames were given to the switch since the last flush */
	uint64_t received_count, received_bytes, dropped_count;
	uint64_t sent_count, sent_bytes;
} net;

/* ---- frames ---------------------------------------------------------------------------------- */

static bool deliver(void *owner, const struct switch_frame *frame)
{
	struct pbuf *pbuf;

	(void)owner;
	if (frame->bytes > FRAME_BYTES_MAX || net.head - net.tail == QUEUE_COUNT) {
		net.dropped_count++;
		return false;
	}
	pbuf = pbuf_alloc(PBUF_RAW, (u16_t)frame->bytes, PBUF_POOL);
	if (pbuf == NULL) {
		net.dropped_count++;
		return false;
	}
	switch_frame_copy(frame, pbuf->payload);
	net.queue[net.head++ % QUEUE_COUNT] = pbuf;
	net.received_count++;
	net.received_bytes += frame->bytes;
	return true;
}

static err_t link_output(struct netif *netif, struct pbuf *pbuf)
{
	static struct switch_piece pieces[SWITCH_PIECES_MAX];
	static struct switch_piece rest[SWITCH_PIECES_MAX];
	static struct switch_frame frame;
	uint32_t count = 0;

	(void)netif;
	if (net.port == NULL) {
		return ERR_IF;
	}
	for (; pbuf != NULL && count < SWITCH_PIECES_MAX; pbuf = pbuf->next) {
		pieces[count].address = pbuf->payload;
		pieces[count++].bytes = pbuf->len;
	}
	memset(&frame.offload, 0, sizeof(frame.offload));
	if (pbuf != NULL || !switch_frame_set(&frame, pieces, count, rest)) {
		return ERR_BUF;
	}
	net.sent_count++;
	net.sent_bytes += frame.bytes;
	switch_input(net.port, &frame);
	return ERR_OK;
}

/* ---- configuration --------------------------------------------------------------------------- */

/* A locally administered address from the machine's name and NIC (FNV-1a). */
static void make_mac(uint8_t mac[6])
{
	const struct nic *nic = uplink_nic(0);
	const char *name = machine_ledger()->host.name;
	uint64_t hash = 0xcbf29ce484222325u;
	uint32_t i;

	for (i = 0; name[i] != '\0'; i++) {
		hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3u;
	}
	for (i = 0; nic != NULL && i < 6; i++) {
		hash = (hash ^ nic->mac[i]) * 0x100000001b3u;
	}
	for (i = 0; i < 6; i++) {
		mac[i] = (uint8_t)(hash >> (8 * i + 8));
	}
	mac[0] = (uint8_t)((mac[0] & 0xfcu) | 0x02u);
}

static err_t start_netif(struct netif *netif)
{
	netif->name[0] = 'm';
	netif->name[1] = 'g';
	netif->hostname = net.config.name;
	netif->mtu = MTU_BYTES;
	netif->hwaddr_len = 6;
	make_mac(netif->hwaddr);
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
	               NETIF_FLAG_MLD6;
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = link_output;
	return ERR_OK;
}

static void leave_switch(void)
{
	if (net.port == NULL) {
		return;
	}
	dhcp_release_and_stop(&net.netif);
	switch_flush();
	netif_set_link_down(&net.netif);
	netif_set_down(&net.netif);
	switch_port_remove(net.port);
	net.port = NULL;
}

/* At the end of a turn in which frames came; answers may go out here. */
static void flush(void *owner)
{
	(void)owner;
	net_poll();
}

static bool join_switch(void)
{
	struct switch_owner owner = { .name = "mgmt", .deliver = deliver, .flush = flush };

	if (!net.is_added) {
		netif_add(&net.netif, NULL, NULL, NULL, NULL, start_netif, netif_input);
		netif_set_default(&net.netif);
		net.is_added = true;
	}
	memcpy(owner.mac, net.netif.hwaddr, sizeof(owner.mac));
	net.port = switch_port_add(net.config.net_switch, &owner);
	if (net.port == NULL) {
		ledger_event(machine_ledger(), machine_now_tsc(), "",
		             "mgmt cannot be a port of the switch %s", net.config.net_switch);
		return false;
	}
	switch_port_set_frame_max(net.port, FRAME_BYTES_MAX);
	switch_port_set_link(net.port, true);
	return true;
}

static void set_server(const char *text)
{
	ip_addr_t server;

	if (text[0] != '\0' && ipaddr_aton(text, &server) != 0) {
		dns_setserver(0, &server);
	}
}

static void set_static(const struct config_address *address)
{
	ip4_addr_t own = { .addr = lwip_htonl(address->ipv4) };
	ip4_addr_t mask = {
		.addr = lwip_htonl(address->prefix == 0 ? 0 : 0xffffffffu << (32 - address->prefix))
	};
	ip4_addr_t gateway;

	ip4_addr_set_any(&gateway);
	if (net.config.net_gateway[0] != '\0') {
		ip4addr_aton(net.config.net_gateway, &gateway);
	}
	netif_set_addr(&net.netif, &own, &mask, &gateway);
}

static void set_addresses(void)
{
	netif_set_up(&net.netif);
	netif_set_link_up(&net.netif);
	net.netif.ip6_autoconfig_enabled = 1;
	netif_create_ip6_linklocal_address(&net.netif, 1);
	if (net.config.net_address.kind == CONFIG_ADDRESS_DHCP) {
		netif_set_addr(&net.netif, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4);
		dhcp_start(&net.netif);
	} else if (net.config.net_address.kind == CONFIG_ADDRESS_STATIC) {
		set_static(&net.config.net_address);
	}
	set_server(net.config.net_dns);
}

void net_configure(void)
{
	const struct config_host *wanted = &machine_ledger()->host;

	uplink_configure();
	/* The MAC address needs the first NIC's. */
	if (memcmp(wanted, &net.config, sizeof(*wanted)) == 0 || !devices_are_settled()) {
		return;
	}
	leave_switch();
	net.config = *wanted;
	if (strcmp(net.config.net_switch, "none") != 0 && join_switch()) {
		set_addresses();
	}
}

void net_uplink_came(void)
{
	if (net.port != NULL && net.config.net_address.kind == CONFIG_ADDRESS_DHCP) {
		dhcp_network_changed(&net.netif);
	}
}

void net_init(void)
{
	lwip_init();
}

/* ---- the loop -------------------------------------------------------------------------------- */

void net_poll(void)
{
	while (net.tail != net.head) {
		struct pbuf *pbuf = net.queue[net.tail++ % QUEUE_COUNT];

		if (net.port == NULL || net.netif.input(pbuf, &net.netif) != ERR_OK) {
			pbuf_free(pbuf);
		}
	}
	netif_poll_all();
	if (net.port != NULL) {
		sys_check_timeouts();
	}
}

/* True if packets to ourselves wait for net_poll(). */
static bool has_looped(void)
{
	const struct netif *netif;

	NETIF_FOREACH(netif)
	{
		if (netif->loop_first != NULL) {
			return true;
		}
	}
	return false;
}

uint64_t net_deadline_tsc(void)
{
	u32_t ms;

	if (net.port == NULL) {
		return BH_FOREVER;
	}
	if (net.head != net.tail || has_looped()) {
		return 1;
	}
	ms = sys_timeouts_sleeptime();
	return ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? BH_FOREVER
	                                             : bh_tsc() + bh_ns_to_tsc(ms * 1000000ull);
}

bool net_is_up(bool is_ipv6)
{
	uint32_t i;

	if (net.port == NULL) {
		return false;
	}
	if (!is_ipv6) {
		return !ip4_addr_isany(netif_ip4_addr(&net.netif));
	}
	for (i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		if (ip6_addr_isvalid(netif_ip6_addr_state(&net.netif, i))) {
			return true;
		}
	}
	return false;
}

/* ---- figures --------------------------------------------------------------------------------- */

static const struct result_column interface_columns[] = {
	{ "switch", "switch", RESULT_TEXT },
	{ "MAC", "mac", RESULT_TEXT },
	{ "address", "address", RESULT_TEXT },
	{ "gateway", "gateway", RESULT_TEXT },
	{ "name server", "dns", RESULT_TEXT },
	{ "IPv6 link", "ipv6_link", RESULT_TEXT },
	{ "IPv6", "ipv6", RESULT_TEXT },
	{ "received", "received_frames", RESULT_COUNT },
	{ "received bytes", "received_bytes", RESULT_BYTES },
	{ "sent", "sent_frames", RESULT_COUNT },
	{ "sent bytes", "sent_bytes", RESULT_BYTES },
	{ "dropped", "dropped_frames", RESULT_COUNT },
	{ "checksum errors", "checksum_errors", RESULT_COUNT },
	{ "out of memory", "memory_errors", RESULT_COUNT },
};

static void put_mac(struct result *result, const uint8_t mac[6])
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
	         mac[3], mac[4], mac[5]);
	result_text(result, text);
}

static void put_addresses(struct result *result)
{
	char text[NET_TEXT_SIZE + 4];
	char address[NET_TEXT_SIZE];
	const char *state = net.config.net_address.kind == CONFIG_ADDRESS_DHCP ? "asking by DHCP"
	                                                                       : "none";
	uint32_t mask = lwip_ntohl(netif_ip4_netmask(&net.netif)->addr);

	if (net_is_up(false)) {
		snprintf(text, sizeof(text), "%s/%u",
		         ip4addr_ntoa_r(netif_ip4_addr(&net.netif), address, sizeof(address)),
		         (unsigned int)__builtin_popcount(mask));
		state = text;
	}
	result_text(result, state);
	result_text(result, ip4addr_ntoa_r(netif_ip4_gw(&net.netif), address, sizeof(address)));
	net_address_print(dns_getserver(0), address, sizeof(address));
	result_text(result, address);
}

static void put_ipv6(struct result *result, int idx)
{
	char address[NET_TEXT_SIZE];

	if (ip6_addr_isvalid(netif_ip6_addr_state(&net.netif, idx))) {
		net_address_print(netif_ip_addr6(&net.netif, idx), address, sizeof(address));
		result_text(result, address);
	} else {
		result_empty(result);
	}
}

static const struct result_column nic_columns[] = {
	{ "NIC", "nic", RESULT_TEXT },
	{ "SWITCH", "switch", RESULT_TEXT },
	{ "MAC", "mac", RESULT_TEXT },
	{ "LINK", "link_mbps", RESULT_COUNT },
	{ "RX", "received_frames", RESULT_COUNT },
	{ "RX-BYTES", "received_bytes", RESULT_BYTES },
	{ "TX", "sent_frames", RESULT_COUNT },
	{ "TX-BYTES", "sent_bytes", RESULT_BYTES },
	{ "DROPPED", "dropped_frames", RESULT_COUNT },
	{ "TOO LONG", "too_long_frames", RESULT_COUNT },
	{ "ERRORS", "errors", RESULT_COUNT },
	{ "MTU", "mtu", RESULT_COUNT },
};

static void print_nics(struct result *result)
{
	uint32_t i;

	result_begin(result, "nics", RESULT_TABLE, nic_columns,
	             sizeof(nic_columns) / sizeof(nic_columns[0]));
	for (i = 0; uplink_nic(i) != NULL; i++) {
		const struct nic *nic = uplink_nic(i);

		result_text(result, nic->device->name);
		result_text(result, uplink_switch(i));
		put_mac(result, nic->mac);
		if (nic->is_link_up) {
			result_value(result, nic->link_mbps);
		} else {
			result_empty(result);
		}
		result_value(result, nic->received_count);
		result_value(result, nic->received_bytes);
		result_value(result, nic->sent_count);
		result_value(result, nic->sent_bytes);
		result_value(result, nic->dropped_count);
		result_value(result, nic->too_long_count);
		result_value(result, nic->errors_count);
		result_value(result, nic->frame_max - NIC_HEADER_BYTES);
	}
}

static void print_interface(struct result *result)
{
	uint32_t columns = sizeof(interface_columns) / sizeof(interface_columns[0]);
	uint32_t i;

	result_begin(result, "interface", RESULT_RECORD, interface_columns, columns);
	if (net.port == NULL) {
		result_text(result, "none");
		for (i = 1; i < columns; i++) {
			result_empty(result);
		}
		return;
	}
	result_text(result, net.config.net_switch);
	put_mac(result, net.netif.hwaddr);
	put_addresses(result);
	put_ipv6(result, 0);
	put_ipv6(result, 1);
	result_value(result, net.received_count);
	result_value(result, net.received_bytes);
	result_value(result, net.sent_count);
	result_value(result, net.sent_bytes);
	result_value(result, net.dropped_count);
	result_value(result, lwip_stats.ip.chkerr + lwip_stats.tcp.chkerr + lwip_stats.udp.chkerr);
	result_value(result, lwip_stats.mem.err + lwip_stats.tcp.memerr);
}

void net_print_stat(struct result *result)
{
	print_interface(result);
	print_nics(result);
}
