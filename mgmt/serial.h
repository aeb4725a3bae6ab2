/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's serial port: a 16550 UART (National Semiconductor PC16550D data sheet) by port calls.
 *
 * Output goes through a ring that the transmitter's interrupt drains a FIFO at a time; where no
 * interrupt comes, the port is polled. Nothing else in mgmt touches the port.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes the machine's console port over from the kernel. False if the machine has none. */
bool serial_init(void);

/* Moves bytes both ways. Call on MGMT_EVENT_SERIAL (is_interrupt) and at serial_deadline_tsc(). */
void serial_service(bool is_interrupt);
uint64_t serial_deadline_tsc(void);

/* The next byte received, or -1. */
int serial_read(void);

/* Bytes that serial_write() takes without waiting for the line. */
size_t serial_room(void);

/* Sends bytes as they are; waits for the line only when the ring is full. */
void serial_write(const char *bytes, size_t size);

/* Sends text, LF as CR LF. */
void serial_write_text(const char *bytes, size_t size);

/* True once an interrupt has come; the port is polled until then. */
bool serial_has_interrupt(void);

/* Waits until all is sent, at most about a second. */
void serial_flush(void);
