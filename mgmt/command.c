// SPDX-License-Identifier: Apache-2.0
/*
 * From a typed line to a verb's call: words, verb, options, typed arguments; and TAB completion by
 * the same table. Knows the shape of every verb and the meaning of none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/kept.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/verb.h"

int command_split(const char *line, char *buffer, struct verb_word *words, uint32_t *column)
{
	const char *at = line;
	uint32_t count = 0;

	for (;;) {
		char quote = '\0';

		at += strspn(at, " \t");
		if (*at == '\0' || count == VERB_WORDS_MAX) {
			return (int)count;
		}
		words[count].text = buffer;
		words[count].column = (uint32_t)(at - line) + 1;
		for (; *at != '\0' && (quote != '\0' || (*at != ' ' && *at != '\t')); at++) {
			if (quote == '\0' && (*at == '"' || *at == '\'')) {
				quote = *at;
				*column = (uint32_t)(at - line) + 1;
			} else if (quote != '\0' && *at == quote) {
				quote = '\0';
			} else if (quote != '\'' && *at == '\\' &&
			           (at[1] == '"' || at[1] == '\\')) {
				*buffer++ = *++at;
			} else {
				*buffer++ = *at;
			}
		}
		*buffer++ = '\0';
		if (quote != '\0') {
			return -1;
		}
		count++;
	}
}

static const char *nearest_verb(const char *typed)
{
	unsigned int best = 3;
	const char *name = NULL;
	size_t i;

	for (i = 0; i < verb_count; i++) {
		unsigned int distance = config_edit_distance(typed, verbs[i].name);

		if (distance < best) {
			best = distance;
			name = verbs[i].name;
		}
	}
	return name;
}

static void unknown_verb(const char *typed, struct result *result)
{
	const char *nearest = nearest_verb(typed);
	char meant[80];

	snprintf(meant, sizeof(meant), "%s%s%s", nearest != NULL ? "did you mean '" : "",
	         nearest != NULL ? nearest : "help lists the verbs", nearest != NULL ? "'?" : "");
	result_error(result, "", meant, "there is no verb '%.32s'", typed);
}

static bool read_number(const char *text, uint32_t *number)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9') {
		return false;
	}
	value = strtoul(text, &end, 10);
	if (*end != '\0' || value > 1000000) {
		return false;
	}
	*number = (uint32_t)value;
	return true;
}

static void usage_error(const struct verb *verb, struct result *result, const char *what)
{
	char usage[160];
	char meant[180];

	verb_usage(verb, usage, sizeof(usage));
	snprintf(meant, sizeof(meant), "meant is: %s", usage);
	result_error(result, verb->name, meant, "%s", what);
}

/* An option with a word after it; returns how many words it takes, 0 on an error. */
static uint32_t take_text_option(struct verb_call *call, char letter, const struct verb_word *words,
                                 uint32_t left, struct result *result)
{
	const char **text = letter == 't'   ? &call->type
	                    : letter == 'n' ? &call->number
	                                    : &call->size_text;
	char what[32];

	if (left < 2) {
		snprintf(what, sizeof(what), "-%c needs a word after it", letter);
		usage_error(call->verb, result, what);
		return 0;
	}
	*text = words[1].text;
	return 2;
}

/* An option word at words[i]; returns how many words it takes, 0 on an error. */
static uint32_t take_option(struct verb_call *call, const struct verb_word *words, uint32_t left,
                            struct result *result)
{
	const char *text = words[0].text;
	char letter = text[1];

	if (strcmp(text, "--json") == 0) {
		call->is_json = true;
		return 1;
	}
	if (letter == '-') {
		letter = text[2];
	}
	if (letter == '\0' || strchr(call->verb->options, letter) == NULL) {
		char what[64];

		snprintf(what, sizeof(what), "there is no option '%.32s'", text);
		usage_error(call->verb, result, what);
		return 0;
	}
	if (letter == 'v') {
		call->is_verbose = true;
	} else if (letter == 'f') {
		call->is_following = true;
	} else if (letter == 'h') {
		call->has_histogram = true;
	} else if (strchr("tns", letter) != NULL) {
		return take_text_option(call, letter, words, left, result);
	} else if (left < 2 || !read_number(words[1].text, &call->wait_seconds)) {
		usage_error(call->verb, result, "-w needs a number of seconds");
		return 0;
	} else {
		call->has_wait = true;
		return 2;
	}
	return 1;
}

