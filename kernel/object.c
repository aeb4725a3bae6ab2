/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning and the end of an object, whatever its type, and limbo (see quota.h): one static array, under kernel_lock. When it is full
 * in the middle of a call it is emptied there; that is safe since whatever is in it was made unreachable before it was put in.
 */
#include "kernel/object.h"

#include "kernel/call.h"
#include "kernel/interrupt.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

#define LIMBO_MAX 128u

struct limbo_item {
	struct domain *payer;
	void *memory;
	uint64_t size; /* of a run of pages; 0: a small record */
};

static struct limbo_item items[LIMBO_MAX];
static uint32_t items_count;
static bool needs_sync;
static struct vm *guest_to_flush;

void object_init(struct object *object, enum bh_object_type type, struct domain *payer)
{
	object->type = (uint8_t)type;
	object->payer = payer;
}

void *object_create(enum bh_object_type type, struct domain *payer)
{
	struct object *object = small_allocate(payer);

	if (object != NULL) {
		object_init(object, type, payer);
	}
	return object;
}

static void limbo_drain(void)
{
	if (guest_to_flush != NULL) {
		vm_flush(guest_to_flush);
	}
	arch_tlb_flush();
	message_poll(cpu_self());
	message_sync();
	for (uint32_t i = 0; i < items_count; i++) {
		if (items[i].size == 0) {
			small_free(items[i].payer, items[i].memory);
		} else {
			quota_run_free(items[i].payer, virt_to_phys(items[i].memory),
			               items[i].size);
		}
	}
	items_count = 0;
}

static void limbo_add(struct domain *payer, void *memory, uint64_t size)
{
	if (items_count == LIMBO_MAX) {
		limbo_drain(); /* what was noted stays noted: the work that goes on may need it again */
	}
	items[items_count++] = (struct limbo_item){ payer, memory, size };
}

void limbo_add_pages(struct domain *payer, hpa_t pa, uint64_t size)
{
	limbo_add(payer, phys_to_virt(pa), size);
}

void limbo_note_unmap(struct vm *vm)
{
	if (vm != NULL && guest_to_flush != NULL && guest_to_flush != vm) {
		limbo_flush();
	}
	needs_sync = true;
	guest_to_flush = vm != NULL ? vm : guest_to_flush;
}

void limbo_flush(void)
{
	if (items_count != 0 || needs_sync) {
		limbo_drain();
		needs_sync = false;
		guest_to_flush = NULL;
	}
}

static int vm_end(struct vm *vm)
{
	if (!list_is_empty(&vm->mappings)) {
		mapping_remove(list_entry(vm->mappings.next, struct mapping, target_node));
		return REAP_MORE;
	}
	limbo_flush(); /* it is not noted any more */
	list_remove(&vm->node);
	vm_destroy(vm);
	return BH_OK;
}

/* Once it is dying, vcpu_run does not begin any more; what began before is in the guest, or over, after a safe point. */
static int vcpu_end(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->vm->vcpus[vcpu->idx], NULL, __ATOMIC_RELEASE);
	message_sync();
	message_detach_vcpu(vcpu);
	vcpu_destroy(vcpu);
	return BH_OK;
}

int object_end(struct object *object)
{
	int result = BH_OK;

	__atomic_store_n(&object->is_dying, 1, __ATOMIC_SEQ_CST);
	switch (object->type) {
	case BH_OBJECT_DOMAIN:
		return domain_end(domain_of(object));
	case BH_OBJECT_THREAD:
		return thread_end(thread_of(object));
	case BH_OBJECT_VM:
		return vm_end(vm_of(object));
	case BH_OBJECT_VCPU:
		return vcpu_end(vcpu_of(object));
	case BH_OBJECT_REGION:
		region_end(region_of(object));
		break;
	case BH_OBJECT_EVENT_SET:
		result = event_set_end(event_set_of(object));
		break;
	case BH_OBJECT_EVENT:
		event_end(event_of(object));
		break;
	default:
		interrupt_end(interrupt_of(object));
	}
	if (result == BH_OK) {
		limbo_add(object->payer, object, 0);
	}
	return result;
}
