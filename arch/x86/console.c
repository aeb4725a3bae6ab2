/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's serial console: a 16550 by ports, polled, output only (NS16550 data sheet). COM1, until root names another. */
#include "arch/x86/asm.h"
#include "arch/x86/start.h"
#include "kernel/string.h"

#define COM1_PORT             0x3f8u
#define PORT_LAST             0xfff8u
#define BAUD_DEFAULT          115200u
#define BAUD_MIN              300u
#define UART_CLOCK_DIVIDED    115200u

#define UART_DATA             0u /* with DLAB: divisor, low byte */
#define UART_IER              1u /* with DLAB: divisor, high byte */
#define UART_FCR              2u
#define UART_FCR_ENABLE_CLEAR 0x07u
#define UART_LCR              3u
#define UART_LCR_8N1          0x03u
#define UART_LCR_DLAB         0x80u
#define UART_MCR              4u
#define UART_MCR_DTR_RTS_OUT2 0x0bu
#define UART_LSR              5u
#define UART_LSR_EMPTY        0x20u
#define SEND_LOOPS_MAX        200000u

bool arch_console_claimed;
uint16_t console_port;
uint32_t console_baud;

void arch_console_open(uint64_t port, uint64_t baud)
{
	uint32_t divisor;

	console_port = port != 0 && port <= PORT_LAST ? (uint16_t)port : COM1_PORT;
	console_baud = baud >= BAUD_MIN && baud <= UART_CLOCK_DIVIDED ? (uint32_t)baud
	                                                              : BAUD_DEFAULT;
	divisor = UART_CLOCK_DIVIDED / console_baud;
	port_write8(console_port + UART_IER, 0);
	port_write8(console_port + UART_LCR, UART_LCR_DLAB);
	port_write8(console_port + UART_DATA, (uint8_t)divisor);
	port_write8(console_port + UART_IER, (uint8_t)(divisor >> 8));
	port_write8(console_port + UART_LCR, UART_LCR_8N1);
	port_write8(console_port + UART_FCR, UART_FCR_ENABLE_CLEAR);
	port_write8(console_port + UART_MCR, UART_MCR_DTR_RTS_OUT2);
	if (port_read8(console_port + UART_LCR) != UART_LCR_8N1) {
		console_port = 0; /* nobody there */
	}
}

void console_init(void)
{
	const char *text = cmdline_find("console");

	if (text == NULL || strncmp(text, "none", 4) != 0) {
		arch_console_open(COM1_PORT, BAUD_DEFAULT);
	}
}

static void uart_send(char c)
{
	for (uint32_t i = 0;
	     i < SEND_LOOPS_MAX && (port_read8(console_port + UART_LSR) & UART_LSR_EMPTY) == 0;
	     i++) {
		__builtin_ia32_pause();
	}
	port_write8(console_port + UART_DATA, (uint8_t)c);
}

void arch_console_write(const char *text, size_t length)
{
	if (console_port == 0 || arch_console_claimed) {
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n') {
			uart_send('\r');
		}
		uart_send(text[i]);
	}
}
