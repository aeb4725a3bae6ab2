// SPDX-License-Identifier: Apache-2.0
/*
 * The verb stats: all figures of the machine, or of one guest. Counters are pages that the kernel writes and mgmt reads, so looking costs a
 * guest nothing; they run while they are read.
 */
#include <string.h>

#include "mgmt/chunks.h"
#include "mgmt/devices.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/stats.h"
#include "mgmt/switch/switch.h"
#include "mgmt/verb.h"

#define COUNT_OF(array)   ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define TENTHS_OF_PERCENT 1000u
#define NS_PER_MS         1000000u

static struct bh_vcpu_stats all[BH_MAX_VCPUS];

static uint64_t seconds_since(uint64_t tsc)
{
	return (machine_now_tsc() - tsc) / machine_tsc_hz();
}

static uint64_t to_ms(uint64_t tsc)
{
	return stats_tsc_to_ns(tsc) / NS_PER_MS;
}

/* ---- a guest's sums ---- */

struct sums {
	uint64_t exits, vmm_exits, injections[4], guest_tsc, halt_tsc, steal_tsc;
	uint64_t kernel_tsc, vmm_tsc; /* from exits to entries, by who finished them */
	uint64_t counts[BH_COUNT_COUNT];
};

static void sums_add(struct sums *sums, const struct bh_vcpu_stats *stats)
{
	uint32_t i;

	sums->exits += stats_count_exits(stats);
	sums->vmm_exits += stats->vmm_exits;
	sums->guest_tsc += stats->guest_tsc;
	sums->halt_tsc += stats->halt_tsc;
	sums->steal_tsc += stats->steal_tsc;
	for (i = 0; i < COUNT_OF(sums->injections); i++) {
		sums->injections[i] += stats->injections[i];
	}
	for (i = 0; i < BH_REASON_COUNT; i++) {
		sums->kernel_tsc += stats->time[2 * i].total_tsc;
		sums->vmm_tsc += stats->time[2 * i + 1].total_tsc;
	}
	for (i = 0; i < BH_COUNT_COUNT; i++) {
		sums->counts[i] += stats->counts[i];
	}
}

/* ---- the machine ---- */

void stats_put_memory(struct result *result)
{
	const struct root_status *status = machine_status();
	uint64_t guests = 0, kept = 0, used = machine_load64(&status->memory_root);
	struct bh_host_info host;

	memset(&host, 0, sizeof(host));
	machine_host_info(&host);
	for (uint32_t i = 0; i < BH_PARTITIONS_MAX; i++) {
		uint64_t bytes = machine_load64(&status->slots[i].memory_bytes);

		guests += bytes + machine_load64(&status->slots[i].overhead_bytes) -
		          chunks_away_bytes(i, bytes);
	}
	for (uint32_t i = 0; i < BH_KEPT_MAX; i++) {
		kept += machine_load64(&status->kept[i].bytes);
	}
	result_value(result, host.memory_total);
	result_value(result, host.memory_free);
	result_value(result, host.memory_kernel);
	result_value(result, guests);
	result_value(result, kept);
	/* Root's quota has all that in it, and is told at another moment. */
	result_value(result, used > guests + kept ? used - guests - kept : 0);
	result_value(result, machine_load64(&status->memory_mgmt));
}

static void put_machine(struct result *result)
{
	static const struct result_column columns[] = {
		{ "uptime", "uptime_seconds", RESULT_DURATION },
		{ "pCPUs", "pcpus", RESULT_COUNT },
		STATS_MEMORY_COLUMNS,
		{ "guests", "guests", RESULT_COUNT },
		{ "with memory", "guests_with_memory", RESULT_COUNT },
		{ "starts of mgmt", "mgmt_starts", RESULT_COUNT },
		{ "PCI functions", "pci_functions", RESULT_COUNT },
		{ "driven", "pci_functions_driven", RESULT_COUNT },
	};
	uint32_t guests = 0, alive = 0, driven = 0;
	uint32_t i;

	for (i = 0; i < BH_PARTITIONS_MAX; i++) {
		const struct guest *guest = partition_guest(i);

		guests += guest != NULL;
		alive += guest != NULL && guest->has_partition != 0;
	}
	for (i = 0; i < devices_pci_count(); i++) {
		driven += devices_of(devices_pci(i)) != NULL;
	}
	result_begin(result, "machine", RESULT_RECORD, columns, COUNT_OF(columns));
	result_value(result, seconds_since(machine_kernel_info()->boot_tsc));
	result_value(result, machine_kernel_info()->cpus_count);
	stats_put_memory(result);
	result_value(result, guests);
	result_value(result, alive);
	result_value(result, machine_info()->starts_count);
	result_value(result, devices_pci_count());
	result_value(result, driven);
}

