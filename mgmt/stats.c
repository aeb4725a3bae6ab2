// SPDX-License-Identifier: Apache-2.0
/*
 * Rates from counters (see stats.h). Two samples a guest are kept; a rate is against the older one,
 * so that it covers some seconds whenever it is asked for. Samples of single vCPUs are kept for the
 * first few only.
 */
#include "mgmt/stats.h"

#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/partition.h"

#define VCPUS_SAMPLED 8u

struct counters {
	uint64_t guest_tsc;
	uint64_t exits_count;
};

struct sample {
	uint64_t tsc; /* 0: none */
	struct counters total;
	struct counters vcpu[VCPUS_SAMPLED];
};

static struct sample samples[BH_PARTITIONS_MAX][2]; /* [0] is the older */

/* Of a pCPU: ticks idle, and of guests on it. */
struct cpu_sample {
	uint64_t tsc; /* 0: none */
	uint64_t idle_tsc, guest_tsc;
};

static struct cpu_sample cpu_samples[BH_MAX_CPUS][2];

uint64_t stats_count_exits(const struct bh_vcpu_stats *stats)
{
	uint64_t count = 0;
	uint32_t i;

	for (i = 0; i < BH_REASON_COUNT; i++) {
		count += stats->exits[i];
	}
	return count;
}

uint64_t stats_count_injections(const struct bh_vcpu_stats *stats)
{
	uint64_t count = 0;
	size_t i;

	for (i = 0; i < sizeof(stats->injections) / sizeof(stats->injections[0]); i++) {
		count += stats->injections[i];
	}
	return count;
}

static bool take_sample(const struct guest *guest, struct sample *sample)
{
	uint32_t slot = partition_slot(guest);
	uint32_t i;

	memset(sample, 0, sizeof(*sample));
	if (!partition_has_vmm(guest)) {
		return false;
	}
	for (i = 0; i < guest->vcpus_count; i++) {
		static struct bh_vcpu_stats stats;
		struct counters counters;

		if (machine_vcpu_stats(slot, i, &stats) != BH_OK) {
			return false;
		}
		counters.guest_tsc = stats.guest_tsc;
		counters.exits_count = stats_count_exits(&stats);
		sample->total.guest_tsc += counters.guest_tsc;
		sample->total.exits_count += counters.exits_count;
		if (i < VCPUS_SAMPLED) {
			sample->vcpu[i] = counters;
		}
	}
	sample->tsc = machine_now_tsc();
	return true;
}

static void take_cpu_sample(uint32_t cpu, struct cpu_sample *sample)
{
	uint64_t idle = machine_load64(&machine_log()->cpus[cpu].idle_tsc);
	uint32_t slot, i;

	sample->tsc = machine_now_tsc();
	sample->idle_tsc = (idle >> 63) != 0 ? idle + sample->tsc : idle;
	sample->guest_tsc = 0;
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		for (i = 0; guest != NULL && partition_has_vmm(guest) && i < guest->vcpus_count;
		     i++) {
			static struct bh_vcpu_stats stats;

			if (guest->pcpu[i] == cpu && machine_vcpu_stats(slot, i, &stats) == BH_OK) {
				sample->guest_tsc += stats.guest_tsc;
			}
		}
	}
}

/* Guests that ended since take their ticks along: then there is no rate, rather than a wrong one. */
static uint32_t share(uint64_t now, uint64_t before, uint64_t span)
{
	uint64_t ticks = now > before ? now - before : 0;

	return (uint32_t)((ticks < span ? ticks : span) * 1000 / (span + (span == 0)));
}

void stats_cpu_read(uint32_t cpu, struct stats_cpu_rates *rates)
{
	const struct cpu_sample *before = &cpu_samples[cpu][0];
	struct cpu_sample now, start = { .tsc = machine_kernel_info()->boot_tsc };
	uint64_t span;

	take_cpu_sample(cpu, &now);
	if (before->tsc == 0 || before->guest_tsc > now.guest_tsc) {
		before = &start;
	}
	span = now.tsc > before->tsc ? now.tsc - before->tsc : 1;
	rates->idle_tenths = share(now.idle_tsc, before->idle_tsc, span);
	rates->guest_tenths = share(now.guest_tsc, before->guest_tsc, span);
	if (rates->guest_tenths > 1000 - rates->idle_tenths) {
		rates->guest_tenths = 1000 - rates->idle_tenths;
	}
}

void stats_tick(void)
{
	uint32_t slot, cpu;

	for (cpu = 0; cpu < machine_kernel_info()->cpus_count && cpu < BH_MAX_CPUS; cpu++) {
		cpu_samples[cpu][0] = cpu_samples[cpu][1];
		take_cpu_sample(cpu, &cpu_samples[cpu][1]);
	}

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		samples[slot][0] = samples[slot][1];
		if (guest == NULL || !take_sample(guest, &samples[slot][1])) {
			samples[slot][1].tsc = 0;
		}
	}
}

uint64_t stats_per_second(uint64_t count, uint64_t span_tsc)
{
	return (uint64_t)((unsigned __int128)count * machine_tsc_hz() /
	                  (span_tsc + (span_tsc == 0)));
}

bool stats_read(const struct guest *guest, int vcpu_idx, struct stats_rates *rates)
{
	static struct sample now;
	const struct sample *before = &samples[partition_slot(guest)][0];
	struct counters from = { 0, 0 };
	struct counters to;
	uint64_t since = guest->created_tsc;
	uint64_t span;

	if (!take_sample(guest, &now) || vcpu_idx >= (int)VCPUS_SAMPLED) {
		return false;
	}
	to = vcpu_idx < 0 ? now.total : now.vcpu[vcpu_idx];
	/* A sample of an earlier life of the slot does not count. */
	if (before->tsc > since && before->total.guest_tsc <= now.total.guest_tsc) {
		since = before->tsc;
		from = vcpu_idx < 0 ? before->total : before->vcpu[vcpu_idx];
	}
	span = now.tsc > since ? now.tsc - since : 1;
	rates->cpu_tenths = (uint32_t)((to.guest_tsc - from.guest_tsc) * 1000 / span);
	rates->exits_per_second = stats_per_second(to.exits_count - from.exits_count, span);
	return true;
}
