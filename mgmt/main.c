// SPDX-License-Identifier: Apache-2.0
/*
 * The management domain: start, take-over after its own restart, and one loop over one event set.
 *
 * Everything here runs in one thread and nothing waits but machine_wait(). A part that has
 * something to do later says so by a deadline.
 */
#include <stdio.h>
#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/heap.h"
#include "lib/threads.h"
#include "lib/time.h"
#include "mgmt/chunks.h"
#include "mgmt/config_store.h"
#include "mgmt/devices.h"
#include "mgmt/guest_devices.h"
#include "mgmt/kept.h"
#include "mgmt/machine.h"
#include "mgmt/net/fetch.h"
#include "mgmt/net/net.h"
#include "mgmt/partition.h"
#include "mgmt/screen.h"
#include "mgmt/serial.h"
#include "mgmt/shell.h"
#include "mgmt/stats.h"
#include "mgmt/switch/switch.h"
#include "mgmt/switches.h"
#include "mgmt/verb.h"
#include "mgmt/virtio/backend.h"
#include "mgmt/virtio/ports.h"

BH_HEAP_DEFINE(2 * 1024 * 1024);

int main(void);

static struct shell shell;
static uint64_t tick_tsc;

static void print(const char *text)
{
	serial_write_text(text, strlen(text));
}

static void print_result_bytes(void *context, const char *bytes, size_t size)
{
	(void)context;
	serial_write_text(bytes, size);
}

/* Reads the configuration module; what is wrong with it is told, the rest is taken. */
static void load_boot_configuration(void)
{
	const struct mgmt_info *info = machine_info();
	struct result result;

	if (info->config_bytes == 0) {
		print("no configuration file: no guests are defined\n");
		return;
	}
	result_init(&result);
	if (!verb_load_text(info->config_name, (const char *)MGMT_VA_CONFIG, info->config_bytes,
	                    &result)) {
		result_print(&result, false, print_result_bytes, NULL);
	}
	result_free(&result);
}

static void say_missing_files(void)
{
	const struct mgmt_info *info = machine_info();
	uint32_t i;

	for (i = 0; i < info->files_count && i < BH_MODULES_MAX; i++) {
		if (info->files[i].is_missing != 0) {
			char line[96];

			snprintf(line, sizeof(line), "missing file: %.48s\n", info->files[i].name);
			print(line);
		}
	}
}

static void say_hello(void)
{
	const struct bh_info *info = machine_kernel_info();
	char name[CPU_NAME_BYTES];
	char line[200];

	machine_cpu_name(name);
	snprintf(line, sizeof(line),
	         "\nBulkhead %.48s on %.48s, %u pCPUs. 'help' lists the verbs.\n", info->version,
	         name, (unsigned int)info->cpus_count);
	print(line);
	say_missing_files();
}

/* Why the mgmt before ended, if not by a request. */
static const char *death_text(void)
{
	uint32_t death = machine_info()->last_death;

	return (death & MGMT_DEATH_HUNG) != 0                 ? "; it did not answer"
	       : (death & 0xffu) == (uint32_t)BH_DOMAIN_ALIVE ? ""
	                                                      : "; it failed";
}

/* The first start reads the boot file; a later one finds the ledger. */
static void take_up(void)
{
	struct ledger *ledger = machine_ledger();

	if (ledger_open(ledger)) {
		kept_init();
		switches_init();
		partition_init();
		ledger_event(ledger, machine_now_tsc(), "", "mgmt was started again (start %u%s)",
		             (unsigned int)machine_info()->starts_count, death_text());
		print("mgmt was started again; the guests run on\n");
	} else {
		kept_init();
		partition_init();
	}
	if (ledger->is_boot_done == 0) {
		load_boot_configuration();
		ledger->is_boot_done = 1;
		partition_autostart();
	}
}

static uint64_t next_deadline(void)
{
	uint64_t deadline = tick_tsc;
	uint64_t others[] = {
		serial_deadline_tsc(),        partition_deadline_tsc(), shell_deadline_tsc(&shell),
		devices_deadline_tsc(),       net_deadline_tsc(),       fetch_deadline_tsc(),
		guest_devices_deadline_tsc(), chunks_deadline_tsc(),    machine_end_tsc()
	};
	uint32_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		deadline = others[i] < deadline ? others[i] : deadline;
	}
	/* A deadline of 0 would poll. */
	return deadline != 0 ? deadline : 1;
}

static void do_tick(void)
{
	if (machine_now_tsc() >= tick_tsc) {
		stats_tick();
		tick_tsc = machine_now_tsc() + STATS_TICK_SECONDS * machine_tsc_hz();
	}
}

/* Verbs mark work for the manager, and the manager's results end waits: each goes twice. */
static void do_work(void)
{
	int round;

	net_poll();
	fetch_poll();
	for (round = 0; round < 2; round++) {
		kept_poll();
		guest_devices_poll();
		chunks_poll();
		partition_poll();
		shell_poll(&shell);
	}
	partition_poll();
	store_poll();
	net_configure();
	switch_flush();
}

/*
 * One turn of the loop. Kicks are frequent and concern devices alone, so a turn that brought nothing
 * else looks at nothing else.
 */
static void turn(void)
{
	static uint64_t deadline_tsc;
	uint64_t bits[BH_EVENT_WORDS]; /* the kernel writes the words that it names */
	bool is_more = virtio_work();
	/* A console that is looked at goes to the terminal, chunks to root. */
	bool has_news = ports_have_news() | chunks_have_news();
	int64_t result;
	uint64_t now;

	is_more |= has_news;
	switch_flush();
	memset(bits, 0, MGMT_EVENT_KICK / 8); /* all but kicks */
	result = machine_wait(is_more ? 0 : deadline_tsc, bits);
	now = machine_now_tsc();
	if (result > 0 && (result & MGMT_EVENT_KICK_WORDS) != 0) {
		uint32_t word = (uint32_t)__builtin_ctzll((uint64_t)result);

		virtio_take_kicks(word, bits[word], now);
		result = 0;
	}
	if (result <= 0 && !has_news && now < deadline_tsc) {
		return;
	}
	machine_beat();
	serial_service((bits[0] >> MGMT_EVENT_SERIAL & 1) != 0);
	devices_service(bits);
	do_tick();
	do_work();
	machine_vm_msi_now();
	screen_service();
	deadline_tsc = next_deadline();
}

int main(void)
{
	static const struct shell_io io = {
		.read = serial_read,
		.room = serial_room,
		.write = serial_write,
		.write_text = serial_write_text,
	};
	bool has_serial = serial_init();

	screen_init();
	say_hello();
	net_init();
	take_up();
	fetch_init();
	devices_init();
	shell_init(&shell, &io);
	if (has_serial) {
		shell_start(&shell);
	}
	for (;;) {
		turn();
	}
}
