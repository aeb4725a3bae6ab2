/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's registers, interrupts to oneself, to another processor, by the timer, and the wake from HLT. `wake.*` uses the x2APIC
 * where the CPU has it, as Linux does under a hypervisor; `wake.*.xapic` is the same by memory-mapped registers.
 */
#include "guests/bench/bench.h"

#define TIMER_VECTOR    0x41u
#define SELF_VECTOR     0x42u
#define CROSS_VECTOR    0x43u
#define TIMER_COUNT     1u
#define LATENCY_TICKS   1000000u
#define AP_WAIT         50000000ull

#define MSR_APIC_BASE   0x1bu
#define APIC_BASE_X2    (1u << 10)
#define X2APIC_FIRST    0x800u
#define X2APIC_SELF_IPI 0x83fu
#define CPUID_X2APIC    (1u << 21)
#define ICR_ASSERT      0x4000u
#define ICR_SELF        0x40000u
#define DIVIDE_BY_1     0xbu

struct gate {
	uint16_t offset_low, selector, type, offset_middle;
	uint32_t offset_high, reserved;
};

static volatile uint32_t cross_wakes;
static volatile bool is_cross_x2apic;
extern volatile uint32_t bench_wakes; /* handlers.S counts here */
volatile uint32_t bench_wakes;

void bench_wake_xapic(void);
void bench_wake_x2apic(void);

static inline uint64_t x2apic_read(uint32_t offset)
{
	return rdmsr(X2APIC_FIRST + offset / 16);
}

static inline void x2apic_write(uint32_t offset, uint64_t value)
{
	wrmsr(X2APIC_FIRST + offset / 16, value);
}

static inline void wait_change(volatile uint32_t *count, uint32_t before)
{
	while (*count == before) {
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
}

/* Our handler right at the gate of a vector, past the common one that saves all registers (SDM 3A figure 6-8). */
static void gate_set(uint32_t vector, void (*handler)(void))
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) idt;
	uint64_t address = (uint64_t)handler;
	struct gate *gate;

	__asm__ volatile("sidt %0" : "=m"(idt));
	gate = (struct gate *)idt.base + vector;
	gate->offset_low = (uint16_t)address;
	gate->offset_middle = (uint16_t)(address >> 16);
	gate->offset_high = (uint32_t)(address >> 32);
}

static void gates_set(void (*handler)(void))
{
	gate_set(TIMER_VECTOR, handler);
	gate_set(SELF_VECTOR, handler);
}

static inline void xapic_self_ipi(void)
{
	uint32_t before = bench_wakes;

	apic_write(APIC_ICR_LOW, ICR_SELF | ICR_ASSERT | SELF_VECTOR);
	wait_change(&bench_wakes, before);
}

