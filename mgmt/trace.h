/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's trace as mgmt sees it: memory for it, on and off, and reading its records (bulkhead/trace.h).
 *
 * Memory, state and records outlive mgmt: root keeps the run, the ledger what it is for. Records are read while the kernel
 * writes; one that has been overwritten meanwhile is left out and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bulkhead/trace.h"

#define TRACE_BYTES_MIN   65536u /* of all pCPUs together */
#define TRACE_BYTES_USUAL (1u << 20)
#define TRACE_BYTES_MAX   (256u << 20)

/* How it went: zero, or a negative enum bh_error with what root said. */
typedef void trace_done_fn(int error, const char *message);

/* The words for what can be traced, separated by blanks, and their bits; a word may stand for several kinds. */
extern const char trace_kind_words[];
/* "exits,calls", "all". False if a word is none. */
bool trace_kinds_parse(const char *text, uint32_t *kinds);
void trace_kinds_print(uint32_t kinds, char *out, size_t size);

/*
 * Begin anew, in so many bytes (0: those that there are, else TRACE_BYTES_USUAL); or stop (kinds 0). False if the one before is
 * not done yet.
 */
bool trace_set(uint32_t kinds, uint64_t bytes, trace_done_fn *done);

/* Stop, and give the memory back. False if a request is under way. */
bool trace_drop(void);

/* What is written now; 0: stopped. */
uint32_t trace_kinds_now(void);
/* Bytes of memory; 0: there is none, and no records. */
uint64_t trace_bytes(void);

/* A pCPU's ring. Records [first, head) are there; all before are lost. */
struct trace_span {
	uint64_t first, head;
};
/* False if there is no memory, or no such pCPU. */
bool trace_span_read(uint32_t cpu, struct trace_span *span);
/* Copies a record; false if it is not there any more. */
bool trace_record_read(uint32_t cpu, uint64_t number, struct bh_trace_record *record);
