/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine interrupts: a GSI sets an event and stays masked until it is acknowledged. One table by GSI; the handler reads it without
 * lock, so an entry's record is freed by limbo.c.
 */
#include "kernel/interrupt.h"

#include "kernel/quota.h"

static struct interrupt *interrupts[INTERRUPT_GSIS];

int interrupt_bind(struct domain *payer, uint32_t gsi, uint32_t flags, struct event *event,
                   struct interrupt **out)
{
	if (interrupts[gsi] != NULL) {
		return BH_ERR_EXISTS;
	}
	struct interrupt *interrupt = quota_object_allocate(payer, sizeof(*interrupt));

	if (interrupt == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&interrupt->object, BH_OBJECT_INTERRUPT, payer);
	interrupt->gsi = gsi;
	interrupt->event = event;
	int error = arch_gsi_route(gsi, (flags & BH_IRQ_LEVEL) != 0, (flags & BH_IRQ_LOW) != 0,
	                           cpu_self());

	if (error < 0) {
		quota_object_free(payer, interrupt, sizeof(*interrupt));
		return error;
	}
	event->is_bound = true;
	__atomic_store_n(&interrupts[gsi], interrupt, __ATOMIC_RELEASE);
	arch_gsi_unmask(gsi);
	*out = interrupt;
	return BH_OK;
}

void interrupt_fired(uint32_t gsi)
{
	struct interrupt *interrupt = gsi < INTERRUPT_GSIS
	                                      ? __atomic_load_n(&interrupts[gsi], __ATOMIC_ACQUIRE)
	                                      : NULL;
	struct event *event;

	arch_gsi_mask(gsi);
	cpu_self()->count_interrupts++;
	if (interrupt == NULL) {
		return;
	}
	event = __atomic_load_n(&interrupt->event, __ATOMIC_ACQUIRE);
	if (event != NULL) {
		event_signal(event);
	}
}

void interrupt_ack(struct interrupt *interrupt)
{
	arch_gsi_unmask(interrupt->gsi);
}

void interrupt_end(struct interrupt *interrupt)
{
	arch_gsi_mask(interrupt->gsi);
	__atomic_store_n(&interrupts[interrupt->gsi], NULL, __ATOMIC_RELEASE);
}

void interrupt_forget_event(const struct event *event)
{
	for (uint32_t gsi = 0; gsi < INTERRUPT_GSIS; gsi++) {
		if (interrupts[gsi] != NULL && interrupts[gsi]->event == event) {
			__atomic_store_n(&interrupts[gsi]->event, NULL, __ATOMIC_RELEASE);
			arch_gsi_mask(gsi);
		}
	}
}
