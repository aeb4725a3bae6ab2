// SPDX-License-Identifier: Apache-2.0
/*
 * The verb trace: start, stop, show, save, and what is there. What a record means in words is here; reading it is trace.c's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/config.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/stats.h"
#include "mgmt/trace_text.h"
#include "mgmt/verb.h"

#define COUNT_OF(array)  ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define SHOW_USUAL       20u
#define SHOW_MAX         500u
#define SAVE_PER_TURN    2048u /* bytes of text */
#define RETRY_PER_SECOND 50u

enum answer {
	ANSWER_NONE,
	ANSWER_OK,
	ANSWER_ERROR,
};

static enum answer answer;
static char answer_text[128];
static uint32_t asked_kinds;

/* ---- start, stop ---- */

static void on_set(int error, const char *message)
{
	answer = error < 0 ? ANSWER_ERROR : ANSWER_OK;
	snprintf(answer_text, sizeof(answer_text), "%s (error %d)", message, error);
}

static bool poll_set(struct shell_wait *wait, struct result *result)
{
	char kinds[80], bytes[24];

	(void)wait;
	if (answer == ANSWER_NONE) {
		return false;
	}
	if (answer == ANSWER_ERROR) {
		result_error(result, "trace", "", "%s", answer_text);
	} else if (asked_kinds == 0) {
		result_message(result, "the trace is stopped; save or show it");
	} else {
		trace_kinds_print(asked_kinds, kinds, sizeof(kinds));
		result_format(RESULT_BYTES, trace_bytes(), bytes, sizeof(bytes));
		result_message(result, "tracing %s into %s", kinds, bytes);
	}
	return true;
}

static void set(struct verb_call *call, uint32_t kinds, uint64_t bytes, struct result *result)
{
	struct shell_wait wait = { .poll = poll_set,
		                   .slot = UINT32_MAX,
		                   .is_json = call->is_json,
		                   .deadline_tsc = BH_FOREVER };

	answer = ANSWER_NONE;
	asked_kinds = kinds;
	if (!trace_set(kinds, bytes, on_set)) {
		result_error(result, "trace", "", "the request before is not done yet");
		return;
	}
	shell_begin_wait(call->shell, &wait);
}

static void start(struct verb_call *call, struct result *result)
{
	uint64_t least = machine_kernel_info()->cpus_count * BH_PAGE_SIZE;
	uint64_t bytes = 0;
	uint32_t kinds;

	if (!trace_kinds_parse(call->word_count > 1 ? call->word[1].text : "all", &kinds)) {
		result_error(result, "trace", trace_kind_words,
		             "'%.40s' is no list of kinds, separated by commas",
		             call->word[1].text);
		return;
	}
	least = least > TRACE_BYTES_MIN ? least : TRACE_BYTES_MIN;
	if (call->size_text != NULL && (!config_size_parse(call->size_text, &bytes) ||
	                                bytes < least || bytes > TRACE_BYTES_MAX)) {
		result_error(result, "trace",
		             "meant is 64K to 256M for all pCPUs together, a page each at least",
		             "'%.20s' is no size for a trace", call->size_text);
		return;
	}
	set(call, kinds, (bytes + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1), result);
}

static void drop(struct result *result)
{
	if (trace_drop()) {
		result_message(result, "the trace is dropped, its memory free again");
	} else {
		result_error(result, "trace", "", "the request before is not done yet");
	}
}

/* ---- what is there ---- */

static bool has_memory(struct result *result)
{
	if (trace_bytes() == 0) {
		result_error(result, "trace", "trace start begins one", "nothing has been traced");
		return false;
	}
	return true;
}

