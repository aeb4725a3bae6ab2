/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes for guests: ChaCha20 (RFC 8439) with a key that is replaced at each request, so that what was
 * given out cannot be found again. Seeded from RDRAND where the CPU has it, and from the jitter of the TSC.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *to, size_t bytes);

/* One block of ChaCha20: for the test with the RFC's numbers. */
void random_chacha20(const uint32_t input[16], uint32_t output[16]);
