/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer of the guest's local APIC: one-shot, periodic, TSC deadline (SDM 3A 11.5.4). It counts at VLAPIC_TIMER_HZ over the
 * divider; all bookkeeping is in host TSC ticks. The kernel timer behind it belongs to the vCPU's pCPU.
 */
#include "kernel/vlapic.h"

/* A shorter period would let one guest fill a shared pCPU with timer interrupts. */
#define PERIOD_MIN_NS 50000u

/* Divider 1, 2, 4 ... 128 as a shift, from bits 3, 1, 0 (SDM 3A figure 11-10). */
static uint32_t divide_shift(uint32_t divide)
{
	return ((((divide >> 1) & 4) | (divide & 3)) + 1) & 7;
}

uint64_t vlapic_timer_ticks_to_tsc(uint64_t ticks, uint32_t divide, uint64_t tsc_hz)
{
	uint64_t ns = ticks << divide_shift(divide); /* 32 bits and 7 more */

	/* Split, so that no product passes 64 bits: whole seconds and the rest. */
	return ns / VLAPIC_TIMER_HZ * tsc_hz + ns % VLAPIC_TIMER_HZ * tsc_hz / VLAPIC_TIMER_HZ;
}

uint64_t vlapic_timer_tsc_to_ticks(uint64_t tsc, uint32_t divide, uint64_t tsc_hz)
{
	uint64_t ns = tsc / tsc_hz * VLAPIC_TIMER_HZ + tsc % tsc_hz * VLAPIC_TIMER_HZ / tsc_hz;

	return ns >> divide_shift(divide);
}

static bool is_mode(const struct vcpu *vcpu, uint32_t mode)
{
	return field_get(APIC_TIMER_MODE, vlapic_reg(vcpu, APIC_LVT_TIMER)) == mode;
}

void vlapic_timer_set(struct vcpu *vcpu, uint64_t deadline_tsc, uint64_t period_tsc)
{
	vcpu->lapic.timer_deadline = deadline_tsc;
	vcpu->lapic.timer_period_tsc = period_tsc;
	if (deadline_tsc != 0) {
		timer_arm(&vcpu->lapic.timer, deadline_tsc);
	} else {
		timer_cancel(&vcpu->lapic.timer);
	}
}

/* On the vCPU's pCPU, from the exit path: the guest may or may not run at the moment. */
static void timer_fire(struct timer *timer)
{
	struct vcpu *vcpu = container_of(timer, struct vcpu, lapic.timer);
	uint64_t deadline = vcpu->lapic.timer_deadline, period = vcpu->lapic.timer_period_tsc;

	if (is_mode(vcpu, APIC_TIMER_PERIODIC) && period != 0) {
		/* the first multiple of the period that is still to come */
		deadline += ((arch_tsc_read() - deadline) / period + 1) * period;
	} else {
		deadline = 0;
	}
	vlapic_timer_set(vcpu, deadline, period);
	vlapic_raise_timer(vcpu);
}

void vlapic_timer_init(struct vcpu *vcpu)
{
	list_init(&vcpu->lapic.timer.node);
	vcpu->lapic.timer.fire = timer_fire;
}

/* The guest has set it. What is due by now needs no timer of ours. */
static void run_until(struct vcpu *vcpu, uint64_t deadline_tsc, uint64_t period_tsc)
{
	if (deadline_tsc > arch_tsc_read()) {
		vlapic_timer_set(vcpu, deadline_tsc, period_tsc);
		return;
	}
	vcpu->lapic.timer_deadline = deadline_tsc;
	vcpu->lapic.timer_period_tsc = period_tsc;
	timer_fire(&vcpu->lapic.timer);
}

static void start(struct vcpu *vcpu, uint64_t first_ticks, uint64_t period_ticks)
{
	uint32_t divide = vlapic_reg(vcpu, APIC_TIMER_DIVIDE);
	uint64_t deadline = arch_tsc_read() +
	                    vlapic_timer_ticks_to_tsc(first_ticks, divide, arch_tsc_hz);
	uint64_t period = vlapic_timer_ticks_to_tsc(period_ticks, divide, arch_tsc_hz);
	uint64_t minimum = arch_tsc_hz / (1000000000u / PERIOD_MIN_NS);

	/* In every mode: a one-shot that runs already may be made periodic. */
	run_until(vcpu, deadline, period < minimum ? minimum : period);
}

void vlapic_timer_write_initial(struct vcpu *vcpu, uint32_t count)
{
	if (is_mode(vcpu, APIC_TIMER_DEADLINE)) {
		return;
	}
	vcpu->lapic.regs[APIC_TIMER_INITIAL / 4] = count;
	if (count == 0) {
		vlapic_timer_set(vcpu, 0, 0);
	} else {
		start(vcpu, count, count);
	}
}

void vlapic_timer_write_divide(struct vcpu *vcpu, uint32_t value)
{
	uint32_t current = vlapic_timer_current(vcpu);

	vcpu->lapic.regs[APIC_TIMER_DIVIDE / 4] = value & 0xb;
	if (current != 0) {
		start(vcpu, current, vlapic_reg(vcpu, APIC_TIMER_INITIAL));
	}
}

void vlapic_timer_mode_changed(struct vcpu *vcpu, uint32_t old_lvt)
{
	bool was_deadline = field_get(APIC_TIMER_MODE, old_lvt) == APIC_TIMER_DEADLINE;

	if (was_deadline != is_mode(vcpu, APIC_TIMER_DEADLINE)) {
		vlapic_timer_set(vcpu, 0, 0);
		vcpu->lapic.regs[APIC_TIMER_INITIAL / 4] = 0;
	}
}

uint32_t vlapic_timer_current(const struct vcpu *vcpu)
{
	uint64_t now = arch_tsc_read(), deadline = vcpu->lapic.timer_deadline;

	if (deadline <= now || is_mode(vcpu, APIC_TIMER_DEADLINE)) {
		return 0;
	}
	return (uint32_t)vlapic_timer_tsc_to_ticks(
		deadline - now, vlapic_reg(vcpu, APIC_TIMER_DIVIDE), arch_tsc_hz);
}

void vlapic_timer_write_deadline(struct vcpu *vcpu, uint64_t guest_tsc)
{
	if (!is_mode(vcpu, APIC_TIMER_DEADLINE)) {
		return;
	}
	if (guest_tsc == 0) {
		vlapic_timer_set(vcpu, 0, 0);
	} else {
		run_until(vcpu, guest_tsc - vcpu->tsc_offset, 0);
	}
}

uint64_t vlapic_timer_read_deadline(const struct vcpu *vcpu)
{
	uint64_t deadline = vcpu->lapic.timer_deadline;

	return is_mode(vcpu, APIC_TIMER_DEADLINE) && deadline != 0 ? deadline + vcpu->tsc_offset
	                                                           : 0;
}

void vlapic_timer_restore(struct vcpu *vcpu, uint64_t guest_deadline_tsc)
{
	uint32_t initial = vlapic_reg(vcpu, APIC_TIMER_INITIAL);
	uint32_t current = vlapic_reg(vcpu, APIC_TIMER_CURRENT);

	vlapic_timer_set(vcpu, 0, 0);
	if (is_mode(vcpu, APIC_TIMER_DEADLINE)) {
		vlapic_timer_write_deadline(vcpu, guest_deadline_tsc);
	} else if (initial != 0 && (current != 0 || is_mode(vcpu, APIC_TIMER_PERIODIC))) {
		start(vcpu, current != 0 ? current : initial, initial);
	}
}
