// SPDX-License-Identifier: Apache-2.0
/*
 * The partition manager's engine: requests to root one at a time, the VMMs' states, what happens
 * when a guest ends, restarts with back-off, autostart, and taking over after mgmt's own restart.
 *
 * root answers in order of sequence numbers and is trusted. A VMM is not: its channel is read field
 * by field, once, and nothing in it is used as an index or a length.
 */
#include "mgmt/partition_poll.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/console.h"
#include "mgmt/guest_devices.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/root_turn.h"

#define QUICK_END_SECONDS       30u
#define BACKOFF_MAX_SECONDS     60u
#define COMMAND_TIMEOUT_SECONDS 10u
#define NO_SLOT                 0xffffffffu

enum end_kind {
	END_POWEROFF,
	END_REBOOT,
	END_CRASH,
};

/* The request that root works on. */
static struct {
	uint32_t slot;    /* NO_SLOT: none */
	uint32_t request; /* enum root_request */
} in_flight = { NO_SLOT, ROOT_REQUEST_NONE };

static struct {
	bool is_running;
	uint32_t slot; /* next to look at */
	uint64_t next_tsc;
} autostart;

static uint64_t seconds_to_tsc(uint64_t seconds)
{
	return seconds * machine_tsc_hz();
}

static void mark_request(struct guest *guest, enum guest_request request)
{
	guest->ticket = ++machine_ledger()->tickets_count;
	guest->is_sent = 0;
	guest->request = request;
}

bool partition_poll_create(struct guest *guest, struct result *result)
{
	if (!partition_prepare(guest, result)) {
		return false;
	}
	guest->memory_bytes = guest->config.memory_bytes;
	guest->has_devices = guest_devices_mask(&guest->config) != 0;
	guest->ports_count = guest_devices_ports(&guest->config);
	guest->has_balloon = guest_devices_balloon(&guest->config);
	guest->vsock_cid = guest->config.vsock.cid;
	guest->balloon_bytes = 0;
	guest->is_changed = 0;
	guest->is_reboot_wanted = 0;
	guest->is_stop_wanted = 0;
	guest->is_kill_wanted = 0;
	guest->is_command_sent = 0;
	guest->created_tsc = guest->started_tsc = machine_now_tsc();
	guest->state = GUEST_STARTING;
	guest->next = GUEST_NEXT_NONE;
	mark_request(guest, GUEST_REQUEST_CREATE);
	return true;
}

void partition_poll_destroy(struct guest *guest, enum guest_next next)
{
	guest->next = next;
	if (guest->request != GUEST_REQUEST_DESTROY) {
		mark_request(guest, GUEST_REQUEST_DESTROY);
	}
}

void partition_poll_command(struct guest *guest, uint32_t command, uint64_t argument)
{
	uint32_t slot = partition_slot(guest);
	struct vmm_channel *channel = machine_vmm_channel(slot);
	uint32_t sequence = machine_load32(&channel->command_sequence);

	channel->command = command;
	channel->argument = argument;
	guest->command_tsc = machine_now_tsc();
	guest->is_command_sent = 1;
	machine_store32(&channel->command_sequence, sequence + 1);
	machine_signal_vmm_command(slot);
}

void partition_poll_reset(struct guest *guest)
{
	partition_poll_command(guest, VMM_COMMAND_RESET, 0);
	guest->state = GUEST_STARTING;
	guest->started_tsc = machine_now_tsc();
	guest->restarts_count++;
	guest->restart_at_tsc = 0;
	guest->is_reboot_wanted = 0;
	guest->is_stop_wanted = 0;
}

/* Ends a guest that cannot be started now: says why in the event log and in its reason. */
static void give_up(struct guest *guest, const struct result *why)
{
	const char *text = why->text != NULL ? why->text : "no memory";

	snprintf(guest->reason, sizeof(guest->reason), "not started: %.150s", text);
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "%s", guest->reason);
	guest->state = GUEST_OFF;
}

static void create_or_give_up(struct guest *guest)
{
	struct result result;

	result_init(&result);
	if (!partition_poll_create(guest, &result)) {
		give_up(guest, &result);
	}
	result_free(&result);
}

/* ---- root ---------------------------------------------------------------------------------- */

