// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP answers from a hostile server: the first byte says in which pieces they come and how much room
 * there is; whatever comes, the reader goes on or stops, and takes no more than there is.
 */
// sources: mgmt/net/http.c mgmt/net/url.c
#include <stdlib.h>
#include <string.h>

#include "mgmt/net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct http http;
	struct url url = { .host = "h", .path = "/" };
	size_t step = size != 0 ? (size_t)(bytes[0] & 15) + 1 : 1;
	size_t room = size != 0 ? (size_t)(bytes[0] >> 4) * 16 + 1 : 1;
	size_t at = 1;

	http_init(&http);
	while (at < size && http.state != HTTP_DONE && http.state != HTTP_FAILED) {
		size_t part = size - at < step ? size - at : step;
		uint8_t *copy = malloc(part); /* so that a read beyond it is seen */
		const uint8_t *body;
		size_t body_bytes;
		size_t taken;

		memcpy(copy, bytes + at, part);
		taken = http_take(&http, copy, part, room, &body, &body_bytes);
		if (taken == 0 || taken > part || body_bytes > room ||
		    (body_bytes != 0 && (body < copy || body + body_bytes > copy + part))) {
			abort();
		}
		free(copy);
		at += taken;
	}
	if (http_has_headers(&http) && http_is_redirect(&http)) {
		const char *why;

		url_follow(&url, http.location, &why);
	}
	http_close(&http);
	if (http.state != HTTP_DONE && http.state != HTTP_FAILED) {
		abort();
	}
	return 0;
}
