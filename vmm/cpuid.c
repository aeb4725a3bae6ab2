// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's CPUID table: policy applied, topology and hypervisor leaves made up.
 *
 * Must never: show features that depend on one that was taken away (AVX without its state, say).
 */
#include "vmm/cpuid.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"

#define BIT(n)              (1u << (n))

#define LEAF_VENDOR         0x0u
#define LEAF_FEATURES       0x1u
#define LEAF_CACHES         0x4u
#define LEAF_EXTENDED       0x7u
#define LEAF_TOPOLOGY       0xbu
#define LEAF_XSAVE          0xdu
#define LEAF_TSC            0x15u
#define LEAF_HYPERVISOR     0x40000000u
#define LEAF_KVM            0x40000001u
#define LEAF_FREQUENCIES    0x40000010u
#define LEAF_OWN            0x40000100u
#define LEAF_HYPERVISOR_END 0x40010000u
#define LEAF_X_VENDOR       0x80000000u
#define LEAF_X_SIZES        0x80000008u

#define LEAF_BASIC_LEAST    0x0du /* topology and XSAVE are always there */
#define LEAF_BASIC_MOST     0x14u /* of AMD's, which has no leaf for frequencies */
#define LEAF_X_MOST         0x80000008u

#define F1_ECX_FMA          (1u << 12)
#define F1_ECX_AVX          (1u << 28)
#define F1_ECX_XSAVE        (1u << 26)
#define F1_ECX_F16C         (1u << 29)
#define F1_EDX_HTT          (1u << 28)
#define F7_EBX_AVX2         (1u << 5)
#define F7_EBX_AVX512       0xd0230000u
#define F7_ECX_PKU          (1u << 3)
#define F7_ECX_VAES         0x00000600u
#define F7_ECX_AVX512       0x00005842u
#define F7_EDX_AVX512       0x0000000cu
#define FX_ECX_XOP_FMA4     0x00010800u
#define FX_ECX_CMP_LEGACY   (1u << 1)

#define XCR0_LEGACY         0x003ull
#define XCR0_AVX            0x004ull
#define XCR0_AVX512         0x0e0ull
#define XCR0_PKRU           0x200ull
#define XCR0_OFFERED        (XCR0_LEGACY | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)
#define XSAVE_AREA_LEAST    576u /* legacy area and header (SDM 1 13.4) */

/* What follows from a vCPU's registers. */
#define F1_EBX_APIC_ID   0xff000000u
#define F1_ECX_OSXSAVE   (1u << 27)
#define F7_ECX_OSPKE     (1u << 4)
#define FD_EAX_COMPACTED 0xau /* XSAVEC, XSAVES */
#define FD_ECX_ALIGNED   2u
#define CR4_OSXSAVE      (1ull << 18)
#define CR4_PKE          (1ull << 22)

/* KVM's paravirtual features that the kernel plays (Linux Documentation/virt/kvm/x86/cpuid.rst). */
#define KVM_CLOCK_OLD    BIT(0)
#define KVM_NO_IO_DELAY  BIT(1)
#define KVM_CLOCK        BIT(3)
#define KVM_STEAL_TIME   BIT(5)
#define KVM_PV_EOI       BIT(6)
#define KVM_PV_UNHALT    BIT(7)
#define KVM_PV_SEND_IPI  BIT(11)
#define KVM_PV_YIELD     BIT(13)
#define KVM_CLOCK_STABLE BIT(24)
#define KVM_FEATURES                                                                 \
	(KVM_CLOCK_OLD | KVM_NO_IO_DELAY | KVM_CLOCK | KVM_STEAL_TIME | KVM_PV_EOI | \
	 KVM_PV_UNHALT | KVM_PV_SEND_IPI | KVM_PV_YIELD | KVM_CLOCK_STABLE)

/* Linux multiplies it by the crystal's kHz in 32 bits, and that is 1,000,000 here. */
#define TSC_NUMERATOR_MOST  4294u

