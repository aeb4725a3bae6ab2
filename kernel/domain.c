/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains: making one, stopping one, taking one apart. The parent pays for the record and hands over the quota; all else that belongs
 * to a domain is paid out of that. Its handles are closed by handle.c.
 */
#include "kernel/domain.h"

#include "kernel/handle.h"
#include "kernel/limbo.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/start.h"
#include "kernel/string.h"
#include "kernel/thread.h"

struct domain kernel_domain;
struct domain *root_domain;
struct list domains;

static uint64_t ids_used[DOMAINS_MAX / 64];
static uint32_t id_last;

static void domain_init_lists(struct domain *domain)
{
	for (uint32_t i = 0; i < SLAB_CLASSES; i++) {
		list_init(&domain->slabs[i]);
	}
	list_init(&domain->threads);
	list_init(&domain->mappings);
	list_init(&domain->node);
}

void domain_init_kernel(void)
{
	memset(&kernel_domain, 0, sizeof(kernel_domain));
	memset(ids_used, 0, sizeof(ids_used));
	domain_init_lists(&kernel_domain);
	list_init(&domains);
	kernel_domain.quota_bytes = BH_FOREVER;
	ids_used[0] = 1;
	id_last = 0;
}

/* The next free one after the last, so that an id in the log is not soon another domain's. */
static int id_take(void)
{
	for (uint32_t i = 1; i <= DOMAINS_MAX; i++) {
		uint32_t id = (id_last + i) % DOMAINS_MAX;

		if ((ids_used[id / 64] & BIT(id % 64)) == 0) {
			ids_used[id / 64] |= BIT(id % 64);
			id_last = id;
			return (int)id;
		}
	}
	return BH_ERR_LIMIT;
}

static void id_drop(uint32_t id)
{
	ids_used[id / 64] &= ~BIT(id % 64);
}

/* What the kernel maps into every domain. */
static int domain_map_kernel_pages(struct domain *domain, uint32_t flags)
{
	int error = ptable_map(&domain->space, BH_VA_INFO, image_to_phys(&info_page), PAGE_SIZE,
	                       PTABLE_READ);

	if (error == BH_OK && (flags & BH_DOMAIN_SEES_LOG) != 0) {
		error = ptable_map(&domain->space, BH_VA_LOG, image_to_phys(&log_ring),
		                   sizeof(struct bh_log), PTABLE_READ);
	}
	return error;
}

static int domain_build(struct domain *domain, const struct bh_domain_params *params)
{
	int error = ptable_init(&domain->space, PTABLE_HOST, arch_has_1g_pages, domain);

	if (error < 0) {
		return error;
	}
	error = domain_map_kernel_pages(domain, params->flags);
	if (error == BH_OK) {
		error = handle_table_init(domain);
	}
	if (error < 0) {
		ptable_destroy(&domain->space);
	}
	return error;
}

int domain_create(struct domain *payer, const struct bh_domain_params *params, struct event *event,
                  struct domain **out)
{
	struct domain *domain;
	int id;
	int error = quota_charge(payer, params->quota_bytes);

	if (error < 0) {
		return error;
	}
	domain = quota_object_allocate(payer, sizeof(*domain));
	id = domain != NULL ? id_take() : BH_ERR_QUOTA;
	error = id < 0 ? id : BH_OK;
	if (error == BH_OK) {
		object_init(&domain->object, BH_OBJECT_DOMAIN, payer);
		domain_init_lists(domain);
		domain->id = (uint32_t)id;
		domain->depth = payer->depth + 1;
		domain->quota_bytes = params->quota_bytes;
		domain->is_supervisor = (params->flags & BH_DOMAIN_SUPERVISES) != 0;
		memcpy(domain->name, params->name, sizeof(domain->name));
		domain->name[sizeof(domain->name) - 1] = '\0';
		error = domain_build(domain, params);
	}
	if (error < 0) {
		limbo_flush(); /* what domain_build() undid is still on the new domain's account */
		if (id >= 0) {
			id_drop((uint32_t)id);
		}
		if (domain != NULL) {
			quota_object_free(payer, domain, sizeof(*domain));
		}
		quota_refund(payer, params->quota_bytes);
		return error;
	}
	domain->death_event = event;
	if (event != NULL) {
		event->is_bound = true;
	}
	list_insert_before(&domains, &domain->node);
	*out = domain;
	return BH_OK;
}

