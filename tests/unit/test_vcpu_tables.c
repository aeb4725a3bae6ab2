/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's tables about a guest: doorbells, CPUID leaves, MSRs. */
// sources: tests/unit/vcpu_fakes.c kernel/vlapic.c kernel/vlapic_timer.c kernel/cpuid.c kernel/doorbell.c kernel/msr.c
#include "tests/unit/vcpu_fakes.h"

#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/doorbell.h"
#include "kernel/msr.h"
#include "kernel/vlapic.h"

static struct event events[4];

static int bind(uint16_t port, uint32_t length, struct event *event)
{
	struct bh_doorbell record = { .address = port,
		                      .length_bytes = length,
		                      .flags = BH_DOORBELL_PORT };

	return vm_doorbell_bind(fake_vm, &record, event);
}

static bool slot_hits(uint16_t port, uint32_t length)
{
	const struct port_slot *slot = &fake_vm->port_slots[port % VM_PORT_SLOTS];
	uint32_t info = (uint32_t)port << 16 | length;

	return (info & slot->mask) == slot->key;
}

static void doorbells_are_found_at_once(void **state)
{
	(void)state;
	assert_false(doorbell_may_ring(fake_vm, 0x1000));
	assert_int_equal(bind(0x1000, 2, &events[0]), BH_OK);
	assert_int_equal(bind(0x1002, 0, NULL), BH_OK);
	assert_true(slot_hits(0x1000, 2));
	assert_false(slot_hits(0x1000, 1));
	assert_true(slot_hits(0x1002, 1));
	assert_true(slot_hits(0x1002, 4));
	assert_false(slot_hits(0x1001, 2));
	for (uint32_t port = 0; port < 0x10000; port++) {
		assert_int_equal(slot_hits((uint16_t)port, 2), port == 0x1000 || port == 0x1002);
	}
	assert_true(doorbell_ring(fake_vm, 0x1000, 2, 7));
	assert_ptr_equal(fake_signalled, &events[0]);
	assert_true(doorbell_ring(fake_vm, 0x1002, 4, 7));
	assert_int_equal(fake_signals, 1);
	assert_false(doorbell_ring(fake_vm, 0x1000, 4, 7));
}

static void doorbells_with_equal_low_bits(void **state)
{
	struct bh_doorbell record = { .address = 0x1000,
		                      .length_bytes = 2,
		                      .flags = BH_DOORBELL_PORT };

	(void)state;
	assert_int_equal(bind(0x1000, 2, &events[0]), BH_OK);
	assert_int_equal(bind(0x2000, 2, &events[1]), BH_OK);
	assert_int_not_equal(slot_hits(0x1000, 2), slot_hits(0x2000, 2));
	assert_true(doorbell_ring(fake_vm, 0x1000, 2, 0));
	assert_ptr_equal(fake_signalled, &events[0]);
	assert_true(doorbell_ring(fake_vm, 0x2000, 2, 0));
	assert_ptr_equal(fake_signalled, &events[1]);
	assert_int_equal(vm_doorbell_unbind(fake_vm, &record), BH_OK);
	assert_false(slot_hits(0x1000, 2));
	assert_true(slot_hits(0x2000, 2)); /* the slot goes to the other */
	assert_int_equal(vm_doorbell_unbind(fake_vm, &record), BH_ERR_NOT_FOUND);
	record.address = 0x2000;
	assert_int_equal(vm_doorbell_unbind(fake_vm, &record), BH_OK);
	assert_false(doorbell_may_ring(fake_vm, 0x2000));
}

static void doorbells_with_a_value(void **state)
{
	struct bh_doorbell record = { .address = 0x80,
		                      .value = 5,
		                      .length_bytes = 1,
		                      .flags = BH_DOORBELL_PORT | BH_DOORBELL_MATCH };

	(void)state;
	assert_int_equal(vm_doorbell_bind(fake_vm, &record, &events[0]), BH_OK);
	assert_false(slot_hits(0x80, 1)); /* the value is looked at on the slow path */
	assert_true(doorbell_ring(fake_vm, 0x80, 1, 5));
	assert_false(doorbell_ring(fake_vm, 0x80, 1, 6));
	assert_int_equal(vm_doorbell_bind(fake_vm, &record, &events[1]), BH_ERR_EXISTS);
	record.value = 6;
	assert_int_equal(vm_doorbell_bind(fake_vm, &record, &events[1]), BH_OK);
	assert_true(doorbell_ring(fake_vm, 0x80, 1, 6));
	assert_ptr_equal(fake_signalled, &events[1]);
	assert_int_equal(bind(0x80, 0, NULL), BH_ERR_EXISTS);
}

