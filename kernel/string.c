/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy and friends for the kernel, by the string instructions: short, and fast enough on every CPU with ERMS.
 * Must never call anything (the compiler calls these from anywhere) and must not be turned into calls of themselves.
 */
#include "kernel/string.h"

#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *start = to;
	size_t words = size / 8;

	size %= 8;
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t size)
{
	char *target = to;
	const char *source = from;

	if ((uintptr_t)to - (uintptr_t)from >= size) {
		return memcpy(to, from, size);
	}
	while (size-- > 0) {
		target[size] = source[size];
		__asm__ volatile("" : : : "memory");
	}
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *start = to;
	uint64_t pattern = (uint8_t)byte * 0x0101010101010101ull;
	size_t words = size / 8;

	size %= 8;
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(pattern) : "memory");
	return start;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length] != '\0') {
		length++;
		__asm__ volatile("");
	}
	return length;
}

int strncmp(const char *a, const char *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (a[i] != b[i]) {
			return (uint8_t)a[i] < (uint8_t)b[i] ? -1 : 1;
		}
		if (a[i] == '\0') {
			break;
		}
	}
	return 0;
}
