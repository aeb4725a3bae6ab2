/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start of a domain's threads. Thread 0 runs main(); the others sleep until it releases them. Owns nothing else.
 */
#include "lib/threads.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/call.h"
#include "lib/time.h"

int main(void);
_Noreturn void domain_start(uint64_t idx);
void domain_guard_init(void);

static volatile uint32_t threads_released;

void bh_threads_release(void)
{
	__atomic_store_n(&threads_released, 1, __ATOMIC_RELEASE);
}

/* Replaced by programs with more than one thread. */
__attribute__((weak)) _Noreturn void domain_thread_main(uint32_t idx)
{
	domain_fail("thread %u has nothing to run", (unsigned)idx);
}

_Noreturn void domain_fail(const char *format, ...)
{
	char text[160];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (length > 0) {
		bh_log_write(text,
		             length < (int)sizeof(text) ? (uint64_t)length : sizeof(text) - 1);
	}
	__builtin_trap(); /* an undefined instruction ends the whole domain, with its place in the log */
}

_Noreturn void domain_start(uint64_t idx)
{
	if (bh_info()->abi_version != BH_ABI_VERSION) {
		__builtin_trap();
	}
	if (idx == 0) {
		domain_guard_init();
		int status = main();

		domain_fail("main returned %d", status);
	}
	while (__atomic_load_n(&threads_released, __ATOMIC_ACQUIRE) == 0) {
		bh_thread_yield();
	}
	domain_thread_main((uint32_t)idx);
}
