/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell: the operator's terminal between the line editor, the verbs and the guests' consoles.
 *
 * It is one state machine: at the prompt, taking a section, waiting for a verb's end, following a
 * log, or connected to a guest's console. It never blocks; shell_poll() goes as far as it can.
 * Verbs know nothing of the terminal: they fill a struct result, or leave a wait or a follower
 * behind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mgmt/line.h"
#include "mgmt/result.h"

#define SHELL_SECTION_SIZE 8192u
#define SHELL_TYPED_AHEAD  4096u
#define SHELL_TOLD_EVENTS  8u

enum shell_mode {
	SHELL_PROMPT,
	SHELL_SECTION, /* lines of a section, up to an empty one */
	SHELL_WAIT,    /* a verb is not finished yet */
	SHELL_FOLLOW,  /* log -f, events -f */
	SHELL_CONSOLE,
};

struct shell;

/* What a verb leaves behind when it cannot finish at once. Its fields are the verb's own. */
struct shell_wait {
	/* True when it is finished, with the result filled; else raw text in it goes out at once. Called after every event. */
	bool (*poll)(struct shell_wait *wait, struct result *result);
	/* Ctrl-C: ends the work and tells what there is of it. NULL: the work goes on. */
	void (*leave)(struct result *result);
	/* Bytes done so far, and of how many (0: not known); NULL: nothing to show. */
	uint64_t (*progress)(struct shell_wait *wait, uint64_t *total);
	uint64_t progress_tsc; /* when it is shown again */
	uint64_t guest_id;
	uint32_t slot;
	uint32_t kind;
	uint64_t deadline_tsc;
	size_t room;         /* bytes that the line takes now without waiting */
	uint64_t told_event; /* number from 1 of an event that the result tells already; 0: none */
	bool is_json;
};

/* Adds what is new to the raw text of result; called about five times a second. */
struct shell_follow {
	void (*poll)(struct shell_follow *follow, struct result *result);
	uint64_t position;
};

/* Where the shell's bytes come from and go to. */
struct shell_io {
	int (*read)(void);                                  /* next byte or -1 */
	size_t (*room)(void);                               /* bytes that write takes at once */
	void (*write)(const char *bytes, size_t size);      /* as they are */
	void (*write_text)(const char *bytes, size_t size); /* LF as CR LF */
};

struct shell {
	struct line line;
	struct shell_io io;
	uint64_t prompt_tsc; /* when the first prompt was shown */
	enum shell_mode mode;
	struct shell_wait wait;
	struct shell_follow follow;
	uint64_t follow_deadline_tsc;
	uint32_t console_slot;
	uint32_t console_line;
	uint64_t console_guest_id;
	char held; /* a byte for the guest that its ring had no room for */
	bool is_held;
	uint64_t told_events[SHELL_TOLD_EVENTS]; /* of the last waits */
	uint32_t told_count;
	uint64_t news_count; /* events of the ledger that are shown or passed over */
	uint32_t section_size;
	char section[SHELL_SECTION_SIZE];
	uint32_t ahead_head, ahead_tail;
	char ahead[SHELL_TYPED_AHEAD];
};

void shell_init(struct shell *shell, const struct shell_io *io);

/* Shows the prompt for the first time. */
void shell_start(struct shell *shell);

/* Takes input, moves waits, followers and the console on. */
void shell_poll(struct shell *shell);
uint64_t shell_deadline_tsc(const struct shell *shell);

/* For verbs: what to do after they return. */
void shell_begin_wait(struct shell *shell, const struct shell_wait *wait);
void shell_begin_follow(struct shell *shell, const struct shell_follow *follow);
void shell_begin_console(struct shell *shell, uint32_t slot, uint32_t line);
void shell_begin_section(struct shell *shell, const char *first_line);
