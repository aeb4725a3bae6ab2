/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's local APIC: priorities, end of interrupt, who receives what, illegal vectors, modes, and the timer's arithmetic. */
// sources: tests/unit/vcpu_fakes.c kernel/vlapic.c kernel/vlapic_timer.c kernel/cpuid.c kernel/doorbell.c kernel/hypercall.c kernel/msr.c
#include "tests/unit/vcpu_fakes.h"

#include "arch/x86/reg/msr.h"
#include "kernel/hypercall.h"
#include "kernel/msr.h"
#include "kernel/vlapic.h"

static uint32_t received(uint32_t *who)
{
	uint32_t count = 0;

	*who = 0;
	for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
		uint32_t vectors = fake_take_irr(i, NULL);

		count += vectors;
		*who |= vectors != 0 ? 1u << i : 0;
	}
	return count;
}

static void send_xapic(uint32_t from, uint32_t destination, uint32_t low)
{
	vlapic_write(fake(from), APIC_ICR_HIGH, destination << 24);
	vlapic_write(fake(from), APIC_ICR, low);
}

static void send_x2apic(uint32_t from, uint64_t icr)
{
	assert_true(msr_guest_write(fake(from), MSR_X2APIC + APIC_ICR / 0x10, icr));
}

static void all_x2apic(void)
{
	for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
		vlapic_set_base(fake(i), fake(i)->lapic.apic_base | APIC_BASE_X2APIC);
	}
}

static uint32_t processor_priority(struct vcpu *vcpu)
{
	vlapic_register_refresh(vcpu, APIC_PPR);
	return vlapic_reg(vcpu, APIC_PPR);
}

static void priorities_decide(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	assert_true(vlapic_accept(vcpu, 0x31, false));
	assert_true(vlapic_accept(vcpu, 0x85, false));
	assert_true(vlapic_accept(vcpu, 0x84, false));
	assert_int_equal(vcpu->requests, VCPU_REQUEST_INTERRUPT);
	assert_int_equal(vlapic_update(vcpu), 0x85);
	vlapic_take(vcpu, 0x85);
	assert_int_equal(processor_priority(vcpu), 0x80);
	assert_int_equal(vlapic_update(vcpu), 0x84); /* same class: not above what is in service */
	vlapic_eoi(vcpu);
	assert_int_equal(processor_priority(vcpu), 0);
	vlapic_write(vcpu, APIC_TPR, 0x35);
	assert_int_equal(fake_vcpus[0].registers[HVM_CR8], 3);
	assert_int_equal(processor_priority(vcpu), 0x35);
	fake_vcpus[0].registers[HVM_CR8] = 9; /* the guest moved it without an exit */
	assert_int_equal(processor_priority(vcpu), 0x90);
	vlapic_take(vcpu, 0xa0);
	assert_int_equal(processor_priority(vcpu), 0xa0);
}

/* What others send lies where VT-x takes it itself (SDM 3C 29.6), and what the CPU has taken by then is not taken again. */
static void the_cpu_can_take_what_others_send(void **state)
{
	struct vcpu *vcpu = fake(0);
	uint8_t descriptor[64];

	(void)state;
	assert_true(vlapic_accept(vcpu, 0x51, false));
	assert_true(vlapic_accept(vcpu, 0xf3, false));
	memcpy(descriptor, vcpu, sizeof(descriptor));
	assert_int_equal(descriptor[0x51 / 8], 1 << 0x51 % 8);
	assert_int_equal(descriptor[0xf3 / 8], 1 << 0xf3 % 8);
	assert_int_equal(vlapic_reg(vcpu, APIC_IRR + 0xf3 / 32 * 0x10), 0);
	vcpu->lapic.is_in_cpu = true;
	vcpu->lapic.irr_words = 0;
	memset(vcpu, 0, 32);
	vcpu->lapic.regs[(APIC_ISR + 0xf3 / 32 * 0x10) / 4] =
		1u << 0xf3 % 32; /* taken, and going on */
	assert_int_equal(vlapic_update(vcpu), 0);
	assert_true(vlapic_accept(vcpu, 0x42, false));
	assert_int_equal(vlapic_update(vcpu), 0x42);
	assert_int_equal(vlapic_reg(vcpu, APIC_IRR + 0x42 / 32 * 0x10), 1u << 0x42 % 32);
	memcpy(descriptor, vcpu, sizeof(descriptor));
	assert_int_equal(descriptor[0x42 / 8], 0);
}

