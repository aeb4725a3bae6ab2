/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the local APIC, each taken exactly once and in its order, whatever delivers them: the hypervisor by injection or the CPU
 * itself. Priorities by class, by CR8 and by what is in service; the shadow of STI; HLT; the registers in a handler; end of interrupt.
 * By memory-mapped registers, then the same by the x2APIC's MSRs; both with and without PV EOI.
 */
#include "guests/lib/guest.h"

#define LOW           0x35u /* classes 3, 4, 6, 7 */
#define MIDDLE        0x45u
#define MIDDLE_TOO    0x43u /* the same class */
#define HIGH          0x62u
#define TIMER         0x71u
#define ICR_SELF      0x44000u
#define TPR           0x80u
#define PPR           0xa0u
#define ISR           0x100u
#define IRR           0x200u
#define LVT_MASKED    0x10000u
#define DIVIDE_BY_1   0xbu
#define SOON          200000u /* ticks of 1 ns */
#define ROUNDS        2000u
#define SCRATCH       0x3ffu /* of COM1: an exit for the VMM */
#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_X2  (1u << 10)
#define X2APIC_FIRST  0x800u
#define CPUID_X2APIC  (1u << 21)
#define MSR_PV_EOI    0x4b564d04u
#define PV_EOI_ON     1u

static bool is_x2apic;
static volatile uint32_t word __attribute__((aligned(4)));
static volatile uint32_t counts[256];
static volatile uint32_t order; /* the vectors taken, a byte each, the last one lowest */
static void (*inside)(uint32_t vector);

static uint32_t get(uint32_t offset)
{
	return is_x2apic ? (uint32_t)rdmsr(X2APIC_FIRST + offset / 16) : apic_read(offset);
}

static void set(uint32_t offset, uint32_t value)
{
	if (is_x2apic) {
		wrmsr(X2APIC_FIRST + offset / 16, value);
	} else {
		apic_write(offset, value);
	}
}

static void cr8_set(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}

static void self_send(uint32_t vector)
{
	set(APIC_ICR_LOW, ICR_SELF | vector);
}

