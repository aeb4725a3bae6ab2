/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs: the table of what an operator can type, and the call record that a verb gets.
 *
 * A row says all about a verb: names, arguments with their types, options, help. Parsing,
 * completion, `help` and docs/shell.md follow the table. A verb checks, acts through partition.h,
 * and fills a result.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt/ledger.h"
#include "mgmt/line.h"
#include "mgmt/result.h"

#define VERB_ARGS_MAX  4u
#define VERB_WORDS_MAX 32u

struct shell;

enum verb_arg_kind {
	VERB_ARG_NONE,
	VERB_ARG_GUEST,    /* name or id of a guest that is defined */
	VERB_ARG_NEW_NAME, /* name for a new guest */
	VERB_ARG_VCPU,     /* number */
	VERB_ARG_FILE,
	VERB_ARG_KEY,
	VERB_ARG_VALUE,
	VERB_ARG_VERB,
	VERB_ARG_CHOICE,  /* one of the words in choices */
	VERB_ARG_ASSIGNS, /* key=value, any number of times; must be last; keys of a guest, or with
	                   * choices "switch" of a switch */
	VERB_ARG_SWITCH,  /* name of a switch, that is there or not */
};

struct verb_arg {
	const char *name;
	enum verb_arg_kind kind;
	bool is_optional;
	const char *choices; /* separated by spaces; of VERB_ARG_VALUE: some, to complete */
};

/* A word of the line; column counts from 1. */
struct verb_word {
	const char *text;
	uint32_t column;
};

struct verb_call {
	const struct verb *verb;
	struct shell *shell;
	const char *line; /* the whole line as typed */
	bool is_json;
	bool is_verbose;    /* -v */
	bool is_following;  /* -f */
	bool has_histogram; /* -h, --histogram */
	bool has_wait;      /* -w SECONDS */
	uint32_t wait_seconds;
	const char *type;      /* -t TYPE, or NULL */
	const char *number;    /* -n NUMBER or name, or NULL */
	const char *size_text; /* -s SIZE, --size SIZE, or NULL */
	struct guest *guest;   /* the first VERB_ARG_GUEST, or NULL */
	uint32_t vcpu_idx;
	uint32_t word_count; /* arguments without the options; word i belongs to args[i] */
	struct verb_word word[VERB_WORDS_MAX];
};

struct verb {
	const char *name;
	const char *aliases; /* separated by spaces */
	const char *options; /* letters of v, f, h, w, t, n, s */
	struct verb_arg args[VERB_ARGS_MAX];
	const char *help;
	const char *example;
	void (*run)(struct verb_call *call, struct result *result);
};

/* verbs.c */
extern const struct verb verbs[];
extern const size_t verb_count;

/* By name or alias, or NULL. */
const struct verb *verb_find(const char *name);

/* Writes the verb's line of use, as `stop GUEST [-w SECONDS]`. */
void verb_usage(const struct verb *verb, char *out, size_t size);

/* command.c: runs one line. The texts of call live in buffer[size]. */
void command_run(struct shell *shell, const char *line, struct result *result, bool *is_json);
void command_complete(void *context, struct line_choices *choices);

/* Splits a line into words as a shell does: blanks separate, quotes group, \ keeps " and \.
 * Returns the count, or -1 with the column of the quote that has no end. buffer needs
 * strlen(line) + 1 bytes. */
int command_split(const char *line, char *buffer, struct verb_word *words, uint32_t *column);

/* The verbs, by file. verbs_define.c: what changes definitions. */
void verb_create(struct verb_call *call, struct result *result);
void verb_create_section(const char *text, size_t size, struct result *result);
void verb_delete(struct verb_call *call, struct result *result);
void verb_set(struct verb_call *call, struct result *result);
void verb_show(struct verb_call *call, struct result *result);
void verb_load(struct verb_call *call, struct result *result);
void verb_save(struct verb_call *call, struct result *result);
void verb_check(struct verb_call *call, struct result *result);

/* Defines the guests of a configuration text; what is wrong goes into the result as a table. */
bool verb_load_text(const char *source, const char *text, size_t size, struct result *result);

/* verbs_control.c: what moves guests. */
void verb_start(struct verb_call *call, struct result *result);
void verb_stop(struct verb_call *call, struct result *result);
void verb_kill(struct verb_call *call, struct result *result);
void verb_reboot(struct verb_call *call, struct result *result);
void verb_reset(struct verb_call *call, struct result *result);
void verb_pause(struct verb_call *call, struct result *result);
void verb_resume(struct verb_call *call, struct result *result);
void verb_console(struct verb_call *call, struct result *result);
void verb_mem_set(struct verb_call *call, struct result *result);
void verb_mem_stat(struct verb_call *call, struct result *result);
void verb_vsock(struct verb_call *call, struct result *result);
void verb_devices_guest(struct verb_call *call, struct result *result);
void verb_host(struct verb_call *call, struct result *result);
void verb_regs(struct verb_call *call, struct result *result);

/* verbs_view.c: what only looks. */
void verb_info(struct verb_call *call, struct result *result);
void verb_list(struct verb_call *call, struct result *result);
void verb_vcpus(struct verb_call *call, struct result *result);
void verb_files(struct verb_call *call, struct result *result);
void verb_log(struct verb_call *call, struct result *result);
void verb_events(struct verb_call *call, struct result *result);

/* verbs_devices.c, verbs_net.c: the machine's devices and network. */
void verb_devices(struct verb_call *call, struct result *result);
void verb_fetch(struct verb_call *call, struct result *result);
void verb_ping(struct verb_call *call, struct result *result);
void verb_iperf(struct verb_call *call, struct result *result);
void verb_disk(struct verb_call *call, struct result *result);
void verb_net(struct verb_call *call, struct result *result);

/* verbs_stats_machine.c */
void verb_stats(struct verb_call *call, struct result *result);

/* verbs_switch.c: the virtual switches. */
void verb_switch(struct verb_call *call, struct result *result);

/* verbs_stats.c: how often and how long. */
void verb_exits(struct verb_call *call, struct result *result);
void verb_latency(struct verb_call *call, struct result *result);
void verb_top(struct verb_call *call, struct result *result);

/* verbs_trace.c */
void verb_trace(struct verb_call *call, struct result *result);

/* verbs.c */
void verb_help(struct verb_call *call, struct result *result);
void verb_version(struct verb_call *call, struct result *result);