static void show_state(struct result *result)
{
	static const struct result_column columns[] = {
		{ "tracing", "is_on", RESULT_FLAG },
		{ "kinds", "kinds", RESULT_TEXT },
		{ "memory", "memory_bytes", RESULT_BYTES },
	};
	static const struct result_column cpu_columns[] = {
		{ "PCPU", "pcpu", RESULT_COUNT },
		{ "WRITTEN", "written", RESULT_COUNT },
		{ "KEPT", "kept", RESULT_COUNT },
		{ "LOST", "lost", RESULT_COUNT },
	};
	struct trace_span span;
	char kinds[80];
	uint32_t cpu;

	trace_kinds_print(trace_kinds_now(), kinds, sizeof(kinds));
	result_begin(result, "trace", RESULT_RECORD, columns, COUNT_OF(columns));
	result_value(result, trace_kinds_now() != 0);
	result_text(result, kinds);
	result_value(result, trace_bytes());
	result_begin(result, "pcpus", RESULT_TABLE, cpu_columns, COUNT_OF(cpu_columns));
	for (cpu = 0; trace_span_read(cpu, &span); cpu++) {
		result_value(result, cpu);
		result_value(result, span.head);
		result_value(result, span.head - span.first);
		result_value(result, span.first);
	}
}

/* ---- records in words ---- */

static const char *const kind_names[BH_TRACE_KINDS] = {
	[BH_TRACE_ENTER] = "enter",   [BH_TRACE_EXIT] = "exit",
	[BH_TRACE_INJECT] = "inject", [BH_TRACE_SWITCH] = "switch",
	[BH_TRACE_SIGNAL] = "signal", [BH_TRACE_CALL] = "call",
	[BH_TRACE_CALL_END] = "done", [BH_TRACE_INTERRUPT] = "interrupt",
};

static const char *const call_names[BH_CALL_COUNT] = {
	[BH_CALL_LOG_WRITE] = "log-write",
	[BH_CALL_DOMAIN_CREATE] = "domain-create",
	[BH_CALL_DOMAIN_INFO] = "domain-info",
	[BH_CALL_THREAD_CREATE] = "thread-create",
	[BH_CALL_THREAD_EXIT] = "thread-exit",
	[BH_CALL_THREAD_YIELD] = "thread-yield",
	[BH_CALL_THREAD_SET_SHARE] = "thread-set-share",
	[BH_CALL_REGION_ALLOCATE] = "region-allocate",
	[BH_CALL_REGION_ZERO] = "region-zero",
	[BH_CALL_REGION_MAP] = "region-map",
	[BH_CALL_REGION_UNMAP] = "region-unmap",
	[BH_CALL_REGION_INFO] = "region-info",
	[BH_CALL_EVENT_SET_CREATE] = "event-set-create",
	[BH_CALL_EVENT_CREATE] = "event-create",
	[BH_CALL_EVENT_SIGNAL] = "event-signal",
	[BH_CALL_EVENT_WAIT] = "event-wait",
	[BH_CALL_VM_CREATE] = "vm-create",
	[BH_CALL_VCPU_CREATE] = "vcpu-create",
	[BH_CALL_VCPU_PAGE] = "vcpu-page",
	[BH_CALL_VCPU_GET_STATE] = "vcpu-get-state",
	[BH_CALL_VCPU_SET_STATE] = "vcpu-set-state",
	[BH_CALL_VCPU_RUN] = "vcpu-run",
	[BH_CALL_VCPU_KICK] = "vcpu-kick",
	[BH_CALL_VM_SET_CPUID] = "vm-set-cpuid",
	[BH_CALL_DOORBELL_BIND] = "doorbell-bind",
	[BH_CALL_DOORBELL_UNBIND] = "doorbell-unbind",
	[BH_CALL_VM_MSI] = "vm-msi",
	[BH_CALL_VCPU_EXTINT] = "vcpu-extint",
	[BH_CALL_TRACE] = "trace",
	[BH_CALL_PORT] = "port",
	[BH_CALL_INTERRUPT_BIND] = "interrupt-bind",
	[BH_CALL_INTERRUPT_ACK] = "interrupt-ack",
	[BH_CALL_REGION_DEVICE] = "region-device",
	[BH_CALL_HOST_INFO] = "host-info",
	[BH_CALL_HOST_CONTROL] = "host-control",
	[BH_CALL_HANDLE_GIVE] = "handle-give",
	[BH_CALL_HANDLE_REVOKE] = "handle-revoke",
	[BH_CALL_HANDLE_CLOSE] = "handle-close",
	[BH_CALL_VCPU_STATS] = "vcpu-stats",
};

