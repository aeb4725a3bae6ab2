/* SPDX-License-Identifier: Apache-2.0 */
/* Machine interrupts bound to events, and ranges of I/O ports. Under kernel_lock, but interrupt_fired() and interrupt_ack(). */
#pragma once

#include "kernel/object.h"

#define INTERRUPT_GSIS 256u

struct interrupt {
	struct object object;
	uint32_t gsi;
	struct event *event; /* cleared when the event ends */
};

struct ports {
	struct object object;
	uint32_t first;
	uint32_t count;
};

static inline struct interrupt *interrupt_of(struct object *object)
{
	return container_of(object, struct interrupt, object);
}

static inline struct ports *ports_of(struct object *object)
{
	return container_of(object, struct ports, object);
}

/* EXISTS, UNSUPPORTED (no such line), QUOTA, MEMORY. */
int interrupt_bind(struct domain *payer, uint32_t gsi, uint32_t flags, struct event *event,
                   struct interrupt **interrupt) must_check;
void interrupt_ack(struct interrupt *interrupt);
void interrupt_end(struct interrupt *interrupt);
void interrupt_forget_event(const struct event *event);
