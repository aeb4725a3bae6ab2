/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of root's image, which the kernel maps without parsing anything else: text (read, execute), data (read, write), bss.
 * The image is linked at BH_VA_IMAGE; all parts are page multiples; text begins with this header.
 */
#pragma once

#include <stdint.h>

#define BH_ROOT_IMAGE_MAGIC 0x544f4f524b484b42ull

struct bh_root_image {
	uint64_t magic;
	uint64_t entry; /* virtual address */
	uint64_t text_bytes;
	uint64_t data_bytes;
	uint64_t bss_bytes; /* after data, cleared; the initial stack is a part of it */
	uint64_t stack_top; /* virtual address */
};
