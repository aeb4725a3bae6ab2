/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler of a pCPU (see sched.h). Virtual time is TSC ticks times 256 / weight. Slices end only while somebody else is ready:
 * a thread that is alone on its pCPU is never interrupted for it.
 * Must never look at another pCPU's threads, and never choose by anything but virtual time and cap.
 */
#include "kernel/sched.h"

#include "kernel/event.h"
#include "kernel/fpu.h"
#include "kernel/thread.h"
#include "kernel/timer.h"

#define SLICE_US       4000u
#define PERIOD_US      100000u /* of the cap */
#define WAKE_BONUS_US  2000u   /* how far before the others a sleeper comes back */
#define GRANULARITY_US 500u    /* less than this apart: no preemption by a wake-up */

static uint64_t slice_tsc, period_tsc, wake_bonus_tsc, granularity_tsc;

void sched_init(void)
{
	uint64_t ticks_per_us = arch_tsc_hz / 1000000;

	slice_tsc = SLICE_US * ticks_per_us;
	period_tsc = PERIOD_US * ticks_per_us;
	wake_bonus_tsc = WAKE_BONUS_US * ticks_per_us;
	granularity_tsc = GRANULARITY_US * ticks_per_us;
}

void sched_cpu_init(struct cpu *cpu)
{
	list_init(&cpu->run_queue);
	list_init(&cpu->timers);
	cpu->slice_start_tsc = arch_tsc_read();
	cpu->slice_end_tsc = BH_FOREVER;
	cpu->timer_programmed_tsc = BH_FOREVER;
}

static struct thread *queue_head(struct cpu *cpu)
{
	return list_is_empty(&cpu->run_queue)
	               ? NULL
	               : list_entry(cpu->run_queue.next, struct thread, run_node);
}

/* Behind all that have the same virtual time. */
static void queue_insert(struct cpu *cpu, struct thread *thread)
{
	struct list *at = &cpu->run_queue;

	while (at->prev != &cpu->run_queue &&
	       list_entry(at->prev, struct thread, run_node)->virtual_time > thread->virtual_time) {
		at = at->prev;
	}
	list_insert_before(at, &thread->run_node);
}

void sched_enqueue(struct cpu *cpu, struct thread *thread)
{
	uint64_t earliest = cpu->virtual_time_min > wake_bonus_tsc
	                            ? cpu->virtual_time_min - wake_bonus_tsc
	                            : 0;

	if (thread->virtual_time < earliest) {
		thread->virtual_time = earliest;
	}
	thread->state = THREAD_READY;
	thread->ready_since_tsc = arch_tsc_read();
	queue_insert(cpu, thread);
}

void sched_dequeue(struct thread *thread)
{
	list_remove(&thread->run_node);
	thread->is_parked = false;
}

static uint64_t cap_budget(const struct thread *thread)
{
	return thread->cap_percent == 0 ? BH_FOREVER : period_tsc / 100 * thread->cap_percent;
}

static void cap_renew(struct thread *thread, uint64_t now)
{
	if (thread->cap_percent != 0 && now - thread->cap_period_start_tsc >= period_tsc) {
		thread->cap_period_start_tsc = now;
		thread->cap_used_tsc = 0;
	}
}

static bool cap_is_used_up(const struct thread *thread)
{
	return thread->cap_used_tsc >= cap_budget(thread);
}

static void sched_park(struct thread *thread)
{
	list_remove(&thread->run_node);
	thread->is_parked = true;
	timer_arm(&thread->timer, thread->cap_period_start_tsc + period_tsc);
}

