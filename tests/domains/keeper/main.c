/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Started by root in place of mgmt: asks for memory that root keeps, properly and not, dies, and looks in its next lives whether root
 * has kept and given back what it should. The kernel log tells; where it stands is in the ledger's first words.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/heap.h"
#include "lib/threads.h"

BH_HEAP_DEFINE(4096);

int main(void);

#define KEPT_IDX    3u
#define SMALL_BYTES 0x3000u
#define LARGE_BYTES 0x400000u
#define PATTERN     0x6b65707400000000ull

struct progress {
	uint32_t stage;
	uint32_t checks_count;
	uint32_t failures_count;
	uint64_t memory_free;
};

static struct progress *const progress = (struct progress *)MGMT_VA_LEDGER;
static struct root_channel *const channel = (struct root_channel *)MGMT_VA_CHANNEL;
static const struct root_status *const status = (const struct root_status *)MGMT_VA_STATUS;

static void say(const char *format, ...)
{
	char text[120];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	bh_log_write(text, (uint64_t)length);
}

static void check(bool is_good, const char *what)
{
	progress->checks_count++;
	if (!is_good) {
		progress->failures_count++;
		say("keeper: failed: %s", what);
	}
}

static int ask(uint32_t request, uint32_t idx, uint64_t bytes)
{
	uint64_t bits[BH_EVENT_WORDS];
	uint32_t sequence = channel->request_sequence + 1;

	channel->params.slot = idx;
	channel->params.memory_bytes = bytes;
	channel->request = request;
	__atomic_store_n(&channel->request_sequence, sequence, __ATOMIC_RELEASE);
	bh_event_signal(MGMT_HANDLE_ROOT);
	while (__atomic_load_n(&channel->done_sequence, __ATOMIC_ACQUIRE) != sequence) {
		bh_event_wait(MGMT_HANDLE_EVENTS, BH_FOREVER, bits);
	}
	return channel->result;
}

/* root tells what is free with each answer. */
static uint64_t memory_free(void)
{
	ask(ROOT_REQUEST_NONE, 0, 0);
	return status->memory_free;
}

static uint64_t *run(uint32_t idx)
{
	return (uint64_t *)(MGMT_VA_KEPT + idx * MGMT_VA_KEPT_STRIDE);
}

static bool is_clear(uint32_t idx, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes / 8; i++) {
		if (run(idx)[i] != 0) {
			return false;
		}
	}
	return true;
}

static bool has_pattern(void)
{
	for (uint64_t i = 0; i < SMALL_BYTES / 8; i++) {
		if (run(KEPT_IDX)[i] != PATTERN + i) {
			return false;
		}
	}
	return true;
}

static void ask_wrongly(void)
{
	static const uint64_t sizes[] = { 0, 1, 4095, 4097, ~0ull };

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		check(ask(ROOT_REQUEST_KEEP, 0, sizes[i]) == BH_ERR_INVALID, "a size is refused");
	}
	check(ask(ROOT_REQUEST_KEEP, 0, MGMT_VA_KEPT_STRIDE + 4096) == BH_ERR_LIMIT,
	      "more than can be mapped");
	check(ask(ROOT_REQUEST_KEEP, 0, 1ull << 37) < 0, "more than there is");
	check(ask(ROOT_REQUEST_KEEP, BH_KEPT_MAX, 4096) < 0, "an index too large");
	check(ask(ROOT_REQUEST_KEEP, ~0u, 4096) < 0, "an index far too large");
	check(ask(ROOT_REQUEST_RELEASE, 0, 0) == BH_ERR_NOT_FOUND, "RELEASE of nothing");
	check(ask(ROOT_REQUEST_RELEASE, BH_KEPT_MAX, 0) < 0, "RELEASE of no index");
	check(ask(99, 0, 4096) == BH_ERR_INVALID, "a request that there is not");
	check(status->kept[0].bytes == 0 && status->kept[0].physical == 0, "nothing is kept");
	check(memory_free() == progress->memory_free, "refusals take no memory");
}

static void take(void)
{
	check(ask(ROOT_REQUEST_KEEP, KEPT_IDX, SMALL_BYTES) == BH_OK, "KEEP");
	check(status->kept[KEPT_IDX].bytes == SMALL_BYTES, "its size");
	check(status->kept[KEPT_IDX].physical % BH_PAGE_SIZE == 0 &&
	              status->kept[KEPT_IDX].physical != 0,
	      "where it is");
	check(is_clear(KEPT_IDX, SMALL_BYTES), "it is clear");
	for (uint64_t i = 0; i < SMALL_BYTES / 8; i++) {
		run(KEPT_IDX)[i] = PATTERN + i;
	}
	check(ask(ROOT_REQUEST_KEEP, KEPT_IDX, 4096) == BH_ERR_BUSY, "KEEP twice");
	check(has_pattern(), "the first run stays");
}

/* Taken, used, given back, taken again: nothing of the first use is left. */
static void take_and_give_back(void)
{
	uint64_t free_before = memory_free();

	for (uint32_t round = 0; round < 3; round++) {
		check(ask(ROOT_REQUEST_KEEP, 0, LARGE_BYTES) == BH_OK, "KEEP of a large run");
		check((status->kept[0].physical & 0x1fffff) == 0, "large runs are aligned");
		check(is_clear(0, LARGE_BYTES), "a run taken again is clear");
		memset(run(0), 0x5a, LARGE_BYTES);
		check(ask(ROOT_REQUEST_RELEASE, 0, 0) == BH_OK, "RELEASE");
		check(status->kept[0].bytes == 0, "it is gone");
		check(ask(ROOT_REQUEST_RELEASE, 0, 0) == BH_ERR_NOT_FOUND, "RELEASE twice");
	}
	check(memory_free() == free_before, "all memory is back");
	check(has_pattern(), "another run stays");
}

static void live(void)
{
	switch (progress->stage++) {
	case 0:
		progress->memory_free = memory_free();
		ask_wrongly();
		take();
		take_and_give_back();
		__builtin_trap();
	case 1:
		check(status->kept[KEPT_IDX].bytes == SMALL_BYTES && has_pattern(),
		      "a run outlives mgmt");
		check(ask(ROOT_REQUEST_RELEASE, KEPT_IDX, 0) == BH_OK, "RELEASE in another life");
		*(volatile uint64_t *)run(KEPT_IDX); /* must be our end */
		check(false, "what was given back cannot be read");
		break;
	default:
		check(progress->stage == 3, "three lives");
		check(memory_free() == progress->memory_free, "all memory is back");
		break;
	}
}

int main(void)
{
	uint64_t bits[BH_EVENT_WORDS];

	live();
	say("keeper: %u checks, %u failed", (unsigned)progress->checks_count,
	    (unsigned)progress->failures_count);
	for (;;) {
		bh_event_wait(MGMT_HANDLE_EVENTS, BH_FOREVER, bits);
	}
}
