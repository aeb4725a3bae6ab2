/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a fetched file goes: a run of kept memory that grows, and its SHA-256 as it comes in. The
 * file is there for others only once sink_finish() was called.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/sha256.h"

struct sink {
	char name[48];
	int idx; /* of the kept run, -1: none yet */
	uint64_t capacity_bytes;
	uint64_t used_bytes;
	bool is_waiting;   /* for root, which clears a run */
	const char *error; /* NULL: none */
	char error_text[160];
	uint32_t ticket; /* answers to older requests are dropped */
	struct sha256 sha;
};

void sink_open(struct sink *sink, const char *name);

/* Asks for room for so many bytes in all; is_waiting until it is there. */
void sink_reserve(struct sink *sink, uint64_t bytes);

/* Asks for more room than there is, where the file's length is not known. */
void sink_grow(struct sink *sink);

uint64_t sink_room(const struct sink *sink);

/* At most sink_room() bytes. */
void sink_write(struct sink *sink, const void *bytes, uint64_t size);

/* The file is complete: it can be used by its name. */
void sink_finish(struct sink *sink);

/* Gives the memory back. */
void sink_drop(struct sink *sink);
