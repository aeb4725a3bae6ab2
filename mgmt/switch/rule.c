// SPDX-License-Identifier: Apache-2.0
/*
 * Rules as text (see rule.h): one word after the other, each a name and a value. An error tells the word and
 * what would be good in its place.
 */
#include "mgmt/switch/rule.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/switch/frame.h"

#define WORD_SIZE 64u

/* Numbers with names. */
struct named {
	const char *name;
	uint16_t number;
};

static const struct named ethertypes[] = { { "ipv4", ETHERTYPE_IPV4 },
	                                   { "ipv6", ETHERTYPE_IPV6 },
	                                   { "arp", ETHERTYPE_ARP } };

static const struct named protocols[] = { { "tcp", IP_PROTOCOL_TCP },
	                                  { "udp", IP_PROTOCOL_UDP },
	                                  { "icmp", IP_PROTOCOL_ICMP },
	                                  { "icmpv6", IP_PROTOCOL_ICMPV6 } };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* A decimal number, or with 0x a hexadecimal one; the rest of the text, or NULL. */
static const char *read_number(const char *text, uint32_t max, uint16_t *number)
{
	int base = text[0] == '0' && text[1] == 'x' ? 16 : 10;
	uint32_t value = 0;
	const char *start;

	text += base == 16 ? 2 : 0;
	for (start = text; hex_value(*text) >= 0 && hex_value(*text) < base; text++) {
		value = value * (uint32_t)base + (uint32_t)hex_value(*text);
		if (value > max) {
			return NULL;
		}
	}
	*number = (uint16_t)value;
	return text == start ? NULL : text;
}

static bool read_all(const char *text, uint32_t max, uint16_t *number)
{
	const char *end = read_number(text, max, number);

	return end != NULL && *end == '\0';
}

static bool read_named(const char *text, const struct named *table, size_t count, uint32_t max,
                       uint16_t *number)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (strcmp(table[i].name, text) == 0) {
			*number = table[i].number;
			return true;
		}
	}
	return read_all(text, max, number);
}

static bool read_range(const char *text, uint16_t range[2])
{
	const char *end = read_number(text, 65535, &range[0]);

	range[1] = range[0];
	if (end != NULL && *end == '-') {
		end = read_number(end + 1, 65535, &range[1]);
	}
	return end != NULL && *end == '\0' && range[0] <= range[1];
}

/* ---- the words ------------------------------------------------------------------------------- */

/* A port's name: no blanks, no signs that need quotes, and not a number alone. */
static bool set_port(struct switch_rule *rule, const char *value)
{
	size_t length = strlen(value);

	if (length == 0 || length >= sizeof(rule->port) ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != length ||
	    strspn(value, "0123456789") == length) {
		return false;
	}
	memcpy(rule->port, value, length + 1);
	return true;
}

static bool set_smac(struct switch_rule *rule, const char *value)
{
	return switch_mac_parse(value, rule->smac);
}

static bool set_dmac(struct switch_rule *rule, const char *value)
{
	return switch_mac_parse(value, rule->dmac);
}

static bool set_ether(struct switch_rule *rule, const char *value)
{
	return read_named(value, ethertypes, COUNT(ethertypes), 0xffff, &rule->ethertype) &&
	       rule->ethertype >= ETHERTYPE_FIRST;
}

static bool set_vlan(struct switch_rule *rule, const char *value)
{
	return read_all(value, 4094, &rule->vlan);
}

static bool set_src(struct switch_rule *rule, const char *value)
{
	return switch_prefix_parse(value, &rule->source);
}

static bool set_dst(struct switch_rule *rule, const char *value)
{
	return switch_prefix_parse(value, &rule->destination);
}

static bool set_proto(struct switch_rule *rule, const char *value)
{
	uint16_t number;

	if (!read_named(value, protocols, COUNT(protocols), 255, &number)) {
		return false;
	}
	rule->protocol = (uint8_t)number;
	return true;
}

static bool set_sport(struct switch_rule *rule, const char *value)
{
	return read_range(value, rule->sport);
}

static bool set_dport(struct switch_rule *rule, const char *value)
{
	return read_range(value, rule->dport);
}

