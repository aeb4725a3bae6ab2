/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning and the end of an object, whatever its type, and limbo (see quota.h): one static array, under kernel_lock. When it is full
 * in the middle of a call it is emptied there; that is safe since whatever is in it was made unreachable before it was put in.
 */
#include "kernel/object.h"

#include "kernel/call.h"
#include "kernel/event.h"
#include "kernel/interrupt.h"
#include "kernel/message.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

#define LIMBO_MAX 128u

struct limbo_item {
	struct object *object; /* NULL: pages */
	struct domain *payer;
	hpa_t pa;
	uint64_t size;
};

static struct limbo_item items[LIMBO_MAX];
static uint32_t items_count;
static bool needs_sync;
static bool is_draining;
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

static int vm_end(struct vm *vm)
{
	if (!list_is_empty(&vm->mappings)) {
		mapping_remove(list_entry(vm->mappings.next, struct mapping, target_node));
		return REAP_MORE;
	}
	limbo_flush(); /* it is not noted any more */
	list_remove(&vm->node);
	return BH_OK;
}

static int object_end_by_type(struct object *object)
{
	switch (object->type) {
	case BH_OBJECT_DOMAIN:
		return domain_end(domain_of(object));
	case BH_OBJECT_THREAD:
		return thread_end(thread_of(object));
	case BH_OBJECT_REGION:
		region_end(region_of(object));
		return BH_OK;
	case BH_OBJECT_EVENT_SET:
		return event_set_end(event_set_of(object));
	case BH_OBJECT_EVENT:
		event_end(event_of(object));
		return BH_OK;
	case BH_OBJECT_VM:
		return vm_end(vm_of(object));
	case BH_OBJECT_VCPU:
		__atomic_store_n(&vcpu_of(object)->vm->vcpus[vcpu_of(object)->idx], NULL,
		                 __ATOMIC_RELEASE);
		return BH_OK;
	default:
		interrupt_end(interrupt_of(object));
		return BH_OK;
	}
}

static void object_free(struct object *object)
{
	switch (object->type) {
	case BH_OBJECT_DOMAIN:
		quota_pages_free(object->payer, 0, virt_to_phys(object));
		break;
	case BH_OBJECT_THREAD:
		thread_free(thread_of(object));
		break;
	case BH_OBJECT_VM:
		vm_destroy(vm_of(object));
		break;
	case BH_OBJECT_VCPU:
		vcpu_destroy(vcpu_of(object));
		break;
	default:
		small_free(object->payer, object);
	}
}

static void limbo_drain(void)
{
	if (guest_to_flush != NULL) {
		vm_flush(guest_to_flush);
	}
	arch_tlb_flush();
	message_sync();
	for (uint32_t i = 0; i < items_count; i++) {
		struct object *object = items[i].object;

		if (object != NULL && object->type == BH_OBJECT_VCPU) {
			/* vm_flush() missed it, as its VM has forgotten it: it stops before the first page goes */
			message_detach_vcpu(vcpu_of(object));
		} else if (object != NULL && object->type == BH_OBJECT_THREAD) {
			/* a signaller may have put it into a wake list just before the safe point */
			message_poll(cpu_self());
			message_sync();
		}
	}
	is_draining = true;
	for (uint32_t i = 0; i < items_count; i++) {
		if (items[i].object != NULL) {
			object_free(items[i].object);
		} else {
			quota_run_free(items[i].payer, items[i].pa, items[i].size);
		}
	}
	items_count = 0;
	is_draining = false;
}

static void limbo_add(struct limbo_item item)
{
	if (items_count == LIMBO_MAX) {
		limbo_drain(); /* what was noted stays noted: the work that goes on may need it again */
	}
	items[items_count++] = item;
}

int object_end(struct object *object)
{
	__atomic_store_n(&object->is_dying, 1, __ATOMIC_SEQ_CST);
	int result = object_end_by_type(object);

	if (result == BH_OK) {
		limbo_add((struct limbo_item){ .object = object });
	}
	return result;
}

void limbo_add_pages(struct domain *payer, hpa_t pa, uint64_t size)
{
	if (is_draining) { /* freed by something that is freed: everybody has let go of that already */
		quota_run_free(payer, pa, size);
	} else {
		limbo_add((struct limbo_item){ .payer = payer, .pa = pa, .size = size });
	}
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
