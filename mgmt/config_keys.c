// SPDX-License-Identifier: Apache-2.0
/*
 * The table of configuration keys, and finding a key by name.
 *
 * A row here is all that a key needs to be parsed, printed, explained by `help set`, completed by
 * TAB and checked against docs/configuration.md. The order of the rows is the order of printing.
 */
#include "mgmt/config.h"

#include <string.h>

#define HOST(field)   CONFIG_SECTION_HOST, offsetof(struct config_host, field)
#define GUEST(field)  CONFIG_SECTION_GUEST, offsetof(struct config_guest, field)
#define SWITCH(field) CONFIG_SECTION_SWITCH, offsetof(struct config_switch, field)
#define ROW(key_name, alias_list, where, type_, flags_, min_, max_, default_, meant_, help_) \
	ROW_(key_name, alias_list, where, type_, flags_, min_, max_, default_, meant_, help_)
#define ROW_(key_name, alias_list, section_, offset_, type_, flags_, min_, max_, default_, meant_, \
             help_)                                                                                \
	{                                                                                          \
		.name = (key_name), .aliases = (alias_list), .section = section_, .type = (type_), \
		.flags = (flags_), .offset = offset_, .min = (min_), .max = (max_),                \
		.default_text = (default_), .meant = (meant_), .help = (help_)                     \
	}

#define ACTIONS_MEANT "destroy, restart or preserve"
#define FLAG_MEANT    "yes or no"