static bool set_icmp_type(struct switch_rule *rule, const char *value)
{
	uint16_t number;

	if (!read_all(value, 255, &number)) {
		return false;
	}
	rule->icmp_type = (uint8_t)number;
	return true;
}

static const struct rule_word {
	const char *name;
	uint32_t field;
	bool (*set)(struct switch_rule *rule, const char *value);
	const char *meant;
} rule_words[] = {
	{ "port", RULE_HAS_PORT, set_port,
	  "a port of the switch, as alpha.0 (of TCP and UDP: sport, dport)" },
	{ "smac", RULE_HAS_SMAC, set_smac, "a MAC address, as 52:42:48:00:00:01" },
	{ "dmac", RULE_HAS_DMAC, set_dmac, "a MAC address, as 52:42:48:00:00:01" },
	{ "ether", RULE_HAS_ETHER, set_ether, "ipv4, ipv6, arp, or a type, as 0x88cc" },
	{ "vlan", RULE_HAS_VLAN, set_vlan, "a number from 0 (no tag) to 4094" },
	{ "src", RULE_HAS_SRC, set_src, "an address or network, as 10.0.0.0/8 or fd00::/64" },
	{ "dst", RULE_HAS_DST, set_dst, "an address or network, as 10.0.0.0/8 or fd00::/64" },
	{ "proto", RULE_HAS_PROTO, set_proto, "tcp, udp, icmp, icmpv6, or a number up to 255" },
	{ "sport", RULE_HAS_SPORT, set_sport, "a port, or a range, as 1024-65535" },
	{ "dport", RULE_HAS_DPORT, set_dport, "a port, or a range, as 1024-65535" },
	{ "icmp-type", RULE_HAS_ICMP_TYPE, set_icmp_type, "a number up to 255, as 8" },
};

static const struct rule_word *find_word(const char *word, size_t length)
{
	size_t i;

	for (i = 0; i < COUNT(rule_words); i++) {
		if (strlen(rule_words[i].name) == length &&
		    memcmp(rule_words[i].name, word, length) == 0) {
			return &rule_words[i];
		}
	}
	return NULL;
}

/* in, out, or name=value. False with the reason. */
static bool take_word(struct switch_rule *rule, const char *word, char *why, size_t size)
{
	const char *equals = strchr(word, '=');
	const struct rule_word *known;

	if (strcmp(word, "in") == 0 || strcmp(word, "out") == 0) {
		rule->directions |= word[0] == 'i' ? SWITCH_RULE_IN : SWITCH_RULE_OUT;
		return true;
	}
	known = equals != NULL ? find_word(word, (size_t)(equals - word)) : NULL;
	if (known == NULL) {
		snprintf(why, size,
		         "'%.40s' is not good; meant is in, out, or one of port= smac= dmac= "
		         "ether= vlan= src= dst= proto= sport= dport= icmp-type=",
		         word);
		return false;
	}
	if ((rule->fields & known->field) != 0) {
		snprintf(why, size, "%s= is given twice", known->name);
		return false;
	}
	if (!known->set(rule, equals + 1)) {
		snprintf(why, size, "'%.40s' is not good; meant is %s", word, known->meant);
		return false;
	}
	rule->fields |= known->field;
	return true;
}

/* The next word of the text; false at its end. A word that is too long is cut, which makes it a bad one. */
static bool next_word(const char *text, size_t *at, char word[WORD_SIZE], size_t *start)
{
	size_t length;

	*at += strspn(text + *at, " \t");
	*start = *at;
	length = strcspn(text + *at, " \t");
	*at += length;
	length = length < WORD_SIZE ? length : WORD_SIZE - 1;
	memcpy(word, text + *start, length);
	word[length] = '\0';
	return length != 0;
}

static bool is_deny_word(const char *word)
{
	return strcmp(word, "deny") == 0 || strcmp(word, "drop") == 0;
}

static bool has_tcp_or_udp(const struct switch_rule *rule)
{
	return (rule->fields & RULE_HAS_PROTO) == 0 || rule->protocol == IP_PROTOCOL_TCP ||
	       rule->protocol == IP_PROTOCOL_UDP;
}