static bool is_option(const struct verb_call *call, const char *text)
{
	/* Values of set may begin with a dash; options of set do not exist. */
	return text[0] == '-' && text[1] != '\0' &&
	       (call->verb->options[0] != '\0' || strcmp(text, "--json") == 0 ||
	        call->verb->args[0].kind == VERB_ARG_NONE);
}

static struct guest *find_guest(const char *text)
{
	struct guest *guest = partition_find(text);
	uint32_t number;
	uint32_t slot;

	if (guest != NULL || !read_number(text, &number)) {
		return guest;
	}
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		guest = partition_guest(slot);
		if (guest != NULL && guest->id == number) {
			return guest;
		}
	}
	return NULL;
}

/* A short list of the guests' names for an error. */
static void guest_names(char *out, size_t size)
{
	size_t used = 0;
	uint32_t slot;

	snprintf(out, size, "no guest is defined");
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL && used + CONFIG_NAME_SIZE + 16 < size) {
			used += (size_t)snprintf(out + used, size - used, "%s%s",
			                         used == 0 ? "the guests are: " : " ",
			                         guest->config.name);
		}
	}
}

static bool in_choices(const char *choices, const char *text)
{
	size_t length = strlen(text);

	while (*choices != '\0') {
		size_t part = strcspn(choices, " ");

		if (part == length && memcmp(choices, text, length) == 0) {
			return true;
		}
		choices += part;
		choices += strspn(choices, " ");
	}
	return false;
}

static bool check_arg(struct verb_call *call, const struct verb_arg *arg, const char *text,
                      struct result *result)
{
	char meant[256];

	switch (arg->kind) {
	case VERB_ARG_GUEST:
		call->guest = find_guest(text);
		if (call->guest == NULL) {
			guest_names(meant, sizeof(meant));
			result_error(result, call->verb->name, meant, "there is no guest '%.40s'",
			             text);
			return false;
		}
		return true;
	case VERB_ARG_VCPU:
		if (!read_number(text, &call->vcpu_idx)) {
			usage_error(call->verb, result, "VCPU is a number, from 0");
			return false;
		}
		return true;
	case VERB_ARG_VERB:
		if (verb_find(text) == NULL) {
			unknown_verb(text, result);
			return false;
		}
		return true;
	case VERB_ARG_CHOICE:
		if (!in_choices(arg->choices, text)) {
			usage_error(call->verb, result, "the argument is not one of those meant");
			return false;
		}
		return true;
	case VERB_ARG_NONE:
	case VERB_ARG_NEW_NAME:
	case VERB_ARG_FILE:
	case VERB_ARG_KEY:
	case VERB_ARG_VALUE:
	case VERB_ARG_ASSIGNS:
	case VERB_ARG_SWITCH:
		break;
	}
	return true;
}

static bool check_args(struct verb_call *call, struct result *result)
{
	const struct verb_arg *args = call->verb->args;
	uint32_t i;

	for (i = 0; i < VERB_ARGS_MAX && args[i].kind != VERB_ARG_NONE; i++) {
		if (args[i].kind == VERB_ARG_ASSIGNS) {
			return true;
		}
		if (i >= call->word_count) {
			char what[64];

			if (args[i].is_optional) {
				return true;
			}
			snprintf(what, sizeof(what), "%s is missing", args[i].name);
			usage_error(call->verb, result, what);
			return false;
		}
		if (!check_arg(call, &args[i], call->word[i].text, result)) {
			return false;
		}
	}
	if (call->word_count > i) {
		usage_error(call->verb, result, "there are too many arguments");
		return false;
	}
	return true;
}

/* KEY=VALUE is taken where KEY and VALUE are meant. */
static void split_key(struct verb_call *call)
{
	uint32_t last = call->word_count - 1;
	struct verb_word *word = call->word;
	char *equals;

	if (call->word_count == 0 || call->word_count >= VERB_ARGS_MAX ||
	    call->verb->args[last].kind != VERB_ARG_KEY) {
		return;
	}
	equals = strchr(word[last].text, '=');
	if (equals != NULL) {
		*equals = '\0';
		word[last + 1].text = equals + 1;
		word[last + 1].column = word[last].column +
		                        (uint32_t)(equals + 1 - word[last].text);
		call->word_count++;
	}
}

static bool parse_words(struct verb_call *call, const struct verb_word *words, uint32_t count,
                        struct result *result)
{
	uint32_t i = 1;

