/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's tables about a guest: doorbells, CPUID leaves, MSRs. */
// sources: tests/unit/vcpu_fakes.c kernel/vlapic.c kernel/vlapic_timer.c kernel/cpuid.c kernel/doorbell.c kernel/msr.c
#include "tests/unit/vcpu_fakes.h"

#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/msr.h"
#include "kernel/vlapic.h"

static struct event events[4];

/* Does the exit path find it? */
static bool slot_hits(uint16_t port)
{
	uint32_t key = (uint32_t)port << 16;

	return fake_vm->ports[VM_PORT_SLOT(key)].key == key;
}

static const struct event *slot_event(uint16_t port)
{
	return fake_vm->ports[VM_PORT_SLOT((uint32_t)port << 16)].event;
}

static void doorbells_are_found_at_once(void **state)
{
	(void)state;
	assert_false(slot_hits(0x1000));
	assert_int_equal(doorbell_bind(fake_vm, 0x1000, &events[0]), BH_OK);
	assert_int_equal(doorbell_bind(fake_vm, 0x1002, NULL), BH_OK);
	for (uint32_t port = 0; port < 0x10000; port++) {
		assert_int_equal(slot_hits((uint16_t)port), port == 0x1000 || port == 0x1002);
	}
	assert_ptr_equal(slot_event(0x1000), &events[0]);
	assert_null(slot_event(0x1002));
}

/* The queues of paravirtual devices: 64 in a row, 2 or 4 ports apart, wherever they begin. */
static void doorbells_in_a_row_are_all_quick(void **state)
{
	(void)state;
	for (uint32_t spacing = 2; spacing <= 4; spacing += 2) {
		for (uint32_t base = 0xc000; base < 0xc200; base += spacing) {
			for (uint32_t i = 0; i < 64; i++) {
				assert_int_equal(
					doorbell_bind(fake_vm, base + i * spacing, &events[i % 4]),
					BH_OK);
			}
			for (uint32_t i = 0; i < 64; i++) {
				assert_true(slot_hits((uint16_t)(base + i * spacing)));
			}
			for (uint32_t i = 0; i < 64; i++) {
				assert_int_equal(doorbell_unbind(fake_vm, base + i * spacing),
				                 BH_OK);
			}
			doorbell_clear(fake_vm);
		}
	}
}

static void doorbells_that_share_a_place(void **state)
{
	(void)state;
	assert_int_equal(doorbell_bind(fake_vm, 0x1000, &events[0]), BH_OK);
	assert_int_equal(doorbell_bind(fake_vm, 0x1000, &events[1]), BH_ERR_EXISTS);
	assert_int_equal(doorbell_bind(fake_vm, 0x1001, &events[1]), BH_ERR_EXISTS);
	assert_int_equal(doorbell_bind(fake_vm, 0x2000, &events[1]), BH_ERR_EXISTS);
	assert_int_equal(doorbell_unbind(fake_vm, 0x2000), BH_ERR_NOT_FOUND);
	assert_true(slot_hits(0x1000));
	assert_ptr_equal(slot_event(0x1000), &events[0]);
	assert_int_equal(doorbell_unbind(fake_vm, 0x1000), BH_OK);
	assert_false(slot_hits(0x1000));
	assert_int_equal(doorbell_unbind(fake_vm, 0x1000), BH_ERR_NOT_FOUND);
	assert_int_equal(doorbell_bind(fake_vm, 0x2000, &events[1]), BH_OK);
	assert_true(slot_hits(0x2000));
	doorbell_forget_event(fake_vm, &events[1]);
	assert_true(slot_hits(0x2000)); /* swallowed from now on */
	assert_null(slot_event(0x2000));
}

static void doorbells_that_cannot_be(void **state)
{
	(void)state;
	assert_int_equal(doorbell_bind(fake_vm, 0x10000, NULL), BH_ERR_INVALID);
	assert_int_equal(doorbell_bind(fake_vm, UINT64_MAX, NULL), BH_ERR_INVALID);
	assert_int_equal(doorbell_unbind(fake_vm, 0x10000), BH_ERR_NOT_FOUND);
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		assert_int_equal(doorbell_bind(fake_vm, 0x3000 + 2 * i, NULL), BH_OK);
	}
	assert_int_equal(doorbell_bind(fake_vm, 0x4000, NULL), BH_ERR_EXISTS);
	assert_int_equal(doorbell_unbind(fake_vm, 0x300e), BH_OK);
	assert_int_equal(doorbell_bind(fake_vm, 0x400e, NULL), BH_OK);
}

