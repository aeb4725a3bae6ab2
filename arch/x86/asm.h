/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One C function for each instruction that C cannot say: ports, MSRs, control registers, CPUID, barriers.
 * No policy and no state. Registers themselves are named in arch/x86/reg/.
 */
#pragma once

#include "kernel/types.h"

static inline uint8_t port_read8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t port_read32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void port_write8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint64_t msr_read(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return ((uint64_t)high << 32) | low;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
	                 :
	                 : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr)
	                 : "memory");
}

/* RDMSR and WRMSR that survive #GP: UNSUPPORTED instead (value 0). For registers that an emulator may lack. */
int msr_read_safe(uint32_t msr, uint64_t *value) must_check;
int msr_write_safe(uint32_t msr, uint64_t value) must_check;

struct cpuid_result {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_result cpuid_read(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result r;

	__asm__ volatile("cpuid"
	                 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
	                 : "a"(leaf), "c"(subleaf));
	return r;
}

#define DEFINE_CR(n)                                                               \
	static inline uint64_t cr##n##_read(void)                                  \
	{                                                                          \
		uint64_t value;                                                    \
                                                                                   \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory"); \
		return value;                                                      \
	}                                                                          \
	static inline void cr##n##_write(uint64_t value)                           \
	{                                                                          \
		__asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");     \
	}
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
#undef DEFINE_CR

static inline uint64_t xcr0_read(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return ((uint64_t)high << 32) | low;
}

static inline void xcr0_write(uint64_t value)
{
	__asm__ volatile("xsetbv"
	                 :
	                 : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0)
	                 : "memory");
}

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));
