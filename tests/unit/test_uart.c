// SPDX-License-Identifier: Apache-2.0
/*
 * The 16550A: identification as Linux does it, loop-back, FIFOs, interrupts and their priorities,
 * gating by OUT2.
 */
// sources: vmm/devices/uart.c vmm/bus.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/devices/uart.h"

static struct uart uart;
static struct bus bus;
static bool irq;
static char sent[64];
static uint32_t sent_count;
static uint32_t rooms;

static void irq_set(void *context, uint32_t number, bool level)
{
	(void)context;
	assert_int_equal(number, UART_COM1_IRQ);
	irq = level;
}

static void send(void *context, uint8_t byte)
{
	(void)context;
	sent[sent_count++ % sizeof(sent)] = (char)byte;
}

static void room(void *context)
{
	(void)context;
	rooms++;
}

static void out(uint32_t reg, uint32_t value)
{
	bus_port_write(&bus, UART_COM1_PORT + reg, 1, value);
}

static uint32_t in(uint32_t reg)
{
	return (uint32_t)bus_port_read(&bus, UART_COM1_PORT + reg, 1);
}

static int setup(void **state)
{
	(void)state;
	memset(&uart, 0, sizeof(uart));
	uart.send = send;
	uart.room = room;
	uart.irq = (struct irq_line){ irq_set, NULL, UART_COM1_IRQ, false };
	sent_count = 0;
	rooms = 0;
	irq = false;
	bus_init(&bus);
	uart_attach(&uart, &bus, UART_COM1_PORT);
	uart_reset(&uart);
	return 0;
}

/* The steps of Linux's autoconfig() (8250_port.c) as registers see them. */
static void test_identification(void **state)
{
	(void)state;
	out(1, 0x0f);
	assert_int_equal(in(1), 0x0f);
	out(1, 0x00);
	assert_int_equal(in(1), 0x00);
	out(4, 0x1a); /* loop, OUT2, RTS */
	assert_int_equal(in(6) & 0xf0, 0x90);
	out(4, 0);
	out(2, 0x01);
	assert_int_equal(in(2) >> 6, 3); /* 16550A */
	out(2, 0x21);                    /* no 64-byte FIFO */
	assert_int_equal(in(2) & 0x20, 0);
	out(7, 0x5a);
	assert_int_equal(in(7), 0x5a);
	out(3, 0x80);
	out(0, 0x0c);
	out(1, 0x00);
	assert_int_equal(in(0), 0x0c);
	out(3, 0x03);
	assert_int_equal(in(3), 0x03);
}

static void test_output(void **state)
{
	(void)state;
	for (const char *c = "hello"; *c; c++) {
		assert_int_equal(in(5) & 0x60, 0x60);
		out(0, (uint8_t)*c);
	}
	assert_int_equal(sent_count, 5);
	assert_memory_equal(sent, "hello", 5);
}

static void test_transmit_interrupt(void **state)
{
	(void)state;
	out(4, 0x08);
	assert_int_equal(in(2) & 0x0f, 0x01);
	out(1, 0x02);
	assert_true(irq);
	assert_int_equal(in(2) & 0x0f, 0x02);
	assert_false(irq); /* reading IIR took it */
	out(0, 'x');
	assert_true(irq);
	out(4, 0x00);
	assert_false(irq); /* OUT2 gates the line */
	out(4, 0x08);
	assert_true(irq);
}

static void test_receive(void **state)
{
	(void)state;
	out(2, 0x81); /* FIFO, trigger 8 */
	out(4, 0x08);
	out(1, 0x01);
	assert_int_equal(uart_room(&uart), 16);
	assert_true(uart_receive(&uart, 'a'));
	assert_true(irq);
	assert_int_equal(in(2) & 0x0f, 0x0c); /* below the trigger: time-out */
	for (uint32_t i = 1; i < 16; i++) {
		assert_true(uart_receive(&uart, (uint8_t)('a' + i)));
	}
	assert_int_equal(in(2) & 0x0f, 0x04);
	assert_false(uart_receive(&uart, 'q'));
	for (uint32_t i = 0; i < 16; i++) {
		assert_int_equal(in(5) & 0x01, 0x01);
		assert_int_equal(in(0), 'a' + i);
	}
	assert_int_equal(in(5) & 0x01, 0);
	assert_int_equal(rooms, 1);
	assert_false(irq);
}

static void test_no_fifo(void **state)
{
	(void)state;
	assert_true(uart_receive(&uart, 1));
	assert_false(uart_receive(&uart, 2));
	assert_int_equal(in(0), 1);
	assert_true(uart_receive(&uart, 2));
	out(2, 0x01); /* changing FIFO mode empties it */
	assert_int_equal(in(5) & 1, 0);
}

static void test_loop_back(void **state)
{
	(void)state;
	out(4, 0x1f);
	(void)in(6);
	out(0, 0x77);
	assert_int_equal(sent_count, 0);
	assert_int_equal(in(5) & 1, 1);
	assert_int_equal(in(0), 0x77);
	assert_int_equal(uart_room(&uart), 0); /* the line is cut */
	out(0, 1);
	out(0, 2);
	assert_int_equal(in(5) & 3, 3); /* overrun */
	assert_int_equal(in(5) & 2, 0);
}

static void test_modem_status(void **state)
{
	(void)state;
	assert_int_equal(in(6), 0xb0);
	out(1, 0x08);
	out(4, 0x18);
	out(4, 0x1c); /* ring indicator on */
	(void)in(6);
	out(4, 0x18); /* and off: trailing edge */
	assert_int_equal(in(6) & 0x0f, 0x04);
	out(4, 0x08);
	assert_int_equal(in(2) & 0x0f, 0x00);
	assert_true(irq);
	(void)in(6);
	assert_false(irq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_identification, setup),
		cmocka_unit_test_setup(test_output, setup),
		cmocka_unit_test_setup(test_transmit_interrupt, setup),
		cmocka_unit_test_setup(test_receive, setup),
		cmocka_unit_test_setup(test_no_fifo, setup),
		cmocka_unit_test_setup(test_loop_back, setup),
		cmocka_unit_test_setup(test_modem_status, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
