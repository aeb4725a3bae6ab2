// SPDX-License-Identifier: Apache-2.0
/*
 * Fields: bits of a buffer, and of an operation region, which are read a byte at a time (ACPI 6.4, 19.6.48).
 */
#include <string.h>

#include "mgmt/aml_internal.h"

#define SPACE_MEMORY 0u
#define SPACE_IO     1u
#define SPACE_PCI    2u

/* The device that a region of PCI config space belongs to: the node that it lies in, right below the host bridge. */
static bool find_bdf(struct aml_space *space, const struct aml_node *region, uint16_t *bdf)
{
	struct aml_node *device = region->parent;
	struct aml_node *address = device != NULL ? aml_child(device, "_ADR") : NULL;
	struct aml_object *object;
	uint64_t value;

	if (address == NULL || device->parent == NULL || device->parent != space->host_bridge) {
		return false;
	}
	object = aml_evaluate(space, address, NULL, 0);
	if (object == NULL || !aml_integer(object, &value) || (value >> 16) > 31 ||
	    (value & 0xffff) > 7) {
		return false;
	}
	*bdf = (uint16_t)((value >> 16) << 3 | (value & 7));
	return true;
}

static bool read_byte(struct aml_space *space, const struct aml_node *region, uint64_t offset,
                      uint8_t *byte)
{
	const struct aml_object *object = region->object;
	const struct aml_machine *machine = &space->machine;
	uint64_t at = object->value + offset;
	uint16_t bdf;

	if (offset >= object->count) {
		return false;
	}
	switch (object->space) {
	case SPACE_MEMORY:
		return machine->read(machine->context, at, byte, 1);
	case SPACE_IO:
		*byte = (uint8_t)machine->read_port(machine->context, (uint16_t)at, 1);
		return at <= 0xffff;
	case SPACE_PCI:
		if (at >= PCI_CONFIG_BYTES || !find_bdf(space, region, &bdf)) {
			return false;
		}
		*byte = (uint8_t)machine->pci->read(machine->pci->context, bdf, (uint32_t)at, 1);
		return true;
	default:
		return false;
	}
}

bool aml_field_read(struct aml_space *space, const struct aml_object *field, uint64_t *value)
{
	uint8_t byte = 0;
	uint32_t i;

	*value = 0;
	if (field->count > 64) {
		return false;
	}
	for (i = 0; i < field->count; i++) {
		uint64_t bit = field->value + i;

		if (field->type == AML_BITS) {
			byte = field->bytes[bit / 8];
		} else if ((i == 0 || bit % 8 == 0) &&
		           !read_byte(space, field->node, bit / 8, &byte)) {
			return false;
		}
		*value |= (uint64_t)(byte >> (bit % 8) & 1) << i;
	}
	return true;
}

void aml_bits_write(const struct aml_object *bits, uint64_t value)
{
	uint32_t i;

	for (i = 0; i < bits->count; i++) {
		uint64_t bit = bits->value + i;
		uint8_t mask = (uint8_t)(1u << (bit % 8));
		bool is_set = i < 64 && (value >> i & 1) != 0;

		bits->bytes[bit / 8] = (uint8_t)((bits->bytes[bit / 8] & ~mask) |
		                                 (is_set ? mask : 0));
	}
}
