// SPDX-License-Identifier: Apache-2.0
/*
 * The values of configuration keys: text to typed field and back.
 *
 * Pure. A parser here either accepts the whole text or leaves the field as it was and says why. The
 * printers write the form that the parsers read, so that a configuration survives print and load.
 */
#include "mgmt/config.h"

#include <stdio.h>
#include <string.h>

static const char *const action_names[] = {
	[CONFIG_ACTION_DESTROY] = "destroy",
	[CONFIG_ACTION_RESTART] = "restart",
	[CONFIG_ACTION_PRESERVE] = "preserve",
};

static void *field(const struct config_key *key, void *record)
{
	return (unsigned char *)record + key->offset;
}

static const void *field_const(const struct config_key *key, const void *record)
{
	return (const unsigned char *)record + key->offset;
}

/* Reads decimal digits; NULL if there are none or the number does not fit. */
static const char *read_number(const char *text, uint64_t *out)
{
	uint64_t number = 0;

	if (*text < '0' || *text > '9') {
		return NULL;
	}
	for (; *text >= '0' && *text <= '9'; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (number > (UINT64_MAX - digit) / 10) {
			return NULL;
		}
		number = number * 10 + digit;
	}
	*out = number;
	return text;
}

/* Binary exponent of a size's unit; -1 if it is none. The rest of the unit ("iB", "B") is
 * skipped. */
static int read_unit(const char *text)
{
	static const struct {
		char letter;
		int shift;
	} units[] = { { 'k', 10 }, { 'm', 20 }, { 'g', 30 }, { 't', 40 } };
	char letter = (char)(*text | 0x20);
	size_t i;

	if (*text == '\0') {
		return 20;
	}
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].letter == letter) {
			text++;
			break;
		}
	}
	if (i == sizeof(units) / sizeof(units[0])) {
		return -1;
	}
	if (strcmp(text, "") == 0 || strcmp(text, "B") == 0 || strcmp(text, "iB") == 0) {
		return units[i].shift;
	}
	return -1;
}

static bool parse_count(const struct config_key *key, void *record, const char *text)
{
	uint64_t number;
	uint32_t value;
	const char *end = read_number(text, &number);

	if (end != NULL && *end == '%' && strcmp(key->name, "cap") == 0) {
		end++;
	}
	if (end == NULL || *end != '\0' || number < key->min || number > key->max) {
		return false;
	}
	value = (uint32_t)number;
	memcpy(field(key, record), &value, sizeof(value));
	return true;
}

bool config_size_parse(const char *text, uint64_t *bytes)
{
	uint64_t number;
	const char *end = read_number(text, &number);
	int shift;

	if (end == NULL) {
		return false;
	}
	shift = read_unit(end);
	if (shift < 0 || number > (UINT64_MAX >> shift)) {
		return false;
	}
	*bytes = number << shift;
	return true;
}

static bool parse_size(const struct config_key *key, void *record, const char *text)
{
	uint64_t number;

	if (!config_size_parse(text, &number) || number < key->min || number > key->max ||
	    (number & 4095u) != 0) {
		return false;
	}
	memcpy(field(key, record), &number, sizeof(number));
	return true;
}

static bool parse_flag(const struct config_key *key, void *record, const char *text)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {
		{ "yes", true }, { "no", false },  { "1", true },    { "0", false },
		{ "on", true },  { "off", false }, { "true", true }, { "false", false },
	};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].text, text) == 0) {
			*(bool *)field(key, record) = words[i].value;
			return true;
		}
	}
	return false;
}

