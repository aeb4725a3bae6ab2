// SPDX-License-Identifier: Apache-2.0
/*
 * The partition manager's verbs: what an operator may ask in which state (see partition.h).
 *
 * Each verb checks first and changes after. Requests to root are only marked here; partition_poll.c
 * sends them one at a time.
 */
#include "mgmt/partition.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/console.h"
#include "mgmt/guest_devices.h"
#include "mgmt/machine.h"
#include "mgmt/partition_poll.h"

static const char *const state_names[GUEST_STATE_COUNT] = {
	[GUEST_DEFINED] = "defined",
	[GUEST_STARTING] = "starting",
	[GUEST_RUNNING] = "running",
	[GUEST_PAUSED] = "paused",
	[GUEST_SHUTTING_DOWN] = "shutting-down",
	[GUEST_OFF] = "off",
	[GUEST_CRASHED] = "crashed",
};

const char *partition_state_name(uint32_t state)
{
	return state < GUEST_STATE_COUNT ? state_names[state] : "?";
}

struct guest *partition_guest(uint32_t slot)
{
	struct guest *guest;

	if (slot >= BH_PARTITIONS_MAX) {
		return NULL;
	}
	guest = &machine_ledger()->guests[slot];
	return guest->is_used != 0 ? guest : NULL;
}

struct guest *partition_find(const char *name)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);

		if (guest != NULL && strcmp(guest->config.name, name) == 0) {
			return guest;
		}
	}
	return NULL;
}

uint32_t partition_slot(const struct guest *guest)
{
	return (uint32_t)(guest - machine_ledger()->guests);
}

bool partition_has_vmm(const struct guest *guest)
{
	return guest->has_partition != 0 &&
	       !(guest->request == GUEST_REQUEST_DESTROY && guest->is_sent != 0);
}

bool partition_is_busy(const struct guest *guest)
{
	return guest->request != GUEST_REQUEST_NONE || guest->is_command_sent != 0 ||
	       guest->state == GUEST_STARTING;
}

static bool is_active(const struct guest *guest)
{
	return guest->state == GUEST_RUNNING || guest->state == GUEST_PAUSED ||
	       guest->state == GUEST_SHUTTING_DOWN || guest->state == GUEST_STARTING;
}

static bool wrong_state(const struct guest *guest, const char *meant, struct result *result)
{
	result_error(result, guest->config.name, meant, "the guest is %s",
	             partition_state_name(guest->state));
	return false;
}

bool partition_define(const struct config_guest *config, struct result *result)
{
	struct ledger *ledger = machine_ledger();
	struct guest *guest = NULL;
	uint32_t slot;

	if (partition_find(config->name) != NULL) {
		result_error(result, config->name, "delete it first, or change it with set",
		             "there is a guest of this name");
		return false;
	}
	for (slot = 0; slot < BH_PARTITIONS_MAX && guest == NULL; slot++) {
		const struct guest *candidate = &ledger->guests[slot];

		if (candidate->is_used == 0 &&
		    machine_load32(&machine_status()->slots[slot].state) == ROOT_SLOT_FREE) {
			guest = &ledger->guests[slot];
		}
	}
	if (guest == NULL) {
		result_error(result, config->name, "delete one that is not needed",
		             "there are already %u guests", BH_PARTITIONS_MAX);
		return false;
	}
	memset(guest, 0, sizeof(*guest));
	guest->config = *config;
	guest->state = GUEST_DEFINED;
	guest->id = ++ledger->ids_count;
	machine_store32(&guest->is_used, 1);
	console_forget(partition_slot(guest));
	return true;
}

void partition_configure(struct guest *guest, const struct config_guest *config)
{
	if (guest->config.weight != config->weight ||
	    guest->config.cap_percent != config->cap_percent) {
		guest->is_share_pending = guest->has_partition;
	}
	guest_devices_reconfigure(guest, config);
	guest->config = *config;
	if (is_active(guest)) {
		guest->is_changed = 1;
	}
}

bool partition_delete(struct guest *guest, struct result *result)
{
	if (is_active(guest)) {
		return wrong_state(guest, "stop or kill it first", result);
	}
	guest->restart_at_tsc = 0;
	if (guest->has_partition != 0 || guest->request != GUEST_REQUEST_NONE) {
		partition_poll_destroy(guest, GUEST_NEXT_DELETE);
	} else {
		console_forget(partition_slot(guest));
		guest_devices_forget(guest);
		machine_store32(&guest->is_used, 0);
	}
	return true;
}

