// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration parser and printer for whole texts.
 *
 * Reads one line at a time: `[host]`, `[guest NAME]`, `[switch NAME]`, `key = value`, comments. Keys before the
 * first section form a guest of their own, named by the key `name`, as an xl.cfg file is written. A
 * section with an error is left out; every other section is kept. The grammar is
 * docs/configuration.md.
 */
#include "mgmt/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE   32u
#define VALUE_SIZE CONFIG_CMDLINE_SIZE

enum section_state {
	STATE_BEFORE, /* no section yet and no key */
	STATE_HOST,
	STATE_GUEST,
	STATE_SWITCH,
	STATE_SKIP, /* after a section header that is no good: its keys cannot be judged */
};

/* One parse in progress. line points to the line being read, which ends at line_end. */
struct parser {
	struct config *config;
	enum section_state state;
	const char *line;
	const char *line_end;
	const char *at;
	uint32_t line_number;
	uint32_t section_line;
	bool section_is_bad;
	bool section_is_implicit;
	uint32_t key_line[64]; /* the line on which each key of the table was last given, or 0 */
	struct config_guest guest;
	struct config_host host;
	struct config_switch switch_;
	char key[KEY_SIZE];
	char value[VALUE_SIZE];
	bool value_is_quoted;
};

void config_error_add(struct config_errors *errors, struct config_position at, const char *format,
                      ...)
{
	va_list arguments;

	if (errors->count < CONFIG_ERRORS_MAX) {
		struct config_error *error = &errors->error[errors->count];

		error->at = at;
		va_start(arguments, format);
		vsnprintf(error->text, sizeof(error->text), format, arguments);
		va_end(arguments);
	}
	errors->count++;
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config_set_defaults(CONFIG_SECTION_HOST, &config->host);
}

void config_free(struct config *config)
{
	free(config->guests);
	free(config->switches);
	config->guests = NULL;
	config->switches = NULL;
	config->switch_count = 0;
	config->guest_count = 0;
	config->guest_capacity = 0;
}

static struct config_position position(const struct parser *parser)
{
	struct config_position at = {
		.line = parser->line_number,
		.column = (uint32_t)(parser->at - parser->line) + 1,
	};

	return at;
}

static void fail(struct parser *parser, struct config_position at, const char *text)
{
	config_error_add(&parser->config->errors, at, "%s", text);
	parser->section_is_bad = true;
}

static bool at_line_end(const struct parser *parser)
{
	return parser->at >= parser->line_end;
}

static void skip_blanks(struct parser *parser)
{
	while (!at_line_end(parser) && (*parser->at == ' ' || *parser->at == '\t')) {
		parser->at++;
	}
}