/* Yes is the serial port; pty and pv are what xl and virsh say. */
static bool parse_console(const struct config_key *key, void *record, const char *text)
{
	static const struct {
		const char *text;
		enum config_console value;
	} words[] = {
		{ "serial", CONFIG_CONSOLE_SERIAL }, { "pty", CONFIG_CONSOLE_SERIAL },
		{ "virtio", CONFIG_CONSOLE_VIRTIO }, { "pv", CONFIG_CONSOLE_VIRTIO },
		{ "both", CONFIG_CONSOLE_BOTH },     { "none", CONFIG_CONSOLE_NONE },
	};
	uint32_t value;
	bool is_wanted;
	struct config_key as_flag = *key;
	size_t i;

	as_flag.offset = 0;
	if (parse_flag(&as_flag, &is_wanted, text)) {
		value = is_wanted ? CONFIG_CONSOLE_SERIAL : CONFIG_CONSOLE_NONE;
		memcpy(field(key, record), &value, sizeof(value));
		return true;
	}
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].text, text) == 0) {
			value = words[i].value;
			memcpy(field(key, record), &value, sizeof(value));
			return true;
		}
	}
	return false;
}

bool config_port_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length < CONFIG_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	               length;
}

static bool parse_action(const struct config_key *key, void *record, const char *text)
{
	uint32_t i;

	for (i = 0; i < sizeof(action_names) / sizeof(action_names[0]); i++) {
		if (strcmp(action_names[i], text) == 0) {
			memcpy(field(key, record), &i, sizeof(i));
			return true;
		}
	}
	return false;
}

static bool parse_cpus(const struct config_key *key, void *record, const char *text)
{
	struct config_cpus cpus = { .is_any = false };

	if (strcmp(text, "any") == 0 || strcmp(text, "all") == 0) {
		cpus.is_any = true;
		memcpy(field(key, record), &cpus, sizeof(cpus));
		return true;
	}
	for (;;) {
		uint64_t first;
		uint64_t last;

		text = read_number(text, &first);
		if (text == NULL) {
			return false;
		}
		last = first;
		if (*text == '-') {
			text = read_number(text + 1, &last);
		}
		if (text == NULL || first > last || last > key->max) {
			return false;
		}
		for (; first <= last; first++) {
			cpus.bits[first / 64] |= 1ull << (first % 64);
		}
		if (strcmp(text, " shared") == 0) {
			cpus.is_shared = true;
			break;
		}
		if (*text == '\0') {
			break;
		}
		if (*text++ != ',') {
			return false;
		}
		text += strspn(text, " ");
	}
	memcpy(field(key, record), &cpus, sizeof(cpus));
	return true;
}

bool config_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length < CONFIG_NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length && name[0] != '-';
}

static bool parse_name(const struct config_key *key, void *record, const char *text)
{
	if (!config_name_is_valid(text)) {
		return false;
	}
	memcpy(field(key, record), text, strlen(text) + 1);
	return true;
}

/* No control characters: the text goes to terminals and into guests. */
static bool text_is_clean(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f) {
			return false;
		}
	}
	return true;
}

static bool parse_text(const struct config_key *key, void *record, const char *text)
{
	size_t length = strlen(text);

	if (length < key->min || length > key->max || !text_is_clean(text)) {
		return false;
	}
	memcpy(field(key, record), text, length + 1);
	return true;
}

static bool parse_texts(const struct config_key *key, void *record, const char *text)
{
	struct config_texts *texts = field(key, record);
	size_t length = strlen(text);

	if (texts->count >= CONFIG_RAMDISKS_MAX || length < key->min || length > key->max ||
	    !text_is_clean(text)) {
		return false;
	}
	memcpy(texts->text[texts->count], text, length + 1);
	texts->count++;
	return true;
}

static bool parse_disks(const struct config_key *key, void *record, const char *text)
{
	struct config_disk *disks = field(key, record);
	uint32_t i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (disks[i].source[0] == '\0') {
			return config_disk_parse(text, &disks[i]);
		}
	}
	return false;
}

static bool parse_nets(const struct config_key *key, void *record, const char *text)
{
	struct config_net *nets = field(key, record);
	uint32_t i;

	for (i = 0; i < CONFIG_NETS_MAX; i++) {
		if (nets[i].switch_name[0] == '\0') {
			return config_net_parse(text, &nets[i]);
		}
	}
	return false;
}

