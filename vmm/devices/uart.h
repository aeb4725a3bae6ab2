// SPDX-License-Identifier: Apache-2.0
/*
 * A 16550A UART, as COM1 of a PC: registers, both FIFOs, modem lines, loop-back.
 *
 * Owns: eight ports and one interrupt line. Sends bytes through `send` at once (the line is
 * infinitely fast), so the transmitter is always empty; takes bytes from uart_receive(). Must
 * never: lose a byte that it accepted. Manual: National PC16550D data sheet.
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define UART_FIFO_BYTES 16
#define UART_COM1_PORT  0x3f8
#define UART_COM1_IRQ   4

struct uart {
	uint8_t fifo[UART_FIFO_BYTES];
	uint8_t fifo_start;
	uint8_t fifo_count;
	uint8_t trigger; /* bytes in the FIFO that raise an interrupt */
	uint8_t ier;
	uint8_t fcr;
	uint8_t lcr;
	uint8_t mcr;
	uint8_t msr_delta; /* bits 3:0 of MSR */
	uint8_t scratch;
	uint8_t divisor_low;
	uint8_t divisor_high;
	bool is_overrun;
	bool is_break;        /* the next byte in the FIFO is a break */
	bool is_thre_pending; /* transmitter-empty interrupt not yet taken */
	void (*send)(void *context, uint8_t byte);
	void (*room)(void *context); /* the receiver can take bytes again; may be NULL */
	void *context;
	struct irq_line irq;
};

void uart_reset(struct uart *uart);
/* Claims base..base+7. */
int uart_attach(struct uart *uart, struct bus *bus, uint32_t base);

/* Bytes that uart_receive() would accept now. */
uint32_t uart_room(const struct uart *uart);
/* One byte from the line. False if there is no room: keep it. */
bool uart_receive(struct uart *uart, uint8_t byte);
