/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the TSC runs: from the CPU (CPUID 15h), from a hypervisor (leaf 40000010h), or measured against HPET, ACPI timer or 8254, in
 * that order. The local APIC's countdown is measured in the same few milliseconds. SDM 3B 18.7.3; HPET 1.0a 2.3; ACPI 6.4 4.8.3.3; 8254 data sheet.
 */
#include "arch/x86/time.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/start.h"
#include "kernel/object.h"

#define MEASURE_US               4000u
#define SAMPLE_TRIES             8u
#define MEASURE_TRIES_MAX        200000000u /* reads without progress: the clock stands still */

#define HPET_CAPABILITIES_PERIOD 0x04 /* femtoseconds in a tick */
#define HPET_CONFIG              0x10
#define HPET_CONFIG_ENABLE       1u
#define HPET_COUNTER             0xf0
#define HPET_PERIOD_MAX_FS       100000000u

#define PM_TIMER_HZ              3579545u
#define PIT_HZ                   1193182u
#define PIT_CHANNEL0             0x40u
#define PIT_CHANNEL2             0x42u
#define PIT_COMMAND              0x43u
#define PIT_CHANNEL0_RATE        0x34u /* channel 0, low then high byte, mode 2 */
#define PIT_CHANNEL2_ONESHOT     0xb0u /* channel 2, low then high byte, mode 0 */
#define PIT_LATCH_CHANNEL2       0x80u
#define PORT_SYSTEM_CONTROL      0x61u
#define SYSTEM_CONTROL_GATE2     0x01u
#define SYSTEM_CONTROL_SPEAKER   0x02u

/* A clock to measure by: a counter that goes up (or down) and wraps at `mask`. */
struct reference {
	const char *name;
	uint32_t (*read)(void);
	uint32_t mask;
	uint64_t hz;
	bool is_down;
};

uint64_t arch_tsc_hz;

static volatile uint32_t *hpet;

static uint32_t hpet_read(void)
{
	return hpet[HPET_COUNTER / 4];
}

static uint32_t pm_timer_read(void)
{
	return port_read32(acpi.pm_timer_port);
}

static uint32_t pit_read(void)
{
	uint32_t low;

	port_write8(PIT_COMMAND, PIT_LATCH_CHANNEL2);
	low = port_read8(PIT_CHANNEL2);
	return low | (uint32_t)port_read8(PIT_CHANNEL2) << 8;
}

static bool hpet_open(struct reference *reference)
{
	uint32_t period_fs;

	hpet = acpi.hpet_base != 0 ? device_map(HPA(acpi.hpet_base), PAGE_SIZE) : NULL;
	period_fs = hpet != NULL ? hpet[HPET_CAPABILITIES_PERIOD / 4] : 0;
	if (period_fs == 0 || period_fs > HPET_PERIOD_MAX_FS) {
		return false;
	}
	hpet[HPET_CONFIG / 4] |= HPET_CONFIG_ENABLE;
	*reference = (struct reference){ "HPET", hpet_read, ~0u, 1000000000000000ull / period_fs,
		                         false };
	return true;
}

static void pit_open(struct reference *reference)
{
	uint8_t control = port_read8(PORT_SYSTEM_CONTROL);

	port_write8(PORT_SYSTEM_CONTROL,
	            (uint8_t)((control & ~SYSTEM_CONTROL_SPEAKER) | SYSTEM_CONTROL_GATE2));
	port_write8(PIT_COMMAND, PIT_CHANNEL2_ONESHOT);
	port_write8(PIT_CHANNEL2, 0xff);
	port_write8(PIT_CHANNEL2, 0xff);
	*reference = (struct reference){ "8254", pit_read, 0xffff, PIT_HZ, true };
}

/* A counter and the TSC at the same moment. */
struct sample {
	uint64_t tsc;
	uint32_t value;
};

/*
 * Of a few tries the one that took the least time: under an emulator the host may take the CPU
 * away between the two reads, on hardware an SMI may.
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

static uint32_t reference_ticks(const struct reference *reference, uint32_t start, uint32_t end)
{
	return (reference->is_down ? start - end : end - start) & reference->mask;
}

/* Wait until the reference has moved by `wanted`. False: it does not move. */
static bool reference_wait(const struct reference *reference, uint32_t start, uint32_t wanted)
{
	uint32_t ticks = 0;

	for (uint32_t i = 0; ticks < wanted; i++) {
		if (i == MEASURE_TRIES_MAX || (ticks == 0 && i == MEASURE_TRIES_MAX / 1000)) {
			return false;
		}
		ticks = reference_ticks(reference, start, reference->read());
	}
	return true;
}

