// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs of guests' disks and networks: disk, net add|del|list.
 *
 * What is added or taken away here changes the guest's configuration, and a running guest at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/guest_devices.h"
#include "mgmt/machine.h"
#include "mgmt/net/net.h"
#include "mgmt/partition.h"
#include "mgmt/switch/switch.h"
#include "mgmt/verb.h"
#include "mgmt/virtio/net.h"

static bool is_word(const struct verb_call *call, uint32_t i, const char *word)
{
	return i < call->word_count && strcmp(call->word[i].text, word) == 0;
}

/* add and del need a guest and one more word. */
static bool has_words(const struct verb_call *call, const char *meant, struct result *result)
{
	if (call->word_count < 3) {
		result_error(result, call->verb->name, meant, "an argument is missing");
		return false;
	}
	return true;
}

/* A guest that runs can take devices only if it was started with some, or does not run at all. */
static bool can_change(const struct guest *guest, struct result *result)
{
	if (guest->has_partition == 0 || guest_devices_can_plug(guest)) {
		return true;
	}
	result_error(result, guest->config.name,
	             "it works from its next start; stop the guest first",
	             "the guest was started without any virtio device");
	return false;
}

/* The number in the third word, of something that is there; or an error. */
static bool read_place(const struct verb_call *call, uint32_t count, uint32_t *place,
                       struct result *result)
{
	char *end;
	unsigned long number = strtoul(call->word[2].text, &end, 10);

	if (*end != '\0' || end == call->word[2].text || number >= count) {
		result_error(result, call->verb->name, "the numbers are those of 'list'",
		             "'%.20s' is no number of the guest's", call->word[2].text);
		return false;
	}
	*place = (uint32_t)number;
	return true;
}

static const char *state_of(const struct guest *guest, uint32_t device_idx)
{
	const struct virtio_device *device = virtio_device_at(partition_slot(guest), device_idx);

	if (guest->has_partition == 0) {
		return "off";
	}
	if (device == NULL) {
		return "waits";
	}
	return device->is_broken ? "broken" : device->is_running ? "in use" : "offered";
}

/* ---- disk ----------------------------------------------------------------------------------- */

static const struct result_column disk_columns[] = {
	{ "GUEST", "guest", RESULT_TEXT },
	{ "NO", "number", RESULT_COUNT },
	{ "DISK", "disk", RESULT_TEXT },
	{ "STATE", "state", RESULT_TEXT },
	{ "SIZE", "size_bytes", RESULT_BYTES },
	{ "READS", "reads", RESULT_COUNT },
	{ "READ", "read_bytes", RESULT_BYTES },
	{ "WRITES", "writes", RESULT_COUNT },
	{ "WRITTEN", "written_bytes", RESULT_BYTES },
	{ "FLUSHES", "flushes", RESULT_COUNT },
	{ "ERRORS", "errors", RESULT_COUNT },
};

static void put_disk(const struct guest *guest, uint32_t i, struct result *result)
{
	const struct block_device *disk = guest_devices_disk(partition_slot(guest), i);
	const struct virtio_device *device = virtio_device_at(partition_slot(guest), i);
	const struct vio_counters *counters;
	char text[160];
	uint32_t column;

	config_disk_print(&guest->config.disks[i], text, sizeof(text));
	result_text(result, guest->config.name);
	result_value(result, i);
	result_text(result, text);
	result_text(result, state_of(guest, i));
	if (disk == NULL || device == NULL || guest->has_partition == 0) {
		for (column = 4; column < 11; column++) {
			result_empty(result);
		}
		return;
	}
	result_value(result, disk->sectors_count * BLOCK_SECTOR_BYTES);
	counters = &device->page->counters;
	result_value(result, counters->reads);
	result_value(result, counters->read_bytes);
	result_value(result, counters->writes);
	result_value(result, counters->written_bytes);
	result_value(result, counters->flushes);
	result_value(result, counters->errors);
}

static void list_disks(const struct guest *only, struct result *result)
{
	uint32_t slot;
	uint32_t i;

	result_begin(result, "disks", RESULT_TABLE, disk_columns,
	             sizeof(disk_columns) / sizeof(disk_columns[0]));
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		for (i = 0; guest != NULL && i < CONFIG_DISKS_MAX; i++) {
			if ((only == NULL || only == guest) &&
			    guest->config.disks[i].source[0] != '\0') {
				put_disk(guest, i, result);
			}
		}
	}
}

static void add_disk(struct verb_call *call, struct result *result)
{
	struct guest *guest = call->guest;
	const struct config_key *key = config_key_find(CONFIG_SECTION_GUEST, "disk");
	char why[CONFIG_ERROR_SIZE / 2];
	uint32_t i = 0;

	if (!has_words(call, "disk add GUEST SOURCE[,OPTION...]", result) ||
	    !can_change(guest, result)) {
		return;
	}
	while (i < CONFIG_DISKS_MAX && guest->config.disks[i].source[0] != '\0') {
		i++; /* the first free place takes it */
	}
	if (!config_value_parse(key, &guest->config, call->word[2].text, why, sizeof(why))) {
		result_error(result, "disk add", "", "%s", why);
		return;
	}
	if (i < CONFIG_DISKS_MAX &&
	    guest_devices_plug_disk(guest, i, why, sizeof(why)) == GUEST_DEVICES_FAILED) {
		result_error(result, "disk add", "'devices' and 'files' list what there is", "%s",
		             why);
		return;
	}
	result_message(result, "%s: disk %.80s is added", guest->config.name, call->word[2].text);
}

