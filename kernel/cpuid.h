/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of a guest: its VMM supplies the leaves that the kernel answers by itself, in a table with one place for each; any other CPUID is
 * the VMM's to answer (BH_EXIT_CPUID).
 */
#pragma once

#include "kernel/vcpu.h"

#define CPUID_LEAF_FEATURES       1u
#define CPUID_1_EBX_APIC_ID_SHIFT 24
#define CPUID_1_ECX_X2APIC        (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE  (1u << 24)
#define CPUID_1_ECX_OSXSAVE       (1u << 27)
#define CPUID_LEAF_XSAVE          0xdu
#define CPUID_LEAF_AMD_FEATURES   0x80000001u
#define CPUID_X1_EDX_NX           (1u << 20)
#define CPUID_X1_EDX_LONG_MODE    (1u << 29)

/* Leaf 1 has bits of the vCPU in it: its slot bears this name, so that others need not ask for it. An empty slot is CPUID_SLOT_NONE. */
#define CPUID_SLOT_FEATURES 0xfffffffeu
#define CPUID_SLOT_NONE     0xffffffffu

/* Basic leaves fall into slots 0..31, hypervisor leaves 0x400000xx into 32.., extended ones 0x800000xx into 64... */
static inline uint32_t cpuid_slot_number(uint32_t leaf)
{
	return (leaf + (leaf >> 25)) % VM_CPUID_SLOTS;
}

/* The guest's leaf for MSRs that depend on it; all zero when the kernel has none. */
static inline struct bh_cpuid_entry cpuid_guest(const struct vm *vm, uint32_t leaf)
{
	const struct bh_cpuid_entry *slot = &vm->cpuid[cpuid_slot_number(leaf)];
	uint32_t name = leaf == CPUID_LEAF_FEATURES ? CPUID_SLOT_FEATURES : leaf;

	return slot->leaf == name ? *slot : (struct bh_cpuid_entry){ .leaf = CPUID_SLOT_NONE };
}

/* A new VM's table. */
void cpuid_clear(struct vm *vm);
