/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an interrupt without an exit (KVM's PV EOI, Linux Documentation/virt/kvm/x86/msr.rst): the guest clears a word that the
 * hypervisor has set, where nobody waits for that end; and where somebody does, the word is 0: an interrupt that is nested in another or
 * keeps one waiting, and one of level, whose end the I/O APIC must be told. All by memory-mapped registers, where an EOI is dear.
 */
#include "guests/lib/guest.h"

#define LOW               0x35u /* classes 3, 4 and 6 */
#define MIDDLE            0x45u
#define HIGH              0x62u
#define TIMER             0x71u
#define LEVEL             0x52u
#define ROUNDS            100u
#define SOON              100000u /* ticks of 1 ns */
#define DIVIDE_BY_1       0xbu
#define LVT_MASKED        0x10000u
#define ICR_SELF          0x44000u
#define ISR               0x100u
#define MSR_PV_EOI        0x4b564d04u
#define ON                1u
#define CPUID_PARAVIRTUAL 0x40000000u
#define FEATURE_PV_EOI    0x40u
#define GP                13
#define IOAPIC            0xfec00000ull
#define COM1_PIN          4u
#define PIN_LEVEL         0x8000u
#define PIN_MASKED        0x10000u
#define COM1_IER          0x3f9u
#define COM1_IIR          0x3fau
#define COM1_MCR          0x3fcu
#define SCRATCH           0x3ffu /* of COM1: an exit for the VMM */
#define IER_THRE          0x02u
#define MCR_OUT2          0x08u

static volatile uint32_t word __attribute__((aligned(4)));
static uint32_t taken, skipped;
static bool is_ignored; /* a guest that has forgotten its word */
static bool is_quick;   /* no exit in the handler */
static void (*inside)(uint32_t vector);

/* One instruction, so that no interrupt comes between the look and the clearing. */
static bool word_take(void)
{
	bool was_set;

	__asm__ volatile("btrl $0, %0" : "+m"(word), "=@ccc"(was_set) : : "memory");
	return was_set;
}

static void on_interrupt(struct trap_frame *frame)
{
	taken++;
	/* The word is set at an entry, so not if the CPU has delivered by itself: an exit makes it certain. */
	if (!is_quick) {
		(void)in8(SCRATCH);
	}
	if (inside != NULL) {
		inside((uint32_t)frame->vector);
	}
	if (!is_ignored && word_take()) {
		skipped++;
	} else {
		apic_write(APIC_EOI, 0);
	}
}

static void expect(uint32_t wanted_taken, uint32_t wanted_skipped, const char *what)
{
	check(taken == wanted_taken && skipped == wanted_skipped,
	      "%s: %u of %u, %u of %u without an EOI", what, taken, wanted_taken, skipped,
	      wanted_skipped);
	taken = 0;
	skipped = 0;
	inside = NULL;
}

static void self_send(uint32_t vector)
{
	apic_write(APIC_ICR_LOW, ICR_SELF | vector);
}

static void window(void)
{
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

static void pv_eoi_set(void *value)
{
	wrmsr(MSR_PV_EOI, (uint64_t)value);
}

static void turn_on(bool is_on)
{
	word = 0;
	pv_eoi_set(is_on ? (void *)((uint64_t)&word | ON) : NULL);
}

static void timers(void)
{
	for (uint32_t i = 0; i < ROUNDS; i++) {
		apic_write(APIC_TIMER_INITIAL, SOON);
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
}

static void test_count(void)
{
	timers();
	expect(ROUNDS, 0, "turned off");
	turn_on(true);
	timers();
	expect(ROUNDS, ROUNDS, "turned on");
	check(apic_read(ISR + TIMER / 32 * 16) == 0 && word == 0, "all have ended");
	is_quick = true;
	timers();
	check(taken == ROUNDS && skipped != 0, "without an exit in the handler: %u of %u", skipped,
	      taken);
	is_quick = false;
	taken = skipped = 0;
	turn_on(false);
	timers();
	expect(ROUNDS, 0, "turned off again");
	turn_on(true);
}

static void nest(uint32_t vector)
{
	if (vector == MIDDLE) {
		check(word == 1, "alone in service: the word is %u", word);
		self_send(HIGH);
		window();
		check(word == 1, "alone again: the word is %u", word);
	} else {
		check(word == 0, "the inner one: the word is %u", word);
	}
}

static void keep_waiting(uint32_t vector)
{
	if (vector == MIDDLE) {
		self_send(LOW);
		check(word == 0, "one waits for the end: the word is %u", word);
	}
}

static void keep_higher_waiting(uint32_t vector)
{
	if (vector == MIDDLE) {
		self_send(HIGH); /* with IF=0: it comes after IRET, nested in nothing */
		check(word == 0, "a higher one waits: the word is %u", word);
	}
}

static void test_priorities(void)
{
	inside = nest;
	self_send(MIDDLE);
	window();
	expect(2, 1, "nested");
	inside = keep_waiting;
	self_send(MIDDLE);
	window();
	check(taken == 2, "the one that waited came: %u", taken);
	check(apic_read(ISR + LOW / 32 * 16) == 0, "nothing is in service");
	taken = skipped = 0;
	inside = keep_higher_waiting;
	self_send(MIDDLE);
	window();
	check(taken == 2, "the higher one came: %u", taken);
	taken = skipped = 0;
	inside = NULL;
}

static void pin_set(uint32_t low)
{
	*(volatile uint32_t *)IOAPIC = 0x10 + 2 * COM1_PIN + 1;
	*(volatile uint32_t *)(IOAPIC + 16) = 0;
	*(volatile uint32_t *)IOAPIC = 0x10 + 2 * COM1_PIN;
	*(volatile uint32_t *)(IOAPIC + 16) = low;
}

static void answer_com1(uint32_t vector)
{
	check(vector == LEVEL && word == 0, "vector %x, of level: the word is %u", vector, word);
	(void)in8(COM1_IIR); /* the line falls */
}

/* Only the end that the I/O APIC hears of lets the next one in. */
static void test_level(void)
{
	pin_set(PIN_LEVEL | LEVEL);
	out8(COM1_MCR, MCR_OUT2);
	inside = answer_com1;
	for (uint32_t i = 0; i < 3; i++) {
		out8(COM1_IER, 0);
		out8(COM1_IER, IER_THRE);
		window();
	}
	out8(COM1_IER, 0);
	expect(3, 0, "of level");
	out8(COM1_MCR, 0);
	pin_set(PIN_MASKED);
}

/* EOIs by the register while the word is set end one interrupt each, and the word counts for none that comes later. */
static void test_ignored(void)
{
	is_ignored = true;
	timers();
	expect(ROUNDS, 0, "with the word ignored");
	is_ignored = false;
	timers();
	expect(ROUNDS, ROUNDS, "and looked at again");
}

static void test_refusals(void)
{
	uint32_t registers[4];

	cpuid(CPUID_PARAVIRTUAL + 1, 0, registers);
	check((registers[0] & FEATURE_PV_EOI) != 0, "offered: features are %x", registers[0]);
	check(guest_catch(pv_eoi_set, (void *)((uint64_t)&word | 2 | ON), NULL) == GP,
	      "a reserved bit is refused");
	check(rdmsr(MSR_PV_EOI) == 0, "and nothing has changed");
	pv_eoi_set((void *)(0xf000000000ull | ON)); /* no RAM: as if it were off */
	check(rdmsr(MSR_PV_EOI) == (0xf000000000ull | ON), "it reads back");
	self_send(MIDDLE);
	window();
	expect(1, 0, "without RAM");
	turn_on(false);
}

void guest_main(const struct multiboot_info *info)
{
	(void)info;
	for (uint32_t i = 32; i < 255; i++) {
		guest_irq[i] = on_interrupt;
	}
	apic_enable();
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, TIMER);
	test_refusals();
	test_count();
	test_priorities();
	test_level();
	test_ignored();
	apic_write(APIC_LVT_TIMER, LVT_MASKED | TIMER);
	turn_on(false);
	guest_exit("pveoi");
}
