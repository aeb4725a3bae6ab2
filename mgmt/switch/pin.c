// SPDX-License-Identifier: Apache-2.0
/*
 * Pinned IP addresses (see pin.h). What cannot be read is not let through: a tag in a tag, an IP header that is
 * none, an IPv6 header chain that does not end in the frame's head.
 */
#include "mgmt/switch/pin.h"

#include <string.h>

/* RFC 826, behind the Ethernet header. */
#define ARP_BYTES      28u
#define ARP_SENDER_MAC 8u
#define ARP_SENDER_IP  14u

/* ICMPv6 messages: RFC 4861 4, RFC 2710, RFC 3810. */
#define MLD_REPORT        131u
#define MLD_DONE          132u
#define ROUTER_SOLICIT    133u
#define ROUTER_ADVERT     134u
#define NEIGHBOUR_SOLICIT 135u
#define NEIGHBOUR_ADVERT  136u
#define REDIRECT          137u
#define MLD2_REPORT       143u
#define TARGET_OFFSET     8u

#define DHCP_SERVER_PORT  67u

static const uint8_t no_address[16];

static bool is_pinned_to(const struct switch_pins *pins, uint8_t version, const uint8_t *address)
{
	uint32_t i;

	for (i = 0; i < pins->count && i < SWITCH_PINS_MAX; i++) {
		if (switch_prefix_has(&pins->prefixes[i], version, address)) {
			return true;
		}
	}
	return false;
}

/* The link-local address that is made from the port's MAC address (RFC 4291 appendix A). */
static bool is_own_link_local(const uint8_t mac[6], const uint8_t *address)
{
	const uint8_t own[16] = { 0xfe,       0x80,   0,      0,    0,    0,      0,      0,
		                  mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	return memcmp(address, own, sizeof(own)) == 0;
}

static bool allows_arp(const struct switch_pins *pins, const uint8_t mac[6],
                       const struct switch_frame *frame, const struct frame_fields *fields)
{
	static const uint8_t ethernet_and_ipv4[6] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *arp = frame->head + fields->l3;

	if (fields->l3 + ARP_BYTES > frame->head_bytes ||
	    memcmp(arp, ethernet_and_ipv4, sizeof(ethernet_and_ipv4)) != 0 ||
	    memcmp(arp + ARP_SENDER_MAC, mac, 6) != 0) {
		return false;
	}
	/* A probe (RFC 5227 1.1) has no sender address. */
	return memcmp(arp + ARP_SENDER_IP, no_address, 4) == 0 ||
	       is_pinned_to(pins, 4, arp + ARP_SENDER_IP);
}

static bool allows_ipv4(const struct switch_pins *pins, const struct frame_fields *fields)
{
	if (memcmp(fields->source_ip, no_address, 4) == 0) {
		return fields->has_l4 && fields->protocol == IP_PROTOCOL_UDP &&
		       fields->destination_port == DHCP_SERVER_PORT;
	}
	return is_pinned_to(pins, 4, fields->source_ip);
}

static bool is_own_ipv6(const struct switch_pins *pins, const uint8_t mac[6],
                        const uint8_t *address)
{
	return is_own_link_local(mac, address) || is_pinned_to(pins, 6, address);
}

/* A guest that has one address is no router, and answers for itself alone. */
static bool allows_icmpv6(const struct switch_pins *pins, const uint8_t mac[6],
                          const struct switch_frame *frame, const struct frame_fields *fields)
{
	bool is_nameless = memcmp(fields->source_ip, no_address, 16) == 0;
	const uint8_t *target = frame->head + fields->l4 + TARGET_OFFSET;
	bool has_target = fields->l4 + TARGET_OFFSET + 16 <= frame->head_bytes;

	switch (fields->icmp_type) {
	case ROUTER_ADVERT:
	case REDIRECT:
		return false;
	case NEIGHBOUR_ADVERT:
		return has_target && is_own_ipv6(pins, mac, target);
	case NEIGHBOUR_SOLICIT:
		return !is_nameless || (has_target && is_own_ipv6(pins, mac, target));
	case MLD_REPORT:
	case MLD_DONE:
	case MLD2_REPORT:
	case ROUTER_SOLICIT:
		return true;
	default:
		return !is_nameless;
	}
}

static bool allows_ipv6(const struct switch_pins *pins, const uint8_t mac[6],
                        const struct switch_frame *frame, const struct frame_fields *fields)
{
	bool is_nameless = memcmp(fields->source_ip, no_address, 16) == 0;

	if (!is_nameless && !is_own_ipv6(pins, mac, fields->source_ip)) {
		return false;
	}
	/* Receivers drop neighbour discovery in fragments (RFC 6980 5). */
	if (fields->is_fragment) {
		return !is_nameless;
	}
	if (!fields->has_protocol) {
		return false;
	}
	if (fields->protocol == IP_PROTOCOL_ICMPV6) {
		return fields->has_l4 && allows_icmpv6(pins, mac, frame, fields);
	}
	return !is_nameless;
}

bool switch_pins_allow(const struct switch_pins *pins, const uint8_t mac[6],
                       const struct switch_frame *frame, const struct frame_fields *fields)
{
	if (pins->count == 0) {
		return true;
	}
	if (fields->is_opaque) {
		return false;
	}
	if (fields->ethertype == ETHERTYPE_ARP) {
		return allows_arp(pins, mac, frame, fields);
	}
	if (fields->ip_version == 4) {
		return allows_ipv4(pins, fields);
	}
	return fields->ip_version == 0 || allows_ipv6(pins, mac, frame, fields);
}
