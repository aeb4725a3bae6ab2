/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions and mappings (see region.h). A region's memory goes back to the pool only after every mapping is gone and every pCPU has
 * forgotten its translations (limbo). Must never map memory that has not been cleared.
 */
#include "kernel/region.h"

#include "kernel/call.h"
#include "kernel/memory.h"
#include "kernel/quota.h"
#include "kernel/start.h"
#include "kernel/string.h"
#include "kernel/vcpu.h"

#define ZERO_AT_ONCE      PAGE_SIZE_2M
#define GUEST_ADDRESS_END (1ull << 47)
#define WRITE_EXECUTE     (BH_MAP_WRITE | BH_MAP_EXECUTE)
#define MAP_RIGHTS        (BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE) /* BH_RIGHT_*: the same bits */

static struct ptable *table_of(struct object *target)
{
	return target->type == BH_OBJECT_VM ? &vm_of(target)->npt : &domain_of(target)->space;
}

static struct vm *guest_of(struct object *target)
{
	return target->type == BH_OBJECT_VM ? vm_of(target) : NULL;
}

struct region *region_create(struct domain *payer, hpa_t pa, uint64_t size, enum region_kind kind)
{
	struct region *region = object_create(BH_OBJECT_REGION, payer);

	if (region != NULL) {
		region->pa = pa;
		region->size = size;
		region->zeroed_bytes = size;
		region->kind = kind;
	}
	return region;
}

int64_t call_region_allocate(struct call *call)
{
	uint64_t size = call->arg[0];
	hpa_t pa;
	int error = call->arg[2] == 0 ? quota_run_allocate(call->caller, size, call->arg[1], &pa)
	                              : BH_ERR_INVALID;

	if (error < 0) {
		return error;
	}
	struct region *region = region_create(call->caller, pa, size, REGION_MEMORY);

	if (region == NULL) {
		quota_run_free(call->caller, pa, size);
		return BH_ERR_QUOTA;
	}
	region->zeroed_bytes = 0;
	call->made = &region->object;
	return BH_OK;
}

/* Without lock: if two do it at once, the part counts once and is cleared twice, before it can be mapped or by its owner's fault. */
int64_t call_region_zero(struct call *call)
{
	struct region *region = region_of(call->object);
	uint64_t done = __atomic_load_n(&region->zeroed_bytes, __ATOMIC_ACQUIRE);
	uint64_t left = region->size - done;
	uint64_t part = left < ZERO_AT_ONCE ? left : ZERO_AT_ONCE;

	if (part != 0) {
		memset(phys_to_virt(HPA(region->pa.raw + done)), 0, part);
		__atomic_compare_exchange_n(&region->zeroed_bytes, &done, done + part, false,
		                            __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	}
	return part == left ? BH_OK : BH_ERR_AGAIN;
}

/* [at, at + size) lies on pages within [first, end). */
static bool range_is_in(uint64_t at, uint64_t size, uint64_t first, uint64_t end)
{
	return IS_ALIGNED(at | size, PAGE_SIZE) && size != 0 && at >= first && at < end &&
	       size <= end - at;
}

/* A domain, SELF, or a vm. */
static int target_decode(const struct call *call, struct object **target)
{
	int error = call_object(call, call->arg[1], BH_OBJECT_DOMAIN, BH_RIGHT_CONTROL, target);

	return error == BH_ERR_HANDLE
	               ? call_object(call, call->arg[1], BH_OBJECT_VM, BH_RIGHT_CONTROL, target)
	               : error;
}

/* The record, against the region and the rights of the handle. */
static int map_check(const struct call *call, const struct bh_map *map)
{
	const struct region *region = region_of(call->object);

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

static int map_do(struct handle *handle, struct object *target, uint64_t address,
                  const struct bh_map *map)
{
	const struct region *region = region_of(handle_object(handle));
	struct mapping *mapping = small_allocate(handle->domain);
	struct vm *guest = guest_of(target);

	if (mapping == NULL) {
		return BH_ERR_QUOTA;
	}
	/* A failure half way takes back what a running vCPU may already have used. */
	if (guest != NULL) {
		limbo_note_unmap(guest);
	}
	int error = ptable_map(table_of(target), address, HPA(region->pa.raw + map->offset),
	                       map->size, map->flags);

	if (error < 0) {
		limbo_note_unmap(guest);
		small_free(handle->domain, mapping);
		return error;
	}
	mapping->target = target;
	mapping->payer = handle->domain;
	mapping->address = address;
	mapping->size = map->size;
	list_insert_before(&handle->mappings, &mapping->handle_node);
	list_insert_before(guest != NULL ? &guest->mappings : &domain_of(target)->mappings,
	                   &mapping->target_node);
	return BH_OK;
}

int64_t call_region_map(struct call *call)
{
	const struct bh_map *map = &call_record.map;
	uint64_t address = call->arg[2];
	struct object *target;
	int error = map_check(call, map);

	error = error < 0 ? error : target_decode(call, &target);
	if (error < 0) {
		return error;
	}
	if (target->is_dying) {
		return BH_ERR_DEAD;
	}
	bool is_ok = guest_of(target) != NULL
	                     ? range_is_in(address, map->size, 0, GUEST_ADDRESS_END)
	                     : range_is_in(address, map->size, BH_VA_USER_MIN, BH_VA_USER_MAX) &&
	                               (map->flags & WRITE_EXECUTE) != WRITE_EXECUTE;

	return is_ok ? map_do(call->handle, target, address, map) : BH_ERR_INVALID;
}

void mapping_remove(struct mapping *mapping)
{
	limbo_note_unmap(guest_of(mapping->target));
	ptable_unmap(table_of(mapping->target), mapping->address, mapping->size);
	list_remove(&mapping->target_node);
	list_remove(&mapping->handle_node);
	small_free(mapping->payer, mapping);
}

/* A dead domain's mappings may be undone, too. */
int64_t call_region_unmap(struct call *call)
{
	struct object *target;
	int error = target_decode(call, &target);

	if (error < 0) {
		return error;
	}
	list_for_each(node, &call->handle->mappings)
	{
		struct mapping *mapping = list_entry(node, struct mapping, handle_node);

		if (mapping->target == target && mapping->address == call->arg[2]) {
			mapping_remove(mapping);
			return BH_OK;
		}
	}
	return BH_ERR_NOT_FOUND;
}

int64_t call_region_info(struct call *call)
{
	const struct region *region = region_of(call->object);

	call_record.region_info = (struct bh_region_info){
		.size = region->size,
		.zeroed_bytes = region->zeroed_bytes,
		.physical = call->caller == root_domain ? region->pa.raw : 0,
	};
	return BH_OK;
}

int64_t call_region_device(struct call *call)
{
	uint64_t pa = call->arg[1];
	uint64_t size = call->arg[2];

	if (!range_is_in(pa, size, 0, BIT(info_page.physical_address_bits % 64))) {
		return BH_ERR_INVALID;
	}
	if (!memory_is_outside(HPA(pa), size)) {
		return BH_ERR_RIGHTS;
	}
	struct region *region = region_create(call->caller, HPA(pa), size, REGION_DEVICE);

	call->made = region != NULL ? &region->object : NULL;
	call->rights = BH_RIGHTS_ALL & ~BH_RIGHT_EXECUTE;
	return BH_OK;
}

void region_end(const struct region *region)
{
	if (region->kind == REGION_MEMORY) {
		limbo_add_pages(region->object.payer, region->pa, region->size);
	}
}
