/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on handles themselves, and on event sets and events, as far as they take kernel_lock (see call.h). */
#include "kernel/call.h"
#include "kernel/event.h"

int64_t call_event_set_create(struct call *call)
{
	struct event_set *set;
	int error = event_set_create(call->caller, &set);

	return error < 0
	               ? error
	               : handle_fill(call->caller, call->number, &set->object, BH_RIGHTS_ALL, NULL);
}

int64_t call_event_create(struct call *call)
{
	struct event *event;
	uint64_t bit = call->frame->rsi;
	int error = bit < BH_EVENTS_PER_SET ? event_create(call->caller, event_set_of(call->object),
	                                                   (uint32_t)bit, &event)
	                                    : BH_ERR_INVALID;

	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &event->object, BH_RIGHTS_ALL,
	                               call->handle);
}

/* Any handle of the caller's but SELF. */
static struct handle *entry_find(const struct call *call)
{
	struct handle *handle = handle_entry(call->caller, call->frame->rdi);

	return handle != NULL && handle->word != 0 && !handle->is_self ? handle : NULL;
}

int64_t call_handle_give(struct call *call)
{
	struct handle *handle = entry_find(call);
	uint64_t rights = call->frame->rdx;
	int error;

	if (handle == NULL) {
		return BH_ERR_HANDLE;
	}
	struct domain *domain = call_target_domain(call, call->frame->rsi, &error);

	if (domain == NULL) {
		return error;
	}
	if (rights == 0 || (rights & ~(uint64_t)BH_RIGHTS_ALL) != 0 ||
	    call->frame->r10 == BH_HANDLE_SELF) {
		return BH_ERR_INVALID;
	}
	if ((handle_rights(handle) & BH_RIGHT_GIVE) == 0 ||
	    (rights & ~(uint64_t)handle_rights(handle)) != 0) {
		return BH_ERR_RIGHTS;
	}
	return handle_give(handle, domain, (uint32_t)rights, call->frame->r10);
}

int64_t call_handle_narrow(struct call *call)
{
	struct handle *handle = entry_find(call);

	if (handle == NULL) {
		return BH_ERR_HANDLE;
	}
	if ((call->frame->rsi & ~(uint64_t)BH_RIGHTS_ALL) != 0) {
		return BH_ERR_INVALID;
	}
	handle_narrow(handle, (uint32_t)call->frame->rsi);
	return BH_OK;
}

int64_t call_handle_revoke(struct call *call)
{
	struct handle *handle = entry_find(call);

	return handle != NULL ? handle_reap(handle, false) : BH_ERR_HANDLE;
}

/* The machine's original handle keeps the machine. */
int64_t call_handle_close(struct call *call)
{
	struct handle *handle = entry_find(call);

	if (handle == NULL || (handle_object(handle) == &host_object && handle->parent == NULL)) {
		return BH_ERR_HANDLE;
	}
	return handle_reap(handle, true);
}
