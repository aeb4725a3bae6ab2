// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs that move guests and the machine. Each begins its work through partition.h and leaves a
 * wait behind that tells the end; Ctrl-C ends the waiting, not the work.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/host.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/verb.h"

#define ANSWER_SECONDS 15u
#define DELAY_MAX_US   1000000u

enum wait_kind {
	WAIT_START,
	WAIT_END,  /* until its resources are given back */
	WAIT_STOP, /* the same by itself; at the deadline it is killed */
	WAIT_REBOOT,
	WAIT_PAUSE,
	WAIT_RESUME,
	WAIT_REGISTERS,
	WAIT_POWEROFF, /* of the machine */
	WAIT_RESET,
	WAIT_MGMT, /* for its own end */
};

static uint64_t after_seconds(uint64_t seconds)
{
	return machine_now_tsc() + seconds * machine_tsc_hz();
}

/* The guest of a wait, or NULL if it has been deleted meanwhile. */
static struct guest *wait_guest(const struct shell_wait *wait)
{
	struct guest *guest = partition_guest(wait->slot);

	return guest != NULL && guest->id == wait->guest_id ? guest : NULL;
}

static void begin_wait(struct verb_call *call, uint32_t kind, uint64_t seconds,
                       bool (*poll)(struct shell_wait *wait, struct result *result))
{
	struct shell_wait wait = {
		.poll = poll,
		.guest_id = call->guest != NULL ? call->guest->id : 0,
		.slot = call->guest != NULL ? partition_slot(call->guest) : 0,
		.kind = kind,
		.deadline_tsc = seconds != 0 ? after_seconds(seconds) : BH_FOREVER,
		.is_json = call->is_json,
	};

	shell_begin_wait(call->shell, &wait);
}

/* How a guest that was to run stands now. */
static bool tell_running(const struct guest *guest, struct result *result)
{
	const char *name = guest->config.name;

	if (guest->state == GUEST_STARTING || guest->request != GUEST_REQUEST_NONE) {
		return false;
	}
	if (guest->state == GUEST_OFF || guest->state == GUEST_CRASHED) {
		if (guest->state == GUEST_CRASHED || strncmp(guest->reason, "not ", 4) == 0 ||
		    strncmp(guest->reason, "cannot ", 7) == 0) {
			result_error(result, name, "", "%s", guest->reason);
		} else {
			result_message(result, "guest %s has ended: %s", name, guest->reason);
		}
		return true;
	}
	result_message(result, "guest %s is %s", name, partition_state_name(guest->state));
	return true;
}

static bool tell_end(const struct guest *guest, struct result *result)
{
	if (guest->request != GUEST_REQUEST_NONE) {
		return false;
	}
	result_message(result, "guest %s is %s: %s", guest->config.name,
	               partition_state_name(guest->state), guest->reason);
	return true;
}

static void no_answer(const struct guest *guest, struct result *result)
{
	result_error(result, guest->config.name, "kill ends it", "its VMM does not answer");
}

/* Pause and resume: the state that is waited for. */
static bool tell_state(struct shell_wait *wait, const struct guest *guest, struct result *result)
{
	uint32_t wanted = wait->kind == WAIT_PAUSE ? GUEST_PAUSED : GUEST_RUNNING;

	if (guest->state == wanted ||
	    (guest->is_command_sent == 0 && guest->state != GUEST_PAUSED &&
	     guest->state != GUEST_RUNNING)) {
		result_message(result, "guest %s is %s", guest->config.name,
		               partition_state_name(guest->state));
		return true;
	}
	if (guest->is_command_sent == 0 && partition_has_vmm(guest) &&
	    machine_vmm_channel(wait->slot)->result != BH_OK) {
		result_error(result, guest->config.name, "see list", "its VMM refused (error %d)",
		             (int)machine_vmm_channel(wait->slot)->result);
		return true;
	}
	if (machine_now_tsc() >= wait->deadline_tsc) {
		no_answer(guest, result);
		return true;
	}
	return false;
}