static void created(struct guest *guest, int error, const char *message)
{
	if (error != BH_OK) {
		snprintf(guest->reason, sizeof(guest->reason), "not started: %.120s (error %d)",
		         message[0] != '\0' ? message : "root refused", error);
		ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "%s",
		             guest->reason);
		guest->state = GUEST_OFF;
		guest->restart_at_tsc = 0;
		return;
	}
	guest->has_partition = 1;
	guest_devices_attach(guest);
	if (guest->is_kill_wanted != 0) {
		guest->is_kill_wanted = 0;
		guest->state = GUEST_OFF;
		snprintf(guest->reason, sizeof(guest->reason), "killed");
		partition_poll_destroy(guest, GUEST_NEXT_NONE);
	}
}

static void destroyed(struct guest *guest, int error)
{
	enum guest_next next = guest->next;

	if (error != BH_OK) {
		ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
		             "root could not give its resources back (error %d)", error);
	}
	guest->has_partition = 0;
	guest->is_command_sent = 0;
	guest->is_share_pending = 0;
	guest->next = GUEST_NEXT_NONE;
	if (next == GUEST_NEXT_DELETE) {
		console_forget(partition_slot(guest));
		guest_devices_forget(guest);
		machine_store32(&guest->is_used, 0);
	} else if (next == GUEST_NEXT_START) {
		create_or_give_up(guest);
	}
}

/* Takes root's answer, if there is one. */
static void take_answer(void)
{
	struct root_channel *channel = machine_root_channel();
	struct guest *guest = partition_guest(in_flight.slot);
	uint32_t request = in_flight.request;
	char message[128];

	if (in_flight.slot == NO_SLOT || !root_turn_is_answered()) {
		return;
	}
	in_flight.slot = NO_SLOT;
	root_turn_end();
	if (guest == NULL || request == ROOT_REQUEST_SHARE) {
		return;
	}
	memcpy(message, channel->message, sizeof(message));
	message[sizeof(message) - 1] = '\0';
	guest->is_sent = 0;
	guest->request = GUEST_REQUEST_NONE;
	if (request == ROOT_REQUEST_CREATE) {
		created(guest, channel->result, message);
	} else if (request == ROOT_REQUEST_DESTROY) {
		destroyed(guest, channel->result);
	}
}

static struct guest *first_waiting(void)
{
	struct guest *first = NULL;
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);

		if (guest == NULL || guest->request == GUEST_REQUEST_NONE) {
			continue;
		}
		if (first == NULL || guest->ticket < first->ticket) {
			first = guest;
		}
	}
	return first;
}

static struct guest *first_share(void)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);

		if (guest != NULL && guest->is_share_pending != 0 && partition_has_vmm(guest)) {
			return guest;
		}
	}
	return NULL;
}

/* What must be done before the request can go to root; false: not yet, or not at all any more. */
static bool prepare_request(struct guest *guest, uint32_t request)
{
	char why[160];

	if (request == ROOT_REQUEST_DESTROY) {
		return guest_devices_detach(guest);
	}
	if (request != ROOT_REQUEST_CREATE) {
		return true;
	}
	switch (guest_devices_prepare(guest, why, sizeof(why))) {
	case GUEST_DEVICES_READY:
		return true;
	case GUEST_DEVICES_FAILED:
		guest->request = GUEST_REQUEST_NONE;
		guest_devices_detach(guest);
		created(guest, BH_ERR_NOT_FOUND, why);
		break;
	case GUEST_DEVICES_WAIT:
		break;
	}
	return false;
}

/* Puts the next request into root's channel, if root is free. */
static void send_request(void)
{
	struct root_channel *channel = machine_root_channel();
	struct guest *guest;
	uint32_t request;

	if (!root_turn_is_free()) {
		return;
	}
	guest = first_waiting();
	if (guest != NULL) {
		request = guest->request == GUEST_REQUEST_CREATE ? ROOT_REQUEST_CREATE
		                                                 : ROOT_REQUEST_DESTROY;
	} else {
		guest = first_share();
		request = ROOT_REQUEST_SHARE;
	}
	if (guest == NULL || !prepare_request(guest, request)) {
		return;
	}
	if (request == ROOT_REQUEST_DESTROY) {
		/* The shared pages go away with it: take the last words now. */
		console_keep(partition_slot(guest));
	}
	partition_fill_params(guest, &channel->params);
	in_flight.slot = partition_slot(guest);
	in_flight.request = request;
	if (request == ROOT_REQUEST_SHARE) {
		guest->is_share_pending = 0;
	} else {
		guest->is_sent = 1;
	}
	root_turn_send(request);
}

