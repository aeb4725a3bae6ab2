// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's buses: sorted range tables, binary search, splitting of widths.
 *
 * Must never: hand a device an offset outside its range or a width that it did not ask for.
 */
#include "vmm/bus.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"

static void table_init(struct bus_table *table, struct bus_range *ranges, uint32_t max)
{
	table->ranges = ranges;
	table->count = 0;
	table->max = max;
	table->last = table->ranges;
}

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	table_init(&bus->ports, bus->port_ranges, BUS_PORT_RANGES_MAX);
	table_init(&bus->mmio, bus->mmio_ranges, BUS_MMIO_RANGES_MAX);
}

/* The number of ranges whose base is <= address: the candidate is the one before. */
static uint32_t table_upper(const struct bus_table *table, uint64_t address)
{
	uint32_t low = 0;
	uint32_t high = table->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (table->ranges[middle].base <= address) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

static const struct bus_range *table_search(struct bus_table *table, uint64_t address)
{
	uint32_t upper = table_upper(table, address);
	const struct bus_range *range;

	if (upper == 0) {
		return NULL;
	}
	range = &table->ranges[upper - 1];
	if (address - range->base >= range->size) {
		return NULL;
	}
	table->last = range;
	return range;
}

/* An empty table has a range of size 0 at `last`: the record is all zero then. */
static inline const struct bus_range *table_find(struct bus_table *table, uint64_t address)
{
	const struct bus_range *range = table->last;

	return address - range->base < range->size ? range : table_search(table, address);
}

static int table_add(struct bus_table *table, const struct bus_range *range, uint64_t last)
{
	uint32_t at = table_upper(table, range->base);

	if (range->size == 0 || range->base > last || range->size - 1 > last - range->base) {
		return BH_ERR_INVALID;
	}
	if (at > 0 && range->base - table->ranges[at - 1].base < table->ranges[at - 1].size) {
		return BH_ERR_EXISTS;
	}
	if (at < table->count && table->ranges[at].base - range->base < range->size) {
		return BH_ERR_EXISTS;
	}
	if (table->count == table->max) {
		return BH_ERR_LIMIT;
	}
	memmove(&table->ranges[at + 1], &table->ranges[at],
	        (table->count - at) * sizeof(table->ranges[0]));
	table->ranges[at] = *range;
	table->count++;
	table->last = &table->ranges[at];
	return BH_OK;
}

static int table_remove(struct bus_table *table, uint64_t base)
{
	uint32_t at = table_upper(table, base);

	if (at == 0 || table->ranges[at - 1].base != base) {
		return BH_ERR_NOT_FOUND;
	}
	memmove(&table->ranges[at - 1], &table->ranges[at],
	        (table->count - at) * sizeof(table->ranges[0]));
	table->count--;
	table->last = table->ranges;
	memset(&table->ranges[table->count], 0, sizeof(table->ranges[0]));
	return BH_OK;
}

int bus_port_add(struct bus *bus, const struct bus_range *range)
{
	return table_add(&bus->ports, range, 0xffff);
}

int bus_mmio_add(struct bus *bus, const struct bus_range *range)
{
	return table_add(&bus->mmio, range, UINT64_MAX);
}

int bus_port_remove(struct bus *bus, uint64_t base)
{
	return table_remove(&bus->ports, base);
}

int bus_mmio_remove(struct bus *bus, uint64_t base)
{
	return table_remove(&bus->mmio, base);
}

static inline uint64_t width_mask(uint32_t width)
{
	return UINT64_MAX >> (64 - width * 8);
}

/* `width` is 1, 2, 4 or 8, so one bit tells. */
static inline bool range_takes(const struct bus_range *range, uint64_t offset, uint32_t width)
{
	return (range->widths & width) != 0 && range->size - offset >= width;
}

/*
 * The widest part that the range takes at offset, of at most `left` bytes; 0 if it takes none of
 * them.
 */
static uint32_t range_part(const struct bus_range *range, uint64_t offset, uint32_t left)
{
	for (uint32_t width = 8; width > 0; width /= 2) {
		if (width <= left && range_takes(range, offset, width)) {
			return width;
		}
	}
	return 0;
}

static uint64_t range_read(struct bus *bus, const struct bus_range *range, uint64_t offset,
                           uint32_t width)
{
	if (range->read == NULL) {
		bus->unclaimed_count++;
		return width_mask(width);
	}
	return range->read(range->device, offset, width) & width_mask(width);
}

static inline void range_write(struct bus *bus, const struct bus_range *range, uint64_t offset,
                               uint32_t width, uint64_t value)
{
	if (range->write == NULL) {
		bus->unclaimed_count++;
		return;
	}
	range->write(range->device, offset, width, value);
}

/* Widths that no single device takes here: in parts, from the lowest address up. */
static uint64_t table_read_parts(struct bus *bus, struct bus_table *table, uint64_t address,
                                 uint32_t width)
{
	uint64_t value = 0;
	bool is_unclaimed = false;

	for (uint32_t done = 0; done < width;) {
		const struct bus_range *range = table_find(table, address + done);
		uint64_t offset = range ? address + done - range->base : 0;
		uint32_t part = range ? range_part(range, offset, width - done) : 0;
		uint64_t got = 0xff;

		if (part != 0) {
			got = range_read(bus, range, offset, part);
		} else {
			is_unclaimed = true;
			part = 1;
		}
		value |= got << (done * 8);
		done += part;
	}
	bus->unclaimed_count += is_unclaimed;
	return value;
}

static uint64_t table_read(struct bus *bus, struct bus_table *table, uint64_t address,
                           uint32_t width)
{
	const struct bus_range *range = table_find(table, address);

	if (range != NULL && range_takes(range, address - range->base, width)) {
		return range_read(bus, range, address - range->base, width);
	}
	return table_read_parts(bus, table, address, width);
}

/* A write may change the table (a BAR moves): after each call the range is looked up anew. */
static void table_write_parts(struct bus *bus, struct bus_table *table, uint64_t address,
                              uint32_t width, uint64_t value)
{
	bool is_unclaimed = false;

	for (uint32_t done = 0; done < width;) {
		const struct bus_range *range = table_find(table, address + done);
		uint64_t offset = range ? address + done - range->base : 0;
		uint32_t part = range ? range_part(range, offset, width - done) : 0;

		if (part != 0) {
			range_write(bus, range, offset, part,
			            (value >> (done * 8)) & width_mask(part));
		} else {
			is_unclaimed = true;
			part = 1;
		}
		done += part;
	}
	bus->unclaimed_count += is_unclaimed;
}

static inline void table_write(struct bus *bus, struct bus_table *table, uint64_t address,
                               uint32_t width, uint64_t value)
{
	const struct bus_range *range = table_find(table, address);

	if (range != NULL && range_takes(range, address - range->base, width)) {
		range_write(bus, range, address - range->base, width, value);
		return;
	}
	table_write_parts(bus, table, address, width, value);
}

uint64_t bus_port_read(struct bus *bus, uint32_t port, uint32_t width)
{
	return table_read(bus, &bus->ports, port, width);
}

void bus_port_write(struct bus *bus, uint32_t port, uint32_t width, uint64_t value)
{
	table_write(bus, &bus->ports, port, width, value);
}

uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, uint32_t width)
{
	return table_read(bus, &bus->mmio, gpa, width);
}

void bus_mmio_write(struct bus *bus, uint64_t gpa, uint32_t width, uint64_t value)
{
	table_write(bus, &bus->mmio, gpa, width, value);
}
