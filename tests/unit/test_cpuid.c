// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's CPUID table from three made-up hosts and the real one: nothing that the policy
 * forbids, topology that fits, the hypervisor leaves, and the record's limits.
 */
// sources: vmm/cpuid.c vmm/cpuid_policy.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/cpuid.h"

static struct bh_cpuid_entry entries[BH_CPUID_MAX];
static int count;
static const char *vendor;
static uint32_t highest;

/* A CPU that has everything. */
static struct cpuid_values all_ones(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_values values = { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff } };

	if (leaf == 0) {
		values.reg[CPUID_EAX] = highest;
		memcpy(&values.reg[CPUID_EBX], vendor, 4);
		memcpy(&values.reg[CPUID_EDX], vendor + 4, 4);
		memcpy(&values.reg[CPUID_ECX], vendor + 8, 4);
	} else if (leaf == 0x80000000) {
		values.reg[CPUID_EAX] = 0x80000021;
	} else if (leaf == 4) {
		values = (struct cpuid_values){ { subleaf < 4 ? 0x1c000121 + (subleaf << 5) : 0, 1,
			                          2, 3 } };
	} else if (leaf == 0xd && subleaf >= 2) {
		values = (struct cpuid_values){ { 256, 576 + 256 * (subleaf - 2), 2, 0 } };
	} else if (leaf == 0x80000008) {
		values.reg[CPUID_EAX] = 0x3034;
	}
	return values;
}

static const struct bh_cpuid_entry *find(uint32_t leaf, uint32_t subleaf)
{
	for (int i = 0; i < count; i++) {
		if (entries[i].leaf == leaf && (!(entries[i].flags & BH_CPUID_SUBLEAF_MATTERS) ||
		                                entries[i].subleaf == subleaf)) {
			return &entries[i];
		}
	}
	return NULL;
}

static void build(const char *name, uint32_t vcpus, uint64_t xcr0)
{
	struct cpuid_config config = {
		.vcpus_count = vcpus,
		.physical_address_bits = 40,
		.xcr0_supported = xcr0,
		.tsc_hz = 2000000000,
		.lapic_timer_hz = 1000000000,
		.host = name ? all_ones : cpuid_host,
	};

	vendor = name;
	highest = 0x20;
	count = cpuid_table_build(&config, entries, BH_CPUID_MAX);
	assert_true(count > 0);
}

static void test_policy(void **state)
{
	const struct bh_cpuid_entry *leaf;

	(void)state;
	build("GenuineIntel", 4, 0x2e7);
	leaf = find(1, 0);
	assert_int_equal(leaf->ecx & ((1u << 3) | (1u << 5) | (1u << 6) | (1u << 27)), 0);
	assert_int_equal(leaf->ecx & ((1u << 21) | (1u << 24) | (1u << 31)),
	                 (1u << 21) | (1u << 24) | (1u << 31));
	assert_int_equal(leaf->ebx >> 16, 4);
	assert_int_equal(leaf->edx >> 28, 1); /* HTT; no thermal monitor, no PBE */
	leaf = find(7, 0);
	assert_int_equal(leaf->eax, 1);
	assert_int_equal(leaf->ebx & ((1u << 2) | (1u << 12) | (1u << 14) | (1u << 25)), 0);
	assert_true(leaf->ebx & (1u << 16));
	leaf = find(0x80000001, 0);
	assert_int_equal(leaf->ecx & (1u << 2), 0); /* SVM */
	assert_null(find(0xa, 0));
	assert_null(find(5, 0));
	assert_int_equal(find(0x80000007, 0)->edx, 0x100);
	assert_int_equal(find(0x80000000, 0)->eax, 0x80000008);
	assert_int_equal(find(0, 0)->eax, 0x15);
	assert_int_equal(find(0x80000008, 0)->eax, 48 << 8 | 40);
}

static void test_without_state(void **state)
{
	(void)state;
	build("GenuineIntel", 1, 0x3);
	assert_int_equal(find(1, 0)->ecx & (1u << 28), 0);
	assert_int_equal(find(1, 0)->edx & (1u << 28), 0);
	assert_int_equal(find(7, 0)->ebx & ((1u << 5) | 0xd0230000u), 0);
	assert_int_equal(find(7, 0)->ecx & (1u << 3), 0);
	assert_int_equal(find(0xd, 0)->ecx, 576);
	assert_null(find(0xd, 2));
	build("GenuineIntel", 1, 0);
	assert_int_equal(find(1, 0)->ecx & (1u << 26), 0);
	assert_null(find(0xd, 0));
}

