// SPDX-License-Identifier: Apache-2.0
/*
 * Runs of memory that root keeps (see kept.h). One request at a time is in root's channel, which is
 * shared with the partition manager: it is used only while nobody's request is under way.
 */
#include "mgmt/kept.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/root_turn.h"

struct request {
	bool is_used;
	enum kept_purpose purpose;
	char name[KEPT_NAME_SIZE];
	uint64_t bytes;
	kept_done_fn *done;
	void *owner;
};

enum flight {
	FLIGHT_NONE,
	FLIGHT_TAKE,
	FLIGHT_RELEASE,
	FLIGHT_TRACE,
	FLIGHT_FOREIGN, /* of the mgmt before: its answer is dropped */
};

static struct request requests[KEPT_REQUESTS_MAX]; /* [0] is first */
static enum flight flight;
static uint32_t flight_idx;
static uint32_t release_wanted;  /* bit by index */
static kept_done_fn *trace_done; /* NULL: no trace request waits */
static uint32_t trace_idx, trace_kinds;

static uint64_t run_bytes(uint32_t idx)
{
	return machine_load64(&machine_status()->kept[idx].bytes);
}

struct kept_record *kept_record(uint32_t idx)
{
	if (idx >= BH_KEPT_MAX || machine_ledger()->kept[idx].purpose == KEPT_FREE ||
	    run_bytes(idx) == 0 || (release_wanted >> idx & 1) != 0) {
		return NULL;
	}
	return &machine_ledger()->kept[idx];
}

int kept_find(enum kept_purpose purpose, const char *name)
{
	uint32_t idx;

	for (idx = 0; idx < BH_KEPT_MAX; idx++) {
		const struct kept_record *record = kept_record(idx);

		if (record != NULL && record->purpose == (uint32_t)purpose &&
		    (name == NULL || strcmp(record->name, name) == 0)) {
			return (int)idx;
		}
	}
	return -1;
}

void *kept_address(uint32_t idx)
{
	return machine_kept(idx);
}

uint64_t kept_bytes(uint32_t idx)
{
	return run_bytes(idx);
}

uint64_t kept_physical(uint32_t idx)
{
	return machine_load64(&machine_status()->kept[idx].physical);
}

/* Runs that root keeps and the ledger does not know have no user. */
static void adopt_runs(void)
{
	uint32_t idx;

	for (idx = 0; idx < BH_KEPT_MAX; idx++) {
		struct kept_record *record = &machine_ledger()->kept[idx];

		record->name[sizeof(record->name) - 1] = '\0';
		if (run_bytes(idx) == 0 || record->purpose >= KEPT_PURPOSES) {
			record->purpose = KEPT_FREE;
		}
		if (run_bytes(idx) != 0 && record->purpose == KEPT_FREE) {
			release_wanted |= 1u << idx;
		}
	}
}

void kept_init(void)
{
	uint32_t request = machine_load32(&machine_root_channel()->request);

	memset(requests, 0, sizeof(requests));
	release_wanted = 0;
	trace_done = NULL;
	flight = FLIGHT_NONE;
	root_turn_end();
	if (!root_turn_is_answered() &&
	    (request == ROOT_REQUEST_KEEP || request == ROOT_REQUEST_RELEASE ||
	     request == ROOT_REQUEST_TRACE)) {
		flight = FLIGHT_FOREIGN;
	}
	adopt_runs();
}

bool kept_take(enum kept_purpose purpose, const char *name, uint64_t bytes, kept_done_fn *done,
               void *owner)
{
	uint32_t i;

	for (i = 0; i < KEPT_REQUESTS_MAX; i++) {
		if (!requests[i].is_used) {
			requests[i] = (struct request){ .is_used = true,
				                        .purpose = purpose,
				                        .bytes = bytes,
				                        .done = done,
				                        .owner = owner };
			snprintf(requests[i].name, sizeof(requests[i].name), "%s", name);
			return true;
		}
	}
	return false;
}

bool kept_trace(uint32_t idx, uint32_t kinds, kept_done_fn *done)
{
	if (trace_done != NULL) {
		return false;
	}
	trace_idx = idx;
	trace_kinds = kinds;
	trace_done = done;
	return true;
}

void kept_release(uint32_t idx)
{
	if (idx < BH_KEPT_MAX) {
		release_wanted |= 1u << idx;
	}
}

