// SPDX-License-Identifier: Apache-2.0
/*
 * Two 8259A: command words, priorities, acknowledge cycles.
 *
 * Must never: leave the INT line out of step with the registers: every change ends in update().
 */
#include "vmm/devices/pic.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"

#define ICW1_INIT     0x10u
#define ICW1_LEVEL    0x08u
#define ICW1_SINGLE   0x02u
#define ICW1_ICW4     0x01u

#define ICW4_SFNM     0x10u
#define ICW4_AUTO_EOI 0x02u

#define OCW3_SELECT   0x08u
#define OCW3_SMM_SET  0x40u
#define OCW3_SMM      0x20u
#define OCW3_POLL     0x04u
#define OCW3_READ     0x02u
#define OCW3_READ_ISR 0x01u

#define OCW2_ROTATE   0x80u
#define OCW2_SPECIFIC 0x40u
#define OCW2_EOI      0x20u

#define CASCADE_INPUT 2u

/* Inputs 0, 1, 2, 8 and 13 are edge-triggered always (PIIX 4 data sheet, ELCR). */
static const uint8_t elcr_writable[2] = { 0xf8, 0xde };

/* The highest-priority input of the set, as its distance from the highest; 8 = none. */
static uint32_t chip_priority(const struct pic_chip *chip, uint32_t set)
{
	uint32_t distance;

	for (distance = 0; distance < 8; distance++) {
		if (set & (1u << ((chip->lowest + 1u + distance) & 7u))) {
			break;
		}
	}
	return distance;
}

static uint32_t chip_input(const struct pic_chip *chip, uint32_t distance)
{
	return (chip->lowest + 1u + distance) & 7u;
}

/* The input that the chip would hand over now, or 8. */
static uint32_t chip_pending(const struct pic_chip *chip, bool is_master)
{
	uint32_t wanted = chip_priority(chip, chip->irr & (uint8_t)~chip->imr);
	uint32_t in_service = chip->isr;

	if (wanted == 8 || chip->init_step != PIC_INIT_NONE) {
		return 8;
	}
	if (chip->is_special_mask) {
		in_service &= (uint8_t)~chip->imr;
	}
	if (chip->is_fully_nested && is_master) {
		in_service &= ~(1u << CASCADE_INPUT);
	}
	return wanted < chip_priority(chip, in_service) ? chip_input(chip, wanted) : 8;
}

static void chip_line_set(struct pic_chip *chip, uint32_t input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);
	bool was = (chip->lines & bit) != 0;

	chip->lines = (uint8_t)(level ? chip->lines | bit : chip->lines & ~bit);
	if (chip->elcr & bit) {
		chip->irr = (uint8_t)(level ? chip->irr | bit : chip->irr & ~bit);
	} else if (level && !was) {
		chip->irr |= bit;
	} else if (!level) {
		chip->irr = (uint8_t)(chip->irr &
		                      ~bit); /* the request must stay until the acknowledge */
	}
}

/* Carries the slave's output to the master and the master's to the CPU. */
static void update(struct pic *pic)
{
	bool is_high;

	chip_line_set(&pic->chips[0], CASCADE_INPUT, chip_pending(&pic->chips[1], false) != 8);
	is_high = chip_pending(&pic->chips[0], true) != 8;
	if (is_high != pic->is_int_high) {
		pic->is_int_high = is_high;
		irq_line_set(&pic->intr, is_high);
	}
}

static void chip_end_of_interrupt(struct pic_chip *chip, uint32_t input, bool rotates)
{
	chip->isr = (uint8_t)(chip->isr & ~(1u << input));
	if (rotates) {
		chip->lowest = (uint8_t)input;
	}
}