static const char *call_name(uint32_t number)
{
	return number < BH_CALL_COUNT && call_names[number] != NULL ? call_names[number] : "?";
}

static void print_vcpu(const struct bh_trace_record *record, char *out, size_t size)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL && (uint16_t)guest->id == record->owner) {
			snprintf(out, size, "%s/%u", guest->config.name, (unsigned)record->part);
			return;
		}
	}
	snprintf(out, size, "guest-%u/%u", (unsigned)record->owner, (unsigned)record->part);
}

static void print_domain(uint32_t id, char *out, size_t size)
{
	if (id == machine_domain_id()) {
		snprintf(out, size, "mgmt");
	} else {
		snprintf(out, size, id == 1 ? "root" : "domain-%u", (unsigned)id);
	}
}

static void print_reason(uint32_t reason, char *out, size_t size)
{
	snprintf(out, size, "%s", reason < BH_REASON_COUNT ? stats_reason_name(reason) : "nothing");
}

static void print_injection(uint32_t event, char *out, size_t size)
{
	static const char *const types[8] = { "interrupt", "?",          "NMI",  "exception",
		                              "INT",       "debug trap", "INT3", "?" };

	snprintf(out, size, "%s %u", types[event >> 8 & 7], (unsigned)(event & 0xff));
}

/* Whom a record is about, and what it says. */
static void print_record(const struct bh_trace_record *record, char who[48], char what[64])
{
	uint32_t argument = record->argument;

	print_domain(record->owner, who, 48);
	what[0] = '\0';
	switch (record->kind) {
	case BH_TRACE_ENTER:
		print_vcpu(record, who, 48);
		snprintf(what, 64, "after %s, by %s",
		         argument / 2 < BH_REASON_COUNT ? stats_reason_name(argument / 2)
		                                        : "nothing",
		         argument % 2 != 0 ? "vmm" : "kernel");
		break;
	case BH_TRACE_EXIT:
		print_vcpu(record, who, 48);
		print_reason(argument, what, 64);
		break;
	case BH_TRACE_INJECT:
		print_vcpu(record, who, 48);
		print_injection(argument, what, 64);
		break;
	case BH_TRACE_SWITCH:
		snprintf(what, 64, argument != 0 ? "thread %x" : "idle", (unsigned)argument);
		if (argument == 0) {
			snprintf(who, 48, "-");
		}
		break;
	case BH_TRACE_SIGNAL:
		snprintf(who, 48, "thread-%x", (unsigned)argument);
		snprintf(what, 64, "bit %u", (unsigned)record->owner);
		break;
	case BH_TRACE_CALL:
		snprintf(what, 64, "%s %u", call_name(record->part), (unsigned)argument);
		break;
	case BH_TRACE_CALL_END:
		snprintf(what, 64, "%s: %d", call_name(record->part), (int)argument);
		break;
	case BH_TRACE_INTERRUPT:
		snprintf(who, 48, "-");
		snprintf(what, 64, "vector %u", (unsigned)argument);
		break;
	default:
		break;
	}
}

/* ---- show ---- */

struct shown {
	uint32_t cpu;
	struct bh_trace_record record;
};

static struct shown shown[SHOW_MAX];
static struct trace_span spans[BH_MAX_CPUS];

/* The newest that is not taken yet, of all pCPUs. */
static bool take_newest(uint32_t cpus, struct shown *out)
{
	bool is_found = false;
	uint32_t cpu;

	for (cpu = 0; cpu < cpus; cpu++) {
		struct bh_trace_record record;

		if (spans[cpu].head > spans[cpu].first &&
		    trace_record_read(cpu, spans[cpu].head - 1, &record) &&
		    (!is_found || record.tsc > out->record.tsc)) {
			*out = (struct shown){ .cpu = cpu, .record = record };
			is_found = true;
		}
	}
	if (is_found) {
		spans[out->cpu].head--;
	}
	return is_found;
}