static void window(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void halt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static bool has_bit(uint32_t base, uint32_t vector)
{
	return (get(base + vector / 32 * 16) >> vector % 32 & 1) != 0;
}

/* PV EOI's word: set where no EOI is needed. */
static bool word_take(void)
{
	bool was_set;

	__asm__ volatile("btrl $0, %0" : "+m"(word), "=@ccc"(was_set) : : "memory");
	return was_set;
}

static void on_interrupt(struct trap_frame *frame)
{
	uint32_t vector = (uint32_t)frame->vector;

	counts[vector]++;
	order = order << 8 | vector;
	if (inside != NULL) {
		inside(vector);
	}
	if (!word_take()) {
		set(APIC_EOI, 0);
	}
}

static void clear(void)
{
	for (uint32_t i = 32; i < 256; i++) {
		counts[i] = 0;
	}
	order = 0;
	inside = NULL;
}

static void expect_order(uint32_t wanted, const char *what)
{
	check(order == wanted, "%s: %x, not %x (x2APIC %u)", what, order, wanted, is_x2apic);
	clear();
}

static void test_masked_by_flag(void)
{
	uint32_t unused[4];

	self_send(MIDDLE);
	self_send(MIDDLE); /* one bit: merged */
	expect_order(0, "with IF=0");
	__asm__ volatile("sti; cli" : : : "memory");
	expect_order(0, "in the shadow of STI");
	window();
	expect_order(MIDDLE, "after STI");
	window();
	expect_order(0, "once more");
	/* exits of all kinds while it waits, and between its delivery and its end */
	self_send(MIDDLE);
	(void)in8(SCRATCH);
	cpuid(0, 0, unused);
	out8(0x80, 0);
	expect_order(0, "over exits");
	window();
	(void)in8(SCRATCH);
	expect_order(MIDDLE, "after exits");
}

static void test_order(void)
{
	self_send(LOW);
	self_send(HIGH);
	self_send(MIDDLE);
	self_send(MIDDLE_TOO);
	window();
	expect_order(HIGH << 24 | MIDDLE << 16 | MIDDLE_TOO << 8 | LOW, "four that wait");
}

static void send_all_inside(uint32_t vector)
{
	if (vector == MIDDLE) {
		self_send(LOW);
		self_send(MIDDLE_TOO);
		window();
		check(order == MIDDLE, "same class and lower do not interrupt: %x", order);
		self_send(HIGH);
		window();
		check(order == (MIDDLE << 8 | HIGH), "higher does: %x", order);
		check(has_bit(ISR, MIDDLE) && !has_bit(ISR, HIGH), "ISR after the higher one");
		check(has_bit(IRR, LOW) && has_bit(IRR, MIDDLE_TOO), "IRR of what waits");
		check((get(PPR) & 0xf0) == (MIDDLE & 0xf0), "PPR is %x", get(PPR));
	} else if (vector == HIGH) {
		check(has_bit(ISR, MIDDLE) && has_bit(ISR, HIGH), "ISR in the higher one");
		check(!has_bit(IRR, HIGH), "IRR in the higher one");
		check((get(PPR) & 0xf0) == (HIGH & 0xf0), "PPR is %x in it", get(PPR));
	}
}

static void test_nesting(void)
{
	inside = send_all_inside;
	self_send(MIDDLE);
	window();
	expect_order(MIDDLE << 24 | HIGH << 16 | MIDDLE_TOO << 8 | LOW, "nested");
	check(get(PPR) == 0 && !has_bit(ISR, MIDDLE), "nothing in service afterwards");
}

static void again_inside(uint32_t vector)
{
	if (counts[vector] == 1) {
		self_send(vector);
		window();
		check(counts[vector] == 1 && has_bit(IRR, vector), "the same in its own handler");
	}
}

static void test_again(void)
{
	inside = again_inside;
	self_send(HIGH);
	window();
	expect_order(HIGH << 8 | HIGH, "the same again");
}

static void test_task_priority(void)
{
	cr8_set(4);
	self_send(MIDDLE);
	window();
	expect_order(0, "CR8 of the same class");
	check(get(TPR) == 0x40 && (get(PPR) & 0xf0) == 0x40, "TPR %x, PPR %x", get(TPR), get(PPR));
	self_send(HIGH);
	window();
	expect_order(HIGH, "CR8 below the class");
	__asm__ volatile("sti; nop" : : : "memory");
	cr8_set(3); /* with IF=1: it comes at once */
	__asm__ volatile("nop; cli" : : : "memory");
	cr8_set(0);
	expect_order(MIDDLE, "CR8 lowered");
	set(TPR, 0x4f);
	self_send(MIDDLE);
	self_send(LOW);
	window();
	expect_order(0, "TPR of the same class");
	set(TPR, 0);
	window();
	expect_order(MIDDLE << 8 | LOW, "TPR lowered");
}

static void timer_start(uint32_t ticks)
{
	set(APIC_TIMER_INITIAL, ticks);
}

static void test_halt(void)
{
	self_send(MIDDLE);
	halt();
	expect_order(MIDDLE, "HLT with one that waits");
	timer_start(SOON);
	halt();
	expect_order(TIMER, "HLT until the timer");
	timer_start(1); /* due at once */
	halt();
	window();
	expect_order(TIMER, "HLT with a timer that is due");
	/* one that CR8 holds back wakes nobody */
	cr8_set(5);
	self_send(MIDDLE);
	timer_start(SOON);
	halt();
	check(order == TIMER, "HLT woke for %x", order);
	cr8_set(0);
	window();
	expect_order(TIMER << 8 | MIDDLE, "CR8 lowered after HLT");
}

/* Each must be taken once: by flag, by CR8, by HLT, by its own handler, with exits in between. */
static void test_many(void)
{
	uint32_t unused[4], sent[2] = { 0, 0 };

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t which = i / 3 % 2;

		cr8_set(i % 5 == 0 ? 8 : 0);
		if (i % 7 == 0) {
			__asm__ volatile("sti");
		}
		self_send(which != 0 ? HIGH : MIDDLE);
		sent[which]++;
		if (i % 11 == 0) {
			cpuid(1, 0, unused);
		}
		cr8_set(0);
		if (i % 2 == 0 || i % 7 == 0) {
			window();
		} else {
			halt();
		}
		if (counts[MIDDLE] != sent[0] || counts[HIGH] != sent[1]) {
			check(false, "round %u: %u and %u taken, %u and %u sent", i, counts[MIDDLE],
			      counts[HIGH], sent[0], sent[1]);
			break;
		}
	}
	clear();
}

static void test_all(void)
{
	set(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	set(APIC_LVT_TIMER, TIMER);
	test_masked_by_flag();
	test_order();
	test_nesting();
	test_again();
	test_task_priority();
	test_halt();
	test_many();
	set(APIC_LVT_TIMER, LVT_MASKED | TIMER);
}

void guest_main(const struct multiboot_info *info)
{
	uint32_t registers[4];

	(void)info;
	for (uint32_t i = 32; i < 255; i++) {
		guest_irq[i] = on_interrupt;
	}
	apic_enable();
	test_all();
	wrmsr(MSR_PV_EOI, (uint64_t)&word | PV_EOI_ON);
	test_all();
	cpuid(1, 0, registers);
	if ((registers[2] & CPUID_X2APIC) != 0) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
		is_x2apic = true;
		test_all();
		wrmsr(MSR_PV_EOI, 0);
		word = 0;
		test_all();
	}
	guest_exit("apic");
}
