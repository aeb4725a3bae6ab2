/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the TSC runs: from the CPU (CPUID 15h, 16h), or measured against the 8254; then the local APIC's countdown, measured by the TSC.
 * SDM 3B 18.7.3; 8254 data sheet.
 */
#include "arch/x86/asm.h"
#include "arch/x86/start.h"
#include "kernel/object.h"

#define MEASURE_US             20000u  /* 42 ppm at the rate of the 8254 */
#define MEASURE_TRIES_MAX      200000u /* reads of a clock that stands still */
#define SAMPLE_TRIES           8u

#define PIT_HZ                 1193182u
#define PIT_CHANNEL0           0x40u
#define PIT_CHANNEL2           0x42u
#define PIT_COMMAND            0x43u
#define PIT_CHANNEL0_RATE      0x34u /* channel 0, low then high byte, mode 2 */
#define PIT_CHANNEL2_ONESHOT   0xb0u /* channel 2, low then high byte, mode 0 */
#define PIT_LATCH_CHANNEL2     0x80u
#define SYSTEM_CONTROL_GATE2   0x01u
#define SYSTEM_CONTROL_SPEAKER 0x02u

uint64_t arch_tsc_hz;

/* Counts up. */
static uint32_t pit_read(void)
{
	uint32_t low;

	port_write8(PIT_COMMAND, PIT_LATCH_CHANNEL2);
	low = port_read8(PIT_CHANNEL2);
	return 0xffff - (low | (uint32_t)port_read8(PIT_CHANNEL2) << 8);
}

static void pit_start(void)
{
	uint8_t control = port_read8(PORT_SYSTEM_CONTROL) & (uint8_t)~SYSTEM_CONTROL_SPEAKER;

	port_write8(PORT_SYSTEM_CONTROL, control | SYSTEM_CONTROL_GATE2);
	port_write8(PIT_COMMAND, PIT_CHANNEL2_ONESHOT);
	port_write8(PIT_CHANNEL2, 0xff);
	port_write8(PIT_CHANNEL2, 0xff);
}

struct sample {
	uint64_t tsc;
	uint32_t value;
};

/*
 * A counter's value and the TSC at the same moment. Of a few tries the one that took the least time: under an emulator the host may take
 * the CPU away between the reads, on hardware an SMI may.
 */
static struct sample sample_take(uint32_t (*read)(void))
{
	struct sample best = { 0, 0 };
	uint64_t best_ticks = ~0ull;

	for (uint32_t i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = arch_tsc_read();
		uint32_t value = read();
		uint64_t ticks = arch_tsc_read() - before;

		if (ticks < best_ticks) {
			best_ticks = ticks;
			best = (struct sample){ before + ticks / 2, value };
		}
	}
	return best;
}

/* TSC ticks in a second by a counter that wraps at `mask`; 0 if it stands still. */
static uint64_t tsc_measure(uint32_t (*read)(void), uint64_t hz, uint32_t mask)
{
	struct sample start = sample_take(read), end;
	uint32_t ticks = 0;

	for (uint32_t i = 0; ticks < hz * MEASURE_US / 1000000; i++) {
		if (ticks == 0 && i == MEASURE_TRIES_MAX) {
			return 0;
		}
		ticks = (read() - start.value) & mask;
	}
	end = sample_take(read);
	ticks = (end.value - start.value) & mask;
	return ticks != 0 ? (end.tsc - start.tsc) * hz / ticks : 0;
}

/*
 * What the CPU itself says; 0 = nothing. Where it does not know its crystal, the TSC runs at the base frequency (leaf 16h), as on all CPUs
 * that have that leaf.
 */
static uint64_t tsc_from_cpuid(void)
{
	uint32_t last = cpuid_read(0, 0).eax;
	struct cpuid_result r = cpuid_read(0x15, 0);

	if (last >= 0x15 && r.eax != 0 && r.ecx != 0) {
		return (uint64_t)r.ecx * r.ebx / r.eax;
	}
	return last >= 0x16 ? (cpuid_read(0x16, 0).eax & 0xffff) * 1000000ull : 0;
}

void time_init(void)
{
	const char *how = "CPUID";
	struct sample start, end;

	arch_tsc_hz = tsc_from_cpuid();
	if (arch_tsc_hz == 0) {
		how = "8254";
		pit_start();
		arch_tsc_hz = tsc_measure(pit_read, PIT_HZ, 0xffff);
	}
	if (arch_tsc_hz == 0) {
		panic("no clock to measure the TSC by: neither CPUID nor the 8254 tells");
	}
	if (!apic_has_deadline) {
		apic_timer_count_start();
		start = sample_take(apic_timer_count_elapsed);
		while (arch_tsc_read() - start.tsc < arch_tsc_hz / 1000000 * MEASURE_US / 4) {
			__builtin_ia32_pause();
		}
		end = sample_take(apic_timer_count_elapsed);
		apic_timer_set_rate(end.value - start.value, end.tsc - start.tsc);
	}
	log_print("TSC %lu kHz (%s), timer: %s", arch_tsc_hz / 1000, how,
	          apic_has_deadline ? "TSC deadline" : "local APIC");
}

void time_pit_start(uint32_t hz)
{
	uint32_t divisor = PIT_HZ / hz;

	port_write8(PIT_COMMAND, PIT_CHANNEL0_RATE);
	port_write8(PIT_CHANNEL0, (uint8_t)divisor);
	port_write8(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
}
