// SPDX-License-Identifier: Apache-2.0
/*
 * Names to addresses by lwIP's DNS client (see resolve.h).
 */
#include "mgmt/net/resolve.h"

#include <lwip/dns.h>
#include <stdint.h>
#include <string.h>

#define RESOLVES_MAX 4u

static struct resolve {
	net_resolve_fn *done; /* NULL: free */
	void *owner;
} resolves[RESOLVES_MAX];

static void resolved(const char *name, const ip_addr_t *address, void *argument)
{
	struct resolve *resolve = argument;
	net_resolve_fn *done = resolve->done;

	(void)name;
	resolve->done = NULL;
	if (done != NULL) {
		done(resolve->owner, address, "no name server knows the name");
	}
}

void net_resolve(const char *name, net_resolve_fn *done, void *owner)
{
	const ip_addr_t *server = dns_getserver(0);
	ip_addr_t address;
	uint32_t i;
	err_t error;

	if (ipaddr_aton(name, &address) != 0) {
		done(owner, &address, "");
		return;
	}
	for (i = 0; i < RESOLVES_MAX && resolves[i].done != NULL; i++) {
	}
	if (i == RESOLVES_MAX) {
		done(owner, NULL, "too many names are being looked up");
		return;
	}
	if (ip_addr_isany(server) && strcmp(name, "localhost") != 0) {
		done(owner, NULL, "no name server is known: set dns in [host], or give an address");
		return;
	}
	resolves[i] = (struct resolve){ .done = done, .owner = owner };
	error = dns_gethostbyname(name, &address, resolved, &resolves[i]);
	if (error == ERR_INPROGRESS) {
		return;
	}
	resolves[i].done = NULL;
	done(owner, error == ERR_OK ? &address : NULL, "it is no host name");
}

void net_address_print(const ip_addr_t *address, char *out, size_t size)
{
	if (ipaddr_ntoa_r(address, out, (int)size) == NULL) {
		out[0] = '\0';
	}
	for (; *out != '\0'; out++) {
		*out = (char)(*out >= 'A' && *out <= 'F' ? *out + ('a' - 'A') : *out);
	}
}