static void doorbells_that_cannot_be(void **state)
{
	struct bh_doorbell record = { .address = 0x1000 };

	(void)state;
	assert_int_equal(vm_doorbell_bind(fake_vm, &record, NULL), BH_ERR_UNSUPPORTED);
	assert_int_equal(bind(0x1000, 3, NULL), BH_ERR_INVALID);
	assert_int_equal(bind(0x1000, 8, NULL), BH_ERR_INVALID);
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		assert_int_equal(bind((uint16_t)(0x3000 + i), 0, NULL), BH_OK);
	}
	assert_int_equal(bind(0x4000, 0, NULL), BH_ERR_LIMIT);
}

static void cpuid_of_a_guest(void **state)
{
	static const struct bh_cpuid_entry leaves[] = {
		{ .leaf = 0, .eax = 0xd, .ebx = 1, .ecx = 2, .edx = 3 },
		{ .leaf = 1,
		  .eax = 0x600,
		  .ebx = 0xff000800,
		  .ecx = CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_XSAVE },
		{ .leaf = 7,
		  .flags = BH_CPUID_SUBLEAF_MATTERS,
		  .ebx = 0x42,
		  .ecx = CPUID_7_ECX_OSPKE },
		{ .leaf = 0xb,
		  .subleaf = 0,
		  .flags = BH_CPUID_SUBLEAF_MATTERS,
		  .ebx = 1,
		  .ecx = 0x100 },
		{ .leaf = 0xd, .subleaf = 0, .flags = BH_CPUID_SUBLEAF_MATTERS, .eax = 7 },
		{ .leaf = 0xd, .subleaf = 1, .flags = BH_CPUID_SUBLEAF_MATTERS, .eax = 2 },
		{ .leaf = 0xd,
		  .subleaf = 2,
		  .flags = BH_CPUID_SUBLEAF_MATTERS,
		  .eax = 256,
		  .ebx = 576 },
		{ .leaf = 0x40000000, .eax = 0x40000001 },
		{ .leaf = 0x40000001, .eax = 0xffffffff },
		{ .leaf = 0x80000000, .eax = 0x80000001 },
		{ .leaf = 0x80000001, .edx = 0x1234 },
	};
	struct vcpu *vcpu = fake(3);
	struct cpuid_values v;

	(void)state;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, ARRAY_SIZE(leaves)), BH_OK);
	v = cpuid_guest(vcpu, 1, 0);
	assert_int_equal(v.ebx, 0x03000800);
	assert_int_equal(v.ecx & CPUID_1_ECX_OSXSAVE, 0);
	fake_vcpus[3].state.cr4 = CR4_OSXSAVE | CR4_PKE;
	assert_int_not_equal(cpuid_guest(vcpu, 1, 0).ecx & CPUID_1_ECX_OSXSAVE, 0);
	assert_int_not_equal(cpuid_guest(vcpu, 7, 0).ecx & CPUID_7_ECX_OSPKE, 0);
	assert_int_equal(cpuid_guest(vcpu, 7, 5).ebx, 0);
	assert_int_equal(cpuid_guest(vcpu, 0xb, 0).edx, 3);
	assert_int_equal(cpuid_guest(vcpu, 0xb, 9).edx, 3);
	vcpu->xcr0 = 3;
	assert_int_equal(cpuid_guest(vcpu, 0xd, 0).ebx, 576);
	vcpu->xcr0 = 7;
	assert_int_equal(cpuid_guest(vcpu, 0xd, 0).ebx, 832);
	assert_int_equal(cpuid_guest(vcpu, 0xd, 1).ebx, 832);
	assert_int_equal(cpuid_guest(vcpu, 0x40000055, 0).eax, 0);
	v = cpuid_guest(vcpu, 0x20, 0); /* beyond the last basic leaf: as that one */
	assert_int_equal(v.eax, 7);
	assert_int_equal(cpuid_guest(vcpu, 0x80000077, 0).eax, 7);
	assert_int_equal(cpuid_guest(vcpu, 5, 0).eax, 0);
}

