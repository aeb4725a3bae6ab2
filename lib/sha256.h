/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) of bytes that come in pieces. No allocation. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES       32u
#define SHA256_BLOCK_BYTES 64u

struct sha256 {
	uint32_t state[8];
	uint64_t count; /* bytes so far */
	uint8_t block[SHA256_BLOCK_BYTES];
};

void sha256_init(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t size);
void sha256_end(struct sha256 *sha, uint8_t digest[SHA256_BYTES]);
