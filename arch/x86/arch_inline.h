/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of arch.h that is code: where this pCPU's record is, where RAM is seen, the time. Tests on a PC put their own file of
 * this name before this one in the include path (tests/fake).
 */
#pragma once

#include "kernel/types.h"

/* A pCPU's slot: record, stacks. Aligned to its size, so that cpu_self() works on every stack in it. */
#define CPU_SLOT_SIZE 0x10000ull

/* The direct map: all RAM that the kernel manages, readable and writable, never executable. */
#define ARCH_DIRECT_MAP 0xffff800000000000ull

/* The kernel's image: virtual less physical address. */
#define IMAGE_VIRTUAL_OFFSET 0xffffffff80000000ull

struct cpu;

/* This pCPU's record. */
static inline struct cpu *cpu_self(void)
{
	uint64_t sp;

	__asm__ volatile("mov %%rsp, %0" : "=r"(sp));
	return (struct cpu *)(sp & ~(CPU_SLOT_SIZE - 1));
}

static inline void *phys_to_virt(hpa_t pa)
{
	return (void *)(pa.raw + ARCH_DIRECT_MAP);
}

static inline hpa_t virt_to_phys(const void *va)
{
	return HPA((uint64_t)va - ARCH_DIRECT_MAP);
}

/* Of something in the kernel's image. */
static inline hpa_t image_to_phys(const void *va)
{
	return HPA((uint64_t)va - IMAGE_VIRTUAL_OFFSET);
}

static inline uint64_t arch_tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return ((uint64_t)high << 32) | low;
}
