// SPDX-License-Identifier: Apache-2.0
/*
 * The verb switch: the virtual switches, their ports, their rules. A rule typed here is read by the one
 * parser of rules; an error says the column of the word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/driver.h"
#include "mgmt/net/uplink.h"
#include "mgmt/switch/switch.h"
#include "mgmt/switches.h"
#include "mgmt/verb.h"

static struct config_errors line_errors;

static bool is_word(const struct verb_call *call, uint32_t i, const char *word)
{
	return i < call->word_count && strcmp(call->word[i].text, word) == 0;
}

/* An error at a column of what was typed. */
static void report(uint32_t column, const char *text, struct result *result)
{
	char where[32];

	snprintf(where, sizeof(where), "switch, column %u", (unsigned int)column);
	result_error(result, where, "", "%s", text);
}

/* False with an error if the second word names a switch that is not there. */
static bool is_there(const struct verb_call *call, struct result *result)
{
	uint32_t count;
	uint32_t i;
	const char *name;

	if (call->word_count < 2) {
		return true;
	}
	for (i = 0; (name = switch_name_at(i, &count, &count)) != NULL; i++) {
		if (is_word(call, 1, name)) {
			return true;
		}
	}
	result_error(result, "switch", "'switch list' shows them", "there is no switch '%.40s'",
	             call->word[1].text);
	return false;
}

/* ---- list ------------------------------------------------------------------------------------ */

static const struct result_column switch_columns[] = {
	{ "SWITCH", "switch", RESULT_TEXT },        { "PORTS", "ports", RESULT_COUNT },
	{ "ADDRESSES", "addresses", RESULT_COUNT }, { "MTU", "mtu", RESULT_COUNT },
	{ "RULES", "rules", RESULT_COUNT },         { "POLICY", "policy", RESULT_TEXT },
	{ "VLAN", "vlan", RESULT_COUNT },           { "ISOLATED", "isolated", RESULT_FLAG },
	{ "PINNED", "pinned", RESULT_FLAG },        { "MIRROR", "mirror", RESULT_TEXT },
	{ "UPLINKS", "uplinks", RESULT_TEXT },
};

#define SHORT_COLUMNS 5u

static void put_or_empty(struct result *result, const char *text)
{
	if (text[0] != '\0') {
		result_text(result, text);
	} else {
		result_empty(result);
	}
}

static void put_settings(const struct config_switch *config, struct result *result)
{
	char uplinks[200] = "";
	size_t used = 0;
	uint32_t i;

	if (config == NULL) {
		for (i = SHORT_COLUMNS; i < sizeof(switch_columns) / sizeof(switch_columns[0]);
		     i++) {
			result_empty(result);
		}
		return;
	}
	for (i = 0; i < CONFIG_UPLINKS_MAX; i++) {
		if (config->uplinks[i].nic[0] != '\0') {
			used += (size_t)snprintf(uplinks + used, sizeof(uplinks) - used, "%s%s",
			                         used != 0 ? "," : "", config->uplinks[i].nic);
		}
	}
	result_text(result, config->settings.is_deny ? "deny" : "allow");
	result_value(result, config->settings.vlan);
	result_value(result, config->settings.is_isolated);
	result_value(result, config->settings.is_pinned);
	put_or_empty(result, config->settings.mirror);
	put_or_empty(result, uplinks);
}

static void list_switches(const struct verb_call *call, struct result *result)
{
	uint32_t ports;
	uint32_t addresses;
	uint32_t number;
	const char *name;

	result_begin(result, "switches", RESULT_TABLE, switch_columns,
	             call->is_verbose ? sizeof(switch_columns) / sizeof(switch_columns[0])
	                              : SHORT_COLUMNS);
	for (number = 0; (name = switch_name_at(number, &ports, &addresses)) != NULL; number++) {
		const struct config_switch *config = switches_find(name);

		if (call->word_count > 1 && !is_word(call, 1, name)) {
			continue;
		}
		result_text(result, name);
		result_value(result, ports);
		result_value(result, addresses);
		result_value(result, switch_mtu(name));
		result_value(result, config != NULL ? config->settings.rules_count : 0);
		if (call->is_verbose) {
			put_settings(config, result);
		}
	}
}

/* ---- ports ----------------------------------------------------------------------------------- */

