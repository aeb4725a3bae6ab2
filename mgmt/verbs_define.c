// SPDX-License-Identifier: Apache-2.0
/*
 * Verbs that change or show definitions: create, delete, set, show, load, save, check. All text goes
 * through the one parser of config.h; an error says its place in what was typed or in the file.
 */
#include <stdio.h>
#include <string.h>

#include "mgmt/config_store.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "mgmt/switches.h"
#include "mgmt/verb.h"

static struct config_errors line_errors;

/* The first error of a line typed at the prompt. */
static void report_line_error(const struct verb_call *call, struct result *result)
{
	char where[64];

	snprintf(where, sizeof(where), "%s, column %u", call->verb->name,
	         (unsigned int)line_errors.error[0].at.column);
	result_error(result, where, "", "%s", line_errors.error[0].text);
}

static void say_defined(const char *name, struct result *result)
{
	result_message(result, "guest %s is defined; 'start %s' starts it", name, name);
}

/* Reads the words `key=value` from word first on. */
static bool set_assigns(struct verb_call *call, uint32_t first, struct config_guest *guest)
{
	uint32_t i;

	for (i = first; i < call->word_count; i++) {
		struct config_position at = { .line = 1, .column = call->word[i].column };
		const char *equals = strchr(call->word[i].text, '=');
		char key[CONFIG_NAME_SIZE];

		if (equals == NULL || (size_t)(equals - call->word[i].text) >= sizeof(key)) {
			config_error_add(&line_errors, at, "meant is key=value, as in vcpus=2");
			return false;
		}
		memcpy(key, call->word[i].text, (size_t)(equals - call->word[i].text));
		key[equals - call->word[i].text] = '\0';
		if (!config_guest_set(guest, key, equals + 1, at, &line_errors)) {
			return false;
		}
	}
	return true;
}

static void create_by_words(struct verb_call *call, const char *name, uint32_t first,
                            struct result *result)
{
	struct config_position at = { .line = 1, .column = call->word[0].column };
	static struct config_guest guest;

	memset(&guest, 0, sizeof(guest));
	memset(&line_errors, 0, sizeof(line_errors));
	config_set_defaults(CONFIG_SECTION_GUEST, &guest);
	if (!config_name_is_valid(name)) {
		result_error(result, "create", "a name is 1 to 31 characters of a-z, 0-9, _ and -",
		             "'%.40s' is no name", name);
		return;
	}
	memcpy(guest.name, name, strlen(name) + 1);
	if (!set_assigns(call, first, &guest) || !config_guest_check(&guest, at, &line_errors)) {
		report_line_error(call, result);
		return;
	}
	if (partition_define(&guest, result)) {
		say_defined(name, result);
	}
}

/* Reads the name out of `[guest NAME]`; what it may be made of is checked later. */
static bool read_header_name(const char *text, char *name, size_t size)
{
	size_t length;

	text += 1 + strspn(text + 1, " ");
	if (strncmp(text, "guest ", 6) != 0) {
		return false;
	}
	text += 6;
	text += strspn(text, " ");
	length = strcspn(text, " ]");
	if (length >= size) {
		return false;
	}
	memcpy(name, text, length);
	name[length] = '\0';
	return true;
}

/* `create [guest NAME] key=value ...`, or with nothing after it the section's lines follow. */
static void create_by_header(struct verb_call *call, struct result *result)
{
	const char *open = strchr(call->line, '[');
	const char *close = open != NULL ? strchr(open, ']') : NULL;
	uint32_t first = 0;
	char name[64];

	if (close == NULL) {
		result_error(result, "create", "meant is [guest NAME]", "']' is missing");
		return;
	}
	while (first < call->word_count &&
	       call->word[first].column <= (uint32_t)(close - call->line) + 1) {
		first++;
	}
	if (first == call->word_count) {
		shell_begin_section(call->shell, open);
		return;
	}
	if (!read_header_name(open, name, sizeof(name))) {
		result_error(result, "create", "meant is [guest NAME]", "the section is no guest");
		return;
	}
	create_by_words(call, name, first, result);
}