static bool at_deadline(struct shell_wait *wait, struct guest *guest, struct result *result)
{
	if (machine_now_tsc() < wait->deadline_tsc) {
		return false;
	}
	wait->deadline_tsc = BH_FOREVER;
	if (wait->kind == WAIT_STOP) {
		wait->kind = WAIT_END;
		return !partition_kill(guest, result);
	}
	wait->kind = WAIT_RESET;
	return !partition_reset(guest, result);
}

static bool poll_guest_wait(struct shell_wait *wait, struct result *result)
{
	struct guest *guest = wait_guest(wait);

	if (guest == NULL) {
		result_message(result, "the guest has been deleted");
		return true;
	}
	switch (wait->kind) {
	case WAIT_START:
	case WAIT_RESET:
		return tell_running(guest, result);
	case WAIT_END:
		return tell_end(guest, result);
	case WAIT_STOP:
		return guest->state == GUEST_OFF || guest->state == GUEST_CRASHED
		               ? tell_end(guest, result)
		               : at_deadline(wait, guest, result);
	case WAIT_REBOOT:
		if (guest->state != GUEST_SHUTTING_DOWN && guest->state != GUEST_STARTING) {
			return tell_running(guest, result);
		}
		return guest->state == GUEST_SHUTTING_DOWN && at_deadline(wait, guest, result);
	default:
		return tell_state(wait, guest, result);
	}
}

void verb_start(struct verb_call *call, struct result *result)
{
	if (partition_start(call->guest, result)) {
		begin_wait(call, WAIT_START, 0, poll_guest_wait);
	}
}

void verb_stop(struct verb_call *call, struct result *result)
{
	if (!partition_stop(call->guest, false, result)) {
		return;
	}
	if (call->has_wait) {
		begin_wait(call, WAIT_STOP, call->wait_seconds + (call->wait_seconds == 0),
		           poll_guest_wait);
		return;
	}
	result_message(result, "the power button of guest %s is pressed", call->guest->config.name);
}

void verb_reboot(struct verb_call *call, struct result *result)
{
	if (!partition_stop(call->guest, true, result)) {
		return;
	}
	if (call->has_wait) {
		begin_wait(call, WAIT_REBOOT, call->wait_seconds + (call->wait_seconds == 0),
		           poll_guest_wait);
		return;
	}
	result_message(result,
	               "the power button of guest %s is pressed; it starts again after that",
	               call->guest->config.name);
}

void verb_kill(struct verb_call *call, struct result *result)
{
	if (partition_kill(call->guest, result)) {
		begin_wait(call, WAIT_END, 0, poll_guest_wait);
	}
}

void verb_reset(struct verb_call *call, struct result *result)
{
	if (partition_reset(call->guest, result)) {
		begin_wait(call, WAIT_RESET, 0, poll_guest_wait);
	}
}

void verb_pause(struct verb_call *call, struct result *result)
{
	if (partition_pause(call->guest, result)) {
		begin_wait(call, WAIT_PAUSE, ANSWER_SECONDS, poll_guest_wait);
	}
}

void verb_resume(struct verb_call *call, struct result *result)
{
	if (partition_resume(call->guest, result)) {
		begin_wait(call, WAIT_RESUME, ANSWER_SECONDS, poll_guest_wait);
	}
}

/* ---- registers ------------------------------------------------------------------------------ */

