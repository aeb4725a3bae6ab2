/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pCPU asks another: a lock-free wake list, one slot for a vCPU to let go, and a counter pair for safe points.
 * A pCPU answers in kernel_leave(), in idle, and while it waits for kernel_lock; never in the middle of a call.
 */
#include "kernel/fpu.h"
#include "kernel/lock.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

/* How often a pause before the interrupt is sent again: QEMU's thread=multi may lose one that arrives during a world switch. */
#define RESEND_SPINS 10000u

/* Not a queue lock: on an emulator with fewer cores than pCPUs the next in a queue is seldom the one that runs. */
static struct spinlock kernel_lock;

uint64_t message_poll_tsc;

void kernel_lock_take(void)
{
	struct cpu *cpu = cpu_self();

	while (!spinlock_try(&kernel_lock)) {
		if ((__atomic_load_n(&cpu->work, __ATOMIC_RELAXED) & CPU_WORK_MESSAGE) != 0) {
			__atomic_and_fetch(&cpu->work, ~CPU_WORK_MESSAGE, __ATOMIC_ACQ_REL);
			message_poll(cpu);
		}
		__builtin_ia32_pause();
	}
}

void kernel_lock_drop(void)
{
	spinlock_drop(&kernel_lock);
}

void message_send(struct cpu *cpu, uint32_t work)
{
	__atomic_or_fetch(&cpu->work, work, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&cpu->is_polling, __ATOMIC_SEQ_CST) == 0) {
		arch_cpu_notify(cpu);
	}
}

/* Interrupts are taken all the while. The sender sets `work`, then reads is_polling; here it is the other way round: one sees the other. */
static bool message_look(struct cpu *cpu, uint64_t end)
{
	__atomic_store_n(&cpu->is_polling, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&cpu->work, __ATOMIC_SEQ_CST) == 0 && arch_tsc_read() < end) {
		__builtin_ia32_pause();
		arch_interrupts_poll();
	}
	__atomic_store_n(&cpu->is_polling, 0, __ATOMIC_SEQ_CST);
	return (__atomic_load_n(&cpu->work, __ATOMIC_SEQ_CST) & CPU_WORK_MESSAGE) != 0;
}

void message_idle(struct cpu *cpu)
{
	if (cpus_count == 1) {
		arch_cpu_idle();
		return;
	}
	uint64_t end = arch_tsc_read() + message_poll_tsc;

	if (cpu->polls && message_look(cpu, end)) {
		cpu->stats->polled++;
		return;
	}
	arch_cpu_idle();
	cpu->polls = (cpu->work & CPU_WORK_MESSAGE) != 0 && arch_tsc_read() < end;
}

void thread_wake(struct thread *thread)
{
	struct cpu *cpu = thread->cpu;

	if (cpu == cpu_self()) {
		thread_wake_here(thread);
		return;
	}
	if (__atomic_exchange_n(&thread->wake_pending, 1, __ATOMIC_ACQ_REL) != 0) {
		return; /* it is in the list, and will be looked at after what we did before */
	}
	thread->wake_next = __atomic_load_n(&cpu->wake_head, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&cpu->wake_head, &thread->wake_next, thread, true,
	                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
	}
	message_send(cpu, CPU_WORK_MESSAGE);
}

void thread_leave_vcpu(struct vcpu *vcpu)
{
	struct thread *thread = vcpu->thread;

	if (thread != NULL && thread->vcpu == vcpu) {
		thread->vcpu = NULL;
		vcpu->thread = NULL;
	}
	fpu_flush(cpu_self(), vcpu->fpu);
	vcpu_unload(vcpu);
}

static void message_detach_here(struct vcpu *vcpu)
{
	struct thread *thread = vcpu->thread;

	thread_leave_vcpu(vcpu);
	if (thread != NULL && vcpu->thread == NULL) {
		thread_frame(thread)->rax = (uint64_t)BH_ERR_DEAD;
		thread_wake_here(thread);
	}
}

void message_poll(struct cpu *cpu)
{
	uint32_t request = __atomic_load_n(&cpu->sync_request, __ATOMIC_ACQUIRE);
	struct thread *thread = __atomic_exchange_n(&cpu->wake_head, NULL, __ATOMIC_ACQ_REL);
	struct vcpu *vcpu = __atomic_load_n(&cpu->detach_vcpu, __ATOMIC_ACQUIRE);

	while (thread != NULL) {
		struct thread *next = thread->wake_next;

		__atomic_store_n(&thread->wake_pending, 0, __ATOMIC_RELEASE);
		thread_wake_here(thread);
		thread = next;
	}
	if (vcpu != NULL) {
		message_detach_here(vcpu);
		__atomic_store_n(&cpu->detach_vcpu, NULL, __ATOMIC_RELEASE);
	}
	if (request != cpu->sync_done) {
		arch_tlb_flush();
		cpu->stats->flushes++;
		__atomic_store_n(&cpu->sync_done, request, __ATOMIC_RELEASE);
	}
}

static bool cpu_is_other(const struct cpu *cpu)
{
	return cpu != NULL && cpu != cpu_self() &&
	       __atomic_load_n(&cpu->is_online, __ATOMIC_ACQUIRE);
}

void message_sync(void)
{
	for (uint32_t i = 0; i < cpus_count; i++) {
		if (cpu_is_other(cpus[i])) {
			__atomic_store_n(&cpus[i]->sync_request, cpus[i]->sync_request + 1,
			                 __ATOMIC_RELEASE);
			message_send(cpus[i], CPU_WORK_MESSAGE);
			cpu_self()->stats->syncs++;
		}
	}
	for (uint32_t i = 0, spins = 1; i < cpus_count; spins++) {
		if (!cpu_is_other(cpus[i]) ||
		    cpus[i]->sync_request ==
		            __atomic_load_n(&cpus[i]->sync_done, __ATOMIC_ACQUIRE)) {
			i++;
		} else if (spins % RESEND_SPINS == 0) {
			arch_cpu_notify(cpus[i]);
		}
		__builtin_ia32_pause();
	}
}

void message_detach_vcpu(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	if (cpu == NULL) {
		return;
	}
	if (cpu == cpu_self()) {
		message_detach_here(vcpu);
		return;
	}
	__atomic_store_n(&cpu->detach_vcpu, vcpu, __ATOMIC_RELEASE);
	message_sync();
}
