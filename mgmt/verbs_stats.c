// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs that show how often and how long: exits, latency, top. All figures come from pages that the kernel writes and mgmt reads:
 * looking at a guest costs it nothing. Counters run while they are read, so figures of one answer may differ by a few.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/stats.h"
#include "mgmt/verb.h"
#include "mgmt/virtio/backend.h"

#define COUNT_OF(array)   ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define EXITS_VCPUS_MAX   16u
#define WHERE_COUNT       2u /* finished by the kernel, by the VMM */
#define SPANS_COUNT       (WHERE_COUNT * BH_REASON_COUNT)
#define BUCKET_FIRST_TSC  256u
#define BAR_LENGTH        40u
#define TOP_SECONDS       2u
#define TOP_SECONDS_MAX   60u
#define NS_PER_SECOND     1000000000ull
#define TENTHS_OF_PERCENT 1000u

static const char *const reason_names[BH_REASON_COUNT] = {
	[BH_REASON_IO] = "io",
	[BH_REASON_MMIO] = "mmio",
	[BH_REASON_CPUID] = "cpuid",
	[BH_REASON_MSR_READ] = "msr-read",
	[BH_REASON_MSR_WRITE] = "msr-write",
	[BH_REASON_HLT] = "hlt",
	[BH_REASON_HYPERCALL] = "hypercall",
	[BH_REASON_INTERRUPT] = "interrupt",
	[BH_REASON_INTERRUPT_WINDOW] = "interrupt-window",
	[BH_REASON_NMI] = "nmi",
	[BH_REASON_EXCEPTION] = "exception",
	[BH_REASON_CR] = "cr",
	[BH_REASON_DR] = "dr",
	[BH_REASON_XSETBV] = "xsetbv",
	[BH_REASON_INVALIDATE] = "invalidate",
	[BH_REASON_APIC] = "apic",
	[BH_REASON_EOI] = "eoi",
	[BH_REASON_PAUSE] = "pause",
	[BH_REASON_TASK_SWITCH] = "task-switch",
	[BH_REASON_SHUTDOWN] = "shutdown",
	[BH_REASON_PRIVILEGED] = "privileged",
	[BH_REASON_DOORBELL] = "doorbell",
	[BH_REASON_OTHER] = "other",
};
static const char *const where_names[WHERE_COUNT] = { "kernel", "vmm" };

/* ---- counters of a guest --------------------------------------------------------------------- */

bool stats_read_all(const struct guest *guest, struct bh_vcpu_stats *all, struct result *result)
{
	uint32_t i;

	if (!partition_has_vmm(guest)) {
		result_error(result, guest->config.name, "counters last as long as the partition",
		             "the guest is %s", partition_state_name(guest->state));
		return false;
	}
	for (i = 0; i < guest->vcpus_count; i++) {
		int error = machine_vcpu_stats(partition_slot(guest), i, &all[i]);

		if (error != BH_OK) {
			result_error(result, guest->config.name, "",
			             "the kernel gives no counters (error %d)", error);
			return false;
		}
	}
	return true;
}

const char *stats_reason_name(uint32_t reason)
{
	return reason_names[reason];
}

uint64_t stats_tsc_to_ns(uint64_t tsc)
{
	return (uint64_t)((unsigned __int128)tsc * NS_PER_SECOND / machine_tsc_hz());
}

/* ---- spans of time --------------------------------------------------------------------------- */

static void span_add(struct bh_time *sum, const struct bh_time *more)
{
	uint32_t i;

	sum->total_tsc += more->total_tsc;
	sum->max_tsc = more->max_tsc > sum->max_tsc ? more->max_tsc : sum->max_tsc;
	for (i = 0; i < BH_TIME_BUCKETS; i++) {
		sum->histogram[i] += more->histogram[i];
	}
}

static uint64_t span_count(const struct bh_time *span)
{
	uint64_t count = 0;
	uint32_t i;

	for (i = 0; i < BH_TIME_BUCKETS; i++) {
		count += span->histogram[i];
	}
	return count;
}

/* What no span of a bucket is longer than. */
static uint64_t bucket_end_tsc(const struct bh_time *span, uint32_t bucket)
{
	uint64_t end = (uint64_t)BUCKET_FIRST_TSC << bucket;

	return bucket == BH_TIME_BUCKETS - 1 || end > span->max_tsc ? span->max_tsc : end;
}

