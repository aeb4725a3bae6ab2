/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on domains and threads: decode and hand on (see call.h). */
#include "kernel/call.h"
#include "kernel/event.h"
#include "kernel/message.h"
#include "kernel/sched.h"
#include "kernel/thread.h"

int64_t call_domain_create(struct call *call)
{
	struct bh_domain_params params;
	struct event *event;
	struct domain *domain;
	int error = call_copy_in(&params, call->frame->rdi, sizeof(params));

	if (error < 0) {
		return error;
	}
	if ((params.flags & ~(BH_DOMAIN_SEES_LOG | BH_DOMAIN_SUPERVISES)) != 0) {
		return BH_ERR_INVALID;
	}
	if (!call->caller->is_supervisor) {
		return BH_ERR_RIGHTS;
	}
	if (call->caller->depth >= DOMAIN_DEPTH_MAX) {
		return BH_ERR_LIMIT;
	}
	error = call_event_argument(call, params.death_event, &event);
	error = error < 0 ? error : domain_create(call->caller, &params, event, &domain);
	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &domain->object, BH_RIGHTS_ALL,
	                               NULL);
}

int64_t call_domain_destroy(struct call *call)
{
	return handle_reap_domain(domain_of(call->object));
}

int64_t call_domain_info(struct call *call)
{
	struct bh_domain_info info;

	domain_info(domain_of(call->object), &info);
	return call_copy_out(call->frame->rsi, &info, sizeof(info));
}

static bool share_is_ok(uint64_t weight, uint64_t cap_percent)
{
	return weight >= 1 && weight <= SCHED_WEIGHT_MAX && cap_percent <= 100;
}

static bool thread_params_are_ok(const struct bh_thread_params *params)
{
	return params->reserved == 0 && params->pcpu < cpus_count && cpus[params->pcpu] != NULL &&
	       __atomic_load_n(&cpus[params->pcpu]->is_online, __ATOMIC_ACQUIRE) &&
	       share_is_ok(params->weight, params->cap_percent) && params->tls < BH_VA_USER_MAX &&
	       params->entry < BH_VA_USER_MAX && params->stack <= BH_VA_USER_MAX;
}

int64_t call_thread_create(struct call *call)
{
	struct bh_thread_params params;
	struct thread *thread;
	int error;
	struct domain *domain = call_target_domain(call, call->frame->rdi, &error);

	error = error < 0 || call->caller->is_supervisor ? error : BH_ERR_RIGHTS;
	error = error < 0 ? error : call_copy_in(&params, call->frame->rsi, sizeof(params));
	if (error < 0) {
		return error;
	}
	params.pcpu = params.pcpu == BH_CPU_ANY ? cpu_self()->idx : params.pcpu;
	if (!thread_params_are_ok(&params)) {
		return BH_ERR_INVALID;
	}
	error = thread_create(call->caller, domain, &params, &thread);
	if (error < 0) {
		return error;
	}
	handle_fill(call->caller, call->number, &thread->object, BH_RIGHTS_ALL, NULL);
	thread_wake(thread);
	return call->number;
}

int64_t call_thread_set_share(struct call *call)
{
	if (!share_is_ok(call->frame->rsi, call->frame->rdx)) {
		return BH_ERR_INVALID;
	}
	struct thread *thread = thread_of(call->object);

	thread->weight = (uint32_t)call->frame->rsi;
	thread->cap_percent = (uint32_t)call->frame->rdx;
	/* one that runs alone would not see its cap */
	message_send(thread->cpu, CPU_WORK_SCHEDULE);
	return BH_OK;
}
