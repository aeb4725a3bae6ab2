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
#define MAP_RIGHTS        (BH_MAP_READ | BH_MAP_WRITE | BH_MAP_EXECUTE) /* BH_RIGHT_*: the same bits */

/* Where a mapping goes. */
struct target {
	struct object *object;
	struct ptable *table;
	struct list *mappings;
	struct vm *vm;       /* NULL: a domain */
	uint64_t first, end; /* addresses that may be mapped */
};

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
static int target_decode(const struct call *call, struct target *target)
{
	int error = call_object(call, call->arg[1], BH_OBJECT_DOMAIN, BH_RIGHT_CONTROL,
	                        &target->object);

	if (error == BH_OK) {
		struct domain *domain = domain_of(target->object);

		target->table = &domain->space;
		target->mappings = &domain->mappings;
		target->vm = NULL;
		target->first = BH_VA_USER_MIN;
		target->end = BH_VA_USER_MAX;
	} else if (error == BH_ERR_HANDLE) {
		error = call_object(call, call->arg[1], BH_OBJECT_VM, BH_RIGHT_CONTROL,
		                    &target->object);
		if (error < 0) {
			return error;
		}
		target->vm = vm_of(target->object);
		target->table = &target->vm->npt;
		target->mappings = &target->vm->mappings;
		target->first = 0;
		target->end = GUEST_ADDRESS_END;
	}
	return error;
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

static int map_do(struct handle *handle, const struct target *target, uint64_t address,
                  const struct bh_map *map)
{
	const struct region *region = region_of(handle_object(handle));
	struct mapping *mapping = small_allocate(handle->domain);

	if (mapping == NULL) {
		return BH_ERR_QUOTA;
	}
	/* A failure half way takes back what a running vCPU may already have used. */
	if (target->vm != NULL) {
		limbo_note_unmap(target->vm);
	}
	int error = ptable_map(target->table, address, HPA(region->pa.raw + map->offset), map->size,
	                       map->flags);

	if (error < 0) {
		limbo_note_unmap(target->vm);
		small_free(handle->domain, mapping);
		return error;
	}
	mapping->table = target->table;
	mapping->vm = target->vm;
	mapping->payer = handle->domain;
	mapping->address = address;
	mapping->size = map->size;
	list_insert_before(&handle->mappings, &mapping->handle_node);
	list_insert_before(target->mappings, &mapping->target_node);
	return BH_OK;
}

int64_t call_region_map(struct call *call)
{
	const struct bh_map *map = &call_record.map;
	struct target target;
	int error = map_check(call, map);

	error = error < 0 ? error : target_decode(call, &target);
	if (error < 0) {
		return error;
	}
	if (target.object->is_dying) {
		return BH_ERR_DEAD;
	}
	if (!range_is_in(call->arg[2], map->size, target.first, target.end) ||
	    (target.vm == NULL && (map->flags & BH_MAP_WRITE) != 0 &&
	     (map->flags & BH_MAP_EXECUTE) != 0)) {
		return BH_ERR_INVALID;
	}
	return map_do(call->handle, &target, call->arg[2], map);
}

void mapping_remove(struct mapping *mapping)
{
	limbo_note_unmap(mapping->vm);
	ptable_unmap(mapping->table, mapping->address, mapping->size);
	list_remove(&mapping->target_node);
	list_remove(&mapping->handle_node);
	small_free(mapping->payer, mapping);
}

/* A dead domain's mappings may be undone, too. */
int64_t call_region_unmap(struct call *call)
{
	struct target target;
	int error = target_decode(call, &target);

	if (error < 0) {
		return error;
	}
	list_for_each(node, &call->handle->mappings)
	{
		struct mapping *mapping = list_entry(node, struct mapping, handle_node);

		if (mapping->table == target.table && mapping->address == call->arg[2]) {
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
		.physical = call->caller->is_supervisor ? region->pa.raw : 0,
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
