// SPDX-License-Identifier: Apache-2.0
/* What must hold in a fuzz target: abort() is what libFuzzer takes for a finding. */
#pragma once

#include <stdlib.h>

#define CHECK(condition)            \
	do {                        \
		if (!(condition)) { \
			abort();    \
		}                   \
	} while (0)
