/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC: xAPIC by memory, x2APIC by MSR, the latter where the CPU has it. One timer shot at a time: TSC deadline where there is
 * one, else the countdown. Interrupt handlers here only end the interrupt and set work bits. SDM 3A 11.4-11.12.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/ptable.h"
#include "arch/x86/reg/apic.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/trace.h"

#define IPI_WAIT_LOOPS 1000000u

bool apic_is_x2apic, apic_has_deadline;

static volatile uint32_t *registers;
static uint64_t ticks_per_tsc;           /* 32.32 fixed point: countdown ticks in one TSC tick */
static uint64_t wanted_tsc[BH_MAX_CPUS]; /* what arch_timer_set asked for; own pCPU only */

static uint32_t apic_read(uint32_t reg)
{
	return apic_is_x2apic ? (uint32_t)msr_read(MSR_X2APIC + reg / 16) : registers[reg / 4];
}

static void apic_write(uint32_t reg, uint32_t value)
{
	if (apic_is_x2apic) {
		msr_write(MSR_X2APIC + reg / 16, value);
	} else {
		registers[reg / 4] = value;
	}
}

void apic_init(void)
{
	uint64_t adjust;

	apic_is_x2apic = feature_has(FEATURE_X2APIC);
	if (!apic_is_x2apic) {
		registers = memory_window(HPA(msr_read(MSR_APIC_BASE) & APIC_BASE_ADDRESS),
		                          PAGE_SIZE, PTABLE_WRITE | PTABLE_UNCACHED);
		CHECK(registers != NULL);
	}
	/* After a reset Bochs compares deadlines with the TSC before its adjustment, and each one fires at once for ever. */
	apic_has_deadline = feature_has(FEATURE_TSC_DEADLINE) &&
	                    (msr_read_safe(MSR_TSC_ADJUST, &adjust) != BH_OK || adjust == 0);
}

/* Bring IA32_APIC_BASE into our mode; from x2APIC back to xAPIC only through "disabled" (SDM 3A 11.12.5). */
static void apic_mode_load(void)
{
	uint64_t msr = msr_read(MSR_APIC_BASE);

	if (!apic_is_x2apic && (msr & APIC_BASE_X2APIC)) {
		msr &= ~(uint64_t)(APIC_BASE_X2APIC | APIC_BASE_ENABLE);
		msr_write(MSR_APIC_BASE, msr);
	}
	msr |= APIC_BASE_ENABLE;
	msr_write(MSR_APIC_BASE, msr);
	if (apic_is_x2apic) {
		msr_write(MSR_APIC_BASE, msr | APIC_BASE_X2APIC);
	}
}

void apic_cpu_init(void)
{
	apic_mode_load();
	apic_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	/* What firmware has left open in an I/O APIC is not to be heard before that is masked. */
	apic_write(APIC_TPR, cpu_self()->idx == 0 ? VECTOR_GSI_LAST : 0);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
	apic_write(APIC_LVT_LINT1, APIC_LVT_NMI);
	apic_write(APIC_LVT_ERROR, VECTOR_ERROR);
	apic_write(APIC_TIMER_INITIAL, 0);
	apic_write(APIC_TIMER_DIVIDE, APIC_TIMER_DIVIDE_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER | (apic_has_deadline ? APIC_LVT_TIMER_DEADLINE
	                                                             : APIC_LVT_TIMER_ONE_SHOT));
	/* The LVT write must be seen before the first deadline (SDM 3A 11.5.4.1). */
	__asm__ volatile("mfence" : : : "memory");
	wanted_tsc[cpu_self()->idx] = BH_FOREVER;
}

void apic_accept_all(void)
{
	apic_write(APIC_TPR, 0);
}

