// SPDX-License-Identifier: Apache-2.0
/*
 * The partition manager over a machine of the test's own: states, policies, checks, and taking over
 * after mgmt's death.
 */
// sources: mgmt/kept.c mgmt/root_turn.c mgmt/chunks.c mgmt/partition.c mgmt/random.c mgmt/guest_devices.c mgmt/guest_disks.c mgmt/block/*.c mgmt/virtio/*.c mgmt/switch/*.c mgmt/partition_poll.c mgmt/partition_start.c mgmt/placement.c mgmt/ledger.c mgmt/console.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/result.c mgmt/result_print.c tests/unit/mgmt_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/console.h"
#include "mgmt/partition.h"
#include "mgmt/placement.h"
#include "tests/unit/mgmt_machine.h"

static struct result result;

static int setup(void **state)
{
	(void)state;
	fake_reset();
	partition_init();
	result_free(&result);
	return 0;
}

static void settle(void)
{
	int i;

	for (i = 0; i < 8; i++) {
		partition_poll();
		fake_step();
	}
	partition_poll();
}

static struct guest *define(const char *name, const char *keys)
{
	static struct config config;
	struct guest *guest;
	char text[512];

	snprintf(text, sizeof(text), "[guest %s]\nkernel=vmlinuz\n%s", name, keys);
	config_init(&config);
	assert_true(config_parse(&config, text, strlen(text)));
	assert_true(partition_define(&config.guests[0], &result));
	config_free(&config);
	guest = partition_find(name);
	assert_non_null(guest);
	return guest;
}

static struct guest *run(const char *name, const char *keys)
{
	struct guest *guest = define(name, keys);

	assert_true(partition_start(guest, &result));
	assert_int_equal(guest->state, GUEST_STARTING);
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	return guest;
}

static void assert_refused(bool is_done, const char *part)
{
	assert_false(is_done);
	assert_true(result_is_error(&result));
	if (strstr(result.text, part) == NULL) {
		print_error("error is: %s\n", result.text);
		fail();
	}
}

static void pass_seconds(uint64_t seconds)
{
	fake_now += seconds * FAKE_HZ;
}

