// SPDX-License-Identifier: Apache-2.0
/*
 * The memory behind a fetch (see fetch_sink.h).
 */
#include "mgmt/net/fetch_sink.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/kept.h"

#define FIRST_BYTES (4u << 20) /* where the length is not known */
#define BYTES_MAX   (1ull << 36)

static struct sink *waiting; /* the only one that may wait */

void sink_open(struct sink *sink, const char *name)
{
	uint32_t ticket = sink->ticket;

	memset(sink, 0, sizeof(*sink));
	snprintf(sink->name, sizeof(sink->name), "%s", name);
	sink->idx = -1;
	sink->ticket = ticket + 1;
	sha256_init(&sink->sha);
}

/* root has cleared a run, or refuses. What is there already moves over. */
static void taken(void *owner, int idx, const char *message)
{
	struct sink *sink = waiting;

	if (sink == NULL || !sink->is_waiting || (uintptr_t)owner != sink->ticket) {
		if (idx >= 0) {
			kept_release((uint32_t)idx);
		}
		return;
	}
	sink->is_waiting = false;
	sink->ticket++;
	if (idx < 0) {
		snprintf(sink->error_text, sizeof(sink->error_text), "no memory for it: %s",
		         message);
		sink->error = sink->error_text;
		return;
	}
	if (sink->idx >= 0) {
		memcpy(kept_address((uint32_t)idx), kept_address((uint32_t)sink->idx),
		       sink->used_bytes);
		kept_release((uint32_t)sink->idx);
	}
	sink->idx = idx;
	sink->capacity_bytes = kept_bytes((uint32_t)idx);
}

void sink_reserve(struct sink *sink, uint64_t bytes)
{
	if (sink->is_waiting || bytes <= sink->capacity_bytes) {
		return;
	}
	waiting = sink;
	if (bytes > BYTES_MAX) {
		sink->error = "the file is larger than 64 GiB";
	} else if (!kept_take(KEPT_FILE, sink->name, bytes, taken,
	                      (void *)(uintptr_t)sink->ticket)) {
		sink->error = "too many requests for memory wait";
	} else {
		sink->is_waiting = true;
	}
}

void sink_grow(struct sink *sink)
{
	sink_reserve(sink, sink->capacity_bytes == 0 ? FIRST_BYTES : 2 * sink->capacity_bytes);
}

uint64_t sink_room(const struct sink *sink)
{
	return sink->is_waiting ? 0 : sink->capacity_bytes - sink->used_bytes;
}

void sink_write(struct sink *sink, const void *bytes, uint64_t size)
{
	if (size == 0) {
		return;
	}
	memcpy((uint8_t *)kept_address((uint32_t)sink->idx) + sink->used_bytes, bytes, size);
	sha256_add(&sink->sha, bytes, size);
	sink->used_bytes += size;
}

void sink_finish(struct sink *sink)
{
	kept_record((uint32_t)sink->idx)->size_bytes = sink->used_bytes;
	sink->idx = -1;
}

void sink_drop(struct sink *sink)
{
	if (sink->idx >= 0) {
		kept_release((uint32_t)sink->idx);
	}
	sink->idx = -1;
	sink->capacity_bytes = 0;
	sink->is_waiting = false;
	sink->ticket++;
}
