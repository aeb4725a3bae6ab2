/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pCPU each vCPU of a guest gets. Pure: the manager says who is where, this decides.
 *
 * A guest that names its pCPUs owns them, unless it says `shared`. The rule and its reason are in
 * docs/configuration.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/config.h"

#define PLACEMENT_NOBODY 0xffffu

/* The pCPUs as they are now. */
struct placement {
	uint32_t cpu_count;
	uint16_t vcpu_count[CONFIG_CPUS_MAX]; /* vCPUs of existing partitions */
	uint16_t owner[CONFIG_CPUS_MAX];      /* slot of the partition that has it for itself */
	uint16_t user[CONFIG_CPUS_MAX];       /* slot of a partition that runs there */
	bool is_claimed[CONFIG_CPUS_MAX]; /* some other guest's configuration names it for itself */
};

enum placement_result {
	PLACEMENT_OK,
	PLACEMENT_NO_SUCH_CPU,
	PLACEMENT_TAKEN,
	PLACEMENT_NONE_LEFT, /* `any`, and every pCPU has an owner */
};

void placement_init(struct placement *placement, uint32_t cpu_count);

/* Records a partition's vCPUs. */
void placement_add(struct placement *placement, uint32_t slot, bool is_exclusive,
                   const uint16_t *pcpu, uint32_t vcpu_count);

/* Records what another guest's configuration names. */
void placement_claim(struct placement *placement, const struct config_cpus *cpus);

/* Such a pCPU is taken when all others have owners or are claimed, or by name. */
void placement_spare(struct placement *placement, uint32_t cpu);

/* Chooses pcpu[0..vcpu_count). On failure *culprit is the pCPU that is missing or taken. */
enum placement_result placement_choose(const struct placement *placement,
                                       const struct config_guest *guest, uint16_t *pcpu,
                                       uint32_t *culprit);
