/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: life and waiting. Scheduling itself is kernel/sched.c. */
#pragma once

#include "kernel/domain.h"
#include "kernel/object.h"

static inline struct thread *thread_of(struct object *object)
{
	return container_of(object, struct thread, object);
}

/* Where its ring-3 registers are now. Own pCPU only. */
static inline struct arch_frame *thread_frame(struct thread *thread)
{
	return thread->cpu->current == thread ? arch_user_frame(thread->cpu) : &thread->frame;
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
