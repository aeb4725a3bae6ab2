// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs that only look: info, list, vcpus, files, log, events. They change nothing
 * but which news count as seen.
 */
#include <stdio.h>
#include <string.h>

#include "lib/heap.h"
#include "mgmt/chunks.h"
#include "mgmt/kept.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/serial.h"
#include "mgmt/shell.h"
#include "mgmt/stats.h"
#include "mgmt/verb.h"

#define COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static uint64_t seconds_since(uint64_t tsc)
{
	uint64_t now = machine_now_tsc();

	return now > tsc ? (now - tsc) / machine_tsc_hz() : 0;
}

static bool is_alive(const struct guest *guest)
{
	return guest->state == GUEST_RUNNING || guest->state == GUEST_PAUSED ||
	       guest->state == GUEST_SHUTTING_DOWN || guest->state == GUEST_STARTING;
}

/* A fixed-size text of a shared page, which might lack its end. */
static void put_fixed(struct result *result, const char *text, size_t size)
{
	char copy[512];

	size = size < sizeof(copy) ? size : sizeof(copy);
	memcpy(copy, text, size);
	copy[size - 1] = '\0';
	result_text(result, copy);
}

/* ---- info ------------------------------------------------------------------------------------ */

static const struct result_column info_columns[] = {
	{ "name", "name", RESULT_TEXT },
	{ "version", "version", RESULT_TEXT },
	{ "uptime", "uptime_seconds", RESULT_DURATION },
	{ "processor", "processor", RESULT_TEXT },
	{ "virtualisation", "virtualisation", RESULT_TEXT },
	{ "pCPUs", "pcpus", RESULT_COUNT },
	{ "TSC MHz", "tsc_mhz", RESULT_COUNT },
	STATS_MEMORY_COLUMNS,
	{ "heap mgmt", "heap_mgmt_bytes", RESULT_BYTES },
	{ "serial port", "serial", RESULT_TEXT },
	{ "guests", "guests", RESULT_COUNT },
	{ "guests running", "guests_running", RESULT_COUNT },
	{ "mgmt starts", "mgmt_starts", RESULT_COUNT },
	{ "ticks to prompt", "prompt_ticks",
	  RESULT_COUNT }, /* of the TSC, from the kernel's start */
	{ "features", "features", RESULT_TEXT },
	{ "PCIe space", "ecam", RESULT_TEXT },
	{ "HPET", "hpet", RESULT_TEXT },
	{ "memory nodes", "nodes", RESULT_COUNT },
};

static const char *vendor_name(uint32_t vendor)
{
	return vendor == BH_VENDOR_VMX ? "VT-x" : vendor == BH_VENDOR_SVM ? "AMD-V" : "none";
}

static void count_guests(uint32_t *defined, uint32_t *running)
{
	uint32_t slot;

	*defined = 0;
	*running = 0;
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL) {
			*defined += 1;
			*running += is_alive(guest) ? 1 : 0;
		}
	}
}

/* PCI configuration space and HPET, where ACPI names them, and the nodes; "none" and 1 where not. */
static void put_acpi(struct result *result)
{
	char text[ACPI_ECAM_MAX * 40] = "none";
	static struct acpi_machine machine;
	size_t at = 0;
	uint32_t i;

	machine_acpi(&machine);
	for (i = 0; i < machine.ecam_count; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u:%02x-%02x@%llx",
		                       i != 0 ? " " : "", (unsigned int)machine.ecam[i].segment,
		                       (unsigned int)machine.ecam[i].bus_first,
		                       (unsigned int)machine.ecam[i].bus_last,
		                       (unsigned long long)machine.ecam[i].base);
	}
	result_text(result, text);
	if (machine.hpet_base != 0) {
		snprintf(text, sizeof(text), "%llx", (unsigned long long)machine.hpet_base);
	} else {
		strcpy(text, "none");
	}
	result_text(result, text);
	result_value(result, machine.nodes_count != 0 ? machine.nodes_count : 1);
}