static const struct result_column port_columns[] = {
	{ "PORT", "port", RESULT_TEXT },
	{ "SWITCH", "switch", RESULT_TEXT },
	{ "LINK", "link", RESULT_FLAG },
	{ "VLAN", "vlan", RESULT_TEXT },
	{ "PINNED", "pinned", RESULT_FLAG },
	{ "ISOLATED", "isolated", RESULT_FLAG },
	{ "MIRROR", "mirror", RESULT_FLAG },
	{ "SENT", "sent_frames", RESULT_COUNT },
	{ "RECEIVED", "received_frames", RESULT_COUNT },
	{ "NO ROOM", "no_room", RESULT_COUNT },
	{ "OVER RATE", "over_rate", RESULT_COUNT },
	{ "FORGED", "forged", RESULT_COUNT },
	{ "DENIED", "denied", RESULT_COUNT },
	{ "TOO LONG", "too_long", RESULT_COUNT },
	{ "BAD", "bad", RESULT_COUNT },
};

static void put_port(const struct switch_port_info *info, struct result *result)
{
	char vlan[16] = "";

	if (info->vlan != 0 || info->is_trunk) {
		snprintf(vlan, sizeof(vlan), info->is_trunk ? "trunk" : "%u",
		         (unsigned int)info->vlan);
	}
	result_text(result, info->name);
	result_text(result, info->switch_name);
	result_value(result, info->is_up);
	put_or_empty(result, vlan);
	result_value(result, info->is_pinned);
	result_value(result, info->is_isolated);
	result_value(result, info->is_mirror);
	result_value(result, info->counters.in_frames);
	result_value(result, info->counters.out_frames);
	result_value(result, info->counters.no_room);
	result_value(result, info->counters.over_rate);
	result_value(result, info->counters.forged);
	result_value(result, info->counters.denied);
	result_value(result, info->counters.too_long);
	result_value(result, info->counters.bad + info->counters.vlan);
}

static void list_ports(const char *switch_name, struct result *result)
{
	struct switch_port_info info;
	uint32_t number;

	result_begin(result, "ports", RESULT_TABLE, port_columns,
	             sizeof(port_columns) / sizeof(port_columns[0]));
	for (number = 0; switch_port_info(number, &info); number++) {
		if (switch_name == NULL || strcmp(info.switch_name, switch_name) == 0) {
			put_port(&info, result);
		}
	}
}

/* ---- define, change, forget ------------------------------------------------------------------ */

/* The switch named by the second word; NULL with an error if it has no settings. */
static struct config_switch *find(const struct verb_call *call, struct result *result)
{
	struct config_switch *config = call->word_count > 1 ? switches_find(call->word[1].text)
	                                                    : NULL;

	if (call->word_count < 2) {
		result_error(result, "switch", "'switch list' shows them", "SWITCH is missing");
	} else if (config == NULL && is_there(call, result)) {
		result_error(result, "switch", "'switch add' gives it some",
		             "switch %s has no settings of its own", call->word[1].text);
	}
	return config;
}

/* Takes the words `key=value` from the third on. A key that may be given again replaces what was there. */
static bool set_assigns(const struct verb_call *call, struct config_switch *config,
                        struct result *result)
{
	uint64_t cleared = 0;
	uint32_t i;

	memset(&line_errors, 0, sizeof(line_errors));
	for (i = 2; i < call->word_count; i++) {
		struct config_position at = { .line = 1, .column = call->word[i].column };
		const char *text = call->word[i].text;
		const char *equals = strchr(text, '=');
		const struct config_key *key;
		char name[CONFIG_NAME_SIZE] = "";

		if (equals == NULL || (size_t)(equals - text) >= sizeof(name)) {
			report(at.column, "meant is key=value, as in mtu=9000", result);
			return false;
		}
		memcpy(name, text, (size_t)(equals - text));
		key = config_key_find(CONFIG_SECTION_SWITCH, name);
		if (key != NULL && config_key_is_list(key) &&
		    (cleared >> (key - config_keys) & 1) == 0) {
			config_value_clear(key, config);
			cleared |= 1ull << (key - config_keys);
		}
		if (key != NULL && config_key_is_list(key) && equals[1] == '\0') {
			continue; /* none of them */
		}
		if (!config_switch_set(config, name, equals + 1, at, &line_errors)) {
			report(at.column, line_errors.error[0].text, result);
			return false;
		}
	}
	return true;
}

static bool nic_can(const struct nic *nic, uint32_t mtu, struct result *result)
{
	char meant[64];

	if (nic == NULL || mtu + NIC_HEADER_BYTES <= nic->frame_limit) {
		return true;
	}
	snprintf(meant, sizeof(meant), "mtu is at most %u with it",
	         (unsigned int)(nic->frame_limit - NIC_HEADER_BYTES));
	result_error(result, "switch", meant, "%s cannot take packets of %u bytes",
	             nic->device->name, (unsigned int)mtu);
	return false;
}