/* One acknowledge cycle at one chip: the input, 7 for a spurious one. */
static uint32_t chip_acknowledge(struct pic_chip *chip, bool is_master)
{
	uint32_t input = chip_pending(chip, is_master);
	uint8_t bit;

	if (input == 8) {
		return 8;
	}
	bit = (uint8_t)(1u << input);
	if ((chip->elcr & bit) == 0) {
		chip->irr = (uint8_t)(chip->irr & ~bit);
	}
	chip->isr |= bit;
	if (chip->is_auto_eoi) {
		chip_end_of_interrupt(chip, input, chip->rotates_auto_eoi);
	}
	return input;
}

uint8_t pic_acknowledge(struct pic *pic)
{
	uint32_t input = chip_acknowledge(&pic->chips[0], true);
	uint32_t slave_input;
	uint8_t vector;

	if (input == 8) {
		vector = (uint8_t)(pic->chips[0].vector | 7u); /* spurious: ISR stays clear */
	} else if (input == CASCADE_INPUT) {
		slave_input = chip_acknowledge(&pic->chips[1], false);
		/*
		 * The slave's request pulses for each interrupt: a further one must make a new edge
		 * at the master.
		 */
		chip_line_set(&pic->chips[0], CASCADE_INPUT, false);
		vector = (uint8_t)(pic->chips[1].vector | (slave_input & 7u));
		if (slave_input == 8) {
			vector |= 7u;
		}
	} else {
		vector = (uint8_t)(pic->chips[0].vector | input);
	}
	update(pic);
	return vector;
}

void pic_line_set(struct pic *pic, uint32_t number, bool level)
{
	if (number >= PIC_PINS || number == CASCADE_INPUT) {
		return;
	}
	chip_line_set(&pic->chips[number / 8], number % 8, level);
	update(pic);
}

/*
 * ICW1 clears all but the inputs; edge-triggered requests must come again (8259A,
 * "Initialization").
 */
static void chip_init_start(struct pic_chip *chip, uint8_t value)
{
	uint8_t lines = chip->lines;
	uint8_t elcr = chip->elcr;

	memset(chip, 0, sizeof(*chip));
	chip->lines = lines;
	chip->elcr = elcr;
	chip->irr = lines & elcr;
	chip->lowest = 7;
	chip->needs_icw4 = (value & ICW1_ICW4) != 0;
	chip->is_single = (value & ICW1_SINGLE) != 0;
	chip->init_step = PIC_INIT_ICW2;
}

static void chip_write_ocw2(struct pic_chip *chip, uint8_t value)
{
	bool rotates = (value & OCW2_ROTATE) != 0;
	uint32_t level = value & 7u;
	uint32_t distance;

	if (value & OCW2_EOI) {
		if (value & OCW2_SPECIFIC) {
			chip_end_of_interrupt(chip, level, rotates);
			return;
		}
		distance = chip_priority(
			chip, chip->is_special_mask ? chip->isr & (uint8_t)~chip->imr : chip->isr);
		if (distance < 8) {
			chip_end_of_interrupt(chip, chip_input(chip, distance), rotates);
		}
		return;
	}
	if ((value & OCW2_SPECIFIC) == 0) {
		chip->rotates_auto_eoi = rotates;
	} else if (rotates) {
		chip->lowest = (uint8_t)level; /* set priority */
	}
}

static void chip_write_command(struct pic_chip *chip, uint8_t value)
{
	if (value & ICW1_INIT) {
		chip_init_start(chip, value);
		return;
	}
	if ((value & OCW3_SELECT) == 0) {
		chip_write_ocw2(chip, value);
		return;
	}
	if (value & OCW3_POLL) {
		chip->is_polled = true;
	}
	if (value & OCW3_READ) {
		chip->reads_isr = (value & OCW3_READ_ISR) != 0;
	}
	if (value & OCW3_SMM_SET) {
		chip->is_special_mask = (value & OCW3_SMM) != 0;
	}
}

