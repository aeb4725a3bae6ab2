/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains: making one, stopping one, taking one apart. The parent pays for the record and hands over the quota; all else that belongs
 * to a domain is paid out of that. Its handles are closed by handle.c.
 */
#include "kernel/domain.h"

#include "kernel/call.h"
#include "kernel/log.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/start.h"
#include "kernel/string.h"
#include "kernel/thread.h"

struct domain kernel_domain;
struct domain *root_domain;
struct domain *domains[DOMAINS_MAX];

void domain_init_kernel(void)
{
	memset(domains, 0, sizeof(domains));
	domains[0] = &kernel_domain;
	kernel_domain = (struct domain){ .quota_bytes = BH_FOREVER };
	list_init(&kernel_domain.small_pages);
}

static int id_choose(void)
{
	for (uint32_t id = 1; id < DOMAINS_MAX; id++) {
		if (domains[id] == NULL) {
			return (int)id;
		}
	}
	return BH_ERR_LIMIT;
}

static uint64_t handles_bytes(const struct domain *domain)
{
	return ALIGN_UP(domain->handles_max * sizeof(struct handle), PAGE_SIZE);
}

/* Its page table with what the kernel maps into every domain, and its handle table. */
static int domain_build(struct domain *domain, uint32_t flags)
{
	hpa_t pa;
	int error = ptable_init(&domain->space, PTABLE_HOST, arch_has_1g_pages, domain);

	if (error == BH_OK) {
		error = ptable_map(&domain->space, BH_VA_INFO, image_to_phys(&info_page), PAGE_SIZE,
		                   PTABLE_READ);
	}
	if (error == BH_OK && (flags & BH_DOMAIN_SEES_LOG) != 0) {
		error = ptable_map(&domain->space, BH_VA_LOG, image_to_phys(&log_ring),
		                   sizeof(struct bh_log), PTABLE_READ);
	}
	if (error == BH_OK) {
		error = quota_run_allocate(domain, handles_bytes(domain), PAGE_SIZE, &pa);
	}
	if (error == BH_OK) {
		domain->handles = memset(phys_to_virt(pa), 0, handles_bytes(domain));
	}
	return error;
}

int domain_create(struct domain *payer, const struct bh_domain_params *params, struct event *event,
                  struct domain **out)
{
	hpa_t pa;
	int id = id_choose();
	int error = id < 0 ? id : quota_charge(payer, params->quota_bytes);

	if (error < 0) {
		return error;
	}
	error = quota_pages_allocate(payer, 0, &pa);
	if (error < 0) {
		quota_refund(payer, params->quota_bytes);
		return error;
	}
	struct domain *domain = phys_to_virt(pa);

	object_init(&domain->object, BH_OBJECT_DOMAIN, payer);
	list_init(&domain->small_pages);
	list_init(&domain->threads);
	list_init(&domain->mappings);
	domain->id = (uint32_t)id;
	domain->quota_bytes = params->quota_bytes;
	domain->handles_max = params->handles_max != 0 ? params->handles_max : HANDLES_USUAL;
	memcpy(domain->name, params->name, sizeof(domain->name));
	domain->name[sizeof(domain->name) - 1] = '\0';
	domains[id] = domain;
	error = domain_build(domain, params->flags);
	if (error < 0) {
		CHECK(domain_end(domain) == BH_OK);
		return error;
	}
	domain->death_event = event;
	*out = domain;
	return BH_OK;
}

int64_t call_domain_create(struct call *call)
{
	const struct bh_domain_params *params = &call_record.domain;
	struct event *event;
	struct domain *domain;
	int error = call_event_argument(call, params->death_event, &event);

	if (call->caller != root_domain) {
		return BH_ERR_RIGHTS;
	}
	if ((params->flags & ~BH_DOMAIN_SEES_LOG) != 0 || params->handles_max > BH_MAX_HANDLES) {
		return BH_ERR_INVALID;
	}
	error = error < 0 ? error : domain_create(call->caller, params, event, &domain);
	call->made = error < 0 ? NULL : &domain->object;
	return error;
}

static void domain_set_state(struct domain *domain, enum bh_domain_state state)
{
	uint32_t alive = BH_DOMAIN_ALIVE;

	__atomic_compare_exchange_n(&domain->state, &alive, (uint32_t)state, false,
	                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	__atomic_store_n(&domain->object.is_dying, 1, __ATOMIC_RELEASE);
}

void domain_kill(struct domain *domain, enum bh_domain_state state)
{
	bool has_others = false;

	domain_set_state(domain, state);
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
	for (uint32_t id = 0; id < DOMAINS_MAX; id++) {
		if (domains[id] != NULL && domains[id]->death_event == event) {
			__atomic_store_n(&domains[id]->death_event, NULL, __ATOMIC_RELEASE);
		}
	}
}

int domain_end(struct domain *domain)
{
	if (__atomic_load_n(&domain->threads_alive, __ATOMIC_ACQUIRE) != 0) {
		return BH_ERR_AGAIN;
	}
	if (!list_is_empty(&domain->mappings)) {
		mapping_remove(list_entry(domain->mappings.next, struct mapping, target_node));
		return REAP_MORE;
	}
	if (domain->space.root.raw != 0) {
		ptable_destroy(&domain->space);
	}
	if (domain->handles != NULL) {
		limbo_add_pages(domain, virt_to_phys(domain->handles), handles_bytes(domain));
	}
	limbo_flush();
	if (domain->used_bytes != 0) {
		log_print("domain %u (%s): %lu bytes of its quota are not accounted for",
		          domain->id, domain->name, domain->used_bytes);
	}
	quota_refund(domain->object.payer, domain->quota_bytes);
	domains[domain->id] = NULL;
	quota_pages_free(domain->object.payer, 0, virt_to_phys(domain));
	return BH_OK;
}

int64_t call_domain_info(struct call *call)
{
	const struct domain *domain = domain_of(call->object);

	call_record.domain_info = (struct bh_domain_info){
		.state = domain->state,
		.quota_bytes = domain->quota_bytes,
		.used_bytes = domain->used_bytes,
		.fault_vector = domain->fault_vector,
		.fault_rip = domain->fault_rip,
		.fault_address = domain->fault_address,
		.id = domain->id,
	};
	return BH_OK;
}
