/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions and mappings (see region.h). A region's memory goes back to the pool only after every mapping is gone and every pCPU has
 * forgotten its translations (limbo.c). Must never map memory that has not been cleared.
 */
#include "kernel/region.h"

#include "kernel/limbo.h"
#include "kernel/quota.h"
#include "kernel/string.h"
#include "kernel/vcpu.h"

#define ZERO_AT_ONCE PAGE_SIZE_2M

int region_create_at(struct domain *payer, hpa_t pa, uint64_t size, enum region_kind kind,
                     struct region **out)
{
	struct region *region = quota_object_allocate(payer, sizeof(*region));

	if (region == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&region->object, BH_OBJECT_REGION, payer);
	region->pa = pa;
	region->size = size;
	region->zeroed_bytes = size;
	region->kind = kind;
	*out = region;
	return BH_OK;
}

int region_create(struct domain *payer, uint64_t size, uint64_t alignment, struct region **out)
{
	hpa_t pa;
	int error = quota_run_allocate(payer, size, alignment, &pa);

	if (error < 0) {
		return error;
	}
	error = region_create_at(payer, pa, size, REGION_MEMORY, out);
	if (error < 0) {
		quota_run_free(payer, pa, size);
		return error;
	}
	(*out)->zeroed_bytes = 0;
	return BH_OK;
}

int region_zero(struct region *region)
{
	uint64_t left = region->size - region->zeroed_bytes;
	uint64_t part = left < ZERO_AT_ONCE ? left : ZERO_AT_ONCE;

	memset(phys_to_virt(HPA(region->pa.raw + region->zeroed_bytes)), 0, part);
	region->zeroed_bytes += part;
	return region->zeroed_bytes == region->size ? BH_OK : BH_ERR_AGAIN;
}

int region_split(struct region *region, uint64_t offset, struct region **out)
{
	uint64_t upper_size = region->size - offset;
	int error = region_create_at(region->object.payer, HPA(region->pa.raw + offset), upper_size,
	                             region->kind, out);

	if (error < 0) {
		return error;
	}
	(*out)->zeroed_bytes = region->zeroed_bytes > offset ? region->zeroed_bytes - offset : 0;
	region->size = offset;
	region->zeroed_bytes = region->zeroed_bytes < offset ? region->zeroed_bytes : offset;
	return BH_OK;
}

int region_map(struct handle *handle, struct domain *domain, struct vm *vm, uint64_t address,
               const struct bh_map *map)
{
	struct region *region = region_of(handle_object(handle));
	struct domain *payer = handle->domain;
	struct mapping *mapping = quota_object_allocate(payer, sizeof(*mapping));
	struct ptable *table = domain != NULL ? &domain->space : &vm->npt;

	if (mapping == NULL) {
		return BH_ERR_QUOTA;
	}
	/* A failure half way takes back what a running vCPU may already have used. */
	if (domain == NULL) {
		limbo_note_guest_unmap(vm);
	}
	int error = ptable_map(table, address, HPA(region->pa.raw + map->offset), map->size,
	                       map->flags);

	if (error < 0) {
		limbo_note_unmap();
		quota_object_free(payer, mapping, sizeof(*mapping));
		return error;
	}
	*mapping = (struct mapping){
		.next = handle->mappings,
		.link = &handle->mappings,
		.region = region,
		.payer = payer,
		.domain = domain,
		.vm = vm,
		.address = address,
		.size = map->size,
	};
	if (mapping->next != NULL) {
		mapping->next->link = &mapping->next;
	}
	handle->mappings = mapping;
	list_insert_before(domain != NULL ? &domain->mappings : &vm->mappings,
	                   &mapping->target_node);
	region->mappings_count++;
	return BH_OK;
}

struct mapping *region_find_mapping(struct handle *handle, const struct domain *domain,
                                    const struct vm *vm, uint64_t address)
{
	struct mapping *mapping = handle->mappings;

	while (mapping != NULL &&
	       (mapping->domain != domain || mapping->vm != vm || mapping->address != address)) {
		mapping = mapping->next;
	}
	return mapping;
}

void mapping_remove(struct mapping *mapping)
{
	struct domain *payer = mapping->payer;

	if (mapping->domain != NULL) {
		limbo_note_unmap();
		ptable_unmap(&mapping->domain->space, mapping->address, mapping->size);
	} else {
		limbo_note_guest_unmap(mapping->vm);
		ptable_unmap(&mapping->vm->npt, mapping->address, mapping->size);
	}
	list_remove(&mapping->target_node);
	*mapping->link = mapping->next;
	if (mapping->next != NULL) {
		mapping->next->link = mapping->link;
	}
	mapping->region->mappings_count--;
	quota_object_free(payer, mapping, sizeof(*mapping));
}

int region_end(struct region *region)
{
	CHECK(region->mappings_count == 0);
	if (region->kind == REGION_MEMORY) {
		limbo_add_pages(region->object.payer, region->pa, region->size);
	}
	limbo_add_object(&region->object);
	return BH_OK;
}