static const struct result_column register_columns[] = {
	{ "rax", "rax", RESULT_HEX },
	{ "rbx", "rbx", RESULT_HEX },
	{ "rcx", "rcx", RESULT_HEX },
	{ "rdx", "rdx", RESULT_HEX },
	{ "rsi", "rsi", RESULT_HEX },
	{ "rdi", "rdi", RESULT_HEX },
	{ "rbp", "rbp", RESULT_HEX },
	{ "rsp", "rsp", RESULT_HEX },
	{ "r8", "r8", RESULT_HEX },
	{ "r9", "r9", RESULT_HEX },
	{ "r10", "r10", RESULT_HEX },
	{ "r11", "r11", RESULT_HEX },
	{ "r12", "r12", RESULT_HEX },
	{ "r13", "r13", RESULT_HEX },
	{ "r14", "r14", RESULT_HEX },
	{ "r15", "r15", RESULT_HEX },
	{ "rip", "rip", RESULT_HEX },
	{ "rflags", "rflags", RESULT_HEX },
	{ "cr0", "cr0", RESULT_HEX },
	{ "cr2", "cr2", RESULT_HEX },
	{ "cr3", "cr3", RESULT_HEX },
	{ "cr4", "cr4", RESULT_HEX },
	{ "efer", "efer", RESULT_HEX },
	{ "xcr0", "xcr0", RESULT_HEX },
	{ "gdtr", "gdtr", RESULT_HEX },
	{ "idtr", "idtr", RESULT_HEX },
	{ "activity", "activity", RESULT_TEXT },
};

static const struct result_column segment_columns[] = {
	{ "SEGMENT", "segment", RESULT_TEXT },
	{ "SELECTOR", "selector", RESULT_HEX },
	{ "BASE", "base", RESULT_HEX },
	{ "LIMIT", "limit", RESULT_HEX },
	{ "ATTRIBUTES", "attributes", RESULT_HEX },
};

static void fill_segments(const struct bh_cpu_state *cpu, struct result *result)
{
	static const char *const names[BH_SEG_COUNT] = { "es", "cs",   "ss",   "ds",   "fs",
		                                         "gs", "gdtr", "ldtr", "idtr", "tr" };
	uint32_t i;

	result_begin(result, "segments", RESULT_TABLE, segment_columns, 5);
	for (i = 0; i < BH_SEG_COUNT; i++) {
		const struct bh_segment_state *segment = &cpu->segments[i];

		result_text(result, names[i]);
		result_value(result, segment->selector);
		result_value(result, segment->base);
		result_value(result, segment->limit);
		result_value(result, segment->attributes);
	}
}

static void fill_registers(const struct bh_cpu_state *cpu, uint32_t activity, struct result *result)
{
	static const uint8_t order[BH_GPR_COUNT] = {
		BH_GPR_RAX, BH_GPR_RBX, BH_GPR_RCX, BH_GPR_RDX, BH_GPR_RSI, BH_GPR_RDI,
		BH_GPR_RBP, BH_GPR_RSP, BH_GPR_R8,  BH_GPR_R9,  BH_GPR_R10, BH_GPR_R11,
		BH_GPR_R12, BH_GPR_R13, BH_GPR_R14, BH_GPR_R15,
	};
	const uint64_t others[] = { cpu->rip,
		                    cpu->rflags,
		                    cpu->cr0,
		                    cpu->cr2,
		                    cpu->cr3,
		                    cpu->cr4,
		                    cpu->efer,
		                    cpu->xcr0,
		                    cpu->segments[BH_SEG_GDTR].base,
		                    cpu->segments[BH_SEG_IDTR].base };
	uint32_t i;

	result_begin(result, "registers", RESULT_RECORD, register_columns, 27);
	for (i = 0; i < BH_GPR_COUNT; i++) {
		result_value(result, cpu->gpr[order[i]]);
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		result_value(result, others[i]);
	}
	result_text(result, activity == BH_ACTIVITY_HALTED      ? "halted"
	                    : activity == BH_ACTIVITY_WAIT_SIPI ? "waits-for-sipi"
	                                                        : "running");
	fill_segments(cpu, result);
}

