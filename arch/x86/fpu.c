/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating-point state: XSAVE standard format, or FXSAVE where there is no XSAVE (SDM 1 13.4-13.8, APM 2 11.5).
 * The kernel itself never uses these registers. Whose state is loaded is kernel/fpu.c's business, not this file's.
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/start.h"
#include "kernel/string.h"
#include "kernel/xcr0.h"

#define CPUID_XSAVE  0xdu
#define XCR0_PKRU    BIT(9)
#define FXSAVE_BYTES 512u
#define FCW_WORD     0u /* of 32 bits in an area; the upper half is FSW */
#define MXCSR_WORD   6u
#define FCW_INIT     0x37fu
#define MXCSR_INIT   0x1f80u

uint32_t arch_fpu_size;
uint64_t arch_xcr0_supported;

void fpu_cpu_init(struct cpu *cpu)
{
	uint64_t supported = XCR0_X87 | XCR0_SSE;
	uint32_t size = FXSAVE_BYTES, mxcsr = MXCSR_INIT;

	if (feature_has(FEATURE_XSAVE)) {
		supported |= feature_has(FEATURE_PKU) ? XCR0_PKRU : 0;
		supported |= feature_has(FEATURE_AVX) ? XCR0_AVX : 0;
		supported |= (supported & XCR0_AVX) && feature_has(FEATURE_AVX512F) ? XCR0_AVX512
		                                                                    : 0;
		supported &= cpuid_read(CPUID_XSAVE, 0).eax;
		xcr0_write(supported);
		cpu->xcr0 = supported;
		/* EBX follows XCR0: the size for what is enabled now. */
		size = ALIGN_UP(cpuid_read(CPUID_XSAVE, 0).ebx, 64u);
	}
	arch_xcr0_supported = supported;
	arch_fpu_size = size;
	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
}

void arch_fpu_init_area(void *area)
{
	uint32_t *words = area;

	memset(area, 0, arch_fpu_size);
	words[FCW_WORD] = FCW_INIT;
	words[MXCSR_WORD] = MXCSR_INIT;
}

void arch_xcr0_load(uint64_t xcr0)
{
	struct cpu *cpu = cpu_self();

	if (cpu->xcr0 != xcr0 && feature_has(FEATURE_XSAVE)) {
		xcr0_write(xcr0);
		cpu->xcr0 = xcr0;
	}
}

void arch_fpu_set_trap(bool is_on)
{
	struct cpu *cpu = cpu_self();

	if (cpu->fpu_traps != is_on) {
		cr0_write(cr0_read() ^ CR0_TS);
		cpu->fpu_traps = is_on;
	}
}

void arch_fpu_swap(void *save, const void *restore)
{
	arch_fpu_set_trap(false);
	arch_xcr0_load(arch_xcr0_supported);
	if (unlikely(!feature_has(FEATURE_XSAVE))) {
		if (save != NULL) {
			__asm__ volatile("fxsave64 (%0)" : : "r"(save) : "memory");
		}
		__asm__ volatile("fxrstor64 (%0)" : : "r"(restore) : "memory");
		return;
	}
	if (save != NULL) {
		__asm__ volatile("xsave64 (%0)" : : "r"(save), "a"(~0u), "d"(~0u) : "memory");
	}
	__asm__ volatile("xrstor64 (%0)" : : "r"(restore), "a"(~0u), "d"(~0u) : "memory");
}
