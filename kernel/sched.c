/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler of a pCPU and its timers (see thread.h). Virtual time is TSC ticks times 256 / weight. Slices end only while somebody else
 * is ready: a thread that is alone on its pCPU is never interrupted for it. The timer's hardware is written only for an earlier deadline: one
 * that was cancelled or moved back costs one interrupt too many at most, which is cheaper than a write at every wait.
 * Must never look at another pCPU's threads, and never choose by anything but virtual time and cap.
 */
#include "kernel/log.h"
#include "kernel/thread.h"
#include "kernel/trace.h"
#include "kernel/vcpu.h"

#define SLICE_US       4000u
#define PERIOD_US      100000u /* of the cap */
#define WAKE_BONUS_US  2000u   /* how far before the others a sleeper comes back */
#define GRANULARITY_US 500u    /* less than this apart: no preemption by a wake-up */
#define STEAL_US       100u    /* a vCPU that waited less has not been held up */

static uint64_t ticks_per_us;

void sched_cpu_init(struct cpu *cpu)
{
	ticks_per_us = arch_tsc_hz / 1000000;
	list_init(&cpu->run_queue);
	cpu->stats = &log_ring.cpus[cpu->idx];
	list_init(&cpu->timers);
	cpu->slice_start_tsc = arch_tsc_read();
	cpu->stats->idle_tsc = 0 - cpu->slice_start_tsc;
	cpu->slice_end_tsc = BH_FOREVER;
	cpu->timer_programmed_tsc = BH_FOREVER;
}

/* Make sure that the hardware fires early enough. It may fire too early, never too late. */
static void timer_program(struct cpu *cpu)
{
	uint64_t deadline = cpu->slice_end_tsc;

	if (!list_is_empty(&cpu->timers)) {
		uint64_t first = list_entry(cpu->timers.next, struct timer, node)->deadline_tsc;

		deadline = first < deadline ? first : deadline;
	}
	if (deadline < cpu->timer_programmed_tsc) {
		cpu->timer_programmed_tsc = deadline;
		arch_timer_set(deadline);
	}
}

void timer_arm(struct timer *timer, uint64_t deadline_tsc)
{
	struct cpu *cpu = cpu_self();
	struct list *at = &cpu->timers;

	timer_cancel(timer);
	timer->deadline_tsc = deadline_tsc;
	while (at->prev != &cpu->timers &&
	       list_entry(at->prev, struct timer, node)->deadline_tsc > deadline_tsc) {
		at = at->prev;
	}
	list_insert_before(at, &timer->node);
	timer_program(cpu);
}

void timer_cancel(struct timer *timer)
{
	list_remove(&timer->node);
}

void timer_run(struct cpu *cpu)
{
	uint64_t now = arch_tsc_read();

	cpu->timer_programmed_tsc = BH_FOREVER;
	while (!list_is_empty(&cpu->timers)) {
		struct timer *timer = list_entry(cpu->timers.next, struct timer, node);

		if (timer->deadline_tsc > now) {
			break;
		}
		list_remove(&timer->node);
		timer->fire(timer);
	}
	if (now >= cpu->slice_end_tsc) {
		cpu_ask_self(CPU_WORK_SCHEDULE);
	}
	timer_program(cpu);
}

/* A guest that asks whether its vCPU was taken off its pCPU; the thread's domain is loaded. */
static void preempted_tell(const struct thread *thread, uint8_t is_preempted)
{
	uint64_t at = thread->vcpu != NULL ? thread->vcpu->run->preempted_byte : 0;

	if (unlikely(at != 0)) {
		(void)!arch_user_exchange(HVA(at), is_preempted);
	}
}

/* Behind all that have the same virtual time. */
static inline void queue_insert(struct cpu *cpu, struct thread *thread, uint64_t now)
{
	struct list *at = &cpu->run_queue;

	thread->ready_tsc = now;
	while (at->prev != &cpu->run_queue &&
	       list_entry(at->prev, struct thread, run_node)->virtual_time > thread->virtual_time) {
		at = at->prev;
	}
	list_insert_before(at, &thread->run_node);
}

/* Current, which could go on, makes room. */
static inline void take_off(struct cpu *cpu, struct thread *thread, uint64_t now)
{
	preempted_tell(thread, 1);
	thread->state = THREAD_READY;
	queue_insert(cpu, thread, now);
}