/* The end of the bucket in which so many of a thousand spans have been passed. */
static uint64_t span_percentile_tsc(const struct bh_time *span, uint64_t per_mille)
{
	uint64_t wanted = (span_count(span) * per_mille + 999) / 1000;
	uint64_t passed = 0;
	uint32_t i;

	for (i = 0; i < BH_TIME_BUCKETS; i++) {
		passed += span->histogram[i];
		if (passed >= wanted) {
			return bucket_end_tsc(span, i);
		}
	}
	return span->max_tsc;
}

/* The spans of all vCPUs by reason and place; [SPANS_COUNT] is the wake from HLT. */
static void sum_spans(const struct bh_vcpu_stats *all, uint32_t vcpus, struct bh_time *spans)
{
	uint32_t vcpu;
	uint32_t i;

	memset(spans, 0, (SPANS_COUNT + 1) * sizeof(*spans));
	for (vcpu = 0; vcpu < vcpus; vcpu++) {
		for (i = 0; i < SPANS_COUNT; i++) {
			span_add(&spans[i], &all[vcpu].time[i]);
		}
		span_add(&spans[SPANS_COUNT], &all[vcpu].wake);
	}
}

static const char *span_name(uint32_t span)
{
	return span == SPANS_COUNT ? "wake" : reason_names[span / WHERE_COUNT];
}

static const char *span_where(uint32_t span)
{
	return span == SPANS_COUNT ? where_names[0] : where_names[span % WHERE_COUNT];
}

/* ---- exits ----------------------------------------------------------------------------------- */

static struct bh_vcpu_stats counters[BH_MAX_VCPUS];
static struct bh_vcpu_stats counters_before[BH_MAX_VCPUS]; /* of the exits -w that is under way */
static uint64_t before_tsc;

static const struct result_column exit_columns[] = {
	{ "REASON", "reason", RESULT_TEXT }, { "TOTAL", "total", RESULT_COUNT },
	{ "V0", "vcpu0", RESULT_COUNT },     { "V1", "vcpu1", RESULT_COUNT },
	{ "V2", "vcpu2", RESULT_COUNT },     { "V3", "vcpu3", RESULT_COUNT },
	{ "V4", "vcpu4", RESULT_COUNT },     { "V5", "vcpu5", RESULT_COUNT },
	{ "V6", "vcpu6", RESULT_COUNT },     { "V7", "vcpu7", RESULT_COUNT },
	{ "V8", "vcpu8", RESULT_COUNT },     { "V9", "vcpu9", RESULT_COUNT },
	{ "V10", "vcpu10", RESULT_COUNT },   { "V11", "vcpu11", RESULT_COUNT },
	{ "V12", "vcpu12", RESULT_COUNT },   { "V13", "vcpu13", RESULT_COUNT },
	{ "V14", "vcpu14", RESULT_COUNT },   { "V15", "vcpu15", RESULT_COUNT },
};
_Static_assert(COUNT_OF(exit_columns) == 2 + EXITS_VCPUS_MAX,
               "a column for each of the first vCPUs");

static const struct result_column rate_columns[] = {
	{ "REASON", "reason", RESULT_TEXT },
	{ "EXITS", "exits", RESULT_COUNT },
	{ "EXIT/s", "exits_per_second", RESULT_COUNT },
	{ "SHARE%", "share_percent", RESULT_TENTHS },
};

static const struct result_column histogram_columns[] = {
	{ "REASON", "reason", RESULT_TEXT },          { "WHERE", "where", RESULT_TEXT },
	{ "UP-TO-ns", "up_to_ns", RESULT_COUNT },     { "COUNT", "count", RESULT_COUNT },
	{ "SHARE%", "share_percent", RESULT_TENTHS }, { "", "bar", RESULT_TEXT },
};

static uint64_t count_reason(const struct bh_vcpu_stats *all, uint32_t vcpus, uint32_t reason)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < vcpus; i++) {
		total += all[i].exits[reason];
	}
	return total;
}

/* The first vCPUs have a column each; TOTAL counts all. */
static void put_counts(const struct guest *guest, struct result *result)
{
	uint32_t columns = guest->vcpus_count < EXITS_VCPUS_MAX ? guest->vcpus_count
	                                                        : EXITS_VCPUS_MAX;
	uint32_t reason;
	uint32_t i;

	result_begin(result, "exits", RESULT_TABLE, exit_columns, 2 + columns);
	for (reason = 0; reason < BH_REASON_COUNT; reason++) {
		uint64_t total = count_reason(counters, guest->vcpus_count, reason);

		if (total == 0) {
			continue;
		}
		result_text(result, reason_names[reason]);
		result_value(result, total);
		for (i = 0; i < columns; i++) {
			result_value(result, counters[i].exits[reason]);
		}
	}
}

