/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pCPU: its slot (record, stacks with guard pages between), its GDT, TSS and the common IDT, and the control registers and MSRs
 * that hold for ring 0 and ring 3. SDM 3A 2.4, 6.14, 7.7; APM 2 4.6, 6.1.1, 8.9.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/ptable.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/reg/segment.h"
#include "arch/x86/start.h"
#include "kernel/string.h"

/*
 * A slot, in pages: 0 record, 1 guard, 2-5 kernel stack, 6 guard, 7 NMI stack, 8 guard, 9 double-fault stack, 10 guard, 11 machine-check
 * stack, 12-15 guard. An overflow meets a hole and ends in #DF with a stack of its own.
 */
#define SLOT_STACK_FIRST   2u
#define SLOT_STACK_PAGES   4u
#define SLOT_NMI           7u
#define SLOT_DOUBLE_FAULT  9u
#define SLOT_MACHINE_CHECK 11u

/* Interrupt gates (SDM 3A figure 6-8): offset in three parts, selector 31:16, IST 34:32, type 47:40. */
#define GATE_IST_SHIFT      32
#define GATE_INTERRUPT      0x8e0000000000ull /* present, DPL 0 */
#define GATE_INTERRUPT_USER 0xee0000000000ull /* present, DPL 3: INT3 and INTO are for ring 3 */

extern char trap_stubs[], syscall_entry[];

struct cpu *cpus[BH_MAX_CPUS];
uint32_t cpus_count;

static uint64_t idt[256][2];

static uint64_t slot_page_map(uint64_t slot, uint32_t first, uint32_t count)
{
	uint64_t va = slot + first * PAGE_SIZE;

	paging_map(va, arch_early_pages(count), count * PAGE_SIZE, PTABLE_WRITE);
	return va + count * PAGE_SIZE;
}

struct cpu *cpu_slot_create(uint32_t idx)
{
	uint64_t slot = ARCH_CPU_SLOTS + idx * CPU_SLOT_SIZE;
	struct cpu *cpu = (struct cpu *)slot;

	slot_page_map(slot, 0, 1);
	cpu->kernel_stack_top = slot_page_map(slot, SLOT_STACK_FIRST, SLOT_STACK_PAGES);
	cpu->tss.rsp[0] = cpu->kernel_stack_top;
	cpu->tss.ist[IST_NMI - 1] = slot_page_map(slot, SLOT_NMI, 1);
	cpu->tss.ist[IST_DOUBLE_FAULT - 1] = slot_page_map(slot, SLOT_DOUBLE_FAULT, 1);
	cpu->tss.ist[IST_MACHINE_CHECK - 1] = slot_page_map(slot, SLOT_MACHINE_CHECK, 1);
	cpu->tss.iopb_offset = sizeof(cpu->tss); /* beyond the limit: no port for ring 3 */
	cpu->self = cpu;
	cpu->idx = idx;
	return cpu;
}

static void idt_make(void)
{
	for (uint32_t vector = 0; vector < 256; vector++) {
		uint64_t offset = (uint64_t)trap_stubs + 16ull * vector;

		idt[vector][0] = (offset & GENMASK(15, 0)) | (offset & GENMASK(31, 16)) << 32 |
		                 SELECTOR_KERNEL_CS << 16 |
		                 (vector == 3 || vector == 4 ? GATE_INTERRUPT_USER
		                                             : GATE_INTERRUPT);
		idt[vector][1] = offset >> 32;
	}
	idt[VECTOR_NMI][0] |= (uint64_t)IST_NMI << GATE_IST_SHIFT;
	idt[VECTOR_DOUBLE_FAULT][0] |= (uint64_t)IST_DOUBLE_FAULT << GATE_IST_SHIFT;
	idt[VECTOR_MACHINE_CHECK][0] |= (uint64_t)IST_MACHINE_CHECK << GATE_IST_SHIFT;
}

