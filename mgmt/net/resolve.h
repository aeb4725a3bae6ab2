/* SPDX-License-Identifier: Apache-2.0 */
/* Host names to addresses, for what speaks lwIP. */
#pragma once

#include <lwip/ip_addr.h>
#include <stddef.h>

/* address is NULL if there is none, and why says the reason. */
typedef void net_resolve_fn(void *owner, const ip_addr_t *address, const char *why);

/* Looks up a name, or reads an address written out. done() is called once, perhaps at once. */
void net_resolve(const char *name, net_resolve_fn *done, void *owner);

/* Writes an address; IPv6 in small letters (RFC 5952 4.3). Room for NET_TEXT_SIZE is enough. */
void net_address_print(const ip_addr_t *address, char *out, size_t size);
