// SPDX-License-Identifier: Apache-2.0
/*
 * The shell from bytes to bytes, over the tests' machine: verbs, errors, sections, waits, consoles.
 */
// sources: mgmt/shell.c mgmt/command.c mgmt/verbs.c mgmt/verbs_*.c mgmt/net/url.c mgmt/kept.c mgmt/root_turn.c mgmt/chunks.c tests/unit/mgmt_net.c mgmt/stats.c mgmt/trace.c mgmt/trace_text.c lib/sha256.c mgmt/line.c mgmt/partition.c mgmt/random.c mgmt/guest_devices.c mgmt/guest_disks.c mgmt/block/*.c mgmt/virtio/*.c mgmt/switch/*.c mgmt/switches.c mgmt/partition_poll.c mgmt/partition_start.c mgmt/placement.c mgmt/ledger.c mgmt/console.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/result.c mgmt/result_print.c tests/unit/mgmt_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/partition.h"
#include "mgmt/root_turn.h"
#include "mgmt/shell.h"
#include "mgmt/verb.h"
#include "tests/unit/mgmt_machine.h"

static struct shell shell;
static char output[1 << 20];
static size_t used;
static const char *input = "";

static int read_input(void)
{
	return *input != '\0' ? (unsigned char)*input++ : -1;
}

static size_t room(void)
{
	return 4096;
}

static void write_output(const char *bytes, size_t size)
{
	assert_true(used + size < sizeof(output));
	memcpy(output + used, bytes, size);
	used += size;
	output[used] = '\0';
}

static int setup(void **state)
{
	static const struct shell_io io = { read_input, room, write_output, write_output };

	(void)state;
	fake_reset();
	root_turn_end();
	partition_init();
	shell_init(&shell, &io);
	used = 0;
	shell_start(&shell);
	assert_string_equal(output, "bulkhead> ");
	return 0;
}

static void turn(void)
{
	int i;

	for (i = 0; i < 10; i++) {
		partition_poll();
		shell_poll(&shell);
		partition_poll();
		fake_step();
	}
	shell_poll(&shell);
}

/* Types keys, lets everything settle, and returns what was shown. */
static const char *type(const char *keys)
{
	used = 0;
	output[0] = '\0';
	input = keys;
	turn();
	return output;
}

static void assert_shows(const char *keys, const char *part)
{
	if (strstr(type(keys), part) == NULL) {
		print_error("typed: %s\nshown: %s\nexpected: %s\n", keys, output, part);
		fail();
	}
	if (strlen(output) < 10 || strcmp(output + strlen(output) - 10, "bulkhead> ") != 0) {
		print_error("no prompt after: %s\nshown: %s\n", keys, output);
		fail();
	}
}

static void lives_a_whole_life(void **state)
{
	(void)state;
	assert_shows("list\r",
	             "\nID  NAME  STATE  VCPU  PCPUS  MEM  CPU%  EXIT/s  UPTIME  RESTARTS\n");
	assert_shows("create a vcpus=2 memory=64M kernel=vmlinuz cmdline=\"console=ttyS0 x\"\r",
	             "guest a is defined; 'start a' starts it\n");
	assert_shows("list\r",
	             "\n 1  a     defined     2  -      64M     -       -       -         0\n");
	assert_shows("show config a\r", "cmdline = \"console=ttyS0 x\"\n");
	assert_shows("start a\r", "guest a is running\n");
	assert_shows("list --json\r",
	             "{\"id\": 1, \"name\": \"a\", \"state\": \"running\", \"vcpus\": 2, "
	             "\"pcpus\": \"1-2\", \"memory_bytes\": 67108864");
	assert_shows("set a weight 512\r", "a: weight = 512\n");
	assert_shows("set a weight=300\r", "a: weight = 300\n");
	assert_shows("set a cmdline=\"a=1 b\"\r", "a: cmdline = a=1 b (from its next start)\n");
	assert_shows("set a weight=lots\r", "column 14");
	assert_shows("set a nokey=1\r", "column 7");
	assert_shows("set a weight=300 400\r", "error: ");
	assert_shows("set a weight\r", "VALUE is missing");
	assert_shows("set a memory 128M\r", "a: memory = 128M (from its next start)\n");
	assert_shows("set a memory lots\r",
	             "error: set, column 14: memory: 'lots' is not good; meant is a size");
	assert_shows("pause a\r", "guest a is paused\n");
	assert_shows("resume 1\r", "guest a is running\n");
	assert_shows("reset a\r", "guest a is running\n");
	assert_shows("regs a 0\r", "0xffffffff81000000");
	assert_shows(
		"exits a\r",
		"\nREASON  TOTAL   V0   V1\nio        201  100  101\nhlt        14    7    7\n");
	assert_shows("stats a --json\r", "\"exits\": 215");
	assert_shows("vcpus\r", "NAME  VCPU  PCPU");
	assert_shows("reboot a\r", "it starts again after that");
	fake_vmm_set_state(0, VMM_OFF, "");
	type("");
	assert_shows("list -v\r", "running");
	assert_shows("stop a\r", "the power button of guest a is pressed\n");
	assert_shows("destroy a\r", "guest a is off: killed\n");
	assert_shows("kill a\r", "error: a: the guest is off; there is nothing to end\n");
	assert_shows("undefine a\r", "guest a is deleted\n");
	assert_shows("events\r", "a      killed\n");
}

