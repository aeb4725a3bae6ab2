// SPDX-License-Identifier: Apache-2.0
/*
 * Two 8259A interrupt controllers, cascaded as in a PC, with the ELCR of the ISA bridge.
 *
 * Owns: ports 0x20-0x21, 0xa0-0xa1, 0x4d0-0x4d1, and the INT line to the first CPU's LINT0.
 * Must never: decide when the CPU takes an interrupt; it acknowledges by pic_acknowledge().
 * Manual: Intel 8259A data sheet (231468).
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define PIC_PINS 16

enum pic_init_step {
	PIC_INIT_NONE = 0,
	PIC_INIT_ICW2,
	PIC_INIT_ICW3,
	PIC_INIT_ICW4
};

struct pic_chip {
	uint8_t irr;    /* requests latched (edge) or present (level) */
	uint8_t isr;    /* in service */
	uint8_t imr;    /* masked */
	uint8_t lines;  /* level of the inputs now */
	uint8_t elcr;   /* 1: level-triggered */
	uint8_t vector; /* of input 0 */
	uint8_t lowest; /* input of lowest priority */
	uint8_t icw3;
	uint8_t init_step; /* enum pic_init_step */
	bool needs_icw4;
	bool is_single;
	bool reads_isr;
	bool is_polled;
	bool is_special_mask;
	bool is_auto_eoi;
	bool rotates_auto_eoi;
	bool is_fully_nested; /* special fully nested mode */
};

struct pic {
	struct pic_chip chips[2]; /* 0: master */
	bool is_int_high;
	struct irq_line intr; /* to the CPU */
};

/* Power-on state; `intr` stays as it is set by the machine. */
void pic_reset(struct pic *pic);

/* Claims the ports. Errors as bus_port_add(). */
int pic_attach(struct pic *pic, struct bus *bus);

/* The level of ISA interrupt `number` (0-15; 2 is the cascade and ignored). */
void pic_line_set(struct pic *pic, uint32_t number, bool level);

/*
 * The CPU's interrupt-acknowledge cycle: the vector, spurious (input 7) if the request went away.
 */
uint8_t pic_acknowledge(struct pic *pic);