bool partition_restart_mgmt(uint64_t delay_us, struct result *result)
{
	if (!root_turn_is_free()) {
		result_error(result, "host", "try again when it is done",
		             "a guest is being started or ended, or memory is being cleared");
		return false;
	}
	machine_root_channel()->params.delay_ns = delay_us * 1000;
	root_turn_send(ROOT_REQUEST_RESTART);
	root_turn_end(); /* nobody takes the answer */
	return true;
}

/* ---- the end of a guest -------------------------------------------------------------------- */

/* Seconds to wait before a restart: none at first, then doubling while it keeps ending soon. */
static uint64_t backoff_seconds(struct guest *guest)
{
	uint64_t ran = machine_now_tsc() - guest->started_tsc;
	uint32_t shift;

	if (ran >= seconds_to_tsc(QUICK_END_SECONDS)) {
		guest->quick_ends_count = 0;
	}
	guest->quick_ends_count++;
	if (guest->quick_ends_count == 1) {
		return 0;
	}
	shift = guest->quick_ends_count - 2;
	return shift < 6 ? 1ull << shift : BACKOFF_MAX_SECONDS;
}

static void restart_now(struct guest *guest)
{
	bool is_vmm_good = partition_has_vmm(guest) && guest->is_command_sent == 0 &&
	                   guest->state == GUEST_OFF;

	guest->restart_at_tsc = 0;
	if (is_vmm_good && guest->is_changed == 0) {
		partition_poll_reset(guest);
		return;
	}
	guest->restarts_count++;
	if (guest->has_partition != 0) {
		partition_poll_destroy(guest, GUEST_NEXT_START);
		guest->state = GUEST_STARTING;
	} else {
		create_or_give_up(guest);
	}
}

static void plan_restart(struct guest *guest)
{
	uint64_t seconds = backoff_seconds(guest);

	if (seconds == 0) {
		restart_now(guest);
		return;
	}
	guest->restart_at_tsc = machine_now_tsc() + seconds_to_tsc(seconds);
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
	             "it keeps ending soon after its start; next start in %u s",
	             (unsigned int)seconds);
}

static uint32_t end_action(struct guest *guest, enum end_kind kind)
{
	if (kind == END_REBOOT) {
		return guest->config.on_reboot;
	}
	if (kind == END_CRASH) {
		return guest->config.on_crash;
	}
	if (guest->is_reboot_wanted != 0) {
		return CONFIG_ACTION_RESTART;
	}
	/* Whom the operator has stopped stays stopped. */
	if (guest->is_stop_wanted != 0 && guest->config.on_poweroff == CONFIG_ACTION_RESTART) {
		return CONFIG_ACTION_DESTROY;
	}
	return guest->config.on_poweroff;
}

/* The guest has ended; guest->reason says how. */
static void ended(struct guest *guest, enum end_kind kind)
{
	uint32_t action = end_action(guest, kind);

	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "%s", guest->reason);
	guest->state = kind == END_CRASH ? GUEST_CRASHED : GUEST_OFF;
	guest->is_reboot_wanted = 0;
	guest->is_stop_wanted = 0;
	switch (action) {
	case CONFIG_ACTION_RESTART:
		plan_restart(guest);
		break;
	case CONFIG_ACTION_PRESERVE:
		break;
	default:
		partition_poll_destroy(guest, GUEST_NEXT_NONE);
		break;
	}
}

/* ---- VMMs ---------------------------------------------------------------------------------- */

static void started(struct guest *guest)
{
	guest->state = GUEST_RUNNING;
	guest->reason[0] = '\0';
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "started");
}

static void copy_reason(struct guest *guest, const char *what, const char *shared)
{
	char text[160];
	size_t i;

	memcpy(text, shared, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (i = 0; text[i] != '\0'; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
			text[i] = ' ';
		}
	}
	snprintf(guest->reason, sizeof(guest->reason), "%s: %s", what, text);
}