static void cpuid_slots_answer_only_what_they_hold(void **state)
{
	struct bh_cpuid_entry leaves[] = {
		{ .leaf = 0, .eax = 1 },
		{ .leaf = 1, .eax = 2 },
		{ .leaf = 4, .flags = BH_CPUID_SUBLEAF_MATTERS },
		{ .leaf = 0x40000000, .eax = 3 },
		{ .leaf = 0x40000100, .eax = 4 },
		{ .leaf = 0x80000000, .eax = 5 },
		{ .leaf = 0xffffffff, .eax = 6 },
		{ .leaf = 0xfffffffe, .eax = 7 },
		{ .leaf = 0x8000001e, .eax = 8 },
	};

	(void)state;
	assert_int_equal(vm_set_cpuid(fake_vm, leaves, ARRAY_SIZE(leaves)), BH_OK);
	assert_int_equal(cpuid_slot(fake_vm, 0)->leaf, 0);
	assert_int_equal(cpuid_slot(fake_vm, 0x40000000)->eax, 3);
	assert_int_equal(cpuid_slot(fake_vm, 0x80000000)->eax, 5);
	assert_true(cpuid_slot_is(cpuid_slot(fake_vm, 1), 1));
	assert_int_not_equal(cpuid_slot(fake_vm, 1)->leaf, 1);
	assert_int_not_equal(cpuid_slot(fake_vm, 4)->leaf, 4);
	assert_int_not_equal(cpuid_slot(fake_vm, 0x8000001e)->leaf, 0x8000001e);
	for (uint64_t leaf = 0; leaf < 0x100000000ull; leaf += 997) {
		const struct cpuid_slot *slot = cpuid_slot(fake_vm, (uint32_t)leaf);

		if (slot->leaf == leaf && slot->eax != 0) {
			assert_int_equal(cpuid_guest(fake(0), (uint32_t)leaf, 0).eax, slot->eax);
		}
	}
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
	fake_vcpus[0].state.cr0 = CR0_PG | CR0_PE;
	assert_int_equal(write(MSR_EFER, EFER_NXE), BH_ERR_INVALID); /* LME while paging */
	assert_int_equal(write(MSR_LSTAR, 0x0000800000000000), BH_ERR_INVALID);
	assert_int_equal(write(MSR_LSTAR, 0xffff800000000000), BH_OK);
	assert_int_equal(write(MSR_MTRR_DEF_TYPE, 6), BH_ERR_NOT_FOUND); /* the VMM's */
	assert_int_equal(msr_guest_read(fake(0), MSR_MISC_ENABLE, &value), BH_ERR_NOT_FOUND);
	assert_int_equal(write(0x12345678, 0), BH_ERR_NOT_FOUND);
	assert_int_equal(write(MSR_SPEC_CTRL, 1), BH_ERR_INVALID); /* not offered */
	assert_int_equal(write(MSR_XSS, 0), BH_ERR_INVALID);
	assert_int_equal(write(MSR_TSC_AUX, 1ull << 32), BH_ERR_INVALID);
	assert_int_equal(msr_guest_read(fake(0), MSR_X2APIC + 2, &value),
	                 BH_ERR_INVALID); /* xAPIC mode */
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
			value = 0x5a5a;
			(void)msr_guest_fast(fake(0), msr, (i & 1) != 0, &value);
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
		TEST(doorbells_with_equal_low_bits),
		TEST(doorbells_with_a_value),
		TEST(doorbells_that_cannot_be),
		TEST(cpuid_of_a_guest),
		TEST(cpuid_slots_answer_only_what_they_hold),
		TEST(msrs_keep_and_refuse),
		TEST(every_msr_is_harmless),
		TEST(time_stamp_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
