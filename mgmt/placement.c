// SPDX-License-Identifier: Apache-2.0
/*
 * Placing vCPUs on pCPUs (see placement.h). Pure and deterministic: equal loads go to the lowest
 * number.
 */
#include "mgmt/placement.h"

#include <string.h>

#define SPARED  (1u << 12) /* more vCPUs than there can be */
#define CLAIMED (1u << 20)

static bool names_cpu(const struct config_cpus *cpus, uint32_t cpu)
{
	return !cpus->is_any && (cpus->bits[cpu / 64] >> (cpu % 64) & 1) != 0;
}

void placement_init(struct placement *placement, uint32_t cpu_count)
{
	uint32_t cpu;

	memset(placement, 0, sizeof(*placement));
	placement->cpu_count = cpu_count < CONFIG_CPUS_MAX ? cpu_count : CONFIG_CPUS_MAX;
	for (cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++) {
		placement->owner[cpu] = PLACEMENT_NOBODY;
		placement->user[cpu] = PLACEMENT_NOBODY;
	}
	/* root and mgmt run on pCPU 0. */
	placement->vcpu_count[0] = 1;
}

void placement_add(struct placement *placement, uint32_t slot, bool is_exclusive,
                   const uint16_t *pcpu, uint32_t vcpu_count)
{
	uint32_t i;

	for (i = 0; i < vcpu_count; i++) {
		if (pcpu[i] >= CONFIG_CPUS_MAX) {
			continue;
		}
		placement->vcpu_count[pcpu[i]]++;
		placement->user[pcpu[i]] = (uint16_t)slot;
		if (is_exclusive) {
			placement->owner[pcpu[i]] = (uint16_t)slot;
		}
	}
}

void placement_claim(struct placement *placement, const struct config_cpus *cpus)
{
	uint32_t cpu;

	for (cpu = 0; cpu < CONFIG_CPUS_MAX && !cpus->is_shared; cpu++) {
		placement->is_claimed[cpu] |= names_cpu(cpus, cpu);
	}
}

void placement_spare(struct placement *placement, uint32_t cpu)
{
	placement->vcpu_count[cpu] += SPARED;
}

static enum placement_result choose_named(const struct placement *placement,
                                          const struct config_guest *guest, uint16_t *pcpu,
                                          uint32_t *culprit)
{
	uint8_t named[CONFIG_CPUS_MAX];
	uint32_t count = 0;
	uint32_t cpu;
	uint32_t i;

	for (cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++) {
		if (!names_cpu(&guest->cpus, cpu)) {
			continue;
		}
		*culprit = cpu;
		if (cpu >= placement->cpu_count) {
			return PLACEMENT_NO_SUCH_CPU;
		}
		if (placement->owner[cpu] != PLACEMENT_NOBODY ||
		    (!guest->cpus.is_shared && placement->user[cpu] != PLACEMENT_NOBODY)) {
			return PLACEMENT_TAKEN;
		}
		named[count++] = (uint8_t)cpu;
	}
	if (count == 0) {
		*culprit = 0;
		return PLACEMENT_NO_SUCH_CPU;
	}
	for (i = 0; i < guest->vcpu_count; i++) {
		pcpu[i] = named[i % count];
	}
	return PLACEMENT_OK;
}

/* The least used pCPU without an owner, counting those chosen for this guest already; one that
 * another guest claims only if there is no other. */
static uint32_t least_used(const struct placement *placement, const uint8_t *chosen_count)
{
	uint32_t best = PLACEMENT_NOBODY;
	uint32_t best_load = UINT32_MAX;
	uint32_t cpu;

	for (cpu = 0; cpu < placement->cpu_count; cpu++) {
		uint32_t load = (uint32_t)placement->vcpu_count[cpu] + chosen_count[cpu];

		if (placement->owner[cpu] != PLACEMENT_NOBODY) {
			continue;
		}
		load += placement->is_claimed[cpu] ? CLAIMED : 0u;
		if (load < best_load) {
			best = cpu;
			best_load = load;
		}
	}
	return best;
}

enum placement_result placement_choose(const struct placement *placement,
                                       const struct config_guest *guest, uint16_t *pcpu,
                                       uint32_t *culprit)
{
	uint8_t chosen_count[CONFIG_CPUS_MAX] = { 0 };
	uint32_t i;

	if (!guest->cpus.is_any) {
		return choose_named(placement, guest, pcpu, culprit);
	}
	for (i = 0; i < guest->vcpu_count; i++) {
		uint32_t cpu = least_used(placement, chosen_count);

		if (cpu == PLACEMENT_NOBODY) {
			*culprit = 0;
			return PLACEMENT_NONE_LEFT;
		}
		chosen_count[cpu]++;
		pcpu[i] = (uint16_t)cpu;
	}
	return PLACEMENT_OK;
}