/* A VMM whose images are bad: no policy applies, since a restart would fail the same way. */
static void failed(struct guest *guest, const struct vmm_channel *channel)
{
	copy_reason(guest, "cannot start", channel->reason);
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name, "%s", guest->reason);
	guest->state = GUEST_OFF;
	partition_poll_destroy(guest, GUEST_NEXT_NONE);
}

static void vmm_died(struct guest *guest)
{
	const struct root_status *status = machine_status();
	uint32_t slot = partition_slot(guest);

	guest->is_command_sent = 0;
	snprintf(guest->reason, sizeof(guest->reason),
	         "its VMM died: exception %u at 0x%llx, address 0x%llx",
	         (unsigned int)status->slots[slot].death_vector,
	         (unsigned long long)status->slots[slot].death_rip,
	         (unsigned long long)status->slots[slot].death_address);
	ended(guest, END_CRASH);
}

/* True while a command is under way after which the VMM's state means nothing yet. */
static bool poll_command(struct guest *guest, const struct vmm_channel *channel)
{
	uint64_t limit = seconds_to_tsc(COMMAND_TIMEOUT_SECONDS);

	if (guest->is_command_sent == 0) {
		return false;
	}
	if (machine_load32(&channel->done_sequence) == channel->command_sequence) {
		guest->is_command_sent = 0;
		return false;
	}
	if (guest->is_command_sent == 1 && machine_now_tsc() - guest->command_tsc > limit) {
		guest->is_command_sent = 2;
		ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
		             "its VMM does not answer; kill ends it");
	}
	return channel->command == VMM_COMMAND_RESET;
}

static void poll_state(struct guest *guest, const struct vmm_channel *channel)
{
	switch (machine_load32(&channel->state)) {
	case VMM_RUNNING:
		if (guest->state == GUEST_STARTING) {
			started(guest);
		} else if (guest->state == GUEST_PAUSED) {
			guest->state = GUEST_RUNNING;
			ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
			             "resumed");
		}
		break;
	case VMM_PAUSED:
		if (guest->state != GUEST_PAUSED) {
			guest->state = GUEST_PAUSED;
			ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
			             "paused");
		}
		break;
	case VMM_OFF:
		snprintf(guest->reason, sizeof(guest->reason), "powered off");
		ended(guest, END_POWEROFF);
		break;
	case VMM_DEBUG_EXIT: {
		uint32_t code = machine_load32(&channel->exit_code) & 0xffu;

		snprintf(guest->reason, sizeof(guest->reason), "debug exit: code %u, status %u",
		         (unsigned int)code, (unsigned int)((code << 1 | 1u) & 0xffu));
		ended(guest, END_POWEROFF);
		break;
	}
	case VMM_REBOOT:
		snprintf(guest->reason, sizeof(guest->reason), "reset itself");
		ended(guest, END_REBOOT);
		break;
	case VMM_CRASHED:
		copy_reason(guest, "crashed", channel->reason);
		ended(guest, END_CRASH);
		break;
	case VMM_FAILED:
		failed(guest, channel);
		break;
	default:
		break;
	}
}

static void poll_guest(struct guest *guest)
{
	uint32_t slot = partition_slot(guest);

	if (guest->restart_at_tsc != 0 && machine_now_tsc() >= guest->restart_at_tsc) {
		restart_now(guest);
	}
	if (guest->has_partition == 0 || guest->request != GUEST_REQUEST_NONE) {
		return;
	}
	if (machine_load32(&machine_status()->slots[slot].state) == ROOT_SLOT_DEAD) {
		if (guest->state != GUEST_CRASHED) {
			vmm_died(guest);
		}
		return;
	}
	if (poll_command(guest, machine_vmm_channel(slot)) || guest->state == GUEST_OFF ||
	    guest->state == GUEST_CRASHED) {
		return;
	}
	poll_state(guest, machine_vmm_channel(slot));
}

/* ---- autostart ------------------------------------------------------------------------------ */

void partition_autostart(void)
{
	autostart.is_running = true;
	autostart.slot = 0;
	autostart.next_tsc = machine_now_tsc();
}

static void poll_autostart(void)
{
	while (autostart.is_running && machine_now_tsc() >= autostart.next_tsc) {
		struct guest *guest;

		if (autostart.slot == BH_PARTITIONS_MAX) {
			autostart.is_running = false;
			break;
		}
		guest = partition_guest(autostart.slot++);
		if (guest != NULL && guest->config.has_autostart && guest->state == GUEST_DEFINED) {
			create_or_give_up(guest);
			autostart.next_tsc = machine_now_tsc() +
			                     seconds_to_tsc(
						     machine_ledger()->host.autostart_delay_s);
		}
	}
}