static bool has_icmp(const struct switch_rule *rule)
{
	return (rule->fields & RULE_HAS_PROTO) != 0 &&
	       (rule->protocol == IP_PROTOCOL_ICMP || rule->protocol == IP_PROTOCOL_ICMPV6);
}

/* What the rule asks for of an IP version, 0 = any, 1 = of both, which no frame has. */
static uint32_t version_of(const struct switch_rule *rule)
{
	uint32_t seen = 0;

	if ((rule->fields & RULE_HAS_SRC) != 0) {
		seen |= 1u << rule->source.version;
	}
	if ((rule->fields & RULE_HAS_DST) != 0) {
		seen |= 1u << rule->destination.version;
	}
	if ((rule->fields & RULE_HAS_PROTO) != 0 && rule->protocol == IP_PROTOCOL_ICMP) {
		seen |= 1u << 4;
	}
	if ((rule->fields & RULE_HAS_PROTO) != 0 && rule->protocol == IP_PROTOCOL_ICMPV6) {
		seen |= 1u << 6;
	}
	return seen == 0 ? 0 : seen == 1u << 4 ? 4 : seen == 1u << 6 ? 6 : 1;
}

#define RULE_NEEDS_IP                                                                     \
	(RULE_HAS_SRC | RULE_HAS_DST | RULE_HAS_PROTO | RULE_HAS_SPORT | RULE_HAS_DPORT | \
	 RULE_HAS_ICMP_TYPE)

/* What no frame can match is a mistake; NULL if there is none. */
static const char *contradiction(const struct switch_rule *rule)
{
	uint32_t version = version_of(rule);

	if ((rule->fields & (RULE_HAS_SPORT | RULE_HAS_DPORT)) != 0 && !has_tcp_or_udp(rule)) {
		return "sport= and dport= go with proto=tcp or proto=udp only";
	}
	if ((rule->fields & RULE_HAS_ICMP_TYPE) != 0 && !has_icmp(rule)) {
		return "icmp-type= needs proto=icmp or proto=icmpv6";
	}
	if (version == 1) {
		return "IPv4 and IPv6 are asked for at once";
	}
	if ((rule->fields & RULE_HAS_ETHER) != 0 && (rule->fields & RULE_NEEDS_IP) != 0 &&
	    (rule->ethertype != ETHERTYPE_IPV4 || version == 6) &&
	    (rule->ethertype != ETHERTYPE_IPV6 || version == 4)) {
		return "ether= is another than the rest of the rule asks for";
	}
	return NULL;
}

bool switch_rule_parse(const char *text, struct switch_rule *rule, char *why, size_t size,
                       size_t *offset)
{
	struct switch_rule read = { .fields = 0 };
	char word[WORD_SIZE];
	const char *wrong;
	size_t at = 0;

	if (!next_word(text, &at, word, offset) ||
	    (!is_deny_word(word) && strcmp(word, "allow") != 0 && strcmp(word, "accept") != 0)) {
		snprintf(why, size,
		         "a rule begins with allow or deny, as in 'deny in proto=tcp "
		         "dport=22'");
		return false;
	}
	read.is_deny = is_deny_word(word);
	while (next_word(text, &at, word, offset)) {
		if (!take_word(&read, word, why, size)) {
			return false;
		}
	}
	*offset = 0;
	wrong = contradiction(&read);
	if (wrong != NULL) {
		snprintf(why, size, "%s", wrong);
		return false;
	}
	if (read.directions == 0) {
		read.directions = SWITCH_RULE_IN | SWITCH_RULE_OUT;
	}
	*rule = read;
	return true;
}

/* ---- printing -------------------------------------------------------------------------------- */

struct writer {
	char *out;
	size_t size;
	size_t used;
};

static void put(struct writer *writer, const char *name, const char *value)
{
	int length;

	if (writer->used >= writer->size) {
		return;
	}
	length = snprintf(writer->out + writer->used, writer->size - writer->used, " %s%s", name,
	                  value);
	writer->used += (size_t)length;
}

