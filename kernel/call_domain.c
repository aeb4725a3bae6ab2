/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on domains and threads: decode and hand on (see call.h). */
#include "kernel/call.h"
#include "kernel/event.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/thread.h"

static int64_t domain_create_decode(struct domain *caller, const struct bh_domain_params *params,
                                    struct event **event)
{
	struct object *object = NULL;

	if ((params->flags & ~(BH_DOMAIN_SEES_LOG | BH_DOMAIN_SUPERVISES)) != 0) {
		return BH_ERR_INVALID;
	}
	if (!caller->is_supervisor) {
		return BH_ERR_RIGHTS;
	}
	if (caller->depth >= DOMAIN_DEPTH_MAX) {
		return BH_ERR_LIMIT;
	}
	if (params->death_event != 0) {
		object = handle_find(caller, params->death_event, BH_OBJECT_EVENT, BH_RIGHT_WRITE);
		if (object == NULL) {
			return handle_error(caller, params->death_event, BH_OBJECT_EVENT);
		}
	}
	*event = object != NULL ? event_of(object) : NULL;
	return BH_OK;
}

static int64_t call_domain_create(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_domain_params params;
	struct event *event = NULL;
	struct domain *domain;
	int64_t error = call_copy_in(&params, frame->rdi, sizeof(params));

	error = error < 0 ? error : domain_create_decode(caller, &params, &event);
	if (error < 0) {
		return error;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = domain_create(caller, &params, event, &domain);
	return error < 0 ? error
	                 : handle_fill(caller, number, &domain->object, BH_RIGHTS_ALL, NULL);
}

static int64_t call_domain_destroy(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_DOMAIN, BH_RIGHT_CONTROL);

	return object != NULL ? handle_reap_domain(domain_of(object))
	                      : handle_error(caller, frame->rdi, BH_OBJECT_DOMAIN);
}

static int64_t call_domain_info(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_DOMAIN, BH_RIGHT_READ);
	struct bh_domain_info info;

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_DOMAIN);
	}
	domain_info(domain_of(object), &info);
	return call_copy_out(frame->rsi, &info, sizeof(info));
}

static bool share_is_ok(uint64_t weight, uint64_t cap_percent)
{
	return weight >= 1 && weight <= SCHED_WEIGHT_MAX && cap_percent <= 100;
}

static int thread_create_decode(struct bh_thread_params *params)
{
	if (params->pcpu == BH_CPU_ANY) {
		params->pcpu = cpu_self()->idx;
	}
	if (params->reserved != 0 || params->pcpu >= cpus_count || cpus[params->pcpu] == NULL ||
	    !__atomic_load_n(&cpus[params->pcpu]->is_online, __ATOMIC_ACQUIRE) ||
	    !share_is_ok(params->weight, params->cap_percent) || params->tls >= BH_VA_USER_MAX ||
	    params->entry >= BH_VA_USER_MAX || params->stack > BH_VA_USER_MAX) {
		return BH_ERR_INVALID;
	}
	return BH_OK;
}

static int64_t call_thread_create(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_thread_params params;
	struct thread *thread;
	int error = BH_OK;
	struct domain *domain = call_target_domain(caller, frame->rdi, &error);

	error = error < 0 || caller->is_supervisor ? error : BH_ERR_RIGHTS;
	error = error < 0 ? error : call_copy_in(&params, frame->rsi, sizeof(params));
	error = error < 0 ? error : thread_create_decode(&params);
	if (error < 0) {
		return error;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = thread_create(caller, domain, &params, &thread);
	if (error < 0) {
		return error;
	}
	handle_fill(caller, number, &thread->object, BH_RIGHTS_ALL, NULL);
	thread_wake(thread);
	return number;
}

static int64_t call_thread_set_share(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_THREAD, BH_RIGHT_CONTROL);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_THREAD);
	}
	if (!share_is_ok(frame->rsi, frame->rdx)) {
		return BH_ERR_INVALID;
	}
	thread_of(object)->weight = (uint32_t)frame->rsi;
	thread_of(object)->cap_percent = (uint32_t)frame->rdx;
	return BH_OK;
}

static int64_t call_thread_info(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_THREAD, BH_RIGHT_READ);
	struct bh_thread_info info;

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_THREAD);
	}
	thread_info(thread_of(object), &info);
	return call_copy_out(frame->rsi, &info, sizeof(info));
}

int64_t call_domain(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	switch (number) {
	case BH_CALL_DOMAIN_CREATE:
		return call_domain_create(caller, frame);
	case BH_CALL_DOMAIN_DESTROY:
		return call_domain_destroy(caller, frame);
	case BH_CALL_DOMAIN_INFO:
		return call_domain_info(caller, frame);
	case BH_CALL_THREAD_CREATE:
		return call_thread_create(caller, frame);
	case BH_CALL_THREAD_SET_SHARE:
		return call_thread_set_share(caller, frame);
	case BH_CALL_THREAD_INFO:
		return call_thread_info(caller, frame);
	default:
		return BH_ERR_CALL;
	}
}