/* ---- taking over ---------------------------------------------------------------------------- */

/* Brings one record into line with what root holds for the slot. */
static void adopt(struct guest *guest, uint32_t slot_state)
{
	bool is_there = slot_state == ROOT_SLOT_ALIVE || slot_state == ROOT_SLOT_DEAD;

	if (is_there && guest->has_partition == 0) {
		guest->has_partition = 1;
		if (guest->request == GUEST_REQUEST_CREATE) {
			guest->request = GUEST_REQUEST_NONE;
		}
	} else if (slot_state == ROOT_SLOT_FREE && guest->has_partition != 0) {
		enum guest_next next = guest->next;

		guest->has_partition = 0;
		guest->request = GUEST_REQUEST_NONE;
		guest->next = GUEST_NEXT_NONE;
		if (next == GUEST_NEXT_DELETE) {
			guest_devices_forget(guest);
			guest->is_used = 0;
		} else if (next == GUEST_NEXT_START) {
			create_or_give_up(guest);
		} else if (guest->state != GUEST_CRASHED) {
			guest->state = GUEST_OFF;
		}
	}
}

/* A partition without a record: its record was spoilt. It cannot be managed, so it goes. */
static void adopt_orphan(uint32_t slot)
{
	struct guest *guest = &machine_ledger()->guests[slot];

	memset(guest, 0, sizeof(*guest));
	config_set_defaults(CONFIG_SECTION_GUEST, &guest->config);
	snprintf(guest->config.name, sizeof(guest->config.name), "lost-%u", (unsigned int)slot);
	guest->has_partition = 1;
	guest->state = GUEST_CRASHED;
	guest->id = ++machine_ledger()->ids_count;
	guest->is_used = 1;
	partition_poll_destroy(guest, GUEST_NEXT_DELETE);
	ledger_event(machine_ledger(), machine_now_tsc(), guest->config.name,
	             "a partition without a record is ended");
}

void partition_init(void)
{
	const struct root_channel *channel = machine_root_channel();
	bool is_answered = machine_load32(&channel->done_sequence) == channel->request_sequence;
	uint32_t slot;

	in_flight.slot = NO_SLOT;
	autostart.is_running = false;
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);
		uint32_t slot_state = machine_load32(&machine_status()->slots[slot].state);
		bool is_last = channel->request_sequence != 0 && channel->params.slot == slot &&
		               (channel->request == ROOT_REQUEST_CREATE ||
		                channel->request == ROOT_REQUEST_DESTROY);

		if (guest == NULL) {
			if (slot_state == ROOT_SLOT_ALIVE || slot_state == ROOT_SLOT_DEAD) {
				adopt_orphan(slot);
			}
			continue;
		}
		if (is_last && (!is_answered || guest->is_sent != 0)) {
			/* The answer is still to be taken. */
			in_flight.slot = slot;
			in_flight.request = channel->request;
			root_turn_adopt();
			guest->is_sent = 1;
			continue;
		}
		guest->is_sent = 0;
		adopt(guest, slot_state);
		if (guest->has_partition != 0) {
			guest_devices_attach(guest);
		}
	}
}

/* ---- the whole ------------------------------------------------------------------------------- */

void partition_poll(void)
{
	uint32_t slot;

	take_answer();
	poll_autostart();
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);

		if (guest != NULL) {
			poll_guest(guest);
		}
	}
	send_request();
}

uint64_t partition_deadline_tsc(void)
{
	uint64_t deadline = autostart.is_running ? autostart.next_tsc : BH_FOREVER;
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest == NULL) {
			continue;
		}
		if (guest->restart_at_tsc != 0 && guest->restart_at_tsc < deadline) {
			deadline = guest->restart_at_tsc;
		}
		if (guest->is_command_sent == 1) {
			uint64_t limit = guest->command_tsc +
			                 seconds_to_tsc(COMMAND_TIMEOUT_SECONDS + 1);

			deadline = limit < deadline ? limit : deadline;
		}
	}
	return deadline;
}
