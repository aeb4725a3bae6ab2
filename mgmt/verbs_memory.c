// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs of a running guest's memory: mem-set, mem-stat. The guest's balloon does what they ask for, in its own time.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/chunks.h"
#include "mgmt/guest_devices.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/verb.h"
#include "mgmt/virtio/balloon.h"

#define STATS_SECONDS 2u

/* The guest's balloon; NULL with an error. */
static struct virtio_device *balloon_find(const struct guest *guest, struct result *result)
{
	struct virtio_device *device = NULL;

	if (guest->has_partition != 0) {
		device = virtio_device_at(partition_slot(guest), GUEST_DEVICE_BALLOON);
	}
	if (device == NULL) {
		result_error(result, guest->config.name, "set balloon yes, and start it again",
		             "it has no balloon now");
	}
	return device;
}

void verb_mem_set(struct verb_call *call, struct result *result)
{
	struct guest *guest = call->guest;
	struct virtio_device *device = balloon_find(guest, result);
	char text[24];
	uint64_t bytes;

	if (device == NULL) {
		return;
	}
	if (!config_size_parse(call->word[1].text, &bytes) || bytes > guest->memory_bytes ||
	    bytes < 1024 * 1024 || bytes % BH_PAGE_SIZE != 0) {
		config_size_print(guest->memory_bytes, text, sizeof(text));
		result_error(result, "mem-set", "a bare number counts MiB",
		             "'%.20s' is no size from 1M to %s, which the guest was started with",
		             call->word[1].text, text);
		return;
	}
	guest->balloon_bytes = guest->memory_bytes - bytes;
	balloon_want(device, guest->balloon_bytes);
	config_size_print(bytes, text, sizeof(text));
	result_message(result, "%s: asked to make do with %s%s", guest->config.name, text,
	               device->is_running ? "" : "; its driver does not run yet");
}

static const struct result_column columns[] = {
	{ "memory", "memory_bytes", RESULT_BYTES },
	{ "wanted", "wanted_bytes", RESULT_BYTES },
	{ "current", "current_bytes", RESULT_BYTES },
	{ "in the balloon", "balloon_bytes", RESULT_BYTES },
	{ "given back", "given_back_bytes", RESULT_BYTES },
	{ "refused pages", "refused_pages", RESULT_COUNT },
	{ "reporting", "is_reporting", RESULT_FLAG },
	{ "reported", "reported_bytes", RESULT_BYTES },
	{ "touched again", "touched_bytes", RESULT_BYTES },
	{ "waits for memory", "is_short", RESULT_FLAG },
	{ "swapped in", "swapped_in_bytes", RESULT_BYTES },
	{ "swapped out", "swapped_out_bytes", RESULT_BYTES },
	{ "major faults", "major_faults", RESULT_COUNT },
	{ "minor faults", "minor_faults", RESULT_COUNT },
	{ "free", "free_bytes", RESULT_BYTES },
	{ "total", "total_bytes", RESULT_BYTES },
	{ "available", "available_bytes", RESULT_BYTES },
	{ "disk caches", "disk_caches_bytes", RESULT_BYTES },
	{ "huge pages taken", "hugetlb_allocations", RESULT_COUNT },
	{ "huge pages failed", "hugetlb_failures", RESULT_COUNT },
};

static void put_memory(const struct guest *guest, const struct virtio_device *device,
                       struct result *result)
{
	uint32_t slot = partition_slot(guest);
	uint64_t away = chunks_away_bytes(slot, guest->memory_bytes);
	struct balloon_info info;
	uint32_t i;

	balloon_info(device, &info);
	result_begin(result, "memory", RESULT_RECORD, columns,
	             sizeof(columns) / sizeof(columns[0]));
	result_value(result, guest->memory_bytes);
	result_value(result, guest->memory_bytes - info.wanted_bytes);
	result_value(result, guest->memory_bytes - info.lent_bytes);
	result_value(result, info.lent_bytes);
	result_value(result, away);
	result_value(result, info.refused_count);
	result_value(result, info.is_reporting);
	result_value(result, info.reported_bytes);
	result_value(result, chunks_touched_bytes(slot));
	result_value(result, chunks_are_short(slot));
	for (i = 0; i < BALLOON_STATS; i++) {
		if (info.has_stat[i]) {
			result_value(result, info.stats[i]);
		} else {
			result_empty(result);
		}
	}
}

/* New figures of the driver, or what there is when it does not say. */
static bool poll_stats(struct shell_wait *wait, struct result *result)
{
	const struct guest *guest = partition_guest(wait->slot);
	struct virtio_device *device = virtio_device_at(wait->slot, GUEST_DEVICE_BALLOON);
	struct balloon_info info;

	if (guest == NULL || guest->id != wait->guest_id || device == NULL) {
		result_error(result, "mem-stat", "", "the guest has ended meanwhile");
		return true;
	}
	balloon_info(device, &info);
	if ((uint32_t)info.stats_count == wait->kind && machine_now_tsc() < wait->deadline_tsc) {
		return false;
	}
	put_memory(guest, device, result);
	return true;
}

void verb_mem_stat(struct verb_call *call, struct result *result)
{
	struct virtio_device *device = balloon_find(call->guest, result);
	struct shell_wait wait = { .poll = poll_stats,
		                   .guest_id = call->guest->id,
		                   .slot = partition_slot(call->guest),
		                   .is_json = call->is_json };
	struct balloon_info info;

	if (device == NULL) {
		return;
	}
	balloon_info(device, &info);
	wait.kind = (uint32_t)info.stats_count;
	wait.deadline_tsc = machine_now_tsc() + STATS_SECONDS * machine_tsc_hz();
	if (balloon_ask_stats(device)) {
		shell_begin_wait(call->shell, &wait);
	} else {
		put_memory(call->guest, device, result);
	}
}