uint64_t kept_progress(uint64_t *total)
{
	const struct root_channel *channel = machine_root_channel();

	*total = 0;
	if (flight != FLIGHT_TAKE) {
		return 0;
	}
	*total = requests[0].bytes;
	return machine_load64(&channel->progress_done);
}

static int free_index(void)
{
	uint32_t idx;

	for (idx = 0; idx < BH_KEPT_MAX; idx++) {
		if (run_bytes(idx) == 0 && machine_ledger()->kept[idx].purpose == KEPT_FREE) {
			return (int)idx;
		}
	}
	return -1;
}

/* The first request has its answer. Others move up before done() is called, which may ask again. */
static void finish_take(int idx, const char *message)
{
	struct request request = requests[0];

	memmove(&requests[0], &requests[1], sizeof(requests) - sizeof(requests[0]));
	memset(&requests[KEPT_REQUESTS_MAX - 1], 0, sizeof(requests[0]));
	if (idx >= 0) {
		struct kept_record *record = &machine_ledger()->kept[idx];

		memset(record, 0, sizeof(*record));
		memcpy(record->name, request.name, sizeof(record->name));
		record->purpose = (uint32_t)request.purpose;
	}
	request.done(request.owner, idx, message);
}

static void finish_trace(int error, const char *message)
{
	kept_done_fn *done = trace_done;

	trace_done = NULL;
	if (error < 0) {
		machine_ledger()->kept[trace_idx].size_bytes = 0;
	}
	done(NULL, error < 0 ? error : (int)trace_idx, message);
}

static void take_answer(void)
{
	struct root_channel *channel = machine_root_channel();
	enum flight landed = flight;
	char message[sizeof(channel->message)];

	if (flight == FLIGHT_NONE || !root_turn_is_answered()) {
		return;
	}
	flight = FLIGHT_NONE;
	root_turn_end();
	memcpy(message, channel->message, sizeof(message));
	message[sizeof(message) - 1] = '\0';
	if (landed == FLIGHT_TAKE) {
		finish_take(channel->result < 0 ? channel->result : (int)flight_idx, message);
	} else if (landed == FLIGHT_TRACE) {
		finish_trace(channel->result, message);
	} else if (landed == FLIGHT_FOREIGN) {
		adopt_runs(); /* what the mgmt before asked for has no owner */
	}
}

static void send(uint32_t request, uint32_t idx, uint64_t bytes, uint32_t flags)
{
	struct root_channel *channel = machine_root_channel();

	channel->params.slot = idx;
	channel->params.memory_bytes = bytes;
	channel->params.flags = flags;
	flight_idx = idx;
	flight = request == ROOT_REQUEST_KEEP      ? FLIGHT_TAKE
	         : request == ROOT_REQUEST_RELEASE ? FLIGHT_RELEASE
	                                           : FLIGHT_TRACE;
	root_turn_send(request);
}

static void send_request(void)
{
	uint32_t idx;
	int chosen;

	for (idx = 0; idx < BH_KEPT_MAX; idx++) {
		bool is_wanted = (release_wanted >> idx & 1) != 0;

		release_wanted &= ~(1u << idx);
		if (is_wanted && run_bytes(idx) != 0) {
			/* From here on nobody may find it, nor may the next mgmt. */
			machine_ledger()->kept[idx].purpose = KEPT_FREE;
			send(ROOT_REQUEST_RELEASE, idx, 0, 0);
			return;
		}
	}
	if (trace_done != NULL) {
		machine_ledger()->kept[trace_idx].size_bytes = trace_kinds; /* a next mgmt knows */
		send(ROOT_REQUEST_TRACE, trace_idx, 0, trace_kinds);
		return;
	}
	if (!requests[0].is_used) {
		return;
	}
	chosen = free_index();
	if (chosen < 0) {
		finish_take(BH_ERR_LIMIT, "too many runs of memory are kept");
		return;
	}
	send(ROOT_REQUEST_KEEP, (uint32_t)chosen,
	     (requests[0].bytes + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1),
	     requests[0].purpose == KEPT_TRACE ? ROOT_KEEP_READ_ONLY : 0);
}

void kept_poll(void)
{
	take_answer();
	if (flight == FLIGHT_NONE && root_turn_is_free()) {
		send_request();
	}
}
