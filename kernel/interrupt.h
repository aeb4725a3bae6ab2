/* SPDX-License-Identifier: Apache-2.0 */
/* Machine interrupts bound to events. Under kernel_lock, but interrupt_fired() and interrupt_ack. */
#pragma once

#include "kernel/object.h"

#define INTERRUPT_GSIS 256u

struct interrupt {
	struct object object;
	uint32_t gsi;
	struct event *event; /* cleared when the event ends */
};

static inline struct interrupt *interrupt_of(struct object *object)
{
	return container_of(object, struct interrupt, object);
}

void interrupt_end(struct interrupt *interrupt);
void interrupt_forget_event(const struct event *event);
