/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device under test is wired to: a clock that the test moves and one interrupt line. One
 * copy in each test program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static uint64_t now_ns;
static bool level_now;
static uint32_t edges; /* times the line went up */

static inline uint64_t now(void *context)
{
	(void)context;
	return now_ns;
}

static inline void irq_set(void *context, uint32_t number, bool level)
{
	(void)context;
	(void)number;
	edges += level && !level_now;
	level_now = level;
}
