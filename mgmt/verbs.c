// SPDX-License-Identifier: Apache-2.0
/*
 * The table of verbs, and help. The order of the rows is the order of `help`.
 */
#include "mgmt/verb.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/machine.h"

#define GUEST_ARG                                    \
	{                                            \
		"GUEST", VERB_ARG_GUEST, false, NULL \
	}

/* clang-format off */
const struct verb verbs[] = {
	{ "help", "? man", "", { { "VERB", VERB_ARG_VERB, true, NULL } },
	  "list the verbs, or explain one", "help set", verb_help },
	{ "info", "nodeinfo hostinfo", "", { { NULL, VERB_ARG_NONE, false, NULL } },
	  "show the machine: CPUs, memory, features, guests", "info", verb_info },
	{ "list", "ls ps vm-list", "v", { { NULL, VERB_ARG_NONE, false, NULL } },
	  "list the guests; with -v also their configuration and why they ended", "list -v",
	  verb_list },
	{ "create", "define", "", { { "NAME", VERB_ARG_NEW_NAME, true, NULL },
				    { "KEY=VALUE", VERB_ARG_ASSIGNS, true, NULL } },
	  "define a guest; without arguments takes a [guest NAME] section up to an empty line",
	  "create web vcpus=2 memory=512M kernel=vmlinuz cmdline=\"console=ttyS0\"", verb_create },
	{ "delete", "undefine", "", { GUEST_ARG },
	  "forget a guest that does not run", "delete web", verb_delete },
	{ "start", "boot", "", { GUEST_ARG },
	  "start a guest and wait until it runs", "start web", verb_start },
	{ "stop", "shutdown", "w", { GUEST_ARG },
	  "press the guest's power button; with -w wait so long for its end, then kill it",
	  "stop web -w 30", verb_stop },
	{ "kill", "destroy", "", { GUEST_ARG },
	  "end a guest at once and give its resources back", "kill web", verb_kill },
	{ "reboot", "", "w", { GUEST_ARG },
	  "press the power button and start again after; with -w wait so long, then reset it",
	  "reboot web -w 30", verb_reboot },
	{ "reset", "", "", { GUEST_ARG },
	  "start a guest again from its images, at once", "reset web", verb_reset },
	{ "pause", "suspend", "", { GUEST_ARG },
	  "stop the guest's virtual CPUs", "pause web", verb_pause },
	{ "resume", "unpause", "", { GUEST_ARG },
	  "let a paused guest go on", "resume web", verb_resume },
	{ "console", "", "tns", { GUEST_ARG },
	  "connect to the guest's console; -t: serial or virtio; -n: that console-port, by number or "
	  "name; -s: tell the guest the terminal's size; Ctrl-] leaves",
	  "console web -t virtio", verb_console },
	{ "mem-set", "setmem balloon", "", { GUEST_ARG, { "SIZE", VERB_ARG_VALUE, false, NULL } },
	  "ask a guest with a balloon to make do with so much of its memory", "mem-set web 256M",
	  verb_mem_set },
	{ "mem-stat", "dommemstat", "", { GUEST_ARG },
	  "show a guest's memory: what is in its balloon, what the machine has back, what the guest says",
	  "mem-stat web", verb_mem_stat },
	{ "vcpus", "vcpu-list vcpuinfo", "", { { "GUEST", VERB_ARG_GUEST, true, NULL } },
	  "list virtual CPUs with their pCPU and load", "vcpus web", verb_vcpus },
	{ "set", "", "", { GUEST_ARG, { "KEY", VERB_ARG_KEY, false, NULL },
			   { "VALUE", VERB_ARG_VALUE, false, NULL } },
	  "change a key of a guest's configuration; KEY=VALUE does, too", "set web memory 1G",
	  verb_set },
	{ "show", "dumpxml", "", { { "config", VERB_ARG_CHOICE, false, "config" },
				   { "GUEST", VERB_ARG_GUEST, true, NULL } },
	  "print the configuration in the form that load reads", "show config web", verb_show },
	{ "load", "", "", { { "FILE", VERB_ARG_FILE, false, NULL } },
	  "define the guests of a configuration file", "load more.cfg", verb_load },
	{ "save", "", "", { { "config", VERB_ARG_CHOICE, false, "config" } },
	  "write the configuration to the GPT partition bulkhead-config; the next power-on takes it",
	  "save config", verb_save },
	{ "check", "", "", { { "FILE", VERB_ARG_FILE, false, NULL } },
	  "show the errors of a configuration file, change nothing", "check more.cfg",
	  verb_check },
	{ "files", "", "", { { "delete", VERB_ARG_CHOICE, true, "delete" },
			     { "FILE", VERB_ARG_FILE, true, NULL } },
	  "list the files that kernel, ramdisk, load and check can name; delete drops a fetched one",
	  "files", verb_files },
	{ "regs", "", "", { GUEST_ARG, { "VCPU", VERB_ARG_VCPU, true, NULL } },
	  "show the registers of a virtual CPU", "regs web 0", verb_regs },
	{ "log", "dmesg", "f", { { NULL, VERB_ARG_NONE, false, NULL } },
	  "show the kernel's log; with -f also what comes, until Ctrl-C", "log -f", verb_log },
	{ "events", "event", "f", { { NULL, VERB_ARG_NONE, false, NULL } },
	  "show what happened to guests; with -f also what comes, until Ctrl-C", "events -f",
	  verb_events },
	{ "top", "xentop esxtop", "w", { { NULL, VERB_ARG_NONE, false, NULL } },
	  "show all guests' load, again every 2 seconds (-w: so many) until Ctrl-C; with --json once",
	  "top -w 5", verb_top },
	{ "exits", "", "hw", { GUEST_ARG },
	  "count a guest's exits by reason and virtual CPU; with -w those of the next SECONDS, "
	  "with --histogram how long they took",
	  "exits web -w 5", verb_exits },
	{ "latency", "", "", { GUEST_ARG },
	  "show how long exits took, wakes from HLT, and requests of its disks, in nanoseconds",
	  "latency web", verb_latency },
	{ "stats", "dominfo domstats", "", { { "GUEST", VERB_ARG_GUEST, true, NULL } },
	  "show all figures of a guest, or of the machine: pCPUs, guests' time, switches",
	  "stats web --json", verb_stats },
	{ "trace", "xentrace perf", "s",
	  { { "start|stop|show|save|drop", VERB_ARG_CHOICE, true,
	      "start stop show save drop" },
	    { "KINDS|COUNT", VERB_ARG_VALUE, true,
	      "all exits injections scheduling signals calls interrupts" } },
	  "trace what the kernel does (start), stop, show the last COUNT (20) records, save all as "
	  "text for scripts/trace2json, or drop it; alone: what there is",
	  "trace start exits,injections --size 4M", verb_trace },
	{ "devices", "lspci", "", { { "GUEST", VERB_ARG_GUEST, true, NULL } },
	  "list the machine's PCI functions with their drivers, or a guest's virtio devices",
	  "devices", verb_devices },
	{ "disk", "", "", { { "list|add|del", VERB_ARG_CHOICE, false, "list add del" },
			    { "GUEST", VERB_ARG_GUEST, true, NULL },
			    { "SOURCE|NUMBER", VERB_ARG_VALUE, true, NULL } },
	  "list the guests' disks, give a guest one more (also while it runs), or take one away",
	  "disk add web ram:64M,serial=scratch", verb_disk },
	{ "net", "", "", { { "list|add|del|stat", VERB_ARG_CHOICE, false, "list add del stat" },
			   { "GUEST", VERB_ARG_GUEST, true, NULL },
			   { "SWITCH|NUMBER", VERB_ARG_VALUE, true, NULL } },
	  "list the guests' networks, add or take away one; stat: the machine's own port and NICs",
	  "net add web lan,vlan=7", verb_net },
	{ "vsock", "", "", { { "list", VERB_ARG_CHOICE, false, "list" },
			     { "GUEST", VERB_ARG_GUEST, true, NULL } },
	  "list the guests' sockets to mgmt and to each other, with what they count", "vsock list",
	  verb_vsock },
	{ "switch", "vswitch", "v",
	  { { "list|add|set|del|port|rules", VERB_ARG_CHOICE, false, "list add set del port rules" },
	    { "SWITCH", VERB_ARG_SWITCH, true, NULL },
	    { "KEY=VALUE", VERB_ARG_ASSIGNS, true, "switch" } },
	  "list the virtual switches (-v: with their settings), define, change or forget one, list ports with "
	  "what they count; rules SWITCH [add RULE|insert NUMBER RULE|del NUMBER|clear]",
	  "switch rules lan add deny in proto=tcp dport=22", verb_switch },
	{ "fetch", "wget curl", "", { { "URL|stop", VERB_ARG_VALUE, false, NULL },
				      { "NAME", VERB_ARG_VALUE, true, NULL },
				      { "sha256=DIGEST", VERB_ARG_VALUE, true, NULL } },
	  "bring a file in by http or tftp and keep it under a name, for kernel, ramdisk and load",
	  "fetch http://10.0.2.2/vmlinuz linux", verb_fetch },
	{ "ping", "", "", { { "HOST", VERB_ARG_VALUE, false, NULL },
			    { "COUNT", VERB_ARG_VALUE, true, NULL } },
	  "ask a host for an answer, COUNT times (4), a second apart", "ping 10.0.2.2", verb_ping },
	{ "iperf", "", "", { { "start|stop", VERB_ARG_CHOICE, true, "start stop" } },
	  "let clients of iperf 2 send to TCP port 5001 of this machine, or not; alone: what they do",
	  "iperf start", verb_iperf },
	/* crash-mgmt and hang-mgmt are for tests: completed, not shown. */
	{ "host", "", "w", { { "reboot|poweroff|restart-mgmt", VERB_ARG_CHOICE, false,
				      "reboot poweroff restart-mgmt crash-mgmt hang-mgmt" },
			      { "MICROSECONDS", VERB_ARG_VALUE, true, NULL } },
	  "reboot or power off the machine (-w: ask the guests first, wait so long), "
	  "or renew mgmt alone (after MICROSECONDS)",
	  "host poweroff -w 20", verb_host },
	{ "version", "", "", { { NULL, VERB_ARG_NONE, false, NULL } },
	  "show the version", "version", verb_version },
};
/* clang-format on */