void verb_create(struct verb_call *call, struct result *result)
{
	if (call->word_count == 0) {
		shell_begin_section(call->shell, "");
	} else if (call->word[0].text[0] == '[') {
		create_by_header(call, result);
	} else if (call->word_count == 1 && partition_find_file(call->word[0].text) >= 0) {
		verb_load(call, result);
	} else {
		create_by_words(call, call->word[0].text, 1, result);
	}
}

void verb_delete(struct verb_call *call, struct result *result)
{
	char name[CONFIG_NAME_SIZE];

	memcpy(name, call->guest->config.name, sizeof(name));
	if (partition_delete(call->guest, result)) {
		result_message(result, "guest %s is deleted", name);
	}
}

void verb_set(struct verb_call *call, struct result *result)
{
	const struct config_key *key = config_key_find(CONFIG_SECTION_GUEST, call->word[1].text);
	struct config_position at = { .line = 1, .column = call->word[1].column };
	struct config_position value_at = { .line = 1, .column = call->word[2].column };
	static struct config_guest changed;
	static char value[CONFIG_CMDLINE_SIZE];
	bool is_later;

	memset(&line_errors, 0, sizeof(line_errors));
	if (key != NULL && call->guest->has_partition != 0 &&
	    (key->type == CONFIG_TYPE_DISKS || key->type == CONFIG_TYPE_NETS)) {
		result_error(result, "set", "add one or take one away: help disk, help net",
		             "%s cannot be set while the guest has its resources", key->name);
		return;
	}
	changed = call->guest->config;
	if (key != NULL && config_key_is_list(key)) {
		config_value_clear(key, &changed);
	}
	if (key == NULL || !config_key_is_list(key) || call->word[2].text[0] != '\0') {
		if (!config_guest_set(&changed, call->word[1].text, call->word[2].text,
		                      key == NULL ? at : value_at, &line_errors)) {
			report_line_error(call, result);
			return;
		}
	}
	if (key == NULL || !config_guest_check(&changed, value_at, &line_errors)) {
		report_line_error(call, result);
		return;
	}
	partition_configure(call->guest, &changed);
	is_later = call->guest->is_changed != 0 && (key->flags & CONFIG_KEY_LIVE) == 0;
	config_value_print(key, &changed, 0, value, sizeof(value));
	result_message(result, "%s: %s = %.300s%s", changed.name, key->name, value,
	               is_later ? " (from its next start)" : "");
}

static void write_raw(void *context, const char *text)
{
	result_raw(context, text);
}

void verb_show(struct verb_call *call, struct result *result)
{
	uint32_t slot;

	if (call->guest != NULL) {
		config_print_guest(&call->guest->config, write_raw, result);
		return;
	}
	config_print_host(&machine_ledger()->host, write_raw, result);
	switches_print(write_raw, result);
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL) {
			result_raw(result, "\n");
			config_print_guest(&guest->config, write_raw, result);
		}
	}
}

static const struct result_column error_columns[] = {
	{ "LINE", "line", RESULT_COUNT },
	{ "COLUMN", "column", RESULT_COUNT },
	{ "ERROR", "error", RESULT_TEXT },
};

static const struct result_column load_columns[] = {
	{ "file", "file", RESULT_TEXT },
	{ "guests", "guests", RESULT_COUNT },
	{ "errors", "errors", RESULT_COUNT },
};

static void fill_load_result(const char *source, uint32_t guest_count,
                             const struct config_errors *errors, struct result *result)
{
	uint32_t i;

	result_begin(result, "summary", RESULT_RECORD, load_columns, 3);
	result_text(result, source);
	result_value(result, guest_count);
	result_value(result, errors->count);
	if (errors->count == 0) {
		return;
	}
	result_begin(result, "errors", RESULT_TABLE, error_columns, 3);
	for (i = 0; i < errors->count && i < CONFIG_ERRORS_MAX; i++) {
		result_value(result, errors->error[i].at.line);
		result_value(result, errors->error[i].at.column);
		result_text(result, errors->error[i].text);
	}
}

