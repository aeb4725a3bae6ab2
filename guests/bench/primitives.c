/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest does without its local APIC: ports, hypercall, CPUID, MSRs, control registers, caches, memory, a device's register. */
#include "guests/bench/bench.h"

#define PORT_SWALLOWED     0x80
#define PORT_UART_SCRATCH  0x3ff
#define PORT_UNCLAIMED     0x1234
#define PORT_PIC_MASK      0x21 /* KVM has the 8259s in its kernel */
#define IOAPIC_SELECT      0xfec00000ull
#define UNTOUCHED_PAGES    1024u

#define MSR_APIC_BASE      0x1bu
#define MSR_SYSENTER_CS    0x174u
#define MSR_MTRR_CAP       0xfeu
#define MSR_MTRR_DEFAULT   0x2ffu
#define MSR_STAR           0xc0000081u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

static bool is_amd;
static uint64_t apic_base_value, mtrr_default_value;
static uint8_t untouched[UNTOUCHED_PAGES][4096] __attribute__((aligned(4096)));
static uint32_t untouched_next, walk_next;

static inline void hypercall(void)
{
	uint64_t rax = 0x7fffffff; /* a number that nobody has */

	if (is_amd) {
		__asm__ volatile("vmmcall" : "+a"(rax) : : "memory");
	} else {
		__asm__ volatile("vmcall" : "+a"(rax) : : "memory");
	}
}

static inline void touch_next(void)
{
	*(volatile uint8_t *)untouched[untouched_next++ % UNTOUCHED_PAGES] = 1;
}

/* A read through a translation that was just thrown away. */
static inline void page_walk(void)
{
	volatile uint8_t *at = untouched[walk_next++ % 64];

	__asm__ volatile("invlpg (%0)" : : "r"(at) : "memory");
	(void)*at;
}

static inline void cr3_reload(void)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}

static inline void cr0_wp_toggle(void)
{
	uint64_t cr0;

	__asm__ volatile("mov %%cr0, %0; xor $0x10000, %0; mov %0, %%cr0"
	                 : "=&r"(cr0)
	                 :
	                 : "memory");
}

static inline void cr4_pge_toggle(void)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0; xor $0x80, %0; mov %0, %%cr4" : "=&r"(cr4) : : "memory");
}

static inline void cr8_read(void)
{
	uint64_t cr8;

	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
}

static inline void cpuid_once(void)
{
	uint32_t registers[4];

	cpuid(0, 0, registers);
}

static inline uint32_t device_read(void)
{
	return *(volatile uint32_t *)IOAPIC_SELECT;
}

static inline void device_write(void)
{
	*(volatile uint32_t *)IOAPIC_SELECT = 1;
}