/* Who did not run for a while is only a little ahead of the others. */
static void virtual_time_clamp(const struct cpu *cpu, struct thread *thread)
{
	uint64_t bonus = WAKE_BONUS_US * ticks_per_us;
	uint64_t least = cpu->virtual_time_min > bonus ? cpu->virtual_time_min - bonus : 0;

	if (thread->virtual_time < least) {
		thread->virtual_time = least;
	}
}

static uint64_t virtual_ticks(const struct thread *thread, uint64_t ticks)
{
	return ticks * SCHED_WEIGHT_USUAL / thread->weight;
}

/*
 * A wake-up asks for the scheduler only where it would choose anew: the usual one costs current no more than the end of its slice. One by a
 * guest's kick is a hand-over: the guest most likely waits for what it asked for, and goes on with the answer.
 */
void sched_enqueue(struct cpu *cpu, struct thread *thread)
{
	uint64_t now = arch_tsc_read(), slice_end = now + SLICE_US * ticks_per_us;
	const struct thread *current = cpu->current;

	thread->state = THREAD_READY;
	if (cpu->is_kicking && thread->cap_percent == 0) {
		thread->ready_tsc = now;
		list_insert_before(cpu->run_queue.next, &thread->run_node);
		cpu->is_yielding = true;
		cpu_ask_self(CPU_WORK_SCHEDULE);
		return;
	}
	virtual_time_clamp(cpu, thread);
	queue_insert(cpu, thread, now);
	if (current == NULL || thread->cap_percent != 0 ||
	    thread->virtual_time + GRANULARITY_US * ticks_per_us <
	            current->virtual_time + virtual_ticks(current, now - cpu->slice_start_tsc)) {
		cpu_ask_self(CPU_WORK_SCHEDULE);
	} else if (slice_end < cpu->slice_end_tsc) {
		cpu->slice_end_tsc = slice_end;
		timer_program(cpu);
	}
}

/* What it may still run in this period of its cap. */
static uint64_t cap_left(struct thread *thread, uint64_t now)
{
	if (likely(thread->cap_percent == 0)) {
		return BH_FOREVER;
	}
	uint64_t budget = PERIOD_US * ticks_per_us / 100 * thread->cap_percent;

	if (now - thread->cap_period_start_tsc >= PERIOD_US * ticks_per_us) {
		thread->cap_period_start_tsc = now;
		thread->cap_used_tsc = 0;
	}
	return budget > thread->cap_used_tsc ? budget - thread->cap_used_tsc : 0;
}

/* The time since the last look belongs to current, which is `thread`. */
static inline void sched_account(struct cpu *cpu, struct thread *thread, uint64_t now)
{
	uint64_t ran = now > cpu->slice_start_tsc ? now - cpu->slice_start_tsc : 0;

	cpu->slice_start_tsc = now;
	if (thread != NULL) {
		thread->run_tsc += ran;
		thread->cap_used_tsc += ran;
		thread->virtual_time += virtual_ticks(thread, ran);
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
	}
	if (thread->state == THREAD_RUNNING && cap_left(thread, now) == 0) {
		take_off(cpu, thread, now);
	}
	return thread->state == THREAD_RUNNING ? thread : NULL;
}

/* The first of the queue whose cap is not used up; `renewal`: when the first that was passed over may run again. */
static struct thread *sched_best(struct cpu *cpu, uint64_t now, uint64_t *renewal)
{
	list_for_each(node, &cpu->run_queue)
	{
		struct thread *thread = list_entry(node, struct thread, run_node);

		if (cap_left(thread, now) != 0) {
			return thread;
		}
		uint64_t end = thread->cap_period_start_tsc + PERIOD_US * ticks_per_us;

		*renewal = end < *renewal ? end : *renewal;
	}
	return NULL;
}

/* `renewal` ends it at the latest. */
static void slice_begin(struct cpu *cpu, bool is_new, uint64_t renewal, uint64_t now)
{
	uint64_t end = cpu->slice_end_tsc;

	if (cpu->current == NULL || list_is_empty(&cpu->run_queue)) {
		end = BH_FOREVER;
	} else if (is_new || end == BH_FOREVER || now >= end) {
		end = now + SLICE_US * ticks_per_us;
	}
	if (cpu->current != NULL && cap_left(cpu->current, now) < end - now) {
		end = now + cap_left(cpu->current, now);
	}
	cpu->slice_end_tsc = end < renewal ? end : renewal;
	timer_program(cpu);
}

