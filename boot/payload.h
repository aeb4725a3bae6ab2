/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archive inside bulkhead.efi: kernel, root, mgmt, vmm and the default configuration, packed by
 * scripts/pack-payload and linked between payload_start and payload_end (page-aligned).
 * Files are named as boot modules are: "kernel", "root", "mgmt", "vmm", "config".
 */
#pragma once

#include <stdint.h>

#define PAYLOAD_MAGIC "BHPAYLD1" /* eight bytes, no terminator */

struct payload_header {
	char magic[8];
	uint32_t files_count;
	uint32_t reserved;
	uint64_t size;      /* of the whole archive, this header included */
	uint8_t sha256[32]; /* of all bytes after this header */
};
_Static_assert(sizeof(struct payload_header) == 56, "layout of scripts/pack-payload");

/* One per file, right after the header. */
struct payload_file {
	char name[48];
	uint64_t offset; /* from the magic, a multiple of 4096 */
	uint64_t size;   /* bytes; the rest of the last page is zero */
	uint8_t sha256[32];
};
_Static_assert(sizeof(struct payload_file) == 96, "layout of scripts/pack-payload");

extern const unsigned char payload_start[];
extern const unsigned char payload_end[];