static void domain_set_state(struct domain *domain, enum bh_domain_state state)
{
	uint32_t alive = BH_DOMAIN_ALIVE;

	__atomic_compare_exchange_n(&domain->state, &alive, (uint32_t)state, false,
	                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void domain_kill(struct domain *domain, enum bh_domain_state state)
{
	bool has_others = false;

	domain_set_state(domain, state);
	__atomic_store_n(&domain->object.is_dying, 1, __ATOMIC_RELEASE);
	list_for_each(node, &domain->threads)
	{
		struct thread *thread = list_entry(node, struct thread, domain_node);

		has_others |= !thread_is_dead(thread) && thread->cpu != cpu_self();
		thread_kill(thread);
	}
	if (has_others) {
		message_sync();
	}
}

void domain_thread_died(struct domain *domain)
{
	struct event *event = __atomic_load_n(&domain->death_event, __ATOMIC_ACQUIRE);

	if (__atomic_sub_fetch(&domain->threads_alive, 1, __ATOMIC_ACQ_REL) != 0) {
		return;
	}
	domain_set_state(domain, BH_DOMAIN_EXITED);
	__atomic_store_n(&domain->object.is_dying, 1, __ATOMIC_RELEASE);
	if (domain == root_domain) {
		panic("the root domain ended (vector %u, rip %lx, address %lx)",
		      domain->fault_vector, domain->fault_rip, domain->fault_address);
	}
	if (event != NULL) {
		event_signal(event);
	}
}

void domain_forget_event(const struct event *event)
{
	list_for_each(node, &domains)
	{
		struct domain *domain = list_entry(node, struct domain, node);

		if (domain->death_event == event) {
			__atomic_store_n(&domain->death_event, NULL, __ATOMIC_RELEASE);
		}
	}
}

/* The record of a thread stays with those who hold its handle. */
static void domain_let_threads_go(struct domain *domain)
{
	while (!list_is_empty(&domain->threads)) {
		struct thread *thread = list_entry(domain->threads.next, struct thread,
		                                   domain_node);

		list_remove(&thread->domain_node);
		thread->domain = NULL;
	}
	domain->threads_count = 0;
}

int domain_end(struct domain *domain)
{
	if (domain->is_destroyed) {
		return BH_OK;
	}
	if (__atomic_load_n(&domain->threads_alive, __ATOMIC_ACQUIRE) != 0) {
		return BH_ERR_AGAIN;
	}
	if (!list_is_empty(&domain->mappings)) {
		mapping_remove(list_entry(domain->mappings.next, struct mapping, target_node));
		return REAP_MORE;
	}
	domain_let_threads_go(domain);
	domain->is_destroyed = true;
	ptable_destroy(&domain->space);
	handle_table_free(domain);
	limbo_flush();
	if (domain->used_bytes != 0) {
		log_print("domain %u (%s): %lu bytes of its quota are not accounted for",
		          domain->id, domain->name, domain->used_bytes);
	}
	quota_refund(domain->object.payer, domain->quota_bytes);
	domain->quota_bytes = 0;
	list_remove(&domain->node);
	id_drop(domain->id);
	return BH_OK;
}

void domain_info(const struct domain *domain, struct bh_domain_info *info)
{
	*info = (struct bh_domain_info){
		.id = domain->id,
		.state = domain->state,
		.quota_bytes = domain->quota_bytes,
		.used_bytes = domain->used_bytes,
		.threads_count = __atomic_load_n(&domain->threads_alive, __ATOMIC_RELAXED),
		.fault_vector = domain->fault_vector,
		.fault_rip = domain->fault_rip,
		.fault_address = domain->fault_address,
	};
	memcpy(info->name, domain->name, sizeof(info->name));
}