/* clang-format off */
const struct config_key config_keys[] = {
	ROW("name", "hostname", HOST(name), CONFIG_TYPE_NAME, CONFIG_KEY_SHOWN,
	    1, CONFIG_NAME_SIZE - 1, "bulkhead",
	    "a name of a-z, 0-9, _ and -, at most 31 characters",
	    "the machine's name, as info shows it"),
	ROW("autostart-delay", "autostart_delay", HOST(autostart_delay_s), CONFIG_TYPE_COUNT, 0,
	    0, 600, "0",
	    "a number of seconds from 0 to 600",
	    "seconds between the starts of two autostart guests"),
	ROW("switch", "", HOST(net_switch), CONFIG_TYPE_NAME, 0, 1, CONFIG_NAME_SIZE - 1, "none",
	    "the name of a switch, or none",
	    "switch that the machine's own network port and its first NIC are on"),
	ROW("address", "ip", HOST(net_address), CONFIG_TYPE_ADDRESS, 0, 0, 0, "dhcp",
	    "dhcp, none, or an address with the bits of its network, such as 10.0.2.5/24",
	    "the machine's own IPv4 address"),
	ROW("gateway", "", HOST(net_gateway), CONFIG_TYPE_IP, 0, 0, 0, "",
	    "an IPv4 address, or none",
	    "router to other networks, where address is not dhcp"),
	ROW("dns", "nameserver", HOST(net_dns), CONFIG_TYPE_IP, 0, 0, 0, "",
	    "an IPv4 address, or none",
	    "server that is asked for names, unless DHCP names one"),
	ROW("uplink", "", HOST(uplinks), CONFIG_TYPE_TEXTS, 0, 3, CONFIG_RAMDISK_SIZE - 1, "",
	    "a NIC and a switch, such as e1000-1 lan2 (the verb devices lists the NICs)",
	    "put a NIC on a switch; may be given again"),

	ROW("name", "", GUEST(name), CONFIG_TYPE_NAME, CONFIG_KEY_HIDDEN,
	    1, CONFIG_NAME_SIZE - 1, "",
	    "a name of a-z, 0-9, _ and -, at most 31 characters",
	    "the guest's name, where no section gives it"),
	ROW("vcpus", "maxvcpus", GUEST(vcpu_count), CONFIG_TYPE_COUNT, CONFIG_KEY_SHOWN,
	    1, CONFIG_VCPUS_MAX, "1",
	    "a number from 1 to 64",
	    "number of virtual CPUs"),
	ROW("cpus", "", GUEST(cpus), CONFIG_TYPE_CPUS, CONFIG_KEY_SHOWN,
	    0, CONFIG_CPUS_MAX - 1, "any",
	    "any, or pCPU numbers such as 2-3 or 0,2 (then the word shared, "
	    "if others may use them)",
	    "pCPUs that the virtual CPUs run on"),
	ROW("memory", "maxmem", GUEST(memory_bytes), CONFIG_TYPE_SIZE, CONFIG_KEY_SHOWN,
	    1024 * 1024, 1ull << 44, "128M",
	    "a size such as 512M, 2G or 65536K, at least 1M (a bare number counts MiB)",
	    "size of the guest's memory"),
	ROW("kernel", "", GUEST(kernel), CONFIG_TYPE_TEXT, CONFIG_KEY_REQUIRED | CONFIG_KEY_SHOWN,
	    1, CONFIG_PATH_SIZE - 1, "",
	    "the name of a file (the verb files lists them)",
	    "file to boot: Linux bzImage, PVH or multiboot image"),
	ROW("ramdisk", "initrd module", GUEST(ramdisks), CONFIG_TYPE_TEXTS, 0,
	    1, CONFIG_RAMDISK_SIZE - 1, "",
	    "the name of a file, for a multiboot module with its arguments after it",
	    "initial RAM disk, or a multiboot module; may be given again"),
	ROW("cmdline", "extra", GUEST(cmdline), CONFIG_TYPE_TEXT, 0, 0, CONFIG_CMDLINE_SIZE - 1, "",
	    "a text of at most 2047 characters",
	    "the kernel's command line"),
	ROW("autostart", "", GUEST(has_autostart), CONFIG_TYPE_FLAG, CONFIG_KEY_LIVE, 0, 0, "no",
	    FLAG_MEANT,
	    "start the guest when the machine starts"),
	ROW("on-poweroff", "on_poweroff", GUEST(on_poweroff), CONFIG_TYPE_ACTION, CONFIG_KEY_LIVE,
	    0, 0, "destroy", ACTIONS_MEANT,
	    "what to do when the guest powers off"),
	ROW("on-reboot", "on_reboot", GUEST(on_reboot), CONFIG_TYPE_ACTION, CONFIG_KEY_LIVE,
	    0, 0, "restart", ACTIONS_MEANT,
	    "what to do when the guest resets itself"),
	ROW("on-crash", "on_crash", GUEST(on_crash), CONFIG_TYPE_ACTION, CONFIG_KEY_LIVE,
	    0, 0, "destroy", ACTIONS_MEANT,
	    "what to do when the guest or its VMM fails"),
	ROW("weight", "cpu_weight", GUEST(weight), CONFIG_TYPE_COUNT, CONFIG_KEY_LIVE,
	    1, 65535, "256",
	    "a number from 1 to 65535",
	    "share of a pCPU against others that use it"),
	ROW("cap", "", GUEST(cap_percent), CONFIG_TYPE_COUNT, CONFIG_KEY_LIVE,
	    0, 100 * CONFIG_VCPUS_MAX, "0",
	    "a percentage of one pCPU, at most 100 times vcpus; 0 for none",
	    "upper limit of the CPU time that the guest gets"),
	ROW("console", "serial", GUEST(console), CONFIG_TYPE_CONSOLE, 0, 0, 0, "serial",
	    "serial (COM1), virtio (hvc0), both or none",
	    "the guest's consoles, which the verb console shows"),
	ROW("console-port", "channel", GUEST(ports), CONFIG_TYPE_TEXTS, 0, 1, CONFIG_NAME_SIZE - 1, "",
	    "a name of letters, digits, '.', '-' and '_', at most 31 characters",
	    "one more port of virtio-console; may be given again, 3 times at most"),
	ROW("disk", "", GUEST(disks), CONFIG_TYPE_DISKS, 0, 0, 0, "",
	    "SOURCE[, ro][, overlay[=SIZE]][, serial=TEXT], SOURCE being a file, ram:SIZE, a device "
	    "or DEVICE:PARTITION",
	    "a virtio disk; may be given again"),
	ROW("net", "vif", GUEST(nets), CONFIG_TYPE_NETS, 0, 0, 0, "",
	    "SWITCH[, mac=52:42:48:00:00:01][, vlan=1..4094 or trunk][, rate=100M][, pinned]"
	    "[, isolated][, mirror][, queues=1..8][, ip=10.0.0.5]",
	    "a virtio network interface on a switch; may be given again"),
	ROW("vsock", "", GUEST(vsock), CONFIG_TYPE_VSOCK, 0, 0, 0, "none",
	    "CID[, peer=CID or any]..., CID being a number from 3 on; none",
	    "sockets to mgmt (CID 2), and to guests that name each other as peers"),
	ROW("balloon", "", GUEST(has_balloon), CONFIG_TYPE_FLAG, 0, 0, 0, "no",
	    FLAG_MEANT,
	    "give the guest a virtio balloon: mem-set makes it lend memory back to the machine"),
	ROW("balloon-reporting", "", GUEST(has_reports), CONFIG_TYPE_FLAG, 0, 0, 0, "no",
	    FLAG_MEANT,
	    "a balloon whose driver also reports free memory: the machine has it until it is touched"),
	ROW("debug-exit", "debug_exit", GUEST(has_debug_exit), CONFIG_TYPE_FLAG, 0, 0, 0, "no",
	    FLAG_MEANT,
	    "give the guest the debug-exit port 0xF4"),

	ROW("uplink", "", SWITCH(uplinks), CONFIG_TYPE_UPLINKS, 0, 0, 0, "",
	    "a NIC (the verb devices lists them), then [, vlan=1..4094 or trunk]",
	    "put a NIC of the machine on the switch; may be given again"),
	ROW("mtu", "", SWITCH(settings.mtu), CONFIG_TYPE_COUNT, 0,
	    SWITCH_MTU_MIN, SWITCH_MTU_MAX, "1500",
	    "a number of bytes from 1280 to 9000",
	    "largest packet, without the Ethernet header"),
	ROW("vlan", "", SWITCH(settings.vlan), CONFIG_TYPE_COUNT, 0, 0, 4094, "0",
	    "a number from 1 to 4094; 0 for none",
	    "VLAN of guests' ports that name none"),
	ROW("isolated", "", SWITCH(settings.is_isolated), CONFIG_TYPE_FLAG, 0, 0, 0, "no",
	    FLAG_MEANT,
	    "guests' ports do not reach one another"),
	ROW("pinned", "", SWITCH(settings.is_pinned), CONFIG_TYPE_FLAG, 0, 0, 0, "no",
	    FLAG_MEANT,
	    "guests send from their own MAC address only"),
	ROW("mirror", "", SWITCH(settings.mirror), CONFIG_TYPE_TEXT, 0, 0, SWITCH_NAME_SIZE - 1, "",
	    "a port of the switch, such as alpha.1",
	    "port that gets a copy of all frames"),
	ROW("policy", "", SWITCH(settings.is_deny), CONFIG_TYPE_POLICY, 0, 0, 0, "allow",
	    "allow or deny",
	    "what is done with frames of guests that no rule decides on"),
	ROW("rule", "", SWITCH(settings.rules), CONFIG_TYPE_RULES, 0, 0, 0, "",
	    "allow or deny, then in, out, port=, smac=, dmac=, ether=, vlan=, src=, dst=, proto=, sport=, "
	    "dport=, icmp-type=",
	    "let frames of guests through, or not; may be given again, the first that matches decides"),
};
/* clang-format on */