static void put_histogram_rows(const struct bh_time *span, uint32_t idx, struct result *result)
{
	uint64_t count = span_count(span);
	uint32_t i;

	for (i = 0; i < BH_TIME_BUCKETS; i++) {
		char bar[BAR_LENGTH + 1];
		uint64_t length;

		if (span->histogram[i] == 0) {
			continue;
		}
		length = ((uint64_t)span->histogram[i] * BAR_LENGTH + count - 1) / count;
		memset(bar, '#', length);
		bar[length] = '\0';
		result_text(result, span_name(idx));
		result_text(result, span_where(idx));
		result_value(result, stats_tsc_to_ns(bucket_end_tsc(span, i)));
		result_value(result, span->histogram[i]);
		result_value(result, span->histogram[i] * (uint64_t)TENTHS_OF_PERCENT / count);
		result_text(result, bar);
	}
}

static void put_histogram(const struct guest *guest, struct result *result)
{
	static struct bh_time spans[SPANS_COUNT + 1];
	uint32_t i;

	sum_spans(counters, guest->vcpus_count, spans);
	result_begin(result, "histogram", RESULT_TABLE, histogram_columns,
	             COUNT_OF(histogram_columns));
	for (i = 0; i <= SPANS_COUNT; i++) {
		put_histogram_rows(&spans[i], i, result);
	}
}

/* What was counted since counters_before. */
static void put_rates(const struct guest *guest, struct result *result)
{
	uint64_t span = machine_now_tsc() - before_tsc;
	uint64_t counts[BH_REASON_COUNT];
	uint64_t all = 0;
	uint32_t reason;

	for (reason = 0; reason < BH_REASON_COUNT; reason++) {
		counts[reason] = count_reason(counters, guest->vcpus_count, reason) -
		                 count_reason(counters_before, guest->vcpus_count, reason);
		all += counts[reason];
	}
	result_begin(result, "exits", RESULT_TABLE, rate_columns, COUNT_OF(rate_columns));
	for (reason = 0; reason < BH_REASON_COUNT; reason++) {
		if (counts[reason] == 0) {
			continue;
		}
		result_text(result, reason_names[reason]);
		result_value(result, counts[reason]);
		result_value(result, stats_per_second(counts[reason], span));
		result_value(result, counts[reason] * TENTHS_OF_PERCENT / all);
	}
}

static bool poll_rates(struct shell_wait *wait, struct result *result)
{
	const struct guest *guest = partition_guest(wait->slot);

	if (guest == NULL || guest->id != wait->guest_id || !partition_has_vmm(guest)) {
		result_error(result, "", "", "the guest has ended, and its counters with it");
		return true;
	}
	if (machine_now_tsc() < wait->deadline_tsc) {
		return false;
	}
	if (stats_read_all(guest, counters, result)) {
		put_rates(guest, result);
	}
	return true;
}

void verb_exits(struct verb_call *call, struct result *result)
{
	const struct guest *guest = call->guest;

	if (call->has_wait && call->has_histogram) {
		result_error(result, "exits",
		             "meant is exits GUEST [-w SECONDS] or exits GUEST [--histogram]",
		             "a histogram is of all exits since the guest's start");
		return;
	}
	if (!stats_read_all(guest, counters, result)) {
		return;
	}
	if (call->has_wait) {
		struct shell_wait wait = {
			.poll = poll_rates,
			.guest_id = guest->id,
			.slot = partition_slot(guest),
			.is_json = call->is_json,
		};

		memcpy(counters_before, counters, sizeof(counters_before));
		before_tsc = machine_now_tsc();
		wait.deadline_tsc = before_tsc + call->wait_seconds * machine_tsc_hz();
		shell_begin_wait(call->shell, &wait);
	} else if (call->has_histogram) {
		put_histogram(guest, result);
	} else {
		put_counts(guest, result);
	}
}

/* ---- latency --------------------------------------------------------------------------------- */

static const struct result_column latency_columns[] = {
	{ "REASON", "reason", RESULT_TEXT },  { "WHERE", "where", RESULT_TEXT },
	{ "COUNT", "count", RESULT_COUNT },   { "MEAN-ns", "mean_ns", RESULT_COUNT },
	{ "P50-ns", "p50_ns", RESULT_COUNT }, { "P99-ns", "p99_ns", RESULT_COUNT },
	{ "MAX-ns", "max_ns", RESULT_COUNT }, { "TIME%", "time_percent", RESULT_TENTHS },
};