static inline void sched_switch(struct cpu *cpu, const struct thread *last, struct thread *next)
{
	cpu->stats->switches++;
	cpu->stats->idle_tsc += last == NULL ? cpu->slice_start_tsc : 0;
	cpu->current = next;
	trace(BH_TRACE_SWITCH, TRACE_WHO(next != NULL ? next->domain->id : 0, 0),
	      TRACE_THREAD(next));
	if (next == NULL) {
		cpu->stats->idle_tsc -= cpu->slice_start_tsc;
		arch_thread_load(kernel_pml4, 0);
		return;
	}
	next->state = THREAD_RUNNING;
	next->delay_tsc += cpu->slice_start_tsc - next->ready_tsc;
	/* Stolen from a guest, and its VMM is told; but not what is too short to show in a guest's clock. */
	if (next->vcpu != NULL && next->delay_tsc > STEAL_US * ticks_per_us) {
		next->vcpu->stats->steal_tsc += next->delay_tsc;
		next->delay_tsc = 0;
		vcpu_request_self(next->vcpu, VCPU_REQUEST_KICK);
	}
	arch_thread_load(next->domain->space.root, next->fs_base);
	preempted_tell(next, 0);
}

/*
 * The usual turn, of two that work for each other, such as a guest and its backend: current waits, or has run ahead of the first that is ready,
 * which goes on. Does what sched_choose() would. False: that must look, since somebody has a cap, dies, or comes to a slice's end.
 */
static bool sched_pass_on(struct cpu *cpu)
{
	struct list *first = cpu->run_queue.next;
	struct thread *last = cpu->current, *next = list_entry(first, struct thread, run_node);
	uint64_t now = arch_tsc_read();

	if (first == &cpu->run_queue || last == NULL ||
	    (last->cap_percent | next->cap_percent) != 0 || now >= cpu->slice_end_tsc ||
	    __atomic_load_n(&last->object.is_dying, __ATOMIC_ACQUIRE) != 0) {
		return false;
	}
	sched_account(cpu, last, now);
	if (last->state == THREAD_RUNNING && !cpu->is_yielding &&
	    next->virtual_time + GRANULARITY_US * ticks_per_us >= last->virtual_time) {
		return false;
	}
	list_remove(first);
	virtual_time_clamp(cpu, next);
	if (next->virtual_time > cpu->virtual_time_min) {
		cpu->virtual_time_min = next->virtual_time;
	}
	if (last->state == THREAD_RUNNING) {
		take_off(cpu, last, now);
	}
	cpu->is_yielding = false;
	sched_switch(cpu, last, next);
	cpu->slice_end_tsc = list_is_empty(&cpu->run_queue) ? BH_FOREVER
	                                                    : now + SLICE_US * ticks_per_us;
	timer_program(cpu);
	return true;
}

static out_of_line void sched_choose(struct cpu *cpu)
{
	uint64_t now = arch_tsc_read(), renewal = BH_FOREVER;
	struct thread *last = cpu->current;

	sched_account(cpu, last, now);
	struct thread *running = sched_keep(cpu, now);
	struct thread *best = sched_best(cpu, now, &renewal);
	struct thread *next = running;
	uint64_t ahead = now >= cpu->slice_end_tsc ? 0 : GRANULARITY_US * ticks_per_us;

	if (best != NULL && (running == NULL || cpu->is_yielding ||
	                     best->virtual_time + ahead < running->virtual_time)) {
		list_remove(&best->run_node);
		virtual_time_clamp(cpu, best);
		next = best;
	}
	if (next != NULL && next->virtual_time > cpu->virtual_time_min) {
		cpu->virtual_time_min = next->virtual_time;
	}
	if (running != NULL && next != running) {
		take_off(cpu, running, now);
	}
	cpu->is_yielding = false;
	if (next != last) {
		sched_switch(cpu, last, next);
	}
	slice_begin(cpu, next != last, renewal, now);
}

void sched_run(struct cpu *cpu)
{
	do {
		if (!sched_pass_on(cpu)) {
			sched_choose(cpu);
		}
	} while (cpu->current != NULL && cpu->current->waits_on != NULL &&
	         event_wait_step(cpu->current) == 0);
}
