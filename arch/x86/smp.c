/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the other pCPUs, one at a time and when root says so: INIT, startup IPI, trampoline, slot. SDM 3A 8.4, MP 1.4 B.4. A pCPU that
 * does not answer is put back into INIT.
 */
#include "arch/x86/asm.h"
#include "arch/x86/hvm.h"
#include "arch/x86/reg/apic.h"
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define INIT_WAIT_US    200u
#define STARTUP_WAIT_US 100000u
#define STARTUP_TRIES   10u
#define XAPIC_ID_LAST   254u

extern const char trampoline_start[], trampoline_end[];

uint64_t smp_ap_stack; /* read by the trampoline of the pCPU being started */

static struct cpu *spare; /* a slot whose pCPU did not come */

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

static bool cpu_wake(const struct cpu *cpu)
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
	return false;
}

int arch_cpu_start(uint32_t apic_id)
{
	for (uint32_t i = 0; i < cpus_count; i++) {
		if (cpus[i]->apic_id == apic_id) {
			return BH_ERR_EXISTS;
		}
	}
	if (cpus_count == BH_MAX_CPUS) {
		return BH_ERR_LIMIT;
	}
	if (memory_map_low_page == 0 || (!apic_is_x2apic && apic_id > XAPIC_ID_LAST)) {
		return BH_ERR_UNSUPPORTED;
	}
	memcpy(phys_to_virt(HPA(memory_map_low_page)), trampoline_start,
	       (size_t)(trampoline_end - trampoline_start));
	spare = spare != NULL ? spare : cpu_slot_create(cpus_count);
	spare->apic_id = apic_id;
	sched_cpu_init(spare);
	if (!cpu_wake(spare)) {
		return BH_ERR_TIMEOUT;
	}
	cpus[cpus_count] = spare;
	__atomic_store_n(&cpus_count, cpus_count + 1, __ATOMIC_RELEASE);
	spare = NULL;
	return BH_OK;
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
	smp_hvm_on();
	__atomic_store_n(&cpu->is_online, true, __ATOMIC_RELEASE);
	arch_leave();
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