BENCH_LOOP(run_empty, (void)0)
BENCH_LOOP(run_port_write_kernel, out8(PORT_SWALLOWED, 0))
BENCH_LOOP(run_port_write_vmm, out8(PORT_UART_SCRATCH, 0))
BENCH_LOOP(run_port_read_vmm, in8(PORT_UART_SCRATCH))
BENCH_LOOP(run_port_write_pic, out8(PORT_PIC_MASK, 0xff))
BENCH_LOOP(run_unclaimed, out8(PORT_UNCLAIMED, 0))
BENCH_LOOP(run_unclaimed_read, in8(PORT_UNCLAIMED))
BENCH_LOOP(run_hypercall, hypercall())
BENCH_LOOP(run_cpuid, cpuid_once())
BENCH_LOOP(run_rdmsr, rdmsr(MSR_APIC_BASE))
BENCH_LOOP(run_wrmsr, wrmsr(MSR_APIC_BASE, apic_base_value))
BENCH_LOOP(run_rdmsr_vmm, rdmsr(MSR_MTRR_CAP))
BENCH_LOOP(run_wrmsr_vmm, wrmsr(MSR_MTRR_DEFAULT, mtrr_default_value))
BENCH_LOOP(run_mmio_read, device_read())
BENCH_LOOP(run_mmio_write, device_write())
BENCH_LOOP(run_wbinvd, __asm__ volatile("wbinvd"))
BENCH_LOOP(run_rdmsr_fs, rdmsr(MSR_FS_BASE))
BENCH_LOOP(run_wrmsr_gs, wrmsr(MSR_GS_BASE, 0))
BENCH_LOOP(run_wrmsr_kernel_gs, wrmsr(MSR_KERNEL_GS_BASE, 0))
BENCH_LOOP(run_rdmsr_star, rdmsr(MSR_STAR))
BENCH_LOOP(run_wrmsr_sysenter, wrmsr(MSR_SYSENTER_CS, 0))
BENCH_LOOP(run_cr3, cr3_reload())
BENCH_LOOP(run_cr0_wp, cr0_wp_toggle())
BENCH_LOOP(run_cr4_pge, cr4_pge_toggle())
BENCH_LOOP(run_cr8_write, __asm__ volatile("mov %0, %%cr8" : : "r"(0ull)))
BENCH_LOOP(run_cr8_read, cr8_read())
BENCH_LOOP(run_invlpg, __asm__ volatile("invlpg (%0)" : : "r"(0x200000ull) : "memory"))
BENCH_LOOP(run_pause, __asm__ volatile("pause"))
BENCH_LOOP(run_clts, __asm__ volatile("clts"))
BENCH_LOOP(run_rdtsc, rdtsc())
BENCH_LOOP(run_touch, touch_next())
BENCH_LOOP(run_walk, page_walk())

const struct bench_figure bench_primitives[] = {
	{ "exit.port-write.kernel", run_port_write_kernel },
	{ "exit.port-write.vmm", run_port_write_vmm },
	{ "exit.port-read.vmm", run_port_read_vmm },
	{ "exit.port-write.pic", run_port_write_pic },
	{ "exit.unclaimed-port", run_unclaimed },
	{ "exit.unclaimed-port.read", run_unclaimed_read },
	{ "exit.hypercall", run_hypercall },
	{ "exit.cpuid", run_cpuid },
	{ "exit.rdmsr", run_rdmsr },
	{ "exit.wrmsr", run_wrmsr },
	{ "exit.rdmsr.vmm", run_rdmsr_vmm },
	{ "exit.wrmsr.vmm", run_wrmsr_vmm },
	{ "exit.mmio-read", run_mmio_read },
	{ "exit.mmio-write", run_mmio_write },
	{ "exit.wbinvd", run_wbinvd },
	{ "noexit.rdmsr.fs-base", run_rdmsr_fs },
	{ "noexit.wrmsr.gs-base", run_wrmsr_gs },
	{ "noexit.wrmsr.kernel-gs-base", run_wrmsr_kernel_gs },
	{ "noexit.rdmsr.star", run_rdmsr_star },
	{ "noexit.wrmsr.sysenter", run_wrmsr_sysenter },
	{ "noexit.cr3", run_cr3 },
	{ "noexit.cr0.wp", run_cr0_wp },
	{ "noexit.cr4.pge", run_cr4_pge },
	{ "noexit.cr8.write", run_cr8_write },
	{ "noexit.cr8.read", run_cr8_read },
	{ "noexit.invlpg", run_invlpg },
	{ "noexit.pause", run_pause },
	{ "noexit.clts", run_clts },
	{ "noexit.rdtsc", run_rdtsc },
	{ "noexit.touch", run_touch },
	{ "noexit.page-walk", run_walk },
	{ NULL, NULL },
};

void bench_empty(void *argument)
{
	run_empty(argument);
}

static void read_mtrr(void *argument)
{
	(void)argument;
	mtrr_default_value = rdmsr(MSR_MTRR_DEFAULT);
}

void bench_init(void)
{
	uint32_t registers[4];

	cpuid(0, 0, registers);
	is_amd = registers[2] == 0x444d4163; /* "cAMD" */
	apic_base_value = rdmsr(MSR_APIC_BASE);
	guest_catch(read_mtrr, NULL, NULL);
	bench_interrupts_init();
}
