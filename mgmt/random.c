// SPDX-License-Identifier: Apache-2.0
/*
 * The random number generator (see random.h). The key of each block's successor is taken from the block
 * itself. New seed is mixed in every RESEED_BYTES.
 */
#include "mgmt/random.h"

#include <stdbool.h>
#include <string.h>

#include "mgmt/machine.h"

#define KEY_WORDS      8u
#define RESEED_BYTES   (1u << 20)
#define JITTER_SAMPLES 256u
#define RDRAND_TRIES   10u

static uint32_t key[KEY_WORDS];
static uint64_t left_bytes; /* until the next seed */

static uint32_t rotate(uint32_t value, uint32_t count)
{
	return value << count | value >> (32 - count);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 12);
	*a += *b;
	*d = rotate(*d ^ *a, 8);
	*c += *d;
	*b = rotate(*b ^ *c, 7);
}

void random_chacha20(const uint32_t input[16], uint32_t output[16])
{
	uint32_t x[16];
	uint32_t i;

	memcpy(x, input, sizeof(x));
	for (i = 0; i < 10; i++) {
		quarter_round(&x[0], &x[4], &x[8], &x[12]);
		quarter_round(&x[1], &x[5], &x[9], &x[13]);
		quarter_round(&x[2], &x[6], &x[10], &x[14]);
		quarter_round(&x[3], &x[7], &x[11], &x[15]);
		quarter_round(&x[0], &x[5], &x[10], &x[15]);
		quarter_round(&x[1], &x[6], &x[11], &x[12]);
		quarter_round(&x[2], &x[7], &x[8], &x[13]);
		quarter_round(&x[3], &x[4], &x[9], &x[14]);
	}
	for (i = 0; i < 16; i++) {
		output[i] = x[i] + input[i];
	}
}

/* A block under the present key; its first half is the next key, its second half is given out. */
static void next_block(uint32_t out[KEY_WORDS], const uint32_t mixed[4])
{
	uint32_t input[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	uint32_t output[16];

	memcpy(input + 4, key, sizeof(key));
	memcpy(input + 12, mixed, 4 * sizeof(uint32_t));
	random_chacha20(input, output);
	memcpy(key, output, sizeof(key));
	memcpy(out, output + KEY_WORDS, KEY_WORDS * sizeof(uint32_t));
}

static bool has_rdrand(void)
{
	uint32_t eax = 1;
	uint32_t ebx;
	uint32_t ecx = 0;
	uint32_t edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return (ecx >> 30 & 1) != 0;
}

/* 0 where there is none (SDM 1 7.3.17: it may fail for a moment). */
static uint64_t rdrand(bool is_there)
{
	uint32_t tries;

	for (tries = 0; is_there && tries < RDRAND_TRIES; tries++) {
		uint64_t value;
		uint8_t is_good;

		__asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=q"(is_good) : : "cc");
		if (is_good != 0) {
			return value;
		}
	}
	return 0;
}

/* Mixes what is not known from outside into the key, sample by sample. */
static void seed(void)
{
	bool is_there = has_rdrand();
	uint32_t dropped[KEY_WORDS];
	uint32_t i;

	for (i = 0; i < JITTER_SAMPLES; i++) {
		uint64_t tsc = machine_now_tsc();
		uint64_t random = rdrand(is_there);
		uint32_t mixed[4] = { (uint32_t)tsc, (uint32_t)(tsc >> 32), (uint32_t)random,
			              (uint32_t)(random >> 32) };

		next_block(dropped, mixed);
	}
	left_bytes = RESEED_BYTES;
}

void random_bytes(void *to, size_t bytes)
{
	static const uint32_t nothing[4];
	uint8_t *at = to;

	while (bytes > 0) {
		uint32_t block[KEY_WORDS];
		size_t part = bytes < sizeof(block) ? bytes : sizeof(block);

		if (left_bytes < part) {
			seed();
		}
		next_block(block, nothing);
		memcpy(at, block, part);
		left_bytes -= part;
		at += part;
		bytes -= part;
	}
}