static void cpuid_slots_answer_only_what_they_hold(void **state)
{
	struct bh_cpuid_entry leaves[] = {
		{ .leaf = 0, .eax = 1 },
		{ .leaf = 1,
		  .eax = 2,
		  .ebx = ~0u,
		  .ecx = CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_X2APIC },
		{ .leaf = 4, .flags = BH_CPUID_SUBLEAF_MATTERS, .eax = 9 },
		{ .leaf = 0xd, .flags = BH_CPUID_SUBLEAF_MATTERS, .eax = 7, .edx = 1 },
		{ .leaf = 0x40000000, .eax = 3 },
		{ .leaf = 0x40000100, .eax = 4 },
		{ .leaf = 0x80000000, .eax = 5 },
		{ .leaf = 0xffffffff, .eax = 6 },
		{ .leaf = 0xfffffffe, .eax = 7 },
		{ .leaf = 0x8000001e, .eax = 8 },
	};

	(void)state;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, ARRAY_SIZE(leaves)), BH_OK);
	assert_int_equal(cpuid_guest(fake_vm, 0).leaf, 0);
	assert_int_equal(cpuid_guest(fake_vm, 0x40000000).eax, 3);
	assert_int_equal(cpuid_guest(fake_vm, 0x80000000).eax, 5);
	assert_int_equal(cpuid_guest(fake_vm, 1).leaf, CPUID_SLOT_FEATURES);
	assert_int_equal(cpuid_guest(fake_vm, 4).leaf, CPUID_SLOT_NONE);
	for (uint64_t leaf = 0; leaf < 0x100000000ull; leaf += 997) {
		bool is_there = leaf <= 1 || leaf == 0x40000000 || leaf == 0x40000100 ||
		                leaf == 0x80000000 || leaf == 0x8000001e;

		assert_int_equal(cpuid_guest(fake_vm, (uint32_t)leaf).leaf != CPUID_SLOT_NONE,
		                 is_there);
	}
	assert_int_equal(cpuid_guest(fake_vm, 1).ecx, CPUID_1_ECX_X2APIC);
	assert_int_equal(cpuid_guest(fake_vm, 1).ebx, 0x00ffffff);
	assert_int_equal(cpuid_guest(fake_vm, 4).eax, 0);
	assert_int_equal(fake_vm->xcr0_offered, 0x100000007);
	leaves[0].flags = 2;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, 1), BH_ERR_INVALID);
	fake_vm->has_run = true;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, 0), BH_ERR_STATE);
}

static int write(uint32_t msr, uint64_t value)
{
	return msr_guest_write(fake(0), msr, value);
}

static uint64_t read(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(msr_guest_read(fake(0), msr, &value), BH_OK);
	return value;
}

static void msrs_keep_and_refuse(void **state)
{
	static const struct bh_cpuid_entry leaves[] = {
		{ .leaf = 1, .ecx = CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE },
		{ .leaf = 0x80000001, .edx = BIT(29) | BIT(20) },
	};
	uint64_t value;

	(void)state;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, ARRAY_SIZE(leaves)), BH_OK);
	assert_int_equal(write(MSR_PAT, 0x0007040600070406), BH_OK);
	assert_int_equal(read(MSR_PAT), 0x0007040600070406);
	assert_int_equal(write(MSR_PAT, 0x0207040600070406), BH_ERR_INVALID);
	assert_int_equal(write(MSR_EFER, EFER_LME | EFER_NXE | EFER_SCE), BH_OK);
	assert_int_equal(write(MSR_EFER, EFER_SVME), BH_ERR_INVALID);
	fake_vcpus[0].registers[HVM_CR0] = CR0_PG | CR0_PE;
	assert_int_equal(write(MSR_EFER, EFER_NXE), BH_ERR_INVALID); /* LME while paging */
	assert_int_equal(write(MSR_LSTAR, 0x0000800000000000), BH_ERR_INVALID);
	assert_int_equal(write(MSR_LSTAR, 0xffff800000000000), BH_OK);
	assert_int_equal(write(0x2ff, 6), BH_ERR_NOT_FOUND); /* the VMM's */
	assert_int_equal(msr_guest_read(fake(0), 0x1a0, &value), BH_ERR_NOT_FOUND);
	assert_int_equal(write(0x12345678, 0), BH_ERR_NOT_FOUND);
	assert_int_equal(write(0x48, 1), BH_ERR_NOT_FOUND);
	assert_int_equal(write(0xda0, 0), BH_ERR_NOT_FOUND);
	assert_int_equal(write(MSR_TSC_AUX, 1ull << 32), BH_ERR_INVALID);
	assert_int_equal(msr_guest_read(fake(0), MSR_X2APIC + 2, &value),
	                 BH_ERR_NOT_FOUND); /* xAPIC mode */
	assert_int_equal(write(MSR_APIC_BASE, read(MSR_APIC_BASE) | APIC_BASE_X2APIC), BH_OK);
	assert_int_equal(read(MSR_X2APIC + 2), 0);
	assert_int_equal(write(MSR_X2APIC + 0x30, 0x5ull << 32 | 0x4077), BH_OK);
	assert_int_equal(fake_take_irr(5, NULL), 1);
	assert_int_equal(read(MSR_X2APIC + 0x30), 0x5ull << 32 | 0x4077);
	assert_int_equal(write(MSR_X2APIC + 8, 0x100), BH_ERR_INVALID);
}

static void every_msr_is_harmless(void **state)
{
	uint64_t value;

	(void)state;
	for (uint32_t base = 0; base < 3; base++) {
		for (uint32_t i = 0; i < 0x12000; i++) {
			uint32_t msr = base == 0   ? i
			               : base == 1 ? 0xc0000000 + i
			                           : 0x4b564d00 - 0x100 + i;

			(void)!msr_guest_write(fake(0), msr, 0xdeadbeefcafef00d);
			(void)!msr_guest_read(fake(0), msr, &value);
			(void)msr_guest_fast(fake(0), msr, 0x5a5a);
		}
	}
}

static void time_stamp_moves(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	assert_int_equal(write(MSR_TSC, 0), BH_OK);
	assert_in_range(read(MSR_TSC), 0, 1000000000);
	assert_int_equal(read(0x3b), vcpu->tsc_offset);
	assert_int_equal(write(0x3b, 0), BH_OK);
	assert_int_equal(vcpu->tsc_offset, 0);
	assert_int_equal(write(0x3b, 77), BH_OK);
	assert_int_equal(vcpu->run->tsc_offset, 77);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(doorbells_are_found_at_once),
		TEST(doorbells_that_share_a_place),
		TEST(doorbells_in_a_row_are_all_quick),
		TEST(doorbells_that_cannot_be),
		TEST(cpuid_slots_answer_only_what_they_hold),
		TEST(msrs_keep_and_refuse),
		TEST(every_msr_is_harmless),
		TEST(time_stamp_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