static void starts_and_kills(void **state)
{
	struct guest *guest = run("a", "memory=256M\nvcpus=2\nramdisk=/boot/initrd.img x=1\n"
	                               "cmdline=quiet\ndebug-exit=yes\nweight=9\ncap=50\n");

	(void)state;
	assert_int_equal(fake_last_params.vcpus_count, 2);
	assert_int_equal(fake_last_params.weight, 9);
	assert_int_equal(fake_last_params.cap_percent, 50);
	assert_int_equal(fake_last_params.files_count, 2);
	assert_int_equal(fake_last_params.files[1].file_idx, 1);
	assert_string_equal(fake_last_params.files[1].string, "/boot/initrd.img x=1");
	assert_int_equal(fake_last_params.flags, VMM_CONFIG_CONSOLE | VMM_CONFIG_DEBUG_EXIT);
	assert_string_equal(fake_last_params.cmdline, "quiet");
	assert_true(fake_memory_free < FAKE_MEMORY);
	assert_refused(partition_start(guest, &result), "running");
	assert_refused(partition_delete(guest, &result), "running");
	assert_true(partition_kill(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
	assert_refused(partition_kill(guest, &result), "off");
	assert_true(partition_start(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_true(partition_kill(guest, &result));
	settle();
	assert_true(partition_delete(guest, &result));
	assert_null(partition_find("a"));
}

static void checks_before_a_start(void **state)
{
	struct guest *guest = define("a", "memory=2G\n");
	struct guest *owner;

	(void)state;
	assert_refused(partition_start(guest, &result), "2G is wanted, 1G is free");
	guest->config.memory_bytes = 64u << 20;
	snprintf(guest->config.kernel, sizeof(guest->config.kernel), "nothing");
	assert_refused(partition_start(guest, &result), "there is no file 'nothing'");
	snprintf(guest->config.kernel, sizeof(guest->config.kernel), "gone");
	assert_refused(partition_start(guest, &result), "could not read");
	snprintf(guest->config.kernel, sizeof(guest->config.kernel), "boot/vmlinuz");
	guest->config.cpus.is_any = false;
	guest->config.cpus.bits[0] = 0x30;
	assert_refused(partition_start(guest, &result), "there is no pCPU 4");
	assert_int_equal(guest->state, GUEST_DEFINED);
	owner = run("owner", "cpus=2-3\nvcpus=3\n");
	assert_int_equal(owner->pcpu[0], 2);
	assert_int_equal(owner->pcpu[1], 3);
	assert_int_equal(owner->pcpu[2], 2);
	guest->config.cpus.bits[0] = 0xc;
	assert_refused(partition_start(guest, &result), "pCPU 2 is taken by guest owner");
	guest->config.cpus.is_shared = true;
	assert_refused(partition_start(guest, &result), "pCPU 2 is taken by guest owner");
	guest->config.cpus.is_any = true;
	guest->config.cpus.bits[0] = 0;
	assert_true(partition_start(guest, &result));
	settle();
	assert_int_equal(guest->pcpu[0], 1);
}

static void places_on_the_least_used(void **state)
{
	static struct placement placement;
	struct config_guest guest;
	uint16_t pcpu[64];
	uint32_t culprit;

	(void)state;
	memset(&guest, 0, sizeof(guest));
	guest.cpus.is_any = true;
	guest.vcpu_count = 4;
	placement_init(&placement, 4);
	assert_int_equal(placement_choose(&placement, &guest, pcpu, &culprit), PLACEMENT_OK);
	assert_int_equal(pcpu[0], 1);
	assert_int_equal(pcpu[1], 2);
	assert_int_equal(pcpu[2], 3);
	placement_add(&placement, 0, true, (const uint16_t[]){ 0, 1, 2, 3 }, 4);
	assert_int_equal(placement_choose(&placement, &guest, pcpu, &culprit), PLACEMENT_NONE_LEFT);
	placement_init(&placement, 1);
	assert_int_equal(placement_choose(&placement, &guest, pcpu, &culprit), PLACEMENT_OK);
	assert_int_equal(pcpu[3], 0);
	/* Claimed pCPUs are the last choice. */
	placement_init(&placement, 2);
	placement_claim(&placement, &(struct config_cpus){ .bits = { 2 } });
	assert_int_equal(placement_choose(&placement, &guest, pcpu, &culprit), PLACEMENT_OK);
	assert_int_equal(pcpu[0], 0);
	assert_int_equal(pcpu[3], 0);
	/* A spared one comes before those, and after all others however much they have. */
	placement_spare(&placement, 0);
	assert_int_equal(placement_choose(&placement, &guest, pcpu, &culprit), PLACEMENT_OK);
	assert_int_equal(pcpu[3], 0);
	placement_init(&placement, 4);
	placement_spare(&placement, 0);
	assert_int_equal(placement_choose(&placement, &guest, pcpu, &culprit), PLACEMENT_OK);
	assert_int_equal(pcpu[0], 1);
	assert_int_equal(pcpu[2], 3);
	assert_int_equal(pcpu[3], 1);
}

static void follows_the_policies(void **state)
{
	struct guest *guest = run("a", "on-crash=restart\n");
	struct guest *other = run("b", "on-poweroff=preserve\non-reboot=destroy\n");
	uint32_t slot = partition_slot(guest);

	(void)state;
	pass_seconds(100);
	fake_vmm_set_state(slot, VMM_REBOOT, "");
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_int_equal(guest->restarts_count, 1);
	assert_int_equal(fake_resets_count, 1);
	assert_int_equal(fake_creates_count, 2);
	/* A crash makes a new VMM. */
	pass_seconds(100);
	fake_vmm_set_state(slot, VMM_CRASHED, "triple fault");
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_int_equal(guest->restarts_count, 2);
	assert_int_equal(fake_creates_count, 3);
	fake_vmm_set_state(slot, VMM_OFF, "");
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_int_equal(guest->has_partition, 0);
	fake_vmm_set_state(partition_slot(other), VMM_OFF, "");
	settle();
	assert_int_equal(other->state, GUEST_OFF);
	assert_int_equal(other->has_partition, 1);
	assert_true(partition_start(other, &result));
	settle();
	assert_int_equal(other->state, GUEST_RUNNING);
	fake_vmm_set_state(partition_slot(other), VMM_DEBUG_EXIT, "");
	settle();
	assert_string_equal(other->reason, "debug exit: code 0, status 1");
	assert_true(partition_delete(other, &result));
	settle();
	assert_null(partition_find("b"));
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void backs_off_in_a_crash_loop(void **state)
{
	struct guest *guest = run("a", "on-crash=restart\n");
	uint32_t slot = partition_slot(guest);
	int i;

	(void)state;
	fake_vmm_set_state(slot, VMM_CRASHED, "one");
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	for (i = 0; i < 10; i++) {
		uint64_t expected = i < 6 ? 1ull << i : 60;

		fake_vmm_set_state(slot, VMM_CRASHED, "again");
		settle();
		assert_int_equal(guest->state, GUEST_CRASHED);
		assert_int_equal(guest->restart_at_tsc, fake_now + expected * FAKE_HZ);
		assert_int_equal(partition_deadline_tsc(), guest->restart_at_tsc);
		pass_seconds(expected);
		settle();
		assert_int_equal(guest->state, GUEST_RUNNING);
	}
	pass_seconds(31);
	fake_vmm_set_state(slot, VMM_CRASHED, "late");
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	fake_vmm_set_state(slot, VMM_CRASHED, "stop it");
	settle();
	assert_true(partition_kill(guest, &result));
	pass_seconds(100);
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void stops_and_reboots(void **state)
{
	struct guest *guest = run("a", "on-poweroff=restart\n");
	uint32_t slot = partition_slot(guest);

	(void)state;
	pass_seconds(60);
	assert_true(partition_stop(guest, true, &result));
	assert_int_equal(guest->state, GUEST_SHUTTING_DOWN);
	settle();
	assert_int_equal(guest->state, GUEST_SHUTTING_DOWN);
	fake_vmm_set_state(slot, VMM_OFF, "");
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_true(partition_stop(guest, false, &result));
	settle();
	fake_vmm_set_state(slot, VMM_OFF, "");
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_int_equal(guest->has_partition, 0);
}

static void pauses_and_resets(void **state)
{
	struct guest *guest = run("a", "");

	(void)state;
	assert_refused(partition_resume(guest, &result), "running");
	assert_true(partition_pause(guest, &result));
	assert_refused(partition_reset(guest, &result), "has not answered");
	settle();
	assert_int_equal(guest->state, GUEST_PAUSED);
	assert_refused(partition_stop(guest, false, &result), "paused");
	assert_true(partition_resume(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_true(partition_reset(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_int_equal(fake_resets_count, 1);
	assert_refused(partition_read_registers(guest, 1, &result), "no vCPU 1");
	fake_vmm_is_silent = true;
	assert_true(partition_pause(guest, &result));
	pass_seconds(11);
	settle();
	assert_true(partition_kill(guest, &result));
	settle();
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void tells_failures(void **state)
{
	struct guest *guest = define("a", "on-crash=restart\n");

	(void)state;
	fake_create_error = BH_ERR_MEMORY;
	assert_true(partition_start(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_non_null(strstr(guest->reason, "no luck (error -5)"));
	fake_create_error = BH_OK;
	fake_vmm_start_state = VMM_FAILED;
	assert_true(partition_start(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_string_equal(guest->reason, "cannot start: as the test says");
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
	fake_vmm_start_state = VMM_RUNNING;
	guest->config.on_crash = CONFIG_ACTION_DESTROY;
	assert_true(partition_start(guest, &result));
	settle();
	fake_vmm_set_state(partition_slot(guest), UINT32_MAX, "");
	settle();
	assert_int_equal(guest->state, GUEST_CRASHED);
	assert_non_null(strstr(guest->reason, "its VMM died: exception 13"));
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void kills_while_root_creates(void **state)
{
	struct guest *guest = define("a", "");
	struct guest *other = define("b", "");

	(void)state;
	fake_root_is_slow = true;
	assert_true(partition_start(guest, &result));
	assert_true(partition_start(other, &result));
	partition_poll();
	/* One is sent, the other waits. */
	assert_int_equal(guest->is_sent, 1);
	assert_int_equal(other->is_sent, 0);
	assert_true(partition_kill(other, &result));
	assert_int_equal(other->state, GUEST_OFF);
	assert_true(partition_kill(guest, &result));
	fake_root_is_slow = false;
	settle();
	assert_int_equal(guest->state, GUEST_OFF);
	assert_int_equal(guest->has_partition, 0);
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void changes_shares_of_a_running_guest(void **state)
{
	struct guest *guest = run("a", "");
	struct config_guest config = guest->config;

	(void)state;
	config.weight = 1000;
	config.memory_bytes = 32u << 20;
	partition_configure(guest, &config);
	settle();
	assert_int_equal(fake_last_params.weight, 1000);
	assert_int_equal(guest->is_changed, 1);
	/* A changed guest that reboots gets a new partition. */
	fake_vmm_set_state(partition_slot(guest), VMM_REBOOT, "");
	settle();
	assert_int_equal(fake_creates_count, 2);
	assert_int_equal(guest->memory_bytes, 32u << 20);
}

static void survives_a_hostile_vmm(void **state)
{
	struct guest *guest = run("a", "on-crash=preserve\n");
	uint32_t slot = partition_slot(guest);
	struct vmm_channel *channel = machine_vmm_channel(slot);
	struct bh_console *console = machine_vmm_console(slot);
	char out[512];

	(void)state;
	channel->state = 0xdeadbeef;
	channel->done_sequence = 77;
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	console->out_head = UINT64_MAX - 5;
	console->out_seen = 12;
	console->in_tail = 999999;
	console_open(slot, CONSOLE_LINE_SERIAL);
	assert_int_equal(console_read(slot, CONSOLE_LINE_SERIAL, out, sizeof(out)), sizeof(out));
	assert_int_equal(console_write(slot, CONSOLE_LINE_SERIAL, "abc", 3), 3);
	memset(channel->reason, 'x', sizeof(channel->reason));
	channel->reason[3] = '\x1b';
	channel->state = VMM_CRASHED;
	settle();
	assert_int_equal(guest->state, GUEST_CRASHED);
	assert_null(strchr(guest->reason, '\x1b'));
	assert_true(strlen(guest->reason) < LEDGER_REASON_SIZE);
}

static void takes_over(void **state)
{
	struct guest *guest = run("a", "");
	struct guest *starting = define("b", "");
	struct guest *last = run("c", "");

	(void)state;
	fake_root_is_slow = true;
	assert_true(partition_start(starting, &result));
	assert_true(partition_kill(last, &result));
	partition_poll();
	/* mgmt dies here; b is being created, c is still to be destroyed; a reboots meanwhile. */
	fake_vmm_set_state(partition_slot(guest), VMM_OFF, "");
	assert_true(ledger_open(machine_ledger()));
	partition_init();
	fake_root_is_slow = false;
	settle();
	assert_int_equal(starting->state, GUEST_RUNNING);
	assert_int_equal(guest->state, GUEST_OFF);
	assert_int_equal(last->state, GUEST_OFF);
	assert_int_equal(last->has_partition, 0);
	/* mgmt dies after root has answered, before it was taken. */
	assert_true(partition_start(guest, &result));
	partition_poll();
	fake_step();
	assert_true(ledger_open(machine_ledger()));
	partition_init();
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	assert_int_equal(fake_creates_count, 4);
	/* A spoilt record: the partition goes, and its memory comes back. */
	guest->config.vcpu_count = 0;
	assert_true(ledger_open(machine_ledger()));
	assert_null(partition_find("a"));
	partition_init();
	settle();
	assert_null(partition_find("lost-0"));
	assert_true(partition_kill(starting, &result));
	settle();
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void autostarts_in_turn(void **state)
{
	struct guest *one = define("one", "autostart=yes\n");
	struct guest *two = define("two", "");
	struct guest *three = define("three", "autostart=yes\n");

	(void)state;
	machine_ledger()->host.autostart_delay_s = 5;
	partition_autostart();
	settle();
	assert_int_equal(one->state, GUEST_RUNNING);
	assert_int_equal(three->state, GUEST_DEFINED);
	pass_seconds(5);
	settle();
	assert_int_equal(three->state, GUEST_RUNNING);
	assert_int_equal(two->state, GUEST_DEFINED);
	pass_seconds(5);
	settle();
	assert_true(partition_deadline_tsc() == BH_FOREVER);
}

static void keeps_the_last_words(void **state)
{
	struct guest *guest = run("a", "");
	uint32_t slot = partition_slot(guest);
	char out[256];
	size_t count;

	(void)state;
	fake_vmm_print(slot, "first\r\nlogin: ");
	console_open(slot, CONSOLE_LINE_SERIAL);
	count = console_read(slot, CONSOLE_LINE_SERIAL, out, sizeof(out));
	assert_int_equal(count, 14);
	/* Seen already: the last line is shown again. */
	console_open(slot, CONSOLE_LINE_SERIAL);
	count = console_read(slot, CONSOLE_LINE_SERIAL, out, sizeof(out));
	assert_memory_equal(out, "login: ", 7);
	assert_int_equal(count, 7);
	assert_int_equal(console_write(slot, CONSOLE_LINE_SERIAL, "root\r", 5), 5);
	fake_vmm_print(slot, "bye\r\n");
	fake_vmm_set_state(slot, VMM_OFF, "");
	settle();
	console_open(slot, CONSOLE_LINE_SERIAL);
	count = console_read(slot, CONSOLE_LINE_SERIAL, out, sizeof(out));
	assert_int_equal(count, 5);
	assert_memory_equal(out, "bye\r\n", 5);
	assert_int_equal(console_read(slot, CONSOLE_LINE_SERIAL, out, sizeof(out)), 0);
	console_forget(slot);
}

static void wraps_the_console_ring(void **state)
{
	struct guest *guest = run("a", "");
	uint32_t slot = partition_slot(guest);
	size_t total = 0;
	size_t count;
	char out[1000];
	int i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		fake_vmm_print(slot, "0123456789");
	}
	console_open(slot, CONSOLE_LINE_SERIAL);
	while ((count = console_read(slot, CONSOLE_LINE_SERIAL, out, sizeof(out))) != 0) {
		total += count;
	}
	assert_int_equal(total, BH_CONSOLE_OUT_BYTES);
	/* Input is taken only as far as there is room. */
	memset(out, 'i', sizeof(out));
	assert_int_equal(console_write(slot, CONSOLE_LINE_SERIAL, out, 1000), 1000);
	assert_int_equal(console_write(slot, CONSOLE_LINE_SERIAL, out, 1000), 1000);
	assert_int_equal(console_write(slot, CONSOLE_LINE_SERIAL, out, 1000), 48);
	assert_int_equal(console_write(slot, CONSOLE_LINE_SERIAL, out, 1000), 0);
}

static void a_thousand_guests(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		struct guest *guest = run("tiny", "memory=1M\n");

		assert_true(partition_kill(guest, &result));
		settle();
		assert_true(partition_delete(guest, &result));
	}
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void refuses_too_many(void **state)
{
	static struct config_guest config;
	uint32_t i;

	(void)state;
	memset(&config, 0, sizeof(config));
	config_set_defaults(CONFIG_SECTION_GUEST, &config);
	for (i = 0; i < BH_PARTITIONS_MAX; i++) {
		snprintf(config.name, sizeof(config.name), "g%u", (unsigned int)i);
		assert_true(partition_define(&config, &result));
	}
	assert_refused(partition_define(&config, &result), "of this name");
	snprintf(config.name, sizeof(config.name), "more");
	assert_refused(partition_define(&config, &result), "already 48 guests");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(starts_and_kills, setup),
		cmocka_unit_test_setup(checks_before_a_start, setup),
		cmocka_unit_test_setup(places_on_the_least_used, setup),
		cmocka_unit_test_setup(follows_the_policies, setup),
		cmocka_unit_test_setup(backs_off_in_a_crash_loop, setup),
		cmocka_unit_test_setup(stops_and_reboots, setup),
		cmocka_unit_test_setup(pauses_and_resets, setup),
		cmocka_unit_test_setup(tells_failures, setup),
		cmocka_unit_test_setup(kills_while_root_creates, setup),
		cmocka_unit_test_setup(changes_shares_of_a_running_guest, setup),
		cmocka_unit_test_setup(survives_a_hostile_vmm, setup),
		cmocka_unit_test_setup(takes_over, setup),
		cmocka_unit_test_setup(autostarts_in_turn, setup),
		cmocka_unit_test_setup(keeps_the_last_words, setup),
		cmocka_unit_test_setup(wraps_the_console_ring, setup),
		cmocka_unit_test_setup(a_thousand_guests, setup),
		cmocka_unit_test_setup(refuses_too_many, setup),
	};
	int failed = cmocka_run_group_tests_name("partition", tests, NULL, NULL);

	result_free(&result);
	return failed;
}
