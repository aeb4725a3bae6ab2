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

/* End of life, under kernel_lock; as domain_end(). */
void event_end(const struct event *event);
int event_set_end(struct event_set *set) must_check;
/* The current thread is in event_wait: its result, now also in its RAX, or 0 and it waits (again). */
int64_t event_wait_step(struct thread *thread);
/* Own pCPU: the thread gives up its wait with this result. */
void event_wait_abandon(struct thread *thread, int64_t result);