/* What was counted before a reset was divided by the time since then: 26,000 percent of a pCPU. */
static void counts_on_over_a_reset(void **state)
{
	(void)state;
	assert_shows("create a vcpus=1 memory=64M kernel=vmlinuz\r", "defined");
	assert_shows("start a\r", "running");
	fake_exits_more = 99893; /* and 107 that there are */
	fake_now += 1000 * FAKE_HZ;
	assert_shows("reset a\r", "running");
	assert_shows("list --json\r", "\"exits_per_second\": 100,");
}

static void explains_errors(void **state)
{
	(void)state;
	assert_shows("lsit\r", "error: there is no verb 'lsit'; did you mean 'list'?\n");
	assert_shows("start\r", "error: start: GUEST is missing; meant is: start GUEST\n");
	assert_shows("start nobody\r",
	             "error: start: there is no guest 'nobody'; no guest is defined\n");
	assert_shows("list -q\r", "error: list: there is no option '-q'; meant is: list [-v]\n");
	assert_shows("list all\r", "there are too many arguments");
	assert_shows("create A kernel=k\r", "'A' is no name");
	assert_shows("create a\r", "error: create, column 8: guest 'a' needs the key kernel");
	assert_shows("create a kernel=k vcpu=2\r",
	             "error: create, column 19: unknown key 'vcpu'; did you mean 'vcpus'?");
	assert_shows("create a kernel=\"k\r", "error: column 17: the quote is not closed\n");
	assert_shows("create a kernel=nofile\r", "defined");
	assert_shows("start a\r",
	             "error: a: kernel: there is no file 'nofile'; the verb files lists");
	assert_shows("start a --json\r",
	             "{\"error\": {\"what\": \"kernel: there is no file 'nofile'\"");
	assert_shows("stop a -w soon\r", "-w needs a number of seconds");
	assert_shows("host explode\r", "reboot|poweroff");
	assert_shows("host poweroff 5\r", "takes no microseconds");
	assert_shows("host restart-mgmt 1000001\r", "not microseconds");
	assert_shows("host restart-mgmt 1x\r", "not microseconds");
	assert_shows("regs a x\r", "VCPU is a number");
	assert_shows("check none\r", "there is no file 'none'");
	assert_shows("set a kernel vmlinuz\r", "kernel = vmlinuz");
	fake_vmm_start_state = VMM_FAILED;
	assert_shows("start a\r", "error: a: cannot start: as the test says\n");
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void takes_sections(void **state)
{
	(void)state;
	assert_shows("[guest a]\rkernel = vmlinuz\r# why\rvcpus = 3\r\r", "guest a is defined");
	assert_shows("create\r[guest b]\nkernel = vmlinuz\n\n", "guest b is defined");
	assert_shows("create [guest c] kernel=vmlinuz memory=1G\r", "guest c is defined");
	assert_shows("create [guest d]\rkernel = vmlinuz\rfoo = 1\r\r",
	             "   3       1  unknown key 'foo'");
	assert_shows("create\r\x03", "^C\nbulkhead> ");
	assert_shows("create\r\r", "bulkhead> ");
	assert_shows("load broken.conf\r", "guests  1\nerrors  1\n");
	assert_shows("list\r", "good");
	assert_shows("check broken.conf\r",
	             "LINE  COLUMN  ERROR\n   4       1  unknown key 'vcpu'");
	assert_shows("show config\r", "[host]\nname = bulkhead\n");
}

static void types_ahead_while_a_verb_works(void **state)
{
	(void)state;
	assert_shows("create a kernel=vmlinuz\r", "defined");
	fake_root_is_slow = true;
	type("start a\rversion\r");
	assert_int_equal(shell.mode, SHELL_WAIT);
	fake_root_is_slow = false;
	assert_shows("", "guest a is running\nbulkhead> version\n");
	fake_root_is_slow = true;
	type("kill a\rversion\r");
	assert_shows("\x03", "not waiting any longer; the work goes on\n* a: killed\nbulkhead> ");
	fake_root_is_slow = false;
	assert_shows("\r", "bulkhead> ");
	assert_int_equal(fake_memory_free, FAKE_MEMORY);
}

static void waits_for_the_power_button(void **state)
{
	(void)state;
	assert_shows("create a kernel=vmlinuz\r", "defined");
	assert_shows("start a\r", "running");
	type("stop -w 10 a\r");
	assert_int_equal(shell.mode, SHELL_WAIT);
	fake_vmm_set_state(0, VMM_OFF, "");
	assert_shows("", "guest a is off: powered off\n");
	assert_shows("start a\r", "running");
	type("stop a -w 10\r");
	fake_now += 11 * FAKE_HZ;
	assert_shows("", "guest a is off: killed\n");
	assert_shows("start a\r", "running");
	type("reboot a -w 3\r");
	fake_now += 4 * FAKE_HZ;
	assert_shows("", "guest a is running\n");
	assert_int_equal(fake_resets_count, 1);
	type("host poweroff -w 5\r");
	assert_false(fake_is_poweroff);
	fake_now += 6 * FAKE_HZ;
	assert_shows("", "the firmware offers no way that worked");
	assert_true(fake_is_poweroff);
}

static void ends_mgmt(void **state)
{
	(void)state;
	assert_null(strstr(type("host crash-mgmt\r"), "bulkhead> "));
	assert_int_equal(fake_end, 'c');
	assert_int_equal(fake_end_tsc, fake_now);
	fake_now += 16 * FAKE_HZ;
	assert_shows("", "root has not restarted mgmt");
	type("host hang-mgmt 500000\r");
	assert_int_equal(fake_end, 'h');
	assert_int_equal(fake_end_tsc, fake_now + FAKE_HZ / 2);
	fake_now += 16 * FAKE_HZ;
	assert_shows("", "root has not restarted mgmt");
	assert_shows("host hang-mgmt soon\r", "not microseconds");
	type("host restart-mgmt 70\r");
	assert_int_equal(machine_root_channel()->request, ROOT_REQUEST_RESTART);
	assert_int_equal(machine_root_channel()->params.delay_ns, 70000);
}

static void connects_to_a_console(void **state)
{
	(void)state;
	assert_shows("create a kernel=vmlinuz\r", "defined");
	assert_shows("start a\r", "running");
	fake_vmm_print(0, "booting\r\nlogin: ");
	assert_non_null(strstr(type("console a\rroot\r"),
	                       "connected to a; Ctrl-] leaves\nbooting\r\nlogin: "));
	assert_memory_equal(machine_vmm_console(0)->in, "root\r", 5);
	assert_shows("\x1d", "disconnected\nbulkhead> ");
	assert_non_null(strstr(type("console a\r"), "leaves\nlogin: "));
	fake_vmm_print(0, "panic\r\n");
	fake_vmm_set_state(0, VMM_CRASHED, "triple fault");
	assert_shows("",
	             "panic\r\n\nthe guest has crashed\n* a: crashed: triple fault\nbulkhead> ");
	assert_shows("create b kernel=vmlinuz console=no\r", "defined");
	assert_shows("console b\r", "the guest has no such console");
}

static void follows_logs(void **state)
{
	(void)state;
	assert_shows("log\r", "kernel: first line\nkernel: second\n");
	type("log -f\r");
	assert_int_equal(shell.mode, SHELL_FOLLOW);
	assert_shows("\x03", "^C\nbulkhead> ");
	type("events -f\r");
	ledger_event(machine_ledger(), fake_now, "x", "something");
	fake_now += FAKE_HZ;
	assert_non_null(strstr(type(""), "x  something\n"));
	assert_shows("\x03", "^C\nbulkhead> ");
}

static void shows_how_often_and_how_long(void **state)
{
	(void)state;
	assert_shows("create a vcpus=2 kernel=vmlinuz\r", "defined");
	assert_shows("exits a\r", "error: a: the guest is defined; ");
	assert_shows("latency a\r", "error: a: the guest is defined; ");
	assert_shows("start a\r", "running");
	/* FAKE_HZ is 1 MHz: a tick is a microsecond. */
	assert_shows("latency a\r",
	             "\nREASON  WHERE   COUNT  MEAN-ns  P50-ns   P99-ns   MAX-ns  TIME%\n"
	             "io      vmm       200   400000  512000  1900000  1900000   99.2\n"
	             "wake    kernel      2   300000  300000   300000   300000    0.7\n");
	assert_shows("latency a --json\r",
	             "{\"reason\": \"io\", \"where\": \"vmm\", \"count\": 200, "
	             "\"mean_ns\": 400000, \"p50_ns\": 512000");
	assert_shows(
		"exits a --histogram\r",
		"io      vmm       512000    180    90.0  ####################################\n"
		"io      vmm      1900000     20    10.0  ####\n");
	assert_shows("exits a -w 5 --histogram\r", "error: exits: ");
	type("exits a -w 10\r");
	assert_null(strstr(output, "bulkhead> "));
	fake_exits_more = 40;
	fake_now += 10 * FAKE_HZ;
	assert_shows("", "REASON  EXITS  EXIT/s  SHARE%\nio         80       8   100.0\n");
	type("exits a -w 10\r");
	assert_shows("\x03", "not waiting any longer");
	type("exits a -w 10\r");
	assert_shows("\x03kill a\r", "guest a is off");
}

static void shows_load_until_it_is_ended(void **state)
{
	(void)state;
	assert_shows("create a vcpus=2 memory=64M kernel=vmlinuz\r", "defined");
	assert_shows("create b kernel=vmlinuz\r", "defined");
	assert_shows("start a\r", "running");
	assert_shows("top -w 0\r", "error: top: -w 0 is no period; meant is 1 to 60\n");
	type("top -w 1\r");
	assert_non_null(strstr(output, "\x1b[H\x1b[Jbulkhead: up "));
	assert_non_null(strstr(
		output, "a     running     2   64M     -      -       -       -      -      -\n"));
	fake_exits_more = 1000;
	type("");
	assert_string_equal(output, "");
	fake_now += FAKE_HZ;
	type("");
	/* 2 vCPUs with 1,000 exits each, half of them to the VMM, and all of the second. */
	assert_non_null(strstr(
		output, "a     running     2   64M  200.0    0.0     5.0    2000   1000      0\n"));
	assert_non_null(strstr(output, "b     defined"));
	assert_shows("\x03", "^C\nbulkhead> ");
	type("top --json\r");
	assert_null(strstr(output, "["));
	fake_now += 2 * FAKE_HZ;
	assert_shows("", "{\"id\": 1, \"name\": \"a\", \"state\": \"running\"");
	assert_non_null(strstr(output, "\"exits_per_second\": 0"));
}

static void shows_news_before_a_prompt(void **state)
{
	(void)state;
	assert_shows("create a kernel=vmlinuz\r", "defined");
	assert_shows("start a\r", "guest a is running\nbulkhead> ");
	fake_vmm_set_state(0, VMM_CRASHED, "triple fault");
	assert_string_equal(type(""), "");
	assert_shows("version --json\r", "\"abi_version\": 1}\nbulkhead> ");
	assert_shows("files\r", "missing\nbulkhead> ");
	assert_shows("\r", "\n* a: crashed: triple fault\nbulkhead> ");
	assert_string_equal(type("\r"), "\nbulkhead> ");
}

static void completes(void **state)
{
	(void)state;
	assert_shows("create alpha kernel=vmlinuz\r", "defined");
	assert_shows("sho\tc\t\t\r", "[guest alpha]");
	assert_shows("set al\tauto\ty\t\r", "alpha: autostart = yes");
	assert_shows("set al\tautostart=n\t\r", "alpha: autostart = no");
	assert_shows("create beta ker\tvml\tmemo\t64M\r", "defined");
	assert_shows("host p\t\x15\r", "host poweroff ");
	assert_shows("iperf stop\r", "error: iperf: it was not started");
	assert_shows("iperf st\tar\t\r", "TCP port 5001");
	assert_shows("iperf now\r", "not one of those meant");
	assert_shows("iperf stop\r", "stopped\n");
	assert_shows("switch add lan mt\t9000 po\td\t\r", "switch lan is defined\n");
	assert_shows("switch ru\tla\tcl\t\r", "lan: the rules count from 0");
	assert_shows("switch ru\tla\tadd de\ti\t\t\x15\r", "in          icmp-type=");
	assert_shows("switch po\tla\tmt\t\x03", "switch port lan mt");
	assert_shows("switch del lan\r", "forgotten");
	assert_shows("\t\t\x03", "vcpus");
}

static void every_verb_has_help_and_example(void **state)
{
	char keys[64];
	size_t i;

	(void)state;
	for (i = 0; i < verb_count; i++) {
		assert_true(strlen(verbs[i].help) > 10);
		assert_ptr_equal(verb_find(verbs[i].name), &verbs[i]);
		assert_int_equal(strncmp(verbs[i].example, verbs[i].name, strlen(verbs[i].name)),
		                 0);
		snprintf(keys, sizeof(keys), "help %s\r", verbs[i].name);
		assert_shows(keys, verbs[i].help);
		assert_shows("help\r", verbs[i].help);
	}
	assert_shows("help set\r", "debug-exit");
	assert_shows("help vm-list\r", "list [-v]");
}

static void survives_any_words(void **state)
{
	static const char *const words[] = { "a",         "-w",       "1",  "--json",  "-f",
		                             "[",         "=",        "x=", "key",     "config",
		                             "\"\"",      "-v",       "]",  "vcpus=1", "--",
		                             "-",         "poweroff", "'",  "\\",      "all",
		                             "4294967296" };
	char keys[128];
	size_t verb;
	size_t i;
	size_t j;

	(void)state;
	assert_shows("create a kernel=vmlinuz\r", "defined");
	assert_shows("start a\r", "running");
	for (verb = 0; verb < verb_count; verb++) {
		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			for (j = 0; j < sizeof(words) / sizeof(words[0]); j++) {
				snprintf(keys, sizeof(keys), "%s %s %s\r", verbs[verb].name,
				         words[i], words[j]);
				type(keys);
				type("\x03\x1d");
				fake_now += 20 * FAKE_HZ;
				type("\x03");
			}
		}
	}
	assert_shows("\r", "bulkhead> ");
}