static bool poll_registers(struct shell_wait *wait, struct result *result)
{
	struct guest *guest = wait_guest(wait);
	const struct vmm_channel *channel;
	struct bh_cpu_state cpu;
	int error;

	if (guest == NULL || !partition_has_vmm(guest)) {
		result_error(result, "regs", "", "the guest has ended meanwhile");
		return true;
	}
	if (guest->is_command_sent != 0) {
		if (machine_now_tsc() >= wait->deadline_tsc) {
			no_answer(guest, result);
			return true;
		}
		return false;
	}
	channel = machine_vmm_channel(wait->slot);
	error = channel->result;
	if (error != BH_OK) {
		result_error(result, guest->config.name, "", "its VMM refused (error %d)", error);
		return true;
	}
	memcpy(&cpu, &channel->registers, sizeof(cpu));
	fill_registers(&cpu, channel->registers_activity, result);
	return true;
}

void verb_regs(struct verb_call *call, struct result *result)
{
	if (partition_read_registers(call->guest, call->vcpu_idx, result)) {
		begin_wait(call, WAIT_REGISTERS, ANSWER_SECONDS, poll_registers);
	}
}

/* ---- the machine ---------------------------------------------------------------------------- */

enum {
	HOST_POWEROFF = 0,
	HOST_REBOOT = 1
};

static void end_machine(uint64_t what, struct result *result)
{
	if (what == HOST_REBOOT) {
		host_reset();
	} else {
		host_poweroff();
	}
	result_error(result, "host", "use the machine's own button",
	             "the firmware offers no way that worked");
}

static bool is_any_running(void)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL && guest->has_partition != 0 && guest->state != GUEST_OFF &&
		    guest->state != GUEST_CRASHED) {
			return true;
		}
	}
	return false;
}

static bool poll_host(struct shell_wait *wait, struct result *result)
{
	if (is_any_running() && machine_now_tsc() < wait->deadline_tsc) {
		return false;
	}
	end_machine(wait->guest_id, result);
	return true;
}

/* root ends this mgmt while it waits; its successor shows the next prompt. */
static bool poll_mgmt(struct shell_wait *wait, struct result *result)
{
	if (machine_now_tsc() < wait->deadline_tsc) {
		return false;
	}
	result_error(result, "host", "", "root has not restarted mgmt");
	return true;
}

static void end_mgmt(struct verb_call *call, struct result *result)
{
	unsigned long delay_us = 0;

	if (call->word_count > 1) {
		char *end;

		delay_us = strtoul(call->word[1].text, &end, 10);
		if (end == call->word[1].text || *end != '\0' || delay_us > DELAY_MAX_US) {
			result_error(result, call->word[1].text, "0 to 1000000",
			             "not microseconds");
			return;
		}
	}
	if (call->word[0].text[0] != 'r') {
		machine_end_at(call->word[0].text[0] == 'c' ? MACHINE_END_CRASH : MACHINE_END_HANG,
		               machine_now_tsc() + delay_us * machine_tsc_hz() / 1000000);
	} else if (!partition_restart_mgmt(delay_us, result)) {
		return;
	}
	begin_wait(call, WAIT_MGMT, ANSWER_SECONDS, poll_mgmt);
}

void verb_host(struct verb_call *call, struct result *result)
{
	uint64_t what = strcmp(call->word[0].text, "reboot") == 0 ? HOST_REBOOT : HOST_POWEROFF;
	struct shell_wait wait = {
		.poll = poll_host,
		.guest_id = what,
		.kind = WAIT_POWEROFF,
		.is_json = call->is_json,
	};
	uint32_t slot;

	if (strstr(call->word[0].text, "-mgmt") != NULL) {
		end_mgmt(call, result);
		return;
	}
	if (call->word_count > 1) {
		result_error(result, call->word[1].text, "restart-mgmt can be told when",
		             "the machine's end takes no microseconds");
		return;
	}
	if (!call->has_wait) {
		end_machine(what, result);
		return;
	}
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);
		struct result ignored;

		result_init(&ignored);
		if (guest != NULL) {
			partition_stop(guest, false, &ignored);
		}
		result_free(&ignored);
	}
	wait.deadline_tsc = after_seconds(call->wait_seconds);
	shell_begin_wait(call->shell, &wait);
}