void verb_info(struct verb_call *call, struct result *result)
{
	char name[CPU_NAME_BYTES];
	const struct bh_info *kernel = machine_kernel_info();
	uint32_t defined;
	uint32_t running;

	count_guests(&defined, &running);
	result_begin(result, "info", RESULT_RECORD, info_columns, COUNT_OF(info_columns));
	result_text(result, machine_ledger()->host.name);
	put_fixed(result, kernel->version, sizeof(kernel->version));
	result_value(result, seconds_since(kernel->boot_tsc));
	machine_cpu_name(name);
	result_text(result, name);
	result_text(result, vendor_name(kernel->vendor));
	result_value(result, kernel->cpus_count);
	result_value(result, kernel->tsc_hz / 1000000);
	stats_put_memory(result);
	result_value(result, bh_heap_used_bytes());
	result_text(result, serial_has_interrupt() ? "interrupts" : "polled");
	result_value(result, defined);
	result_value(result, running);
	result_value(result, machine_info()->starts_count);
	result_value(result, call->shell->prompt_tsc - kernel->boot_tsc);
	put_fixed(result, kernel->features, sizeof(kernel->features));
	put_acpi(result);
}

/* ---- list ------------------------------------------------------------------------------------ */

static const struct result_column list_columns[] = {
	{ "ID", "id", RESULT_COUNT },
	{ "NAME", "name", RESULT_TEXT },
	{ "STATE", "state", RESULT_TEXT },
	{ "VCPU", "vcpus", RESULT_COUNT },
	{ "PCPUS", "pcpus", RESULT_TEXT },
	{ "MEM", "memory_bytes", RESULT_BYTES },
	{ "CPU%", "cpu_percent", RESULT_TENTHS },
	{ "EXIT/s", "exits_per_second", RESULT_COUNT },
	{ "UPTIME", "uptime_seconds", RESULT_DURATION },
	{ "RESTARTS", "restarts", RESULT_COUNT },
	/* with -v */
	{ "WEIGHT", "weight", RESULT_COUNT },
	{ "CAP", "cap_percent", RESULT_COUNT },
	{ "AUTOSTART", "autostart", RESULT_FLAG },
	{ "KERNEL", "kernel", RESULT_TEXT },
	{ "REASON", "reason", RESULT_TEXT },
};

#define LIST_SHORT_COLUMNS 10u

static void put_pcpus(const struct guest *guest, struct result *result)
{
	struct config_cpus cpus = { .is_any = false };
	char text[64];
	uint32_t i;

	for (i = 0; i < guest->vcpus_count; i++) {
		uint32_t cpu = guest->pcpu[i] % CONFIG_CPUS_MAX;

		cpus.bits[cpu / 64] |= 1ull << (cpu % 64);
	}
	config_cpus_print(&cpus, text, sizeof(text));
	result_text(result, text);
}

static void put_row(const struct guest *guest, bool is_verbose, struct result *result)
{
	bool has_partition = guest->has_partition != 0;
	struct stats_rates rates;

	result_value(result, guest->id);
	result_text(result, guest->config.name);
	result_text(result, partition_state_name(guest->state));
	result_value(result, has_partition ? guest->vcpus_count : guest->config.vcpu_count);
	if (has_partition) {
		put_pcpus(guest, result);
	} else {
		result_empty(result);
	}
	result_value(result,
	             has_partition ? guest->memory_bytes - chunks_away_bytes(partition_slot(guest),
	                                                                     guest->memory_bytes)
	                           : guest->config.memory_bytes);
	if (is_alive(guest) && stats_read(guest, -1, &rates)) {
		result_value(result, rates.cpu_tenths);
		result_value(result, rates.exits_per_second);
		result_value(result, seconds_since(guest->started_tsc));
	} else {
		result_empty(result);
		result_empty(result);
		result_empty(result);
	}
	result_value(result, guest->restarts_count);
	if (is_verbose) {
		result_value(result, guest->config.weight);
		result_value(result, guest->config.cap_percent);
		result_value(result, guest->config.has_autostart);
		result_text(result, guest->config.kernel);
		result_text(result, guest->reason);
	}
}

