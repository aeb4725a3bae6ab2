// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration: parser, printer, table, and that docs/configuration.md tells the truth.
 *
 * Run from the repository's root, since two tests read the document.
 */
// sources: mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/switch/address.c mgmt/switch/rule.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/config.h"

static struct config config;

static int setup(void **state)
{
	(void)state;
	config_init(&config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	config_free(&config);
	return 0;
}

static bool parse(const char *text)
{
	config_free(&config);
	config_init(&config);
	return config_parse(&config, text, strlen(text));
}

static void assert_error(uint32_t line, uint32_t column, const char *part)
{
	assert_true(config.errors.count >= 1);
	if (strstr(config.errors.error[0].text, part) == NULL) {
		print_error("error is: %s\n", config.errors.error[0].text);
		fail();
	}
	assert_int_equal(config.errors.error[0].at.line, line);
	assert_int_equal(config.errors.error[0].at.column, column);
}

static void reads_a_whole_section(void **state)
{
	const struct config_guest *guest;

	(void)state;
	assert_true(parse("# boot\n[host]\nname = rack7\nautostart-delay = 3\n\n"
	                  "[guest alpha] ; the first\nvcpus = 2\ncpus = 2-3, 0\nmemory = 512M\n"
	                  "kernel = vmlinuz\nramdisk = a.img\nramdisk = b.img with args # no\n"
	                  "cmdline = \"console=ttyS0 say=\\\"hi\\\"\"\nautostart = yes\n"
	                  "on_crash = restart\nweight=512\ncap = 150\nconsole = serial\n"
	                  "debug-exit = yes\r\n"));
	assert_string_equal(config.host.name, "rack7");
	assert_int_equal(config.host.autostart_delay_s, 3);
	assert_int_equal(config.guest_count, 1);
	guest = &config.guests[0];
	assert_string_equal(guest->name, "alpha");
	assert_int_equal(guest->vcpu_count, 2);
	assert_false(guest->cpus.is_any);
	assert_int_equal(guest->cpus.bits[0], 0xd);
	assert_int_equal(guest->memory_bytes, 512u << 20);
	assert_string_equal(guest->kernel, "vmlinuz");
	assert_int_equal(guest->ramdisks.count, 2);
	assert_string_equal(guest->ramdisks.text[1], "b.img with args");
	assert_string_equal(guest->cmdline, "console=ttyS0 say=\"hi\"");
	assert_true(guest->has_autostart);
	assert_int_equal(guest->on_crash, CONFIG_ACTION_RESTART);
	assert_int_equal(guest->on_reboot, CONFIG_ACTION_RESTART);
	assert_int_equal(guest->on_poweroff, CONFIG_ACTION_DESTROY);
	assert_int_equal(guest->weight, 512);
	assert_int_equal(guest->cap_percent, 150);
	assert_true(guest->has_debug_exit);
}

static void gives_defaults(void **state)
{
	(void)state;
	assert_true(parse("[guest a]\nkernel=k\n"));
	assert_int_equal(config.guests[0].vcpu_count, 1);
	assert_true(config.guests[0].cpus.is_any);
	assert_int_equal(config.guests[0].memory_bytes, 128u << 20);
	assert_int_equal(config.guests[0].weight, 256);
	assert_int_equal(config.guests[0].console, CONFIG_CONSOLE_SERIAL);
	assert_string_equal(config.host.name, "bulkhead");
}

static void reads_an_xl_file(void **state)
{
	(void)state;
	assert_true(parse("name = \"web\"\nkernel = '/boot/vmlinuz'\nextra = 'root=/dev/ram0'\n"
	                  "memory = 512\nmaxmem = 512\nvcpus = 2\nmaxvcpus = 2\ncpus = \"all\"\n"
	                  "cpu_weight = 100\non_reboot = \"destroy\"\nserial = \"pty\"\n"));
	assert_string_equal(config.guests[0].name, "web");
	assert_int_equal(config.guests[0].memory_bytes, 512u << 20);
	assert_string_equal(config.guests[0].cmdline, "root=/dev/ram0");
	assert_int_equal(config.guests[0].weight, 100);
	assert_int_equal(config.guests[0].on_reboot, CONFIG_ACTION_DESTROY);
}

static void names_the_place_and_the_nearest_key(void **state)
{
	(void)state;
	assert_false(parse("[guest a]\nkernel=k\n  vcpu = 2\n"));
	assert_error(3, 3, "unknown key 'vcpu'; did you mean 'vcpus'?");
	assert_non_null(strstr(config.errors.error[0].text, "debug-exit"));
	assert_int_equal(config.guest_count, 0);
	assert_false(parse("[guest a]\nkernel=k\nvcpus = two\n"));
	assert_error(3, 9, "vcpus: 'two' is not good; meant is a number from 1 to 64");
	assert_false(parse("[guest a]\nvcpus = 2\n"));
	assert_error(1, 1, "needs the key kernel");
	assert_false(parse("[guest a]\nkernel=k\ncap=101\n"));
	assert_error(1, 1, "at most 100");
	assert_false(parse("[guest a]\nkernel=k\nkernel=l\n"));
	assert_error(3, 1, "given twice, first on line 2");
	assert_false(parse("[gest a]\nvcpus=2\n"));
	assert_error(1, 2, "unknown section");
	assert_int_equal(config.errors.count, 1);
	assert_false(parse("[guest A b]\n"));
	assert_error(1, 8, "a-z");
	assert_false(parse("[guest a]\nkernel\n"));
	assert_error(2, 7, "'=' is missing");
	assert_false(parse("[guest a]\nkernel=k\ncmdline=\"abc\n"));
	assert_error(3, 9, "no closing quote");
	assert_false(parse("[guest a]\nkernel=k\n[guest a]\nkernel=k\n"));
	assert_error(3, 1, "already a guest 'a'");
	assert_int_equal(config.guest_count, 1);
	assert_false(parse("[host]\nname = A!\n"));
	assert_error(2, 8, "name");
	assert_false(parse("[guest a]\nname=b\nkernel=k\n"));
	assert_error(2, 6, "otherwise");
	assert_false(parse("kernel=k\n"));
	assert_error(1, 1, "[guest NAME]");
}

static void keeps_what_is_good(void **state)
{
	(void)state;
	assert_false(parse("[guest a]\nkernel=k\n[guest b]\nkernel=k\nmemroy=1G\nfoo bar\n"
	                   "[nonsense]\nx=1\n[guest c]\nkernel=k\n"));
	assert_int_equal(config.errors.count, 3);
	assert_int_equal(config.guest_count, 2);
	assert_string_equal(config.guests[0].name, "a");
	assert_string_equal(config.guests[1].name, "c");
}

static void refuses_bad_values(void **state)
{
	static const char *const bad[] = {
		"vcpus=0",
		"vcpus=65",
		"vcpus=-1",
		"vcpus=99999999999999999999",
		"vcpus=2x",
		"vcpus=",
		"memory=0",
		"memory=1023K",
		"memory=1G1",
		"memory=1X",
		"memory=17592186044417K",
		"memory=99999999999999T",
		"memory=1025K",
		"cpus=3-2",
		"cpus=256",
		"cpus=1,",
		"cpus=,1",
		"cpus=1-",
		"cpus=1--2",
		"cpus=one",
		"cpus=1 share",
		"weight=0",
		"weight=65536",
		"autostart=maybe",
		"autostart=serial",
		"on-crash=ignore",
		"kernel=",
		"ramdisk=",
		"cap=1000",
		"console=2",
		"debug-exit=si",
		"cmdline=\"a\x01\"",
	};
	char text[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[guest a]\n%s\n%s\n", bad[i],
		         strncmp(bad[i], "kernel", 6) == 0 ? "" : "kernel=k");
		if (parse(text)) {
			print_error("accepted: %s\n", bad[i]);
			fail();
		}
	}
}