/* Count TSC and APIC ticks while the reference passes MEASURE_US. False: it does not move. */
static bool reference_measure(const struct reference *reference, uint64_t *tsc_hz,
                              uint64_t *apic_hz)
{
	struct sample start, end, apic_start, apic_end;
	uint32_t ticks;

	apic_timer_count_start();
	start = sample_take(reference->read);
	apic_start = sample_take(apic_timer_count_elapsed);
	if (!reference_wait(reference, start.value,
	                    (uint32_t)(reference->hz * MEASURE_US / 1000000))) {
		return false;
	}
	end = sample_take(reference->read);
	apic_end = sample_take(apic_timer_count_elapsed);
	ticks = reference_ticks(reference, start.value, end.value);
	if (ticks == 0 || apic_end.tsc <= apic_start.tsc) {
		return false;
	}
	*tsc_hz = (uint64_t)((unsigned __int128)(end.tsc - start.tsc) * reference->hz / ticks);
	*apic_hz = (uint64_t)((unsigned __int128)(apic_end.value - apic_start.value) * *tsc_hz /
	                      (apic_end.tsc - apic_start.tsc));
	return true;
}

static bool reference_use(const struct reference *reference, uint64_t *tsc_hz, uint64_t *apic_hz,
                          const char **how)
{
	if (!reference_measure(reference, tsc_hz, apic_hz)) {
		log_print("the %s stands still: not used", reference->name);
		return false;
	}
	*how = reference->name;
	return true;
}

static bool references_try(uint64_t *tsc_hz, uint64_t *apic_hz, const char **how)
{
	struct reference reference;

	if (hpet_open(&reference) && reference_use(&reference, tsc_hz, apic_hz, how)) {
		return true;
	}
	if (acpi.pm_timer_port != 0) {
		reference = (struct reference){ "ACPI timer", pm_timer_read, GENMASK(23, 0),
			                        PM_TIMER_HZ, false };
		if (reference_use(&reference, tsc_hz, apic_hz, how)) {
			return true;
		}
	}
	pit_open(&reference);
	return reference_use(&reference, tsc_hz, apic_hz, how);
}

/* What the CPU itself or a hypervisor under us says; 0 = nothing. */
static uint64_t cpuid_tsc_hz(const char **how)
{
	struct cpuid_result r;

	if (cpuid_read(0, 0).eax >= 0x15) {
		r = cpuid_read(0x15, 0);
		if (r.eax != 0 && r.ebx != 0 && r.ecx != 0) {
			*how = "CPUID 15h";
			return (uint64_t)r.ecx * r.ebx / r.eax;
		}
	}
	if ((cpuid_read(1, 0).ecx >> 31) && cpuid_read(0x40000000u, 0).eax >= 0x40000010u) {
		r = cpuid_read(0x40000010u, 0);
		if (r.eax != 0) {
			*how = "hypervisor leaf";
			return (uint64_t)r.eax * 1000;
		}
	}
	return 0;
}

void time_init(void)
{
	const char *how = NULL;
	uint64_t measured_hz = 0, apic_hz = 0;

	arch_tsc_hz = cpuid_tsc_hz(&how);
	if (arch_tsc_hz == 0 || !apic_timer_has_deadline()) {
		const char *reference_how = NULL;

		if (!references_try(&measured_hz, &apic_hz, &reference_how)) {
			panic("no clock to measure the TSC by: HPET, ACPI timer and 8254 do not run");
		}
		if (arch_tsc_hz == 0) {
			arch_tsc_hz = measured_hz;
			how = reference_how;
		}
	}
	apic_timer_set_rate(apic_hz);
	log_print("TSC %lu kHz (%s), timer: %s", arch_tsc_hz / 1000, how,
	          apic_timer_has_deadline() ? "TSC deadline" : "local APIC");
}

void time_pit_start(uint32_t hz)
{
	uint32_t divisor = PIT_HZ / hz;

	port_write8(PIT_COMMAND, PIT_CHANNEL0_RATE);
	port_write8(PIT_CHANNEL0, (uint8_t)divisor);
	port_write8(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
}
