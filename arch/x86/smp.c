/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the other pCPUs one by one: INIT, startup IPI, trampoline, slot; then they wait until kernel/ is ready. SDM 3A 8.4, MP 1.4 B.4.
 * A pCPU that does not answer is put back into INIT, named in the log, and left out.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/hvm.h"
#include "arch/x86/reg/apic.h"
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define INIT_WAIT_US    200u
#define STARTUP_WAIT_US 100000u
#define STARTUP_TRIES   10u
#define NET_TICK_HZ     50u
#define XAPIC_ID_LAST   254u
#define PIT_GSI         2u /* as QEMU wires it */

extern const char trampoline_start[], trampoline_end[];

uint64_t smp_ap_stack; /* read by the trampoline of the pCPU being started */

/* set by the boot pCPU, looked at by the others after each interrupt */
static bool is_released;

static bool wait_online(const struct cpu *cpu, uint32_t us)
{
	uint64_t end = arch_tsc_read() + arch_tsc_hz / 1000000 * us;

	while (!__atomic_load_n(&cpu->is_online, __ATOMIC_ACQUIRE)) {
		if (arch_tsc_read() >= end) {
			return false;
		}
		__builtin_ia32_pause();
	}
	return true;
}

static bool cpu_start(struct cpu *cpu)
{
	smp_ap_stack = cpu->kernel_stack_top - sizeof(struct arch_frame);
	apic_ipi_send(cpu->apic_id, APIC_IPI_INIT | APIC_IPI_ASSERT | APIC_IPI_LEVEL);
	(void)wait_online(cpu, INIT_WAIT_US);
	for (uint32_t i = 0; i < STARTUP_TRIES; i++) {
		apic_ipi_send(cpu->apic_id, APIC_IPI_STARTUP | APIC_IPI_ASSERT |
		                                    memory_map_low_page >> PAGE_SHIFT);
		if (wait_online(cpu, STARTUP_WAIT_US)) {
			return true;
		}
	}
	apic_ipi_send(cpu->apic_id, APIC_IPI_INIT | APIC_IPI_ASSERT | APIC_IPI_LEVEL);
	log_print("cpu with APIC id %u does not start: left out", cpu->apic_id);
	return false;
}

void smp_start(uint32_t limit)
{
	uint32_t ignored = acpi.cpus_ignored;
	struct cpu *spare = NULL; /* a slot whose pCPU did not come */

	if (memory_map_low_page == 0) {
		log_print("no free page below 1 MiB: the other CPUs cannot be started");
		limit = 1;
	} else {
		memcpy(phys_to_virt(HPA(memory_map_low_page)), trampoline_start,
		       (size_t)(trampoline_end - trampoline_start));
	}
	for (uint32_t i = 0; i < acpi.cpus_count; i++) {
		uint32_t apic_id = acpi.apic_ids[i];

		if (apic_id == cpu_self()->apic_id) {
			continue;
		}
		if (cpus_count >= limit || (!apic_is_x2apic && apic_id > XAPIC_ID_LAST)) {
			ignored++;
			continue;
		}
		spare = spare != NULL ? spare : cpu_slot_create(cpus_count);
		spare->apic_id = apic_id;
		if (cpu_start(spare)) {
			cpus[cpus_count++] = spare;
			spare = NULL;
		}
	}
	log_print("%u CPUs run, %u left out (%s)", cpus_count, ignored,
	          apic_is_x2apic ? "x2APIC" : "xAPIC");
}

void smp_hvm_on(void)
{
	struct cpu *cpu = cpu_self();
	int error = hvm != NULL ? hvm->cpu_on(cpu) : BH_OK;

	if (error != BH_OK) {
		log_print(
			"cpu %u: virtualisation cannot be turned on (error %d): guests cannot run here",
			cpu->idx, error);
	}
}

void smp_ap_start(void)
{
	struct cpu *cpu = cpu_self();

	cpu_init(cpu);
	apic_cpu_init();
	__atomic_store_n(&cpu->is_online, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&is_released, __ATOMIC_ACQUIRE)) {
		arch_cpu_idle();
	}
	smp_hvm_on();
	arch_leave();
}

void smp_release(void)
{
	__atomic_store_n(&is_released, true, __ATOMIC_RELEASE);
	for (uint32_t i = 1; i < cpus_count; i++) {
		arch_cpu_notify(cpus[i]);
	}
	if (cpus_count > 1 && feature_is_tcg()) {
		time_pit_start(NET_TICK_HZ);
		ioapic_broadcast(PIT_GSI, VECTOR_NET);
	}
}

void arch_cpus_stop_others(void)
{
	for (uint32_t i = 0; i < cpus_count; i++) {
		if (cpus[i] != cpu_self()) {
			__atomic_or_fetch(&cpus[i]->work, CPU_WORK_STOP, __ATOMIC_RELEASE);
			cpus[i]->is_online = false; /* nobody waits for it any more */
		}
	}
	if (cpus_count > 1) {
		apic_ipi_send(0, APIC_IPI_NMI | APIC_IPI_ASSERT | APIC_IPI_OTHERS);
	}
}

void arch_cpu_stop(void)
{
	for (;;) {
		__asm__ volatile("cli\n\thlt" : : : "memory");
	}
}

void arch_reset(void)
{
	static const struct table_pointer none = { 0, 0 };

	__asm__ volatile("lidt %0\n\tint3" : : "m"(none));
	arch_cpu_stop();
}
