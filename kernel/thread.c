/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: records, wake-up, end. A thread belongs to its pCPU; others only ask (message.c). It ends on its own pCPU, out of any call.
 */
#include "kernel/thread.h"

#include "kernel/event.h"
#include "kernel/fpu.h"
#include "kernel/quota.h"
#include "kernel/sched.h"
#include "kernel/vcpu.h"

_Static_assert(sizeof(struct thread) <= 512, "a thread is a small object");

static uint32_t fpu_order(void)
{
	return arch_fpu_size <= PAGE_SIZE ? 0 : 1;
}

/* The deadline of a wait. */
static void thread_timer_fire(struct timer *timer)
{
	struct thread *thread = container_of(timer, struct thread, timer);

	thread->has_timed_out = true;
	thread_wake_here(thread);
}

int thread_create(struct domain *payer, struct domain *domain,
                  const struct bh_thread_params *params, struct thread **out)
{
	struct thread *thread = quota_object_allocate(payer, sizeof(*thread));
	hpa_t fpu;

	if (thread == NULL) {
		return BH_ERR_QUOTA;
	}
	int error = quota_pages_allocate(payer, fpu_order(), &fpu);

	if (error < 0) {
		quota_object_free(payer, thread, sizeof(*thread));
		return error;
	}
	object_init(&thread->object, BH_OBJECT_THREAD, payer);
	thread->fpu = phys_to_virt(fpu);
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
	domain->threads_count++;
	__atomic_add_fetch(&domain->threads_alive, 1, __ATOMIC_ACQ_REL);
	*out = thread;
	return BH_OK;
}

void thread_kill(struct thread *thread)
{
	if (!thread_is_dead(thread)) {
		__atomic_store_n(&thread->object.is_dying, 1, __ATOMIC_RELEASE);
		thread_wake(thread);
	}
}

void thread_free(struct thread *thread)
{
	struct domain *payer = thread->object.payer;

	if (thread->domain != NULL) {
		list_remove(&thread->domain_node);
		thread->domain->threads_count--;
	}
	quota_pages_free(payer, fpu_order(), virt_to_phys(thread->fpu));
	quota_object_free(payer, thread, sizeof(*thread));
}

void thread_wake_here(struct thread *thread)
{
	struct cpu *cpu = thread->cpu;

	if (thread->waits_on != NULL && thread->waits_on->object.is_dying) {
		event_wait_abandon(thread, BH_ERR_DEAD);
	}
	if (__atomic_load_n(&thread->object.is_dying, __ATOMIC_ACQUIRE) != 0) {
		if (cpu->current == thread) {
			__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
		} else {
			thread_stop_here(thread);
		}
		return;
	}
	if (thread->state != THREAD_WAITING) {
		return;
	}
	timer_cancel(&thread->timer);
	if (cpu->current == thread) {
		thread->state = THREAD_RUNNING; /* woken on its way to sleep */
	} else {
		sched_enqueue(cpu, thread);
	}
	__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
}

void thread_wait_current(void)
{
	struct cpu *cpu = cpu_self();

	cpu->current->state = THREAD_WAITING;
	__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
}

void thread_stop_here(struct thread *thread)
{
	struct domain *domain = thread->domain; /* the record may go as soon as it is seen dead */
	struct cpu *cpu = thread->cpu;
	struct vcpu *vcpu = thread->vcpu;

	if (thread->state == THREAD_DEAD) {
		return;
	}
	list_remove(&thread->run_node);
	timer_cancel(&thread->timer);
	if (thread->waits_on != NULL) {
		event_wait_abandon(thread, BH_ERR_DEAD);
	}
	if (vcpu != NULL) {
		thread->vcpu = NULL;
		vcpu->thread = NULL;
		fpu_flush(cpu, vcpu->fpu);
		vcpu_unload(vcpu);
	}
	fpu_forget(cpu, thread->fpu);
	if (cpu->fpu_thread == thread) {
		cpu->fpu_thread = NULL;
	}
	__atomic_store_n(&thread->state, THREAD_DEAD, __ATOMIC_RELEASE);
	domain_thread_died(domain);
}