static void put_span(struct result *result, const char *name, const char *where,
                     const struct bh_time *span, uint64_t all_tsc)
{
	uint64_t count = span_count(span);

	if (count == 0) {
		return;
	}
	result_text(result, name);
	result_text(result, where);
	result_value(result, count);
	result_value(result, stats_tsc_to_ns(span->total_tsc / count));
	result_value(result, stats_tsc_to_ns(span_percentile_tsc(span, 500)));
	result_value(result, stats_tsc_to_ns(span_percentile_tsc(span, 990)));
	result_value(result, stats_tsc_to_ns(span->max_tsc));
	result_value(result, all_tsc != 0 ? span->total_tsc * TENTHS_OF_PERCENT / all_tsc : 0);
}

/* Disks: from a kick to the turn that answers it, and from there to the end of a request. */
static void put_device_spans(struct result *result, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < VIO_DEVICES_MAX; i++) {
		const struct virtio_device *device = virtio_device_at(slot, i);
		struct vio_counters copy;
		char name[24];

		if (device != NULL) {
			copy = device->page->counters;
			snprintf(name, sizeof(name), "%s%u", device->operations->name,
			         (unsigned int)i);
			put_span(result, name, "queue", &copy.queue, 0);
			put_span(result, name, "service", &copy.service, 0);
		}
	}
}

void verb_latency(struct verb_call *call, struct result *result)
{
	static struct bh_time spans[SPANS_COUNT + 1];
	uint64_t all = 0;
	uint32_t i;

	if (!stats_read_all(call->guest, counters, result)) {
		return;
	}
	sum_spans(counters, call->guest->vcpus_count, spans);
	for (i = 0; i <= SPANS_COUNT; i++) {
		all += spans[i].total_tsc;
	}
	result_begin(result, "latency", RESULT_TABLE, latency_columns, COUNT_OF(latency_columns));
	for (i = 0; i <= SPANS_COUNT; i++) {
		put_span(result, span_name(i), span_where(i), &spans[i], all);
	}
	put_device_spans(result, partition_slot(call->guest));
}

/* ---- top ------------------------------------------------------------------------------------- */

/* What a guest's line is the difference of. */
struct top_sample {
	uint64_t tsc; /* 0: none */
	uint64_t guest_id;
	uint64_t guest_tsc, halt_tsc, steal_tsc, exits, vmm_exits, injections;
};

static struct top_sample top_before[BH_PARTITIONS_MAX];
static uint64_t top_period_tsc;

static const struct result_column top_columns[] = {
	{ "ID", "id", RESULT_COUNT },
	{ "NAME", "name", RESULT_TEXT },
	{ "STATE", "state", RESULT_TEXT },
	{ "VCPU", "vcpus", RESULT_COUNT },
	{ "MEM", "memory_bytes", RESULT_BYTES },
	{ "CPU%", "cpu_percent", RESULT_TENTHS },
	{ "HALT%", "halted_percent", RESULT_TENTHS },
	{ "STEAL%", "steal_percent", RESULT_TENTHS },
	{ "EXIT/s", "exits_per_second", RESULT_COUNT },
	{ "VMM/s", "vmm_exits_per_second", RESULT_COUNT },
	{ "INJ/s", "injections_per_second", RESULT_COUNT },
};

static void top_sample_take(const struct guest *guest, struct top_sample *sample)
{
	uint32_t i;

	memset(sample, 0, sizeof(*sample));
	for (i = 0; i < guest->vcpus_count; i++) {
		static struct bh_vcpu_stats stats;

		if (machine_vcpu_stats(partition_slot(guest), i, &stats) != BH_OK) {
			return;
		}
		sample->guest_tsc += stats.guest_tsc;
		sample->halt_tsc += stats.halt_tsc;
		sample->steal_tsc += stats.steal_tsc;
		sample->exits += stats_count_exits(&stats);
		sample->vmm_exits += stats.vmm_exits;
		sample->injections += stats_count_injections(&stats);
	}
	sample->guest_id = guest->id;
	sample->tsc = machine_now_tsc();
}