static void bounds_repeats_and_lengths(void **state)
{
	char *text = malloc(200000);
	size_t used;
	int i;

	(void)state;
	used = (size_t)sprintf(text, "[guest a]\nkernel=k\n");
	for (i = 0; i < 16; i++) {
		used += (size_t)sprintf(text + used, "ramdisk=r%d\n", i);
	}
	assert_false(parse(text));
	assert_error(18, 9, "more than 15 times");
	used = (size_t)sprintf(text, "[guest a]\nkernel=k\ncmdline=");
	memset(text + used, 'x', 2047);
	text[used + 2047] = '\0';
	assert_true(parse(text));
	memset(text + used, 'x', 2048);
	text[used + 2048] = '\0';
	assert_false(parse(text));
	for (used = 0, i = 0; i < 1100; i++) {
		used += (size_t)sprintf(text + used, "[guest g%d]\nkernel=k\n", i);
	}
	assert_false(parse(text));
	assert_int_equal(config.guest_count, CONFIG_GUESTS_MAX);
	assert_int_equal(config.errors.count, 1100 - CONFIG_GUESTS_MAX);
	free(text);
	assert_false(config_parse(&config, "a\0b", 3));
}

struct text {
	char bytes[16384];
	size_t used;
};

static void append(void *context, const char *text)
{
	struct text *out = context;

	assert_true(out->used + strlen(text) < sizeof(out->bytes));
	memcpy(out->bytes + out->used, text, strlen(text) + 1);
	out->used += strlen(text);
}

