/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's tables about a guest: doorbells, CPUID leaves, MSRs. */
// sources: tests/unit/vcpu_fakes.c kernel/vlapic.c kernel/vlapic_timer.c kernel/cpuid.c kernel/doorbell.c kernel/msr.c
#include "tests/unit/vcpu_fakes.h"

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

/* What answers this leaf; an empty slot if the VMM does. */
static struct bh_cpuid_entry cpuid_slot(uint32_t leaf)
{
	const struct bh_cpuid_entry *slot = &fake_vm->cpuid[cpuid_slot_number(leaf)];
	uint32_t name = leaf == CPUID_LEAF_FEATURES ? CPUID_SLOT_FEATURES : leaf;

	return slot->leaf == name ? *slot : (struct bh_cpuid_entry){ .leaf = CPUID_SLOT_NONE };
}

static void cpuid_slots_answer_only_what_they_hold(void **state)
{
	struct bh_cpuid_entry leaves[] = {
		{ .leaf = 0, .eax = 1 },
		{ .leaf = 1, .eax = 2, .ebx = ~0u, .ecx = CPUID_1_ECX_OSXSAVE | BIT(21) },
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
	assert_int_equal(cpuid_slot(0).leaf, 0);
	assert_int_equal(cpuid_slot(0x40000000).eax, 3);
	assert_int_equal(cpuid_slot(0x80000000).eax, 5);
	assert_int_equal(cpuid_slot(1).leaf, CPUID_SLOT_FEATURES);
	assert_int_equal(cpuid_slot(4).leaf, CPUID_SLOT_NONE);
	for (uint64_t leaf = 0; leaf < 0x100000000ull; leaf += 997) {
		bool is_there = leaf <= 1 || leaf == 0x40000000 || leaf == 0x40000100 ||
		                leaf == 0x80000000 || leaf == 0x8000001e;

		assert_int_equal(cpuid_slot((uint32_t)leaf).leaf != CPUID_SLOT_NONE, is_there);
	}
	assert_int_equal(cpuid_slot(1).ecx, BIT(21));
	assert_int_equal(cpuid_slot(1).ebx, 0x00ffffff);
	assert_int_equal(cpuid_slot(4).eax, 0);
	assert_int_equal(fake_vm->xcr0_offered, 0x100000007);
	leaves[0].flags = 2;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, 1), BH_ERR_INVALID);
	fake_vm->has_run = true;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, 0), BH_ERR_STATE);
}

static bool write(uint32_t msr, uint64_t value)
{
	return msr_guest_write(fake(0), msr, value);
}

static void msrs_that_are_written_often(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	assert_false(write(MSR_X2APIC + 0x08, 0x10)); /* xAPIC mode */
	assert_false(write(MSR_X2APIC + 0x30, 0x4077));
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x40061);
	assert_true(write(MSR_TSC_DEADLINE, 1ull << 62)); /* in any mode */
	assert_int_equal(vlapic_timer_read_deadline(vcpu), 1ull << 62);
	vlapic_set_base(vcpu, vcpu->lapic.apic_base | APIC_BASE_X2APIC);
	assert_true(write(MSR_X2APIC + 0x30, 0x5ull << 32 | 0x4077));
	assert_int_equal(fake_take_irr(5, NULL), 1);
	assert_int_equal(vlapic_reg(vcpu, APIC_ICR), 0x4077);
	assert_int_equal(vlapic_reg(vcpu, APIC_ICR_HIGH), 5);
	assert_true(write(MSR_X2APIC + 0x30, 0x7ull << 32 | 0x40078)); /* to itself */
	assert_int_equal(vlapic_reg(vcpu, APIC_ICR_HIGH), 7);
	assert_int_equal(fake_take_irr(0, NULL), 1);
	assert_true(write(MSR_X2APIC + 0x3f, 0x79));
	assert_int_equal(fake_take_irr(0, NULL), 1);
	assert_true(write(MSR_X2APIC + 0x08, 0x35));
	assert_int_equal(vlapic_reg(vcpu, APIC_TPR), 0x35);
	assert_true(write(MSR_X2APIC + 0x0b, 0));
}

/* What is refused, and what is seldom written, is the VMM's to answer. */
static void msrs_that_are_left_to_the_vmm(void **state)
{
	static const uint32_t others[] = { 0x10,       0x1b,       0x3b,      0x277, 0x2ff,
		                           0x80f,      0x828,      0x832,     0x83e, 0xc0000080,
		                           0xc0000082, 0xc0000103, 0x12345678 };
	struct vcpu *vcpu = fake(0);

	(void)state;
	vlapic_set_base(vcpu, vcpu->lapic.apic_base | APIC_BASE_X2APIC);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_false(write(others[i], 0));
	}
	assert_false(write(MSR_X2APIC + 0x08, 0x100));
	assert_int_equal(vlapic_reg(vcpu, APIC_TPR), 0);
	assert_true(vlapic_accept(vcpu, 0x50, false));
	vlapic_take(vcpu, vlapic_update(vcpu));
	assert_false(write(MSR_X2APIC + 0x0b, 1));
	assert_int_equal(vlapic_in_service(vcpu), 0x50);
	assert_false(write(MSR_X2APIC + 0x3f, 1ull << 32));
	assert_false(write(MSR_X2APIC + 0x38, 1ull << 32));
	assert_int_equal(vlapic_update(vcpu), 0);
}

static void every_msr_is_harmless(void **state)
{
	(void)state;
	vlapic_set_base(fake(0), fake(0)->lapic.apic_base | APIC_BASE_X2APIC);
	for (uint32_t base = 0; base < 3; base++) {
		for (uint32_t i = 0; i < 0x12000; i++) {
			uint32_t msr = base == 0   ? i
			               : base == 1 ? 0xc0000000 + i
			                           : 0x4b564d00 - 0x100 + i;

			(void)write(msr, 0xdeadbeefcafef00d);
			(void)write(msr, 0x5a5a);
		}
	}
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
		TEST(msrs_that_are_written_often),
		TEST(msrs_that_are_left_to_the_vmm),
		TEST(every_msr_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
