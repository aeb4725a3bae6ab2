// SPDX-License-Identifier: Apache-2.0
/*
 * What lwIP finds below it: milliseconds, random numbers, and the end of the world. Nothing else of
 * mgmt is seen by lwIP.
 */
#include <arch/cc.h>
#include <lwip/sys.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/call.h"
#include "lib/threads.h"
#include "lib/time.h"

u32_t sys_now(void)
{
	return (u32_t)(bh_now_ns() / 1000000u);
}

/* One step of SplitMix64 over a state that takes in the TSC each time. */
uint32_t net_random(void)
{
	static uint64_t state;
	uint64_t value;

	state += 0x9e3779b97f4a7c15u + (bh_tsc() << 17) + bh_tsc();
	value = state;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((value ^ (value >> 31)) >> 16);
}

void net_assert_failed(const char *message)
{
	domain_fail("lwIP: %s", message);
}

void net_diagnose(const char *format, ...)
{
	char text[160];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length > 0) {
		bh_log_write(text,
		             (uint64_t)length < sizeof(text) ? (uint64_t)length : sizeof(text) - 1);
	}
}