/* The CPU is told whose EOI is wanted before it can have the first interrupt of the kind. */
static void a_change_of_trigger_mode_comes_first(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vcpu->lapic.is_tmr_new = false;
	fake_vcpus[0].requests_count = 0;
	assert_true(vlapic_accept(vcpu, 0x61, true));
	assert_int_equal(fake_vcpus[0].requests_count, 2);
	assert_int_equal(fake_vcpus[0].remote_at_first, 0);
	assert_true(vcpu->lapic.is_tmr_new);
	assert_true(vlapic_accept(vcpu, 0x61, true));
	assert_int_equal(fake_vcpus[0].requests_count, 3);
}

static void level_interrupts_report_their_end(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vlapic_accept(vcpu, 0x61, true);
	vlapic_accept(vcpu, 0x62, false);
	assert_int_equal(vlapic_update(vcpu), 0x62);
	vlapic_take(vcpu, 0x62);
	vlapic_eoi(vcpu);
	assert_int_equal(vcpu->requests & VCPU_REQUEST_EOI, 0);
	vlapic_take(vcpu, vlapic_update(vcpu));
	vlapic_eoi(vcpu);
	assert_int_not_equal(vcpu->requests & VCPU_REQUEST_EOI, 0);
	assert_int_equal(vcpu->lapic.eoi_level[1], BIT(0x61 - 64));
	vlapic_accept(vcpu, 0x61, false); /* the same vector by edge: TMR is clear again */
	vcpu->lapic.eoi_level[1] = 0;
	vlapic_take(vcpu, vlapic_update(vcpu));
	vlapic_eoi(vcpu);
	assert_int_equal(vcpu->lapic.eoi_level[1], 0);
	vlapic_eoi(vcpu); /* nothing in service: nothing happens */
}

static void disabled_takes_nothing(void **state)
{
	(void)state;
	vlapic_write(fake(1), APIC_SVR, 0xff);
	assert_false(vlapic_accept(fake(1), 0x40, false));
	assert_int_equal(vlapic_reg(fake(1), APIC_LVT_TIMER) & APIC_LVT_MASKED, APIC_LVT_MASKED);
}

static void physical_destinations(void **state)
{
	uint32_t who;

	(void)state;
	send_xapic(0, 3, 0x4040);
	assert_int_equal(received(&who), 1);
	assert_int_equal(who, 1u << 3);
	send_xapic(0, 0xff, 0x4040);
	assert_int_equal(received(&who), FAKE_VCPUS);
	send_xapic(0, 77, 0x4040);
	assert_int_equal(received(&who), 0);
}

static void shorthands(void **state)
{
	uint32_t who;

	(void)state;
	send_xapic(2, 0, 0x44041);
	assert_int_equal(received(&who), 1);
	assert_int_equal(who, 1u << 2);
	send_xapic(2, 0, 0x84041);
	assert_int_equal(received(&who), FAKE_VCPUS);
	send_xapic(2, 0, 0xc4041);
	assert_int_equal(received(&who), FAKE_VCPUS - 1);
	assert_int_equal(who & (1u << 2), 0);
}

static void logical_flat(void **state)
{
	uint32_t who;

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		vlapic_write(fake(i), APIC_LDR, 1u << (24 + i));
	}
	send_xapic(0, 0x0a, 0x4840);
	received(&who);
	assert_int_equal(who, 0x0a);
	send_xapic(0, 0xff, 0x4840);
	received(&who);
	assert_int_equal(who,
	                 (1u << FAKE_VCPUS) - 1); /* FFh is all, also those without a logical id */
}

