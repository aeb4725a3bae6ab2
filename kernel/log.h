/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's log: a ring of text that domains may read, copied to the machine's console until mgmt claims that.
 * log_print() stands in kernel/object.h; panic() in kernel/types.h.
 */
#pragma once

#include <stdarg.h>

#include "kernel/types.h"

/* Move from the start's small buffer into a ring of pages (struct bh_log), which may then be mapped. */
int log_init(void) must_check;
hpa_t log_pages(void);
/* One line of a domain's own, bytes that are no text replaced. */
void log_write_domain(uint32_t domain_id, const char *name, const char *text, size_t length);

/* printf into a buffer: %s %c %d %u %x %p %%, with l, width, 0, -, #. Always terminates; returns the length without the NUL. */
size_t format_text(char *buffer, size_t size, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));
size_t log_format(char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
