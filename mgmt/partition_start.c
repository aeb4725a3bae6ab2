// SPDX-License-Identifier: Apache-2.0
/*
 * What is checked and chosen before a guest starts: its files, its memory, its pCPUs.
 *
 * All checks are made here and name what would fit; root checks again for its own safety. Changes
 * nothing but the guest's placement.
 */
#include "mgmt/partition.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/guest_devices.h"
#include "mgmt/kept.h"
#include "mgmt/machine.h"
#include "mgmt/placement.h"

/* What a guest costs beside its memory, roughly: its VMM, page tables and shared pages. */
#define OVERHEAD_BYTES (512ull * 1024)

/* Copies the file name out of `folder/name arguments`; paths in either style. */
static void file_name(const char *text, bool has_arguments, char *out, size_t size)
{
	size_t length = has_arguments ? strcspn(text, " ") : strlen(text);
	size_t start = length;

	while (start > 0 && text[start - 1] != '/' && text[start - 1] != '\\') {
		start--;
	}
	length -= start;
	if (length >= size) {
		length = size - 1;
	}
	memcpy(out, text + start, length);
	out[length] = '\0';
}

int partition_find_file(const char *name)
{
	const struct mgmt_info *info = machine_info();
	uint32_t i;

	for (i = 0; i < info->files_count && i < BH_MODULES_MAX; i++) {
		if (strncmp(info->files[i].name, name, sizeof(info->files[i].name)) == 0) {
			return (int)i;
		}
	}
	for (i = 0; i < BH_KEPT_MAX; i++) {
		const struct kept_record *record = kept_record(i);

		if (record != NULL && record->purpose == KEPT_FILE && record->size_bytes != 0 &&
		    strcmp(record->name, name) == 0) {
			return (int)(BH_FILE_KEPT + i);
		}
	}
	return -1;
}

bool partition_read_file(int idx, struct partition_file *file)
{
	const struct mgmt_info *info = machine_info();
	uint32_t kept_idx = (uint32_t)idx - BH_FILE_KEPT;

	if (idx >= 0 && (uint32_t)idx < BH_FILE_KEPT) {
		file->bytes = (const char *)info->files[idx].address;
		file->size_bytes = info->files[idx].size_bytes;
		return info->files[idx].is_missing == 0;
	}
	if (idx < 0 || kept_record(kept_idx) == NULL) {
		return false;
	}
	file->bytes = kept_address(kept_idx);
	file->size_bytes = kept_record(kept_idx)->size_bytes;
	return true;
}

/* True if the text of the key names the file. */
static bool names_file(const char *text, bool has_arguments, const char *wanted)
{
	char name[CONFIG_PATH_SIZE];

	file_name(text, has_arguments, name, sizeof(name));
	return strcmp(name, wanted) == 0;
}

const struct guest *partition_file_user(const char *name)
{
	uint32_t slot;
	uint32_t i;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);
		bool is_user;

		if (guest == NULL ||
		    (guest->has_partition == 0 && guest->request == GUEST_REQUEST_NONE)) {
			continue;
		}
		is_user = names_file(guest->config.kernel, false, name);
		for (i = 0; i < guest->config.ramdisks.count; i++) {
			is_user |= names_file(guest->config.ramdisks.text[i], true, name);
		}
		if (is_user || guest->is_changed != 0) {
			return guest;
		}
	}
	return NULL;
}

static bool check_file(const struct guest *guest, const char *key, const char *text,
                       bool has_arguments, struct result *result)
{
	struct partition_file file;
	char name[CONFIG_PATH_SIZE];
	int idx;

	file_name(text, has_arguments, name, sizeof(name));
	idx = partition_find_file(name);
	if (idx < 0) {
		result_error(result, guest->config.name, "the verb files lists what is there",
		             "%s: there is no file '%s'", key, name);
		return false;
	}
	if (!partition_read_file(idx, &file)) {
		result_error(result, guest->config.name,
		             "put it into the folder that the machine boots from",
		             "%s: the boot loader could not read the file '%s'", key, name);
		return false;
	}
	return true;
}

static bool check_files(const struct guest *guest, struct result *result)
{
	uint32_t i;

	if (!check_file(guest, "kernel", guest->config.kernel, false, result)) {
		return false;
	}
	for (i = 0; i < guest->config.ramdisks.count; i++) {
		if (!check_file(guest, "ramdisk", guest->config.ramdisks.text[i], true, result)) {
			return false;
		}
	}
	return true;
}

static bool check_memory(const struct guest *guest, struct result *result)
{
	struct bh_host_info host;
	uint64_t free_bytes;
	char wanted[24];
	char there[24];

	if (machine_host_info(&host) != BH_OK) {
		return true;
	}
	free_bytes = host.memory_free + (guest->has_partition != 0 ? guest->memory_bytes : 0);
	if (guest->config.memory_bytes + OVERHEAD_BYTES <= free_bytes) {
		return true;
	}
	result_format(RESULT_BYTES, guest->config.memory_bytes, wanted, sizeof(wanted));
	result_format(RESULT_BYTES, free_bytes, there, sizeof(there));
	result_error(result, guest->config.name, "set a smaller memory, or stop another guest",
	             "memory: %s is wanted, %s is free", wanted, there);
	return false;
}

