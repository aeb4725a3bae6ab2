// SPDX-License-Identifier: Apache-2.0
/*
 * Driver of the shell's 16550 UART (see serial.h). Line settings are the boot loader's or the
 * kernel's; this only reads, writes and masks. A port that never gets ready loses output and stops
 * nothing.
 */
#include "mgmt/serial.h"

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/time.h"
#include "mgmt/host.h"

/* PC16550D 8.0, registers by offset from the base. */
#define UART_RBR              0u /* read: receiver buffer */
#define UART_THR              0u /* write: transmitter holding */
#define UART_IER              1u
#define IER_RECEIVED          0x01u
#define IER_TRANSMITTER_EMPTY 0x02u
/* read: interrupt identification; reading it drops a transmitter interrupt */
#define UART_IIR              2u
#define IIR_NONE_PENDING      0x01u
#define UART_FCR              2u /* write */
#define FCR_ENABLE            0x01u
#define UART_MCR              4u
#define MCR_DTR               0x01u
#define MCR_RTS               0x02u
#define MCR_OUT2              0x08u /* on a PC: lets the interrupt through */
#define UART_LSR              5u
#define LSR_DATA_READY        0x01u
#define LSR_TRANSMITTER_EMPTY 0x20u /* the FIFO */
#define LSR_ALL_SENT          0x40u /* and the shift register */

#define FIFO_BYTES            16u
#define RX_BYTES              4096u
#define TX_BYTES              16384u

#define POLL_NS               5000000ull    /* without interrupts: how often to look */
#define POLL_SENDING_NS       1000000ull    /* the same while there is something to send */
#define NET_NS                1000000000ull /* with interrupts: in case one gets lost */
/* a transmitter that takes longer for one FIFO is not there */
#define STUCK_NS 200000000ull

static struct {
	bool is_there;
	bool is_interrupt_seen;
	bool is_sending_enabled; /* IER_TRANSMITTER_EMPTY is on */
	uint16_t port;
	bh_handle_t interrupt; /* 0: none */
	uint64_t serviced_tsc;
	uint32_t rx_head, rx_tail;
	uint32_t tx_head, tx_tail;
	uint8_t rx[RX_BYTES];
	uint8_t tx[TX_BYTES];
} serial;

static uint8_t port_in(uint16_t offset)
{
	return (uint8_t)bh_port_read(MGMT_HANDLE_HOST, (uint16_t)(serial.port + offset), 1);
}

static void port_out(uint16_t offset, uint8_t value)
{
	bh_port_write(MGMT_HANDLE_HOST, (uint16_t)(serial.port + offset), 1, value);
}

static void bind_interrupt(void)
{
	static struct acpi_machine machine;
	struct acpi_line line;
	int64_t event;
	int64_t interrupt;

	host_read_acpi(&machine);
	if (!acpi_serial_line(&machine, serial.port, &line)) {
		return;
	}
	event = bh_event_create(MGMT_HANDLE_EVENTS, MGMT_EVENT_SERIAL);
	if (event <= 0) {
		return;
	}
	interrupt = bh_interrupt_bind(MGMT_HANDLE_HOST, line.gsi, (bh_handle_t)event,
	                              (line.is_level ? BH_IRQ_LEVEL : 0u) |
	                                      (line.is_low ? BH_IRQ_LOW : 0u));
	if (interrupt > 0) {
		serial.interrupt = (bh_handle_t)interrupt;
	}
}