static bool parse_policy(const struct config_key *key, void *record, const char *text)
{
	bool is_deny = strcmp(text, "deny") == 0 || strcmp(text, "drop") == 0;

	if (!is_deny && strcmp(text, "allow") != 0 && strcmp(text, "accept") != 0) {
		return false;
	}
	*(bool *)field(key, record) = is_deny;
	return true;
}

static bool parse_uplinks(const struct config_key *key, void *record, const char *text)
{
	struct config_uplink *uplinks = field(key, record);
	uint32_t i;

	for (i = 0; i < CONFIG_UPLINKS_MAX; i++) {
		if (uplinks[i].nic[0] == '\0') {
			return config_uplink_parse(text, &uplinks[i]);
		}
	}
	return false;
}

static bool parse_rules(void *record, const char *text, char *why, size_t size)
{
	struct switch_settings *settings = &((struct config_switch *)record)->settings;
	struct switch_rule rule;
	size_t offset;

	why[0] = '\0';
	if (settings->rules_count >= SWITCH_RULES_MAX ||
	    !switch_rule_parse(text, &rule, why, size, &offset)) {
		return false;
	}
	settings->rules[settings->rules_count++] = rule;
	return true;
}

static bool parse_any(const struct config_key *key, void *record, const char *text)
{
	switch (key->type) {
	case CONFIG_TYPE_COUNT:
		return parse_count(key, record, text);
	case CONFIG_TYPE_SIZE:
		return parse_size(key, record, text);
	case CONFIG_TYPE_FLAG:
		return parse_flag(key, record, text);
	case CONFIG_TYPE_NAME:
		return parse_name(key, record, text);
	case CONFIG_TYPE_TEXT:
		return parse_text(key, record, text);
	case CONFIG_TYPE_TEXTS:
		return parse_texts(key, record, text);
	case CONFIG_TYPE_CPUS:
		return parse_cpus(key, record, text);
	case CONFIG_TYPE_ACTION:
		return parse_action(key, record, text);
	case CONFIG_TYPE_ADDRESS:
		return config_address_read(text, field(key, record));
	case CONFIG_TYPE_IP:
		return config_ip_read(text, field(key, record));
	case CONFIG_TYPE_DISKS:
		return parse_disks(key, record, text);
	case CONFIG_TYPE_NETS:
		return parse_nets(key, record, text);
	case CONFIG_TYPE_CONSOLE:
		return parse_console(key, record, text);
	case CONFIG_TYPE_VSOCK:
		return config_vsock_parse(text, field(key, record));
	case CONFIG_TYPE_POLICY:
		return parse_policy(key, record, text);
	case CONFIG_TYPE_UPLINKS:
		return parse_uplinks(key, record, text);
	case CONFIG_TYPE_RULES:
		break; /* says itself what is wrong */
	}
	return false;
}

bool config_key_is_list(const struct config_key *key)
{
	return key->type == CONFIG_TYPE_TEXTS || key->type == CONFIG_TYPE_DISKS ||
	       key->type == CONFIG_TYPE_NETS || key->type == CONFIG_TYPE_UPLINKS ||
	       key->type == CONFIG_TYPE_RULES;
}

/* The places of a list that are taken, and of all there are. */
static uint32_t list_used(const struct config_key *key, const void *record, uint32_t *places)
{
	const void *from = field_const(key, record);
	uint32_t used = 0;
	uint32_t i;

	*places = config_value_count(key, record);
	switch (key->type) {
	case CONFIG_TYPE_DISKS:
		for (i = 0; i < CONFIG_DISKS_MAX; i++) {
			used += ((const struct config_disk *)from)[i].source[0] != '\0';
		}
		return used;
	case CONFIG_TYPE_NETS:
		for (i = 0; i < CONFIG_NETS_MAX; i++) {
			used += ((const struct config_net *)from)[i].switch_name[0] != '\0';
		}
		return used;
	case CONFIG_TYPE_UPLINKS:
		for (i = 0; i < CONFIG_UPLINKS_MAX; i++) {
			used += ((const struct config_uplink *)from)[i].nic[0] != '\0';
		}
		return used;
	case CONFIG_TYPE_TEXTS:
		*places = CONFIG_RAMDISKS_MAX;
		return ((const struct config_texts *)from)->count;
	case CONFIG_TYPE_RULES:
		*places = SWITCH_RULES_MAX;
		return ((const struct config_switch *)record)->settings.rules_count;
	case CONFIG_TYPE_COUNT:
	case CONFIG_TYPE_SIZE:
	case CONFIG_TYPE_FLAG:
	case CONFIG_TYPE_NAME:
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_CPUS:
	case CONFIG_TYPE_ACTION:
	case CONFIG_TYPE_ADDRESS:
	case CONFIG_TYPE_IP:
	case CONFIG_TYPE_POLICY:
	case CONFIG_TYPE_VSOCK:
	case CONFIG_TYPE_CONSOLE:
		break;
	}
	*places = 1;
	return 0;
}