/* What is neither idle nor a guest's is the kernel's, the VMMs' and mgmt's. */
static void put_pcpus(struct result *result)
{
	static const struct result_column columns[] = {
		{ "PCPU", "pcpu", RESULT_COUNT },
		{ "IDLE%", "idle_percent", RESULT_TENTHS },
		{ "GUEST%", "guest_percent", RESULT_TENTHS },
		{ "SYSTEM%", "system_percent", RESULT_TENTHS },
		{ "SWITCHES", "switches", RESULT_COUNT },
		{ "DEVICE-IRQ", "device_interrupts", RESULT_COUNT },
		{ "TIMER-IRQ", "timer_interrupts", RESULT_COUNT },
		{ "NOTIFY-IRQ", "notify_interrupts", RESULT_COUNT },
		{ "POLLED", "polled_messages", RESULT_COUNT },
		{ "SYNCS", "syncs", RESULT_COUNT },
		{ "FLUSHES", "tlb_flushes", RESULT_COUNT },
	};
	uint32_t cpu;

	result_begin(result, "pcpus", RESULT_TABLE, columns, COUNT_OF(columns));
	for (cpu = 0; cpu < machine_kernel_info()->cpus_count; cpu++) {
		const struct bh_cpu_stats *stats = &machine_log()->cpus[cpu];
		struct stats_cpu_rates rates;

		stats_cpu_read(cpu, &rates);
		result_value(result, cpu);
		result_value(result, rates.idle_tenths);
		result_value(result, rates.guest_tenths);
		result_value(result, TENTHS_OF_PERCENT - rates.idle_tenths - rates.guest_tenths);
		result_value(result, machine_load64(&stats->switches));
		result_value(result, machine_load64(&stats->interrupts[BH_CPU_INTERRUPT_DEVICE]));
		result_value(result, machine_load64(&stats->interrupts[BH_CPU_INTERRUPT_TIMER]));
		result_value(result, machine_load64(&stats->interrupts[BH_CPU_INTERRUPT_NOTIFY]));
		result_value(result, machine_load64(&stats->polled));
		result_value(result, machine_load64(&stats->syncs));
		result_value(result, machine_load64(&stats->flushes));
	}
}

static void put_guests(struct result *result)
{
	static const struct result_column columns[] = {
		{ "GUEST", "name", RESULT_TEXT },
		{ "VCPU", "vcpus", RESULT_COUNT },
		{ "MEM", "memory_bytes", RESULT_BYTES },
		{ "GUEST-ms", "guest_ms", RESULT_COUNT },
		{ "KERNEL-ms", "kernel_ms", RESULT_COUNT },
		{ "VMM-ms", "vmm_ms", RESULT_COUNT },
		{ "HALTED-ms", "halted_ms", RESULT_COUNT },
		{ "STEAL-ms", "steal_ms", RESULT_COUNT },
		{ "EXITS", "exits", RESULT_COUNT },
		{ "VMM-EXITS", "vmm_exits", RESULT_COUNT },
		{ "FLUSHES", "tlb_flushes", RESULT_COUNT },
	};
	uint32_t slot, i;

	result_begin(result, "guests", RESULT_TABLE, columns, COUNT_OF(columns));
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);
		struct sums sums;

		if (guest == NULL || !partition_has_vmm(guest)) {
			continue;
		}
		memset(&sums, 0, sizeof(sums));
		for (i = 0; i < guest->vcpus_count; i++) {
			if (machine_vcpu_stats(slot, i, &all[0]) == BH_OK) {
				sums_add(&sums, &all[0]);
			}
		}
		result_text(result, guest->config.name);
		result_value(result, guest->vcpus_count);
		result_value(result, guest->memory_bytes);
		result_value(result, to_ms(sums.guest_tsc));
		result_value(result, to_ms(sums.kernel_tsc));
		result_value(result, to_ms(sums.vmm_tsc));
		result_value(result, to_ms(sums.halt_tsc));
		result_value(result, to_ms(sums.steal_tsc));
		result_value(result, sums.exits);
		result_value(result, sums.vmm_exits);
		result_value(result, sums.counts[BH_COUNT_FLUSH]);
	}
}

