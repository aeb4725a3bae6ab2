/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that make event sets and events (see call.h). Signal and wait are in call.c: they take no lock. */
#include "kernel/call.h"
#include "kernel/event.h"

static int64_t call_event_set_create(struct domain *caller)
{
	struct event_set *set;
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	int error = event_set_create(caller, &set);

	return error < 0 ? error : handle_fill(caller, number, &set->object, BH_RIGHTS_ALL, NULL);
}

static int64_t call_event_create(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *handle = call_handle_entry(caller, frame->rdi, BH_OBJECT_EVENT_SET,
	                                          BH_RIGHT_CONTROL, &error);
	struct event *event;

	if (handle == NULL) {
		return error;
	}
	if (frame->rsi >= BH_EVENTS_PER_SET) {
		return BH_ERR_INVALID;
	}
	if (handle->depth + 1u >= HANDLE_DEPTH_MAX) {
		return BH_ERR_LIMIT;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = event_create(caller, event_set_of(handle_object(handle)), (uint32_t)frame->rsi,
	                     &event);
	return error < 0 ? error
	                 : handle_fill(caller, number, &event->object, BH_RIGHTS_ALL, handle);
}

int64_t call_event(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	return number == BH_CALL_EVENT_SET_CREATE ? call_event_set_create(caller)
	                                          : call_event_create(caller, frame);
}
