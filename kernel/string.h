/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory and string functions of the C library that the kernel needs, under their usual names: the compiler calls some of them
 * on its own. No locale, no error, no overlap but in memmove.
 */
#pragma once

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
size_t strlen(const char *text);
int strncmp(const char *a, const char *b, size_t size);
