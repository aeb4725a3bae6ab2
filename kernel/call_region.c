/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on regions: decode and hand on (see call.h). */
#include "kernel/call.h"
#include "kernel/region.h"
#include "kernel/vcpu.h"

#define GUEST_ADDRESS_END (1ull << 47)

static int64_t call_region_allocate(struct domain *caller, const struct arch_frame *frame)
{
	uint64_t size = frame->rdi;
	uint64_t alignment = frame->rsi;
	struct region *region;

	if (size == 0 || !IS_ALIGNED(size, PAGE_SIZE) || alignment < PAGE_SIZE ||
	    !IS_ALIGNED(alignment, alignment) || frame->rdx != 0) {
		return BH_ERR_INVALID;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	int error = region_create(caller, size, alignment, &region);

	return error < 0 ? error
	                 : handle_fill(caller, number, &region->object, BH_RIGHTS_ALL, NULL);
}

static int64_t call_region_zero(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_REGION, BH_RIGHT_CONTROL);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_REGION);
	}
	/* Once it has been clear it may be in use: nothing to do. */
	return region_of(object)->zeroed_bytes == region_of(object)->size
	               ? BH_OK
	               : region_zero(region_of(object));
}

static int64_t call_region_split(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *handle = call_handle_entry(caller, frame->rdi, BH_OBJECT_REGION,
	                                          BH_RIGHT_CONTROL, &error);
	struct region *upper;

	if (handle == NULL) {
		return error;
	}
	struct region *region = region_of(handle_object(handle));

	if (frame->rsi == 0 || frame->rsi >= region->size || !IS_ALIGNED(frame->rsi, PAGE_SIZE)) {
		return BH_ERR_INVALID;
	}
	if (region->object.handles_count != 1 || region->mappings_count != 0 ||
	    region->kind == REGION_BORROWED) {
		return BH_ERR_BUSY;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = region_split(region, frame->rsi, &upper);
	return error < 0 ? error
	                 : handle_fill(caller, number, &upper->object, handle_rights(handle),
	                               handle->parent);
}

/* What is to be mapped: the record, and the rights of the handle. */
static struct handle *map_decode(struct domain *caller, const struct arch_frame *frame,
                                 struct bh_map *map, int *error)
{
	*error = call_copy_in(map, frame->r10, sizeof(*map));
	if (*error < 0) {
		return NULL;
	}
	/* BH_MAP_READ, WRITE, EXECUTE and the rights of the same names have the same bits. */
	uint32_t rights = map->flags & (BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE);
	struct handle *handle = call_handle_entry(caller, frame->rdi, BH_OBJECT_REGION, rights,
	                                          error);

	if (handle == NULL) {
		return NULL;
	}
	struct region *region = region_of(handle_object(handle));

	*error = BH_ERR_INVALID;
	if ((map->flags & ~(BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE | BH_MAP_UNCACHED)) != 0 ||
	    (rights & BH_MAP_READ) == 0 || map->reserved != 0 || map->size == 0 ||
	    !IS_ALIGNED(map->size, PAGE_SIZE) || !IS_ALIGNED(map->offset, PAGE_SIZE) ||
	    map->offset > region->size || map->size > region->size - map->offset ||
	    ((map->flags & BH_MAP_UNCACHED) != 0 && region->kind != REGION_DEVICE)) {
		return NULL;
	}
	if (region->zeroed_bytes != region->size) {
		*error = BH_ERR_STATE;
		return NULL;
	}
	*error = BH_OK;
	return handle;
}

static int64_t call_region_map(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_map map;
	int error;
	struct handle *handle = map_decode(caller, frame, &map, &error);
	struct domain *domain = handle != NULL ? call_target_domain(caller, frame->rsi, &error)
	                                       : NULL;
	uint64_t va = frame->rdx;

	if (domain == NULL) {
		return error;
	}
	if ((map.flags & BH_MAP_WRITE) != 0 && (map.flags & BH_MAP_EXECUTE) != 0) {
		return BH_ERR_INVALID;
	}
	if (!IS_ALIGNED(va, PAGE_SIZE) || va < BH_VA_USER_MIN || va >= BH_VA_USER_MAX ||
	    map.size > BH_VA_USER_MAX - va) {
		return BH_ERR_INVALID;
	}
	return region_map(handle, domain, NULL, va, &map);
}

static int64_t call_region_map_guest(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_map map;
	int error;
	struct handle *handle = map_decode(caller, frame, &map, &error);
	uint64_t gpa = frame->rdx;

	if (handle == NULL) {
		return error;
	}
	struct object *vm = handle_find(caller, frame->rsi, BH_OBJECT_VM, BH_RIGHT_CONTROL);

	if (vm == NULL) {
		return handle_error(caller, frame->rsi, BH_OBJECT_VM);
	}
	if (!IS_ALIGNED(gpa, PAGE_SIZE) || gpa >= GUEST_ADDRESS_END ||
	    map.size > GUEST_ADDRESS_END - gpa) {
		return BH_ERR_INVALID;
	}
	return region_map(handle, NULL, container_of(vm, struct vm, object), gpa, &map);
}

static int64_t call_region_unmap(struct domain *caller, const struct arch_frame *frame,
                                 bool is_guest)
{
	int error = BH_OK;
	struct handle *handle = call_handle_entry(caller, frame->rdi, BH_OBJECT_REGION, 0, &error);
	uint32_t type = is_guest ? BH_OBJECT_VM : BH_OBJECT_DOMAIN;
	bool is_self = !is_guest && frame->rsi == BH_HANDLE_SELF;
	struct object *target = is_self ? &caller->object
	                                : handle_find(caller, frame->rsi, type, BH_RIGHT_CONTROL);

	if (handle == NULL) {
		return error;
	}
	if (target == NULL) {
		return handle_error(caller, frame->rsi, type);
	}
	struct mapping *mapping = region_find_mapping(
		handle, is_guest ? NULL : domain_of(target),
		is_guest ? container_of(target, struct vm, object) : NULL, frame->rdx);

	if (mapping == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	mapping_remove(mapping);
	return BH_OK;
}

static int64_t call_region_info(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_REGION, BH_RIGHT_READ);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_REGION);
	}
	const struct region *region = region_of(object);
	const struct bh_region_info info = {
		.size = region->size,
		.zeroed_bytes = region->zeroed_bytes,
		.mappings_count = region->mappings_count,
		.is_device = region->kind == REGION_DEVICE,
	};

	return call_copy_out(frame->rsi, &info, sizeof(info));
}

int64_t call_region(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	switch (number) {
	case BH_CALL_REGION_ALLOCATE:
		return call_region_allocate(caller, frame);
	case BH_CALL_REGION_ZERO:
		return call_region_zero(caller, frame);
	case BH_CALL_REGION_SPLIT:
		return call_region_split(caller, frame);
	case BH_CALL_REGION_MAP:
		return call_region_map(caller, frame);
	case BH_CALL_REGION_UNMAP:
		return call_region_unmap(caller, frame, false);
	case BH_CALL_REGION_MAP_GUEST:
		return call_region_map_guest(caller, frame);
	case BH_CALL_REGION_UNMAP_GUEST:
		return call_region_unmap(caller, frame, true);
	case BH_CALL_REGION_INFO:
		return call_region_info(caller, frame);
	default:
		return BH_ERR_CALL;
	}
}
