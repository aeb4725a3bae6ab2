/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words that every kernel file uses: address types that cannot be mixed, bit helpers, CHECK.
 * Nothing here has state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bulkhead/errors.h"

typedef struct {
	uint64_t raw;
} hpa_t; /* host-physical address */
typedef struct {
	uint64_t raw;
} hva_t; /* virtual address in a domain (never dereferenced directly) */

#define HPA(x)                          ((hpa_t){ (uint64_t)(x) })
#define HVA(x)                          ((hva_t){ (uint64_t)(x) })

#define BIT(n)                          (1ull << (n))
#define GENMASK(high, low)              (((~0ull) >> (63 - (high))) & ((~0ull) << (low)))
#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a)                  (((x) + (a)-1) & ~((a)-1))
#define ALIGN_DOWN(x, a)                ((x) & ~((a)-1))
#define IS_ALIGNED(x, a)                (((x) & ((a)-1)) == 0)
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define must_check                      __attribute__((warn_unused_result))
#define out_of_line                     __attribute__((noinline)) /* keeps rare code out of a hot frame */
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)

#define PAGE_SHIFT                      12
#define PAGE_SIZE                       4096ull
#define PAGE_SIZE_2M                    (1ull << 21)

static inline uint64_t field_get(uint64_t mask, uint64_t value)
{
	return (value & mask) >> __builtin_ctzll(mask);
}

static inline uint64_t field_set(uint64_t mask, uint64_t field)
{
	return (field << __builtin_ctzll(mask)) & mask;
}

/* Our own invariant is broken: dump and stop the machine. Also in release builds. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition)                                                           \
	do {                                                                       \
		if (unlikely(!(condition))) {                                      \
			panic("%s:%d: CHECK(%s)", __FILE__, __LINE__, #condition); \
		}                                                                  \
	} while (0)
