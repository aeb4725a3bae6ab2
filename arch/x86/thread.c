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
	switch (width_bytes) {
	case 1:
		return port_read8(port);
	case 2:
		return port_read16(port);
	default:
		return port_read32(port);
	}
}

void arch_port_write(uint16_t port, uint32_t width_bytes, uint32_t value)
{
	switch (width_bytes) {
	case 1:
		port_write8(port, (uint8_t)value);
		break;
	case 2:
		port_write16(port, (uint16_t)value);
		break;
	default:
		port_write32(port, value);
		break;
	}
}
