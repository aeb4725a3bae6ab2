/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the TSC and powers off: what the Linux figures of scripts/bench end with. Static, without a C library (Linux system calls). */
#include <stdint.h>

#define SYS_WRITE  1
#define SYS_REBOOT 169

_Noreturn void _start(void);

static long call(long number, long a, long b, long c)
{
	register long r10 __asm__("r10") = 0;
	long result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
	                 : "rcx", "r11", "memory");
	return result;
}

_Noreturn void _start(void)
{
	char text[32];
	char *at = text + sizeof(text);
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	uint64_t value = ((uint64_t)high << 32) | low;

	*--at = '\n';
	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	at -= 11;
	for (int i = 0; i < 11; i++) {
		at[i] = "prompt tsc "[i];
	}
	call(SYS_WRITE, 1, (long)at, text + sizeof(text) - at);
	for (;;) {
		call(SYS_REBOOT, (long)0xfee1dead, 672274793, 0x4321fedc);
	}
}
