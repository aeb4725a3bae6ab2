/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of each primitive in TSC ticks; under instruction counting a tick is an instruction. One line a figure:
 *     bench NAME MIN MEDIAN MAX
 * per operation, of ROUNDS rounds of BATCH operations; the cost of the empty loop is taken off. Runs unchanged bare, on Bulkhead
 * and on other hypervisors: what a machine does not have ends in a fault, which is caught and printed as `-`.
 */
#include "guests/lib/guest.h"

#define ROUNDS            9u
#define BATCH             64u
#define PORT_SWALLOWED    0x80
#define PORT_UART_SCRATCH 0x3ff
#define PORT_UNCLAIMED    0x1234
#define TIMER_VECTOR      0x41u
#define SELF_VECTOR       0x42u

static uint64_t empty_cost;
static bool is_amd;
static volatile uint32_t wakes;
static uint8_t untouched[ROUNDS * BATCH][4096] __attribute__((aligned(4096)));
static uint32_t untouched_next;

#define LOOP(name, ...)                                \
	static void name(void *argument)               \
	{                                              \
		(void)argument;                        \
		for (uint32_t i = 0; i < BATCH; i++) { \
			__VA_ARGS__;                   \
			__asm__ volatile("");          \
		}                                      \
	}

static void hypercall(void)
{
	uint64_t rax = 0x7fffffff;

	if (is_amd) {
		__asm__ volatile("vmmcall" : "+a"(rax) : : "memory");
	} else {
		__asm__ volatile("vmcall" : "+a"(rax) : : "memory");
	}
}

static void touch_next(void)
{
	*(volatile uint8_t *)untouched[untouched_next++ % (ROUNDS * BATCH)] = 1;
}

static void cr3_reload(void)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}

static void cr0_wp_toggle(void)
{
	uint64_t cr0;

	__asm__ volatile("mov %%cr0, %0; xor $0x10000, %0; mov %0, %%cr0"
	                 : "=&r"(cr0)
	                 :
	                 : "memory");
}

static void cpuid_once(void)
{
	uint32_t registers[4];

	cpuid(0, 0, registers);
}

static void wait_interrupt(void)
{
	uint32_t before = wakes;

	while (wakes == before) {
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
}

static void self_ipi(void)
{
	apic_write(APIC_ICR_LOW, 0x44000 | SELF_VECTOR);
	wait_interrupt();
}

static void timer_wake(void)
{
	apic_write(APIC_TIMER_INITIAL, 100);
	wait_interrupt();
}

static void on_wake(struct trap_frame *frame)
{
	(void)frame;
	wakes++;
	apic_write(APIC_EOI, 0);
}

LOOP(run_empty, (void)0)
LOOP(run_port_write_kernel, out8(PORT_SWALLOWED, 0))
LOOP(run_port_write_vmm, out8(PORT_UART_SCRATCH, 0))
LOOP(run_port_read_vmm, in8(PORT_UART_SCRATCH))
LOOP(run_unclaimed, out8(PORT_UNCLAIMED, 0))
LOOP(run_hypercall, hypercall())
LOOP(run_cpuid, cpuid_once())
LOOP(run_rdmsr, rdmsr(0x1b))
LOOP(run_rdmsr_owned, rdmsr(0xc0000100))
LOOP(run_wrmsr_owned, wrmsr(0xc0000101, 0))
LOOP(run_cr3, cr3_reload())
LOOP(run_cr0_wp, cr0_wp_toggle())
LOOP(run_cr8, __asm__ volatile("mov %0, %%cr8" : : "r"(0ull)))
LOOP(run_invlpg, __asm__ volatile("invlpg (%0)" : : "r"(0x200000ull) : "memory"))
LOOP(run_pause, __asm__ volatile("pause"))
LOOP(run_clts, __asm__ volatile("clts"))
LOOP(run_rdtsc, rdtsc())
LOOP(run_wbinvd, __asm__ volatile("wbinvd"))
LOOP(run_xapic_read, apic_read(APIC_ID))
LOOP(run_xapic_write, apic_write(APIC_SPURIOUS, 0x1ff))
LOOP(run_touch, touch_next())
LOOP(run_self_ipi, self_ipi())
LOOP(run_timer, timer_wake())

static void sort(uint64_t *values, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		for (uint32_t k = i; k > 0 && values[k] < values[k - 1]; k--) {
			uint64_t swap = values[k];

			values[k] = values[k - 1];
			values[k - 1] = swap;
		}
	}
}

static void measure(const char *name, void (*run)(void *))
{
	uint64_t costs[ROUNDS];

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t start = rdtsc();

		if (guest_catch(run, NULL, NULL) >= 0) {
			print("bench %s - - -\n", name);
			return;
		}
		costs[i] = rdtsc() - start;
		costs[i] = (costs[i] > empty_cost ? costs[i] - empty_cost : 0) / BATCH;
	}
	sort(costs, ROUNDS);
	if (run == run_empty) {
		return;
	}
	print("bench %s %lu %lu %lu\n", name, costs[0], costs[ROUNDS / 2], costs[ROUNDS - 1]);
}

static void measure_empty(void)
{
	empty_cost = ~0ull;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t start = rdtsc();

		guest_catch(run_empty, NULL, NULL);
		uint64_t cost = rdtsc() - start;

		empty_cost = cost < empty_cost ? cost : empty_cost;
	}
}

void guest_main(const struct multiboot_info *info)
{
	uint32_t registers[4];

	(void)info;
	cpuid(0, 0, registers);
	is_amd = registers[2] == 0x444d4163; /* "cAMD" */
	guest_irq[TIMER_VECTOR] = on_wake;
	guest_irq[SELF_VECTOR] = on_wake;
	apic_enable();
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	apic_write(APIC_TIMER_DIVIDE, 0xb);
	measure_empty();
	measure("port-write.kernel", run_port_write_kernel);
	measure("port-write.vmm", run_port_write_vmm);
	measure("port-read.vmm", run_port_read_vmm);
	measure("unclaimed-port", run_unclaimed);
	measure("hypercall", run_hypercall);
	measure("cpuid", run_cpuid);
	measure("rdmsr", run_rdmsr);
	measure("rdmsr.owned", run_rdmsr_owned);
	measure("wrmsr.owned", run_wrmsr_owned);
	measure("cr3", run_cr3);
	measure("cr0.wp", run_cr0_wp);
	measure("cr8", run_cr8);
	measure("invlpg", run_invlpg);
	measure("pause", run_pause);
	measure("clts", run_clts);
	measure("rdtsc", run_rdtsc);
	measure("wbinvd", run_wbinvd);
	measure("xapic-read", run_xapic_read);
	measure("xapic-write", run_xapic_write);
	measure("touch", run_touch);
	measure("self-ipi", run_self_ipi);
	measure("timer", run_timer);
	check(true, "measured");
	guest_exit("bench");
}