bool config_value_parse(const struct config_key *key, void *record, const char *text, char *why,
                        size_t size)
{
	char own[CONFIG_ERROR_SIZE / 2] = "";
	uint32_t places;

	if (parse_any(key, record, text) ||
	    (key->type == CONFIG_TYPE_RULES && parse_rules(record, text, own, sizeof(own)))) {
		return true;
	}
	if (list_used(key, record, &places) >= places) {
		snprintf(why, size, "%s is given more than %u times", key->name,
		         (unsigned int)places);
	} else if (own[0] != '\0') {
		snprintf(why, size, "%s: %s", key->name, own);
	} else if (key->type == CONFIG_TYPE_TEXT || key->type == CONFIG_TYPE_TEXTS) {
		snprintf(why, size, "%s: meant is %s, without control characters", key->name,
		         key->meant);
	} else {
		snprintf(why, size, "%s: '%.40s' is not good; meant is %s", key->name, text,
		         key->meant);
	}
	return false;
}

size_t config_rule_bad_offset(const char *text)
{
	char why[CONFIG_ERROR_SIZE / 2];
	struct switch_rule rule;
	size_t offset = 0;

	return switch_rule_parse(text, &rule, why, sizeof(why), &offset) ? 0 : offset;
}

void config_size_print(uint64_t bytes, char *out, size_t size)
{
	static const struct {
		int shift;
		char letter;
	} units[] = { { 30, 'G' }, { 20, 'M' }, { 10, 'K' } };
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (bytes != 0 && (bytes & ((1ull << units[i].shift) - 1)) == 0) {
			snprintf(out, size, "%llu%c", (unsigned long long)(bytes >> units[i].shift),
			         units[i].letter);
			return;
		}
	}
	snprintf(out, size, "%llu", (unsigned long long)bytes);
}

static bool cpus_has(const struct config_cpus *cpus, unsigned int cpu)
{
	return cpu < CONFIG_CPUS_MAX && (cpus->bits[cpu / 64] >> (cpu % 64) & 1) != 0;
}

void config_cpus_print(const struct config_cpus *cpus, char *out, size_t size)
{
	size_t used = 0;
	unsigned int cpu;

	if (cpus->is_any) {
		snprintf(out, size, "any");
		return;
	}
	out[0] = '\0';
	for (cpu = 0; cpu < CONFIG_CPUS_MAX && used < size; cpu++) {
		unsigned int last = cpu;
		const char *comma = used == 0 ? "" : ",";
		int length;

		if (!cpus_has(cpus, cpu)) {
			continue;
		}
		while (cpus_has(cpus, last + 1)) {
			last++;
		}
		if (last == cpu) {
			length = snprintf(out + used, size - used, "%s%u", comma, cpu);
		} else {
			length = snprintf(out + used, size - used, "%s%u-%u", comma, cpu, last);
		}
		used += (size_t)length;
		cpu = last;
	}
	if (cpus->is_shared && used < size) {
		snprintf(out + used, size - used, " shared");
	}
}

static const char *config_console_name(uint32_t console)
{
	static const char *const names[] = { "none", "serial", "virtio", "both" };

	return console < sizeof(names) / sizeof(names[0]) ? names[console] : "?";
}

