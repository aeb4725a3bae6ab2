/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: records, wake-up, end. A thread belongs to its pCPU; others only ask (message.c). It ends on its own pCPU, out of any call.
 */
#include "kernel/thread.h"

#include "kernel/call.h"
#include "kernel/fpu.h"
#include "kernel/vcpu.h"

#define FPU_OFFSET ALIGN_UP(sizeof(struct thread), 64ull)

static uint32_t thread_order(void)
{
	return FPU_OFFSET + arch_fpu_size <= PAGE_SIZE ? 0 : 1;
}

/* The deadline of a wait, or of one before: a wait that is over leaves its timer. Who waits now looks at the clock and goes on waiting. */
static void thread_timer_fire(struct timer *timer)
{
	thread_wake_here(container_of(timer, struct thread, timer));
}

int thread_create(struct domain *payer, struct domain *domain,
                  const struct bh_thread_params *params, struct thread **out)
{
	hpa_t pa;
	int error = quota_pages_allocate(payer, thread_order(), &pa);

	if (error < 0) {
		return error;
	}
	struct thread *thread = phys_to_virt(pa);

	object_init(&thread->object, BH_OBJECT_THREAD, payer);
	thread->fpu = (char *)thread + FPU_OFFSET;
	arch_fpu_init_area(thread->fpu);
	arch_frame_init(&thread->frame, params->entry, params->stack, params->argument);
	thread->fs_base = params->tls;
	thread->domain = domain;
	thread->cpu = cpus[params->pcpu];
	thread->state = THREAD_WAITING;
	thread->weight = params->weight;
	thread->cap_percent = params->cap_percent;
	thread->timer.fire = thread_timer_fire;
	list_init(&thread->timer.node);
	list_init(&thread->run_node);
	list_insert_before(&domain->threads, &thread->domain_node);
	__atomic_add_fetch(&domain->threads_alive, 1, __ATOMIC_ACQ_REL);
	*out = thread;
	return BH_OK;
}

static bool share_is_ok(uint64_t weight, uint64_t cap_percent)
{
	return weight >= 1 && weight <= SCHED_WEIGHT_MAX && cap_percent <= 100;
}

int64_t call_thread_create(struct call *call)
{
	struct bh_thread_params *params = &call_record.thread;
	struct thread *thread;

	if (call->caller != root_domain) {
		return BH_ERR_RIGHTS;
	}
	params->pcpu = params->pcpu == BH_CPU_ANY ? cpu_self()->idx : params->pcpu;
	if (params->reserved != 0 || params->pcpu >= cpus_count ||
	    !share_is_ok(params->weight, params->cap_percent) || params->tls >= BH_VA_USER_MAX ||
	    params->entry >= BH_VA_USER_MAX || params->stack > BH_VA_USER_MAX) {
		return BH_ERR_INVALID;
	}
	if (call->object->is_dying) {
		return BH_ERR_DEAD;
	}
	int error = thread_create(call->caller, domain_of(call->object), params, &thread);

	if (error == BH_OK) {
		call->made = &thread->object;
		thread_wake(thread);
	}
	return error;
}

int64_t call_thread_set_share(struct call *call)
{
	struct thread *thread = thread_of(call->object);

	if (!share_is_ok(call->arg[1], call->arg[2])) {
		return BH_ERR_INVALID;
	}
	thread->weight = (uint32_t)call->arg[1];
	thread->cap_percent = (uint32_t)call->arg[2];
	/* one that runs alone would not see its cap */
	message_send(thread->cpu, CPU_WORK_SCHEDULE);
	return BH_OK;
}

int64_t call_thread_exit(struct call *call)
{
	(void)call;
	__atomic_store_n(&cpu_self()->current->object.is_dying, 1, __ATOMIC_RELEASE);
	cpu_ask_self(CPU_WORK_SCHEDULE);
	return BH_OK;
}

int64_t call_thread_yield(struct call *call)
{
	(void)call;
	cpu_self()->is_yielding = true;
	cpu_ask_self(CPU_WORK_SCHEDULE);
	return BH_OK;
}

void thread_kill(struct thread *thread)
{
	if (!thread_is_dead(thread)) {
		__atomic_store_n(&thread->object.is_dying, 1, __ATOMIC_RELEASE);
		thread_wake(thread);
	}
}

int thread_end(struct thread *thread)
{
	thread_kill(thread);
	message_sync();
	if (!thread_is_dead(thread)) {
		return BH_ERR_AGAIN;
	}
	list_remove(&thread->domain_node);
	message_sync(); /* who had found it waiting has put it into a wake list by now: limbo_drain() empties those */
	quota_pages_free(thread->object.payer, thread_order(), virt_to_phys(thread));
	return BH_OK;
}

void thread_wake_here(struct thread *thread)
{
	struct cpu *cpu = thread->cpu;

	if (thread->waits_on != NULL && thread->waits_on->object.is_dying) {
		event_wait_abandon(thread, BH_ERR_DEAD);
	}
	if (__atomic_load_n(&thread->object.is_dying, __ATOMIC_ACQUIRE) != 0) {
		if (cpu->current == thread) {
			cpu_ask_self(CPU_WORK_SCHEDULE);
		} else {
			thread_stop_here(thread);
		}
		return;
	}
	if (thread->state != THREAD_WAITING) {
		return;
	}
	if (cpu->current == thread) {
		thread->state = THREAD_RUNNING; /* woken on its way to sleep */
		cpu_ask_self(CPU_WORK_SCHEDULE);
	} else {
		sched_enqueue(cpu, thread);
	}
}

void thread_wait_current(void)
{
	cpu_self()->current->state = THREAD_WAITING;
	cpu_ask_self(CPU_WORK_SCHEDULE);
}

void thread_stop_here(struct thread *thread)
{
	struct domain *domain = thread->domain; /* the record may go as soon as it is seen dead */
	struct cpu *cpu = thread->cpu;

	if (thread->state == THREAD_DEAD) {
		return;
	}
	list_remove(&thread->run_node);
	timer_cancel(&thread->timer);
	if (thread->waits_on != NULL) {
		event_wait_abandon(thread, BH_ERR_DEAD);
	}
	if (thread->vcpu != NULL) {
		thread_leave_vcpu(thread->vcpu);
	}
	fpu_forget(cpu, thread->fpu);
	cpu->fpu_thread = cpu->fpu_thread == thread ? NULL : cpu->fpu_thread;
	cpu->frame_thread = cpu->frame_thread == thread ? NULL : cpu->frame_thread;
	__atomic_store_n(&thread->state, THREAD_DEAD, __ATOMIC_RELEASE);
	domain_thread_died(domain);
}
