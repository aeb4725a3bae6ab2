/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to a ring-3 thread in the CPU: its first frame, its address space, FS base; port access on behalf of domains. */
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/reg/segment.h"
#include "kernel/string.h"

void arch_frame_init(struct arch_frame *frame, uint64_t entry, uint64_t stack, uint64_t argument)
{
	memset(frame, 0, sizeof(*frame));
	frame->rip = entry;
	frame->rsp = stack;
	frame->rdi = argument;
	frame->cs = SELECTOR_USER_CS;
	frame->ss = SELECTOR_USER_DS;
	frame->rflags = RFLAGS_FIXED | RFLAGS_IF;
}

void arch_thread_load(hpa_t pml4, uint64_t fs_base)
{
	if (cr3_read() != pml4.raw) {
		cr3_write(pml4.raw);
	}
	msr_write(MSR_FS_BASE, fs_base);
}

void arch_tlb_flush(void)
{
	cr3_write(cr3_read());
}

uint32_t arch_port_read(uint16_t port, uint32_t width_bytes)
{
	uint16_t value;

	if (width_bytes == 2) {
		__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
		return value;
	}
	return width_bytes == 1 ? port_read8(port) : port_read32(port);
}

void arch_port_write(uint16_t port, uint32_t width_bytes, uint32_t value)
{
	if (width_bytes == 1) {
		port_write8(port, (uint8_t)value);
	} else if (width_bytes == 2) {
		__asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"(port));
	} else {
		__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
	}
}
