/* SPDX-License-Identifier: Apache-2.0 */
/* The verb ping: echo requests by ICMP and ICMPv6, one at a time. */
#pragma once

#include "mgmt/shell.h"

#define PING_COUNT_MAX 20u

/* Begins; the wait that it fills ends with a table of times. */
void ping_begin(const char *name, uint32_t count, struct shell_wait *wait);
