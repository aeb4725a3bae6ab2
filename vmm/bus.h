// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's buses: which device answers a port or a guest-physical address.
 *
 * Owns: two sorted tables of ranges, and the count of accesses that nobody claims.
 * Must never: hold device state, or fail: what does not exist reads as all ones and ignores writes.
 * Access widths that a device does not take are split, lowest address first, as the ISA bridge
 * does.
 */
#pragma once

#include <stdint.h>

#define BUS_PORT_RANGES_MAX 48
#define BUS_MMIO_RANGES_MAX 48

/* Widths that a device takes in one access: the width in bytes is its own bit. */
#define BUS_WIDTH_1   1u
#define BUS_WIDTH_2   2u
#define BUS_WIDTH_4   4u
#define BUS_WIDTH_8   8u
#define BUS_WIDTH_124 7u
#define BUS_WIDTH_ALL 15u

/*
 * `offset` is from the range's base. Of a value read, the low `width` bytes count; of a value
 * written, the bytes above them are zero.
 */
typedef uint64_t (*bus_read_fn)(void *device, uint64_t offset, uint32_t width);
typedef void (*bus_write_fn)(void *device, uint64_t offset, uint32_t width, uint64_t value);

struct bus_range {
	uint64_t base;
	uint64_t size;
	bus_read_fn read;   /* NULL: all ones */
	bus_write_fn write; /* NULL: ignored */
	void *device;
	uint32_t widths; /* BUS_WIDTH_* */
};

struct bus_table {
	struct bus_range *ranges; /* sorted by base, none overlap */
	uint32_t count;
	uint32_t max;
	const struct bus_range
		*last; /* of the last access: kernels poll one device many times in a row */
};

struct bus {
	struct bus_table ports;
	struct bus_table mmio;
	uint64_t unclaimed_count; /* accesses (or parts of them) that no range took */
	struct bus_range port_ranges[BUS_PORT_RANGES_MAX];
	struct bus_range mmio_ranges[BUS_MMIO_RANGES_MAX];
};

/* Makes an empty bus. */
void bus_init(struct bus *bus);

/*
 * BH_ERR_EXISTS if it overlaps another range, BH_ERR_LIMIT if the table is full, BH_ERR_INVALID if
 * it wraps or is empty.
 */
int bus_port_add(struct bus *bus, const struct bus_range *range);
int bus_mmio_add(struct bus *bus, const struct bus_range *range);

/* Takes the range that begins at base away. BH_ERR_NOT_FOUND. */
int bus_port_remove(struct bus *bus, uint64_t base);
int bus_mmio_remove(struct bus *bus, uint64_t base);

/*
 * One access of `width` bytes: 1, 2, 4, and for memory 8; no others. A value written is zero above
 * its width. Never fail.
 */
uint64_t bus_port_read(struct bus *bus, uint32_t port, uint32_t width);
void bus_port_write(struct bus *bus, uint32_t port, uint32_t width, uint64_t value);
uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, uint32_t width);
void bus_mmio_write(struct bus *bus, uint64_t gpa, uint32_t width, uint64_t value);