/* Taken at once, by a guest that runs. */
static inline void xapic_self_ipi_running(void)
{
	apic_write(APIC_ICR_LOW, ICR_SELF | ICR_ASSERT | SELF_VECTOR);
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

static inline void xapic_timer(void)
{
	uint32_t before = bench_wakes;

	apic_write(APIC_TIMER_INITIAL, TIMER_COUNT);
	wait_change(&bench_wakes, before);
}

static inline void x2apic_self_ipi(void)
{
	uint32_t before = bench_wakes;

	x2apic_write(APIC_ICR_LOW, ICR_SELF | ICR_ASSERT | SELF_VECTOR);
	wait_change(&bench_wakes, before);
}

static inline void x2apic_self_ipi_running(void)
{
	x2apic_write(APIC_ICR_LOW, ICR_SELF | ICR_ASSERT | SELF_VECTOR);
	__asm__ volatile("sti; nop; cli" : : : "memory");
}

static inline void x2apic_timer(void)
{
	uint32_t before = bench_wakes;

	x2apic_write(APIC_TIMER_INITIAL, TIMER_COUNT);
	wait_change(&bench_wakes, before);
}

/* A timer far ahead: what the wake costs once it is due. The loop's figure has LATENCY_TICKS on top. */
static inline void xapic_timer_late(void)
{
	uint32_t before = bench_wakes;

	apic_write(APIC_TIMER_INITIAL, LATENCY_TICKS);
	wait_change(&bench_wakes, before);
}

static inline void x2apic_timer_late(void)
{
	uint32_t before = bench_wakes;

	x2apic_write(APIC_TIMER_INITIAL, LATENCY_TICKS);
	wait_change(&bench_wakes, before);
}

/* One interrupt that wakes the other processor, and its answer that wakes this one. */
static inline void xapic_cross(void)
{
	uint32_t before = cross_wakes;

	apic_write(APIC_ICR_HIGH, 1u << 24);
	apic_write(APIC_ICR_LOW, ICR_ASSERT | CROSS_VECTOR);
	wait_change(&cross_wakes, before);
}

BENCH_LOOP(run_xapic_read, apic_read(APIC_ID))
BENCH_LOOP(run_xapic_write, apic_write(APIC_SPURIOUS, 0x1ff))
BENCH_LOOP(run_xapic_eoi, apic_write(APIC_EOI, 0))
BENCH_LOOP(run_xapic_self_ipi, xapic_self_ipi())
BENCH_LOOP(run_xapic_self_ipi_running, xapic_self_ipi_running())
BENCH_LOOP(run_xapic_timer, xapic_timer())
static inline void x2apic_cross(void)
{
	uint32_t before = cross_wakes;

	x2apic_write(APIC_ICR_LOW, 1ull << 32 | ICR_ASSERT | CROSS_VECTOR);
	wait_change(&cross_wakes, before);
}

BENCH_LOOP(run_x2apic_cross, x2apic_cross())
BENCH_LOOP(run_xapic_timer_late, xapic_timer_late())
BENCH_LOOP(run_x2apic_timer_late, x2apic_timer_late())
BENCH_LOOP(run_xapic_cross, xapic_cross())
BENCH_LOOP(run_x2apic_read, x2apic_read(APIC_ID))
BENCH_LOOP(run_x2apic_write, x2apic_write(APIC_SPURIOUS, 0x1ff))
BENCH_LOOP(run_x2apic_eoi, x2apic_write(APIC_EOI, 0))
BENCH_LOOP(run_x2apic_self_ipi, x2apic_self_ipi())
BENCH_LOOP(run_x2apic_self_ipi_running, x2apic_self_ipi_running())
BENCH_LOOP(run_x2apic_timer, x2apic_timer())

const struct bench_figure bench_xapic[] = {
	{ "exit.xapic-read", run_xapic_read },
	{ "exit.xapic-write", run_xapic_write },
	{ "exit.xapic-eoi", run_xapic_eoi },
	{ "exit.self-ipi.xapic", run_xapic_self_ipi_running },
	{ "wake.self-ipi.xapic", run_xapic_self_ipi },
	{ "wake.timer.xapic", run_xapic_timer },
	{ NULL, NULL },
};

const struct bench_figure bench_cross[] = {
	{ "wake.cross-ipi.xapic", run_xapic_cross },
	{ NULL, NULL },
};

const struct bench_figure bench_cross_x2apic[] = {
	{ "wake.cross-ipi", run_x2apic_cross },
	{ NULL, NULL },
};

const struct bench_figure bench_cross_x2apic_missing[] = {
	{ "wake.cross-ipi", run_xapic_cross },
	{ NULL, NULL },
};

const struct bench_figure bench_x2apic[] = {
	{ "exit.x2apic-read", run_x2apic_read },
	{ "exit.x2apic-write", run_x2apic_write },
	{ "exit.x2apic-eoi", run_x2apic_eoi },
	{ "exit.self-ipi", run_x2apic_self_ipi_running },
	{ "wake.self-ipi", run_x2apic_self_ipi },
	{ "wake.timer", run_x2apic_timer },
	{ "latency.timer", run_x2apic_timer_late },
	{ NULL, NULL },
};

/* The same figures by the only APIC there is. */
const struct bench_figure bench_x2apic_missing[] = {
	{ "exit.self-ipi", run_xapic_self_ipi_running },
	{ "wake.self-ipi", run_xapic_self_ipi },
	{ "wake.timer", run_xapic_timer },
	{ "latency.timer", run_xapic_timer_late },
	{ NULL, NULL },
};

bool bench_x2apic_enable(void)
{
	uint32_t registers[4];

	cpuid(1, 0, registers);
	if ((registers[2] & CPUID_X2APIC) == 0) {
		return false;
	}
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	gates_set(bench_wake_x2apic);
	return true;
}

static bool is_x2apic_on(void)
{
	return (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2) != 0;
}

static void on_cross(struct trap_frame *frame)
{
	(void)frame;
	cross_wakes++;
	if (guest_eoi_by_word()) {
		return;
	}
	if (is_cross_x2apic) {
		x2apic_write(APIC_EOI, 0);
	} else {
		apic_write(APIC_EOI, 0);
	}
}

/* On the second processor: answer each interrupt with one to the first, in the way that the first has turned to. */
static void on_cross_second(struct trap_frame *frame)
{
	(void)frame;
	if (!is_cross_x2apic) {
		apic_write(APIC_EOI, 0);
		apic_write(APIC_ICR_HIGH, 0);
		apic_write(APIC_ICR_LOW, ICR_ASSERT | (CROSS_VECTOR + 1));
		return;
	}
	if (cross_wakes == 0 && !is_x2apic_on()) {
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	}
	x2apic_write(APIC_EOI, 0);
	x2apic_write(APIC_ICR_LOW, ICR_ASSERT | (CROSS_VECTOR + 1));
}

void bench_cross_turn(void)
{
	cross_wakes = 0;
	is_cross_x2apic = is_x2apic_on();
}

void ap_main(uint32_t apic_id)
{
	(void)apic_id;
	for (;;) {
		__asm__ volatile("sti; hlt" : : : "memory");
	}
}

bool bench_start_others(uint32_t count)
{
	guest_irq[CROSS_VECTOR] = on_cross_second;
	guest_irq[CROSS_VECTOR + 1] = on_cross;
	return smp_start(count, AP_WAIT) >= count;
}

void bench_interrupts_init(void)
{
	gates_set(bench_wake_xapic);
	apic_enable();
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
}
