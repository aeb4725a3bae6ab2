/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb fetch: a file by HTTP or TFTP into memory that root keeps, under a name that kernel, ramdisk,
 * load and check can use. One at a time. It goes on when nobody waits for it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/sha256.h"
#include "mgmt/net/url.h"
#include "mgmt/result.h"
#include "mgmt/shell.h"

struct fetch_order {
	struct url url;
	char name[48];
	bool has_sha256;
	uint8_t sha256[SHA256_BYTES]; /* what it must have */
};

/* Drops what a mgmt that died had not fetched to the end. After kept_init(). */
void fetch_init(void);

/* Begins; false with an error in result. The wait ends with the outcome. */
bool fetch_begin(const struct fetch_order *order, struct shell_wait *wait, struct result *result);

/* Ends what is under way; false if nothing is. */
bool fetch_stop(void);

/* Moves it on. Call after net_poll(). */
void fetch_poll(void);
uint64_t fetch_deadline_tsc(void);