static void logical_cluster(void **state)
{
	uint32_t who;

	(void)state;
	for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
		vlapic_write(fake(i), APIC_DFR, 0x0fffffff);
		vlapic_write(fake(i), APIC_LDR, ((i / 4) << 28) | (1u << (24 + i % 4)));
	}
	send_xapic(0, 0x13, 0x4840); /* cluster 1, members 0 and 1 */
	received(&who);
	assert_int_equal(who, 0x30);
	send_xapic(0, 0xf1, 0x4840); /* member 0 of every cluster */
	received(&who);
	assert_int_equal(who, 0x111);
}

static void x2apic_destinations(void **state)
{
	uint32_t who;

	(void)state;
	all_x2apic();
	assert_int_equal(vlapic_reg(fake(9), APIC_ID), 9);
	assert_int_equal(vlapic_reg(fake(9), APIC_LDR), 0x200);
	send_x2apic(0, (9ull << 32) | 0x4050);
	received(&who);
	assert_int_equal(who, 1u << 9);
	send_x2apic(0, (0x105ull << 32) | 0x4850); /* logical, cluster 0: 0, 2, 8 */
	received(&who);
	assert_int_equal(who, 0x105);
	send_x2apic(0, (0xffffffffull << 32) | 0x4050);
	assert_int_equal(received(&who), FAKE_VCPUS);
	send_x2apic(0, (0xffull << 32) | 0x4050); /* no broadcast in x2APIC mode */
	assert_int_equal(received(&who), 0);
	vlapic_write(fake(4), APIC_SELF_IPI, 0x51);
	received(&who);
	assert_int_equal(who, 1u << 4);
}

static void lowest_priority_spares_the_busy(void **state)
{
	uint32_t who;

	(void)state;
	for (uint32_t i = 0; i < FAKE_VCPUS; i++) {
		vlapic_write(fake(i), APIC_TPR, i == 6 ? 0x10 : 0x20);
	}
	send_xapic(0, 0xff, 0x4140);
	assert_int_equal(received(&who), 1);
	assert_int_equal(who, 1u << 6);
}

static void special_deliveries(void **state)
{
	(void)state;
	send_xapic(0, 1, 0x4400);
	assert_int_equal(fake(1)->requests, VCPU_REQUEST_NMI);
	send_xapic(0, 2, 0x4500);
	assert_int_equal(fake(2)->requests, VCPU_REQUEST_INIT);
	send_xapic(0, 3, 0x8500); /* de-assert: ignored */
	assert_int_equal(fake(3)->requests, 0);
	send_xapic(5, 0, 0x44402); /* an NMI to itself, whatever the vector: nothing */
	send_xapic(5, 0, 0x44522);
	for (uint32_t i = 4; i < FAKE_VCPUS; i++) {
		assert_int_equal(fake(i)->requests, 0);
	}
	send_xapic(0, 4, 0x469f);
	assert_int_equal(fake(4)->requests, VCPU_REQUEST_SIPI);
	assert_int_equal(fake(4)->sipi_vector, 0x9f);
}

static void illegal_vectors(void **state)
{
	(void)state;
	vlapic_write(fake(0), APIC_LVT_ERROR, 0xfe);
	send_xapic(0, 1, 0x400f);
	assert_int_equal(fake(1)->requests, 0);
	assert_int_equal(vlapic_update(fake(0)), 0xfe);
	vlapic_write(fake(0), APIC_ESR, 0);
	assert_int_equal(vlapic_reg(fake(0), APIC_ESR), 1u << 5);
	vlapic_write(fake(0), APIC_ESR, 0);
	assert_int_equal(vlapic_reg(fake(0), APIC_ESR), 0);
}

static void message_signalled(void **state)
{
	uint32_t who;

	(void)state;
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee05000, 0x4070), BH_OK);
	received(&who);
	assert_int_equal(who, 1u << 5);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfec05000, 0x70), BH_ERR_INVALID);
	assert_int_equal(vm_msi_deliver(fake_vm, 0x1fee05000, 0x70), BH_ERR_INVALID);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee05000, 0x0f), BH_ERR_INVALID);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee05000, 0x400), BH_OK);
	assert_int_not_equal(fake(5)->requests & VCPU_REQUEST_NMI, 0);
}

