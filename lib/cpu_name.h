/* SPDX-License-Identifier: Apache-2.0 */
/* The processor's name, from the processor (SDM 2A CPUID, leaves 80000002h to 80000004h). */
#pragma once

#include <stdint.h>
#include <string.h>

#define CPU_NAME_BYTES 49u

/* NUL-terminated, without blanks around it; empty where the processor tells no name. */
static inline void cpu_name_read(char name[CPU_NAME_BYTES])
{
	uint32_t words[12] = { 0 }, leaf, i = 0, b, c, d;
	size_t length;

	__asm__("cpuid" : "=a"(leaf), "=b"(b), "=c"(c), "=d"(d) : "a"(0x80000000u), "c"(0));
	for (; i < 3 && leaf >= 0x80000004u; i++) {
		__asm__("cpuid"
		        : "=a"(words[i * 4]), "=b"(words[i * 4 + 1]), "=c"(words[i * 4 + 2]),
		          "=d"(words[i * 4 + 3])
		        : "a"(0x80000002u + i), "c"(0));
	}
	memcpy(name, words, sizeof(words));
	name[sizeof(words)] = '\0';
	length = strspn(name, " ");
	memmove(name, name + length, strlen(name + length) + 1);
	for (length = strlen(name); length != 0 && name[length - 1] == ' '; length--) {
		name[length - 1] = '\0';
	}
}
