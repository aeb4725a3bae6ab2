/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that mgmt asks for and that outlives it: disks in memory, rings of drivers. root never looks into it; each run lies in one
 * piece, so that a device of the machine can be pointed at it (root_status.kept).
 */
#include <stdio.h>

#include "root/root.h"

#define KEPT_ALIGN_LARGE (2ull << 20)

static bh_handle_t regions[BH_KEPT_MAX];
static bool is_read_only[BH_KEPT_MAX];

static int kept_map(uint32_t idx)
{
	struct bh_map map = { .size = root_status->kept[idx].bytes,
		              .flags = BH_MAP_READ | (is_read_only[idx] ? 0 : BH_MAP_WRITE) };

	return region_map_part(regions[idx], mgmt_domain, MGMT_VA_KEPT + idx * MGMT_VA_KEPT_STRIDE,
	                       map);
}

static void kept_close(uint32_t idx)
{
	if (is_read_only[idx]) {
		bh_trace(BH_HANDLE_HOST, regions[idx],
		         0); /* the kernel writes there for as long as it is not told */
	}
	while (bh_handle_close(regions[idx]) == BH_ERR_AGAIN) {
	}
	regions[idx] = 0;
	root_status->kept[idx].bytes = 0;
	root_status->kept[idx].physical = 0;
}

static int kept_fail(int error, const char *text)
{
	snprintf(root_channel->message, sizeof(root_channel->message), "%s", text);
	return error;
}

int kept_create(uint32_t idx, uint64_t size, uint32_t flags)
{
	struct bh_region_info info;

	if (idx >= BH_KEPT_MAX || regions[idx] != 0) {
		return kept_fail(BH_ERR_BUSY, "that index of kept memory is not free");
	}
	if (size == 0 || (size & (BH_PAGE_SIZE - 1)) != 0) {
		return kept_fail(BH_ERR_INVALID, "kept memory is a multiple of 4 KiB");
	}
	if (size > MGMT_VA_KEPT_STRIDE) {
		return kept_fail(BH_ERR_LIMIT, "more memory at once than mgmt can map");
	}
	int64_t region = bh_region_allocate(
		size, size >= KEPT_ALIGN_LARGE ? KEPT_ALIGN_LARGE : BH_PAGE_SIZE, 0);

	if (region < 0) {
		return kept_fail((int)region, "there is no free run of memory of that size");
	}
	regions[idx] = (bh_handle_t)region;
	is_read_only[idx] = (flags & ROOT_KEEP_READ_ONLY) != 0;
	root_channel->progress_done = 0;
	root_channel->progress_total = size;
	int error = region_clear(regions[idx], true);

	error = error < 0 ? error : bh_region_info(regions[idx], &info);
	if (error == BH_OK) {
		root_status->kept[idx].bytes = size;
		root_status->kept[idx].physical = info.physical;
		error = kept_map(idx);
	}
	if (error < 0) {
		kept_close(idx);
		return kept_fail(error, "kept memory cannot be mapped in mgmt");
	}
	return BH_OK;
}

int kept_release(uint32_t idx)
{
	if (idx >= BH_KEPT_MAX || regions[idx] == 0) {
		return kept_fail(BH_ERR_NOT_FOUND, "no memory is kept at that index");
	}
	kept_close(idx);
	return BH_OK;
}

/* What mgmt can write, so that the run's content is its own word, is no place for the trace. */
int kept_trace(uint32_t idx, uint32_t kinds)
{
	if (idx >= BH_KEPT_MAX || regions[idx] == 0 || !is_read_only[idx]) {
		return kept_fail(BH_ERR_NOT_FOUND, "no memory for a trace is kept at that index");
	}
	int error = bh_trace(BH_HANDLE_HOST, regions[idx], kinds);

	return error < 0 ? kept_fail(error, "the kernel takes no trace into that memory") : BH_OK;
}

void kept_attach_mgmt(void)
{
	for (uint32_t i = 0; i < BH_KEPT_MAX; i++) {
		int error = regions[i] != 0 ? kept_map(i) : BH_OK;

		if (error < 0) {
			root_log("mgmt does not get kept memory %u back: error %d", (unsigned)i,
			         error);
		}
	}
}

bool kept_file_find(uint32_t idx, uint64_t size, struct program *file)
{
	if (idx >= BH_KEPT_MAX || regions[idx] == 0 || size == 0 ||
	    size > root_status->kept[idx].bytes) {
		return false;
	}
	*file = (struct program){ .size = size, .region = regions[idx] };
	return true;
}