static void defines_switches(void **state)
{
	(void)state;
	assert_shows("switch add lan mtu=9000 policy=deny rule=\"allow ether=arp\"\r",
	             "switch lan is defined\n");
	assert_shows("switch list\r", "\nlan         0          0  9000      1\n");
	assert_shows("switch set lan rule=\r", "switch lan is changed\n");
	assert_shows("switch list\r", "\nlan         0          0  9000      0\n");
	assert_shows("switch set lan rule='deny ether=arp' rule=\"allow ether=arp\"\r",
	             "changed\n");
	assert_shows("switch rules lan del 1\r", "lan: rule 1 is taken away");
	assert_shows("switch add lan\r", "error: switch: switch lan is defined already");
	assert_shows("switch add none\r", "a new switch needs a name");
	assert_shows("switch set lan mtu=10\r", "error: switch, column 16: mtu: '10' is not good");
	assert_shows("switch set lan uplink=e1000-0 uplink=e1000-1,vlan=trunk\r",
	             "switch lan is changed; this machine has no NIC e1000-0\n");
	assert_shows("switch list lann\r",
	             "error: switch: there is no switch 'lann'; 'switch list' shows them\n");
	assert_shows("switch port lann\r", "there is no switch 'lann'");
	assert_shows("switch rules lann\r", "there is no switch 'lann'");
	assert_shows("switch set lann mtu=1500\r", "there is no switch 'lann'");
	assert_shows("switch set lan uplink=short-0\r",
	             "error: switch: short-0 cannot take packets of 9000 bytes; "
	             "mtu is at most 1500 with it");
	assert_shows("switch rules lan add deny in proto=tcp dport=22\r", "lan: rule 2 is added");
	assert_shows("switch rules lan add deny in  proto=tpc\r",
	             "error: switch, column 31: 'proto=tpc' is not good; meant is tcp, udp");
	assert_shows("switch rules lan add\r", "a rule begins with allow or deny");
	assert_shows("switch rules lan insert 1 deny vlan=7\r", "lan: rule 1 is added");
	assert_shows("switch rules lan insert 5 deny\r", "'5' is not the number of a rule");
	assert_shows("switch rules lan\r",
	             "lan      3       0      0  deny in proto=tcp dport=22\n");
	assert_shows("switch rules lan del 2\r", "lan: rule 2 is taken away");
	assert_shows("switch rules lan del 3\r", "'3' is not the number of a rule");
	assert_shows("switch rules lan clear\r", "count from 0");
	assert_shows("switch rules lan drop 1\r", "column 18: meant is add RULE");
	assert_shows("switch list -v --json\r", "\"policy\": \"deny\"");
	assert_shows("show config\r",
	             "[switch lan]\nuplink = e1000-0\nuplink = \"e1000-1, vlan=trunk\"\n"
	             "mtu = 9000\npolicy = deny\nrule = \"deny vlan=7\"\n"
	             "rule = \"deny in proto=tcp dport=22\"\n");
	/* Pasted; and the same name again changes it. */
	assert_shows("[switch lan]\rmtu = 2000\r\r", "errors  0");
	assert_shows("switch list\r", "\nlan         0          0  2000      0\n");
	assert_shows("switch del lan\r", "switch lan is forgotten");
	assert_shows("switch del lan\r", "there is no switch 'lan'");
}