void verb_list(struct verb_call *call, struct result *result)
{
	uint64_t last_id = 0;
	bool is_more = true;

	result_begin(result, "guests", RESULT_TABLE, list_columns,
	             call->is_verbose ? COUNT_OF(list_columns) : LIST_SHORT_COLUMNS);
	/* In the order of their definition, whatever slot they have. */
	while (is_more) {
		const struct guest *next = NULL;
		uint32_t slot;

		for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
			const struct guest *guest = partition_guest(slot);

			if (guest != NULL && guest->id > last_id &&
			    (next == NULL || guest->id < next->id)) {
				next = guest;
			}
		}
		is_more = next != NULL;
		if (is_more) {
			last_id = next->id;
			put_row(next, call->is_verbose, result);
		}
	}
}

/* ---- vcpus ----------------------------------------------------------------------------------- */

static const struct result_column vcpu_columns[] = {
	{ "NAME", "name", RESULT_TEXT },
	{ "VCPU", "vcpu", RESULT_COUNT },
	{ "PCPU", "pcpu", RESULT_COUNT },
	{ "CPU%", "cpu_percent", RESULT_TENTHS },
	{ "EXIT/s", "exits_per_second", RESULT_COUNT },
	{ "EXITS", "exits", RESULT_COUNT },
	{ "VMM-EXITS", "vmm_exits", RESULT_COUNT },
	{ "INJECTED", "injections", RESULT_COUNT },
	{ "STEAL-ms", "steal_ms", RESULT_COUNT },
};

static void put_vcpus(const struct guest *guest, struct result *result)
{
	uint32_t i;

	for (i = 0; i < guest->vcpus_count && partition_has_vmm(guest); i++) {
		static struct bh_vcpu_stats stats;
		struct stats_rates rates;

		if (machine_vcpu_stats(partition_slot(guest), i, &stats) != BH_OK) {
			return;
		}
		result_text(result, guest->config.name);
		result_value(result, i);
		result_value(result, guest->pcpu[i]);
		if (stats_read(guest, (int)i, &rates)) {
			result_value(result, rates.cpu_tenths);
			result_value(result, rates.exits_per_second);
		} else {
			result_empty(result);
			result_empty(result);
		}
		result_value(result, stats_count_exits(&stats));
		result_value(result, stats.vmm_exits);
		result_value(result, stats_count_injections(&stats));
		result_value(result, stats_tsc_to_ns(stats.steal_tsc) / 1000000);
	}
}

void stats_put_vcpus(const struct guest *guest, struct result *result)
{
	result_begin(result, "vcpus", RESULT_TABLE, vcpu_columns, COUNT_OF(vcpu_columns));
	put_vcpus(guest, result);
}

void verb_vcpus(struct verb_call *call, struct result *result)
{
	uint32_t slot;

	result_begin(result, "vcpus", RESULT_TABLE, vcpu_columns, COUNT_OF(vcpu_columns));
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL && (call->guest == NULL || guest == call->guest)) {
			put_vcpus(guest, result);
		}
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

static const struct result_column file_columns[] = {
	{ "NAME", "name", RESULT_TEXT },
	{ "SIZE", "size_bytes", RESULT_BYTES },
	{ "STATE", "state", RESULT_TEXT },
};

static void delete_file(const struct verb_call *call, struct result *result)
{
	const char *name = call->word_count > 1 ? call->word[1].text : "";
	int idx = call->word_count > 1 ? partition_find_file(name) : -1;
	const struct guest *user;

	if (call->word_count < 2 || idx < (int)BH_FILE_KEPT) {
		result_error(result, "files", "only files that were fetched can be deleted",
		             "'%.48s' was not fetched", call->word_count > 1 ? name : "");
		return;
	}
	user = partition_file_user(name);
	if (user != NULL) {
		result_error(result, "files", "", "the guest %s uses it", user->config.name);
		return;
	}
	kept_release((uint32_t)idx - BH_FILE_KEPT);
	result_message(result, "deleted %s", name);
}

