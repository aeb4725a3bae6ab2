// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP answers (see http.h): lines are gathered in a buffer of fixed size, the body is handed on as it
 * lies. Two lengths that disagree, or a length beside chunks, are an error (RFC 9112 6.3).
 */
#include "mgmt/net/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void fail(struct http *http, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct http *http, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(http->error, sizeof(http->error), format, arguments);
	va_end(arguments);
	http->state = HTTP_FAILED;
}

size_t http_request(const struct url *url, char *out, size_t size)
{
	bool is_ipv6 = strchr(url->host, ':') != NULL;
	char port[8] = "";
	int length;

	if (url->has_port) {
		snprintf(port, sizeof(port), ":%u", (unsigned int)url->port);
	}
	length = snprintf(out, size,
	                  "GET %s HTTP/1.1\r\nHost: %s%s%s%s\r\nUser-Agent: Bulkhead\r\n"
	                  "Accept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n",
	                  url->path, is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "", port);
	return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

void http_init(struct http *http)
{
	memset(http, 0, sizeof(*http));
}

/* A number in the base; false if it is none or too large. */
static bool read_number(const char *text, uint32_t base, uint64_t *value, const char **end)
{
	const char *at = text;

	*value = 0;
	for (;; at++) {
		uint32_t digit = *at >= '0' && *at <= '9'   ? (uint32_t)(*at - '0')
		                 : *at >= 'a' && *at <= 'f' ? (uint32_t)(*at - 'a') + 10
		                 : *at >= 'A' && *at <= 'F' ? (uint32_t)(*at - 'A') + 10
		                                            : 99;

		if (digit >= base) {
			break;
		}
		if (*value >> 48 != 0) {
			return false;
		}
		*value = *value * base + digit;
	}
	*end = at;
	return at != text;
}

static void take_status(struct http *http)
{
	const char *line = http->line;
	uint64_t status;
	const char *end;

	if (strncmp(line, "HTTP/1.", 7) != 0 || line[7] == '\0' || line[8] != ' ' ||
	    !read_number(line + 9, 10, &status, &end) || end != line + 12 || status < 100) {
		fail(http, "the server does not speak HTTP/1.1");
		return;
	}
	http->status = (uint32_t)status;
	http->state = HTTP_HEADERS;
}

/* The value of a header of this name, or NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	if (strncasecmp(line, name, length) != 0 || line[length] != ':') {
		return NULL;
	}
	line += length + 1;
	return line + strspn(line, " \t");
}

static void take_length(struct http *http, const char *value)
{
	uint64_t length;
	const char *end;

	if (!read_number(value, 10, &length, &end) || end[strspn(end, " \t")] != '\0' ||
	    (http->has_length && http->length != length)) {
		fail(http, "the server says a length that is none");
		return;
	}
	http->length = length;
	http->has_length = true;
}

static void take_header(struct http *http)
{
	const char *value;

	value = value_of(http->line, "Content-Length");
	if (value != NULL) {
		take_length(http, value);
		return;
	}
	value = value_of(http->line, "Transfer-Encoding");
	if (value != NULL) {
		if (strcasecmp(value, "chunked") != 0) {
			fail(http, "the server sends in an encoding that is not known: %.32s",
			     value);
		}
		http->is_chunked = true;
		return;
	}
	value = value_of(http->line, "Content-Encoding");
	if (value != NULL && strcasecmp(value, "identity") != 0) {
		fail(http, "the server sends the file packed as %.32s", value);
		return;
	}
	value = value_of(http->line, "Location");
	if (value != NULL) {
		if (strlen(value) >= sizeof(http->location)) {
			fail(http, "the server sends us to a URL that is too long");
			return;
		}
		snprintf(http->location, sizeof(http->location), "%s", value);
	}
}

static void end_headers(struct http *http)
{
	if (http->status / 100 == 1) { /* an interim answer (RFC 9110 15.2) */
		uint32_t lines = http->lines_count;

		http_init(http);
		http->lines_count = lines;
		return;
	}
	if (http->is_chunked && http->has_length) {
		fail(http, "the server says two lengths");
	} else if (http->is_chunked) {
		http->state = HTTP_CHUNK_SIZE;
	} else if (http->has_length && http->length == 0) {
		http->state = HTTP_DONE;
	} else {
		http->left = http->has_length ? http->length : UINT64_MAX;
		http->state = HTTP_BODY;
	}
}

