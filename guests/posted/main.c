/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts from one processor to another that runs: each must arrive once, in IF's time, whatever the machine makes of it (VT-x: posted,
 * without an exit there). By x2APIC where there is one. One at a time, but for the burst: what comes together may be taken in any order.
 * Prints how many ticks they took from the sender and back to it through memory; the verdict does not depend on it, nor on the spurious ones:
 * Bochs 3.0 makes vector 255 of a notification that finds nothing to deliver any more.
 */
#include "guests/lib/guest.h"

#define ROUNDS        200u
#define HALTED_ROUNDS 50u
#define BURST         16u
#define VECTOR        0x40u
#define VECTOR_STEP   0x0bu /* through all words of IRR */
#define SPURIOUS      0xffu
#define WAIT          400000000ull
#define HOLD          2000u /* turns of a loop with interrupts off */
#define CPUID_X2APIC  (1u << 21)
#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_X2  0x400u
#define MSR_X2APIC    0x800u
#define ICR_ASSERT    0x4000u
#define TARGET        1u

/* What the target does between two interrupts. */
enum mode {
	MODE_SPIN,
	MODE_HOLD, /* with interrupts off, until `held` has been seen */
	MODE_HALT,
	MODE_END
};

static volatile uint32_t received[256], total, acknowledged, early, spurious;
static volatile uint32_t mode, held;
static bool has_x2apic;

static void on_interrupt(struct trap_frame *frame)
{
	if (frame->vector == SPURIOUS) {
		spurious++;
	} else {
		received[frame->vector]++;
		total++;
	}
	if (has_x2apic) {
		wrmsr(MSR_X2APIC + APIC_EOI / 16, 0);
	} else {
		apic_write(APIC_EOI, 0);
	}
}

static void x2apic_enable(void)
{
	if (has_x2apic) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	}
}

static void send(uint32_t vector)
{
	if (has_x2apic) {
		wrmsr(MSR_X2APIC + APIC_ICR_LOW / 16, (uint64_t)TARGET << 32 | ICR_ASSERT | vector);
	} else {
		apic_send(TARGET, ICR_ASSERT | vector);
	}
}

/* With interrupts off until one has been sent and a while after: it must wait. */
static void hold(void)
{
	uint32_t before = total;

	__asm__ volatile("cli");
	held = 1;
	while (held == 1) {
	}
	for (volatile uint32_t i = 0; i < HOLD; i++) {
	}
	early += total != before;
	mode = MODE_SPIN;
	__asm__ volatile("sti; nop");
}

void ap_main(uint32_t apic_id)
{
	(void)apic_id;
	x2apic_enable();
	__asm__ volatile("sti");
	while (mode != MODE_END) {
		acknowledged = total; /* out of the handler */
		if (mode == MODE_HOLD) {
			hold();
		}
		__asm__ volatile("cli");
		if (mode == MODE_HALT && acknowledged == total) {
			__asm__ volatile("sti; hlt");
		}
		__asm__ volatile("sti; nop");
	}
}

static bool wait_for(const volatile uint32_t *counter, uint32_t value)
{
	for (uint64_t i = 0; i < WAIT && *counter != value; i++) {
	}
	return *counter == value;
}

/* One, and the next when the target is out of its handler. */
static void send_rounds(uint32_t rounds, const char *name)
{
	uint32_t before = total;
	uint64_t start = rdtsc();

	for (uint32_t i = 1; i <= rounds; i++) {
		uint32_t vector = VECTOR + i * VECTOR_STEP % (SPURIOUS - VECTOR);
		uint32_t count = received[vector];

		send(vector);
		if (!wait_for(&acknowledged, before + i) || received[vector] != count + 1) {
			check(false, "%s: vector %x came %u times in round %u", name, vector,
			      received[vector] - count, i);
			return;
		}
	}
	check(total == before + rounds, "%s: %u came", name, total - before);
	print("%s: %lu ticks for %u rounds\n", name, rdtsc() - start, rounds);
}

static void send_burst(void)
{
	uint32_t before = total, each[BURST];

	for (uint32_t i = 0; i < BURST; i++) {
		each[i] = received[VECTOR + i * VECTOR_STEP];
	}
	for (uint32_t i = 0; i < BURST; i++) {
		send(VECTOR + i * VECTOR_STEP);
	}
	check(wait_for(&acknowledged, before + BURST), "burst: %u came", total - before);
	for (uint32_t i = 0; i < BURST; i++) {
		check(received[VECTOR + i * VECTOR_STEP] == each[i] + 1, "burst: vector %x",
		      VECTOR + i * VECTOR_STEP);
	}
}

static void send_while_held(void)
{
	uint32_t before = total;

	held = 0;
	mode = MODE_HOLD;
	check(wait_for(&held, 1), "the target does not hold interrupts off");
	send(VECTOR);
	held = 2;
	check(wait_for(&acknowledged, before + 1), "held: %u came", total - before);
	check(early == 0, "held: it came with interrupts off");
}

void guest_main(const struct multiboot_info *info)
{
	uint32_t registers[4];

	(void)info;
	cpuid(1, 0, registers);
	has_x2apic = (registers[2] & CPUID_X2APIC) != 0;
	for (uint32_t vector = VECTOR; vector < 256; vector++) {
		guest_irq[vector] = on_interrupt;
	}
	apic_enable();
	check(smp_start(1, WAIT) == 1, "the other processor did not come up");
	x2apic_enable();
	send_rounds(ROUNDS, "running");
	send_while_held();
	send_burst();
	mode = MODE_HALT;
	send_rounds(HALTED_ROUNDS, "halted");
	mode = MODE_END;
	print("spurious: %u\n", spurious);
	guest_exit("posted");
}