bool serial_init(void)
{
	struct bh_host_info host;

	if (bh_host_info(MGMT_HANDLE_HOST, &host) != BH_OK || host.console_port == 0) {
		return false;
	}
	serial.port = (uint16_t)host.console_port;
	bh_host_control(MGMT_HANDLE_HOST, BH_HOST_CLAIM_CONSOLE);
	port_out(UART_IER, 0);
	port_out(UART_FCR, FCR_ENABLE);
	port_out(UART_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
	serial.is_there = true;
	bind_interrupt();
	if (serial.interrupt != 0) {
		port_out(UART_IER, IER_RECEIVED);
	}
	return true;
}

static void receive(void)
{
	/* Bounded: a port that does not exist reads as all ones for ever. */
	uint32_t left = RX_BYTES;

	while (left-- != 0 && serial.rx_head - serial.rx_tail < RX_BYTES) {
		if ((port_in(UART_LSR) & LSR_DATA_READY) == 0) {
			return;
		}
		serial.rx[serial.rx_head++ % RX_BYTES] = port_in(UART_RBR);
	}
}

/* Fills the transmitter's FIFO if it is empty; true if anything was sent. */
static bool transmit(void)
{
	uint32_t count = 0;

	if (serial.tx_head == serial.tx_tail || (port_in(UART_LSR) & LSR_TRANSMITTER_EMPTY) == 0) {
		return false;
	}
	while (count < FIFO_BYTES && serial.tx_head != serial.tx_tail) {
		port_out(UART_THR, serial.tx[serial.tx_tail++ % TX_BYTES]);
		count++;
	}
	return true;
}

/* Turns the transmitter's interrupt on while there is something to send. */
static void update_mask(void)
{
	bool is_sending = serial.tx_head != serial.tx_tail;

	if (serial.interrupt == 0 || is_sending == serial.is_sending_enabled) {
		return;
	}
	serial.is_sending_enabled = is_sending;
	port_out(UART_IER, (uint8_t)(IER_RECEIVED | (is_sending ? IER_TRANSMITTER_EMPTY : 0u)));
}

static void move_bytes(void)
{
	receive();
	while (transmit()) {
	}
	update_mask();
}

void serial_service(bool is_interrupt)
{
	uint32_t rounds = 8;

	if (!serial.is_there) {
		return;
	}
	serial.serviced_tsc = bh_tsc();
	move_bytes();
	if (!is_interrupt) {
		return;
	}
	serial.is_interrupt_seen = true;
	bh_interrupt_ack(serial.interrupt);
	/* The line is edge-triggered on a PC: what came up before the acknowledgement makes no new
	 * edge. */
	while (rounds-- != 0 && (port_in(UART_IIR) & IIR_NONE_PENDING) == 0) {
		move_bytes();
	}
}

uint64_t serial_deadline_tsc(void)
{
	uint64_t ns = NET_NS;

	if (!serial.is_there) {
		return BH_FOREVER;
	}
	if (!serial.is_interrupt_seen) {
		ns = serial.tx_head != serial.tx_tail ? POLL_SENDING_NS : POLL_NS;
	}
	return serial.serviced_tsc + bh_ns_to_tsc(ns);
}

int serial_read(void)
{
	if (serial.rx_head == serial.rx_tail) {
		return -1;
	}
	return serial.rx[serial.rx_tail++ % RX_BYTES];
}

bool serial_has_interrupt(void)
{
	return serial.is_interrupt_seen;
}

size_t serial_room(void)
{
	return TX_BYTES - (serial.tx_head - serial.tx_tail);
}

/* Waits until the transmitter has taken something; what it never takes is lost. */
static void wait_for_room(void)
{
	uint64_t limit = bh_tsc() + bh_ns_to_tsc(STUCK_NS);

	while (!transmit()) {
		if (bh_tsc() > limit) {
			serial.tx_tail = serial.tx_head;
			return;
		}
		bh_thread_yield();
	}
}

void serial_write(const char *bytes, size_t size)
{
	size_t i;

	if (!serial.is_there) {
		return;
	}
	for (i = 0; i < size; i++) {
		if (serial.tx_head - serial.tx_tail == TX_BYTES) {
			wait_for_room();
		}
		serial.tx[serial.tx_head++ % TX_BYTES] = (uint8_t)bytes[i];
	}
	transmit();
	update_mask();
}

void serial_write_text(const char *bytes, size_t size)
{
	size_t start = 0;
	size_t i;

	for (i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			serial_write(bytes + start, i - start);
			serial_write("\r\n", 2);
			start = i + 1;
		}
	}
	serial_write(bytes + start, size - start);
}

void serial_flush(void)
{
	uint64_t limit = bh_tsc() + bh_ns_to_tsc(1000000000ull);

	while (serial.is_there && bh_tsc() < limit) {
		if (!transmit() && serial.tx_head == serial.tx_tail &&
		    (port_in(UART_LSR) & LSR_ALL_SENT) != 0) {
			return;
		}
	}
}
