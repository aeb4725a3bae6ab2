/* SPDX-License-Identifier: Apache-2.0 */
/* Which values XCR0 can have (SDM 1 13.3): combinations, and what this CPU and kernel keep. */
#pragma once

#include "arch/x86/arch.h"

#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7))

static inline bool xcr0_is_valid(uint64_t value)
{
	/* If any bit of the first is on, all of the second are. Of what arch_xcr0_supported can have. */
	static const uint64_t rules[][2] = {
		{ ~0ull, XCR0_X87 },
		{ XCR0_AVX, XCR0_SSE },
		{ XCR0_AVX512, XCR0_AVX512 | XCR0_AVX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if ((value & rules[i][0]) != 0 && (value & rules[i][1]) != rules[i][1]) {
			return false;
		}
	}
	return value != 0 && (value & ~(arch_xcr0_supported | XCR0_X87)) == 0;
}