const size_t verb_count = sizeof(verbs) / sizeof(verbs[0]);

static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list != '\0') {
		size_t part = strcspn(list, " ");

		if (part == length && memcmp(list, word, length) == 0) {
			return true;
		}
		list += part;
		list += strspn(list, " ");
	}
	return false;
}

const struct verb *verb_find(const char *name)
{
	size_t i;

	for (i = 0; i < verb_count; i++) {
		if (strcmp(verbs[i].name, name) == 0 || list_has(verbs[i].aliases, name)) {
			return &verbs[i];
		}
	}
	return NULL;
}

static size_t append(char *out, size_t size, size_t used, const char *text)
{
	int length = used < size ? snprintf(out + used, size - used, "%s", text) : 0;

	return used + (size_t)length;
}

void verb_usage(const struct verb *verb, char *out, size_t size)
{
	size_t used = append(out, size, 0, verb->name);
	size_t i;

	for (i = 0; i < VERB_ARGS_MAX && verb->args[i].kind != VERB_ARG_NONE; i++) {
		const struct verb_arg *arg = &verb->args[i];

		used = append(out, size, used, arg->is_optional ? " [" : " ");
		used = append(out, size, used, arg->name);
		used = append(out, size, used, arg->kind == VERB_ARG_ASSIGNS ? " ..." : "");
		used = append(out, size, used, arg->is_optional ? "]" : "");
	}
	for (i = 0; verb->options[i] != '\0'; i++) {
		used = append(out, size, used,
		              verb->options[i] == 'w'   ? " [-w SECONDS]"
		              : verb->options[i] == 'f' ? " [-f]"
		              : verb->options[i] == 'h' ? " [--histogram]"
		              : verb->options[i] == 't' ? " [-t serial|virtio]"
		              : verb->options[i] == 'n' ? " [-n PORT]"
		              : verb->options[i] == 's'
		                      ? (verb->run == verb_trace ? " [--size SIZE]"
		                                                 : " [-s COLUMNSxROWS]")
		                      : " [-v]");
	}
}

