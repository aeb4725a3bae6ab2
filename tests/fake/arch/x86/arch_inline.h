/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of a host test, in place of arch/x86/arch_inline.h: RAM is an array, time is a variable, the pCPU is chosen by the test. */
#pragma once

#include "kernel/types.h"

#define CPU_SLOT_SIZE 0x10000ull

struct cpu;

extern char *fake_ram;
extern struct cpu *fake_cpu;
extern uint64_t fake_tsc;

static inline struct cpu *cpu_self(void)
{
	return fake_cpu;
}

static inline void *phys_to_virt(hpa_t pa)
{
	return fake_ram + pa.raw;
}

static inline hpa_t virt_to_phys(const void *va)
{
	return HPA((const char *)va - fake_ram);
}

/* Not RAM of the test's: nobody looks. */
static inline hpa_t image_to_phys(const void *va)
{
	(void)va;
	return HPA(0);
}

static inline uint64_t arch_tsc_read(void)
{
	return fake_tsc++;
}
