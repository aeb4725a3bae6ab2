/* SPDX-License-Identifier: Apache-2.0 */
/* Which values XCR0 can have (SDM 1 13.3): combinations, and what this CPU and kernel keep. */
#pragma once

#include "arch/x86/arch.h"

#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_MPX    (BIT(3) | BIT(4))
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))
#define XCR0_AMX    (BIT(17) | BIT(18))

static inline bool xcr0_is_valid(uint64_t value)
{
	if ((value & XCR0_X87) == 0 || (value & ~(arch_xcr0_supported | XCR0_X87)) != 0) {
		return false;
	}
	if ((value & XCR0_AVX) != 0 && (value & XCR0_SSE) == 0) {
		return false;
	}
	if ((value & XCR0_MPX) != 0 && (value & XCR0_MPX) != XCR0_MPX) {
		return false;
	}
	if ((value & XCR0_AVX512) != 0 &&
	    ((value & XCR0_AVX512) != XCR0_AVX512 || (value & XCR0_AVX) == 0)) {
		return false;
	}
	return (value & XCR0_AMX) == 0 || (value & XCR0_AMX) == XCR0_AMX;
}