static void gdt_load(struct cpu *cpu)
{
	uint64_t tss = (uint64_t)&cpu->tss;
	struct table_pointer gdtr = { sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt };
	struct table_pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };

	cpu->gdt[SELECTOR_KERNEL_CS / 8] = GDT_KERNEL_CS;
	cpu->gdt[SELECTOR_KERNEL_DS / 8] = GDT_KERNEL_DS;
	cpu->gdt[SELECTOR_USER_DS / 8] = GDT_USER_DS;
	cpu->gdt[SELECTOR_USER_CS / 8] = GDT_USER_CS;
	cpu->gdt[SELECTOR_TSS / 8] = GDT_TSS_TYPE | (sizeof(cpu->tss) - 1) |
	                             (tss & 0xffffff) << 16 | ((tss >> 24) & 0xff) << 56;
	cpu->gdt[SELECTOR_TSS / 8 + 1] = tss >> 32;
	__asm__ volatile("lgdt %0\n\t"
	                 "pushq %[cs]\n\t"
	                 "leaq 1f(%%rip), %%rax\n\t"
	                 "pushq %%rax\n\t"
	                 "lretq\n"
	                 "1:\tmovl %[ds], %%ss\n\t"
	                 "movl %[zero], %%ds\n\t"
	                 "movl %[zero], %%es\n\t"
	                 "movl %[zero], %%fs\n\t"
	                 "movl %[zero], %%gs\n\t"
	                 "lldt %w[zero]\n\t"
	                 "ltr %w[tr]\n\t"
	                 "lidt %[idtr]"
	                 :
	                 : "m"(gdtr), [idtr] "m"(idtr), [cs] "i"(SELECTOR_KERNEL_CS),
	                   [ds] "r"(SELECTOR_KERNEL_DS), [zero] "r"(0), [tr] "r"(SELECTOR_TSS)
	                 : "rax", "memory");
}

static void control_registers_load(void)
{
	uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	cr4 |= feature_has(FEATURE_MCE) ? CR4_MCE : 0;
	cr4 |= feature_has(FEATURE_SMEP) ? CR4_SMEP : 0;
	cr4 |= feature_has(FEATURE_SMAP) ? CR4_SMAP : 0;
	cr4 |= feature_has(FEATURE_UMIP) ? CR4_UMIP : 0;
	cr4 |= feature_has(FEATURE_XSAVE) ? CR4_OSXSAVE : 0;
	cr4_write(cr4);
	cr0_write((cr0_read() | CR0_WP | CR0_NE | CR0_MP | CR0_ET) &
	          ~(CR0_AM | CR0_EM | CR0_TS | CR0_NW | CR0_CD));
}

static void msrs_load(struct cpu *cpu)
{
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE | EFER_SCE);
	msr_write(MSR_STAR,
	          (uint64_t)SELECTOR_USER_BASE << 48 | (uint64_t)SELECTOR_KERNEL_CS << 32);
	msr_write(MSR_LSTAR, (uint64_t)syscall_entry);
	msr_write(MSR_SFMASK, RFLAGS_IF | RFLAGS_DF | RFLAGS_TF | RFLAGS_AC | RFLAGS_NT |
	                              RFLAGS_RF | RFLAGS_IOPL);
	msr_write(MSR_KERNEL_GS_BASE, (uint64_t)cpu);
	msr_write(MSR_GS_BASE, 0);
	msr_write(MSR_FS_BASE, 0);
	msr_write(MSR_SYSENTER_CS, 0); /* SYSENTER raises #GP */
	if (feature_has(FEATURE_RDTSCP)) {
		msr_write(MSR_TSC_AUX, cpu->idx);
	}
}

void cpu_init(struct cpu *cpu)
{
	if (cpu->idx == 0) {
		idt_make();
	}
	gdt_load(cpu);
	control_registers_load();
	msrs_load(cpu);
	fpu_cpu_init(cpu);
	machine_check_cpu_init();
}

const char *cmdline_find(const char *name)
{
	const char *at = boot_info.cmdline, *found = NULL;
	size_t length = strlen(name);

	while (*at != '\0') {
		if (strncmp(at, name, length) == 0 && at[length] == '=') {
			found = at + length + 1;
		}
		while (*at != '\0' && *at++ != ' ') {
		}
	}
	return found;
}
