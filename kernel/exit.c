/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out of the kernel: rare work first, then the right thread, into ring 3 or into its guest. Nothing else leaves the kernel.
 */
#include "kernel/fpu.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

static out_of_line void leave_do_work(struct cpu *cpu)
{
	uint32_t work = __atomic_exchange_n(&cpu->work, 0, __ATOMIC_ACQ_REL);

	if (likely(work == CPU_WORK_SCHEDULE)) {
		sched_run(cpu);
		return;
	}
	if ((work & CPU_WORK_STOP) != 0) {
		arch_cpu_stop();
	}
	if ((work & CPU_WORK_MESSAGE) != 0) {
		message_poll(cpu);
	}
	if ((work & CPU_WORK_TIMER) != 0) {
		timer_run(cpu);
	}
	if ((work & CPU_WORK_SCHEDULE) != 0) {
		sched_run(cpu);
	}
}

/* A vCPU's thread needs its own only when its VMM goes on: until then the last one's stays where it is. */
static out_of_line void frame_load(struct cpu *cpu, struct thread *thread)
{
	if (cpu->frame_thread != NULL) {
		cpu->frame_thread->frame = *arch_user_frame(cpu);
	}
	*arch_user_frame(cpu) = thread->frame;
	cpu->frame_thread = thread;
}

void kernel_leave(void)
{
	struct cpu *cpu = cpu_self();

	for (;;) {
		if (unlikely(__atomic_load_n(&cpu->work, __ATOMIC_ACQUIRE) != 0)) {
			leave_do_work(cpu);
			continue;
		}
		struct thread *thread = cpu->current;

		if (unlikely(thread == NULL)) {
			message_idle(cpu);
		} else if (thread->vcpu != NULL) {
			if (unlikely(!fpu_is_ready(cpu, thread->vcpu))) {
				fpu_enter_vcpu(cpu, thread->vcpu);
			}
			vcpu_enter(thread->vcpu);
		} else {
			if (unlikely(cpu->frame_thread != thread)) {
				frame_load(cpu, thread);
			}
			fpu_enter_thread(cpu);
			return;
		}
	}
}
