/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs and what wakes it: threads, the scheduler and the timers of a pCPU, event sets and events, and messages between pCPUs.
 * One fair scheduler a pCPU: ready threads stand in the order of their virtual time (run time divided by weight); the least runs. A thread
 * that slept is put a little ahead, so that it runs at once. A cap bounds the run time in each period of 100 ms. Timers are one sorted
 * list a pCPU; the hardware holds the earliest of the first and the end of the slice. All that on its own pCPU only, interrupts off.
 */
#pragma once

#include "kernel/domain.h"
#include "kernel/object.h"

#define SCHED_WEIGHT_USUAL 256u
#define SCHED_WEIGHT_MAX   65535u

static inline struct thread *thread_of(struct object *object)
{
	return container_of(object, struct thread, object);
}

/* Where its ring-3 registers are now. Own pCPU only. */
static inline struct arch_frame *thread_frame(struct thread *thread)
{
	return thread->cpu->frame_thread == thread ? arch_user_frame(thread->cpu) : &thread->frame;
}

/* A thread that runs nothing yet (thread_wake starts it). Parameters are checked by the caller. QUOTA, MEMORY. kernel_lock held. */
int thread_create(struct domain *payer, struct domain *domain,
                  const struct bh_thread_params *params, struct thread **thread) must_check;
/* From any pCPU, kernel_lock held: it will run no more. It is dead when thread_is_dead(). */
void thread_kill(struct thread *thread);
static inline bool thread_is_dead(const struct thread *thread)
{
	return __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) == THREAD_DEAD;
}
/* As domain_end(). */
int thread_end(struct thread *thread) must_check;
/* On its own pCPU: answer a wake-up or a kill. */
void thread_wake_here(struct thread *thread);
/* On its own pCPU: take it out of everything; it must not be in the middle of a call. */
void thread_stop_here(struct thread *thread);

/* ---- kernel/sched.c ---- */

/* A thread became ready: current goes on, or the scheduler is asked for. */
void sched_enqueue(struct cpu *cpu, struct thread *thread);
/* Account, choose, switch. */
void sched_run(struct cpu *cpu);
/* Fire what is due; the slice's end asks for the scheduler. */
void timer_run(struct cpu *cpu);

/* ---- kernel/event.c: bits that anybody sets and one thread takes. Signal and wait take no lock ---- */

static inline struct event *event_of(struct object *object)
{
	return container_of(object, struct event, object);
}

static inline struct event_set *event_set_of(struct object *object)
{
	return container_of(object, struct event_set, object);
}

/* End of life, under kernel_lock; as domain_end(). */
void event_end(const struct event *event);
int event_set_end(struct event_set *set) must_check;
/* The current thread waits for the set, with the arguments that its frame holds. BUSY; else as event_wait_step(). */
int64_t event_wait(struct thread *thread, struct event_set *set, const struct arch_frame *frame);
/* The current thread is in event_wait: its result, now also in its RAX, and the bits in RDX, or 0 and it waits (again). */
int64_t event_wait_step(struct thread *thread);
/* Own pCPU: the thread gives up its wait with this result. */
void event_wait_abandon(struct thread *thread, int64_t result);

/* ---- kernel/message.c ---- */

/* Waiting for it answers messages, so its holder may wait for all pCPUs. Before it is taken a call holds no pointer to any object. */
void kernel_lock_take(void);
void kernel_lock_drop(void);
/* Answer what others asked of this pCPU: wake-ups, vCPUs to let go, safe points. */
void message_poll(struct cpu *cpu);
/* Nothing runs here: wait for work, for up to message_poll_tsc ticks (0: never) without halting if that paid the last time. */
void message_idle(struct cpu *cpu);
extern uint64_t message_poll_tsc;
/* Set work bits of a pCPU and make it look. */
void message_send(struct cpu *cpu, uint32_t work);
/* Take a vCPU off whatever pCPU it is on; its FPU state is in memory then. Its thread, if any, comes back from vcpu_run with DEAD. */
void message_detach_vcpu(struct vcpu *vcpu);
/* On its pCPU: off the hardware, its FPU state in memory, and no thread's any more. */
void thread_leave_vcpu(struct vcpu *vcpu);
