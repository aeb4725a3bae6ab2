/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events. The signaller sets the bit, then the summary, then takes is_sleeping; the waiter sets is_sleeping, then looks at the summary:
 * one of them sees the other. All these are sequentially consistent.
 */
#include "kernel/call.h"
#include "kernel/interrupt.h"
#include "kernel/quota.h"
#include "kernel/thread.h"
#include "kernel/trace.h"

int64_t call_event_set_create(struct call *call)
{
	call->made = object_create(BH_OBJECT_EVENT_SET, call->caller);
	return BH_OK;
}

int64_t call_event_create(struct call *call)
{
	if (call->arg[1] >= BH_EVENTS_PER_SET) {
		return BH_ERR_INVALID;
	}
	call->made = object_create(BH_OBJECT_EVENT, call->caller);
	if (call->made != NULL) {
		event_of(call->made)->set = event_set_of(call->object);
		event_of(call->made)->bit = (uint32_t)call->arg[1];
	}
	return BH_OK;
}

void event_signal(struct event *event)
{
	struct event_set *set = event->set;

	trace(BH_TRACE_SIGNAL, TRACE_WHO(event->bit, 0), TRACE_THREAD(set->waiter));
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

int64_t call_event_signal(struct call *call)
{
	event_signal(event_of(call->object));
	return BH_OK;
}

/* Take the bits of one word; its bit of the summary, 0 if it had none. Words take turns, so that none is held up by one that is never empty. */
static uint32_t event_take(struct event_set *set, uint32_t summary, uint64_t *bits)
{
	uint32_t later = summary & set->turn, left = later != 0 ? later : summary;
	uint32_t word = left & (0u - left);

	set->turn = (0u - word) << 1; /* those above it */
	__atomic_and_fetch(&set->summary, ~word, __ATOMIC_SEQ_CST);
	*bits = __atomic_exchange_n(&set->words[__builtin_ctz(word)], 0, __ATOMIC_SEQ_CST);
	return *bits != 0 ? word : 0;
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
	/* One that is left from a wait before and fires too early does no harm. */
	if (thread->wait_deadline_tsc != BH_FOREVER &&
	    (list_is_empty(&thread->timer.node) ||
	     thread->timer.deadline_tsc > thread->wait_deadline_tsc)) {
		timer_arm(&thread->timer, thread->wait_deadline_tsc);
	}
	thread_wait_current();
	return true;
}

int64_t event_wait(struct thread *thread, struct event_set *set, const struct arch_frame *frame)
{
	struct thread *nobody = NULL;

	if (!__atomic_compare_exchange_n(&set->waiter, &nobody, thread, false, __ATOMIC_SEQ_CST,
	                                 __ATOMIC_ACQUIRE)) {
		return BH_ERR_BUSY;
	}
	thread->waits_on = set;
	thread->wait_deadline_tsc = frame->rsi;
	return event_wait_step(thread);
}

int64_t event_wait_step(struct thread *thread)
{
	struct event_set *set = thread->waits_on;
	int64_t result;

	do {
		uint32_t summary = __atomic_load_n(&set->summary, __ATOMIC_SEQ_CST);

		result = summary != 0 ? event_take(set, summary, &thread_frame(thread)->rdx) : 0;
		if (result == 0 && set->object.is_dying) {
			result = BH_ERR_DEAD;
		} else if (result == 0 && thread->wait_deadline_tsc <= arch_tsc_read()) {
			result = BH_ERR_TIMEOUT;
		}
		if (result != 0) {
			event_wait_abandon(thread, result);
			return result;
		}
	} while (!event_sleep(thread));
	return 0;
}

void event_wait_abandon(struct thread *thread, int64_t result)
{
	struct event_set *set = thread->waits_on;

	thread_frame(thread)->rax = (uint64_t)result;
	thread->waits_on = NULL;
	__atomic_store_n(&set->is_sleeping, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&set->waiter, NULL, __ATOMIC_RELEASE);
}

void event_end(const struct event *event)
{
	call_vm_forget_event(event);
	domain_forget_event(event);
	interrupt_forget_event(event);
}

int event_set_end(struct event_set *set)
{
	struct thread *waiter = __atomic_load_n(&set->waiter, __ATOMIC_SEQ_CST);

	if (waiter != NULL) {
		thread_wake(waiter); /* finds the set dying and gives up */
		message_sync();
	}
	return __atomic_load_n(&set->waiter, __ATOMIC_SEQ_CST) == NULL ? BH_OK : BH_ERR_AGAIN;
}