static void delete_disk(struct verb_call *call, struct result *result)
{
	struct guest *guest = call->guest;
	uint32_t i;

	if (!has_words(call, "disk del GUEST NUMBER", result) ||
	    !read_place(call, CONFIG_DISKS_MAX, &i, result)) {
		return;
	}
	if (guest->config.disks[i].source[0] == '\0') {
		result_error(result, "disk del", "'disk list' shows those that there are",
		             "%s has no disk %u", guest->config.name, (unsigned int)i);
		return;
	}
	guest_devices_remove_disk(guest, i);
	result_message(result, "%s: disk %u is taken away", guest->config.name, (unsigned int)i);
}

void verb_disk(struct verb_call *call, struct result *result)
{
	if (is_word(call, 0, "add")) {
		add_disk(call, result);
	} else if (is_word(call, 0, "del")) {
		delete_disk(call, result);
	} else {
		list_disks(call->guest, result);
	}
}

/* ---- net ------------------------------------------------------------------------------------- */

static const struct result_column net_columns[] = {
	{ "GUEST", "guest", RESULT_TEXT },
	{ "NO", "number", RESULT_COUNT },
	{ "NET", "net", RESULT_TEXT },
	{ "MAC", "mac", RESULT_TEXT },
	{ "STATE", "state", RESULT_TEXT },
	{ "SENT", "sent_frames", RESULT_COUNT },
	{ "RECEIVED", "received_frames", RESULT_COUNT },
	{ "DROPPED", "dropped_frames", RESULT_COUNT },
};

static bool find_port(const char *name, struct switch_port_info *info)
{
	uint32_t number;

	for (number = 0; switch_port_info(number, info); number++) {
		if (strcmp(info->name, name) == 0) {
			return true;
		}
	}
	return false;
}

static uint64_t dropped(const struct switch_counters *counters)
{
	return counters->no_room + counters->over_rate + counters->forged + counters->bad +
	       counters->vlan + counters->denied + counters->too_long;
}

static void put_net(const struct guest *guest, uint32_t i, struct result *result)
{
	struct switch_port_info info;
	uint8_t mac[6];
	char text[400];
	char mac_text[SWITCH_MAC_TEXT];

	config_net_print(&guest->config.nets[i], text, sizeof(text));
	guest_devices_mac(&guest->config, i, mac);
	switch_mac_print(mac, mac_text);
	result_text(result, guest->config.name);
	result_value(result, i);
	result_text(result, text);
	result_text(result, mac_text);
	result_text(result, state_of(guest, GUEST_DEVICE_NET + i));
	snprintf(text, sizeof(text), "%.29s.%u", guest->config.name, (unsigned int)i);
	if (!find_port(text, &info)) {
		result_empty(result);
		result_empty(result);
		result_empty(result);
		return;
	}
	result_value(result, info.counters.in_frames);
	result_value(result, info.counters.out_frames);
	result_value(result, dropped(&info.counters));
}

static void list_nets(const struct guest *only, struct result *result)
{
	uint32_t slot;
	uint32_t i;

	result_begin(result, "nets", RESULT_TABLE, net_columns,
	             sizeof(net_columns) / sizeof(net_columns[0]));
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		for (i = 0; guest != NULL && i < CONFIG_NETS_MAX; i++) {
			if ((only == NULL || only == guest) &&
			    guest->config.nets[i].switch_name[0] != '\0') {
				put_net(guest, i, result);
			}
		}
	}
}

static void add_net(struct verb_call *call, struct result *result)
{
	struct guest *guest = call->guest;
	const struct config_key *key = config_key_find(CONFIG_SECTION_GUEST, "net");
	char why[CONFIG_ERROR_SIZE / 2];

	if (!has_words(call, "net add GUEST SWITCH[,OPTION...]", result) ||
	    !can_change(guest, result)) {
		return;
	}
	if (!config_value_parse(key, &guest->config, call->word[2].text, why, sizeof(why))) {
		result_error(result, "net add", "", "%s", why);
		return;
	}
	result_message(result, "%s: net %.80s is added", guest->config.name, call->word[2].text);
}

static void delete_net(struct verb_call *call, struct result *result)
{
	struct guest *guest = call->guest;
	uint32_t i;

	if (!has_words(call, "net del GUEST NUMBER", result) ||
	    !read_place(call, CONFIG_NETS_MAX, &i, result)) {
		return;
	}
	if (guest->config.nets[i].switch_name[0] == '\0') {
		result_error(result, "net del", "'net list' shows those that there are",
		             "%s has no net %u", guest->config.name, (unsigned int)i);
		return;
	}
	guest_devices_remove_net(guest, i);
	result_message(result, "%s: net %u is taken away", guest->config.name, (unsigned int)i);
}

void verb_net(struct verb_call *call, struct result *result)
{
	if (is_word(call, 0, "add")) {
		add_net(call, result);
	} else if (is_word(call, 0, "del")) {
		delete_net(call, result);
	} else if (is_word(call, 0, "list")) {
		list_nets(call->guest, result);
	} else {
		net_print_stat(result);
	}
}