#define LINEAR_ADDRESS_BITS 48u /* 57 belong to five-level paging, which is not offered */

#define TOPOLOGY_SMT        1u
#define TOPOLOGY_CORE       2u

struct table {
	struct bh_cpuid_entry *entries;
	uint32_t count;
	uint32_t max;
	bool is_full;
	bool is_intel;
	uint64_t xcr0;
	const struct cpuid_config *config;
};

struct cpuid_values cpuid_host(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_values values;

	__asm__ volatile("cpuid"
	                 : "=a"(values.reg[CPUID_EAX]), "=b"(values.reg[CPUID_EBX]),
	                   "=c"(values.reg[CPUID_ECX]), "=d"(values.reg[CPUID_EDX])
	                 : "a"(leaf), "c"(subleaf));
	return values;
}

static void put(struct table *table, uint32_t leaf, uint32_t subleaf, uint32_t flags,
                struct cpuid_values values)
{
	struct bh_cpuid_entry *entry = &table->entries[table->count];

	if (table->count == table->max) {
		table->is_full = true;
		return;
	}
	memset(entry, 0, sizeof(*entry));
	entry->leaf = leaf;
	entry->subleaf = subleaf;
	entry->flags = flags;
	entry->eax = values.reg[CPUID_EAX];
	entry->ebx = values.reg[CPUID_EBX];
	entry->ecx = values.reg[CPUID_ECX];
	entry->edx = values.reg[CPUID_EDX];
	table->count++;
}

/*
 * What the host says, or zeros for a leaf that it does not have (Intel's answer with another leaf
 * then).
 */
static struct cpuid_values host_leaf(const struct table *table, uint32_t leaf, uint32_t subleaf)
{
	uint32_t highest = table->config->host(leaf & 0x80000000u, 0).reg[CPUID_EAX];
	struct cpuid_values none = { { 0, 0, 0, 0 } };

	return leaf <= highest ? table->config->host(leaf, subleaf) : none;
}

static bool is_text(const struct cpuid_values *values, const char *text)
{
	uint32_t words[3] = { values->reg[CPUID_EBX], values->reg[CPUID_EDX],
		              values->reg[CPUID_ECX] };

	return memcmp(words, text, sizeof(words)) == 0;
}

/* Smallest n with 2^n >= count. */
static uint32_t bits_for(uint32_t count)
{
	uint32_t bits = 0;

	while ((1u << bits) < count) {
		bits++;
	}
	return bits;
}

/* Takes away what needs XSAVE state that the kernel does not keep. */
static void drop_dependants(const struct table *table, uint32_t leaf, struct cpuid_values *values)
{
	bool has_avx = (table->xcr0 & XCR0_AVX) != 0;
	bool has_avx512 = (table->xcr0 & XCR0_AVX512) == XCR0_AVX512;

	if (leaf == LEAF_FEATURES) {
		values->reg[CPUID_ECX] &= has_avx ? ~0u : ~(F1_ECX_AVX | F1_ECX_FMA | F1_ECX_F16C);
		values->reg[CPUID_ECX] &= table->xcr0 ? ~0u : ~F1_ECX_XSAVE;
	} else if (leaf == LEAF_EXTENDED) {
		values->reg[CPUID_EBX] &= has_avx ? ~0u : ~F7_EBX_AVX2;
		values->reg[CPUID_ECX] &= has_avx ? ~0u : ~F7_ECX_VAES;
		values->reg[CPUID_EBX] &= has_avx512 ? ~0u : ~F7_EBX_AVX512;
		values->reg[CPUID_ECX] &= has_avx512 ? ~0u : ~F7_ECX_AVX512;
		values->reg[CPUID_EDX] &= has_avx512 ? ~0u : ~F7_EDX_AVX512;
		values->reg[CPUID_ECX] &= table->xcr0 & XCR0_PKRU ? ~0u : ~F7_ECX_PKU;
	} else if (leaf == LEAF_X_VENDOR + 1) {
		values->reg[CPUID_ECX] &= has_avx ? ~0u : ~FX_ECX_XOP_FMA4;
	}
}

