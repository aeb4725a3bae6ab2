/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console multiplexer: guests' lines and the operator's terminal.
 *
 * A guest has a serial line, ports of virtio-console, or both. The serial line's output lies in a ring that its
 * VMM writes (struct bh_console); what is read is copied here, byte counts are checked, and nothing a VMM writes
 * there can do more than spoil its own output. Ports' rings are mgmt's own. After a guest's resources are given back
 * the last words of its first line are kept, and `console` shows them first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bulkhead/protocol.h"
#include "mgmt/config.h"

#define CONSOLE_KEPT_BYTES 16384u
#define CONSOLE_LEAVE_KEY  0x1du /* Ctrl-] */

/* The lines of a guest: the serial one, then the ports. */
#define CONSOLE_LINE_SERIAL 0u
#define CONSOLE_LINE_PORT   1u /* + port */

/* The line that an operator gets who names none. */
uint32_t console_first_line(const struct config_guest *config);

/* Takes a copy of the last output, before the shared pages go. */
void console_keep(uint32_t slot);

/* Forgets what was kept. */
void console_forget(uint32_t slot);

/* Begins to show a guest: from what no operator has seen yet, or else from its last line's
 * start. */
void console_open(uint32_t slot, uint32_t line);

/* Copies the next output, at most size bytes; returns the count. Only between open and close. */
size_t console_read(uint32_t slot, uint32_t line, char *out, size_t size);

/* Puts input into the guest's ring; returns the count of bytes that there was room for. */
size_t console_write(uint32_t slot, uint32_t line, const char *bytes, size_t size);

/* Reads the last lines of the first line's output without marking them as seen; returns the count of
 * bytes. */
size_t console_tail(uint32_t slot, char *out, size_t size);
