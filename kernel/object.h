/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all kernel objects share, and the records of the plain ones (domain, thread, region, event set, event).
 * Life: an object lives while a handle names it (handles_count). It is freed only after every other pCPU has passed a safe point
 * (message_sync), so code that looked a handle up may use the object until it leaves the kernel.
 * Changes to handle tables and object graphs are made under kernel_lock; run, signal, wait and kick take no lock.
 */
#pragma once

#include "arch/x86/arch.h"
#include "arch/x86/ptable.h"
#include "bulkhead/abi.h"
#include "kernel/list.h"

struct object {
	uint8_t type; /* enum bh_object_type */
	uint8_t is_dying;
	uint16_t reserved;
	uint32_t handles_count;
	struct domain *payer; /* whose quota it is on */
};

struct event_set {
	struct object object;
	/* set by anybody with atomic OR, taken by the waiter with atomic exchange */
	uint64_t words[BH_EVENT_WORDS];
	/* word i may be non-zero; set after the word, cleared before it is taken */
	uint32_t summary;
	/* set by the waiter before it looks at summary again; who takes it (atomic exchange) wakes */
	uint32_t is_sleeping;
	uint32_t turn; /* the words that come before all others; the waiter's */
	/* thread inside event_wait, or NULL; written by the waiter's pCPU only */
	struct thread *waiter;
};

struct event {
	struct object object;
	struct event_set *set; /* outlives it: its handle is derived from the set's */
	uint32_t bit;
};

enum thread_state {
	THREAD_READY,
	THREAD_RUNNING,
	THREAD_WAITING,
	THREAD_DEAD
};

struct timer {
	struct list node; /* in cpu->timers of the owner's pCPU */
	uint64_t deadline_tsc;
	void (*fire)(struct timer *timer); /* on that pCPU, from the exit path */
};

struct thread {
	struct object object;
	struct domain *domain;
	struct cpu *cpu; /* for life */
	/* inside vcpu_run: the way out of the kernel is into this guest; NULL = into ring 3 */
	struct vcpu *vcpu;
	enum thread_state state; /* own pCPU only */
	struct arch_frame frame; /* while it is not the pCPU's frame_thread */
	uint64_t fs_base;
	void *fpu; /* arch_fpu_size bytes, behind this record */

	/* scheduler, own pCPU only */
	struct list run_node;
	uint64_t virtual_time;
	uint32_t weight;
	uint32_t cap_percent;
	uint64_t cap_used_tsc;
	uint64_t cap_period_start_tsc;
	uint64_t run_tsc;
	uint64_t ready_tsc; /* since when it stands in the queue */
	uint64_t delay_tsc; /* stood there, and its vCPU has not been told */

	/* waiting */
	struct timer timer;
	/* event_wait; its result is delivered when the thread is resumed */
	struct event_set *waits_on;
	uint64_t wait_deadline_tsc;
	struct thread *wake_next; /* in a pCPU's wake list; owned by the pusher until taken */
	uint32_t wake_pending;    /* 1 while in a wake list (atomic) */

	struct list domain_node;
};

/* ---- what vcpu and hvm code may use of the rest of the kernel ---- */

/* Wake a thread that waits, from any pCPU; nothing happens if it does not wait. */
void thread_wake(struct thread *thread);
/* The current thread waits from now on: takes effect on the way out of the kernel (kernel_leave picks another). Own pCPU. */
void thread_wait_current(void);
/* Timers of this pCPU. Arming one that is armed moves it. */
void timer_arm(struct timer *timer, uint64_t deadline_tsc);
void timer_cancel(struct timer *timer);
/* Set an event's bit and wake the waiter. Any pCPU, no lock, never fails. */
void event_signal(struct event *event);
/* Wait until every other pCPU has passed a safe point. Caller holds kernel_lock. */
void message_sync(void);
/* Physical pages out of a domain's quota. Cleared. BH_ERR_QUOTA, BH_ERR_MEMORY. order: 2^order pages, naturally aligned. */
int quota_pages_allocate(struct domain *payer, uint32_t order, hpa_t *pa) must_check;
/* By way of limbo (kernel/quota.h): another pCPU may still be using them. */
void quota_pages_free(struct domain *payer, uint32_t order, hpa_t pa);
/* Log line; printf-like, %s %d %u %x %lx %lu %c %p; at most 200 characters; newline is added. */
void log_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The beginning of a record that has pages of its own, cleared before. */
void object_init(struct object *object, enum bh_object_type type, struct domain *payer);
/* At most a few a second: for what a guest or a domain can provoke. */
void log_print_limited(const char *format, ...) __attribute__((format(printf, 1, 2)));
