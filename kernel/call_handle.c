/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on handles themselves (see call.h). */
#include "kernel/call.h"

/* Any handle of the caller's but SELF. */
static struct handle *entry_find(struct domain *caller, uint64_t number)
{
	struct handle *handle = handle_entry(caller, number);

	return handle != NULL && handle->word != 0 && !handle->is_self ? handle : NULL;
}

static int64_t call_handle_give(struct domain *caller, const struct arch_frame *frame)
{
	struct handle *handle = entry_find(caller, frame->rdi);
	uint64_t rights = frame->rdx;
	int error = BH_OK;

	if (handle == NULL) {
		return BH_ERR_HANDLE;
	}
	struct domain *domain = call_target_domain(caller, frame->rsi, &error);

	if (domain == NULL) {
		return error;
	}
	if (rights == 0 || (rights & ~(uint64_t)BH_RIGHTS_ALL) != 0 ||
	    frame->r10 == BH_HANDLE_SELF) {
		return BH_ERR_INVALID;
	}
	if ((handle_rights(handle) & BH_RIGHT_GIVE) == 0 ||
	    (rights & ~(uint64_t)handle_rights(handle)) != 0) {
		return BH_ERR_RIGHTS;
	}
	return handle_give(handle, domain, (uint32_t)rights, frame->r10);
}

static int64_t call_handle_narrow(struct domain *caller, const struct arch_frame *frame)
{
	struct handle *handle = entry_find(caller, frame->rdi);

	if (handle == NULL) {
		return BH_ERR_HANDLE;
	}
	if ((frame->rsi & ~(uint64_t)BH_RIGHTS_ALL) != 0) {
		return BH_ERR_INVALID;
	}
	handle_narrow(handle, (uint32_t)frame->rsi);
	return BH_OK;
}

static int64_t call_handle_reap(struct domain *caller, const struct arch_frame *frame,
                                bool is_close)
{
	struct handle *handle = entry_find(caller, frame->rdi);

	/* The machine's original handle keeps the machine. */
	if (handle == NULL ||
	    (is_close && handle_object(handle)->type == BH_OBJECT_HOST && handle->parent == NULL)) {
		return BH_ERR_HANDLE;
	}
	return handle_reap(handle, is_close);
}

int64_t call_handles(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	switch (number) {
	case BH_CALL_HANDLE_GIVE:
		return call_handle_give(caller, frame);
	case BH_CALL_HANDLE_NARROW:
		return call_handle_narrow(caller, frame);
	case BH_CALL_HANDLE_REVOKE:
		return call_handle_reap(caller, frame, false);
	case BH_CALL_HANDLE_CLOSE:
		return call_handle_reap(caller, frame, true);
	default:
		return BH_ERR_CALL;
	}
}
