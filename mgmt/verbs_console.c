// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs of guests' consoles and virtio devices: console, devices GUEST, vsock. console finds the line that is meant; the
 * shell connects to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/console.h"
#include "mgmt/guest_devices.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/verb.h"
#include "mgmt/virtio/ports.h"
#include "mgmt/virtio/vsock.h"

/* The line of a console-port by its number (from 1) or name; false if there is none. */
static bool find_port(const struct config_guest *config, const char *text, uint32_t *line)
{
	uint32_t i;

	for (i = 0; i < config->ports.count; i++) {
		char number[12];

		snprintf(number, sizeof(number), "%u", (unsigned int)(i + 1));
		if (strcmp(text, number) == 0 || strcmp(text, config->ports.text[i]) == 0) {
			*line = CONSOLE_LINE_PORT + 1 + i;
			return true;
		}
	}
	return false;
}

/* The line that -t and -n name; false with an error. */
static bool choose_line(const struct verb_call *call, uint32_t *line, struct result *result)
{
	const struct config_guest *config = &call->guest->config;
	bool is_virtio = call->type != NULL &&
	                 (strcmp(call->type, "virtio") == 0 || strcmp(call->type, "pv") == 0);

	*line = console_first_line(config);
	if (call->number != NULL && strcmp(call->number, "0") != 0) {
		if (!find_port(config, call->number, line)) {
			result_error(result, config->name, "its console-ports count from 1",
			             "the guest has no console-port '%.40s'", call->number);
			return false;
		}
	} else if (call->number != NULL || is_virtio) {
		*line = CONSOLE_LINE_PORT;
	} else if (call->type != NULL && strcmp(call->type, "serial") != 0) {
		result_error(result, "console", "meant is serial or virtio",
		             "there is no console of type '%.20s'", call->type);
		return false;
	} else if (call->type != NULL) {
		*line = CONSOLE_LINE_SERIAL;
	}
	return true;
}

/* Rings are made with the partition: what was configured since is not there yet. */
static bool line_is_there(const struct guest *guest, uint32_t line)
{
	const struct config_guest *config = &guest->config;
	bool has_serial = config->console == CONFIG_CONSOLE_SERIAL ||
	                  config->console == CONFIG_CONSOLE_BOTH;
	bool has_hvc = config->console == CONFIG_CONSOLE_VIRTIO ||
	               config->console == CONFIG_CONSOLE_BOTH;

	if (guest->has_partition != 0 && line != CONSOLE_LINE_SERIAL &&
	    line - CONSOLE_LINE_PORT >= guest->ports_count) {
		return false;
	}
	return line == CONSOLE_LINE_SERIAL ? has_serial
	       : line == CONSOLE_LINE_PORT ? has_hvc
	                                   : line - CONSOLE_LINE_PORT <= config->ports.count;
}

/* 120x40: what the guest's programs are told of the terminal. */
static bool tell_size(const struct verb_call *call, uint32_t line, struct result *result)
{
	struct virtio_device *device = virtio_device_at(partition_slot(call->guest),
	                                                GUEST_DEVICE_CONSOLE);
	char *end;
	unsigned long columns = strtoul(call->size_text, &end, 10);
	unsigned long rows = *end == 'x' ? strtoul(end + 1, &end, 10) : 0;

	if (columns < 1 || columns > 1000 || rows < 1 || rows > 1000 || *end != '\0') {
		result_error(result, "console", "meant are columns and rows, such as 120x40",
		             "'%.20s' is no size of a terminal", call->size_text);
		return false;
	}
	if (line != CONSOLE_LINE_PORT || device == NULL ||
	    !ports_resize(device, 0, (uint16_t)columns, (uint16_t)rows)) {
		result_error(result, call->guest->config.name,
		             "a virtio console can, once the guest's driver runs",
		             "this console cannot be told a size");
		return false;
	}
	return true;
}