static void take_chunk_size(struct http *http)
{
	const char *end;

	if (!read_number(http->line, 16, &http->left, &end) ||
	    (*end != '\0' && *end != ';' && *end != ' ')) {
		fail(http, "the server sends a chunk whose length is none");
		return;
	}
	http->lines_count = 0;
	http->state = http->left != 0 ? HTTP_CHUNK : HTTP_TRAILERS;
}

static void take_line(struct http *http)
{
	bool is_empty = http->line[0] == '\0';

	if (++http->lines_count > HTTP_LINES_MAX) {
		fail(http, "the server sends too many lines");
		return;
	}
	switch (http->state) {
	case HTTP_STATUS:
		take_status(http);
		break;
	case HTTP_HEADERS:
		if (is_empty) {
			end_headers(http);
		} else {
			take_header(http);
		}
		break;
	case HTTP_CHUNK_SIZE:
		take_chunk_size(http);
		break;
	case HTTP_CHUNK_END:
		if (is_empty) {
			http->state = HTTP_CHUNK_SIZE;
		} else {
			fail(http, "a chunk is longer than the server said");
		}
		break;
	case HTTP_TRAILERS:
		http->state = is_empty ? HTTP_DONE : HTTP_TRAILERS;
		break;
	case HTTP_BODY:
	case HTTP_CHUNK:
	case HTTP_DONE:
	case HTTP_FAILED:
		break;
	}
}

/* One byte of a line; at its end the line is taken. */
static void add_to_line(struct http *http, uint8_t byte)
{
	if (byte == '\n') {
		if (http->line_bytes != 0 && http->line[http->line_bytes - 1] == '\r') {
			http->line_bytes--;
		}
		http->line[http->line_bytes] = '\0';
		http->line_bytes = 0;
		take_line(http);
	} else if (byte == '\0' || http->line_bytes + 1 >= HTTP_LINE_SIZE) {
		fail(http, "the server sends a line that is %s",
		     byte == '\0' ? "no text" : "too long");
	} else {
		http->line[http->line_bytes++] = (char)byte;
	}
}

static size_t take_body(struct http *http, size_t size, size_t room)
{
	size_t part = size < room ? size : room;

	part = http->left < part ? (size_t)http->left : part;
	if (http->left != UINT64_MAX || http->state == HTTP_CHUNK) {
		http->left -= part;
	}
	if (http->left == 0) {
		http->state = http->state == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_DONE;
	}
	return part;
}

size_t http_take(struct http *http, const uint8_t *data, size_t size, size_t room,
                 const uint8_t **body, size_t *body_bytes)
{
	size_t taken = 0;

	*body = data;
	*body_bytes = 0;
	while (taken < size && http->state != HTTP_DONE && http->state != HTTP_FAILED) {
		bool had_headers = http_has_headers(http);

		if (http->state == HTTP_BODY || http->state == HTTP_CHUNK) {
			*body = data + taken;
			*body_bytes = take_body(http, size - taken, room);
			return taken + *body_bytes;
		}
		add_to_line(http, data[taken++]);
		if (!had_headers && http_has_headers(http)) {
			break;
		}
	}
	return taken;
}

void http_close(struct http *http)
{
	if (http->state == HTTP_DONE || http->state == HTTP_FAILED) {
		return;
	}
	if (http->state == HTTP_BODY && !http->has_length) {
		http->state = HTTP_DONE;
	} else if (http->state < HTTP_BODY) {
		fail(http, "the server closes the connection without an answer");
	} else {
		fail(http, "the server closes the connection before the end of the file");
	}
}