/* Shares and rates since the last look; empty cells the first time, and after a new start. */
static void top_put_rates(const struct guest *guest, struct result *result)
{
	struct top_sample *before = &top_before[partition_slot(guest)];
	struct top_sample now = { 0 };
	uint64_t span;
	uint32_t i;

	if (partition_has_vmm(guest)) {
		top_sample_take(guest, &now);
	}
	if (now.tsc == 0 || before->tsc == 0 || before->guest_id != now.guest_id ||
	    before->exits > now.exits || now.tsc == before->tsc) {
		for (i = 0; i < 6; i++) {
			result_empty(result);
		}
	} else {
		span = now.tsc - before->tsc;
		result_value(result,
		             (now.guest_tsc - before->guest_tsc) * TENTHS_OF_PERCENT / span);
		result_value(result, (now.halt_tsc - before->halt_tsc) * TENTHS_OF_PERCENT / span);
		result_value(result,
		             (now.steal_tsc - before->steal_tsc) * TENTHS_OF_PERCENT / span);
		result_value(result, stats_per_second(now.exits - before->exits, span));
		result_value(result, stats_per_second(now.vmm_exits - before->vmm_exits, span));
		result_value(result, stats_per_second(now.injections - before->injections, span));
	}
	*before = now;
}

static void top_put(struct result *result)
{
	uint32_t slot;

	result_begin(result, "top", RESULT_TABLE, top_columns, COUNT_OF(top_columns));
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest == NULL) {
			continue;
		}
		result_value(result, guest->id);
		result_text(result, guest->config.name);
		result_text(result, partition_state_name(guest->state));
		result_value(result, guest->has_partition != 0 ? guest->vcpus_count
		                                               : guest->config.vcpu_count);
		result_value(result, guest->has_partition != 0 ? guest->memory_bytes
		                                               : guest->config.memory_bytes);
		top_put_rates(guest, result);
	}
}

static void top_append(void *context, const char *bytes, size_t size)
{
	char part[128];

	while (size != 0) {
		size_t count = size < sizeof(part) - 1 ? size : sizeof(part) - 1;

		memcpy(part, bytes, count);
		part[count] = '\0';
		result_raw(context, part);
		bytes += count;
		size -= count;
	}
}

static void top_put_head(struct result *result)
{
	struct bh_host_info host;
	char up[24], total[24], rest[24];

	memset(&host, 0, sizeof(host));
	machine_host_info(&host);
	result_format(RESULT_DURATION,
	              (machine_now_tsc() - machine_kernel_info()->boot_tsc) / machine_tsc_hz(), up,
	              sizeof(up));
	result_format(RESULT_BYTES, host.memory_total, total, sizeof(total));
	result_format(RESULT_BYTES, host.memory_free, rest, sizeof(rest));
	/* Home, and what was there is erased below as it is written over (ECMA-48 CUP, ED). */
	result_raw_format(result,
	                  "\x1b[H\x1b[J%s: up %s, %u pCPUs, memory %s, free %s; Ctrl-C ends\n\n",
	                  machine_ledger()->host.name, up,
	                  (unsigned)machine_kernel_info()->cpus_count, total, rest);
}

static void follow_top(struct shell_follow *follow, struct result *result)
{
	struct result table;

	if (machine_now_tsc() < follow->position) {
		return;
	}
	follow->position = machine_now_tsc() + top_period_tsc;
	result_init(&table);
	top_put(&table);
	top_put_head(result);
	result_print(&table, false, top_append, result);
	result_free(&table);
}

static bool poll_top(struct shell_wait *wait, struct result *result)
{
	if (machine_now_tsc() < wait->deadline_tsc) {
		return false;
	}
	top_put(result);
	return true;
}

/* On the terminal until Ctrl-C; as JSON once, of one period. */
void verb_top(struct verb_call *call, struct result *result)
{
	struct shell_follow follow = { .poll = follow_top, .position = 0 };
	uint32_t seconds = call->has_wait ? call->wait_seconds : TOP_SECONDS;

	if (seconds == 0 || seconds > TOP_SECONDS_MAX) {
		result_error(result, "top", "meant is 1 to 60", "-w %u is no period",
		             (unsigned)seconds);
		return;
	}
	memset(top_before, 0, sizeof(top_before));
	top_period_tsc = seconds * machine_tsc_hz();
	if (!call->is_json) {
		shell_begin_follow(call->shell, &follow);
		return;
	}
	struct shell_wait wait = {
		.poll = poll_top,
		.deadline_tsc = machine_now_tsc() + top_period_tsc,
		.is_json = true,
	};

	top_put(result); /* the first look */
	result_free(result);
	result_init(result);
	shell_begin_wait(call->shell, &wait);
}