static void put_kept_files(struct result *result)
{
	uint32_t i;

	for (i = 0; i < BH_KEPT_MAX; i++) {
		const struct kept_record *record = kept_record(i);

		if (record != NULL && record->purpose == KEPT_FILE && record->size_bytes != 0) {
			result_text(result, record->name);
			result_value(result, record->size_bytes);
			result_text(result, "fetched");
		}
	}
}

void verb_files(struct verb_call *call, struct result *result)
{
	const struct mgmt_info *info = machine_info();
	uint32_t i;

	if (call->word_count != 0) {
		delete_file(call, result);
		return;
	}
	result_begin(result, "files", RESULT_TABLE, file_columns, COUNT_OF(file_columns));
	if (info->config_bytes != 0) {
		put_fixed(result, info->config_name, sizeof(info->config_name));
		result_value(result, info->config_bytes);
		result_text(result, "configuration");
	}
	for (i = 0; i < info->files_count && i < BH_MODULES_MAX; i++) {
		put_fixed(result, info->files[i].name, sizeof(info->files[i].name));
		if (info->files[i].is_missing != 0) {
			result_empty(result);
			result_text(result, "missing");
		} else {
			result_value(result, info->files[i].size_bytes);
			result_text(result, "ready");
		}
	}
	put_kept_files(result);
}

/* ---- log and events -------------------------------------------------------------------------- */

/* Adds what the kernel's log has from *position on. */
static void add_log(uint64_t *position, struct result *result)
{
	const struct bh_log *log = machine_log();
	uint64_t head = machine_load64(&log->head);
	char part[257];
	size_t used = 0;

	if (*position > head || head - *position > BH_LOG_BYTES) {
		*position = head > BH_LOG_BYTES ? head - BH_LOG_BYTES : 0;
	}
	while (*position < head) {
		char c = log->text[*position % BH_LOG_BYTES];

		part[used++] = c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) ? c : '?';
		*position += 1;
		if (used == sizeof(part) - 1 || *position == head) {
			part[used] = '\0';
			result_raw(result, part);
			used = 0;
		}
	}
}

static void follow_log(struct shell_follow *follow, struct result *result)
{
	add_log(&follow->position, result);
}

void verb_log(struct verb_call *call, struct result *result)
{
	struct shell_follow follow = { .poll = follow_log, .position = 0 };

	result_raw(result, "");
	add_log(&follow.position, result);
	if (call->is_following) {
		shell_begin_follow(call->shell, &follow);
	}
}

static const struct result_column event_columns[] = {
	{ "TIME", "seconds", RESULT_TENTHS },
	{ "GUEST", "guest", RESULT_TEXT },
	{ "EVENT", "event", RESULT_TEXT },
};

static uint64_t event_tenths(const struct ledger_event *event)
{
	return (event->tsc - machine_kernel_info()->boot_tsc) / (machine_tsc_hz() / 10);
}

static void follow_events(struct shell_follow *follow, struct result *result)
{
	const struct ledger *ledger = machine_ledger();

	for (; follow->position < ledger->events_count; follow->position++) {
		const struct ledger_event *event =
			&ledger->events[follow->position % LEDGER_EVENTS];
		char time[24];

		result_format(RESULT_TENTHS, event_tenths(event), time, sizeof(time));
		result_raw_format(result, "%s  %s  %s\n", time,
		                  event->guest[0] != '\0' ? event->guest : "-", event->text);
	}
}

void verb_events(struct verb_call *call, struct result *result)
{
	const struct ledger *ledger = machine_ledger();
	uint64_t first = ledger->events_count > LEDGER_EVENTS ? ledger->events_count - LEDGER_EVENTS
	                                                      : 0;
	struct shell_follow follow = { .poll = follow_events, .position = first };

	if (call->is_following) {
		follow_events(&follow, result);
		shell_begin_follow(call->shell, &follow);
		return;
	}
	result_begin(result, "events", RESULT_TABLE, event_columns, COUNT_OF(event_columns));
	for (; first < ledger->events_count; first++) {
		const struct ledger_event *event = &ledger->events[first % LEDGER_EVENTS];

		result_value(result, event_tenths(event));
		result_text(result, event->guest);
		result_text(result, event->text);
	}
}
