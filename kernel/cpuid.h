/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of a guest: its VMM supplies the table; the kernel keeps it, and adds what changes while the guest runs.
 * Two forms: the list as given (vm->cpuid), and a one-probe table of the leaves that need nothing else (vm->cpuid_slots).
 */
#pragma once

#include "kernel/vcpu.h"

#define CPUID_LEAF_FEATURES          1u
#define CPUID_1_EBX_APIC_ID_SHIFT    24
#define CPUID_1_ECX_X2APIC           (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE     (1u << 24)
#define CPUID_1_ECX_XSAVE            (1u << 26)
#define CPUID_1_ECX_OSXSAVE          (1u << 27)
#define CPUID_LEAF_EXTENDED_FEATURES 7u
#define CPUID_7_ECX_OSPKE            (1u << 4)
#define CPUID_LEAF_TOPOLOGY          0xbu
#define CPUID_LEAF_XSAVE             0xdu
#define CPUID_LEAF_TOPOLOGY_V2       0x1fu

/* Basic leaves fall into slots 0..31, hypervisor leaves 0x400000xx into 32.., extended ones 0x800000xx into 64... */
static inline uint32_t cpuid_slot_number(uint32_t leaf)
{
	return (leaf + (leaf >> 25)) % VM_CPUID_SLOTS;
}

static inline const struct cpuid_slot *cpuid_slot(const struct vm *vm, uint32_t leaf)
{
	return &vm->cpuid_slots[cpuid_slot_number(leaf)];
}

/* Leaf 1 has bits of the vCPU in it: its slot bears this name, so that others need not ask for it. */
#define CPUID_SLOT_FEATURES 0xfffffffeu

static inline bool cpuid_slot_is(const struct cpuid_slot *slot, uint32_t leaf)
{
	return slot->leaf == leaf ||
	       (leaf == CPUID_LEAF_FEATURES && slot->leaf == CPUID_SLOT_FEATURES);
}

struct cpuid_values {
	uint32_t eax, ebx, ecx, edx;
};

/* Any leaf, as this vCPU sees it now. A leaf beyond the highest of its range answers like the highest basic one (SDM 2A CPUID). */
struct cpuid_values cpuid_guest(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf);
/* Is this bit set in the guest's table? For MSRs and XSETBV, which depend on it. reg: 0 EAX .. 3 EDX. */
bool cpuid_guest_has(const struct vm *vm, uint32_t leaf, uint32_t reg, uint64_t bit);
/* Fill the one-probe table from vm->cpuid. */
void cpuid_slots_fill(struct vm *vm);
