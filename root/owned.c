/* SPDX-License-Identifier: Apache-2.0 */
/* Handles that end together, newest first, and the regions behind them. Never touches what lies in a region. */
#include "root/root.h"

int64_t owned_keep(struct owned *owned, int64_t handle)
{
	if (handle < 0) {
		return handle;
	}
	if (owned->count == ROOT_OWNED_MAX) {
		bh_handle_close((bh_handle_t)handle);
		return BH_ERR_LIMIT;
	}
	owned->handles[owned->count++] = (uint16_t)handle;
	return handle;
}

void owned_close(struct owned *owned)
{
	while (owned->count > 0) {
		bh_handle_t handle = owned->handles[--owned->count];

		while (bh_handle_close(handle) == BH_ERR_AGAIN) {
		}
	}
}

int region_clear(bh_handle_t region, bool shows_progress)
{
	uint64_t before = root_channel->progress_done;
	struct bh_region_info info;
	int error;

	do {
		error = bh_region_zero(region);
		if (shows_progress && bh_region_info(region, &info) == BH_OK) {
			root_channel->progress_done = before + info.zeroed_bytes;
		}
	} while (error == BH_ERR_AGAIN);
	return error;
}

int64_t owned_region(struct owned *owned, uint64_t size, uint64_t alignment, bool shows_progress)
{
	int64_t region = owned_keep(owned, bh_region_allocate(size, alignment, 0));
	int error = region < 0 ? (int)region : region_clear((bh_handle_t)region, shows_progress);

	return error < 0 ? error : region;
}

int region_map_part(bh_handle_t region, bh_handle_t domain, uint64_t va, struct bh_map map)
{
	return bh_region_map(region, domain, va, &map);
}