/* All ports of a switch together: what came in, what went out, what was dropped. */
static void put_switches(struct result *result)
{
	static const struct result_column columns[] = {
		{ "SWITCH", "name", RESULT_TEXT },
		{ "PORTS", "ports", RESULT_COUNT },
		{ "IN", "in_frames", RESULT_COUNT },
		{ "IN-BYTES", "in_bytes", RESULT_BYTES },
		{ "OUT", "out_frames", RESULT_COUNT },
		{ "OUT-BYTES", "out_bytes", RESULT_BYTES },
		{ "DROPPED", "dropped_frames", RESULT_COUNT },
	};
	struct switch_port_info info;
	const char *name;
	uint32_t number, port, ports, addresses;

	result_begin(result, "switches", RESULT_TABLE, columns, COUNT_OF(columns));
	for (number = 0; (name = switch_name_at(number, &ports, &addresses)) != NULL; number++) {
		struct switch_counters sum;

		memset(&sum, 0, sizeof(sum));
		for (port = 0; switch_port_info(port, &info); port++) {
			if (strcmp(info.switch_name, name) != 0) {
				continue;
			}
			sum.in_frames += info.counters.in_frames;
			sum.in_bytes += info.counters.in_bytes;
			sum.out_frames += info.counters.out_frames;
			sum.out_bytes += info.counters.out_bytes;
			sum.no_room += info.counters.no_room + info.counters.over_rate +
			               info.counters.forged + info.counters.bad +
			               info.counters.vlan + info.counters.denied;
		}
		result_text(result, name);
		result_value(result, ports);
		result_value(result, sum.in_frames);
		result_value(result, sum.in_bytes);
		result_value(result, sum.out_frames);
		result_value(result, sum.out_bytes);
		result_value(result, sum.no_room);
	}
}

/* ---- one guest ---- */

static const struct result_column guest_columns[] = {
	{ "name", "name", RESULT_TEXT },
	{ "id", "id", RESULT_COUNT },
	{ "state", "state", RESULT_TEXT },
	{ "uptime", "uptime_seconds", RESULT_DURATION },
	{ "restarts", "restarts", RESULT_COUNT },
	{ "boots", "boots", RESULT_COUNT },
	{ "memory", "memory_bytes", RESULT_BYTES },
	{ "memory now", "memory_now_bytes", RESULT_BYTES },
	{ "overhead", "overhead_bytes", RESULT_BYTES },
	{ "cpu percent", "cpu_percent", RESULT_TENTHS },
	{ "exits", "exits", RESULT_COUNT },
	{ "exits per second", "exits_per_second", RESULT_COUNT },
	{ "exits to VMM", "vmm_exits", RESULT_COUNT },
	{ "injections", "injections", RESULT_COUNT },
	{ "guest time", "guest_seconds", RESULT_DURATION },
	{ "halted time", "halted_seconds", RESULT_DURATION },
	{ "kernel ms", "kernel_ms", RESULT_COUNT },
	{ "VMM ms", "vmm_ms", RESULT_COUNT },
	{ "stolen ms", "steal_ms", RESULT_COUNT },
	{ "TLB flushes", "tlb_flushes", RESULT_COUNT },
	{ "device accesses", "device_accesses", RESULT_COUNT },
	{ "unclaimed accesses", "unclaimed_accesses", RESULT_COUNT },
	{ "console output", "console_bytes", RESULT_COUNT },
};

