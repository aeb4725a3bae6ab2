/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID of guests (SDM 2A CPUID, APM 3 E). The VMM decides what a guest sees; here only what changes while it runs is filled in:
 * APIC ids, OSXSAVE, OSPKE, XSAVE sizes.
 */
#include "kernel/cpuid.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/cr.h"
#include "kernel/string.h"

#define LEAF_HYPERVISOR     0x40000000u
#define LEAF_HYPERVISOR_END 0x40010000u
#define LEAF_EXTENDED       0x80000000u
#define LEAF_AMD_TOPOLOGY   0x8000001eu

#define XSAVE_LEGACY_SIZE   576u

static const struct bh_cpuid_entry *find(const struct vm *vm, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < vm->cpuid_count; i++) {
		const struct bh_cpuid_entry *entry = &vm->cpuid[i];

		if (entry->leaf == leaf &&
		    ((entry->flags & BH_CPUID_SUBLEAF_MATTERS) == 0 || entry->subleaf == subleaf)) {
			return entry;
		}
	}
	return NULL;
}

/* Has the leaf answers that this file adds to (or subleaves)? Leaf 1 is dealt with on the fast path itself. */
static bool is_plain(const struct bh_cpuid_entry *entry)
{
	if ((entry->flags & BH_CPUID_SUBLEAF_MATTERS) != 0) {
		return false;
	}
	switch (entry->leaf) {
	case CPUID_LEAF_EXTENDED_FEATURES:
	case CPUID_LEAF_TOPOLOGY:
	case CPUID_LEAF_XSAVE:
	case CPUID_LEAF_TOPOLOGY_V2:
	case LEAF_AMD_TOPOLOGY:
		return false;
	default:
		return true;
	}
}

void cpuid_slots_fill(struct vm *vm)
{
	for (uint32_t i = 0; i < VM_CPUID_SLOTS; i++) {
		vm->cpuid_slots[i] = (struct cpuid_slot){ .leaf = ~0u };
	}
	for (uint32_t i = 0; i < vm->cpuid_count; i++) {
		const struct bh_cpuid_entry *entry = &vm->cpuid[i];
		struct cpuid_slot *slot = &vm->cpuid_slots[cpuid_slot_number(entry->leaf)];

		if (!is_plain(entry) || slot->leaf != ~0u || entry->leaf >= CPUID_SLOT_FEATURES) {
			continue;
		}
		*slot = (struct cpuid_slot){
			.leaf = entry->leaf,
			.eax = entry->eax,
			.ebx = entry->ebx,
			.ecx = entry->ecx,
			.edx = entry->edx,
		};
		if (entry->leaf == CPUID_LEAF_FEATURES) {
			slot->leaf = CPUID_SLOT_FEATURES;
			slot->ebx &= 0x00ffffff;
			slot->ecx &= ~CPUID_1_ECX_OSXSAVE;
		}
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
	memcpy(vm->cpuid, entries, count * sizeof(entries[0]));
	vm->cpuid_count = count;
	cpuid_slots_fill(vm);
	return BH_OK;
}

static uint64_t guest_cr4(struct vcpu *vcpu)
{
	struct bh_cpu_state state;

	hvm->get_state(vcpu, BH_STATE_CONTROL, &state);
	return state.cr4;
}

/* Bytes of the XSAVE area for these components, standard or compacted (SDM 1 13.4). */
static uint32_t xsave_size(const struct vm *vm, uint64_t components, bool is_compacted)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (uint32_t i = 2; i < 63; i++) {
		const struct bh_cpuid_entry *entry = (components & BIT(i)) != 0
		                                             ? find(vm, CPUID_LEAF_XSAVE, i)
		                                             : NULL;

		if (entry == NULL) {
			continue;
		}
		if (is_compacted) {
			size = ((entry->ecx & 2) != 0 ? (size + 63) & ~63u : size) + entry->eax;
		} else if (entry->ebx + entry->eax > size) {
			size = entry->ebx + entry->eax;
		}
	}
	return size;
}

static void add_dynamic(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf,
                        struct cpuid_values *values)
{
	switch (leaf) {
	case CPUID_LEAF_FEATURES:
		values->ebx = (values->ebx & 0x00ffffff) | (vcpu->idx << CPUID_1_EBX_APIC_ID_SHIFT);
		values->ecx &= ~CPUID_1_ECX_OSXSAVE;
		values->ecx |= (guest_cr4(vcpu) & CR4_OSXSAVE) != 0 ? CPUID_1_ECX_OSXSAVE : 0;
		break;
	case CPUID_LEAF_EXTENDED_FEATURES:
		if (subleaf == 0) {
			values->ecx &= ~CPUID_7_ECX_OSPKE;
			values->ecx |= (guest_cr4(vcpu) & CR4_PKE) != 0 ? CPUID_7_ECX_OSPKE : 0;
		}
		break;
	case CPUID_LEAF_TOPOLOGY:
	case CPUID_LEAF_TOPOLOGY_V2:
		values->edx = vcpu->idx;
		break;
	case LEAF_AMD_TOPOLOGY:
		values->eax = vcpu->idx;
		break;
	case CPUID_LEAF_XSAVE:
		if (subleaf == 0) {
			values->ebx = xsave_size(vcpu->vm, vcpu->xcr0, false);
		} else if (subleaf == 1 && (values->eax & (BIT(1) | BIT(3))) != 0) {
			values->ebx = xsave_size(vcpu->vm, vcpu->xcr0, true);
		}
		break;
	default:
		break;
	}
}

/* The highest leaf of the range that `leaf` is in, and is it beyond? Hypervisor leaves beyond answer zero (all VMMs do it so). */
static bool is_beyond_basic(const struct vm *vm, uint32_t leaf)
{
	const struct bh_cpuid_entry *first;

	if (leaf >= LEAF_HYPERVISOR && leaf < LEAF_HYPERVISOR_END) {
		return false;
	}
	first = find(vm, leaf & LEAF_EXTENDED, 0);
	return first != NULL && leaf > first->eax;
}

struct cpuid_values cpuid_guest(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_values values = { 0, 0, 0, 0 };
	const struct bh_cpuid_entry *entry = find(vcpu->vm, leaf, subleaf);

	if (entry == NULL && is_beyond_basic(vcpu->vm, leaf)) {
		const struct bh_cpuid_entry *basic = find(vcpu->vm, 0, 0);

		leaf = basic != NULL ? basic->eax : 0;
		entry = find(vcpu->vm, leaf, subleaf);
	}
	if (entry != NULL) {
		values = (struct cpuid_values){ entry->eax, entry->ebx, entry->ecx, entry->edx };
		add_dynamic(vcpu, leaf, subleaf, &values);
	} else if (leaf == CPUID_LEAF_TOPOLOGY || leaf == CPUID_LEAF_TOPOLOGY_V2) {
		values.ecx = subleaf & 0xff;
		/* ids are valid in every subleaf (SDM 2A) */
		values.edx = find(vcpu->vm, leaf, 0) != NULL ? vcpu->idx : 0;
	}
	return values;
}

bool cpuid_guest_has(const struct vm *vm, uint32_t leaf, uint32_t reg, uint64_t bit)
{
	const struct bh_cpuid_entry *entry = find(vm, leaf, 0);

	if (entry == NULL) {
		return false;
	}
	const uint32_t values[4] = { entry->eax, entry->ebx, entry->ecx, entry->edx };

	return (values[reg & 3] & bit) != 0;
}