static void adjust_topology_bits(const struct table *table, uint32_t leaf,
                                 struct cpuid_values *values)
{
	uint32_t count = table->config->vcpus_count;

	if (count <= 1) {
		return;
	}
	if (leaf == LEAF_FEATURES) {
		values->reg[CPUID_EDX] |= F1_EDX_HTT;
		values->reg[CPUID_EBX] |= (1u << bits_for(count)) << 16;
	} else if (leaf == LEAF_X_VENDOR + 1 && !table->is_intel) {
		values->reg[CPUID_ECX] |= FX_ECX_CMP_LEGACY;
	}
}

static void put_policies(struct table *table)
{
	for (uint32_t i = 0; i < cpuid_policies_count; i++) {
		const struct cpuid_policy *policy = &cpuid_policies[i];
		struct cpuid_values values = host_leaf(table, policy->leaf, policy->subleaf);

		for (uint32_t r = 0; r < 4; r++) {
			values.reg[r] = (values.reg[r] & policy->allow[r]) | policy->set[r];
		}
		if (policy->leaf == LEAF_EXTENDED && policy->subleaf == 0) {
			values.reg[CPUID_EAX] = 1; /* subleaves 0 and 1 */
		}
		drop_dependants(table, policy->leaf, &values);
		adjust_topology_bits(table, policy->leaf, &values);
		put(table, policy->leaf, policy->subleaf,
		    policy->leaf == LEAF_EXTENDED ? BH_CPUID_SUBLEAF_MATTERS : 0, values);
	}
}

static void put_vendor(struct table *table)
{
	struct cpuid_values values = table->config->host(LEAF_VENDOR, 0);
	uint32_t highest = values.reg[CPUID_EAX];

	highest = highest < LEAF_BASIC_LEAST ? LEAF_BASIC_LEAST : highest;
	values.reg[CPUID_EAX] = highest > LEAF_BASIC_MOST ? LEAF_BASIC_MOST : highest;
	table->is_intel = is_text(&values, "GenuineIntel");
	values.reg[CPUID_EAX] = table->is_intel ? LEAF_TSC : values.reg[CPUID_EAX];
	put(table, LEAF_VENDOR, 0, 0, values);
}

/*
 * Caches as the host has them; those above the second level belong to all vCPUs (SDM 2A, leaf 4).
 */
static void put_caches(struct table *table)
{
	uint32_t cores = 1u << bits_for(table->config->vcpus_count);

	for (uint32_t i = 0; table->is_intel && i < 8; i++) {
		struct cpuid_values values = host_leaf(table, LEAF_CACHES, i);
		uint32_t level = values.reg[CPUID_EAX] >> 5 & 7u;

		if ((values.reg[CPUID_EAX] & 0x1fu) == 0) {
			break;
		}
		values.reg[CPUID_EAX] &= 0x3fffu;
		values.reg[CPUID_EAX] |= (cores - 1) << 26;
		values.reg[CPUID_EAX] |= level >= 3 ? (cores - 1) << 14 : 0;
		put(table, LEAF_CACHES, i, BH_CPUID_SUBLEAF_MATTERS, values);
	}
}

/* One thread a core, all cores in one package. EDX, the x2APIC id, comes with the answer. */
static void put_topology(struct table *table)
{
	uint32_t count = table->config->vcpus_count;
	struct cpuid_values smt = { { 0, 1, TOPOLOGY_SMT << 8, 0 } };
	struct cpuid_values core = { { bits_for(count), count, 1 | TOPOLOGY_CORE << 8, 0 } };
	struct cpuid_values end = { { 0, 0, 2, 0 } };

	put(table, LEAF_TOPOLOGY, 0, BH_CPUID_SUBLEAF_MATTERS, smt);
	put(table, LEAF_TOPOLOGY, 1, BH_CPUID_SUBLEAF_MATTERS, core);
	put(table, LEAF_TOPOLOGY, 2, BH_CPUID_SUBLEAF_MATTERS, end);
}