static void prints_what_it_reads(void **state)
{
	static struct config_guest first;
	static struct text out;
	static struct text again;

	(void)state;
	assert_true(
		parse("[host]\nname=x1\n[guest a]\nkernel=\"my kernel\"\nramdisk=\"r;1\"\n"
	              "ramdisk=two\ncmdline='a \"b\" \\c # d'\nmemory=1536M\ncpus=0,2-5,64 shared\n"
	              "vcpus=8\nautostart=on\non-crash=preserve\nweight=1\ncap=800\nconsole=no\n"
	              "debug-exit=1\n"));
	first = config.guests[0];
	out.used = 0;
	config_print_host(&config.host, append, &out);
	config_print_guest(&config.guests[0], append, &out);
	assert_non_null(strstr(out.bytes, "cpus = \"0,2-5,64 shared\"\n"));
	assert_non_null(strstr(out.bytes, "memory = 1536M\n"));
	assert_true(parse(out.bytes));
	assert_memory_equal(&first, &config.guests[0], sizeof(first));
	again.used = 0;
	config_print_host(&config.host, append, &again);
	config_print_guest(&config.guests[0], append, &again);
	assert_string_equal(out.bytes, again.bytes);
}

static void sets_single_keys(void **state)
{
	struct config_position at = { .line = 1, .column = 5 };
	static struct config_guest guest;

	(void)state;
	memset(&guest, 0, sizeof(guest));
	config_set_defaults(CONFIG_SECTION_GUEST, &guest);
	memcpy(guest.name, "a", 2);
	assert_true(config_guest_set(&guest, "on_reboot", "preserve", at, &config.errors));
	assert_int_equal(guest.on_reboot, CONFIG_ACTION_PRESERVE);
	assert_false(config_guest_set(&guest, "name", "b", at, &config.errors));
	assert_true(config_guest_set(&guest, "name", "a", at, &config.errors));
	assert_false(config_guest_set(&guest, "colour", "b", at, &config.errors));
	assert_non_null(strstr(config.errors.error[1].text, "the keys are: vcpus"));
	assert_int_equal(config.errors.count, 2);
}

static void measures_edits(void **state)
{
	(void)state;
	assert_int_equal(config_edit_distance("", "abc"), 3);
	assert_int_equal(config_edit_distance("kernel", "kernle"), 2);
	assert_int_equal(config_edit_distance("same", "same"), 0);
	assert_string_equal(config_key_nearest(CONFIG_SECTION_GUEST, "memmory"), "memory");
	assert_null(config_key_nearest(CONFIG_SECTION_GUEST, "zzzzzzzzz"));
}

