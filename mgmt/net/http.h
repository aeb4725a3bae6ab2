/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer of an HTTP server (RFC 9110, RFC 9112), read as its bytes come in. Pure: it keeps no body and opens
 * no connection; the server may send anything.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt/net/url.h"

#define HTTP_LINE_SIZE  1024u
#define HTTP_LINES_MAX  200u
#define HTTP_ERROR_SIZE 96u

enum http_state {
	HTTP_STATUS, /* the first line */
	HTTP_HEADERS,
	HTTP_BODY,
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK,
	HTTP_CHUNK_END,
	HTTP_TRAILERS,
	HTTP_DONE,
	HTTP_FAILED, /* http->error says why */
};

struct http {
	enum http_state state;
	uint32_t status; /* 200, … */
	bool has_length;
	bool is_chunked;
	uint64_t length; /* of the body, if has_length */
	uint64_t left;   /* of the body or chunk */
	uint32_t lines_count;
	uint32_t line_bytes;
	char line[HTTP_LINE_SIZE];
	char location[URL_PATH_SIZE]; /* of a redirect */
	char error[HTTP_ERROR_SIZE];
};

/* Writes the request into out; its length, or 0 if it does not fit. */
size_t http_request(const struct url *url, char *out, size_t size);

void http_init(struct http *http);

/*
 * Takes some of data[size] and returns how much. What it took of the body is *body[*body_bytes], at
 * most `room` bytes. It stops at the end of the headers once, so that the caller can look at them: http_has_headers() is true from then on.
 */
size_t http_take(struct http *http, const uint8_t *data, size_t size, size_t room,
                 const uint8_t **body, size_t *body_bytes);

/* The server has closed the connection: HTTP_DONE or HTTP_FAILED. */
void http_close(struct http *http);

static inline bool http_has_headers(const struct http *http)
{
	return http->state >= HTTP_BODY;
}

static inline bool http_is_redirect(const struct http *http)
{
	return (http->status >= 301 && http->status <= 303) || http->status == 307 ||
	       http->status == 308;
}
