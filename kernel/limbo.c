/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The waiting room of the dead (see limbo.h): one static array, under kernel_lock. When it is full in the middle of a call it is
 * emptied there; that is safe since whatever is in it was made unreachable before it was put in.
 */
#include "kernel/limbo.h"

#include "kernel/event.h"
#include "kernel/handle.h"
#include "kernel/message.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/thread.h"
#include "kernel/interrupt.h"
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
static bool is_flushing;
static struct vm *guest_to_flush;

static void limbo_drain(void);

static void limbo_add(struct limbo_item item)
{
	if (items_count == LIMBO_MAX) {
		limbo_drain(); /* what was noted stays noted: the work that goes on may need it again */
	}
	items[items_count++] = item;
}

void limbo_add_object(struct object *object)
{
	object->is_dying = 1;
	limbo_add((struct limbo_item){ .object = object, .payer = object->payer });
}

void limbo_add_pages(struct domain *payer, hpa_t pa, uint64_t size)
{
	/* Freed by something that is freed: everybody has let go of that already. */
	if (is_flushing) {
		quota_run_free(payer, pa, size);
		return;
	}
	limbo_add((struct limbo_item){ .payer = payer, .pa = pa, .size = size });
}

void limbo_note_unmap(void)
{
	needs_sync = true;
}

void limbo_note_guest_unmap(struct vm *vm)
{
	if (guest_to_flush != NULL && guest_to_flush != vm) {
		limbo_flush();
	}
	guest_to_flush = vm;
}

static void thread_release(struct thread *thread)
{
	/* A signaller may have put it into a wake list just before the safe point; who took it out may still look at it. */
	do {
		message_poll(cpu_self());
		message_sync();
	} while (__atomic_load_n(&thread->wake_pending, __ATOMIC_ACQUIRE) != 0);
	thread_free(thread);
}

static void event_set_release(struct event_set *set)
{
	struct thread *waiter = __atomic_load_n(&set->waiter, __ATOMIC_ACQUIRE);

	while (waiter != NULL) {
		thread_wake(waiter); /* finds the set dying and gives up */
		message_poll(cpu_self());
		message_sync();
		waiter = __atomic_load_n(&set->waiter, __ATOMIC_ACQUIRE);
	}
	quota_object_free(set->object.payer, set, sizeof(*set));
}

static void object_release(struct object *object)
{
	switch (object->type) {
	case BH_OBJECT_DOMAIN:
		quota_object_free(object->payer, object, sizeof(struct domain));
		break;
	case BH_OBJECT_THREAD:
		thread_release(thread_of(object));
		break;
	case BH_OBJECT_REGION:
		quota_object_free(object->payer, object, sizeof(struct region));
		break;
	case BH_OBJECT_EVENT_SET:
		event_set_release(event_set_of(object));
		break;
	case BH_OBJECT_EVENT:
		quota_object_free(object->payer, object, sizeof(struct event));
		break;
	case BH_OBJECT_VM:
		if (guest_to_flush == container_of(object, struct vm, object)) {
			guest_to_flush = NULL; /* this may be in the middle of a call */
		}
		vm_destroy(container_of(object, struct vm, object));
		break;
	case BH_OBJECT_VCPU:
		vcpu_destroy(container_of(object, struct vcpu, object));
		break;
	case BH_OBJECT_PORTS:
		quota_object_free(object->payer, object, sizeof(struct ports));
		break;
	case BH_OBJECT_INTERRUPT:
		quota_object_free(object->payer, object, sizeof(struct interrupt));
		break;
	default:
		panic("limbo: object of type %u", object->type);
	}
}

static void limbo_drain(void)
{
	if (guest_to_flush != NULL) {
		vm_flush(guest_to_flush);
	}
	arch_tlb_flush();
	message_sync();
	/* vm_flush() missed it, as its VM has forgotten it: it stops before the first page goes */
	for (uint32_t i = 0; i < items_count; i++) {
		if (items[i].object != NULL && items[i].object->type == BH_OBJECT_VCPU) {
			message_detach_vcpu(container_of(items[i].object, struct vcpu, object));
		}
	}
	is_flushing = true;
	for (uint32_t i = 0; i < items_count; i++) {
		if (items[i].object != NULL) {
			object_release(items[i].object);
		} else {
			quota_run_free(items[i].payer, items[i].pa, items[i].size);
		}
	}
	items_count = 0;
	is_flushing = false;
}

void limbo_flush(void)
{
	if (items_count != 0 || needs_sync || guest_to_flush != NULL) {
		limbo_drain();
		needs_sync = false;
		guest_to_flush = NULL;
	}
}
