// SPDX-License-Identifier: Apache-2.0
/*
 * Values of the configuration that are network addresses (see config.h). Pure.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/config.h"

/* Reads one decimal of at most max without leading zeros; the rest of the text, or NULL. */
static const char *read_part(const char *text, uint32_t max, uint32_t *value)
{
	const char *start = text;

	*value = 0;
	while (*text >= '0' && *text <= '9' && text - start < 4) {
		*value = *value * 10 + (uint32_t)(*text++ - '0');
	}
	if (text == start || *value > max || (*start == '0' && text - start > 1)) {
		return NULL;
	}
	return text;
}

const char *config_ipv4_read(const char *text, uint32_t *address)
{
	uint32_t part;
	int i;

	*address = 0;
	for (i = 0; i < 4; i++) {
		if (i != 0 && *text++ != '.') {
			return NULL;
		}
		text = read_part(text, 255, &part);
		if (text == NULL) {
			return NULL;
		}
		*address = *address << 8 | part;
	}
	return text;
}

bool config_address_read(const char *text, struct config_address *address)
{
	struct config_address read = { .kind = CONFIG_ADDRESS_STATIC };
	uint32_t host_bits;

	if (strcmp(text, "dhcp") == 0 || strcmp(text, "none") == 0) {
		*address = (struct config_address){ .kind = text[0] == 'd' ? CONFIG_ADDRESS_DHCP
			                                                   : CONFIG_ADDRESS_NONE };
		return true;
	}
	text = config_ipv4_read(text, &read.ipv4);
	if (text == NULL || *text++ != '/') {
		return false;
	}
	text = read_part(text, 30, &read.prefix);
	if (text == NULL || *text != '\0' || read.prefix < 8) {
		return false;
	}
	/* Neither the network itself nor its broadcast address, nor one of no host (RFC 1122 3.2.1.3). */
	host_bits = read.ipv4 & (0xffffffffu >> read.prefix);
	if (host_bits == 0 || host_bits == 0xffffffffu >> read.prefix || read.ipv4 >> 24 == 0 ||
	    read.ipv4 >> 24 == 127 || read.ipv4 >> 28 >= 0xe) {
		return false;
	}
	*address = read;
	return true;
}

void config_address_print(const struct config_address *address, char *out, size_t size)
{
	if (address->kind != CONFIG_ADDRESS_STATIC) {
		snprintf(out, size, "%s", address->kind == CONFIG_ADDRESS_DHCP ? "dhcp" : "none");
		return;
	}
	snprintf(out, size, "%u.%u.%u.%u/%u", (unsigned int)(address->ipv4 >> 24),
	         (unsigned int)(address->ipv4 >> 16 & 0xff),
	         (unsigned int)(address->ipv4 >> 8 & 0xff), (unsigned int)(address->ipv4 & 0xff),
	         (unsigned int)address->prefix);
}

bool config_ip_read(const char *text, char *out)
{
	uint32_t address;
	const char *end = config_ipv4_read(text, &address);

	if (strcmp(text, "none") == 0) {
		text = "";
	} else if (end == NULL || *end != '\0' || address == 0) {
		return false;
	}
	snprintf(out, CONFIG_IP_SIZE, "%s", text);
	return true;
}
