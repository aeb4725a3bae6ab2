// SPDX-License-Identifier: Apache-2.0
/*
 * The tests' machine (see mgmt_machine.h). It is strict where root is: a request for a slot in the
 * wrong state ends the test.
 */
#include "tests/unit/mgmt_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/heap.h"
#include "mgmt/host.h"
#include "mgmt/serial.h"

uint64_t fake_now;
uint64_t fake_exits_more;
uint64_t fake_memory_free;
int fake_create_error;
bool fake_root_is_slow;
bool fake_vmm_is_silent;
uint32_t fake_vmm_start_state;
uint32_t fake_creates_count;
uint32_t fake_resets_count;
uint8_t *fake_guest_base;
uint32_t fake_msis_count;
uint64_t fake_msi_address;
uint32_t fake_msi_data;
uint32_t fake_device_signals_count;
struct root_partition_params fake_last_params;
bool fake_is_poweroff;
char fake_end;
uint64_t fake_end_tsc;
uint32_t fake_trace_kinds;

static struct bh_info kernel_info;
static struct mgmt_info info;
static struct root_status status;
static struct root_channel channel;
static struct ledger ledger;
static struct bh_log kernel_log;
static struct vmm_channel vmm_channels[BH_PARTITIONS_MAX];
static struct bh_console consoles[BH_PARTITIONS_MAX];
static void *kept[BH_KEPT_MAX];
static struct bh_console port_consoles[BH_PARTITIONS_MAX][BH_PORTS_MAX];
static uint8_t device_pages[BH_PARTITIONS_MAX][VIO_DEVICES_MAX][4096] __attribute__((aligned(64)));
static const char broken[] = "[guest good]\nkernel = vmlinuz\n[guest bad]\nvcpu = 1\n";

static void check(bool is_good, const char *what)
{
	if (!is_good) {
		fprintf(stderr, "the test's root: %s\n", what);
		abort();
	}
}

static void add_file(const char *name, const void *text, uint64_t size, bool is_missing)
{
	uint32_t i = info.files_count++;

	snprintf(info.files[i].name, sizeof(info.files[i].name), "%s", name);
	info.files[i].address = (uint64_t)(uintptr_t)text;
	info.files[i].size_bytes = size;
	info.files[i].is_missing = is_missing;
}

void fake_reset(void)
{
	memset(&kernel_info, 0, sizeof(kernel_info));
	memset(&info, 0, sizeof(info));
	memset(&status, 0, sizeof(status));
	memset(&channel, 0, sizeof(channel));
	memset(&ledger, 0, sizeof(ledger));
	memset(&kernel_log, 0, sizeof(kernel_log));
	memset(vmm_channels, 0, sizeof(vmm_channels));
	memset(consoles, 0, sizeof(consoles));
	memset(device_pages, 0, sizeof(device_pages));
	memset(port_consoles, 0, sizeof(port_consoles));
	fake_msis_count = 0;
	fake_device_signals_count = 0;
	for (uint32_t i = 0; i < BH_KEPT_MAX; i++) {
		free(kept[i]);
		kept[i] = NULL;
	}
	kernel_info.abi_version = BH_ABI_VERSION;
	kernel_info.cpus_count = 4;
	kernel_info.tsc_hz = FAKE_HZ;
	kernel_info.vendor = BH_VENDOR_SVM;
	snprintf(kernel_info.version, sizeof(kernel_info.version), "0.1.0");
	add_file("vmlinuz", "", 8 << 20, false);
	add_file("initrd.img", "", 4 << 20, false);
	add_file("broken.conf", broken, sizeof(broken) - 1, false);
	add_file("gone", "", 0, true);
	info.starts_count = 1;
	fake_now = 1000 * FAKE_HZ;
	fake_exits_more = 0;
	fake_memory_free = FAKE_MEMORY;
	fake_create_error = BH_OK;
	fake_root_is_slow = false;
	fake_vmm_is_silent = false;
	fake_vmm_start_state = VMM_RUNNING;
	fake_creates_count = 0;
	fake_resets_count = 0;
	fake_is_poweroff = false;
	fake_trace_kinds = 0;
	snprintf(kernel_log.text, sizeof(kernel_log.text), "kernel: first line\nkernel: second\n");
	kernel_log.head = strlen(kernel_log.text);
	ledger_open(&ledger);
}