/*
 * SDM 1 13.2. Only user components, in the standard format; EBX of subleaf 0 follows XCR0 in the
 * answer.
 */
static void put_xsave(struct table *table)
{
	struct cpuid_values values = { { (uint32_t)table->xcr0, XSAVE_AREA_LEAST, XSAVE_AREA_LEAST,
		                         (uint32_t)(table->xcr0 >> 32) } };
	uint32_t size = XSAVE_AREA_LEAST;
	uint32_t at = table->count;

	if (table->xcr0 == 0) {
		return;
	}
	put(table, LEAF_XSAVE, 0, BH_CPUID_SUBLEAF_MATTERS, values);
	values = host_leaf(table, LEAF_XSAVE, 1);
	values.reg[CPUID_EAX] &= 7u; /* XSAVEOPT, XSAVEC, XGETBV; without XSAVES */
	values.reg[CPUID_EBX] = 0;
	values.reg[CPUID_ECX] = 0;
	values.reg[CPUID_EDX] = 0;
	put(table, LEAF_XSAVE, 1, BH_CPUID_SUBLEAF_MATTERS, values);
	for (uint32_t i = 2; i < 63; i++) {
		if (!(table->xcr0 >> i & 1)) {
			continue;
		}
		values = host_leaf(table, LEAF_XSAVE, i);
		if (values.reg[CPUID_EAX] + values.reg[CPUID_EBX] > size) {
			size = values.reg[CPUID_EAX] + values.reg[CPUID_EBX];
		}
		values.reg[CPUID_ECX] &= 2u; /* alignment in the compacted format */
		values.reg[CPUID_EDX] = 0;
		put(table, LEAF_XSAVE, i, BH_CPUID_SUBLEAF_MATTERS, values);
	}
	if (!table->is_full) {
		table->entries[at].ebx = size;
		table->entries[at].ecx = size;
	}
}

/*
 * How fast the TSC counts, as a fraction of the crystal, which is what the APIC timer counts at (SDM
 * 2A, leaf 15h): of all fractions that fit, the one that comes nearest. AMD has no such leaf.
 */
static void put_tsc_rate(struct table *table)
{
	uint64_t crystal = table->config->lapic_timer_hz;
	uint64_t tsc = table->config->tsc_hz;
	uint64_t best_error = UINT64_MAX;
	struct cpuid_values values = { { 0, 0, (uint32_t)crystal, 0 } };

	for (uint64_t below = 1; table->is_intel && crystal != 0 && below <= TSC_NUMERATOR_MOST;
	     below++) {
		uint64_t above = (tsc * below + crystal / 2) / crystal;
		uint64_t error = tsc * below > above * crystal ? tsc * below - above * crystal
		                                               : above * crystal - tsc * below;

		if (above == 0 || above > TSC_NUMERATOR_MOST) {
			continue;
		}
		if (best_error == UINT64_MAX ||
		    error * values.reg[CPUID_EAX] < best_error * below) {
			best_error = error;
			values.reg[CPUID_EAX] = (uint32_t)below;
			values.reg[CPUID_EBX] = (uint32_t)above;
		}
	}
	if (best_error != UINT64_MAX) {
		put(table, LEAF_TSC, 0, 0, values);
	}
}

