// SPDX-License-Identifier: Apache-2.0
/*
 * 16550A: register file and interrupt identification.
 *
 * Must never: leave the interrupt line out of step with the registers: every change ends in
 * irq_update().
 */
#include "vmm/devices/uart.h"

#include <stddef.h>

#define REG_DATA          0u /* RBR, THR; divisor low with DLAB */
#define REG_IER           1u /* divisor high with DLAB */
#define REG_IIR_FCR       2u
#define REG_LCR           3u
#define REG_MCR           4u
#define REG_LSR           5u
#define REG_MSR           6u
#define REG_SCRATCH       7u

#define IER_RECEIVE       0x01u
#define IER_TRANSMIT      0x02u
#define IER_LINE          0x04u
#define IER_MODEM         0x08u

#define IIR_NONE          0x01u
#define IIR_LINE          0x06u
#define IIR_RECEIVE       0x04u
#define IIR_TIMEOUT       0x0cu
#define IIR_TRANSMIT      0x02u
#define IIR_MODEM         0x00u
#define IIR_FIFOS         0xc0u

#define FCR_ENABLE        0x01u
#define FCR_CLEAR_RECEIVE 0x02u

#define LCR_DLAB          0x80u

#define MCR_DTR           0x01u
#define MCR_RTS           0x02u
#define MCR_OUT1          0x04u
#define MCR_OUT2          0x08u
#define MCR_LOOP          0x10u

#define LSR_READY         0x01u
#define LSR_OVERRUN       0x02u
#define LSR_BREAK         0x10u
#define LSR_EMPTY         0x60u /* holding register and shift register */

#define MSR_DELTA_CTS     0x01u
#define MSR_DELTA_DSR     0x02u
#define MSR_TRAIL_RI      0x04u
#define MSR_DELTA_DCD     0x08u
#define MSR_CTS           0x10u
#define MSR_DSR           0x20u
#define MSR_RI            0x40u
#define MSR_DCD           0x80u

#define DIVISOR_DEFAULT   1u /* 115200 baud */

static uint32_t capacity(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE ? UART_FIFO_BYTES : 1;
}

static uint8_t interrupt_id(const struct uart *uart)
{
	if ((uart->ier & IER_LINE) && (uart->is_overrun || uart->is_break)) {
		return IIR_LINE;
	}
	if ((uart->ier & IER_RECEIVE) && uart->fifo_count >= uart->trigger) {
		return IIR_RECEIVE;
	}
	if ((uart->ier & IER_RECEIVE) && uart->fifo_count > 0) {
		/* nothing follows at once on this line: below the trigger it has timed out */
		return IIR_TIMEOUT;
	}
	if ((uart->ier & IER_TRANSMIT) && uart->is_thre_pending) {
		return IIR_TRANSMIT;
	}
	if ((uart->ier & IER_MODEM) && uart->msr_delta) {
		return IIR_MODEM;
	}
	return IIR_NONE;
}

/*
 * On a PC the interrupt leaves the chip only while OUT2 is set, and not in loop-back, where OUT2 is
 * inside.
 */
static void irq_update(struct uart *uart)
{
	bool is_gated = (uart->mcr & MCR_OUT2) && !(uart->mcr & MCR_LOOP);

	irq_line_set(&uart->irq, is_gated && interrupt_id(uart) != IIR_NONE);
}

/* In loop-back the modem inputs are the outputs: RTS-CTS, DTR-DSR, OUT1-RI, OUT2-DCD. */
static uint8_t modem_lines(const struct uart *uart)
{
	uint8_t lines = 0;

	if (!(uart->mcr & MCR_LOOP)) {
		return MSR_CTS | MSR_DSR | MSR_DCD;
	}
	lines |= uart->mcr & MCR_RTS ? MSR_CTS : 0;
	lines |= uart->mcr & MCR_DTR ? MSR_DSR : 0;
	lines |= uart->mcr & MCR_OUT1 ? MSR_RI : 0;
	lines |= uart->mcr & MCR_OUT2 ? MSR_DCD : 0;
	return lines;
}

static void mcr_write(struct uart *uart, uint8_t value)
{
	uint8_t before = modem_lines(uart);
	uint8_t changed;

	uart->mcr = value & 0x1fu;
	changed = before ^ modem_lines(uart);
	uart->msr_delta |= changed & MSR_CTS ? MSR_DELTA_CTS : 0;
	uart->msr_delta |= changed & MSR_DSR ? MSR_DELTA_DSR : 0;
	uart->msr_delta |= changed & before & MSR_RI ? MSR_TRAIL_RI : 0;
	uart->msr_delta |= changed & MSR_DCD ? MSR_DELTA_DCD : 0;
}

static void fifo_clear(struct uart *uart)
{
	uart->fifo_start = 0;
	uart->fifo_count = 0;
	uart->is_break = false;
}

static void fifo_put(struct uart *uart, uint8_t byte)
{
	if (uart->fifo_count >= capacity(uart)) {
		uart->is_overrun = true;
		return;
	}
	uart->fifo[(uart->fifo_start + uart->fifo_count) % UART_FIFO_BYTES] = byte;
	uart->fifo_count++;
}

