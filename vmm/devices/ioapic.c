// SPDX-License-Identifier: Apache-2.0
/*
 * I/O APIC: registers behind the index window, edge and level delivery, EOI.
 *
 * Must never: believe the guest's pin or register numbers without a check.
 */
#include "vmm/devices/ioapic.h"

#include <stddef.h>

#define REG_ID           0x00u
#define REG_VERSION      0x01u
#define REG_ARB          0x02u
#define REG_TABLE        0x10u

#define OFFSET_SELECT    0x00u
#define OFFSET_WINDOW    0x10u
#define OFFSET_EOI       0x40u

#define VERSION          0x20u

#define ENTRY_VECTOR     0xffull
#define ENTRY_MODE_SHIFT 8
#define ENTRY_MODE       (7ull << ENTRY_MODE_SHIFT)
#define ENTRY_LOGICAL    (1ull << 11)
#define ENTRY_STATUS     (1ull << 12)
#define ENTRY_LOW        (1ull << 13)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL      (1ull << 15)
#define ENTRY_MASKED     (1ull << 16)
#define ENTRY_DEST_SHIFT 56
#define ENTRY_READ_ONLY  (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE   (0xff0000000001ffffull & ~ENTRY_READ_ONLY)

#define MODE_FIXED       0u
#define MODE_LOWEST      1u

/* SDM 3A 11.11: address and data of a message-signalled interrupt. */
#define MSI_ADDRESS         0xfee00000ull
#define MSI_ADDRESS_LOGICAL 0x4u
#define MSI_ADDRESS_HINT    0x8u
#define MSI_DATA_ASSERT     0x4000u
#define MSI_DATA_LEVEL      0x8000u

static void pin_send(struct ioapic *ioapic, uint32_t pin)
{
	uint64_t entry = ioapic->entries[pin];
	uint32_t mode = (uint32_t)((entry & ENTRY_MODE) >> ENTRY_MODE_SHIFT);
	uint64_t address = MSI_ADDRESS | (entry >> ENTRY_DEST_SHIFT) << 12;
	uint32_t data = (uint32_t)(entry & ENTRY_VECTOR) | mode << 8;

	if (entry & ENTRY_LOGICAL) {
		address |= MSI_ADDRESS_LOGICAL;
	}
	if (mode == MODE_LOWEST) {
		address |= MSI_ADDRESS_HINT;
	}
	if (entry & ENTRY_LEVEL) {
		data |= MSI_DATA_LEVEL | MSI_DATA_ASSERT;
		if (mode == MODE_FIXED || mode == MODE_LOWEST) {
			ioapic->entries[pin] |= ENTRY_REMOTE_IRR;
		}
	}
	ioapic->sent_count++;
	if (ioapic->send) {
		ioapic->send(ioapic->context, address, data);
	}
}

/* Sends a level-triggered pin that is asserted, unmasked and not in service already. */
static void pin_update_level(struct ioapic *ioapic, uint32_t pin)
{
	uint64_t entry = ioapic->entries[pin];

	if ((entry & ENTRY_LEVEL) && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) &&
	    (ioapic->lines & (1u << pin))) {
		pin_send(ioapic, pin);
	}
}

void ioapic_line_set(struct ioapic *ioapic, uint32_t pin, bool level)
{
	uint32_t bit;
	bool was;

	if (pin >= IOAPIC_PINS) {
		return;
	}
	bit = 1u << pin;
	was = (ioapic->lines & bit) != 0;
	ioapic->lines = level ? ioapic->lines | bit : ioapic->lines & ~bit;
	if (!level || was) {
		return;
	}
	if (ioapic->entries[pin] & ENTRY_LEVEL) {
		pin_update_level(ioapic, pin);
	} else if (!(ioapic->entries[pin] & ENTRY_MASKED)) {
		pin_send(ioapic, pin); /* an edge while masked is lost, as in the 82093AA */
	}
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((ioapic->entries[pin] & ENTRY_VECTOR) != vector ||
		    !(ioapic->entries[pin] & ENTRY_REMOTE_IRR)) {
			continue;
		}
		ioapic->entries[pin] &= ~ENTRY_REMOTE_IRR;
		pin_update_level(ioapic, pin);
	}
}

static uint32_t register_read(const struct ioapic *ioapic)
{
	uint32_t idx = ioapic->select - REG_TABLE;

	switch (ioapic->select) {
	case REG_ID:
	case REG_ARB:
		return ioapic->id << 24;
	case REG_VERSION:
		return VERSION | (IOAPIC_PINS - 1) << 16;
	default:
		break;
	}
	if (ioapic->select < REG_TABLE || idx >= 2 * IOAPIC_PINS) {
		return UINT32_MAX;
	}
	return (uint32_t)(ioapic->entries[idx / 2] >> (idx % 2 * 32));
}

static void entry_write(struct ioapic *ioapic, uint32_t idx, uint32_t value)
{
	uint32_t pin = idx / 2;
	uint32_t shift = idx % 2 * 32;
	uint64_t entry = ioapic->entries[pin];

	entry = (entry & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
	entry = (entry & ENTRY_WRITABLE) | (ioapic->entries[pin] & ENTRY_REMOTE_IRR);
	if (!(entry & ENTRY_LEVEL)) {
		entry &=
			/* changing to edge clears it: kernels use that as an EOI */
			~ENTRY_REMOTE_IRR;
	}
	ioapic->entries[pin] = entry;
	pin_update_level(ioapic, pin);
}

static void register_write(struct ioapic *ioapic, uint32_t value)
{
	uint32_t idx = ioapic->select - REG_TABLE;

	if (ioapic->select == REG_ID) {
		ioapic->id = value >> 24 & 0xfu;
	} else if (ioapic->select >= REG_TABLE && idx < 2 * IOAPIC_PINS) {
		entry_write(ioapic, idx, value);
	}
}

static uint64_t ioapic_read(void *device, uint64_t offset, uint32_t width)
{
	const struct ioapic *ioapic = device;

	(void)width;
	switch (offset) {
	case OFFSET_SELECT:
		return ioapic->select;
	case OFFSET_WINDOW:
		return register_read(ioapic);
	default:
		return 0;
	}
}

static void ioapic_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct ioapic *ioapic = device;

	(void)width;
	switch (offset) {
	case OFFSET_SELECT:
		ioapic->select = value & 0xffu;
		break;
	case OFFSET_WINDOW:
		register_write(ioapic, (uint32_t)value);
		break;
	case OFFSET_EOI:
		ioapic_eoi(ioapic, (uint8_t)value);
		break;
	default:
		break;
	}
}

/* Some kernels write the index as a byte: the register is there in any width up to 4. */
int ioapic_attach(struct ioapic *ioapic, struct bus *bus)
{
	const struct bus_range range = { IOAPIC_GPA,   IOAPIC_SIZE, ioapic_read,
		                         ioapic_write, ioapic,      BUS_WIDTH_124 };

	return bus_mmio_add(bus, &range);
}

void ioapic_reset(struct ioapic *ioapic)
{
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic->entries[pin] = ENTRY_MASKED;
	}
	ioapic->select = 0;
	ioapic->id = 0;
}
