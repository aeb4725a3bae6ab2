/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on regions: decode and hand on (see call.h). */
#include "kernel/call.h"
#include "kernel/memory.h"
#include "kernel/region.h"
#include "kernel/start.h"
#include "kernel/vcpu.h"

#define GUEST_ADDRESS_END (1ull << 47)
#define MAP_RIGHTS        (BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE) /* BH_RIGHT_*: the same bits */

int64_t call_region_allocate(struct call *call)
{
	struct region *region;
	int error = call->frame->rdx == 0 ? region_create(call->caller, call->frame->rdi,
	                                                  call->frame->rsi, &region)
	                                  : BH_ERR_INVALID;

	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &region->object, BH_RIGHTS_ALL,
	                               NULL);
}

int64_t call_region_zero(struct call *call)
{
	struct region *region = region_of(call->object);

	/* Once it has been clear it may be in use: nothing to do. */
	return region->zeroed_bytes == region->size ? BH_OK : region_zero(region);
}

int64_t call_region_split(struct call *call)
{
	struct region *region = region_of(call->object);
	uint64_t offset = call->frame->rsi;
	struct region *upper;

	if (offset == 0 || offset >= region->size || !IS_ALIGNED(offset, PAGE_SIZE)) {
		return BH_ERR_INVALID;
	}
	if (region->object.handles_count != 1 || region->mappings_count != 0 ||
	    region->kind == REGION_BORROWED) {
		return BH_ERR_BUSY;
	}
	int error = region_split(region, offset, &upper);

	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &upper->object,
	                               handle_rights(call->handle), call->handle->parent);
}

/* [at, at + size) lies on pages within [first, end). */
static bool range_is_in(uint64_t at, uint64_t size, uint64_t first, uint64_t end)
{
	return IS_ALIGNED(at | size, PAGE_SIZE) && size != 0 && at >= first && at < end &&
	       size <= end - at;
}

/* The record, against the region and the rights of the handle. */
static int map_decode(struct call *call, struct bh_map *map)
{
	const struct region *region = region_of(call->object);
	int error = call_copy_in(map, call->frame->r10, sizeof(*map));

	if (error < 0) {
		return error;
	}
	if ((map->flags & MAP_RIGHTS & ~handle_rights(call->handle)) != 0) {
		return BH_ERR_RIGHTS;
	}
	if ((map->flags & ~(MAP_RIGHTS | BH_MAP_UNCACHED)) != 0 ||
	    (map->flags & BH_MAP_READ) == 0 || map->reserved != 0 ||
	    !range_is_in(map->offset, map->size, 0, region->size) ||
	    ((map->flags & BH_MAP_UNCACHED) != 0 && region->kind != REGION_DEVICE)) {
		return BH_ERR_INVALID;
	}
	return region->zeroed_bytes == region->size ? BH_OK : BH_ERR_STATE;
}

int64_t call_region_map(struct call *call)
{
	struct bh_map map;
	int error = map_decode(call, &map);
	struct domain *domain = error < 0 ? NULL
	                                  : call_target_domain(call, call->frame->rsi, &error);

	if (domain == NULL) {
		return error;
	}
	if ((map.flags & BH_MAP_WRITE) != 0 && (map.flags & BH_MAP_EXECUTE) != 0) {
		return BH_ERR_INVALID;
	}
	return range_is_in(call->frame->rdx, map.size, BH_VA_USER_MIN, BH_VA_USER_MAX)
	               ? region_map(call->handle, domain, NULL, call->frame->rdx, &map)
	               : BH_ERR_INVALID;
}

int64_t call_region_map_guest(struct call *call)
{
	struct bh_map map;
	struct object *vm = handle_find(call->caller, call->frame->rsi, BH_OBJECT_VM,
	                                BH_RIGHT_CONTROL);
	int error = map_decode(call, &map);

	if (error < 0) {
		return error;
	}
	if (vm == NULL) {
		return handle_error(call->caller, call->frame->rsi, BH_OBJECT_VM);
	}
	return range_is_in(call->frame->rdx, map.size, 0, GUEST_ADDRESS_END)
	               ? region_map(call->handle, NULL, container_of(vm, struct vm, object),
	                            call->frame->rdx, &map)
	               : BH_ERR_INVALID;
}

static int64_t mapping_remove_at(struct call *call, const struct domain *domain,
                                 const struct vm *vm)
{
	struct mapping *mapping = region_find_mapping(call->handle, domain, vm, call->frame->rdx);

	if (mapping == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	mapping_remove(mapping);
	return BH_OK;
}

/* A dead domain's mappings may be undone, too. */
int64_t call_region_unmap(struct call *call)
{
	uint64_t number = call->frame->rsi;
	struct object *domain = number == BH_HANDLE_SELF
	                                ? &call->caller->object
	                                : handle_find(call->caller, number, BH_OBJECT_DOMAIN,
	                                              BH_RIGHT_CONTROL);

	return domain != NULL ? mapping_remove_at(call, domain_of(domain), NULL)
	                      : handle_error(call->caller, number, BH_OBJECT_DOMAIN);
}

int64_t call_region_unmap_guest(struct call *call)
{
	struct object *vm = handle_find(call->caller, call->frame->rsi, BH_OBJECT_VM,
	                                BH_RIGHT_CONTROL);

	return vm != NULL ? mapping_remove_at(call, NULL, container_of(vm, struct vm, object))
	                  : handle_error(call->caller, call->frame->rsi, BH_OBJECT_VM);
}

int64_t call_region_info(struct call *call)
{
	const struct region *region = region_of(call->object);
	const struct bh_region_info info = {
		.size = region->size,
		.zeroed_bytes = region->zeroed_bytes,
		.mappings_count = region->mappings_count,
		.is_device = region->kind == REGION_DEVICE,
		.physical = call->caller->is_supervisor ? region->pa.raw : 0,
	};

	return call_copy_out(call->frame->rsi, &info, sizeof(info));
}

int64_t call_region_device(struct call *call)
{
	uint64_t pa = call->frame->rsi;
	uint64_t size = call->frame->rdx;
	struct region *region;

	if (!range_is_in(pa, size, 0, BIT(info_page.physical_address_bits % 64))) {
		return BH_ERR_INVALID;
	}
	if (!memory_is_outside(HPA(pa), size)) {
		return BH_ERR_RIGHTS;
	}
	int error = region_create_at(call->caller, HPA(pa), size, REGION_DEVICE, &region);

	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &region->object,
	                               BH_RIGHTS_ALL & ~BH_RIGHT_EXECUTE, call->handle);
}