uint32_t apic_id_read(void)
{
	uint32_t id = apic_read(APIC_ID);

	return apic_is_x2apic ? id : id >> 24;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_ipi_send(uint32_t apic_id, uint32_t icr_low)
{
	if (apic_is_x2apic) {
		/* x2APIC writes are not ordered with earlier stores: the target must see what the IPI is about. */
		__asm__ volatile("mfence\n\tlfence" : : : "memory");
		msr_write(MSR_X2APIC + APIC_ICR / 16, (uint64_t)apic_id << 32 | icr_low);
		return;
	}
	for (uint32_t i = 0; i < IPI_WAIT_LOOPS && (apic_read(APIC_ICR) & APIC_IPI_PENDING); i++) {
		__builtin_ia32_pause();
	}
	apic_write(APIC_ICR_HIGH, apic_id << 24);
	apic_write(APIC_ICR, icr_low);
}

/* ---- timer ---- */

void apic_timer_count_start(void)
{
	apic_write(APIC_TIMER_INITIAL, ~0u);
}

uint32_t apic_timer_count_elapsed(void)
{
	return ~0u - apic_read(APIC_TIMER_CURRENT);
}

void apic_timer_set_rate(uint64_t ticks, uint64_t tsc)
{
	apic_write(APIC_TIMER_INITIAL, 0);
	ticks_per_tsc = (ticks << 32) / tsc;
}

void arch_timer_set(uint64_t tsc)
{
	uint64_t now = arch_tsc_read(), ticks = 0;

	wanted_tsc[cpu_self()->idx] = tsc;
	if (apic_has_deadline) {
		/* Zero would disarm. */
		msr_write(MSR_TSC_DEADLINE, tsc == BH_FOREVER ? 0 : tsc | (tsc == 0));
		return;
	}
	if (tsc != BH_FOREVER) {
		/* Too long for the counter: it fires early and timer_check() arms the rest. */
		ticks = tsc > now ? tsc - now : 0;
		ticks = ticks < BIT(40)
		                ? (uint64_t)(((unsigned __int128)ticks * ticks_per_tsc) >> 32)
		                : ~0u;
		ticks = ticks < ~0u ? ticks + 1 : ~0u;
	}
	apic_write(APIC_TIMER_INITIAL, (uint32_t)ticks);
}

/*
 * Also on the net's tick: QEMU's multi-threaded TCG may lose an interrupt that arrives during a world switch. A slow tick to all pCPUs (smp.c starts
 * it, there only) makes the local APIC deliver what it still holds; a timer shot that got lost for good is made up for here.
 */
static void timer_check(struct cpu *cpu, bool has_fired)
{
	uint64_t wanted = wanted_tsc[cpu->idx];

	if (wanted == BH_FOREVER) {
		return;
	}
	if (arch_tsc_read() >= wanted) {
		wanted_tsc[cpu->idx] = BH_FOREVER;
		__atomic_or_fetch(&cpu->work, CPU_WORK_TIMER, __ATOMIC_RELAXED);
	} else if (has_fired) {
		arch_timer_set(wanted);
	}
}

/* ---- interrupts ---- */

void apic_interrupt(uint32_t vector)
{
	struct cpu *cpu = cpu_self();

	trace(BH_TRACE_INTERRUPT, 0, vector);
	if (vector >= VECTOR_GSI_FIRST && vector <= VECTOR_GSI_LAST) {
		cpu->stats->interrupts[BH_CPU_INTERRUPT_DEVICE]++;
		interrupt_fired(vector - VECTOR_GSI_FIRST); /* masks the pin: before the EOI */
		apic_eoi();
		return;
	}
	switch (vector) {
	case VECTOR_TIMER:
		cpu->stats->interrupts[BH_CPU_INTERRUPT_TIMER]++;
		apic_eoi();
		timer_check(cpu, true);
		break;
	case VECTOR_POSTED: /* not in the guest any more: the request word says it, too */
	case VECTOR_NOTIFY:
		cpu->stats->interrupts[BH_CPU_INTERRUPT_NOTIFY]++;
		apic_eoi();
		break;
	case VECTOR_NET:
		apic_eoi();
		timer_check(cpu, false);
		break;
	case VECTOR_ERROR:
		apic_write(APIC_ESR, 0);
		log_print_limited("cpu %u: local APIC error %x", cpu->idx, apic_read(APIC_ESR));
		apic_eoi();
		break;
	default:
		/* Spurious (APIC or PIC): not in service, so no EOI. */
		break;
	}
}

void arch_cpu_notify(struct cpu *cpu)
{
	apic_ipi_send(cpu->apic_id, APIC_IPI_FIXED | APIC_IPI_ASSERT | VECTOR_NOTIFY);
}

void arch_cpu_post(struct cpu *cpu)
{
	apic_ipi_send(cpu->apic_id, APIC_IPI_FIXED | APIC_IPI_ASSERT | VECTOR_POSTED);
}

void arch_interrupts_poll(void)
{
	__asm__ volatile("sti\n\tnop\n\tcli" : : : "memory");
}