void sched_unpark(struct thread *thread)
{
	uint64_t waiting_since = thread->ready_since_tsc;

	thread->is_parked = false;
	sched_enqueue(thread->cpu, thread);
	thread->ready_since_tsc = waiting_since; /* a cap is steal, too */
	__atomic_or_fetch(&thread->cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
}

/* The time since the last look belongs to current, or to idle. */
static void sched_account(struct cpu *cpu, uint64_t now)
{
	struct thread *thread = cpu->current;
	uint64_t ran = now > cpu->slice_start_tsc ? now - cpu->slice_start_tsc : 0;

	cpu->slice_start_tsc = now;
	if (thread == NULL) {
		cpu->idle_tsc += ran;
		return;
	}
	thread->run_tsc += ran;
	thread->cap_used_tsc += ran;
	thread->virtual_time += ran * SCHED_WEIGHT_USUAL / thread->weight;
	cap_renew(thread, now);
}

static void virtual_time_advance(struct cpu *cpu, const struct thread *running)
{
	const struct thread *head = queue_head(cpu);
	uint64_t least = running != NULL ? running->virtual_time : BH_FOREVER;

	if (head != NULL && head->virtual_time < least) {
		least = head->virtual_time;
	}
	if (least != BH_FOREVER && least > cpu->virtual_time_min) {
		cpu->virtual_time_min = least;
	}
}

/* Current, if it can go on. */
static struct thread *sched_keep(struct cpu *cpu, uint64_t now)
{
	struct thread *thread = cpu->current;

	if (thread == NULL) {
		return NULL;
	}
	if (__atomic_load_n(&thread->object.is_dying, __ATOMIC_ACQUIRE) != 0) {
		thread_stop_here(thread);
		return NULL;
	}
	if (thread->state != THREAD_RUNNING) {
		return NULL;
	}
	if (cap_is_used_up(thread)) {
		thread->state = THREAD_READY;
		thread->ready_since_tsc = now;
		sched_park(thread);
		return NULL;
	}
	return thread;
}

/* The best of the queue; those whose cap is used up leave it. */
static struct thread *sched_best(struct cpu *cpu, uint64_t now)
{
	struct thread *head = queue_head(cpu);

	while (head != NULL) {
		cap_renew(head, now);
		if (!cap_is_used_up(head)) {
			break;
		}
		sched_park(head);
		head = queue_head(cpu);
	}
	return head;
}

static bool sched_shall_switch(const struct cpu *cpu, const struct thread *running,
                               const struct thread *head, uint64_t now)
{
	if (cpu->is_yielding) {
		return true;
	}
	if (now >= cpu->slice_end_tsc) {
		return head->virtual_time < running->virtual_time;
	}
	return head->virtual_time + granularity_tsc < running->virtual_time;
}

static void slice_begin(struct cpu *cpu, const struct thread *thread, bool is_new, uint64_t now)
{
	uint64_t end = cpu->slice_end_tsc;

	if (thread == NULL || list_is_empty(&cpu->run_queue)) {
		end = BH_FOREVER;
	} else if (is_new || end == BH_FOREVER || now >= end) {
		end = now + slice_tsc;
	}
	if (thread != NULL && thread->cap_percent != 0 &&
	    end - now > cap_budget(thread) - thread->cap_used_tsc) {
		end = now + cap_budget(thread) - thread->cap_used_tsc;
	}
	cpu->slice_end_tsc = end;
	timer_program(cpu);
}

static void sched_switch(struct cpu *cpu, struct thread *next, uint64_t now)
{
	struct thread *last = cpu->current;

	if (last != NULL && last->state != THREAD_DEAD) {
		last->frame = *arch_user_frame(cpu);
	}
	cpu->current = next;
	if (next == NULL) {
		arch_thread_load(kernel_pml4, 0);
		return;
	}
	next->state = THREAD_RUNNING;
	next->wait_tsc += now - next->ready_since_tsc;
	*arch_user_frame(cpu) = next->frame;
	arch_thread_load(HPA(ptable_root_value(&next->domain->space)), next->fs_base);
}

static void sched_choose(struct cpu *cpu)
{
	uint64_t now = arch_tsc_read();

	sched_account(cpu, now);
	struct thread *running = sched_keep(cpu, now);
	struct thread *head = sched_best(cpu, now);
	struct thread *next = running;

	virtual_time_advance(cpu, running);
	if (head != NULL && (running == NULL || sched_shall_switch(cpu, running, head, now))) {
		if (running != NULL) {
			running->state = THREAD_READY;
			running->ready_since_tsc = now;
			queue_insert(cpu, running);
		}
		list_remove(&head->run_node);
		next = head;
	}
	cpu->is_yielding = false;
	bool is_new = next != cpu->current;

	if (is_new) {
		sched_switch(cpu, next, now);
	}
	slice_begin(cpu, next, is_new, now);
}

void sched_run(struct cpu *cpu)
{
	do {
		sched_choose(cpu);
	} while (cpu->current != NULL && cpu->current->waits_on != NULL &&
	         !event_wait_finish(cpu->current));
}
