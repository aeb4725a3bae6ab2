/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer of the guest's local APIC: one-shot, periodic, TSC deadline (SDM 3A 11.5.4). It counts at VLAPIC_TIMER_HZ over the
 * divider; all bookkeeping is in host TSC ticks. The kernel timer behind it belongs to the vCPU's pCPU.
 */
#include "kernel/vlapic.h"

#include "arch/x86/reg/msr.h"

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

static uint32_t timer_mode(const struct vcpu *vcpu)
{
	return (uint32_t)field_get(APIC_TIMER_MODE, vlapic_reg(vcpu, APIC_LVT_TIMER));
}

static uint64_t ticks_to_tsc(const struct vcpu *vcpu, uint64_t ticks)
{
	return vlapic_timer_ticks_to_tsc(ticks, vlapic_reg(vcpu, APIC_TIMER_DIVIDE), arch_tsc_hz);
}

void vlapic_timer_rearm(struct vcpu *vcpu)
{
	if (vcpu->cpu == NULL) {
		return; /* has never run; its first vcpu_run comes here again */
	}
	if (vcpu->lapic.timer_deadline != 0) {
		timer_arm(&vcpu->lapic.timer, vcpu->lapic.timer_deadline);
	} else {
		timer_cancel(&vcpu->lapic.timer);
	}
}

void vlapic_timer_stop(struct vcpu *vcpu)
{
	vcpu->lapic.timer_deadline = 0;
	vcpu->lapic.timer_period_tsc = 0;
	vcpu->lapic.tsc_deadline = 0;
	vlapic_timer_rearm(vcpu);
}

/* The next round: the first multiple of the period that is still to come. */
static void periodic_advance(struct vlapic *lapic, uint64_t now)
{
	uint64_t late = now - lapic->timer_deadline;

	lapic->timer_deadline = now + lapic->timer_period_tsc - late % lapic->timer_period_tsc;
}

/* On the vCPU's pCPU, from the exit path: the guest may or may not run at the moment. */
static void timer_fire(struct timer *timer)
{
	struct vcpu *vcpu = container_of(timer, struct vcpu, lapic.timer);
	struct vlapic *lapic = &vcpu->lapic;
	uint64_t now = arch_tsc_read();

	if (lapic->timer_deadline == 0) {
		return;
	}
	if (now < lapic->timer_deadline) {
		timer_arm(timer, lapic->timer_deadline);
		return;
	}
	if (timer_mode(vcpu) == APIC_TIMER_PERIODIC && lapic->timer_period_tsc != 0) {
		periodic_advance(lapic, now);
		timer_arm(timer, lapic->timer_deadline);
	} else {
		lapic->timer_deadline = 0;
		lapic->tsc_deadline = 0;
	}
	vlapic_raise_lvt(vcpu, APIC_LVT_TIMER);
}

void vlapic_timer_init(struct vcpu *vcpu)
{
	list_init(&vcpu->lapic.timer.node);
	vcpu->lapic.timer.fire = timer_fire;
}

static void start(struct vcpu *vcpu, uint64_t first_ticks, uint64_t period_ticks)
{
	struct vlapic *lapic = &vcpu->lapic;
	uint64_t minimum = arch_tsc_hz / (1000000000u / PERIOD_MIN_NS);

	lapic->timer_period_tsc = ticks_to_tsc(vcpu, period_ticks);
	/* In every mode: a one-shot that runs already may be made periodic. */
	if (lapic->timer_period_tsc < minimum) {
		lapic->timer_period_tsc = minimum;
	}
	lapic->timer_deadline = arch_tsc_read() + ticks_to_tsc(vcpu, first_ticks);
	vlapic_timer_rearm(vcpu);
}

void vlapic_timer_write_initial(struct vcpu *vcpu, uint32_t count)
{
	if (timer_mode(vcpu) == APIC_TIMER_DEADLINE) {
		return;
	}
	vcpu->lapic.regs[APIC_TIMER_INITIAL / 4] = count;
	if (count == 0) {
		vlapic_timer_stop(vcpu);
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
	uint32_t old_mode = (uint32_t)field_get(APIC_TIMER_MODE, old_lvt);
	uint32_t mode = timer_mode(vcpu);

	if (old_mode != mode && (old_mode == APIC_TIMER_DEADLINE || mode == APIC_TIMER_DEADLINE)) {
		vlapic_timer_stop(vcpu);
		vcpu->lapic.regs[APIC_TIMER_INITIAL / 4] = 0;
	}
}

uint32_t vlapic_timer_current(const struct vcpu *vcpu)
{
	const struct vlapic *lapic = &vcpu->lapic;
	uint64_t now = arch_tsc_read();
	uint64_t left;

	if (lapic->timer_deadline == 0 || timer_mode(vcpu) == APIC_TIMER_DEADLINE) {
		return 0;
	}
	if (now < lapic->timer_deadline) {
		left = lapic->timer_deadline - now;
	} else if (timer_mode(vcpu) == APIC_TIMER_PERIODIC && lapic->timer_period_tsc != 0) {
		left = lapic->timer_period_tsc -
		       (now - lapic->timer_deadline) % lapic->timer_period_tsc;
	} else {
		return 0;
	}
	return (uint32_t)vlapic_timer_tsc_to_ticks(left, vlapic_reg(vcpu, APIC_TIMER_DIVIDE),
	                                           arch_tsc_hz);
}

void vlapic_timer_write_deadline(struct vcpu *vcpu, uint64_t guest_tsc)
{
	struct vlapic *lapic = &vcpu->lapic;

	if (timer_mode(vcpu) != APIC_TIMER_DEADLINE) {
		return;
	}
	lapic->tsc_deadline = guest_tsc;
	lapic->timer_deadline = guest_tsc == 0 ? 0 : guest_tsc - vcpu->tsc_offset;
	if (guest_tsc != 0 && lapic->timer_deadline == 0) {
		lapic->timer_deadline = 1;
	}
	vlapic_timer_rearm(vcpu);
}

uint64_t vlapic_timer_read_deadline(const struct vcpu *vcpu)
{
	return timer_mode(vcpu) == APIC_TIMER_DEADLINE ? vcpu->lapic.tsc_deadline : 0;
}

void vlapic_timer_restore(struct vcpu *vcpu, uint64_t guest_deadline_tsc)
{
	uint32_t initial = vlapic_reg(vcpu, APIC_TIMER_INITIAL);
	uint32_t current = vlapic_reg(vcpu, APIC_TIMER_CURRENT);

	vlapic_timer_stop(vcpu);
	if (timer_mode(vcpu) == APIC_TIMER_DEADLINE) {
		vlapic_timer_write_deadline(vcpu, guest_deadline_tsc);
	} else if (initial != 0 && (current != 0 || timer_mode(vcpu) == APIC_TIMER_PERIODIC)) {
		start(vcpu, current != 0 ? current : initial, initial);
	}
}