static void put_named(struct writer *writer, const char *name, uint16_t number,
                      const struct named *table, size_t count)
{
	char text[16];
	size_t i;

	for (i = 0; i < count; i++) {
		if (table[i].number == number) {
			put(writer, name, table[i].name);
			return;
		}
	}
	snprintf(text, sizeof(text), table == ethertypes ? "0x%04x" : "%u", (unsigned int)number);
	put(writer, name, text);
}

static void put_range(struct writer *writer, const char *name, const uint16_t range[2])
{
	char text[16];

	if (range[0] == range[1]) {
		snprintf(text, sizeof(text), "%u", (unsigned int)range[0]);
	} else {
		snprintf(text, sizeof(text), "%u-%u", (unsigned int)range[0],
		         (unsigned int)range[1]);
	}
	put(writer, name, text);
}

static void put_link(struct writer *writer, const struct switch_rule *rule)
{
	char text[SWITCH_PREFIX_TEXT];

	if ((rule->fields & RULE_HAS_PORT) != 0) {
		put(writer, "port=", rule->port);
	}
	if ((rule->fields & RULE_HAS_SMAC) != 0) {
		switch_mac_print(rule->smac, text);
		put(writer, "smac=", text);
	}
	if ((rule->fields & RULE_HAS_DMAC) != 0) {
		switch_mac_print(rule->dmac, text);
		put(writer, "dmac=", text);
	}
	if ((rule->fields & RULE_HAS_ETHER) != 0) {
		put_named(writer, "ether=", rule->ethertype, ethertypes, COUNT(ethertypes));
	}
	if ((rule->fields & RULE_HAS_VLAN) != 0) {
		snprintf(text, sizeof(text), "%u", (unsigned int)rule->vlan);
		put(writer, "vlan=", text);
	}
}

static void put_ip(struct writer *writer, const struct switch_rule *rule)
{
	char text[SWITCH_PREFIX_TEXT];

	if ((rule->fields & RULE_HAS_SRC) != 0) {
		switch_prefix_print(&rule->source, text, sizeof(text));
		put(writer, "src=", text);
	}
	if ((rule->fields & RULE_HAS_DST) != 0) {
		switch_prefix_print(&rule->destination, text, sizeof(text));
		put(writer, "dst=", text);
	}
	if ((rule->fields & RULE_HAS_PROTO) != 0) {
		put_named(writer, "proto=", rule->protocol, protocols, COUNT(protocols));
	}
	if ((rule->fields & RULE_HAS_SPORT) != 0) {
		put_range(writer, "sport=", rule->sport);
	}
	if ((rule->fields & RULE_HAS_DPORT) != 0) {
		put_range(writer, "dport=", rule->dport);
	}
	if ((rule->fields & RULE_HAS_ICMP_TYPE) != 0) {
		snprintf(text, sizeof(text), "%u", (unsigned int)rule->icmp_type);
		put(writer, "icmp-type=", text);
	}
}

void switch_rule_print(const struct switch_rule *rule, char *out, size_t size)
{
	struct writer writer = { .out = out, .size = size };

	writer.used = (size_t)snprintf(out, size, "%s", rule->is_deny != 0 ? "deny" : "allow");
	if (rule->directions == SWITCH_RULE_IN) {
		put(&writer, "in", "");
	} else if (rule->directions == SWITCH_RULE_OUT) {
		put(&writer, "out", "");
	}
	put_link(&writer, rule);
	put_ip(&writer, rule);
}

/* ---- records that were in memory of others --------------------------------------------------- */

static bool prefix_is_sane(const struct switch_prefix *prefix)
{
	return (prefix->version == 4 && prefix->bits <= 32) ||
	       (prefix->version == 6 && prefix->bits <= 128);
}

bool switch_rule_is_sane(const struct switch_rule *rule)
{
	if (rule->fields >= RULE_HAS_ICMP_TYPE << 1 || rule->is_deny > 1 || rule->directions == 0 ||
	    rule->directions > (SWITCH_RULE_IN | SWITCH_RULE_OUT) ||
	    memchr(rule->port, '\0', sizeof(rule->port)) == NULL) {
		return false;
	}
	return ((rule->fields & RULE_HAS_SRC) == 0 || prefix_is_sane(&rule->source)) &&
	       ((rule->fields & RULE_HAS_DST) == 0 || prefix_is_sane(&rule->destination));
}