static uint64_t counted(uint32_t idx, enum bh_count count)
{
	return fake(idx)->stats->counts[count];
}

/* Counted at the vCPU that a message names, by physical or logical id, and apart from interrupts of other vCPUs. */
static void messages_are_counted(void **state)
{
	uint32_t who;

	(void)state;
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee05000, 0x4070), BH_OK);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee05000, 0x4070), BH_OK);
	assert_int_equal(counted(5, BH_COUNT_MESSAGE), 2);
	vlapic_write(fake(3), APIC_LDR, 8u << 24);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee0800c, 0x71), BH_OK);
	assert_int_equal(counted(3, BH_COUNT_MESSAGE), 1);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfee05000, 0x0f), BH_ERR_INVALID);
	assert_int_equal(vm_msi_deliver(fake_vm, 0xfec05000, 0x70), BH_ERR_INVALID);
	send_xapic(0, 5, 0x4072);
	send_xapic(5, 0, 0x44073);
	assert_int_equal(counted(5, BH_COUNT_MESSAGE), 2);
	assert_int_equal(counted(0, BH_COUNT_IPI), 1);
	assert_int_equal(counted(5, BH_COUNT_IPI), 1);
	received(&who);
	assert_int_equal(who, 1u << 5 | 1u << 3);
}

static uint64_t send_by_hypercall(uint64_t low, uint64_t high, uint64_t first, uint64_t icr)
{
	uint64_t *gpr = fake(0)->gpr;

	gpr[BH_GPR_RBX] = low;
	gpr[BH_GPR_RCX] = high;
	gpr[BH_GPR_RDX] = first;
	gpr[BH_GPR_RSI] = icr;
	return hypercall_handle(fake(0), HYPERCALL_SEND_IPI);
}

/* KVM's call for many: each bit of both words is an APIC id from the first on, and those that exist are counted. */
static void one_call_sends_to_many(void **state)
{
	uint32_t who;

	(void)state;
	assert_int_equal(send_by_hypercall(1 | 1 << 3, 0, 2, 0x80), 2);
	assert_int_equal(received(&who), 2);
	assert_int_equal(who, 1u << 2 | 1u << 5);
	assert_int_equal(send_by_hypercall(0, 1 << 4, 0ull - 64, 0x80), 1); /* 64 - 64 + 4 */
	received(&who);
	assert_int_equal(who, 1u << 4);
	assert_int_equal(send_by_hypercall(~0ull, ~0ull, 0, 0x80), FAKE_VCPUS);
	assert_int_equal(received(&who), FAKE_VCPUS);
	assert_int_equal(send_by_hypercall(~0ull, ~0ull, FAKE_VCPUS, 0x80), 0);
	assert_int_equal(send_by_hypercall(1 << 7, 0, 0, 0x400), 1);
	assert_int_equal(fake(7)->requests & VCPU_REQUEST_NMI, VCPU_REQUEST_NMI);
	assert_int_equal(send_by_hypercall(1, 0, 0, 15), (uint64_t)-22);    /* no such vector */
	assert_int_equal(send_by_hypercall(1, 0, 0, 0x500), (uint64_t)-22); /* INIT */
	assert_int_equal(received(&who), 0);
	assert_int_equal(counted(0, BH_COUNT_IPI), 2 + 1 + FAKE_VCPUS + 1);
	assert_int_equal(counted(2, BH_COUNT_MESSAGE), 0);
}