static void document_names_every_verb(void **state)
{
	FILE *file = fopen("docs/shell.md", "r");
	static char text[65536];
	size_t i;

	(void)state;
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (i = 0; i < verb_count; i++) {
		char usage[160];
		char part[180];
		char *bar;

		verb_usage(&verbs[i], usage, sizeof(usage) - 4);
		/* A bar within a cell of a table is escaped. */
		for (bar = strchr(usage, '|'); bar != NULL; bar = strchr(bar + 2, '|')) {
			memmove(bar + 1, bar, strlen(bar) + 1);
			*bar = '\\';
		}
		snprintf(part, sizeof(part), "| `%s` |", usage);
		if (strstr(text, part) == NULL) {
			print_error("docs/shell.md has no row: %s\n", part);
			fail();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(lives_a_whole_life, setup),
		cmocka_unit_test_setup(counts_on_over_a_reset, setup),
		cmocka_unit_test_setup(explains_errors, setup),
		cmocka_unit_test_setup(takes_sections, setup),
		cmocka_unit_test_setup(defines_switches, setup),
		cmocka_unit_test_setup(types_ahead_while_a_verb_works, setup),
		cmocka_unit_test_setup(waits_for_the_power_button, setup),
		cmocka_unit_test_setup(ends_mgmt, setup),
		cmocka_unit_test_setup(connects_to_a_console, setup),
		cmocka_unit_test_setup(follows_logs, setup),
		cmocka_unit_test_setup(shows_how_often_and_how_long, setup),
		cmocka_unit_test_setup(shows_load_until_it_is_ended, setup),
		cmocka_unit_test_setup(shows_news_before_a_prompt, setup),
		cmocka_unit_test_setup(completes, setup),
		cmocka_unit_test_setup(every_verb_has_help_and_example, setup),
		cmocka_unit_test_setup(survives_any_words, setup),
		cmocka_unit_test_setup(document_names_every_verb, setup),
	};

	return cmocka_run_group_tests_name("shell", tests, NULL, NULL);
}