const char *config_action_name(uint32_t action)
{
	return action < sizeof(action_names) / sizeof(action_names[0]) ? action_names[action] : "?";
}

uint32_t config_value_count(const struct config_key *key, const void *record)
{
	if (key->type == CONFIG_TYPE_TEXTS) {
		return ((const struct config_texts *)field_const(key, record))->count;
	}
	if (key->type == CONFIG_TYPE_DISKS) {
		return CONFIG_DISKS_MAX;
	}
	if (key->type == CONFIG_TYPE_UPLINKS) {
		return CONFIG_UPLINKS_MAX;
	}
	if (key->type == CONFIG_TYPE_RULES) {
		return ((const struct config_switch *)record)->settings.rules_count;
	}
	return key->type == CONFIG_TYPE_NETS ? CONFIG_NETS_MAX : 1;
}

void config_value_clear(const struct config_key *key, void *record)
{
	if (key->type == CONFIG_TYPE_TEXTS) {
		((struct config_texts *)field(key, record))->count = 0;
	} else if (key->type == CONFIG_TYPE_DISKS) {
		memset(field(key, record), 0, CONFIG_DISKS_MAX * sizeof(struct config_disk));
	} else if (key->type == CONFIG_TYPE_NETS) {
		memset(field(key, record), 0, CONFIG_NETS_MAX * sizeof(struct config_net));
	} else if (key->type == CONFIG_TYPE_UPLINKS) {
		memset(field(key, record), 0, CONFIG_UPLINKS_MAX * sizeof(struct config_uplink));
	} else if (key->type == CONFIG_TYPE_RULES) {
		((struct config_switch *)record)->settings.rules_count = 0;
	}
}

void config_value_print(const struct config_key *key, const void *record, uint32_t idx, char *out,
                        size_t size)
{
	const void *from = field_const(key, record);

	switch (key->type) {
	case CONFIG_TYPE_COUNT:
		snprintf(out, size, "%u", (unsigned int)*(const uint32_t *)from);
		break;
	case CONFIG_TYPE_SIZE:
		config_size_print(*(const uint64_t *)from, out, size);
		break;
	case CONFIG_TYPE_FLAG:
		snprintf(out, size, "%s", *(const bool *)from ? "yes" : "no");
		break;
	case CONFIG_TYPE_NAME:
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_IP:
		snprintf(out, size, "%s", (const char *)from);
		break;
	case CONFIG_TYPE_TEXTS: {
		const struct config_texts *texts = from;

		snprintf(out, size, "%s", idx < texts->count ? texts->text[idx] : "");
		break;
	}
	case CONFIG_TYPE_CPUS:
		config_cpus_print(from, out, size);
		break;
	case CONFIG_TYPE_ACTION:
		snprintf(out, size, "%s", config_action_name(*(const uint32_t *)from));
		break;
	case CONFIG_TYPE_ADDRESS:
		config_address_print(from, out, size);
		break;
	case CONFIG_TYPE_DISKS:
		config_disk_print((const struct config_disk *)from + idx, out, size);
		break;
	case CONFIG_TYPE_NETS:
		config_net_print((const struct config_net *)from + idx, out, size);
		break;
	case CONFIG_TYPE_VSOCK:
		config_vsock_print(from, out, size);
		break;
	case CONFIG_TYPE_CONSOLE:
		snprintf(out, size, "%s", config_console_name(*(const uint32_t *)from));
		break;
	case CONFIG_TYPE_POLICY:
		snprintf(out, size, "%s", *(const bool *)from ? "deny" : "allow");
		break;
	case CONFIG_TYPE_UPLINKS:
		config_uplink_print((const struct config_uplink *)from + idx, out, size);
		break;
	case CONFIG_TYPE_RULES:
		switch_rule_print((const struct switch_rule *)from + idx, out, size);
		break;
	}
}

void config_set_defaults(enum config_section section, void *record)
{
	char why[CONFIG_ERROR_SIZE];
	size_t i;

	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section == section && key->default_text[0] != '\0') {
			config_value_parse(key, record, key->default_text, why, sizeof(why));
		}
	}
}
