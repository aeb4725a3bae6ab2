// SPDX-License-Identifier: Apache-2.0
/*
 * The verb devices: the machine's PCI functions with their drivers; a guest's virtio devices are in verbs_console.c.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/block/block.h"
#include "mgmt/config.h"
#include "mgmt/devices.h"
#include "mgmt/verb.h"

static const struct result_column device_columns[] = {
	{ "PCI", "address", RESULT_TEXT },        { "ID", "id", RESULT_TEXT },
	{ "CLASS", "class", RESULT_TEXT },        { "DRIVER", "driver", RESULT_TEXT },
	{ "NAME", "name", RESULT_TEXT },          { "STATE", "state", RESULT_TEXT },
	{ "IRQ", "interrupt_kind", RESULT_TEXT }, { "GSI", "gsi", RESULT_COUNT },
	{ "IRQS", "interrupts", RESULT_COUNT },   { "RESETS", "resets", RESULT_COUNT },
	{ "ABOUT", "about", RESULT_TEXT },
};

static const char *state_name(const struct device *device)
{
	return device->state == DEVICE_RUNNING    ? "running"
	       : device->state == DEVICE_STARTING ? "starting"
	                                          : "failed";
}

static void put_device(struct result *result, const struct device *device)
{
	uint32_t gsi;

	result_text(result, device->driver->name);
	result_text(result, device->name);
	result_text(result, state_name(device));
	result_text(result, device->interrupt_kind != NULL ? device->interrupt_kind : "");
	if (devices_gsi(device, &gsi)) {
		result_value(result, gsi);
	} else {
		result_empty(result);
	}
	result_value(result, device->interrupts_count);
	result_value(result, device->resets_count);
	result_text(result, device->state == DEVICE_FAILED ? device->reason : device->about);
}

/* A partition of a disk: a line of its own below those of the machine. */
static void put_partition(struct result *result, const struct block_device *block)
{
	char text[96];
	char bytes[24];
	uint32_t column;

	for (column = 0; column < 4; column++) {
		result_empty(result);
	}
	config_size_print(block->sectors_count * BLOCK_SECTOR_BYTES, bytes, sizeof(bytes));
	snprintf(text, sizeof(text), "%s, %s", block->about, bytes);
	result_text(result, block->name);
	result_text(result, block->users_count != 0 ? "in use" : "free");
	for (column = 6; column < 10; column++) {
		result_empty(result);
	}
	result_text(result, text);
}

static void put_partitions(struct result *result)
{
	struct block_device *block = NULL;

	while ((block = block_next(block)) != NULL) {
		if (block->parent != NULL) {
			put_partition(result, block);
		}
	}
}

void verb_devices(struct verb_call *call, struct result *result)
{
	uint32_t i;
	uint32_t column;

	if (call->guest != NULL) {
		verb_devices_guest(call, result);
		return;
	}
	result_begin(result, "devices", RESULT_TABLE, device_columns,
	             sizeof(device_columns) / sizeof(device_columns[0]));
	for (i = 0; i < devices_pci_count(); i++) {
		const struct pci_function *pci = devices_pci(i);
		const struct device *device = devices_of(pci);
		char text[16];

		snprintf(text, sizeof(text), "%02x:%02x.%x", (unsigned int)(pci->bdf >> 8),
		         (unsigned int)(pci->bdf >> 3 & 31), (unsigned int)(pci->bdf & 7));
		result_text(result, text);
		snprintf(text, sizeof(text), "%04x:%04x", (unsigned int)pci->vendor_id,
		         (unsigned int)pci->device_id);
		result_text(result, text);
		result_text(result, devices_class_name(pci->class_code));
		if (device != NULL) {
			put_device(result, device);
			continue;
		}
		for (column = 3; column < sizeof(device_columns) / sizeof(device_columns[0]);
		     column++) {
			result_empty(result);
		}
	}
	put_partitions(result);
}