	while (i < count) {
		uint32_t taken;

		if (!is_option(call, words[i].text)) {
			call->word[call->word_count++] = words[i++];
			continue;
		}
		taken = take_option(call, words + i, count - i, result);
		if (taken == 0) {
			return false;
		}
		i += taken;
	}
	split_key(call);
	return check_args(call, result);
}

/* Errors of the line itself are printed as JSON too. */
static bool has_json(const struct verb_word *words, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++) {
		if (strcmp(words[i].text, "--json") == 0) {
			return true;
		}
	}
	return false;
}

void command_run(struct shell *shell, const char *line, struct result *result, bool *is_json)
{
	static char buffer[LINE_SIZE + VERB_WORDS_MAX];
	static struct verb_word words[VERB_WORDS_MAX];
	static struct verb_call call;
	uint32_t column = 0;
	int count = command_split(line, buffer, words, &column);

	memset(&call, 0, sizeof(call));
	if (count < 0) {
		char where[32];

		snprintf(where, sizeof(where), "column %u", (unsigned int)column);
		result_error(result, where, "", "the quote is not closed");
		return;
	}
	if (count == 0 || words[0].text[0] == '#' || words[0].text[0] == ';') {
		return;
	}
	call.verb = verb_find(words[0].text);
	call.shell = shell;
	call.line = line;
	*is_json = has_json(words, (uint32_t)count);
	if (call.verb == NULL) {
		unknown_verb(words[0].text, result);
		return;
	}
	if (parse_words(&call, words, (uint32_t)count, result)) {
		call.verb->run(&call, result);
	}
}

/* ---- completion ------------------------------------------------------------------------------ */

static void offer_guests(struct line_choices *choices)
{
	uint32_t slot;

	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		const struct guest *guest = partition_guest(slot);

		if (guest != NULL) {
			line_choice_add(choices, guest->config.name);
		}
	}
}

static void offer_files(struct line_choices *choices)
{
	const struct mgmt_info *info = machine_info();
	char name[sizeof(info->files[0].name)];
	uint32_t i;

	for (i = 0; i < info->files_count && i < BH_MODULES_MAX; i++) {
		memcpy(name, info->files[i].name, sizeof(name));
		name[sizeof(name) - 1] = '\0';
		line_choice_add(choices, name);
	}
	for (i = 0; i < BH_KEPT_MAX; i++) {
		const struct kept_record *record = kept_record(i);

		if (record != NULL && record->purpose == KEPT_FILE && record->size_bytes != 0) {
			line_choice_add(choices, record->name);
		}
	}
}

static void offer_keys(struct line_choices *choices, enum config_section section,
                       const char *suffix)
{
	char word[LINE_CHOICE_SIZE];
	size_t i;

	for (i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section == section && (key->flags & CONFIG_KEY_HIDDEN) == 0) {
			snprintf(word, sizeof(word), "%s%s", key->name, suffix);
			line_choice_add(choices, word);
		}
	}
}

static void offer_list(struct line_choices *choices, const char *list)
{
	char word[LINE_CHOICE_SIZE];

	while (*list != '\0') {
		size_t length = strcspn(list, " ");

		if (length < sizeof(word)) {
			memcpy(word, list, length);
			word[length] = '\0';
			line_choice_add(choices, word);
		}
		list += length;
		list += strspn(list, " ");
	}
}

/* Values that a key can have, where they are few or are files. */
static void offer_values(struct line_choices *choices, enum config_section section,
                         const char *key_name)
{
	const struct config_key *key = config_key_find(section, key_name);

	if (key == NULL) {
		return;
	}
	if (key->type == CONFIG_TYPE_FLAG) {
		offer_list(choices, "yes no");
	} else if (key->type == CONFIG_TYPE_ACTION) {
		offer_list(choices, "destroy restart preserve");
	} else if (strcmp(key->name, "kernel") == 0 || strcmp(key->name, "ramdisk") == 0) {
		offer_files(choices);
	} else if (key->type == CONFIG_TYPE_CPUS) {
		offer_list(choices, "any");
	} else if (key->type == CONFIG_TYPE_POLICY) {
		offer_list(choices, "allow deny");
	}
}

/* key=value of create: completes the value once the '=' is typed. */
static void offer_assign(struct line_choices *choices, enum config_section section,
                         const char *word)
{
	const char *equals = strchr(word, '=');
	char key[CONFIG_NAME_SIZE];

	if (equals == NULL || (size_t)(equals - word) >= sizeof(key)) {
		offer_keys(choices, section, "=");
		return;
	}
	memcpy(key, word, (size_t)(equals - word));
	key[equals - word] = '\0';
	choices->start += (size_t)(equals - word) + 1;
	offer_values(choices, section, key);
}

