// SPDX-License-Identifier: Apache-2.0
/*
 * One I/O APIC with 24 pins, version 0x20 (with the EOI register), at guest-physical 0xfec00000.
 *
 * Owns: the redirection table and the remote IRR bits. Sends by composing the message that the
 * hardware would write to the local APICs. Must never: send a level-triggered interrupt again
 * before its EOI. Manual: Intel 82093AA data sheet; SDM 3A 11.11 for the message.
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define IOAPIC_PINS 24
#define IOAPIC_GPA  0xfec00000ull
#define IOAPIC_SIZE 0x1000ull

struct ioapic {
	uint64_t entries[IOAPIC_PINS]; /* redirection table */
	uint32_t lines;                /* level of each pin now */
	uint32_t select;               /* IOREGSEL */
	uint32_t id;                   /* bits 27:24 of register 0 */
	uint64_t sent_count;
	void (*send)(void *context, uint64_t address,
	             uint32_t data); /* a message to the local APICs */
	void *context;
};

/* Power-on state: all pins masked; `send`, `context` and the lines stay. */
void ioapic_reset(struct ioapic *ioapic);
int ioapic_attach(struct ioapic *ioapic, struct bus *bus);

/* The level of a pin (0-23; others are ignored). */
void ioapic_line_set(struct ioapic *ioapic, uint32_t pin, bool level);

/* EOI of a level-triggered vector, broadcast by a local APIC (SDM 3A 11.8.5). */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);