static void put_extended(struct table *table)
{
	struct cpuid_values values = table->config->host(LEAF_X_VENDOR, 0);
	uint32_t bits = table->config->physical_address_bits;

	if (values.reg[CPUID_EAX] > LEAF_X_MOST || values.reg[CPUID_EAX] < LEAF_X_VENDOR) {
		values.reg[CPUID_EAX] = LEAF_X_MOST;
	}
	put(table, LEAF_X_VENDOR, 0, 0, values);
	values = host_leaf(table, LEAF_X_SIZES, 0);
	values.reg[CPUID_EAX] = (values.reg[CPUID_EAX] & 0xffu) | LINEAR_ADDRESS_BITS << 8;
	if (bits != 0 && bits < (values.reg[CPUID_EAX] & 0xffu)) {
		values.reg[CPUID_EAX] = (values.reg[CPUID_EAX] & 0xff00u) | bits;
	}
	values.reg[CPUID_EBX] &= BIT(0) | BIT(9); /* CLZERO, WBNOINVD */
	values.reg[CPUID_ECX] = 0;
	if (!table->is_intel) {
		values.reg[CPUID_ECX] = (table->config->vcpus_count - 1) |
		                        bits_for(table->config->vcpus_count) << 12;
	}
	values.reg[CPUID_EDX] = 0;
	put(table, LEAF_X_SIZES, 0, 0, values);
}

static struct cpuid_values signature(uint32_t highest, const char *text)
{
	struct cpuid_values values;

	values.reg[CPUID_EAX] = highest;
	memcpy(&values.reg[CPUID_EBX], text, 4);
	memcpy(&values.reg[CPUID_ECX], text + 4, 4);
	memcpy(&values.reg[CPUID_EDX], text + 8, 4);
	return values;
}

static void put_hypervisor(struct table *table)
{
	struct cpuid_values features = { { KVM_FEATURES, 0, 0, 0 } };
	struct cpuid_values frequencies = { { (uint32_t)(table->config->tsc_hz / 1000),
		                              (uint32_t)(table->config->lapic_timer_hz / 1000), 0,
		                              0 } };

	put(table, LEAF_HYPERVISOR, 0, 0, signature(LEAF_FREQUENCIES, "KVMKVMKVM\0\0\0"));
	put(table, LEAF_KVM, 0, 0, features);
	put(table, LEAF_FREQUENCIES, 0, 0, frequencies);
	put(table, LEAF_OWN, 0, 0, signature(LEAF_OWN, "BulkheadHv  "));
}

int cpuid_table_build(const struct cpuid_config *config, struct bh_cpuid_entry *entries,
                      uint32_t max)
{
	struct table table = { entries, 0, max, false, false, 0, config };

	table.xcr0 = config->xcr0_supported & XCR0_OFFERED;
	if ((config->host(LEAF_FEATURES, 0).reg[CPUID_ECX] & F1_ECX_XSAVE) == 0 ||
	    (table.xcr0 & XCR0_LEGACY) != XCR0_LEGACY) {
		table.xcr0 = 0;
	}
	put_vendor(&table);
	put_policies(&table);
	put_caches(&table);
	put_topology(&table);
	put_xsave(&table);
	put_tsc_rate(&table);
	put_extended(&table);
	put_hypervisor(&table);
	return table.is_full ? BH_ERR_LIMIT : (int)table.count;
}

/* ---- answers ---- */

struct answerer {
	const struct bh_cpuid_entry *entries;
	uint32_t count;
	uint32_t vcpu_idx;
	const struct bh_cpu_state *state;
};

static const struct bh_cpuid_entry *find(const struct answerer *from, uint32_t leaf,
                                         uint32_t subleaf)
{
	for (uint32_t i = 0; i < from->count; i++) {
		const struct bh_cpuid_entry *entry = &from->entries[i];

		if (entry->leaf == leaf &&
		    ((entry->flags & BH_CPUID_SUBLEAF_MATTERS) == 0 || entry->subleaf == subleaf)) {
			return entry;
		}
	}
	return NULL;
}