static void modes_change(void **state)
{
	struct vcpu *vcpu = fake(1);
	uint64_t xapic = APIC_BASE_RESET | APIC_BASE_ENABLE;

	(void)state;
	assert_int_equal(vcpu->run->apic_base, xapic);
	assert_int_equal(fake(0)->run->apic_base, xapic | APIC_BASE_BSP);
	vlapic_write(vcpu, APIC_ICR_HIGH, 7u << 24);
	vlapic_set_base(vcpu, 0xfed00001ull | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	assert_int_equal(vcpu->lapic.apic_base, xapic | APIC_BASE_X2APIC); /* the page stays */
	assert_int_equal(vcpu->run->apic_base, xapic | APIC_BASE_X2APIC);
	assert_int_equal(vlapic_reg(vcpu, APIC_ID), 1);
	assert_int_equal(vlapic_reg(vcpu, APIC_ICR_HIGH), 0);
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x60);
	vlapic_set_base(vcpu, APIC_BASE_RESET);
	assert_int_equal(vlapic_reg(vcpu, APIC_LVT_TIMER), APIC_LVT_MASKED);
	assert_int_equal(vlapic_reg(vcpu, APIC_ID), 1u << 24);
}

static void every_offset_is_harmless(void **state)
{
	(void)state;
	for (uint32_t mode = 0; mode < 2; mode++) {
		for (uint32_t offset = 0; offset < 0x1000; offset += 4) {
			vlapic_register_refresh(fake(0), offset);
			vlapic_write(fake(0), offset, 0xffffffff);
			vlapic_write(fake(0), offset, 0);
		}
		(void)fake_take_irr(0, NULL);
		all_x2apic();
	}
}

static void software_disable_masks(void **state)
{
	(void)state;
	vlapic_write(fake(0), APIC_LVT_TIMER, 0x60);
	vlapic_write(fake(0), APIC_SVR, 0xff);
	assert_int_equal(vlapic_reg(fake(0), APIC_LVT_TIMER), APIC_LVT_MASKED | 0x60);
	assert_false(vlapic_accept(fake(0), 0x60, false));
}

static void external_interrupt_line(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vcpu->lapic.is_extint_asserted = true;
	assert_false(vlapic_extint_pending(vcpu)); /* LINT0 is masked after reset */
	vlapic_write(vcpu, APIC_LVT_LINT0, 0x700);
	assert_true(vlapic_extint_pending(vcpu));
	vlapic_write(vcpu, APIC_LVT_LINT0, 0x10700);
	assert_false(vlapic_extint_pending(vcpu));
	vlapic_set_base(vcpu, APIC_BASE_RESET);
	assert_true(vlapic_extint_pending(vcpu)); /* the APIC is off: the line goes straight in */
}

static void timer_arithmetic(void **state)
{
	(void)state;
	assert_int_equal(vlapic_timer_ticks_to_tsc(1000, 0xb, 1000000000), 1000);
	assert_int_equal(vlapic_timer_ticks_to_tsc(1000, 0x0, 1000000000), 2000);
	assert_int_equal(vlapic_timer_ticks_to_tsc(1000, 0xa, 1000000000), 128000);
	assert_int_equal(vlapic_timer_ticks_to_tsc(0xffffffff, 0xa, 5000000000ull),
	                 0xffffffffull * 128 * 5);
	for (uint64_t hz = 100000000; hz < 6000000000ull; hz += 777777777) {
		for (uint64_t ticks = 1; ticks < 0xffffffff; ticks = ticks * 7 + 3) {
			uint64_t back = vlapic_timer_tsc_to_ticks(
				vlapic_timer_ticks_to_tsc(ticks, 3, hz), 3, hz);

			assert_in_range(ticks - back, 0, 1);
		}
	}
}

static void timer_modes(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x60);
	vlapic_write(vcpu, APIC_TIMER_DIVIDE, 0xb);
	vlapic_write(vcpu, APIC_TIMER_INITIAL, 4000000000u);
	assert_ptr_equal(fake_armed, &vcpu->lapic.timer);
	vlapic_register_refresh(vcpu, APIC_TIMER_CURRENT);
	assert_in_range(vlapic_reg(vcpu, APIC_TIMER_CURRENT), 3000000000u, 4000000000u);
	vcpu->lapic.timer_deadline = 1;
	fake_armed->fire(fake_armed);
	assert_int_equal(vlapic_update(vcpu), 0x60);
	assert_int_equal(vlapic_timer_current(vcpu), 0);
	(void)fake_take_irr(0, NULL);
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x20060);
	vlapic_write(vcpu, APIC_TIMER_INITIAL, 1000000000u);
	vcpu->lapic.timer_deadline = 1;
	fake_armed->fire(fake_armed);
	assert_true(vcpu->lapic.timer_deadline > arch_tsc_read()); /* the next round */
	assert_int_equal(fake_take_irr(0, NULL), 1);
	vlapic_write(vcpu, APIC_TIMER_INITIAL, 0);
	assert_null(fake_armed);
}

