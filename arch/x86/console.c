/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's serial console: a 16550 by ports, polled, output only (NS16550 data sheet). Which one: `console=`, else SPCR, else COM1. */
#include "arch/x86/console.h"

#include "arch/x86/acpi.h"
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/start.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define COM1_PORT             0x3f8u
#define COM1_IRQ              4u
#define COM2_PORT             0x2f8u
#define COM2_IRQ              3u
#define BAUD_DEFAULT          115200u
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
#define UART_SCRATCH          7u
#define SEND_LOOPS_MAX        200000u

bool arch_console_claimed;
struct arch_console arch_console;

static bool is_chosen_by_operator;

static bool uart_is_there(uint16_t port)
{
	port_write8(port + UART_SCRATCH, 0x5a);
	if (port_read8(port + UART_SCRATCH) != 0x5a) {
		return false;
	}
	port_write8(port + UART_SCRATCH, 0xa5);
	return port_read8(port + UART_SCRATCH) == 0xa5;
}

static void uart_open(uint16_t port, uint32_t baud)
{
	uint32_t divisor = UART_CLOCK_DIVIDED / baud;

	arch_console.is_present = false;
	if (!uart_is_there(port)) {
		return;
	}
	port_write8(port + UART_IER, 0);
	port_write8(port + UART_LCR, UART_LCR_DLAB);
	port_write8(port + UART_DATA, (uint8_t)divisor);
	port_write8(port + UART_IER, (uint8_t)(divisor >> 8));
	port_write8(port + UART_LCR, UART_LCR_8N1);
	port_write8(port + UART_FCR, UART_FCR_ENABLE_CLEAR);
	port_write8(port + UART_MCR, UART_MCR_DTR_RTS_OUT2);
	arch_console.port = port;
	arch_console.baud = baud;
	arch_console.is_present = true;
}

static uint64_t number_parse(const char **text)
{
	uint64_t number = 0;
	uint32_t base = 10;
	const char *p = *text;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	for (;; p++) {
		uint32_t digit = *p >= '0' && *p <= '9' ? (uint32_t)(*p - '0')
		                                        : (uint32_t)((*p | 0x20) - 'a') + 10;

		if (digit >= base) {
			break;
		}
		number = number * base + digit;
	}
	*text = p;
	return number;
}

void console_init(void)
{
	uint64_t port = COM1_PORT, baud = BAUD_DEFAULT;
	const char *text;
	char word[32];

	arch_console.gsi = ~0u;
	if (cmdline_value("console", word, sizeof(word))) {
		is_chosen_by_operator = true;
		text = word;
		if (strncmp(word, "none", 4) == 0) {
			return;
		}
		if (strncmp(word, "com", 3) == 0 && word[3] != '\0') {
			port = word[3] == '2' ? COM2_PORT : COM1_PORT;
			text += 4;
		} else {
			port = number_parse(&text);
		}
		if (*text == ',') {
			text++;
			baud = number_parse(&text);
		}
	}
	baud = baud >= 300 && baud <= UART_CLOCK_DIVIDED ? baud : BAUD_DEFAULT;
	uart_open(port != 0 && port <= 0xfff8 ? (uint16_t)port : COM1_PORT, (uint32_t)baud);
}

static void interrupt_find(void)
{
	uint8_t irq = arch_console.port == COM1_PORT   ? COM1_IRQ
	              : arch_console.port == COM2_PORT ? COM2_IRQ
	                                               : 0;
	struct acpi_override route;

	if (acpi.serial.base.address == arch_console.port && acpi.serial.irq != 0) {
		irq = acpi.serial.irq;
	}
	if (irq != 0) {
		route = acpi_isa_route(irq);
		arch_console.gsi = route.gsi;
		arch_console.is_level = route.is_level;
		arch_console.is_low = route.is_low;
	} else if (acpi.serial.base.address == arch_console.port) {
		arch_console.gsi = acpi.serial.gsi;
		arch_console.is_level = true;
	}
}

void console_configure(void)
{
	const struct acpi_register *spcr = &acpi.serial.base;

	if (!is_chosen_by_operator && spcr->address != 0 && spcr->address != arch_console.port) {
		if (spcr->is_port && spcr->address <= 0xfff8) {
			log_print("console: SPCR names port %lx", spcr->address);
			uart_open((uint16_t)spcr->address,
			          acpi.serial.baud != 0 ? acpi.serial.baud : BAUD_DEFAULT);
		} else {
			log_print(
				"console: SPCR names a UART in memory, which is not supported; staying at port %x",
				arch_console.port);
		}
	}
	if (arch_console.is_present) {
		interrupt_find();
	}
}

static void uart_send(char c)
{
	uint16_t port = arch_console.port;

	for (uint32_t i = 0;
	     i < SEND_LOOPS_MAX && (port_read8(port + UART_LSR) & UART_LSR_EMPTY) == 0; i++) {
		cpu_pause();
	}
	port_write8(port + UART_DATA, (uint8_t)c);
}

void arch_console_write(const char *text, size_t length)
{
	screen_write(text, length);
	if (!arch_console.is_present || arch_console_claimed) {
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\n') {
			uart_send('\r');
		}
		uart_send(text[i]);
	}
}
