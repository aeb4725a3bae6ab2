// SPDX-License-Identifier: Apache-2.0
/*
 * The CPUID table that a guest gets: what the host CPU says, cut down by a policy table, with the
 * topology of the guest and the hypervisor leaves added.
 *
 * Owns: the policy (cpuid_policy.c). Must never: show a feature that the policy does not name.
 * The kernel answers plain leaves from the table; those with subleaves, or that follow the vCPU's
 * registers, come here. Manuals: SDM 2A "CPUID"; APM 3 appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"

enum cpuid_register {
	CPUID_EAX = 0,
	CPUID_EBX,
	CPUID_ECX,
	CPUID_EDX
};

struct cpuid_values {
	uint32_t reg[4];
};

/* One leaf's rules: guest = (host & allow) | set. Subleaf CPUID_ANY matches all. */
struct cpuid_policy {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t allow[4];
	uint32_t set[4];
};

extern const struct cpuid_policy cpuid_policies[];
extern const uint32_t cpuid_policies_count;

struct cpuid_config {
	uint32_t vcpus_count;
	uint32_t physical_address_bits;
	uint64_t xcr0_supported;
	uint64_t tsc_hz;
	uint64_t lapic_timer_hz;
	/* The host's CPUID; replaced in tests. */
	struct cpuid_values (*host)(uint32_t leaf, uint32_t subleaf);
};

/* The CPU that we run on. */
struct cpuid_values cpuid_host(uint32_t leaf, uint32_t subleaf);

/* Fills entries[0 .. max). Returns their number, or BH_ERR_LIMIT. */
int cpuid_table_build(const struct cpuid_config *config, struct bh_cpuid_entry *entries,
                      uint32_t max);

/*
 * The CPUID instruction of a vCPU whose registers are in `state` (leaf in EAX, subleaf in ECX; CR4
 * and XCR0 are looked at): EAX, EBX, ECX, EDX.
 */
void cpuid_answer(const struct bh_cpuid_entry *entries, uint32_t count, uint32_t vcpu_idx,
                  struct bh_cpu_state *state);
