/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine interrupts: a GSI sets an event and stays masked until it is acknowledged. One table by GSI; the handler reads it without
 * lock, so an entry's record is freed by way of limbo.
 */
#include "kernel/interrupt.h"

#include "kernel/call.h"
#include "kernel/quota.h"

static struct interrupt *interrupts[INTERRUPT_GSIS];

int64_t call_interrupt_bind(struct call *call)
{
	uint64_t gsi = call->arg[1];
	uint64_t flags = call->arg[3];
	struct event *event;
	int error = call_event_argument(call, call->arg[2], &event);

	if (error < 0) {
		return error;
	}
	if (event == NULL || gsi >= INTERRUPT_GSIS ||
	    (flags & ~(uint64_t)(BH_IRQ_LEVEL | BH_IRQ_LOW | BH_IRQ_MESSAGE)) != 0) {
		return BH_ERR_INVALID;
	}
	if (interrupts[gsi] != NULL) {
		return BH_ERR_EXISTS;
	}
	error = arch_gsi_route((uint32_t)gsi, (flags & BH_IRQ_LEVEL) != 0,
	                       (flags & BH_IRQ_LOW) != 0, cpu_self());
	/* The vector of a message is free exactly if no pin has the number. */
	if ((flags & BH_IRQ_MESSAGE) != 0) {
		error = error == BH_ERR_NOT_FOUND && gsi < BH_MESSAGES_END ? BH_OK : BH_ERR_INVALID;
	}
	if (error < 0) {
		return error;
	}
	call->made = object_create(BH_OBJECT_INTERRUPT, call->caller);
	if (call->made != NULL) {
		struct interrupt *interrupt = interrupt_of(call->made);

		interrupt->gsi = (uint32_t)gsi;
		interrupt->event = event;
		__atomic_store_n(&interrupts[gsi], interrupt, __ATOMIC_RELEASE);
		arch_gsi_mask((uint32_t)gsi, false);
	}
	return BH_OK;
}

void interrupt_fired(uint32_t gsi)
{
	struct interrupt *interrupt = gsi < INTERRUPT_GSIS
	                                      ? __atomic_load_n(&interrupts[gsi], __ATOMIC_ACQUIRE)
	                                      : NULL;
	struct event *event = interrupt != NULL
	                              ? __atomic_load_n(&interrupt->event, __ATOMIC_ACQUIRE)
	                              : NULL;

	arch_gsi_mask(gsi, true);
	if (event != NULL) {
		event_signal(event);
	}
}

int64_t call_interrupt_ack(struct call *call)
{
	arch_gsi_mask(interrupt_of(call->object)->gsi, false);
	return BH_OK;
}

void interrupt_end(struct interrupt *interrupt)
{
	arch_gsi_mask(interrupt->gsi, true);
	__atomic_store_n(&interrupts[interrupt->gsi], NULL, __ATOMIC_RELEASE);
}

void interrupt_forget_event(const struct event *event)
{
	for (uint32_t gsi = 0; gsi < INTERRUPT_GSIS; gsi++) {
		if (interrupts[gsi] != NULL && interrupts[gsi]->event == event) {
			__atomic_store_n(&interrupts[gsi]->event, NULL, __ATOMIC_RELEASE);
			arch_gsi_mask(gsi, true);
		}
	}
}