static void offer_switches(struct line_choices *choices)
{
	uint32_t count;
	uint32_t i;

	for (i = 0; switch_name_at(i, &count, &count) != NULL; i++) {
		line_choice_add(choices, switch_name_at(i, &count, &count));
	}
}

static void offer_verbs(struct line_choices *choices)
{
	size_t i;

	for (i = 0; i < verb_count; i++) {
		line_choice_add(choices, verbs[i].name);
	}
}

static void offer_arg(struct line_choices *choices, const struct verb_arg *arg, const char *word,
                      const char *previous)
{
	switch (arg->kind) {
	case VERB_ARG_GUEST:
		offer_guests(choices);
		break;
	case VERB_ARG_FILE:
		offer_files(choices);
		break;
	case VERB_ARG_KEY:
		if (strchr(word, '=') != NULL) {
			offer_assign(choices, CONFIG_SECTION_GUEST, word);
		} else {
			offer_keys(choices, CONFIG_SECTION_GUEST, "");
		}
		break;
	case VERB_ARG_VALUE:
		if (arg->choices != NULL) {
			offer_list(choices, arg->choices);
		} else {
			offer_values(choices, CONFIG_SECTION_GUEST, previous);
		}
		break;
	case VERB_ARG_VERB:
		offer_verbs(choices);
		break;
	case VERB_ARG_CHOICE:
		offer_list(choices, arg->choices);
		break;
	case VERB_ARG_ASSIGNS:
		offer_assign(choices, CONFIG_SECTION_GUEST, word);
		break;
	case VERB_ARG_SWITCH:
		offer_switches(choices);
		break;
	case VERB_ARG_NONE:
	case VERB_ARG_NEW_NAME:
	case VERB_ARG_VCPU:
		break;
	}
}

/* What follows the name of a switch: keys or a change of its rules, by the word before it. words[0] is the verb. */
static void offer_switch_word(struct line_choices *choices, const struct verb_word *words,
                              uint32_t idx, const char *word)
{
	if (strcmp(words[1].text, "add") == 0 || strcmp(words[1].text, "set") == 0) {
		offer_assign(choices, CONFIG_SECTION_SWITCH, word);
	} else if (strcmp(words[1].text, "rules") == 0 && idx == 3) {
		offer_list(choices, "add insert del clear");
	} else if (strcmp(words[1].text, "rules") == 0 && strcmp(words[3].text, "add") == 0) {
		offer_list(choices, "allow deny in out port= smac= dmac= ether= vlan= src= dst= "
		                    "proto= sport= dport= icmp-type=");
	}
}

/* The argument that word number idx (0 = first after the verb) belongs to. */
static const struct verb_arg *arg_at(const struct verb *verb, uint32_t idx)
{
	uint32_t i;

	for (i = 0; i < VERB_ARGS_MAX && verb->args[i].kind != VERB_ARG_NONE; i++) {
		if (i == idx || verb->args[i].kind == VERB_ARG_ASSIGNS) {
			return &verb->args[i];
		}
	}
	return NULL;
}

void command_complete(void *context, struct line_choices *choices)
{
	static char typed[LINE_SIZE];
	static char buffer[LINE_SIZE + VERB_WORDS_MAX];
	static struct verb_word words[VERB_WORDS_MAX];
	const struct verb_arg *arg;
	const struct verb *verb;
	uint32_t column;
	uint32_t idx;
	int count;

	(void)context;
	memcpy(typed, choices->text, choices->cursor);
	typed[choices->cursor] = '\0';
	count = command_split(typed, buffer, words, &column);
	if (count < 0) {
		return;
	}
	choices->start = choices->cursor;
	while (choices->start > 0 && typed[choices->start - 1] != ' ') {
		choices->start--;
	}
	idx = (uint32_t)count - (choices->start < choices->cursor ? 1 : 0);
	if (idx == 0) {
		offer_verbs(choices);
		return;
	}
	verb = verb_find(words[0].text);
	arg = verb != NULL ? arg_at(verb, idx - 1) : NULL;
	if (arg != NULL && arg->kind == VERB_ARG_ASSIGNS && arg->choices != NULL) {
		offer_switch_word(choices, words, idx,
		                  idx < (uint32_t)count ? words[idx].text : "");
	} else if (arg != NULL) {
		offer_arg(choices, arg, idx < (uint32_t)count ? words[idx].text : "",
		          words[idx - 1].text);
	}
}
