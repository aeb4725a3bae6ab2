/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap of a domain. Each program defines it once, in the size that it needs:
 *     BH_HEAP_DEFINE(64 * 1024);
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

extern uint8_t bh_heap[];
extern const size_t bh_heap_size;

#define BH_HEAP_DEFINE(bytes)                                  \
	uint8_t bh_heap[(bytes)] __attribute__((aligned(16))); \
	const size_t bh_heap_size = (bytes)

/* Bytes of the heap that malloc has taken so far. */
size_t bh_heap_used_bytes(void);