static struct {
	char bytes[4096];
	size_t used;
} printed;

static void print_part(void *context, const char *text)
{
	size_t length = strlen(text);

	(void)context;
	assert_true(printed.used + length < sizeof(printed.bytes));
	memcpy(printed.bytes + printed.used, text, length + 1);
	printed.used += length;
}

static void reads_switches(void **state)
{
	static const char text[] = "[switch lan]\n"
				   "uplink = \"e1000-0, vlan=trunk\"\n"
				   "uplink = \"virtio-net0, vlan=7\"\n"
				   "mtu = 9000\n"
				   "vlan = 9\n"
				   "isolated = yes\n"
				   "pinned = yes\n"
				   "mirror = alpha.1\n"
				   "policy = deny\n"
				   "rule = \"deny in proto=tcp dport=22\"\n"
				   "rule = \"allow ether=arp\"\n";
	const struct config_switch *lan;

	(void)state;
	assert_true(parse(text));
	assert_int_equal(config.switch_count, 1);
	lan = &config.switches[0];
	assert_int_equal(lan->settings.mtu, 9000);
	assert_int_equal(lan->settings.rules_count, 2);
	assert_int_equal(lan->uplinks[1].vlan, 7);
	printed.used = 0;
	config_print_switch(lan, print_part, NULL);
	assert_string_equal(printed.bytes, text);
	assert_true(parse("[switch a]\n[switch b]\nrule = deny in dport=1 # no\n"));
	assert_int_equal(config.switch_count, 2);
	assert_int_equal(config.switches[0].settings.mtu, 1500);
	assert_false(parse("[switch a]\nrule = deny in dprot=22\nmtu = 9001\n"));
	assert_error(2, 16, "rule: 'dprot=22' is not good");
	assert_int_equal(config.errors.error[1].at.line, 3);
	assert_int_equal(config.switch_count, 0);
	assert_false(parse("[switch a]\nrule = \"deny im\"\n"));
	assert_error(2, 14, "'im' is not good");
	assert_false(parse("[switch a]\nuplink = e1000-0, vlan=5000\n"));
	assert_error(2, 10, "a NIC");
	assert_false(parse("[switch none]\n"));
	assert_error(1, 9, "a switch's name is");
	assert_false(parse("[switch a]\nmtu=2000\n[switch a]\n"));
	assert_error(3, 1, "there is already a switch 'a'");
	assert_false(parse("[switch a]\nrules = deny\n"));
	assert_error(2, 1, "did you mean 'rule'?");
}

static void takes_64_rules(void **state)
{
	char text[4000] = "[switch a]\n";
	uint32_t i;

	(void)state;
	for (i = 0; i < SWITCH_RULES_MAX; i++) {
		snprintf(text + strlen(text), 40, "rule = deny vlan=%u\n", (unsigned int)i);
	}
	assert_true(parse(text));
	assert_int_equal(config.switches[0].settings.rules[63].vlan, 63);
	strcat(text, "rule = allow\n");
	assert_false(parse(text));
	assert_error(66, 8, "rule is given more than 64 times");
}

static void pins_addresses(void **state)
{
	struct config_net net;
	char text[400];

	(void)state;
	assert_true(config_net_parse("lan, ip=10.0.0.5, vlan=7,ip=fd00::/64", &net));
	assert_int_equal(net.ips_count, 2);
	config_net_print(&net, text, sizeof(text));
	assert_string_equal(text, "lan, vlan=7, ip=10.0.0.5, ip=fd00::/64");
	assert_false(config_net_parse("lan, ip=10.0.0", &net));
	assert_false(config_net_parse("lan, ip=::1, ip=::2, ip=::3, ip=::4, ip=::5", &net));
}

