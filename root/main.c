/* SPDX-License-Identifier: Apache-2.0 */
/* root's start and its one loop: requests of mgmt, the death or silence of mgmt, the death of a VMM. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/heap.h"
#include "lib/threads.h"
#include "root/root.h"

BH_HEAP_DEFINE(4096);

int main(void);

bh_handle_t root_events;

void root_log(const char *format, ...)
{
	char text[160];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	bh_log_write(text, length < (int)sizeof(text) ? (uint64_t)length : sizeof(text) - 1);
}

/* Map every boot module read-only, to be read here and mapped on from here. */
static void modules_map(void)
{
	const struct bh_root_info *info = (const struct bh_root_info *)BH_VA_ROOT_INFO;

	for (uint32_t i = 0; i < info->modules_count && i < BH_MODULES_MAX; i++) {
		struct bh_map map = { .size = (info->modules[i].size_bytes + BH_PAGE_SIZE - 1) &
			                      ~(BH_PAGE_SIZE - 1),
			              .flags = BH_MAP_READ };
		uint64_t va = ROOT_VA_MODULES + i * ROOT_VA_MODULE_STRIDE;
		int error = map.size == 0 ? BH_OK
		                          : bh_region_map(BH_ROOT_HANDLE_MODULES + i,
		                                          BH_HANDLE_SELF, va, &map);

		if (error < 0) {
			root_log("boot module `%s` cannot be mapped: error %d",
			         info->modules[i].name, error);
		}
	}
}

static int request_do(uint32_t request, const struct root_partition_params *params)
{
	switch ((enum root_request)request) {
	case ROOT_REQUEST_CREATE:
		return partition_create(params);
	case ROOT_REQUEST_DESTROY:
		return partition_destroy(params->slot);
	case ROOT_REQUEST_SHARE:
		return partition_set_share(params->slot, params->weight, params->cap_percent);
	case ROOT_REQUEST_KEEP:
		return kept_create(params->slot, params->memory_bytes, params->flags);
	case ROOT_REQUEST_RELEASE:
		return kept_release(params->slot);
	case ROOT_REQUEST_CHUNKS_GIVE:
		return partition_change_chunks(params, true);
	case ROOT_REQUEST_CHUNKS_TAKE:
		return partition_change_chunks(params, false);
	case ROOT_REQUEST_TRACE:
		return kept_trace(params->slot, params->flags);
	case ROOT_REQUEST_NONE:
	case ROOT_REQUEST_RESTART:
	default:
		return BH_ERR_INVALID;
	}
}

static void request_handle(void)
{
	static struct root_partition_params
		params; /* a private copy: mgmt may write while we read */
	uint32_t sequence = __atomic_load_n(&root_channel->request_sequence, __ATOMIC_ACQUIRE);
	uint32_t request = root_channel->request;

	if (sequence == root_channel->done_sequence) {
		return;
	}
	params = root_channel->params;
	params.name[BH_NAME_MAX - 1] = '\0';
	root_channel->message[0] = '\0';
	if (request == ROOT_REQUEST_RESTART) {
		root_channel->result = BH_OK;
		__atomic_store_n(&root_channel->done_sequence, sequence, __ATOMIC_RELEASE);
		watchdog_restart_after(params.delay_ns);
		return;
	}
	root_channel->result = request_do(request, &params);
	__atomic_store_n(&root_channel->done_sequence, sequence, __ATOMIC_RELEASE);
	mgmt_notify();
}

static void deaths_handle(uint64_t slots)
{
	for (; slots != 0; slots &= slots - 1) {
		partition_note_death((uint32_t)__builtin_ctzll(slots));
	}
	mgmt_notify();
}

static void events_handle(const uint64_t *bits)
{
	struct bh_domain_info info;

	if ((bits[0] & (1ull << ROOT_EVENT_MGMT_DEATH)) != 0 && mgmt_domain != 0 &&
	    bh_domain_info(mgmt_domain, &info) == BH_OK && info.state != BH_DOMAIN_ALIVE) {
		mgmt_restart(MGMT_ENDED);
	}
	if ((bits[0] & (1ull << ROOT_EVENT_REQUEST)) != 0) {
		request_handle();
	}
	if (bits[ROOT_EVENT_VMM_DEATH / 64] != 0) {
		deaths_handle(bits[ROOT_EVENT_VMM_DEATH / 64] & ((1ull << BH_PARTITIONS_MAX) - 1));
	}
}

int main(void)
{
	uint64_t bits[BH_EVENT_WORDS];
	int64_t set = bh_event_set_create();

	if (set < 0) {
		domain_fail("root: no event set: error %d", (int)set);
	}
	root_events = (bh_handle_t)set;
	modules_map();
	mgmt_prepare(machine_start());
	mgmt_restart(MGMT_ENDED);
	for (;;) {
		memset(bits, 0, sizeof(bits));
		if (bh_event_wait(root_events, watchdog_deadline_tsc(), bits) >= 0) {
			events_handle(bits);
		}
		watchdog_look();
	}
}
