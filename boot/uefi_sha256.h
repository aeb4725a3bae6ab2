/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 of one piece of memory (FIPS 180-4 6.2), for the UEFI loader. No state, no allocation. */
#pragma once

#include <stdint.h>

#define SHA256_BYTES 32u

void sha256(const void *data, uint64_t size, uint8_t digest[SHA256_BYTES]);
