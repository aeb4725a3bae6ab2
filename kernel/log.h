/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's log: a ring of text that domains may read, copied to the machine's console until mgmt claims that.
 * log_print() stands in kernel/object.h; panic() in kernel/types.h.
 */
#pragma once

#include <stdarg.h>

#include "bulkhead/abi.h"
#include "kernel/types.h"

extern struct bh_log log_ring; /* whole pages, mapped into domains that may see it */

/*
 * printf into a buffer: %s %c %d %u %x %%; l and a width with or without 0 for numbers (the sign of a negative one comes before the padding).
 * Always terminates; returns the length without the NUL.
 */
size_t format_text(char *buffer, size_t size, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
