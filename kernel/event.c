/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events. The signaller sets the bit, then the summary, then takes is_sleeping; the waiter sets is_sleeping, then looks at the summary:
 * one of them sees the other. All these are sequentially consistent.
 */
#include "kernel/event.h"

#include "kernel/call.h"
#include "kernel/interrupt.h"
#include "kernel/limbo.h"
#include "kernel/quota.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

#define EVENTS_DETACHED_AT_ONCE 32u

int event_set_create(struct domain *payer, struct event_set **out)
{
	struct event_set *set = quota_object_allocate(payer, sizeof(*set));

	if (set == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&set->object, BH_OBJECT_EVENT_SET, payer);
	list_init(&set->events);
	*out = set;
	return BH_OK;
}

int event_create(struct domain *payer, struct event_set *set, uint32_t bit, struct event **out)
{
	struct event *event = quota_object_allocate(payer, sizeof(*event));

	if (event == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&event->object, BH_OBJECT_EVENT, payer);
	event->set = set;
	event->bit = bit;
	list_insert_before(&set->events, &event->node);
	*out = event;
	return BH_OK;
}

int event_create_msi(struct domain *payer, struct vm *vm, uint64_t address, uint32_t data,
                     struct event **out)
{
	struct event *event = quota_object_allocate(payer, sizeof(*event));

	if (event == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&event->object, BH_OBJECT_EVENT, payer);
	list_init(&event->node);
	event->vm = vm;
	event->msi_address = address;
	event->msi_data = data;
	*out = event;
	return BH_OK;
}

void event_signal(struct event *event)
{
	struct event_set *set = __atomic_load_n(&event->set, __ATOMIC_ACQUIRE);
	struct vm *vm = __atomic_load_n(&event->vm, __ATOMIC_ACQUIRE);

	if (set == NULL) {
		if (vm != NULL && vm_msi_deliver(vm, event->msi_address, event->msi_data) < 0) {
			log_print_limited("guest interrupt %lx/%x has no valid target",
			                  event->msi_address, event->msi_data);
		}
		return;
	}
	__atomic_or_fetch(&set->words[event->bit / 64], BIT(event->bit % 64), __ATOMIC_SEQ_CST);
	__atomic_or_fetch(&set->summary, 1u << (event->bit / 64), __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&set->is_sleeping, __ATOMIC_SEQ_CST) != 0 &&
	    __atomic_exchange_n(&set->is_sleeping, 0, __ATOMIC_SEQ_CST) != 0) {
		struct thread *waiter = __atomic_load_n(&set->waiter, __ATOMIC_ACQUIRE);

		if (waiter != NULL) {
			thread_wake(waiter);
		}
	}
}

/* Take all bits; the mask of words that have any, or 0; ADDRESS. */
static int64_t event_take(struct event_set *set, hva_t bits)
{
	uint64_t words[BH_EVENT_WORDS] = { 0 };
	uint32_t summary = __atomic_exchange_n(&set->summary, 0, __ATOMIC_SEQ_CST);
	uint32_t mask = 0;

	for (; summary != 0; summary &= summary - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(summary);

		words[i] = __atomic_exchange_n(&set->words[i], 0, __ATOMIC_SEQ_CST);
		mask |= words[i] != 0 ? 1u << i : 0;
	}
	if (mask == 0) {
		return 0;
	}
	int error = call_copy_out(bits.raw, words, sizeof(words));

	return error < 0 ? error : (int64_t)mask;
}

/* Go to sleep, unless a bit came: then false. */
static bool event_sleep(struct thread *thread)
{
	struct event_set *set = thread->waits_on;

	__atomic_store_n(&set->is_sleeping, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&set->summary, __ATOMIC_SEQ_CST) != 0) {
		__atomic_store_n(&set->is_sleeping, 0, __ATOMIC_SEQ_CST);
		return false;
	}
	if (thread->wait_deadline_tsc != BH_FOREVER) {
		timer_arm(&thread->timer, thread->wait_deadline_tsc);
	}
	thread_wait_current();
	return true;
}

int64_t event_wait(struct event_set *set, uint64_t deadline_tsc, hva_t bits)
{
	struct thread *thread = cpu_self()->current;
	struct thread *nobody = NULL;

	if (!__atomic_compare_exchange_n(&set->waiter, &nobody, thread, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_ACQUIRE)) {
		return BH_ERR_BUSY;
	}
	for (;;) {
		int64_t result = event_take(set, bits);

		if (result == 0 && (deadline_tsc == 0 || deadline_tsc <= arch_tsc_read())) {
			result = BH_ERR_TIMEOUT;
		}
		if (result != 0) {
			__atomic_store_n(&set->waiter, NULL, __ATOMIC_RELEASE);
			return result;
		}
		thread->waits_on = set;
		thread->wait_bits = bits;
		thread->wait_deadline_tsc = deadline_tsc;
		thread->has_timed_out = false;
		if (event_sleep(thread)) {
			return 0;
		}
		thread->waits_on = NULL;
	}
}

void event_wait_abandon(struct thread *thread, int64_t result)
{
	struct event_set *set = thread->waits_on;

	thread_frame(thread)->rax = (uint64_t)result;
	thread->waits_on = NULL;
	__atomic_store_n(&set->is_sleeping, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&set->waiter, NULL, __ATOMIC_RELEASE);
}

bool event_wait_finish(struct thread *thread)
{
	struct event_set *set = thread->waits_on;

	for (;;) {
		int64_t result = event_take(set, thread->wait_bits);

		if (result == 0 && set->object.is_dying) {
			result = BH_ERR_DEAD;
		} else if (result == 0 && thread->has_timed_out) {
			result = BH_ERR_TIMEOUT;
		}
		if (result != 0) {
			event_wait_abandon(thread, result);
			return true;
		}
		if (event_sleep(thread)) {
			return false;
		}
	}
}

int event_end(struct event *event)
{
	list_remove(&event->node);
	__atomic_store_n(&event->set, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&event->vm, NULL, __ATOMIC_RELEASE);
	if (event->is_bound) {
		call_vm_forget_event(event);
		domain_forget_event(event);
		interrupt_forget_event(event);
	}
	limbo_add_object(&event->object);
	return BH_OK;
}

int event_set_end(struct event_set *set)
{
	for (uint32_t i = 0; i < EVENTS_DETACHED_AT_ONCE; i++) {
		if (list_is_empty(&set->events)) {
			limbo_add_object(&set->object);
			return BH_OK;
		}
		struct event *event = list_entry(set->events.next, struct event, node);

		list_remove(&event->node);
		__atomic_store_n(&event->set, NULL, __ATOMIC_RELEASE);
	}
	return REAP_MORE;
}
