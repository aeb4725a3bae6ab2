/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as `fetch` takes them (RFC 3986, RFC 3617 for tftp): http and tftp, no user, no fragment. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_HOST_SIZE 254u
#define URL_PATH_SIZE 512u

enum url_scheme {
	URL_HTTP,
	URL_TFTP,
};

struct url {
	enum url_scheme scheme;
	uint16_t port;
	bool has_port;            /* it was written out */
	char host[URL_HOST_SIZE]; /* an IPv6 address without its brackets */
	char path[URL_PATH_SIZE]; /* with query; begins with / */
};

/* False with a sentence in why: it says what is wrong. */
bool url_read(struct url *url, const char *text, const char **why);

/* A Location of a redirect: a whole URL, or one that begins where the present one does (RFC 3986 4.2). */
bool url_follow(struct url *url, const char *location, const char **why);

/* The last part of the path, made of a-z, A-Z, 0-9, '.', '_', '-' and '+' only; "" if there is none. */
void url_file_name(const struct url *url, char *out, size_t size);
