/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 as FIPS 180-4 writes it down (see sha256.h): small rather than fast. The UEFI loader is linked with it, too. */
#include "lib/sha256.h"

#include <string.h>

#define ROUNDS 64u

/* FIPS 180-4 4.2.2 */
static const uint32_t constants[ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotate(uint32_t value, unsigned int count)
{
	return value >> count | value << (32 - count);
}

static uint32_t word_read(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* FIPS 180-4 6.2.2 */
static void add_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t w[ROUNDS], v[8];

	for (unsigned int t = 0; t < 16; t++) {
		w[t] = word_read(block + 4 * t);
	}
	for (unsigned int t = 16; t < ROUNDS; t++) {
		uint32_t a = w[t - 15], b = w[t - 2];

		w[t] = (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10) + w[t - 7] +
		       (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[t - 16];
	}
	for (unsigned int i = 0; i < 8; i++) {
		v[i] = state[i];
	}
	for (unsigned int t = 0; t < ROUNDS; t++) {
		uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
		uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
		uint32_t first = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
		                 choice + constants[t] + w[t];
		uint32_t second = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
		                  majority;

		for (unsigned int i = 7; i > 0; i--) {
			v[i] = v[i - 1];
		}
		v[4] += first;
		v[0] = first + second;
	}
	for (unsigned int i = 0; i < 8; i++) {
		state[i] += v[i];
	}
}

void sha256_init(struct sha256 *sha)
{
	/* FIPS 180-4 5.3.3 */
	static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	memcpy(sha->state, first, sizeof(sha->state));
	sha->count = 0;
}

void sha256_add(struct sha256 *sha, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size != 0) {
		size_t used = sha->count % SHA256_BLOCK_BYTES;
		size_t part = SHA256_BLOCK_BYTES - used < size ? SHA256_BLOCK_BYTES - used : size;

		memcpy(sha->block + used, at, part);
		sha->count += part;
		at += part;
		size -= part;
		if (sha->count % SHA256_BLOCK_BYTES == 0) {
			add_block(sha->state, sha->block);
		}
	}
}

void sha256_end(struct sha256 *sha, uint8_t digest[SHA256_BYTES])
{
	uint64_t bits = sha->count * 8;
	uint8_t length[8];
	uint32_t i;

	/* FIPS 180-4 5.1.1: the bit 1, zeros, the length in bits */
	sha256_add(sha, "\x80", 1);
	while (sha->count % SHA256_BLOCK_BYTES != SHA256_BLOCK_BYTES - 8) {
		sha256_add(sha, "", 1);
	}
	for (i = 0; i < 8; i++) {
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	}
	sha256_add(sha, length, 8);
	for (i = 0; i < SHA256_BYTES; i++) {
		digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
	}
}
