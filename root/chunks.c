/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory in chunks, each a region of its own, for guests with a balloon: a chunk can be given back to the machine and taken again.
 * Which chunks are there is in a page that mgmt reads; behind it lies room for mgmt's own record of the balloon, which outlives it. Whoever
 * touches a chunk that is not there faults: mgmt sees to it that it does not itself.
 */
#include <stddef.h>

#include "root/partition.h"

#define CHUNK_BYTES_MIN  (2ull << 20)
#define CHUNK_BYTES_MAX  (1ull << 30)
#define CHUNKS_TOTAL_MAX 2048u /* handles of root's for all guests' chunks */

static uint32_t total;

static struct bh_chunks *table_of(uint32_t slot)
{
	return (struct bh_chunks *)(ROOT_VA_CHUNKS + slot * BH_PAGE_SIZE);
}

static uint64_t chunk_size(const struct partition *partition, uint32_t idx)
{
	uint64_t left = partition->memory_bytes - idx * partition->chunk_bytes;

	return left < partition->chunk_bytes ? left : partition->chunk_bytes;
}

static int chunk_take(struct partition *partition, uint32_t idx, bool shows_progress)
{
	uint64_t offset = idx * partition->chunk_bytes;
	uint64_t size = chunk_size(partition, idx);
	int64_t region = bh_region_allocate(size, CHUNK_BYTES_MIN, 0);
	int error = region < 0 ? (int)region : region_clear((bh_handle_t)region, shows_progress);

	error = error < 0 ? error
	                  : partition_piece_map(partition, (bh_handle_t)region, offset, size);
	if (error >= 0 && partition->is_attached) {
		error = devices_piece_map(partition, (bh_handle_t)region, offset, size);
	}
	if (error < 0) {
		if (region >= 0) {
			bh_handle_close((bh_handle_t)region);
		}
		return error;
	}
	total++;
	__atomic_store_n(&partition->chunks->handles[idx], (uint16_t)region, __ATOMIC_RELEASE);
	return BH_OK;
}

static void chunk_give(struct partition *partition, uint32_t idx)
{
	bh_handle_t handle = partition->chunks->handles[idx];

	if (handle == 0) {
		return;
	}
	__atomic_store_n(&partition->chunks->handles[idx], (uint16_t)0, __ATOMIC_RELEASE);
	while (bh_handle_close(handle) == BH_ERR_AGAIN) {
	}
	total--;
}

/* As small as can be with the handles that there are. */
static uint64_t chunk_bytes_for(uint64_t memory_bytes)
{
	uint64_t chunk = CHUNK_BYTES_MIN;
	uint64_t most = (CHUNKS_TOTAL_MAX - total) / 2;

	most = most > BH_CHUNKS_MAX ? BH_CHUNKS_MAX : most;
	while (chunk < CHUNK_BYTES_MAX && memory_bytes > most * chunk) {
		chunk *= 2;
	}
	return memory_bytes <= most * chunk ? chunk : 0;
}

int chunks_make(struct partition *partition, uint32_t slot)
{
	uint64_t record = BH_CHUNKS_RECORD_BYTES(partition->memory_bytes);
	const struct bh_map map = { .size = BH_PAGE_SIZE, .flags = BH_MAP_READ | BH_MAP_WRITE };
	const struct bh_map vmm_map = { .size = BH_PAGE_SIZE, .flags = BH_MAP_READ };
	int64_t region;
	int error;

	partition->chunk_bytes = chunk_bytes_for(partition->memory_bytes);
	if (partition->chunk_bytes == 0) {
		return BH_ERR_LIMIT;
	}
	region = owned_region(&partition->owned, BH_PAGE_SIZE + record, BH_PAGE_SIZE, false);
	error = region < 0 ? (int)region
	                   : bh_region_map((bh_handle_t)region, BH_HANDLE_SELF,
	                                   ROOT_VA_CHUNKS + slot * BH_PAGE_SIZE, &map);
	error = error < 0 ? error
	                  : bh_region_map((bh_handle_t)region, partition->domain, VMM_VA_CHUNKS,
	                                  &vmm_map);
	if (error < 0) {
		return error;
	}
	partition->chunks_region = (bh_handle_t)region;
	partition->chunks = table_of(slot);
	partition->chunks->chunk_bytes = partition->chunk_bytes;
	partition->chunks->count = (uint32_t)((partition->memory_bytes + partition->chunk_bytes -
	                                       1) /
	                                      partition->chunk_bytes);
	for (uint32_t i = 0; i < partition->chunks->count && error >= 0; i++) {
		error = chunk_take(partition, i, true);
	}
	return error;
}

int chunks_attach_mgmt(struct partition *partition, uint32_t slot)
{
	uint64_t va = MGMT_VA_CHUNKS + slot * MGMT_VA_CHUNKS_STRIDE;
	const struct bh_map table = { .size = BH_PAGE_SIZE, .flags = BH_MAP_READ };
	const struct bh_map record = { .offset = BH_PAGE_SIZE,
		                       .size = BH_CHUNKS_RECORD_BYTES(partition->memory_bytes),
		                       .flags = BH_MAP_READ | BH_MAP_WRITE };
	int error = bh_region_map(partition->chunks_region, mgmt_domain, va, &table);

	error = error < 0 ? error
	                  : bh_region_map(partition->chunks_region, mgmt_domain, va + BH_PAGE_SIZE,
	                                  &record);
	for (uint32_t i = 0; i < partition->chunks->count && error >= 0; i++) {
		if (partition->chunks->handles[i] != 0) {
			error = devices_piece_map(partition, partition->chunks->handles[i],
			                          i * partition->chunk_bytes,
			                          chunk_size(partition, i));
		}
	}
	partition->is_attached = error >= 0;
	return error;
}

void chunks_close(struct partition *partition)
{
	for (uint32_t i = 0; partition->chunks != NULL && i < partition->chunks->count; i++) {
		chunk_give(partition, i);
	}
	partition->chunks = NULL;
}

/* The first chunk stays: a guest starts there. */
int chunks_change(struct partition *partition, const struct root_partition_params *params,
                  bool is_given)
{
	uint32_t first = params->chunk_first;
	uint32_t count = params->chunks_count;
	int error = BH_OK;

	if (partition->chunks == NULL || first == 0 || first >= partition->chunks->count ||
	    count == 0 || count > partition->chunks->count - first) {
		return BH_ERR_INVALID;
	}
	for (uint32_t i = first; i < first + count && error >= 0; i++) {
		if (is_given) {
			chunk_give(partition, i);
		} else if (partition->chunks->handles[i] == 0) {
			error = chunk_take(partition, i, false);
		}
	}
	return error;
}
