/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPT partitions (UEFI 2.10 5.3): each becomes a block device "DEVICE:NAME", or "DEVICE:pNUMBER" if it has
 * no name or its name is taken.
 */
#pragma once

#include "mgmt/block/block.h"

/* Looks for the partition tables of devices that came, and takes partitions away of devices that went. Call after every
 * event; reads are asynchronous. */
void gpt_poll(void);

/* True if both are partitions, and share a sector. */
bool gpt_overlap(const struct block_device *one, const struct block_device *other);