const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);

/* Compares key names; the two spellings on_crash and on-crash are one. */
static bool names_equal(const char *a, const char *b, size_t b_length)
{
	size_t i;

	for (i = 0; i < b_length; i++) {
		char left = a[i] == '_' ? '-' : a[i];
		char right = b[i] == '_' ? '-' : b[i];

		if (left == '\0' || left != right) {
			return false;
		}
	}
	return a[b_length] == '\0';
}

static bool alias_matches(const char *aliases, const char *name)
{
	while (*aliases != '\0') {
		size_t length = strcspn(aliases, " ");

		if (names_equal(name, aliases, length)) {
			return true;
		}
		aliases += length;
		aliases += strspn(aliases, " ");
	}
	return false;
}

const struct config_key *config_key_find(enum config_section section, const char *name)
{
	size_t i;

	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section != section) {
			continue;
		}
		if (names_equal(name, key->name, strlen(key->name)) ||
		    alias_matches(key->aliases, name)) {
			return key;
		}
	}
	return NULL;
}

unsigned int config_edit_distance(const char *a, const char *b)
{
	unsigned int row[33];
	size_t a_length = strlen(a);
	size_t b_length = strlen(b);
	size_t i;
	size_t j;

	if (a_length > 31 || b_length > 31) {
		return 99;
	}
	for (j = 0; j <= b_length; j++) {
		row[j] = (unsigned int)j;
	}
	for (i = 1; i <= a_length; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (j = 1; j <= b_length; j++) {
			unsigned int above = row[j];
			unsigned int best = diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u);

			best = above + 1 < best ? above + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[b_length];
}

const char *config_key_nearest(enum config_section section, const char *typed)
{
	unsigned int best = 4;
	const char *name = NULL;
	size_t i;

	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		unsigned int distance;

		if (key->section != section || (key->flags & CONFIG_KEY_HIDDEN) != 0) {
			continue;
		}
		distance = config_edit_distance(typed, key->name);
		if (distance < best && distance < strlen(key->name)) {
			best = distance;
			name = key->name;
		}
	}
	return name;
}

void config_key_list(enum config_section section, char *out, size_t size)
{
	size_t used = 0;
	size_t i;

	out[0] = '\0';
	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		size_t length = strlen(key->name);

		if (key->section != section || (key->flags & CONFIG_KEY_HIDDEN) != 0 ||
		    used + length + 2 > size) {
			continue;
		}
		if (used != 0) {
			out[used++] = ' ';
		}
		memcpy(out + used, key->name, length + 1);
		used += length;
	}
}