static uint8_t fifo_get(struct uart *uart)
{
	uint8_t byte = uart->fifo[uart->fifo_start];

	if (uart->fifo_count == 0) {
		return 0;
	}
	uart->fifo_start = (uint8_t)((uart->fifo_start + 1u) % UART_FIFO_BYTES);
	uart->fifo_count--;
	uart->is_break = false;
	return byte;
}

static void fcr_write(struct uart *uart, uint8_t value)
{
	static const uint8_t triggers[4] = { 1, 4, 8, 14 };

	if ((value ^ uart->fcr) & FCR_ENABLE || value & FCR_CLEAR_RECEIVE) {
		fifo_clear(uart);
	}
	uart->fcr = value & FCR_ENABLE ? value & 0xc9u : 0;
	uart->trigger = uart->fcr ? triggers[value >> 6] : 1;
}

uint32_t uart_room(const struct uart *uart)
{
	return uart->mcr & MCR_LOOP ? 0 : capacity(uart) - uart->fifo_count;
}

bool uart_receive(struct uart *uart, uint8_t byte)
{
	if (uart_room(uart) == 0) {
		return false;
	}
	fifo_put(uart, byte);
	irq_update(uart);
	return true;
}

static uint8_t data_read(struct uart *uart)
{
	uint8_t byte = fifo_get(uart);

	if (uart->fifo_count == 0 && uart->room && !(uart->mcr & MCR_LOOP)) {
		uart->room(uart->context);
	}
	return byte;
}

static void data_write(struct uart *uart, uint8_t byte)
{
	if (uart->mcr & MCR_LOOP) {
		fifo_put(uart, byte);
	} else {
		uart->send(uart->context, byte);
	}
	uart->is_thre_pending = true;
}

static uint8_t iir_read(struct uart *uart)
{
	uint8_t id = interrupt_id(uart);

	if (id == IIR_TRANSMIT) {
		uart->is_thre_pending = false;
	}
	return (uint8_t)(id | (uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0u));
}

static uint8_t lsr_read(struct uart *uart)
{
	uint8_t value = LSR_EMPTY;

	value |= uart->fifo_count ? LSR_READY : 0;
	value |= uart->is_overrun ? LSR_OVERRUN : 0;
	value |= uart->is_break ? LSR_BREAK : 0;
	uart->is_overrun = false;
	uart->is_break = false;
	return value;
}

static uint8_t msr_read(struct uart *uart)
{
	uint8_t value = (uint8_t)(modem_lines(uart) | uart->msr_delta);

	uart->msr_delta = 0;
	return value;
}

static uint64_t uart_read(void *device, uint64_t offset, uint32_t width)
{
	struct uart *uart = device;
	bool has_dlab = (uart->lcr & LCR_DLAB) != 0;
	uint8_t value;

	(void)width;
	switch (offset) {
	case REG_DATA:
		value = has_dlab ? uart->divisor_low : data_read(uart);
		break;
	case REG_IER:
		value = has_dlab ? uart->divisor_high : uart->ier;
		break;
	case REG_IIR_FCR:
		value = iir_read(uart);
		break;
	case REG_LCR:
		return uart->lcr;
	case REG_MCR:
		return uart->mcr;
	case REG_LSR:
		value = lsr_read(uart);
		break;
	case REG_MSR:
		value = msr_read(uart);
		break;
	default:
		return uart->scratch;
	}
	irq_update(uart);
	return value;
}

static void ier_write(struct uart *uart, uint8_t value)
{
	/* Enabling the interrupt while the transmitter is empty raises it (PC16550D 8.6.3). */
	if ((value & IER_TRANSMIT) && !(uart->ier & IER_TRANSMIT)) {
		uart->is_thre_pending = true;
	}
	uart->ier = value & 0x0fu;
}

static void uart_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct uart *uart = device;
	bool has_dlab = (uart->lcr & LCR_DLAB) != 0;
	uint8_t byte = (uint8_t)value;

	(void)width;
	switch (offset) {
	case REG_DATA:
		if (has_dlab) {
			uart->divisor_low = byte;
		} else {
			data_write(uart, byte);
		}
		break;
	case REG_IER:
		if (has_dlab) {
			uart->divisor_high = byte;
		} else {
			ier_write(uart, byte);
		}
		break;
	case REG_IIR_FCR:
		fcr_write(uart, byte);
		break;
	case REG_LCR:
		uart->lcr = byte;
		break;
	case REG_MCR:
		mcr_write(uart, byte);
		break;
	case REG_SCRATCH:
		uart->scratch = byte;
		return;
	default: /* LSR and MSR are read-only */
		return;
	}
	irq_update(uart);
}

void uart_reset(struct uart *uart)
{
	fifo_clear(uart);
	uart->trigger = 1;
	uart->ier = 0;
	uart->fcr = 0;
	uart->lcr = 0;
	uart->mcr = 0;
	uart->msr_delta = 0;
	uart->scratch = 0;
	uart->divisor_low = DIVISOR_DEFAULT;
	uart->divisor_high = 0;
	uart->is_overrun = false;
	uart->is_thre_pending = false;
	irq_update(uart);
}

int uart_attach(struct uart *uart, struct bus *bus, uint32_t base)
{
	const struct bus_range range = { base, 8, uart_read, uart_write, uart, BUS_WIDTH_1 };

	return bus_port_add(bus, &range);
}
