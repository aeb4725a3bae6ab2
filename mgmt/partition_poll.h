/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between partition.c (what may be asked) and partition_poll.c (how it is carried out). For these
 * two only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/ledger.h"
#include "mgmt/result.h"

/* Checks a start and asks root for the partition; state becomes starting. False with an error. */
bool partition_poll_create(struct guest *guest, struct result *result);

/* Asks root to take the partition back; next says what follows. */
void partition_poll_destroy(struct guest *guest, enum guest_next next);

/* Sends a command to the VMM, which must have none under way. */
void partition_poll_command(struct guest *guest, uint32_t command, uint64_t argument);

/* Starts the guest again from its images within its partition. */
void partition_poll_reset(struct guest *guest);
