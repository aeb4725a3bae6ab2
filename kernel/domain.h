/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains: an address space, a handle table, a quota. docs/abi.md tells what a domain sees.
 * All fields change under kernel_lock, but for those that say otherwise.
 */
#pragma once

#include "kernel/object.h"

#define DOMAINS_MAX 1024u

struct handle;

struct domain {
	struct object object;
	uint32_t id;
	/* enum bh_domain_state; set once from ALIVE, also by a thread's own pCPU (atomic) */
	uint32_t state;
	uint64_t quota_bytes;
	uint64_t used_bytes;
	struct ptable space;
	struct handle *handles; /* handles_max entries; read without lock by hot calls */
	uint32_t handles_max;
	uint32_t handles_used;
	uint32_t handles_top;      /* no handle in use is greater */
	uint32_t threads_alive;    /* atomic; the pCPU that brings it to 0 declares the death */
	struct list threads;       /* thread->domain_node */
	struct list mappings;      /* struct mapping.target_node: what is mapped into it */
	struct list small_pages;   /* with free room (kernel/quota.c) */
	struct event *death_event; /* read without lock by the pCPU that declares the death */
	uint32_t fault_vector;
	uint64_t fault_rip;
	uint64_t fault_address;
	char name[32];
};
_Static_assert(sizeof(struct domain) <= PAGE_SIZE, "a domain is one page");

/* Payer of what the kernel needs for itself; id 0; its quota never ends. */
extern struct domain kernel_domain;
extern struct domain *root_domain;
extern struct domain *domains[DOMAINS_MAX]; /* by id; NULL = free */

static inline struct domain *domain_of(struct object *object)
{
	return container_of(object, struct domain, object);
}

void domain_init_kernel(void);
/* LIMIT, QUOTA, MEMORY. `event` may be NULL. Caller holds kernel_lock (all below). */
int domain_create(struct domain *payer, const struct bh_domain_params *params, struct event *event,
                  struct domain **domain) must_check;
/* Stop its threads and let no new ones in. Other pCPUs have done it on return, unless one of its threads waits for kernel_lock. */
void domain_kill(struct domain *domain, enum bh_domain_state state);
/* One bounded step (see object_end) of giving back what the domain is made of, when it holds no handle any more. */
int domain_end(struct domain *domain) must_check;
/* An event is going away: no domain's death may use it. */
void domain_forget_event(const struct event *event);
/* A thread of it died (on the thread's pCPU, no lock needed). */
void domain_thread_died(struct domain *domain);
