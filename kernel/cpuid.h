/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of a guest: its VMM supplies the leaves that the kernel answers by itself, in a table with one place for each; any other CPUID is
 * the VMM's to answer (BH_EXIT_CPUID).
 */
#pragma once

#include "kernel/vcpu.h"

#define CPUID_LEAF_FEATURES       1u
#define CPUID_1_EBX_APIC_ID_SHIFT 24
#define CPUID_1_ECX_OSXSAVE       (1u << 27)
#define CPUID_LEAF_XSAVE          0xdu

/* Leaf 1 has bits of the vCPU in it: its slot bears this name, so that others need not ask for it. An empty slot is CPUID_SLOT_NONE. */
#define CPUID_SLOT_FEATURES 0xfffffffeu
#define CPUID_SLOT_NONE     0xffffffffu

/* Basic leaves fall into slots 0..31, hypervisor leaves 0x400000xx into 32.., extended ones 0x800000xx into 64... */
static inline uint32_t cpuid_slot_number(uint32_t leaf)
{
	return (leaf + (leaf >> 25)) % VM_CPUID_SLOTS;
}

/* A new VM's table. */
void cpuid_clear(struct vm *vm);