static void put_shown(uint32_t count, struct result *result)
{
	static const struct result_column columns[] = {
		{ "NS", "ns", RESULT_COUNT },    { "PCPU", "pcpu", RESULT_COUNT },
		{ "KIND", "kind", RESULT_TEXT }, { "WHO", "who", RESULT_TEXT },
		{ "WHAT", "what", RESULT_TEXT },
	};
	char who[48], what[64];

	result_begin(result, "trace", RESULT_TABLE, columns, COUNT_OF(columns));
	while (count-- > 0) {
		const struct bh_trace_record *record = &shown[count].record;

		print_record(record, who, what);
		result_value(result,
		             stats_tsc_to_ns(record->tsc - machine_kernel_info()->boot_tsc));
		result_value(result, shown[count].cpu);
		result_text(result,
		            record->kind < BH_TRACE_KINDS && kind_names[record->kind] != NULL
		                    ? kind_names[record->kind]
		                    : "?");
		result_text(result, who);
		result_text(result, what);
	}
}

static void show(struct verb_call *call, struct result *result)
{
	unsigned long wanted = SHOW_USUAL;
	uint32_t cpus = 0;
	uint32_t count = 0;

	if (call->word_count > 1) {
		char *end;

		wanted = strtoul(call->word[1].text, &end, 10);
		if (*end != '\0' || end == call->word[1].text || wanted == 0 || wanted > SHOW_MAX) {
			result_error(result, "trace", "meant is 1 to 500",
			             "'%.20s' is no number of records", call->word[1].text);
			return;
		}
	}
	if (!has_memory(result)) {
		return;
	}
	while (cpus < BH_MAX_CPUS && trace_span_read(cpus, &spans[cpus])) {
		cpus++;
	}
	while (count < wanted && take_newest(cpus, &shown[count])) {
		count++;
	}
	put_shown(count, result);
}

/* ---- save ---- */

static struct trace_text saving;

/* As much as the line takes without waiting. */
static bool poll_save(struct shell_wait *wait, struct result *result)
{
	char line[TRACE_TEXT_LINE_MAX];
	uint64_t now = machine_now_tsc();
	size_t used = 0;

	while (used < SAVE_PER_TURN && used + 2 * sizeof(line) < wait->room) {
		if (!trace_text_next(&saving, line)) {
			return true;
		}
		result_raw(result, line);
		used += strlen(line);
	}
	wait->deadline_tsc = used != 0 ? now : now + machine_tsc_hz() / RETRY_PER_SECOND;
	return false;
}

static void save(struct verb_call *call, struct result *result)
{
	struct shell_wait wait = { .poll = poll_save, .slot = UINT32_MAX };

	if (!has_memory(result)) {
		return;
	}
	if (trace_kinds_now() != 0) {
		result_error(result, "trace", "trace stop", "it is still being written");
		return;
	}
	if (call->is_json) {
		result_error(result, "trace", "trace save, without --json",
		             "a saved trace is a block of text");
		return;
	}
	trace_text_begin(&saving);
	wait.deadline_tsc = machine_now_tsc();
	shell_begin_wait(call->shell, &wait);
}

void verb_trace(struct verb_call *call, struct result *result)
{
	const char *what = call->word_count != 0 ? call->word[0].text : "";
	bool is_start = strcmp(what, "start") == 0;

	if (call->size_text != NULL && !is_start) {
		result_error(result, "trace", "trace start [KINDS] --size 4M",
		             "--size is for start");
	} else if (call->word_count > 1 && !is_start && strcmp(what, "show") != 0) {
		result_error(result, "trace", "help trace", "%s takes no further word", what);
	} else if (is_start) {
		start(call, result);
	} else if (strcmp(what, "stop") == 0) {
		set(call, 0, 0, result);
	} else if (strcmp(what, "drop") == 0) {
		drop(result);
	} else if (strcmp(what, "show") == 0) {
		show(call, result);
	} else if (strcmp(what, "save") == 0) {
		save(call, result);
	} else if (has_memory(result)) {
		show_state(result);
	}
}