static void chip_write_data(struct pic_chip *chip, uint8_t value)
{
	switch ((enum pic_init_step)chip->init_step) {
	case PIC_INIT_NONE:
		chip->imr = value;
		break;
	case PIC_INIT_ICW2:
		chip->vector = value & 0xf8u;
		chip->init_step = PIC_INIT_ICW3;
		if (chip->is_single) {
			chip->init_step = chip->needs_icw4 ? PIC_INIT_ICW4 : PIC_INIT_NONE;
		}
		break;
	case PIC_INIT_ICW3:
		chip->icw3 = value;
		chip->init_step = chip->needs_icw4 ? PIC_INIT_ICW4 : PIC_INIT_NONE;
		break;
	case PIC_INIT_ICW4:
		chip->is_fully_nested = (value & ICW4_SFNM) != 0;
		chip->is_auto_eoi = (value & ICW4_AUTO_EOI) != 0;
		chip->init_step = PIC_INIT_NONE;
		break;
	}
}

/* The poll command makes the next read an acknowledge cycle (8259A, "Poll Command"). */
static uint8_t chip_poll(struct pic_chip *chip, bool is_master)
{
	uint32_t input = chip_acknowledge(chip, is_master);

	chip->is_polled = false;
	return input == 8 ? 0 : (uint8_t)(0x80u | input);
}

static uint64_t chip_read(struct pic *pic, uint32_t idx, uint64_t offset)
{
	struct pic_chip *chip = &pic->chips[idx];
	uint8_t value;

	if (chip->is_polled) {
		value = chip_poll(chip, idx == 0);
		update(pic);
		return value;
	}
	if (offset == 1) {
		return chip->imr;
	}
	return chip->reads_isr ? chip->isr : chip->irr;
}

static void chip_write(struct pic *pic, uint32_t idx, uint64_t offset, uint8_t value)
{
	if (offset == 0) {
		chip_write_command(&pic->chips[idx], value);
	} else {
		chip_write_data(&pic->chips[idx], value);
	}
	update(pic);
}

static uint64_t master_read(void *device, uint64_t offset, uint32_t width)
{
	(void)width;
	return chip_read(device, 0, offset);
}

static void master_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)width;
	chip_write(device, 0, offset, (uint8_t)value);
}

static uint64_t slave_read(void *device, uint64_t offset, uint32_t width)
{
	(void)width;
	return chip_read(device, 1, offset);
}

static void slave_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)width;
	chip_write(device, 1, offset, (uint8_t)value);
}

static uint64_t elcr_read(void *device, uint64_t offset, uint32_t width)
{
	const struct pic *pic = device;

	(void)width;
	return pic->chips[offset & 1].elcr;
}

static void elcr_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pic *pic = device;
	struct pic_chip *chip = &pic->chips[offset & 1];

	(void)width;
	chip->elcr = (uint8_t)value & elcr_writable[offset & 1];
	chip->irr = (uint8_t)((chip->irr & ~chip->elcr) | (chip->lines & chip->elcr));
	update(pic);
}

void pic_reset(struct pic *pic)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t lines = pic->chips[i].lines;

		memset(&pic->chips[i], 0, sizeof(pic->chips[i]));
		pic->chips[i].lines = lines;
		pic->chips[i].lowest = 7;
		pic->chips[i].imr = 0xff; /* as firmware leaves it */
		pic->chips[i].vector = i == 0 ? 0x08 : 0x70;
	}
	update(pic);
}

int pic_attach(struct pic *pic, struct bus *bus)
{
	const struct bus_range ranges[] = {
		{ 0x20, 2, master_read, master_write, pic, BUS_WIDTH_1 },
		{ 0xa0, 2, slave_read, slave_write, pic, BUS_WIDTH_1 },
		{ 0x4d0, 2, elcr_read, elcr_write, pic, BUS_WIDTH_1 },
	};
	int error = BH_OK;

	for (uint32_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && error == BH_OK; i++) {
		error = bus_port_add(bus, &ranges[i]);
	}
	return error;
}