static void answer_create(void)
{
	uint32_t slot = channel.params.slot;

	fake_last_params = channel.params;
	check(slot < BH_PARTITIONS_MAX && status.slots[slot].state == ROOT_SLOT_FREE,
	      "CREATE of a slot that is taken");
	check(channel.params.files_count >= 1, "CREATE without a kernel");
	channel.result = fake_create_error;
	channel.message[0] = '\0';
	if (fake_create_error != BH_OK) {
		snprintf(channel.message, sizeof(channel.message), "no luck");
		return;
	}
	fake_creates_count++;
	fake_memory_free -= channel.params.memory_bytes;
	status.slots[slot].state = ROOT_SLOT_ALIVE;
	status.slots[slot].memory_bytes = channel.params.memory_bytes;
	memset(&vmm_channels[slot], 0, sizeof(vmm_channels[slot]));
	memset(&consoles[slot], 0, sizeof(consoles[slot]));
	vmm_channels[slot].state = fake_vmm_start_state;
	vmm_channels[slot].boots_count = 1;
	snprintf(vmm_channels[slot].reason, sizeof(vmm_channels[slot].reason), "as the test says");
}

static void answer_destroy(void)
{
	uint32_t slot = channel.params.slot;

	check(slot < BH_PARTITIONS_MAX && (status.slots[slot].state == ROOT_SLOT_ALIVE ||
	                                   status.slots[slot].state == ROOT_SLOT_DEAD),
	      "DESTROY of a slot that is free");
	fake_memory_free += status.slots[slot].memory_bytes;
	memset(&status.slots[slot], 0, sizeof(status.slots[slot]));
	channel.result = BH_OK;
}

static void answer_keep(void)
{
	uint32_t idx = channel.params.slot;
	bool is_taken = idx < BH_KEPT_MAX && status.kept[idx].bytes != 0;

	check(idx < BH_KEPT_MAX, "KEEP or RELEASE of an index that is none");
	channel.result = fake_create_error;
	snprintf(channel.message, sizeof(channel.message), "no luck");
	if (channel.request == ROOT_REQUEST_RELEASE) {
		check(is_taken, "RELEASE of a run that is free");
		free(kept[idx]);
		kept[idx] = NULL;
		status.kept[idx].bytes = 0;
		channel.result = BH_OK;
	} else if (fake_create_error == BH_OK) {
		check(!is_taken, "KEEP of a run that is taken");
		check(channel.params.memory_bytes % 4096 == 0, "KEEP of a part of a page");
		kept[idx] = calloc(1, channel.params.memory_bytes);
		status.kept[idx].bytes = channel.params.memory_bytes;
		status.kept[idx].physical = 0x10000000ull * (idx + 1);
	}
}

static void step_root(void)
{
	if (fake_root_is_slow || channel.done_sequence == channel.request_sequence) {
		return;
	}
	check(channel.request_sequence == channel.done_sequence + 1, "two requests at a time");
	switch (channel.request) {
	case ROOT_REQUEST_CREATE:
		answer_create();
		break;
	case ROOT_REQUEST_DESTROY:
		answer_destroy();
		break;
	case ROOT_REQUEST_SHARE:
		check(status.slots[channel.params.slot].state == ROOT_SLOT_ALIVE,
		      "SHARE of nothing");
		fake_last_params = channel.params;
		channel.result = BH_OK;
		break;
	case ROOT_REQUEST_RESTART:
		channel.result = BH_OK;
		break;
	case ROOT_REQUEST_TRACE:
		check(channel.params.slot < BH_KEPT_MAX && kept[channel.params.slot] != NULL,
		      "TRACE into nothing");
		fake_trace_kinds = channel.params.flags;
		channel.result = fake_create_error;
		break;
	case ROOT_REQUEST_KEEP:
	case ROOT_REQUEST_RELEASE:
		answer_keep();
		break;
	default:
		check(false, "an unknown request");
	}
	channel.done_sequence = channel.request_sequence;
}

static void step_vmm(struct vmm_channel *vmm)
{
	if (fake_vmm_is_silent || vmm->done_sequence == vmm->command_sequence) {
		return;
	}
	vmm->result = BH_OK;
	switch (vmm->command) {
	case VMM_COMMAND_PAUSE:
		vmm->state = VMM_PAUSED;
		break;
	case VMM_COMMAND_RESUME:
		vmm->state = VMM_RUNNING;
		break;
	case VMM_COMMAND_RESET:
		vmm->state = VMM_RUNNING;
		vmm->boots_count++;
		fake_resets_count++;
		break;
	case VMM_COMMAND_REGISTERS:
		vmm->registers.rip = 0xffffffff81000000ull;
		vmm->registers_vcpu = (uint32_t)vmm->argument;
		break;
	default:
		break;
	}
	vmm->done_sequence = vmm->command_sequence;
}

void fake_step(void)
{
	uint32_t slot;

	step_root();
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		step_vmm(&vmm_channels[slot]);
	}
}

void fake_vmm_set_state(uint32_t slot, uint32_t state, const char *reason)
{
	if (state == UINT32_MAX) {
		status.slots[slot].state = ROOT_SLOT_DEAD;
		status.slots[slot].death_vector = 13;
		return;
	}
	vmm_channels[slot].state = state;
	snprintf(vmm_channels[slot].reason, sizeof(vmm_channels[slot].reason), "%s", reason);
}