/* Bytes of the XSAVE area for what XCR0 has on, standard or compacted (SDM 1 13.4). */
static uint32_t xsave_size(const struct answerer *from, bool is_compacted)
{
	uint32_t size = XSAVE_AREA_LEAST;

	for (uint32_t i = 2; i < 63; i++) {
		const struct bh_cpuid_entry *entry = (from->state->xcr0 >> i & 1) != 0
		                                             ? find(from, LEAF_XSAVE, i)
		                                             : NULL;

		if (entry == NULL) {
			continue;
		}
		if (is_compacted) {
			size = (entry->ecx & FD_ECX_ALIGNED) != 0 ? (size + 63) & ~63u : size;
			size += entry->eax;
		} else if (entry->ebx + entry->eax > size) {
			size = entry->ebx + entry->eax;
		}
	}
	return size;
}

/* What the table cannot say: APIC ids, OSXSAVE, OSPKE, the XSAVE area's size in use. */
static void add_dynamic(const struct answerer *from, uint32_t leaf, uint32_t subleaf,
                        struct bh_cpuid_entry *entry)
{
	switch (leaf) {
	case LEAF_FEATURES:
		entry->ebx = (entry->ebx & ~F1_EBX_APIC_ID) | from->vcpu_idx << 24;
		entry->ecx &= ~F1_ECX_OSXSAVE;
		entry->ecx |= (from->state->cr4 & CR4_OSXSAVE) != 0 ? F1_ECX_OSXSAVE : 0;
		break;
	case LEAF_EXTENDED:
		entry->ecx &= ~F7_ECX_OSPKE;
		entry->ecx |= subleaf == 0 && (from->state->cr4 & CR4_PKE) != 0 ? F7_ECX_OSPKE : 0;
		break;
	case LEAF_TOPOLOGY:
		entry->edx = from->vcpu_idx;
		break;
	case LEAF_XSAVE:
		if (subleaf == 0) {
			entry->ebx = xsave_size(from, false);
		} else if (subleaf == 1 && (entry->eax & FD_EAX_COMPACTED) != 0) {
			entry->ebx = xsave_size(from, true);
		}
		break;
	default:
		break;
	}
}

/*
 * The entry that answers. A leaf beyond the highest of its range is answered like the highest basic
 * one (SDM 2A); those of the hypervisor's range are zero then, as with all hypervisors.
 */
static struct bh_cpuid_entry lookup(const struct answerer *from, uint32_t leaf, uint32_t subleaf)
{
	const struct bh_cpuid_entry *entry = find(from, leaf, subleaf);
	const struct bh_cpuid_entry *first = find(from, leaf & LEAF_X_VENDOR, 0);
	const struct bh_cpuid_entry *basic = find(from, LEAF_VENDOR, 0);
	bool is_hypervisor = leaf >= LEAF_HYPERVISOR && leaf < LEAF_HYPERVISOR_END;

	if (entry == NULL && !is_hypervisor && first != NULL && basic != NULL &&
	    leaf > first->eax) {
		leaf = basic->eax;
		entry = find(from, leaf, subleaf);
	}
	if (entry != NULL) {
		struct bh_cpuid_entry answer = *entry;

		add_dynamic(from, leaf, subleaf, &answer);
		return answer;
	}
	/* Ids are valid in every subleaf of the topology. */
	return leaf == LEAF_TOPOLOGY
	               ? (struct bh_cpuid_entry){ .ecx = subleaf & 0xff, .edx = from->vcpu_idx }
	               : (struct bh_cpuid_entry){ 0 };
}

void cpuid_answer(const struct bh_cpuid_entry *entries, uint32_t count, uint32_t vcpu_idx,
                  struct bh_cpu_state *state)
{
	struct answerer from = { entries, count, vcpu_idx, state };
	struct bh_cpuid_entry answer = lookup(&from, (uint32_t)state->gpr[BH_GPR_RAX],
	                                      (uint32_t)state->gpr[BH_GPR_RCX]);

	state->gpr[BH_GPR_RAX] = answer.eax;
	state->gpr[BH_GPR_RBX] = answer.ebx;
	state->gpr[BH_GPR_RCX] = answer.ecx;
	state->gpr[BH_GPR_RDX] = answer.edx;
}
