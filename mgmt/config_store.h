/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration on a disk: `save config` writes it to the GPT partition named bulkhead-config of any
 * disk that a driver reaches, and the next power-on takes it from there.
 *
 * The partition holds two copies. The older one is written, whole, with a sequence number and a hash
 * over all; a write that is cut off spoils that copy alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mgmt/block/block.h"
#include "mgmt/result.h"

#define STORE_NAME       "bulkhead-config"
#define STORE_TEXT_BYTES (128u * 1024)
#define STORE_COPY_BYTES (4096u + STORE_TEXT_BYTES)

struct shell_wait;

/* True of a partition that may hold a saved configuration: by its name. */
static inline bool store_is_on(const struct block_device *device)
{
	const char *colon = strchr(device->name, ':');

	return colon != NULL && strcmp(colon + 1, STORE_NAME) == 0;
}

/* Takes what was saved, once in a power-on, when its disk shows up; moves a save on. After every event. */
void store_poll(void);

/* Begins to save; false with an error in result. The wait ends with the outcome. */
bool store_save(struct shell_wait *wait, struct result *result);
