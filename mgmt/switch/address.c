// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses: text and prefixes (see address.h). IPv6 text is read as RFC 4291 2.2 and written as RFC 5952,
 * but for the dotted form of the last 32 bits, which is neither read nor written.
 */
#include "mgmt/switch/address.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/config.h"

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, c | 0x20);

	return at != NULL && c >= '0' ? (int)(at - digits) : -1;
}

/* Up to four hexadecimal digits; the rest of the text, or NULL. */
static const char *read_group(const char *text, uint16_t *group)
{
	const char *start = text;
	uint32_t value = 0;

	while (hex_digit(*text) >= 0 && text - start < 4) {
		value = value << 4 | (uint32_t)hex_digit(*text++);
	}
	*group = (uint16_t)value;
	return text == start || hex_digit(*text) >= 0 ? NULL : text;
}

/* Groups of 16 bits until the text of the address ends. `gap` is where "::" stood, 8 = nowhere. */
static const char *read_groups(const char *text, uint16_t groups[8], uint32_t *count, uint32_t *gap)
{
	*count = 0;
	*gap = 8;
	if (text[0] == ':' && text[1] == ':') {
		*gap = 0;
		text += 2;
	}
	while (*text != '\0' && *text != '/') {
		if (*count == 8) {
			return NULL;
		}
		text = read_group(text, &groups[(*count)++]);
		if (text == NULL) {
			return NULL;
		}
		if (text[0] == ':' && text[1] == ':') {
			if (*gap != 8) {
				return NULL;
			}
			*gap = *count;
			text += 2;
		} else if (text[0] == ':' && hex_digit(text[1]) >= 0) {
			text++;
		} else if (*text != '\0' && *text != '/') {
			return NULL;
		}
	}
	return text;
}

static const char *read_ipv6(const char *text, uint8_t address[16])
{
	uint16_t groups[8];
	uint32_t count;
	uint32_t gap;
	uint32_t i;

	text = read_groups(text, groups, &count, &gap);
	if (text == NULL || (gap == 8 && count != 8) || (gap != 8 && count == 8)) {
		return NULL;
	}
	memset(address, 0, 16);
	for (i = 0; i < count; i++) {
		uint32_t to = i < gap ? i : 8 - count + i;

		address[2 * to] = (uint8_t)(groups[i] >> 8);
		address[2 * to + 1] = (uint8_t)groups[i];
	}
	return text;
}

static const char *read_address(const char *text, struct switch_prefix *prefix)
{
	uint32_t ipv4;
	const char *end;

	memset(prefix, 0, sizeof(*prefix));
	if (strchr(text, ':') != NULL) {
		prefix->version = 6;
		prefix->bits = 128;
		return read_ipv6(text, prefix->address);
	}
	end = config_ipv4_read(text, &ipv4);
	prefix->version = 4;
	prefix->bits = 32;
	prefix->address[0] = (uint8_t)(ipv4 >> 24);
	prefix->address[1] = (uint8_t)(ipv4 >> 16);
	prefix->address[2] = (uint8_t)(ipv4 >> 8);
	prefix->address[3] = (uint8_t)ipv4;
	return end;
}

/* Up to three digits and nothing else. */
static bool read_bits(const char *text, uint32_t max, uint8_t *bits)
{
	uint32_t value = 0;
	uint32_t i;

	for (i = 0; i < 3 && text[i] >= '0' && text[i] <= '9'; i++) {
		value = value * 10 + (uint32_t)(text[i] - '0');
	}
	if (i == 0 || text[i] != '\0' || value > max) {
		return false;
	}
	*bits = (uint8_t)value;
	return true;
}

/* Clears what is behind the prefix's bits. */
static void mask(struct switch_prefix *prefix)
{
	uint32_t bit;

	for (bit = prefix->bits; bit < 128; bit++) {
		prefix->address[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
	}
}

bool switch_prefix_parse(const char *text, struct switch_prefix *prefix)
{
	struct switch_prefix read;
	const char *end = read_address(text, &read);

	if (end == NULL || (*end == '/' && !read_bits(end + 1, read.bits, &read.bits)) ||
	    (*end != '/' && *end != '\0')) {
		return false;
	}
	mask(&read);
	*prefix = read;
	return true;
}

static uint32_t group_of(const uint8_t *address, uint32_t i)
{
	return (uint32_t)address[2 * i] << 8 | address[2 * i + 1];
}

/* The longest run of at least two groups of zero, the first of equals. */
static uint32_t find_zeroes(const uint8_t *address, uint32_t *length)
{
	uint32_t best = 8;
	uint32_t i;

	*length = 1;
	for (i = 0; i < 8; i++) {
		uint32_t end = i;

		while (end < 8 && group_of(address, end) == 0) {
			end++;
		}
		if (end - i > *length) {
			best = i;
			*length = end - i;
		}
	}
	return best;
}

static void print_ipv6(const uint8_t *address, char *out, size_t size)
{
	uint32_t length;
	uint32_t zeroes = find_zeroes(address, &length);
	size_t used = 0;
	uint32_t i = 0;

	out[0] = '\0';
	while (i < 8 && used < size) {
		if (i == zeroes) {
			used += (size_t)snprintf(out + used, size - used, "::");
			i += length;
			continue;
		}
		used += (size_t)snprintf(out + used, size - used, "%s%x",
		                         i != 0 && i != zeroes + length ? ":" : "",
		                         (unsigned int)group_of(address, i));
		i++;
	}
}

void switch_prefix_print(const struct switch_prefix *prefix, char *out, size_t size)
{
	const uint8_t *address = prefix->address;
	char text[SWITCH_PREFIX_TEXT];
	uint32_t full = prefix->version == 4 ? 32 : 128;

	if (prefix->version == 4) {
		snprintf(text, sizeof(text), "%u.%u.%u.%u", address[0], address[1], address[2],
		         address[3]);
	} else {
		print_ipv6(address, text, sizeof(text));
	}
	if (prefix->bits == full) {
		snprintf(out, size, "%s", text);
	} else {
		snprintf(out, size, "%s/%u", text, (unsigned int)prefix->bits);
	}
}

bool switch_prefix_has(const struct switch_prefix *prefix, uint8_t version, const uint8_t *address)
{
	uint32_t bytes = prefix->bits / 8u;
	uint32_t rest = prefix->bits % 8u;

	if (prefix->version != version || memcmp(prefix->address, address, bytes) != 0) {
		return false;
	}
	return rest == 0 || ((prefix->address[bytes] ^ address[bytes]) >> (8 - rest)) == 0;
}

bool switch_mac_parse(const char *text, uint8_t mac[6])
{
	uint32_t i;

	if (strlen(text) != SWITCH_MAC_TEXT - 1) {
		return false;
	}
	for (i = 0; i < 6; i++) {
		int high = hex_digit(text[3 * i]);
		int low = hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) {
			return false;
		}
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void switch_mac_print(const uint8_t *mac, char out[SWITCH_MAC_TEXT])
{
	snprintf(out, SWITCH_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
	         mac[3], mac[4], mac[5]);
}