/* A period that the guest gets by changing the mode of a one-shot has the same lower bound. */
static void timer_period_is_bounded(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x60);
	vlapic_write(vcpu, APIC_TIMER_DIVIDE, 0xb);
	vlapic_write(vcpu, APIC_TIMER_INITIAL, 1);
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x20060);
	assert_true(vcpu->lapic.timer_period_tsc >= arch_tsc_hz / 20000);
	vcpu->lapic.regs[APIC_TIMER_INITIAL / 4] = 1;
	vcpu->lapic.regs[APIC_TIMER_CURRENT / 4] = 1000000;
	vcpu->lapic.regs[APIC_LVT_TIMER / 4] = 0x60;
	vlapic_timer_restore(vcpu, 0); /* of a record that no CPU could have made */
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x20060);
	assert_true(vcpu->lapic.timer_period_tsc >= arch_tsc_hz / 20000);
}

static void timer_deadline(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vcpu->tsc_offset = 0 - 1000ull;
	vlapic_timer_write_deadline(vcpu, 5000); /* not in this mode: ignored */
	assert_int_equal(vlapic_timer_read_deadline(vcpu), 0);
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x40061);
	vlapic_timer_write_deadline(vcpu, 1ull << 62);
	assert_int_equal(vlapic_timer_read_deadline(vcpu), 1ull << 62);
	assert_int_equal(fake_armed->deadline_tsc, (1ull << 62) + 1000);
	fake_armed->fire(fake_armed);
	assert_int_equal(vlapic_timer_read_deadline(vcpu), 0);
	assert_int_equal(vlapic_update(vcpu), 0x61);
	vlapic_timer_write_deadline(vcpu, 1ull << 62);
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x61);
	assert_int_equal(vcpu->lapic.timer_deadline, 0);
}

/* No timer of the machine is armed for what is due already. */
static void timer_that_is_due_fires_at_once(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vlapic_write(vcpu, APIC_LVT_TIMER, 0x40061);
	vlapic_timer_write_deadline(vcpu, 1ull << 62);
	vlapic_timer_write_deadline(vcpu, 1);
	assert_null(fake_armed);
	assert_int_equal(vlapic_timer_read_deadline(vcpu), 0);
	assert_int_equal(vlapic_update(vcpu), 0x61);
	assert_int_not_equal(vcpu->requests & VCPU_REQUEST_INTERRUPT, 0);
	vlapic_take(vcpu, 0x61);
	vlapic_eoi(vcpu);
	vlapic_write(vcpu, APIC_LVT_TIMER, APIC_LVT_MASKED | 0x40061);
	vlapic_timer_write_deadline(vcpu, 1);
	assert_int_equal(vlapic_update(vcpu), 0);
}

static uint8_t eoi_byte;

static uint32_t in_service(struct vcpu *vcpu, uint8_t vector, bool is_level)
{
	assert_true(vlapic_accept(vcpu, vector, is_level));
	vlapic_take(vcpu, vlapic_update(vcpu));
	return vlapic_in_service(vcpu);
}

/* A stay in the guest, which ends its interrupt by the byte if it may and wants to. */
static bool stay(struct vcpu *vcpu, bool wants_to_end)
{
	vlapic_eoi_arm(vcpu);
	bool is_armed = vcpu->lapic.eoi_byte != 0;

	assert_int_equal(eoi_byte, is_armed ? 1 : 0);
	if (is_armed) {
		eoi_byte = wants_to_end ? 0 : 1;
		vlapic_eoi_settle(vcpu);
	}
	assert_int_equal(eoi_byte, 0);
	assert_int_equal(vcpu->lapic.eoi_byte, 0);
	return is_armed;
}