/* False with an error if a NIC that is there cannot take what the switch would let through. */
static bool uplinks_can(const struct config_switch *config, struct result *result)
{
	struct switch_port_info info;
	uint32_t number;
	uint32_t i;

	for (i = 0; i < CONFIG_UPLINKS_MAX; i++) {
		if (config->uplinks[i].nic[0] != '\0' &&
		    !nic_can(uplink_find(config->uplinks[i].nic), config->settings.mtu, result)) {
			return false;
		}
	}
	/* And those that [host] put there. */
	for (number = 0; switch_port_info(number, &info); number++) {
		if (strcmp(info.switch_name, config->settings.name) == 0 &&
		    (info.flags & SWITCH_PORT_UPLINK) != 0 &&
		    !nic_can(uplink_find(info.name), config->settings.mtu, result)) {
			return false;
		}
	}
	return true;
}

/* The first NIC of the switch that is not there, or NULL: it may come with another configuration of the machine. */
static const char *missing_uplink(const struct config_switch *config)
{
	uint32_t i;

	for (i = 0; i < CONFIG_UPLINKS_MAX; i++) {
		if (config->uplinks[i].nic[0] != '\0' &&
		    uplink_find(config->uplinks[i].nic) == NULL) {
			return config->uplinks[i].nic;
		}
	}
	return NULL;
}

static void define(const struct verb_call *call, bool is_new, struct result *result)
{
	static struct config_switch config;
	const struct config_switch *present = NULL;
	const char *missing;

	memset(&config, 0, sizeof(config));
	if (!is_new) {
		present = find(call, result);
		if (present == NULL) {
			return;
		}
		config = *present;
	} else if (call->word_count < 2 || !config_name_is_valid(call->word[1].text) ||
	           strcmp(call->word[1].text, "none") == 0) {
		result_error(result, "switch", "a name is 1 to 31 characters of a-z, 0-9, _ and -",
		             "a new switch needs a name");
		return;
	} else if (switches_find(call->word[1].text) != NULL) {
		result_error(result, "switch", "'switch set' changes it",
		             "switch %s is defined already", call->word[1].text);
		return;
	} else {
		config_set_defaults(CONFIG_SECTION_SWITCH, &config);
		snprintf(config.settings.name, sizeof(config.settings.name), "%s",
		         call->word[1].text);
	}
	if (!set_assigns(call, &config, result)) {
		return;
	}
	if (!uplinks_can(&config, result)) {
		return;
	}
	if (!switches_define(&config)) {
		result_error(result, "switch", "at most 16 are meant",
		             "there are too many switches");
		return;
	}
	missing = missing_uplink(&config);
	result_message(result, "switch %s is %s%s%s", config.settings.name,
	               is_new ? "defined" : "changed",
	               missing != NULL ? "; this machine has no NIC " : "",
	               missing != NULL ? missing : "");
}

/* The first port of the switch that does not leave with its settings, as uplinks do. */
static bool find_user(const char *name, struct switch_port_info *info)
{
	uint32_t number;

	for (number = 0; switch_port_info(number, info); number++) {
		if (strcmp(info->switch_name, name) == 0 &&
		    (info->flags & SWITCH_PORT_UPLINK) == 0) {
			return true;
		}
	}
	return false;
}

static void delete (const struct verb_call *call, struct result *result)
{
	struct config_switch *config = find(call, result);
	struct switch_port_info info;

	if (config == NULL) {
		return;
	}
	if (find_user(config->settings.name, &info)) {
		result_error(result, "switch", "take its ports away first ('net del')",
		             "%s is a port of switch %s", info.name, config->settings.name);
		return;
	}
	result_message(result, "switch %s is forgotten", config->settings.name);
	switches_delete(config);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static const struct result_column rule_columns[] = {
	{ "SWITCH", "switch", RESULT_TEXT },  { "NO", "number", RESULT_COUNT },
	{ "FRAMES", "frames", RESULT_COUNT }, { "BYTES", "bytes", RESULT_COUNT },
	{ "RULE", "rule", RESULT_TEXT },
};

static void list_rules(const struct verb_call *call, struct result *result)
{
	char text[SWITCH_RULE_TEXT];
	uint32_t count;
	uint32_t number;
	uint32_t i;
	const char *name;

	result_begin(result, "rules", RESULT_TABLE, rule_columns,
	             sizeof(rule_columns) / sizeof(rule_columns[0]));
	for (number = 0; (name = switch_name_at(number, &count, &count)) != NULL; number++) {
		const struct config_switch *config = switches_find(name);

		if (config == NULL || (call->word_count > 1 && !is_word(call, 1, name))) {
			continue;
		}
		for (i = 0; i < config->settings.rules_count; i++) {
			const struct switch_rule *rule = &config->settings.rules[i];

			switch_rule_print(rule, text, sizeof(text));
			result_text(result, name);
			result_value(result, i + 1);
			result_value(result, rule->frames_count);
			result_value(result, rule->bytes_count);
			result_text(result, text);
		}
	}
}

/* Reads the words from `first` on as a rule; an error is told at the word that is wrong. */
static bool read_rule(const struct verb_call *call, uint32_t first, struct switch_rule *rule,
                      struct result *result)
{
	static char text[LINE_SIZE];
	char why[CONFIG_ERROR_SIZE / 2];
	size_t starts[VERB_WORDS_MAX];
	size_t used = 0;
	size_t offset;
	uint32_t i;

	text[0] = '\0';
	for (i = first; i < call->word_count && used < sizeof(text); i++) {
		starts[i] = used;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ",
		                         call->word[i].text);
	}
	if (used >= sizeof(text)) {
		result_error(result, "switch", "", "the rule is too long");
		return false;
	}
	if (switch_rule_parse(text, rule, why, sizeof(why), &offset)) {
		return true;
	}
	for (i = call->word_count - 1; i > first && starts[i] > offset; i--) {
	}
	report(first < call->word_count ? call->word[i].column : 1, why, result);
	return false;
}