static void test_xsave(void **state)
{
	(void)state;
	build("GenuineIntel", 1, 0x2e7);
	assert_int_equal(find(0xd, 0)->eax, 0x2e7);
	assert_int_equal(find(0xd, 0)->ecx, 576 + 256 * 8);
	assert_int_equal(find(0xd, 1)->eax, 7);
	assert_int_equal(find(0xd, 9)->eax, 256);
	assert_null(find(0xd, 3));
	build("GenuineIntel", 1, 0x60007); /* components that are not offered */
	assert_int_equal(find(0xd, 0)->eax, 7);
}

static void test_topology(void **state)
{
	(void)state;
	build("GenuineIntel", 6, 7);
	assert_int_equal(find(0xb, 0)->ebx, 1);
	assert_int_equal(find(0xb, 1)->eax, 3);
	assert_int_equal(find(0xb, 1)->ebx, 6);
	assert_int_equal(find(0xb, 1)->ecx, 0x201);
	assert_int_equal(find(4, 0)->eax >> 26, 7);
	assert_int_equal(find(4, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(find(4, 3)->eax >> 14 & 0xfff, 7);
	assert_null(find(4, 4));
	build("AuthenticAMD", 6, 7);
	assert_null(find(4, 0));
	assert_int_equal(find(0x80000008, 0)->ecx, 3 << 12 | 5);
	assert_int_equal(find(0x80000001, 0)->ecx & 2, 2);
	build("AuthenticAMD", 1, 7);
	assert_int_equal(find(0x80000008, 0)->ecx, 0);
}

static void test_hypervisor(void **state)
{
	const struct bh_cpuid_entry *leaf;

	(void)state;
	build("AuthenticAMD", 2, 7);
	leaf = find(0x40000000, 0);
	assert_int_equal(leaf->eax, 0x40000010);
	assert_memory_equal(&leaf->ebx, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(find(0x40000001, 0)->eax & 0x01000069, 0x01000069);
	assert_int_equal(find(0x40000010, 0)->eax, 2000000);
	assert_int_equal(find(0x40000010, 0)->ebx, 1000000);
	assert_memory_equal(&find(0x40000100, 0)->ebx, "BulkheadHv  ", 12);
}

/* kHz of the TSC as Linux finds it by leaf 15h, in 32 bits (arch/x86/kernel/tsc.c, native_calibrate_tsc). */
static uint32_t linux_tsc_khz(uint64_t tsc_hz)
{
	struct cpuid_config config = {
		.vcpus_count = 1, .tsc_hz = tsc_hz, .lapic_timer_hz = 1000000000, .host = all_ones
	};
	const struct bh_cpuid_entry *leaf;

	vendor = "GenuineIntel";
	count = cpuid_table_build(&config, entries, BH_CPUID_MAX);
	assert_true(count > 0);
	leaf = find(0x15, 0);
	assert_non_null(leaf);
	assert_int_equal(leaf->ecx, 1000000000);
	assert_true((uint64_t)(leaf->ecx / 1000) * leaf->ebx <= UINT32_MAX);
	return leaf->ecx / 1000 * leaf->ebx / leaf->eax;
}

static void test_tsc_rate(void **state)
{
	static const uint64_t odd_hz[] = { 999999937,  1996248041, 2095078125, 2399999999,
		                           2793437512, 3312006713, 4294967291, 5199999967,
		                           100000007,  6399999989 };

	(void)state;
	highest = 0x20;
	assert_int_equal(linux_tsc_khz(100000000), 100000);
	assert_int_equal(linux_tsc_khz(1000000000), 1000000);
	assert_int_equal(linux_tsc_khz(2500000000), 2500000);
	assert_int_equal(linux_tsc_khz(3300000000), 3300000);
	for (uint32_t i = 0; i < sizeof(odd_hz) / sizeof(odd_hz[0]); i++) {
		uint64_t told_hz = linux_tsc_khz(odd_hz[i]) * 1000ull;
		uint64_t error = told_hz > odd_hz[i] ? told_hz - odd_hz[i] : odd_hz[i] - told_hz;

		/* A part in a million, and the kHz that is not whole. */
		assert_true(error <= odd_hz[i] / 1000000 + 1000);
	}
	assert_int_equal(find(0, 0)->eax, 0x15);
	highest = 0xd; /* a CPU that has no such leaf */
	assert_int_equal(linux_tsc_khz(1500000000), 1500000);
	assert_int_equal(find(0, 0)->eax, 0x15);
	build("AuthenticAMD", 1, 7);
	assert_null(find(0x15, 0));
	assert_int_equal(find(0, 0)->eax, 0x14);
}

static void test_old_host(void **state)
{
	(void)state;
	vendor = "AuthenticAMD";
	build("AuthenticAMD", 2, 7);
	highest = 1;
	count = cpuid_table_build(&(struct cpuid_config){ .vcpus_count = 2, .host = all_ones },
	                          entries, BH_CPUID_MAX);
	assert_true(count > 0);
	assert_int_equal(find(0, 0)->eax, 0xd);
	assert_int_equal(find(7, 0)->ebx, 2); /* TSC_ADJUST is the kernel's own */
	assert_int_equal(find(2, 0)->eax, 0);
}

static void test_limit(void **state)
{
	struct cpuid_config config = { .vcpus_count = 2, .xcr0_supported = 7, .host = all_ones };

	(void)state;
	vendor = "GenuineIntel";
	for (uint32_t max = 0; max < 20; max++) {
		assert_int_equal(cpuid_table_build(&config, entries, max), BH_ERR_LIMIT);
	}
}

static void test_this_machine(void **state)
{
	(void)state;
	build(NULL, 64, 7);
	assert_true(count <= (int)BH_CPUID_MAX);
	assert_int_equal(find(1, 0)->ecx >> 31, 1);
	for (int i = 0; i < count; i++) {
		for (int j = 0; j < i; j++) {
			assert_false(entries[i].leaf == entries[j].leaf &&
			             entries[i].subleaf == entries[j].subleaf);
		}
	}
}

/* The instruction with these registers; the answer is left in `cpu`. */
static struct bh_cpu_state cpu;

static uint64_t ask(uint32_t vcpu_idx, uint32_t leaf, uint32_t subleaf, enum bh_gpr which)
{
	cpu.gpr[BH_GPR_RAX] = leaf | 0xabcd00000000ull; /* the upper halves do not matter */
	cpu.gpr[BH_GPR_RCX] = subleaf | 0xabcd00000000ull;
	cpuid_answer(entries, (uint32_t)count, vcpu_idx, &cpu);
	return cpu.gpr[which];
}

static void test_answers(void **state)
{
	(void)state;
	build("GenuineIntel", 6, 0x2e7);
	memset(&cpu, 0, sizeof(cpu));
	cpu.xcr0 = 3;
	assert_int_equal(ask(3, 1, 0, BH_GPR_RBX) >> 24, 3);
	assert_int_equal(ask(3, 1, 0, BH_GPR_RCX) & (1u << 27), 0);
	assert_int_equal(ask(3, 7, 0, BH_GPR_RCX) & (1u << 4), 0);
	assert_int_not_equal(ask(3, 7, 0, BH_GPR_RBX), 0);
	assert_int_equal(ask(3, 7, 9, BH_GPR_RBX), 0);
	cpu.cr4 = 1ull << 18 | 1ull << 22;
	assert_int_not_equal(ask(3, 1, 0, BH_GPR_RCX) & (1u << 27), 0);
	assert_int_not_equal(ask(3, 7, 0, BH_GPR_RCX) & (1u << 4), 0);
	assert_int_equal(ask(3, 0xb, 0, BH_GPR_RDX), 3);
	assert_int_equal(ask(5, 0xb, 9, BH_GPR_RDX), 5);
	assert_int_equal(ask(5, 0xb, 9, BH_GPR_RCX), 9);
	assert_int_equal(ask(0, 0xd, 0, BH_GPR_RBX), 576);
	cpu.xcr0 = 7;
	assert_int_equal(ask(0, 0xd, 0, BH_GPR_RBX), 832);
	assert_int_equal(ask(0, 0xd, 1, BH_GPR_RBX), 832);
	assert_int_equal(ask(0, 0x40000055, 0, BH_GPR_RAX), 0);
	/* Beyond the last: like the highest basic leaf. */
	assert_int_equal(ask(0, 0x7fffffff, 0, BH_GPR_RAX), ask(0, find(0, 0)->eax, 0, BH_GPR_RAX));
	assert_int_equal(ask(0, 0x80000077, 0, BH_GPR_RBX), ask(0, find(0, 0)->eax, 0, BH_GPR_RBX));
	assert_int_equal(ask(0, 0x40000000, 0, BH_GPR_RAX), 0x40000010);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy),     cmocka_unit_test(test_without_state),
		cmocka_unit_test(test_xsave),      cmocka_unit_test(test_topology),
		cmocka_unit_test(test_hypervisor), cmocka_unit_test(test_old_host),
		cmocka_unit_test(test_limit),      cmocka_unit_test(test_this_machine),
		cmocka_unit_test(test_answers),    cmocka_unit_test(test_tsc_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