static void end_without_exit(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	eoi_byte = 0;
	assert_int_equal(in_service(vcpu, 0x50, false), 0x50);
	assert_false(stay(vcpu, true)); /* no byte */
	vcpu->run->eoi_byte = (uint64_t)&eoi_byte;
	assert_true(stay(vcpu, false));
	assert_int_equal(vlapic_in_service(vcpu), 0x50);
	assert_true(stay(vcpu, true));
	assert_int_equal(vlapic_in_service(vcpu), 0);
	/* of level */
	assert_int_equal(in_service(vcpu, 0x51, true), 0x51);
	assert_false(stay(vcpu, true));
	vlapic_eoi(vcpu);
	assert_int_equal(vcpu->lapic.eoi_level[1], 1ull << 0x11);
	/* nested, in one word and in two */
	for (uint8_t outer = 0x4f; outer >= 0x3f; outer = (uint8_t)(outer - 0x10)) {
		(void)in_service(vcpu, outer, false);
		assert_int_equal(in_service(vcpu, 0x5f, false), 0x5f);
		assert_false(stay(vcpu, true));
		vlapic_eoi(vcpu);
		assert_true(stay(vcpu, true));
		assert_int_equal(vlapic_in_service(vcpu), 0);
	}
	/* one waits, here or sent by another pCPU */
	(void)in_service(vcpu, 0x50, false);
	vlapic_accept_self(vcpu, 0x40);
	assert_false(stay(vcpu, true));
	vlapic_eoi(vcpu);
	(void)fake_take_irr(0, NULL);
	(void)in_service(vcpu, 0x50, false);
	__atomic_fetch_or(&vcpu->irr_remote_words, 1u, __ATOMIC_RELAXED);
	assert_false(stay(vcpu, true));
	vcpu->irr_remote_words = 0;
	/* the CPU has the registers */
	vcpu->lapic.is_in_cpu = true;
	assert_false(stay(vcpu, true));
	vcpu->lapic.is_in_cpu = false;
	/* what it ends by the register meanwhile ends once */
	vlapic_eoi_arm(vcpu);
	vlapic_eoi(vcpu);
	vlapic_eoi_settle(vcpu);
	assert_int_equal(vlapic_in_service(vcpu), 0);
}

/* The VMM's memory may be gone before, and in between. */
static void end_in_memory_that_is_gone(void **state)
{
	struct vcpu *vcpu = fake(0);

	(void)state;
	vcpu->run->eoi_byte = FAKE_BAD_ADDRESS;
	(void)in_service(vcpu, 0x50, false);
	vlapic_eoi_arm(vcpu);
	assert_int_equal(vcpu->lapic.eoi_byte, 0);
	assert_int_equal(vlapic_in_service(vcpu), 0x50);
	vcpu->lapic.eoi_byte = FAKE_BAD_ADDRESS;
	vlapic_eoi_settle(vcpu);
	assert_int_equal(vlapic_in_service(vcpu), 0);
	assert_int_equal(vcpu->lapic.eoi_byte, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(priorities_decide),
		TEST(the_cpu_can_take_what_others_send),
		TEST(a_change_of_trigger_mode_comes_first),
		TEST(level_interrupts_report_their_end),
		TEST(disabled_takes_nothing),
		TEST(physical_destinations),
		TEST(shorthands),
		TEST(logical_flat),
		TEST(logical_cluster),
		TEST(x2apic_destinations),
		TEST(lowest_priority_spares_the_busy),
		TEST(special_deliveries),
		TEST(illegal_vectors),
		TEST(message_signalled),
		TEST(messages_are_counted),
		TEST(one_call_sends_to_many),
		TEST(modes_change),
		TEST(every_offset_is_harmless),
		TEST(software_disable_masks),
		TEST(external_interrupt_line),
		TEST(end_without_exit),
		TEST(end_in_memory_that_is_gone),
		TEST(timer_arithmetic),
		TEST(timer_modes),
		TEST(timer_period_is_bounded),
		TEST(timer_deadline),
		TEST(timer_that_is_due_fires_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