/* The number in the fourth word: 1 to max. */
static bool read_number(const struct verb_call *call, uint32_t max, uint32_t *number,
                        struct result *result)
{
	const char *text = call->word_count > 3 ? call->word[3].text : "";
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 1 || value > max) {
		result_error(result, "switch", "the numbers are those of 'switch rules'",
		             "'%.20s' is not the number of a rule", text);
		return false;
	}
	*number = (uint32_t)value;
	return true;
}

static void insert_rule(const struct verb_call *call, struct config_switch *config,
                        struct result *result)
{
	struct switch_settings *settings = &config->settings;
	bool is_insert = is_word(call, 2, "insert");
	uint32_t number = settings->rules_count + 1;
	struct switch_rule rule;

	if (settings->rules_count >= SWITCH_RULES_MAX) {
		result_error(result, "switch", "", "switch %s has 64 rules, which is all it can",
		             settings->name);
		return;
	}
	if ((is_insert && !read_number(call, number, &number, result)) ||
	    !read_rule(call, is_insert ? 4 : 3, &rule, result)) {
		return;
	}
	memmove(&settings->rules[number], &settings->rules[number - 1],
	        (settings->rules_count - number + 1) * sizeof(rule));
	settings->rules[number - 1] = rule;
	settings->rules_count++;
	switches_changed(config);
	result_message(result, "%s: rule %u is added", settings->name, (unsigned int)number);
}

static void delete_rule(const struct verb_call *call, struct config_switch *config,
                        struct result *result)
{
	struct switch_settings *settings = &config->settings;
	uint32_t number;

	if (!read_number(call, settings->rules_count, &number, result)) {
		return;
	}
	memmove(&settings->rules[number - 1], &settings->rules[number],
	        (settings->rules_count - number) * sizeof(settings->rules[0]));
	settings->rules_count--;
	switches_changed(config);
	result_message(result, "%s: rule %u is taken away", settings->name, (unsigned int)number);
}

static void clear_counters(struct config_switch *config, struct result *result)
{
	uint32_t i;

	for (i = 0; i < config->settings.rules_count; i++) {
		config->settings.rules[i].frames_count = 0;
		config->settings.rules[i].bytes_count = 0;
	}
	result_message(result, "%s: the rules count from 0", config->settings.name);
}

static void change_rules(const struct verb_call *call, struct result *result)
{
	struct config_switch *config = find(call, result);

	if (config == NULL) {
		return;
	}
	if (is_word(call, 2, "add") || is_word(call, 2, "insert")) {
		insert_rule(call, config, result);
	} else if (is_word(call, 2, "del")) {
		delete_rule(call, config, result);
	} else if (is_word(call, 2, "clear")) {
		clear_counters(config, result);
	} else {
		report(call->word[2].column,
		       "meant is add RULE, insert NUMBER RULE, del NUMBER, or clear", result);
	}
}

void verb_switch(struct verb_call *call, struct result *result)
{
	if (is_word(call, 0, "add")) {
		define(call, true, result);
	} else if (is_word(call, 0, "set")) {
		define(call, false, result);
	} else if (is_word(call, 0, "del")) {
		delete (call, result);
	} else if (is_word(call, 0, "port")) {
		if (is_there(call, result)) {
			list_ports(call->word_count > 1 ? call->word[1].text : NULL, result);
		}
	} else if (is_word(call, 0, "rules") && call->word_count > 2) {
		change_rules(call, result);
	} else if (!is_there(call, result)) {
		return;
	} else if (is_word(call, 0, "rules")) {
		list_rules(call, result);
	} else {
		list_switches(call, result);
	}
}