static char *read_document(void)
{
	FILE *file = fopen("docs/configuration.md", "r");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void document_names_every_key(void **state)
{
	char *text = read_document();
	size_t i;

	(void)state;
	for (i = 0; i < config_key_count; i++) {
		char row[64];

		if ((config_keys[i].flags & CONFIG_KEY_HIDDEN) != 0) {
			continue;
		}
		snprintf(row, sizeof(row), "| `%s` |", config_keys[i].name);
		if (strstr(text, row) == NULL) {
			print_error("docs/configuration.md has no row for %s\n",
			            config_keys[i].name);
			fail();
		}
		if (strstr(text, config_keys[i].help) == NULL) {
			print_error("docs/configuration.md lacks: %s\n", config_keys[i].help);
			fail();
		}
	}
	free(text);
}

static void document_examples_parse(void **state)
{
	char *text = read_document();
	char *at = text;
	unsigned int examples = 0;

	(void)state;
	while ((at = strstr(at, "```ini\n")) != NULL) {
		char *end = strstr(at + 7, "```");

		assert_non_null(end);
		*end = '\0';
		if (!parse(at + 7)) {
			print_error("%u: %s\n", (unsigned int)config.errors.error[0].at.line,
			            config.errors.error[0].text);
			fail();
		}
		examples++;
		at = end + 3;
	}
	assert_true(examples >= 2);
	free(text);
}

static void reads_network_addresses(void **state)
{
	static const char *const bad[] = { "",
		                           "10.0.2",
		                           "10.0.2.5",
		                           "10.0.2.5/",
		                           "10.0.2.5/31",
		                           "10.0.2.5/7",
		                           "10.0.2.0/24",
		                           "10.0.2.255/24",
		                           "10.0.2.256/24",
		                           "010.0.2.5/24",
		                           "127.0.0.1/8",
		                           "224.0.0.5/24",
		                           "10.0.2.5/24x",
		                           "DHCP",
		                           "10.0.2.5/024" };
	struct config_address address;
	char text[CONFIG_IP_SIZE + 8];
	uint32_t i;

	(void)state;
	assert_true(config_address_read("10.0.2.5/24", &address));
	assert_int_equal(address.ipv4, 0x0a000205);
	assert_int_equal(address.prefix, 24);
	config_address_print(&address, text, sizeof(text));
	assert_string_equal(text, "10.0.2.5/24");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config_address other = address;

		if (config_address_read(bad[i], &other)) {
			fail_msg("'%s' is taken for an address", bad[i]);
		}
		assert_memory_equal(&other, &address, sizeof(other));
	}
	assert_true(config_address_read("none", &address));
	assert_int_equal(address.kind, CONFIG_ADDRESS_NONE);
	assert_true(config_ip_read("192.168.1.254", text));
	assert_string_equal(text, "192.168.1.254");
	assert_false(config_ip_read("0.0.0.0", text));
	assert_false(config_ip_read("1.2.3.4.5", text));
	assert_string_equal(text, "192.168.1.254");
	assert_true(config_ip_read("none", text));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_whole_section),
		cmocka_unit_test(gives_defaults),
		cmocka_unit_test(reads_an_xl_file),
		cmocka_unit_test(names_the_place_and_the_nearest_key),
		cmocka_unit_test(keeps_what_is_good),
		cmocka_unit_test(refuses_bad_values),
		cmocka_unit_test(bounds_repeats_and_lengths),
		cmocka_unit_test(reads_network_addresses),
		cmocka_unit_test(prints_what_it_reads),
		cmocka_unit_test(sets_single_keys),
		cmocka_unit_test(measures_edits),
		cmocka_unit_test(document_names_every_key),
		cmocka_unit_test(reads_switches),
		cmocka_unit_test(takes_64_rules),
		cmocka_unit_test(pins_addresses),
		cmocka_unit_test(document_examples_parse),
	};

	return cmocka_run_group_tests_name("config", tests, setup, teardown);
}
