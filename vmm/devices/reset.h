// SPDX-License-Identifier: Apache-2.0
/*
 * The ways to reset a PC, and what kernels probe around them: reset control 0xcf9, the 8042 at
 * 0x60/0x64 without a keyboard, the fast A20 and reset port 0x92, and the debug-exit port 0xf4 when
 * it is asked for.
 *
 * Owns: ports 0x60, 0x64, 0x92, 0xf4. 0xcf9 lies inside the PCI address port and comes through
 * pci.c. Must never: reset anything itself; requests go to the machine with their cause. Manual:
 * Intel PCH data sheet "RST_CNT"; IBM PS/2 HITRM, keyboard controller.
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

enum reset_cause {
	RESET_CAUSE_CF9,
	RESET_CAUSE_8042,
	RESET_CAUSE_PORT92,
};

struct reset {
	uint8_t control; /* 0xcf9 */
	uint8_t port92;
	uint8_t command_byte; /* of the 8042 */
	uint8_t output_port;
	uint8_t pending; /* command that waits for its data byte at 0x60; 0 = none */
	uint8_t output;  /* byte for the guest at 0x60 */
	bool is_output_full;
	void (*request)(void *context, enum reset_cause cause);
	void (*debug_exit)(void *context, uint8_t code); /* NULL: no port 0xf4 */
	void *context;
};

void reset_reset(struct reset *reset);
int reset_attach(struct reset *reset, struct bus *bus);

/* Port 0xcf9. */
uint8_t reset_control_read(const struct reset *reset);
void reset_control_write(struct reset *reset, uint8_t value);

/* The cause as a word for messages. */
const char *reset_cause_name(enum reset_cause cause);