static const char *slot_name(uint32_t slot)
{
	const struct guest *guest = partition_guest(slot);

	return guest != NULL ? guest->config.name : "another guest";
}

/* Says why no place was found. */
static void placement_error(const struct guest *guest, const struct placement *placement,
                            enum placement_result why, uint32_t culprit, struct result *result)
{
	char meant[160];

	switch (why) {
	case PLACEMENT_NO_SUCH_CPU:
		snprintf(meant, sizeof(meant), "this machine has pCPUs 0 to %u",
		         (unsigned int)placement->cpu_count - 1);
		result_error(result, guest->config.name, meant, "cpus: there is no pCPU %u",
		             (unsigned int)culprit);
		break;
	case PLACEMENT_TAKEN:
		snprintf(meant, sizeof(meant),
		         "name other pCPUs, stop that guest, or say 'shared' in both");
		result_error(result, guest->config.name, meant,
		             "cpus: pCPU %u is taken by guest %s", (unsigned int)culprit,
		             slot_name(placement->user[culprit]));
		break;
	case PLACEMENT_NONE_LEFT:
		result_error(result, guest->config.name, "stop one of the guests that name pCPUs",
		             "cpus: every pCPU is taken by a guest of its own");
		break;
	case PLACEMENT_OK:
		break;
	}
}

static bool choose_cpus(struct guest *guest, struct result *result)
{
	static struct placement placement;
	uint32_t own_slot = partition_slot(guest);
	enum placement_result why;
	uint32_t culprit;
	uint32_t slot;

	placement_init(&placement, machine_kernel_info()->cpus_count);
	if (machine_is_tcg()) {
		placement_spare(&placement, 0); /* docs/caveats.md, Emulators */
	}
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *other = partition_guest(slot);

		if (other == NULL || slot == own_slot) {
			continue;
		}
		if (other->has_partition != 0 || other->request == GUEST_REQUEST_CREATE) {
			placement_add(&placement, slot, other->is_exclusive != 0, other->pcpu,
			              other->vcpus_count);
		}
		placement_claim(&placement, &other->config.cpus);
	}
	why = placement_choose(&placement, &guest->config, guest->pcpu, &culprit);
	if (why != PLACEMENT_OK) {
		placement_error(guest, &placement, why, culprit, result);
		return false;
	}
	guest->is_exclusive = !guest->config.cpus.is_any && !guest->config.cpus.is_shared;
	guest->vcpus_count = guest->config.vcpu_count;
	return true;
}

bool partition_prepare(struct guest *guest, struct result *result)
{
	return check_files(guest, result) && check_memory(guest, result) &&
	       choose_cpus(guest, result);
}

static void fill_file(struct root_partition_params *params, const char *text, bool has_arguments)
{
	const char *string = text;
	uint32_t idx = params->files_count;
	char name[CONFIG_PATH_SIZE];
	struct partition_file found;
	size_t length;
	int file;

	file_name(text, has_arguments, name, sizeof(name));
	if (!has_arguments) {
		string = name;
	}
	file = partition_find_file(name);
	if (!partition_read_file(file, &found) || idx >= BH_FILES_MAX) {
		return;
	}
	params->files[idx].file_idx = (uint32_t)file;
	params->files[idx].size_bytes = found.size_bytes;
	length = strlen(string);
	if (length >= sizeof(params->files[idx].string)) {
		length = sizeof(params->files[idx].string) - 1;
	}
	memcpy(params->files[idx].string, string, length);
	params->files_count = idx + 1;
}

void partition_fill_params(const struct guest *guest, struct root_partition_params *params)
{
	const struct config_guest *config = &guest->config;
	uint32_t i;

	memset(params, 0, sizeof(*params));
	params->slot = partition_slot(guest);
	params->id = (uint32_t)guest->id & UINT16_MAX;
	params->flags = (config->console == CONFIG_CONSOLE_SERIAL ||
	                                 config->console == CONFIG_CONSOLE_BOTH
	                         ? VMM_CONFIG_CONSOLE
	                         : 0) |
	                (config->has_debug_exit ? VMM_CONFIG_DEBUG_EXIT : 0) |
	                (guest->has_devices != 0 ? VMM_CONFIG_DEVICES : 0) |
	                (guest->has_balloon != 0 ? VMM_CONFIG_BALLOON : 0);
	params->devices = guest_devices_mask(config);
	params->ports_count = guest->ports_count;
	snprintf(params->name, sizeof(params->name), "%s", config->name);
	params->memory_bytes = guest->memory_bytes;
	params->vcpus_count = guest->vcpus_count;
	params->weight = config->weight;
	params->cap_percent = config->cap_percent;
	for (i = 0; i < guest->vcpus_count; i++) {
		params->pcpus[i] = guest->pcpu[i];
	}
	fill_file(params, config->kernel, false);
	for (i = 0; i < config->ramdisks.count; i++) {
		fill_file(params, config->ramdisks.text[i], true);
	}
	snprintf(params->cmdline, sizeof(params->cmdline), "%s", config->cmdline);
}