bool partition_start(struct guest *guest, struct result *result)
{
	if (is_active(guest)) {
		return wrong_state(guest, "start is for one that does not run", result);
	}
	guest->restart_at_tsc = 0;
	if (guest->has_partition == 0 && guest->request == GUEST_REQUEST_NONE) {
		if (!partition_poll_create(guest, result)) {
			return false;
		}
	} else {
		/* What was preserved goes first; the checks follow then. */
		partition_poll_destroy(guest, GUEST_NEXT_START);
		guest->state = GUEST_STARTING;
	}
	guest->restarts_count = 0;
	guest->quick_ends_count = 0;
	return true;
}

/* A VMM that can take a command now. */
static bool check_command(const struct guest *guest, struct result *result)
{
	if (!partition_has_vmm(guest)) {
		return wrong_state(guest, "it has no resources now; start it first", result);
	}
	if (guest->is_command_sent != 0) {
		result_error(result, guest->config.name, "wait, or kill it",
		             "its VMM has not answered the last command yet");
		return false;
	}
	return true;
}

bool partition_stop(struct guest *guest, bool is_reboot, struct result *result)
{
	if (guest->state != GUEST_RUNNING && guest->state != GUEST_SHUTTING_DOWN) {
		return wrong_state(guest, "only a running guest can be asked; kill ends it at once",
		                   result);
	}
	if (!check_command(guest, result)) {
		return false;
	}
	partition_poll_command(guest, VMM_COMMAND_POWER_BUTTON, 0);
	guest->state = GUEST_SHUTTING_DOWN;
	guest->is_reboot_wanted = is_reboot;
	guest->is_stop_wanted = !is_reboot;
	return true;
}

bool partition_kill(struct guest *guest, struct result *result)
{
	if (guest->restart_at_tsc != 0) {
		guest->restart_at_tsc = 0;
	} else if (!is_active(guest) && guest->has_partition == 0) {
		return wrong_state(guest, "there is nothing to end", result);
	}
	guest->is_reboot_wanted = 0;
	guest->quick_ends_count = 0;
	if (guest->request == GUEST_REQUEST_CREATE && guest->is_sent != 0) {
		guest->is_kill_wanted = 1;
		return true;
	}
	if (guest->has_partition != 0) {
		partition_poll_destroy(guest, GUEST_NEXT_NONE);
	} else {
		guest->request = GUEST_REQUEST_NONE;
	}
	guest->next = GUEST_NEXT_NONE;
	guest->state = GUEST_OFF;
	snprintf(guest->reason, sizeof(guest->reason), "killed");
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "killed");
	return true;
}

bool partition_reset(struct guest *guest, struct result *result)
{
	if (!check_command(guest, result)) {
		return false;
	}
	partition_poll_reset(guest);
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "reset");
	return true;
}

bool partition_pause(struct guest *guest, struct result *result)
{
	if (guest->state != GUEST_RUNNING && guest->state != GUEST_SHUTTING_DOWN) {
		return wrong_state(guest, "only a running guest can be paused", result);
	}
	if (!check_command(guest, result)) {
		return false;
	}
	partition_poll_command(guest, VMM_COMMAND_PAUSE, 0);
	return true;
}

bool partition_resume(struct guest *guest, struct result *result)
{
	if (guest->state != GUEST_PAUSED) {
		return wrong_state(guest, "only a paused guest can be resumed", result);
	}
	if (!check_command(guest, result)) {
		return false;
	}
	partition_poll_command(guest, VMM_COMMAND_RESUME, 0);
	return true;
}

bool partition_read_registers(struct guest *guest, uint32_t vcpu_idx, struct result *result)
{
	if (!check_command(guest, result)) {
		return false;
	}
	if (vcpu_idx >= guest->vcpus_count) {
		result_error(result, guest->config.name, "vCPUs count from 0",
		             "there is no vCPU %u", (unsigned int)vcpu_idx);
		return false;
	}
	partition_poll_command(guest, VMM_COMMAND_REGISTERS, vcpu_idx);
	return true;
}