/* Defines what was parsed; a guest that cannot be is one more error. */
static uint32_t define_all(struct config *config)
{
	struct config_position nowhere = { .line = 0, .column = 0 };
	uint32_t count = 0;
	uint32_t i;

	if (config->has_host) {
		machine_ledger()->host = config->host;
	}
	for (i = 0; i < config->switch_count; i++) {
		if (!switches_define(&config->switches[i])) {
			config_error_add(&config->errors, nowhere, "switch %s: %s",
			                 config->switches[i].settings.name,
			                 "there are too many switches");
		}
	}
	for (i = 0; i < config->guest_count; i++) {
		struct result why;

		result_init(&why);
		if (partition_define(&config->guests[i], &why)) {
			count++;
		} else {
			config_error_add(&config->errors, nowhere, "guest %s: %s",
			                 config->guests[i].name,
			                 why.text != NULL ? why.text : "no memory");
		}
		result_free(&why);
	}
	return count;
}

bool verb_load_text(const char *source, const char *text, size_t size, struct result *result)
{
	static struct config config;
	uint32_t count;
	bool is_good;

	config_init(&config);
	config.host = machine_ledger()->host;
	config_parse(&config, text, size);
	count = define_all(&config);
	is_good = config.errors.count == 0;
	fill_load_result(source, count, &config.errors, result);
	config_free(&config);
	return is_good;
}

void verb_create_section(const char *text, size_t size, struct result *result)
{
	static struct config config;

	config_init(&config);
	config.host = machine_ledger()->host;
	config_parse(&config, text, size);
	if (config.errors.count == 0 && config.guest_count == 1 && config.switch_count == 0 &&
	    !config.has_host) {
		if (partition_define(&config.guests[0], result)) {
			say_defined(config.guests[0].name, result);
		}
	} else if (config.errors.count != 0 || config.guest_count != 0 ||
	           config.switch_count != 0 || config.has_host) {
		uint32_t count = define_all(&config);

		fill_load_result("", count, &config.errors, result);
	}
	config_free(&config);
}

/* The text of a boot file; false with an error. */
static bool find_text(struct verb_call *call, const char **text, size_t *size,
                      struct result *result)
{
	const struct mgmt_info *info = machine_info();
	const char *name = call->word[0].text;
	int idx = partition_find_file(name);
	struct partition_file file;

	if (idx < 0 && info->config_bytes != 0 &&
	    strncmp(info->config_name, name, sizeof(info->config_name)) == 0) {
		*text = (const char *)MGMT_VA_CONFIG;
		*size = info->config_bytes;
		return true;
	}
	if (!partition_read_file(idx, &file)) {
		result_error(result, call->verb->name, "the verb files lists what is there",
		             "there is no file '%.48s'", name);
		return false;
	}
	*text = file.bytes;
	*size = file.size_bytes;
	return true;
}

void verb_load(struct verb_call *call, struct result *result)
{
	const char *text;
	size_t size;

	if (find_text(call, &text, &size, result)) {
		verb_load_text(call->word[0].text, text, size, result);
	}
}

void verb_check(struct verb_call *call, struct result *result)
{
	static struct config config;
	const char *text;
	size_t size;

	if (!find_text(call, &text, &size, result)) {
		return;
	}
	config_init(&config);
	config_parse(&config, text, size);
	fill_load_result(call->word[0].text, config.guest_count, &config.errors, result);
	config_free(&config);
}

void verb_save(struct verb_call *call, struct result *result)
{
	struct shell_wait wait = { .slot = UINT32_MAX, .is_json = call->is_json };

	if (store_save(&wait, result)) {
		shell_begin_wait(call->shell, &wait);
	}
}