static bool at_comment_or_end(const struct parser *parser)
{
	return at_line_end(parser) || *parser->at == '#' || *parser->at == ';';
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/* Reads a word into out; false if there is none or it is too long. */
static bool read_word(struct parser *parser, char *out, size_t size)
{
	size_t used = 0;

	while (!at_line_end(parser) && is_word_char(*parser->at)) {
		if (used + 1 >= size) {
			return false;
		}
		out[used++] = *parser->at++;
	}
	out[used] = '\0';
	return used != 0;
}

static bool name_is_taken(const struct config *config, const char *name)
{
	uint32_t i;

	for (i = 0; i < config->guest_count; i++) {
		if (strcmp(config->guests[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static bool keep_guest(struct parser *parser)
{
	struct config *config = parser->config;

	if (config->guest_count == config->guest_capacity) {
		uint32_t capacity = config->guest_capacity == 0 ? 4 : config->guest_capacity * 2;
		struct config_guest *guests = NULL;

		if (capacity <= CONFIG_GUESTS_MAX) {
			guests = realloc(config->guests, capacity * sizeof(*guests));
		}
		if (guests == NULL) {
			return false;
		}
		config->guests = guests;
		config->guest_capacity = capacity;
	}
	config->guests[config->guest_count++] = parser->guest;
	return true;
}

static void end_guest(struct parser *parser)
{
	struct config_position at = { .line = parser->section_line, .column = 1 };

	if (parser->guest.name[0] == '\0') {
		if (!parser->section_is_bad) {
			fail(parser, at, "a guest needs a section [guest NAME], or the key name");
		}
		return;
	}
	if (name_is_taken(parser->config, parser->guest.name)) {
		config_error_add(&parser->config->errors, at, "there is already a guest '%s'",
		                 parser->guest.name);
		return;
	}
	if (parser->section_is_bad) {
		return;
	}
	if (config_guest_check(&parser->guest, at, &parser->config->errors) &&
	    !keep_guest(parser)) {
		fail(parser, at, "too many guests, or no memory for one more");
	}
}

static void end_switch(struct parser *parser)
{
	struct config_position at = { .line = parser->section_line, .column = 1 };
	struct config *config = parser->config;
	const char *name = parser->switch_.settings.name;
	struct config_switch *switches;
	uint32_t i;

	for (i = 0; i < config->switch_count; i++) {
		if (strcmp(config->switches[i].settings.name, name) == 0) {
			config_error_add(&config->errors, at, "there is already a switch '%s'",
			                 name);
			return;
		}
	}
	if (parser->section_is_bad) {
		return;
	}
	switches = config->switch_count < CONFIG_SWITCHES_MAX
	                   ? realloc(config->switches,
	                             (config->switch_count + 1) * sizeof(*switches))
	                   : NULL;
	if (switches == NULL) {
		config_error_add(&config->errors, at,
		                 "more than %u switches, or no memory for one more",
		                 CONFIG_SWITCHES_MAX);
		return;
	}
	config->switches = switches;
	config->switches[config->switch_count++] = parser->switch_;
}

/* Finishes the section that was being read, if any. */
static void end_section(struct parser *parser)
{
	if (parser->state == STATE_HOST && !parser->section_is_bad) {
		parser->config->host = parser->host;
		parser->config->has_host = true;
	} else if (parser->state == STATE_GUEST) {
		end_guest(parser);
	} else if (parser->state == STATE_SWITCH) {
		end_switch(parser);
	}
}

static void begin_section(struct parser *parser, enum section_state state)
{
	parser->state = state;
	parser->section_is_bad = false;
	parser->section_is_implicit = false;
	parser->section_line = parser->line_number;
	memset(parser->key_line, 0, sizeof(parser->key_line));
	if (state == STATE_GUEST) {
		memset(&parser->guest, 0, sizeof(parser->guest));
		config_set_defaults(CONFIG_SECTION_GUEST, &parser->guest);
	} else if (state == STATE_HOST) {
		parser->host = parser->config->host;
	} else if (state == STATE_SWITCH) {
		memset(&parser->switch_, 0, sizeof(parser->switch_));
		config_set_defaults(CONFIG_SECTION_SWITCH, &parser->switch_);
	}
}

/* Reads the name in `[guest NAME]`, quoted or not, into parser->value. */
static void read_section_name(struct parser *parser)
{
	char quote = '\0';
	size_t used = 0;

	if (!at_line_end(parser) && (*parser->at == '"' || *parser->at == '\'')) {
		quote = *parser->at++;
	}
	while (!at_line_end(parser) && *parser->at != ']' && *parser->at != quote &&
	       *parser->at != ' ' && *parser->at != '\t' && used + 1 < KEY_SIZE * 2) {
		parser->value[used++] = *parser->at++;
	}
	parser->value[used] = '\0';
	if (quote != '\0' && !at_line_end(parser) && *parser->at == quote) {
		parser->at++;
	}
}

/* The name of a guest or a switch. */
static void parse_header_name(struct parser *parser, const char *kind, char name[CONFIG_NAME_SIZE])
{
	struct config_position at;

	skip_blanks(parser);
	at = position(parser);
	read_section_name(parser);
	if (!config_name_is_valid(parser->value) || strcmp(parser->value, "none") == 0) {
		config_error_add(&parser->config->errors, at,
		                 "a %s's name is 1 to 31 characters of a-z, 0-9, _ and -, "
		                 "as in [%s alpha]",
		                 kind, kind);
		parser->section_is_bad = true;
		parser->state = STATE_SKIP;
		return;
	}
	memcpy(name, parser->value, strlen(parser->value) + 1);
}

static void parse_header(struct parser *parser)
{
	struct config_position at;
	char kind[KEY_SIZE];

	end_section(parser);
	begin_section(parser, STATE_SKIP);
	parser->at++;
	skip_blanks(parser);
	at = position(parser);
	if (!read_word(parser, kind, sizeof(kind))) {
		kind[0] = '\0';
	}
	if (strcmp(kind, "host") == 0) {
		begin_section(parser, STATE_HOST);
	} else if (strcmp(kind, "guest") == 0) {
		begin_section(parser, STATE_GUEST);
		parse_header_name(parser, kind, parser->guest.name);
	} else if (strcmp(kind, "switch") == 0) {
		begin_section(parser, STATE_SWITCH);
		parse_header_name(parser, kind, parser->switch_.settings.name);
	} else {
		fail(parser, at,
		     "unknown section; meant are [host], [guest NAME] and [switch NAME]");
		return;
	}
	if (parser->state == STATE_SKIP) {
		return;
	}
	skip_blanks(parser);
	if (at_line_end(parser) || *parser->at != ']') {
		fail(parser, position(parser), "']' is missing at the end of the section's name");
		return;
	}
	parser->at++;
	skip_blanks(parser);
	if (!at_comment_or_end(parser)) {
		fail(parser, position(parser), "only a comment may follow a section's name");
	}
}

/* Reads a quoted value; in "..." a backslash keeps the next " or \ from being special. */
static bool read_quoted(struct parser *parser)
{
	struct config_position start = position(parser);
	char quote = *parser->at++;
	size_t used = 0;

	while (!at_line_end(parser) && *parser->at != quote) {
		char c = *parser->at++;

		if (quote == '"' && c == '\\' && !at_line_end(parser) &&
		    (*parser->at == '"' || *parser->at == '\\')) {
			c = *parser->at++;
		}
		if (used + 1 >= VALUE_SIZE) {
			fail(parser, start, "the value is longer than 2047 characters");
			return false;
		}
		parser->value[used++] = c;
	}
	parser->value[used] = '\0';
	if (at_line_end(parser)) {
		fail(parser, start, "the quoted value has no closing quote on its line");
		return false;
	}
	parser->at++;
	skip_blanks(parser);
	if (!at_comment_or_end(parser)) {
		fail(parser, position(parser), "only a comment may follow a quoted value");
		return false;
	}
	return true;
}

/* Reads to the end of the line or a comment that follows a blank. */
static bool read_bare(struct parser *parser)
{
	struct config_position start = position(parser);
	const char *begin = parser->at;
	size_t length;

	while (!at_line_end(parser)) {
		bool is_comment = *parser->at == '#' || *parser->at == ';';

		if (is_comment &&
		    (parser->at == begin || parser->at[-1] == ' ' || parser->at[-1] == '\t')) {
			break;
		}
		parser->at++;
	}
	length = (size_t)(parser->at - begin);
	while (length > 0 && (begin[length - 1] == ' ' || begin[length - 1] == '\t')) {
		length--;
	}
	if (length >= VALUE_SIZE) {
		fail(parser, start, "the value is longer than 2047 characters");
		return false;
	}
	memcpy(parser->value, begin, length);
	parser->value[length] = '\0';
	return true;
}

static bool read_value(struct parser *parser)
{
	if (!at_line_end(parser) && (*parser->at == '"' || *parser->at == '\'')) {
		return read_quoted(parser);
	}
	return read_bare(parser);
}

/* Adds the error for a key that the section does not have. */
static void unknown_key(struct config_errors *errors, struct config_position at,
                        enum config_section section, const char *name)
{
	const char *nearest = config_key_nearest(section, name);
	char list[256];

	config_key_list(section, list, sizeof(list));
	if (nearest != NULL) {
		config_error_add(errors, at,
		                 "unknown key '%s'; did you mean '%s'? The keys are: %s", name,
		                 nearest, list);
	} else {
		config_error_add(errors, at, "unknown key '%s'; the keys are: %s", name, list);
	}
}

/* A key given twice is an error unless both say the same, as xl's vcpus and maxvcpus do. */
static bool repeats_wrongly(struct parser *parser, const struct config_key *key, void *record,
                            struct config_position at)
{
	size_t idx = (size_t)(key - config_keys);
	char before[64];
	char after[64];

	if (config_key_is_list(key) || parser->key_line[idx] == 0) {
		parser->key_line[idx] = parser->line_number;
		return false;
	}
	if (key->type == CONFIG_TYPE_COUNT || key->type == CONFIG_TYPE_SIZE) {
		char why[CONFIG_ERROR_SIZE / 2];

		config_value_print(key, record, 0, before, sizeof(before));
		if (config_value_parse(key, record, parser->value, why, sizeof(why))) {
			config_value_print(key, record, 0, after, sizeof(after));
			if (strcmp(before, after) == 0) {
				return false;
			}
		}
	}
	config_error_add(&parser->config->errors, at, "key '%s' is given twice, first on line %u",
	                 key->name, (unsigned int)parser->key_line[idx]);
	parser->section_is_bad = true;
	return true;
}

/* The section that is being read, and its record. */
static enum config_section section_of(struct parser *parser, void **record)
{
	if (parser->state == STATE_HOST) {
		*record = &parser->host;
		return CONFIG_SECTION_HOST;
	}
	if (parser->state == STATE_SWITCH) {
		*record = &parser->switch_;
		return CONFIG_SECTION_SWITCH;
	}
	*record = &parser->guest;
	return CONFIG_SECTION_GUEST;
}

static void apply_key(struct parser *parser, struct config_position key_at,
                      struct config_position value_at)
{
	void *record;
	enum config_section section = section_of(parser, &record);
	const struct config_key *key = config_key_find(section, parser->key);
	char why[CONFIG_ERROR_SIZE];

	if (key == NULL) {
		unknown_key(&parser->config->errors, key_at, section, parser->key);
		parser->section_is_bad = true;
		return;
	}
	if ((key->flags & CONFIG_KEY_HIDDEN) != 0 && !parser->section_is_implicit &&
	    strcmp(parser->value, parser->guest.name) != 0) {
		fail(parser, value_at, "the section already names this guest otherwise");
		return;
	}
	if (repeats_wrongly(parser, key, record, key_at)) {
		return;
	}
	if (!config_value_parse(key, record, parser->value, why, sizeof(why))) {
		if (key->type == CONFIG_TYPE_RULES) { /* the word that is meant, behind the quote */
			value_at.column += parser->value_is_quoted +
			                   (uint32_t)config_rule_bad_offset(parser->value);
		}
		fail(parser, value_at, why);
	}
}

static void parse_key_line(struct parser *parser)
{
	struct config_position key_at = position(parser);
	struct config_position value_at;

	if (!read_word(parser, parser->key, sizeof(parser->key))) {
		fail(parser, key_at, "meant is 'key = value', a section in brackets, or a comment");
		return;
	}
	skip_blanks(parser);
	if (at_line_end(parser) || *parser->at != '=') {
		fail(parser, position(parser), "'=' is missing after the key");
		return;
	}
	parser->at++;
	skip_blanks(parser);
	value_at = position(parser);
	parser->value_is_quoted = !at_line_end(parser) && *parser->at == '"';
	if (read_value(parser)) {
		apply_key(parser, key_at, value_at);
	}
}

static void parse_line(struct parser *parser)
{
	const char *nul = parser->line;

	while (parser->line_end > parser->line && parser->line_end[-1] == '\r') {
		parser->line_end--;
	}
	while (nul < parser->line_end && *nul != '\0') {
		nul++;
	}
	parser->at = parser->line;
	skip_blanks(parser);
	if (nul < parser->line_end) {
		parser->at = nul;
		fail(parser, position(parser),
		     "the line holds a zero byte; this is not a text file");
		return;
	}
	if (at_comment_or_end(parser)) {
		return;
	}
	if (*parser->at == '[') {
		parse_header(parser);
		return;
	}
	if (parser->state == STATE_BEFORE) {
		begin_section(parser, STATE_GUEST);
		parser->section_is_implicit = true;
	}
	if (parser->state != STATE_SKIP) {
		parse_key_line(parser);
	}
}

static void parse_all(struct parser *parser, const char *text, size_t size)
{
	const char *end = text + size;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
	}
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		parser->line = text;
		parser->line_end = newline != NULL ? newline : end;
		parser->line_number++;
		text = newline != NULL ? newline + 1 : end;
		parse_line(parser);
	}
	end_section(parser);
}

bool config_parse(struct config *config, const char *text, size_t size)
{
	struct config_position start = { .line = 1, .column = 1 };
	struct parser *parser;

	if (size > CONFIG_TEXT_MAX) {
		config_error_add(&config->errors, start, "the text is larger than 1 MiB");
		return false;
	}
	parser = calloc(1, sizeof(*parser));
	if (parser == NULL) {
		config_error_add(&config->errors, start, "no memory to read the configuration");
		return false;
	}
	parser->config = config;
	parse_all(parser, text, size);
	free(parser);
	return config->errors.count == 0;
}

/* The key of that name; NULL, and an error, where the section has none. */
static const struct config_key *key_named(enum config_section section, const char *name,
                                          struct config_position at, struct config_errors *errors)
{
	const struct config_key *key = config_key_find(section, name);

	if (key == NULL) {
		unknown_key(errors, at, section, name);
	}
	return key;
}

static bool value_set(const struct config_key *key, void *record, const char *value,
                      struct config_position at, struct config_errors *errors)
{
	char why[CONFIG_ERROR_SIZE];

	if (!config_value_parse(key, record, value, why, sizeof(why))) {
		config_error_add(errors, at, "%s", why);
		return false;
	}
	return true;
}

bool config_guest_set(struct config_guest *guest, const char *name, const char *value,
                      struct config_position at, struct config_errors *errors)
{
	const struct config_key *key = key_named(CONFIG_SECTION_GUEST, name, at, errors);

	if (key == NULL) {
		return false;
	}
	if ((key->flags & CONFIG_KEY_HIDDEN) != 0 && strcmp(value, guest->name) != 0) {
		config_error_add(errors, at, "a guest's name cannot be changed");
		return false;
	}
	return value_set(key, guest, value, at, errors);
}

bool config_switch_set(struct config_switch *config, const char *name, const char *value,
                       struct config_position at, struct config_errors *errors)
{
	const struct config_key *key = key_named(CONFIG_SECTION_SWITCH, name, at, errors);

	return key != NULL && value_set(key, config, value, at, errors);
}

/* Names of ports tell them apart. */
static bool check_ports(const struct config_guest *guest, struct config_position at,
                        struct config_errors *errors)
{
	uint32_t i;
	uint32_t j;

	if (guest->ports.count > CONFIG_PORTS_MAX) {
		config_error_add(errors, at, "guest '%s': console-port is given more than %u times",
		                 guest->name, CONFIG_PORTS_MAX);
		return false;
	}
	for (i = 0; i < guest->ports.count; i++) {
		const char *name = guest->ports.text[i];

		if (!config_port_name_is_valid(name)) {
			config_error_add(errors, at,
			                 "guest '%s': console-port '%.40s' is no name: letters, "
			                 "digits, '.', '-' and '_' are meant",
			                 guest->name, name);
			return false;
		}
		for (j = 0; j < i; j++) {
			if (strcmp(name, guest->ports.text[j]) == 0) {
				config_error_add(errors, at,
				                 "guest '%s': there are two console-ports '%s'",
				                 guest->name, name);
				return false;
			}
		}
	}
	return true;
}

bool config_guest_check(const struct config_guest *guest, struct config_position at,
                        struct config_errors *errors)
{
	if (guest->kernel[0] == '\0') {
		config_error_add(errors, at, "guest '%s' needs the key kernel: the file to boot",
		                 guest->name);
		return false;
	}
	if (guest->cap_percent > 100 * guest->vcpu_count) {
		config_error_add(
			errors, at,
			"guest '%s': cap %u is more than its %u vcpus can use; at most %u is meant",
			guest->name, (unsigned int)guest->cap_percent,
			(unsigned int)guest->vcpu_count, (unsigned int)(100 * guest->vcpu_count));
		return false;
	}
	return check_ports(guest, at, errors);
}

static bool needs_quotes(const char *value)
{
	size_t length = strlen(value);

	return length == 0 || strpbrk(value, " \t#;\"'\\") != NULL;
}

static void print_value(const char *value, config_write_fn *write, void *context)
{
	char piece[3] = { '\\', '\0', '\0' };

	if (!needs_quotes(value)) {
		write(context, value);
		return;
	}
	write(context, "\"");
	for (; *value != '\0'; value++) {
		piece[1] = *value;
		write(context, *value == '"' || *value == '\\' ? piece : piece + 1);
	}
	write(context, "\"");
}

/* Prints each key of the record that does not have its default, or that is always shown. */
static void print_keys(enum config_section section, const void *record, config_write_fn *write,
                       void *context)
{
	static char value[VALUE_SIZE];
	size_t i;

	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		uint32_t count = config_value_count(key, record);
		uint32_t idx;

		if (key->section != section || (key->flags & CONFIG_KEY_HIDDEN) != 0) {
			continue;
		}
		for (idx = 0; idx < count; idx++) {
			config_value_print(key, record, idx, value, sizeof(value));
			if (((key->flags & CONFIG_KEY_SHOWN) == 0 || config_key_is_list(key)) &&
			    strcmp(value, key->default_text) == 0) {
				continue;
			}
			write(context, key->name);
			write(context, " = ");
			print_value(value, write, context);
			write(context, "\n");
		}
	}
}

void config_print_host(const struct config_host *host, config_write_fn *write, void *context)
{
	write(context, "[host]\n");
	print_keys(CONFIG_SECTION_HOST, host, write, context);
}

void config_print_switch(const struct config_switch *config, config_write_fn *write, void *context)
{
	write(context, "[switch ");
	write(context, config->settings.name);
	write(context, "]\n");
	print_keys(CONFIG_SECTION_SWITCH, config, write, context);
}

void config_print_guest(const struct config_guest *guest, config_write_fn *write, void *context)
{
	write(context, "[guest ");
	write(context, guest->name);
	write(context, "]\n");
	print_keys(CONFIG_SECTION_GUEST, guest, write, context);
}
