// SPDX-License-Identifier: Apache-2.0
/*
 * Reading URLs (see url.h).
 */
#include "mgmt/net/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HTTP_PORT 80u
#define TFTP_PORT 69u

static bool read_scheme(struct url *url, const char **text, const char **why)
{
	static const struct {
		const char *prefix;
		enum url_scheme scheme;
		uint16_t port;
	} schemes[] = { { "http://", URL_HTTP, HTTP_PORT }, { "tftp://", URL_TFTP, TFTP_PORT } };
	size_t i;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t length = strlen(schemes[i].prefix);

		if (strncasecmp(*text, schemes[i].prefix, length) == 0) {
			url->scheme = schemes[i].scheme;
			url->port = schemes[i].port;
			*text += length;
			return true;
		}
	}
	*why = strncasecmp(*text, "https://", 8) == 0
	               ? "https is not supported; fetch by http and give sha256="
	               : "a URL begins with http:// or tftp://";
	return false;
}

static bool is_host_char(char c, bool is_address)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '_' || (is_address && (c == ':' || c == '%'));
}

static bool read_host(struct url *url, const char **text, const char **why)
{
	bool is_address = **text == '[';
	const char *start = *text + (is_address ? 1 : 0);
	size_t length = 0;

	while (is_host_char(start[length], is_address)) {
		length++;
	}
	if (length == 0 || length >= sizeof(url->host) || (is_address && start[length] != ']')) {
		*why = "the host in the URL is no name and no address";
		return false;
	}
	memcpy(url->host, start, length);
	url->host[length] = '\0';
	*text = start + length + (is_address ? 1 : 0);
	return true;
}

static bool read_port(struct url *url, const char **text, const char **why)
{
	uint32_t port = 0;
	const char *at = *text;

	if (*at != ':') {
		return true;
	}
	for (at++; *at >= '0' && *at <= '9' && port <= 65535; at++) {
		port = port * 10 + (uint32_t)(*at - '0');
	}
	if (port == 0 || port > 65535) {
		*why = "the port in the URL is not a number from 1 to 65535";
		return false;
	}
	url->port = (uint16_t)port;
	url->has_port = true;
	*text = at;
	return true;
}

static bool read_path(struct url *url, const char *text, const char **why)
{
	size_t length = strcspn(text, "#");
	size_t i;

	for (i = 0; i < length; i++) {
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f) {
			*why = "the path in the URL has a character that must be written as %XX";
			return false;
		}
	}
	if (length + 2 > sizeof(url->path)) {
		*why = "the path in the URL is longer than 510 characters";
		return false;
	}
	if (length != 0 && text[0] != '/' && text[0] != '?') {
		*why = "the URL goes on after the host with something else than a path";
		return false;
	}
	snprintf(url->path, sizeof(url->path), "%s%.*s", length != 0 && text[0] == '/' ? "" : "/",
	         (int)length, text);
	return true;
}

bool url_read(struct url *url, const char *text, const char **why)
{
	memset(url, 0, sizeof(*url));
	if (!read_scheme(url, &text, why) || !read_host(url, &text, why) ||
	    !read_port(url, &text, why) || !read_path(url, text, why)) {
		return false;
	}
	if (url->scheme == URL_TFTP && url->path[1] == '\0') {
		*why = "the URL names no file";
		return false;
	}
	return true;
}

/* Length of the path's folder, with its last slash. */
static size_t folder_length(const char *path, size_t length)
{
	while (length > 0 && path[length - 1] != '/') {
		length--;
	}
	return length;
}

/* A reference without a scheme or a host (RFC 3986 5.2): what it begins with is found in the path that there is. */
static bool follow_relative(struct url *url, const char *location, const char **why)
{
	static char whole[2 * URL_PATH_SIZE];
	size_t length = strcspn(url->path, "?");

	if (location[0] != '?') {
		length = location[0] == '/' ? 0 : folder_length(url->path, length);
	}
	while (strncmp(location, "./", 2) == 0 || strncmp(location, "../", 3) == 0) {
		if (location[1] == '.' && length > 1) {
			length = folder_length(url->path, length - 1);
		}
		location += location[1] == '.' ? 3 : 2;
	}
	snprintf(whole, sizeof(whole), "%.*s%s", (int)length, url->path, location);
	return read_path(url, whole, why);
}

bool url_follow(struct url *url, const char *location, const char **why)
{
	static char whole[URL_PATH_SIZE + sizeof("http:")];
	struct url next;

	if (location[0] == '/' && location[1] == '/') {
		snprintf(whole, sizeof(whole), "http:%.511s", location);
		location = whole;
	} else if (location[strcspn(location, ":/?#")] != ':') {
		return follow_relative(url, location, why);
	}
	if (!url_read(&next, location, why)) {
		return false;
	}
	if (next.scheme != URL_HTTP) {
		*why = "the server sends us to another protocol";
		return false;
	}
	*url = next;
	return true;
}

void url_file_name(const struct url *url, char *out, size_t size)
{
	size_t end = strcspn(url->path, "?");
	size_t start = end;
	size_t used = 0;
	size_t i;

	while (start > 0 && url->path[start - 1] != '/') {
		start--;
	}
	for (i = start; i < end && used + 1 < size; i++) {
		char c = url->path[i];

		if (is_host_char(c, false) || c == '+') {
			out[used++] = c;
		}
	}
	out[used] = '\0';
}
