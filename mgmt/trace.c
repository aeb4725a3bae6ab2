// SPDX-License-Identifier: Apache-2.0
/*
 * The trace's memory, its state, and its records (see trace.h). Never writes what the kernel writes: the run is mapped for reading.
 */
#include "mgmt/trace.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/kept.h"
#include "mgmt/machine.h"

#define BIT_OF(kind) (1u << (kind))
#define KINDS_ALL    (BIT_OF(BH_TRACE_KINDS) - 2)

const char trace_kind_words[] = "all exits injections scheduling signals calls interrupts";

static const struct {
	const char *word;
	uint32_t kinds;
} words[] = {
	{ "all", KINDS_ALL },
	{ "exits", BIT_OF(BH_TRACE_ENTER) | BIT_OF(BH_TRACE_EXIT) },
	{ "injections", BIT_OF(BH_TRACE_INJECT) },
	{ "scheduling", BIT_OF(BH_TRACE_SWITCH) },
	{ "signals", BIT_OF(BH_TRACE_SIGNAL) },
	{ "calls", BIT_OF(BH_TRACE_CALL) | BIT_OF(BH_TRACE_CALL_END) },
	{ "interrupts", BIT_OF(BH_TRACE_INTERRUPT) },
};
#define WORDS_COUNT (sizeof(words) / sizeof(words[0]))

static trace_done_fn *waiting; /* NULL: nothing is under way */
static uint32_t wanted_kinds;

bool trace_kinds_parse(const char *text, uint32_t *kinds)
{
	*kinds = 0;
	for (;;) {
		size_t length = strcspn(text, ",");
		size_t i = 0;

		while (i < WORDS_COUNT && (strlen(words[i].word) != length ||
		                           memcmp(words[i].word, text, length) != 0)) {
			i++;
		}
		if (i == WORDS_COUNT) {
			return false;
		}
		*kinds |= words[i].kinds;
		if (text[length] == '\0') {
			return true;
		}
		text += length + 1;
	}
}

void trace_kinds_print(uint32_t kinds, char *out, size_t size)
{
	size_t used = 0;
	size_t i;

	snprintf(out, size, "%s", kinds == KINDS_ALL ? "all" : "");
	for (i = 1; i < WORDS_COUNT && kinds != KINDS_ALL; i++) {
		if ((kinds & words[i].kinds) != 0 && used < size) {
			used += (size_t)snprintf(out + used, size - used, "%s%s",
			                         used == 0 ? "" : ",", words[i].word);
		}
	}
}

/* ---- on and off ---- */

static void finish(int error, const char *message)
{
	trace_done_fn *done = waiting;

	waiting = NULL;
	done(error, message);
}

static void on_set(void *owner, int idx, const char *message)
{
	(void)owner;
	finish(idx < 0 ? idx : BH_OK, message);
}

/* Memory is there. */
static void on_taken(void *owner, int idx, const char *message)
{
	(void)owner;
	if (idx < 0) {
		finish(idx, message);
	} else if (!kept_trace((uint32_t)idx, wanted_kinds, on_set)) {
		finish(BH_ERR_BUSY, "another request is under way");
	}
}

bool trace_set(uint32_t kinds, uint64_t bytes, trace_done_fn *done)
{
	int idx = kept_find(KEPT_TRACE, NULL);

	if (waiting != NULL) {
		return false;
	}
	waiting = done;
	wanted_kinds = kinds;
	if (idx >= 0 && kinds != 0 && bytes != 0 && kept_bytes((uint32_t)idx) != bytes) {
		kept_release((uint32_t)idx); /* which ends what is written there */
		idx = -1;
	}
	if (idx >= 0) {
		on_taken(NULL, idx, "");
	} else if (kinds == 0) {
		finish(BH_OK, "");
	} else if (!kept_take(KEPT_TRACE, "trace", bytes != 0 ? bytes : TRACE_BYTES_USUAL, on_taken,
	                      NULL)) {
		finish(BH_ERR_BUSY, "too many requests for memory wait");
	}
	return true;
}

bool trace_drop(void)
{
	int idx = kept_find(KEPT_TRACE, NULL);

	if (waiting != NULL) {
		return false;
	}
	if (idx >= 0) {
		kept_release((uint32_t)idx);
	}
	return true;
}

uint32_t trace_kinds_now(void)
{
	int idx = kept_find(KEPT_TRACE, NULL);

	return idx >= 0 ? (uint32_t)kept_record((uint32_t)idx)->size_bytes & KINDS_ALL : 0;
}

uint64_t trace_bytes(void)
{
	int idx = kept_find(KEPT_TRACE, NULL);

	return idx >= 0 ? kept_bytes((uint32_t)idx) : 0;
}

/* ---- records ---- */

/* NULL if there is none. *count gets its room, which is computed and not believed. */
static const struct bh_trace_ring *ring_of(uint32_t cpu, uint64_t *count)
{
	uint32_t cpus = machine_kernel_info()->cpus_count;
	int idx = kept_find(KEPT_TRACE, NULL);
	uint64_t bytes;

	if (idx < 0 || cpu >= cpus) {
		return NULL;
	}
	bytes = BH_TRACE_RING_BYTES(kept_bytes((uint32_t)idx), cpus);
	if (bytes < sizeof(struct bh_trace_ring)) {
		return NULL;
	}
	*count = (bytes - sizeof(struct bh_trace_ring)) / sizeof(struct bh_trace_record);
	return (const struct bh_trace_ring *)((const uint8_t *)kept_address((uint32_t)idx) +
	                                      cpu * bytes);
}

bool trace_span_read(uint32_t cpu, struct trace_span *span)
{
	uint64_t count;
	const struct bh_trace_ring *ring = ring_of(cpu, &count);

	if (ring == NULL) {
		return false;
	}
	span->head = machine_load64(&ring->head);
	span->first = span->head > count ? span->head - count : 0;
	/* The oldest may be being overwritten just now. */
	if (trace_kinds_now() != 0 && span->head >= count) {
		span->first = span->head - count + 1;
	}
	return true;
}

bool trace_record_read(uint32_t cpu, uint64_t number, struct bh_trace_record *record)
{
	uint64_t count;
	const struct bh_trace_ring *ring = ring_of(cpu, &count);
	struct trace_span span;

	if (ring == NULL || count == 0) {
		return false;
	}
	*record = ring->records[number % count];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return trace_span_read(cpu, &span) && number >= span.first && number < span.head;
}
