/* SPDX-License-Identifier: Apache-2.0 */
/* Event sets and events: bits that anybody sets and one thread takes. Signal and wait take no lock. */
#pragma once

#include "kernel/object.h"

static inline struct event *event_of(struct object *object)
{
	return container_of(object, struct event, object);
}

static inline struct event_set *event_set_of(struct object *object)
{
	return container_of(object, struct event_set, object);
}

int event_set_create(struct domain *payer, struct event_set **set) must_check;
int event_create(struct domain *payer, struct event_set *set, uint32_t bit,
                 struct event **event) must_check;
int event_create_msi(struct domain *payer, struct vm *vm, uint64_t address, uint32_t data,
                     struct event **event) must_check;
/* End of life, under kernel_lock; as domain_end(). */
int event_end(struct event *event) must_check;
int event_set_end(struct event_set *set) must_check;
/* Current thread. A value for RAX; or 0 and the thread waits, its RAX is written when it comes back. */
int64_t event_wait(struct event_set *set, uint64_t deadline_tsc, hva_t bits);
/* The current thread, waiting in event_wait, was woken: true when its RAX is written, false when it waits again. */
bool event_wait_finish(struct thread *thread);
/* Own pCPU: the thread gives up its wait with this result. */
void event_wait_abandon(struct thread *thread, int64_t result);
