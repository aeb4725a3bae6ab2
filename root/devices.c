/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mgmt needs to serve a guest's paravirtual devices (bulkhead/virtio_channel.h): device pages, events both ways, and the guest's
 * memory. Only for partitions with VMM_CONFIG_DEVICES; all of it ends with the partition, and is given again to a new mgmt.
 */
#include <stddef.h>

#include "bulkhead/virtio_channel.h"
#include "root/partition.h"

#define PAGES_BYTES            (VIO_DEVICES_MAX * BH_PAGE_SIZE)
#define PORTS_BYTES(partition) ((partition)->ports_count * sizeof(struct bh_console))

static int kick_events_make(struct partition *partition, uint32_t slot)
{
	int64_t result = BH_OK;

	for (uint32_t i = 0; i < VIO_DEVICES_MAX && result >= 0; i++) {
		result = owned_keep(
			&partition->owned,
			bh_event_create(mgmt_events, MGMT_EVENT_KICK + slot * VIO_DEVICES_MAX + i));
		if (result >= 0) {
			result = bh_handle_give((bh_handle_t)result, partition->domain,
			                        BH_RIGHT_WRITE, VMM_HANDLE_KICK + i);
		}
	}
	return result < 0 ? (int)result : BH_OK;
}

int devices_make(struct partition *partition, uint32_t slot)
{
	struct owned *owned = &partition->owned;
	int64_t pages = owned_region(owned, PAGES_BYTES, BH_PAGE_SIZE, false);
	int64_t event = owned_keep(owned, bh_event_create(partition->events, VMM_EVENT_DEVICE));
	const struct bh_map map = { .size = PAGES_BYTES, .flags = BH_MAP_READ | BH_MAP_WRITE };

	if (pages < 0 || event < 0) {
		return pages < 0 ? (int)pages : (int)event;
	}
	partition->devices = (bh_handle_t)pages;
	partition->device_event = (bh_handle_t)event;
	if (partition->ports_count != 0) {
		int64_t ports = owned_region(owned, PORTS_BYTES(partition), BH_PAGE_SIZE, false);

		if (ports < 0) {
			return (int)ports;
		}
		partition->ports = (bh_handle_t)ports;
	}
	int error = bh_region_map(partition->devices, partition->domain, VMM_VA_DEVICES, &map);

	return error < 0 ? error : kick_events_make(partition, slot);
}

int devices_piece_map(const struct partition *partition, bh_handle_t region, uint64_t offset,
                      uint64_t size)
{
	uint64_t va = MGMT_VA_GUEST + partition->slot * MGMT_VA_GUEST_STRIDE;
	struct guest_span spans[4];
	uint32_t count = partition_guest_spans(partition, spans);
	int error = BH_OK;

	for (uint32_t i = 0; i < count && error == BH_OK; i++) {
		uint64_t start = spans[i].offset > offset ? spans[i].offset : offset;
		uint64_t span_end = spans[i].offset + spans[i].size;
		uint64_t end = span_end < offset + size ? span_end : offset + size;
		const struct bh_map map = { .offset = start - offset,
			                    .size = end - start,
			                    .flags = BH_MAP_READ | BH_MAP_WRITE };

		if (start < end && !spans[i].is_hole) {
			error = bh_region_map(region, mgmt_domain,
			                      va + spans[i].gpa + (start - spans[i].offset), &map);
		}
	}
	return error;
}

static int memory_attach_mgmt(const struct partition *partition)
{
	uint64_t offset = 0;
	int error = BH_OK;

	for (uint32_t i = partition->memory_first; i < partition->memory_end && error == BH_OK;
	     i++) {
		struct bh_region_info info = { 0 };

		error = bh_region_info(partition->owned.handles[i], &info);
		if (error == BH_OK) {
			error = devices_piece_map(partition, partition->owned.handles[i], offset,
			                          info.size);
			offset += info.size;
		}
	}
	return error;
}

int devices_attach_mgmt(struct partition *partition, uint32_t slot)
{
	uint64_t va = MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE + MGMT_VA_VMM_DEVICES;
	const struct bh_map map = { .size = PAGES_BYTES, .flags = BH_MAP_READ | BH_MAP_WRITE };

	if (partition->devices == 0) {
		return BH_OK;
	}
	int64_t result = bh_handle_give(partition->device_event, mgmt_domain, BH_RIGHT_WRITE,
	                                MGMT_HANDLE_DEVICE + slot);

	result = result < 0 ? result
	                    : bh_handle_give(partition->vm, mgmt_domain, BH_RIGHT_WRITE,
	                                     MGMT_HANDLE_VM + slot);
	result = result < 0 ? result : bh_region_map(partition->devices, mgmt_domain, va, &map);
	if (result >= 0 && partition->ports != 0) {
		const struct bh_map ports = { .size = PORTS_BYTES(partition), .flags = map.flags };

		result = bh_region_map(partition->ports, mgmt_domain,
		                       MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE + MGMT_VA_VMM_PORTS,
		                       &ports);
	}
	if (result < 0) {
		return (int)result;
	}
	return partition->chunks != NULL ? chunks_attach_mgmt(partition, slot)
	                                 : memory_attach_mgmt(partition);
}