void fake_vmm_print(uint32_t slot, const char *text)
{
	struct bh_console *console = &consoles[slot];

	for (; *text != '\0'; text++) {
		console->out[console->out_head++ % BH_CONSOLE_OUT_BYTES] = (uint8_t)*text;
	}
}

uint64_t machine_now_tsc(void)
{
	return fake_now;
}

uint64_t machine_tsc_hz(void)
{
	return FAKE_HZ;
}

const struct bh_info *machine_kernel_info(void)
{
	return &kernel_info;
}

const struct mgmt_info *machine_info(void)
{
	return &info;
}

const struct bh_log *machine_log(void)
{
	return &kernel_log;
}

const struct root_status *machine_status(void)
{
	return &status;
}

struct root_channel *machine_root_channel(void)
{
	return &channel;
}

struct ledger *machine_ledger(void)
{
	return &ledger;
}

void *machine_kept(uint32_t idx)
{
	check(status.kept[idx].bytes != 0, "a run that is not kept is touched");
	return kept[idx];
}

struct vmm_channel *machine_vmm_channel(uint32_t slot)
{
	check(status.slots[slot].state != ROOT_SLOT_FREE, "the channel of a free slot is touched");
	return &vmm_channels[slot];
}

struct bh_console *machine_vmm_console(uint32_t slot)
{
	check(status.slots[slot].state != ROOT_SLOT_FREE, "the console of a free slot is touched");
	return &consoles[slot];
}

struct bh_console *machine_port_console(uint32_t slot, uint32_t port)
{
	return &port_consoles[slot][port];
}

struct vio_device *machine_device_page(uint32_t slot, uint32_t device_idx)
{
	return (struct vio_device *)(void *)device_pages[slot][device_idx];
}

const struct bh_chunks *machine_guest_chunks(uint32_t slot)
{
	(void)slot;
	return NULL;
}

uint8_t *machine_guest_record(uint32_t slot)
{
	(void)slot;
	return NULL;
}

uint8_t *machine_guest_memory(uint32_t slot)
{
	(void)slot;
	return fake_guest_base;
}

void machine_signal_vmm_device(uint32_t slot)
{
	(void)slot;
	fake_device_signals_count++;
}

void machine_vm_msi(uint32_t slot, uint64_t address, uint32_t data)
{
	(void)slot;
	fake_msis_count++;
	fake_msi_address = address;
	fake_msi_data = data;
}

void machine_vm_msi_now(void)
{
}

void machine_signal_root(void)
{
}

void machine_end_at(enum machine_end how, uint64_t tsc)
{
	fake_end = how == MACHINE_END_CRASH ? 'c' : 'h';
	fake_end_tsc = tsc;
}

void machine_signal_vmm_command(uint32_t slot)
{
	(void)slot;
}

void machine_signal_vmm_console(uint32_t slot)
{
	(void)slot;
}

int machine_vcpu_stats(uint32_t slot, uint32_t vcpu_idx, struct bh_vcpu_stats *stats)
{
	check(status.slots[slot].state != ROOT_SLOT_FREE, "counters of a free slot");
	memset(stats, 0, sizeof(*stats));
	stats->exits[BH_REASON_IO] = 100 + vcpu_idx + fake_exits_more;
	stats->exits[BH_REASON_HLT] = 7;
	stats->guest_tsc = 5000 + fake_exits_more * 1000;
	stats->vmm_exits = fake_exits_more / 2;
	stats->steal_tsc = fake_exits_more * 25; /* 5 % of two vCPUs together */
	/* 90 of up to 512 ticks and 10 of up to 2048, by the VMM; and one wake. */
	stats->time[2 * BH_REASON_IO + 1] = (struct bh_time){ .total_tsc = 40000,
		                                              .max_tsc = 1900,
		                                              .histogram = { [1] = 90, [3] = 10 } };
	stats->wake =
		(struct bh_time){ .total_tsc = 300, .max_tsc = 300, .histogram = { [1] = 1 } };
	return BH_OK;
}

int machine_host_info(struct bh_host_info *host)
{
	memset(host, 0, sizeof(*host));
	host->memory_total = FAKE_MEMORY;
	host->memory_free = fake_memory_free;
	return BH_OK;
}

uint32_t machine_domain_id(void)
{
	return 2;
}

void machine_cpu_name(char name[CPU_NAME_BYTES])
{
	snprintf(name, CPU_NAME_BYTES, "A CPU");
}

bool machine_is_tcg(void)
{
	return false;
}

void machine_acpi(struct acpi_machine *machine)
{
	memset(machine, 0, sizeof(*machine));
	machine->ecam[0].base = 0xb0000000;
	machine->ecam[0].bus_last = 255;
	machine->ecam_count = 1;
}

size_t bh_heap_used_bytes(void)
{
	return 0;
}

bool serial_has_interrupt(void)
{
	return true;
}

void host_poweroff(void)
{
	fake_is_poweroff = true;
}

void host_reset(void)
{
}
