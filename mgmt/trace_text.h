/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved trace as text for a serial line: a head, the records of each pCPU in base64 (RFC 4648), three a line, their SHA-256, an end
 * line. docs/trace.md has the format; scripts/trace2json reads it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/sha256.h"
#include "mgmt/trace.h"

#define TRACE_TEXT_LINE_MAX 256u /* no line is longer, with its LF */

struct trace_text {
	uint32_t stage;
	uint32_t item; /* guest's slot, or pCPU */
	uint64_t number;
	uint64_t records, lost;
	struct trace_span span;
	struct sha256 sha;
};

void trace_text_begin(struct trace_text *text);
/* The next line, with LF and NUL, or no line (an empty string) where there is nothing to say. False after the last. */
bool trace_text_next(struct trace_text *text, char line[TRACE_TEXT_LINE_MAX]);