static void put_guest(const struct guest *guest, const struct sums *sums, struct result *result)
{
	uint32_t slot = partition_slot(guest);
	const struct vmm_channel *channel = machine_vmm_channel(slot);
	struct stats_rates rates = { 0, 0 };
	uint64_t injections = 0;
	uint32_t i;

	stats_read(guest, -1, &rates);
	for (i = 0; i < COUNT_OF(sums->injections); i++) {
		injections += sums->injections[i];
	}
	result_begin(result, "guest", RESULT_RECORD, guest_columns, COUNT_OF(guest_columns));
	result_text(result, guest->config.name);
	result_value(result, guest->id);
	result_text(result, partition_state_name(guest->state));
	result_value(result, seconds_since(guest->started_tsc));
	result_value(result, guest->restarts_count);
	result_value(result, machine_load64(&channel->boots_count));
	result_value(result, guest->memory_bytes);
	result_value(result, guest->memory_bytes - chunks_away_bytes(slot, guest->memory_bytes));
	result_value(result, machine_load64(&machine_status()->slots[slot].overhead_bytes));
	result_value(result, rates.cpu_tenths);
	result_value(result, sums->exits);
	result_value(result, rates.exits_per_second);
	result_value(result, sums->vmm_exits);
	result_value(result, injections);
	result_value(result, sums->guest_tsc / machine_tsc_hz());
	result_value(result, sums->halt_tsc / machine_tsc_hz());
	result_value(result, to_ms(sums->kernel_tsc));
	result_value(result, to_ms(sums->vmm_tsc));
	result_value(result, to_ms(sums->steal_tsc));
	result_value(result, sums->counts[BH_COUNT_FLUSH]);
	result_value(result, machine_load64(&channel->device_accesses));
	result_value(result, machine_load64(&channel->unclaimed_accesses));
	result_value(result, machine_load64(&machine_vmm_console(slot)->out_head));
}

/* Where interrupts came from, and how they went in. */
static void put_interrupts(const struct sums *sums, struct result *result)
{
	static const struct result_column columns[] = {
		{ "INTERRUPTS", "kind", RESULT_TEXT },
		{ "COUNT", "count", RESULT_COUNT },
	};
	uint64_t by_cpu = sums->counts[BH_COUNT_CPU];
	const struct {
		const char *kind;
		uint64_t count;
	} rows[] = {
		{ "timer", sums->counts[BH_COUNT_TIMER] },
		{ "ipi-sent", sums->counts[BH_COUNT_IPI] },
		{ "device-message", sums->counts[BH_COUNT_MESSAGE] },
		{ "from-other-pcpu", sums->counts[BH_COUNT_REMOTE] },
		{ "posted", sums->counts[BH_COUNT_POSTED] },
		{ "injected", sums->injections[0] > by_cpu ? sums->injections[0] - by_cpu : 0 },
		{ "delivered-by-cpu", by_cpu },
		{ "nmi", sums->injections[2] },
		{ "exception", sums->injections[3] },
	};
	uint32_t i;

	result_begin(result, "interrupts", RESULT_TABLE, columns, COUNT_OF(columns));
	for (i = 0; i < COUNT_OF(rows); i++) {
		result_text(result, rows[i].kind);
		result_value(result, rows[i].count);
	}
}

void verb_stats(struct verb_call *call, struct result *result)
{
	const struct guest *guest = call->guest;
	struct sums sums;
	uint32_t i;

	if (guest == NULL) {
		put_machine(result);
		put_pcpus(result);
		put_guests(result);
		put_switches(result);
		return;
	}
	if (!stats_read_all(guest, all, result)) {
		return;
	}
	memset(&sums, 0, sizeof(sums));
	for (i = 0; i < guest->vcpus_count; i++) {
		sums_add(&sums, &all[i]);
	}
	put_guest(guest, &sums, result);
	stats_put_vcpus(guest, result);
	put_interrupts(&sums, result);
}