void verb_console(struct verb_call *call, struct result *result)
{
	const struct guest *guest = call->guest;
	uint32_t line;

	if (!choose_line(call, &line, result)) {
		return;
	}
	if (!line_is_there(guest, line)) {
		result_error(result, guest->config.name, "help set: console, console-port",
		             "the guest has no such console");
		return;
	}
	if (call->is_json) {
		result_error(result, "console", "", "a console cannot be shown as JSON");
		return;
	}
	if (call->size_text == NULL || tell_size(call, line, result)) {
		shell_begin_console(call->shell, partition_slot(guest), line);
	}
}

/* ---- devices GUEST ---------------------------------------------------------------------------- */

static const struct result_column columns[] = {
	{ "NO", "number", RESULT_COUNT },     { "TYPE", "type", RESULT_TEXT },
	{ "STATE", "state", RESULT_TEXT },    { "QUEUES", "queues", RESULT_COUNT },
	{ "KICKS", "kicks", RESULT_COUNT },   { "IRQS", "interrupts", RESULT_COUNT },
	{ "CHAINS", "chains", RESULT_COUNT }, { "BREAKS", "breaks", RESULT_COUNT },
};

void verb_devices_guest(struct verb_call *call, struct result *result)
{
	uint32_t slot = partition_slot(call->guest);
	uint32_t i;

	result_begin(result, "devices", RESULT_TABLE, columns,
	             sizeof(columns) / sizeof(columns[0]));
	for (i = 0; i < VIO_DEVICES_MAX; i++) {
		const struct virtio_device *device = virtio_device_at(slot, i);

		if (device == NULL) {
			continue;
		}
		result_value(result, i);
		result_text(result, device->operations->name);
		result_text(result, device->is_broken    ? "broken"
		                    : device->is_leaving ? "leaves"
		                    : device->is_running ? "in use"
		                                         : "offered");
		result_value(result, device->queues_count);
		result_value(result, device->page->counters.kicks);
		result_value(result, device->page->counters.interrupts);
		result_value(result, device->page->counters.chains);
		result_value(result, device->breaks_count);
	}
}

/* ---- vsock ------------------------------------------------------------------------------------ */

static const struct result_column vsock_columns[] = {
	{ "GUEST", "guest", RESULT_TEXT },
	{ "VSOCK", "vsock", RESULT_TEXT },
	{ "TO-HOST", "host_connections", RESULT_COUNT },
	{ "SENT", "sent_packets", RESULT_COUNT },
	{ "SENT-BYTES", "sent_bytes", RESULT_COUNT },
	{ "RECEIVED", "received_packets", RESULT_COUNT },
	{ "RECEIVED-BYTES", "received_bytes", RESULT_COUNT },
	{ "ACCEPTED", "accepted", RESULT_COUNT },
	{ "RESETS", "resets", RESULT_COUNT },
	{ "FORGED", "forged_packets", RESULT_COUNT },
};

static void put_vsock(const struct guest *guest, const struct virtio_device *device,
                      struct result *result)
{
	struct vsock_counters counters;
	uint32_t connections;
	char text[128];

	vsock_counters(device, &counters, &connections);
	config_vsock_print(&guest->config.vsock, text, sizeof(text));
	result_text(result, guest->config.name);
	result_text(result, text);
	result_value(result, connections);
	result_value(result, counters.packets_in);
	result_value(result, counters.bytes_in);
	result_value(result, counters.packets_out);
	result_value(result, counters.bytes_out);
	result_value(result, counters.connects);
	result_value(result, counters.resets);
	result_value(result, counters.forged);
}

void verb_vsock(struct verb_call *call, struct result *result)
{
	uint32_t slot;

	result_begin(result, "vsocks", RESULT_TABLE, vsock_columns,
	             sizeof(vsock_columns) / sizeof(vsock_columns[0]));
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);
		const struct virtio_device *device = virtio_device_at(slot, GUEST_DEVICE_VSOCK);

		if (guest != NULL && device != NULL &&
		    (call->guest == NULL || call->guest == guest)) {
			put_vsock(guest, device, result);
		}
	}
}
