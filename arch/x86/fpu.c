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

#define XCR0_X87     BIT(0)
#define XCR0_SSE     BIT(1)
#define XCR0_AVX     BIT(2)
#define XCR0_AVX512  GENMASK(7, 5)
#define XCR0_PKRU    BIT(9)

#define FXSAVE_BYTES 512u
#define FCW_OFFSET   0u
#define MXCSR_OFFSET 24u
#define FCW_INIT     0x37fu
#define MXCSR_INIT   0x1f80u

uint32_t arch_fpu_size;
uint64_t arch_xcr0_supported;

static void components_find(void)
{
	struct cpuid_result leaf = cpuid_read(0xd, 0);
	uint64_t supported = (leaf.eax | (uint64_t)leaf.edx << 32) & (XCR0_X87 | XCR0_SSE);

	if (feature_has(FEATURE_AVX)) {
		supported |= leaf.eax & XCR0_AVX;
	}
	if ((supported & XCR0_AVX) && feature_has(FEATURE_AVX512F) &&
	    (leaf.eax & XCR0_AVX512) == XCR0_AVX512) {
		supported |= XCR0_AVX512;
	}
	if (feature_has(FEATURE_PKU)) {
		supported |= leaf.eax & XCR0_PKRU;
	}
	arch_xcr0_supported = supported;
}

void fpu_cpu_init(struct cpu *cpu)
{
	uint32_t mxcsr = MXCSR_INIT;

	if (!feature_has(FEATURE_XSAVE)) {
		arch_xcr0_supported = XCR0_X87 | XCR0_SSE;
		arch_fpu_size = FXSAVE_BYTES;
	} else {
		if (arch_fpu_size == 0) {
			components_find();
		}
		xcr0_write(arch_xcr0_supported);
		cpu->xcr0 = arch_xcr0_supported;
		/* EBX follows XCR0: the size for what is enabled now. */
		arch_fpu_size = ALIGN_UP(cpuid_read(0xd, 0).ebx, 64u);
	}
	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(mxcsr));
}

void arch_fpu_init_area(void *area)
{
	uint8_t *bytes = area;
	uint16_t fcw = FCW_INIT;
	uint32_t mxcsr = MXCSR_INIT;

	memset(area, 0, arch_fpu_size);
	memcpy(bytes + FCW_OFFSET, &fcw, sizeof(fcw));
	memcpy(bytes + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
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

void arch_fpu_save(void *area)
{
	arch_fpu_set_trap(false);
	if (feature_has(FEATURE_XSAVE)) {
		arch_xcr0_load(arch_xcr0_supported);
		__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
	} else {
		__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
	}
}

void arch_fpu_restore(const void *area)
{
	arch_fpu_set_trap(false);
	if (feature_has(FEATURE_XSAVE)) {
		arch_xcr0_load(arch_xcr0_supported);
		__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
	} else {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
	}
}
