/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of a pCPU (see timer.h). The hardware is written only for an earlier deadline: a timer that was cancelled or moved back costs
 * one interrupt too many at most, which is cheaper than a write at every wait.
 */
#include "kernel/timer.h"

void timer_program(struct cpu *cpu)
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
	if (timer->node.next == NULL) {
		list_init(&timer->node); /* never armed, in a record that was only cleared */
	}
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
