/* SPDX-License-Identifier: Apache-2.0 */
/* The table of CPUID leaves that a guest is answered without its VMM (see cpuid.h). SDM 2A CPUID, APM 3 E. */
#include "kernel/cpuid.h"

void cpuid_clear(struct vm *vm)
{
	for (uint32_t i = 0; i < VM_CPUID_SLOTS; i++) {
		vm->cpuid[i] = (struct bh_cpuid_entry){ .leaf = CPUID_SLOT_NONE };
	}
	vm->xcr0_offered = 0;
}

static void put(struct vm *vm, const struct bh_cpuid_entry *entry)
{
	struct bh_cpuid_entry *slot = &vm->cpuid[cpuid_slot_number(entry->leaf)];

	if (entry->leaf == CPUID_LEAF_XSAVE && entry->subleaf == 0) {
		vm->xcr0_offered = (uint64_t)entry->edx << 32 | entry->eax;
	}
	if (entry->flags != 0 || slot->leaf != CPUID_SLOT_NONE ||
	    entry->leaf >= CPUID_SLOT_FEATURES) {
		return; /* the VMM's, and so is the second one in a slot */
	}
	*slot = *entry;
	if (entry->leaf == CPUID_LEAF_FEATURES) {
		slot->leaf = CPUID_SLOT_FEATURES;
		slot->ebx &= (1u << CPUID_1_EBX_APIC_ID_SHIFT) - 1;
		slot->ecx &= ~CPUID_1_ECX_OSXSAVE;
	}
}

int vm_set_cpuid(struct vm *vm, const struct bh_cpuid_entry *entries, uint32_t count)
{
	if (vm->has_run) {
		return BH_ERR_STATE;
	}
	for (uint32_t i = 0; i < count; i++) {
		if ((entries[i].flags & ~BH_CPUID_SUBLEAF_MATTERS) != 0 ||
		    entries[i].reserved != 0) {
			return BH_ERR_INVALID;
		}
	}
	cpuid_clear(vm);
	for (uint32_t i = 0; i < count; i++) {
		put(vm, &entries[i]);
	}
	return BH_OK;
}
