/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as rules and pins hold them: IPv4 and IPv6 prefixes, MAC addresses; their text, and whether an
 * address of a frame is in a prefix. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWITCH_PREFIX_TEXT 52u /* longest text of a prefix, with its end */
#define SWITCH_MAC_TEXT    18u

struct switch_prefix {
	uint8_t version; /* 4 or 6; 0 = none */
	uint8_t bits;
	uint8_t address[16]; /* network order; IPv4 in the first four; no bit behind `bits` */
};

/* Reads an address, or ADDRESS/BITS. False if it is neither. */
bool switch_prefix_parse(const char *text, struct switch_prefix *prefix);
void switch_prefix_print(const struct switch_prefix *prefix, char *out, size_t size);

/* True if the address of that version (network order) is in the prefix. */
bool switch_prefix_has(const struct switch_prefix *prefix, uint8_t version, const uint8_t *address);

/* Six bytes in hexadecimal with colons between. */
bool switch_mac_parse(const char *text, uint8_t mac[6]);
void switch_mac_print(const uint8_t *mac, char out[SWITCH_MAC_TEXT]);
