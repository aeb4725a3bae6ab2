// SPDX-License-Identifier: Apache-2.0
/*
 * Reset control, an 8042 whose keyboard is unplugged, port 0x92, debug exit.
 *
 * Must never: let a probing driver wait for a byte that does not come where a controller would send
 * one.
 */
#include "vmm/devices/reset.h"

#include <stddef.h>

#include "bulkhead/errors.h"

#define CONTROL_CPU              0x04u
#define CONTROL_KEPT             0x0au

#define STATUS_OUTPUT_FULL       0x01u
#define STATUS_SYSTEM            0x04u
#define STATUS_UNLOCKED          0x10u

#define COMMAND_READ_BYTE        0x20u
#define COMMAND_WRITE_BYTE       0x60u
#define COMMAND_AUX_TEST         0xa9u
#define COMMAND_SELF_TEST        0xaau
#define COMMAND_KBD_TEST         0xabu
#define COMMAND_READ_OUTPUT      0xd0u
#define COMMAND_WRITE_OUTPUT     0xd1u
#define COMMAND_WRITE_KBD_BUFFER 0xd2u
#define COMMAND_WRITE_AUX_BUFFER 0xd3u
#define COMMAND_WRITE_AUX        0xd4u
#define COMMAND_PULSE            0xf0u /* to 0xff; a zero bit pulses that line */

#define OUTPUT_NO_RESET          0x01u
#define OUTPUT_A20               0x02u

#define SELF_TEST_PASSED         0x55u
#define LINE_STUCK_HIGH          0x02u /* answer to the interface tests: nobody there */

#define PORT92_RESET             0x01u
#define PORT92_A20               0x02u

const char *reset_cause_name(enum reset_cause cause)
{
	switch (cause) {
	case RESET_CAUSE_CF9:
		return "port 0xcf9";
	case RESET_CAUSE_8042:
		return "keyboard controller";
	case RESET_CAUSE_PORT92:
		return "port 0x92";
	}
	return "unknown";
}

uint8_t reset_control_read(const struct reset *reset)
{
	return reset->control;
}

void reset_control_write(struct reset *reset, uint8_t value)
{
	bool rises = (value & CONTROL_CPU) && !(reset->control & CONTROL_CPU);

	reset->control = value & (CONTROL_KEPT | CONTROL_CPU);
	if (rises) {
		reset->control &= CONTROL_KEPT;
		reset->request(reset->context, RESET_CAUSE_CF9);
	}
}

static void answer(struct reset *reset, uint8_t byte)
{
	reset->output = byte;
	reset->is_output_full = true;
}

static void command_write(struct reset *reset, uint8_t command)
{
	reset->pending = 0;
	switch (command) {
	case COMMAND_READ_BYTE:
		answer(reset, reset->command_byte);
		break;
	case COMMAND_SELF_TEST:
		answer(reset, SELF_TEST_PASSED);
		break;
	case COMMAND_KBD_TEST:
	case COMMAND_AUX_TEST:
		answer(reset, LINE_STUCK_HIGH);
		break;
	case COMMAND_READ_OUTPUT:
		answer(reset, reset->output_port);
		break;
	case COMMAND_WRITE_BYTE:
	case COMMAND_WRITE_OUTPUT:
	case COMMAND_WRITE_KBD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER:
	case COMMAND_WRITE_AUX:
		reset->pending = command;
		break;
	default:
		if (command >= COMMAND_PULSE && !(command & OUTPUT_NO_RESET)) {
			reset->request(reset->context, RESET_CAUSE_8042);
		}
		break;
	}
}

static void data_write(struct reset *reset, uint8_t value)
{
	uint8_t command = reset->pending;

	reset->pending = 0;
	switch (command) {
	case COMMAND_WRITE_BYTE:
		reset->command_byte = value;
		break;
	case COMMAND_WRITE_OUTPUT:
		reset->output_port = value | OUTPUT_NO_RESET;
		if (!(value & OUTPUT_NO_RESET)) {
			reset->request(reset->context, RESET_CAUSE_8042);
		}
		break;
	case COMMAND_WRITE_KBD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER:
		answer(reset, value);
		break;
	default: /* to the keyboard or mouse that is not there: no answer */
		break;
	}
}

static uint64_t data_port_read(void *device, uint64_t offset, uint32_t width)
{
	struct reset *reset = device;

	(void)offset;
	(void)width;
	reset->is_output_full = false;
	return reset->output;
}

static void data_port_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)offset;
	(void)width;
	data_write(device, (uint8_t)value);
}

static uint64_t status_port_read(void *device, uint64_t offset, uint32_t width)
{
	const struct reset *reset = device;

	(void)offset;
	(void)width;
	return STATUS_SYSTEM | STATUS_UNLOCKED | (reset->is_output_full ? STATUS_OUTPUT_FULL : 0u);
}

static void status_port_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)offset;
	(void)width;
	command_write(device, (uint8_t)value);
}

static uint64_t port92_read(void *device, uint64_t offset, uint32_t width)
{
	const struct reset *reset = device;

	(void)offset;
	(void)width;
	return reset->port92;
}

/* The A20 line is kept to be read back; address bit 20 is never forced low. */
static void port92_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct reset *reset = device;
	bool rises = (value & PORT92_RESET) && !(reset->port92 & PORT92_RESET);

	(void)offset;
	(void)width;
	reset->port92 = value & (PORT92_A20 | PORT92_RESET);
	if (rises) {
		reset->request(reset->context, RESET_CAUSE_PORT92);
	}
}

static uint64_t debug_exit_read(void *device, uint64_t offset, uint32_t width)
{
	(void)device;
	(void)offset;
	(void)width;
	return 0;
}

static void debug_exit_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct reset *reset = device;

	(void)width;
	if (offset == 0) {
		reset->debug_exit(reset->context, (uint8_t)value);
	}
}

void reset_reset(struct reset *reset)
{
	reset->control = 0;
	reset->port92 = PORT92_A20;
	reset->command_byte = 0x30; /* both ports disabled */
	reset->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
	reset->pending = 0;
	reset->output = 0;
	reset->is_output_full = false;
}

int reset_attach(struct reset *reset, struct bus *bus)
{
	const struct bus_range ranges[] = {
		{ 0x60, 1, data_port_read, data_port_write, reset, BUS_WIDTH_1 },
		{ 0x64, 1, status_port_read, status_port_write, reset, BUS_WIDTH_1 },
		{ 0x92, 1, port92_read, port92_write, reset, BUS_WIDTH_1 },
		{ 0xf4, 4, debug_exit_read, debug_exit_write, reset, BUS_WIDTH_124 },
	};
	uint32_t count = reset->debug_exit ? 4 : 3;
	int error = BH_OK;

	for (uint32_t i = 0; i < count && error == BH_OK; i++) {
		error = bus_port_add(bus, &ranges[i]);
	}
	return error;
}