static void help_keys(enum config_section section, struct result *result)
{
	size_t i;

	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section != section || (key->flags & CONFIG_KEY_HIDDEN) != 0) {
			continue;
		}
		result_raw_format(result, "  %-12s%c %s\n", key->name,
		                  (key->flags & CONFIG_KEY_LIVE) != 0 ? '*' : ' ', key->help);
		result_raw_format(result, "%16s%s%s%s\n", "", key->meant,
		                  key->default_text[0] != '\0' ? "; default " : "",
		                  key->default_text);
	}
}

static void help_one(const struct verb *verb, struct result *result)
{
	char usage[160];

	verb_usage(verb, usage, sizeof(usage));
	result_raw_format(result, "%s [--json]\n  %s\n", usage, verb->help);
	if (verb->aliases[0] != '\0') {
		result_raw_format(result, "  also: %s\n", verb->aliases);
	}
	result_raw_format(result, "  example: %s\n", verb->example);
	if (strcmp(verb->name, "set") == 0 || strcmp(verb->name, "create") == 0) {
		result_raw(result, "\nKeys of a guest (those marked * act on a running guest at "
		                   "once):\n");
		help_keys(CONFIG_SECTION_GUEST, result);
	} else if (strcmp(verb->name, "switch") == 0) {
		result_raw(result, "\nKeys of a switch:\n");
		help_keys(CONFIG_SECTION_SWITCH, result);
	}
}

void verb_help(struct verb_call *call, struct result *result)
{
	const struct verb *verb = call->word_count != 0 ? verb_find(call->word[0].text) : NULL;
	size_t i;

	if (verb != NULL) {
		help_one(verb, result);
		return;
	}
	for (i = 0; i < verb_count; i++) {
		result_raw_format(result, "%-8s  %s\n", verbs[i].name, verbs[i].help);
	}
	result_raw(result,
	           "\nhelp VERB shows its arguments. TAB completes. --json after any verb.\n");
}

void verb_version(struct verb_call *call, struct result *result)
{
	static const struct result_column columns[] = {
		{ "version", "version", RESULT_TEXT },
		{ "kernel ABI", "abi_version", RESULT_COUNT },
	};
	const struct bh_info *info = machine_kernel_info();
	char version[sizeof(info->version)];

	(void)call;
	memcpy(version, info->version, sizeof(version));
	version[sizeof(version) - 1] = '\0';
	result_begin(result, "version", RESULT_RECORD, columns, 2);
	result_text(result, version);
	result_value(result, info->abi_version);
}
