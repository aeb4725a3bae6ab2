/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line editor: bytes from a terminal in, edited lines and echo out.
 *
 * A byte-in byte-out machine without any I/O of its own. It draws with printable characters, CR, LF
 * and BS alone, so that a terminal without cursor addressing works too; only Ctrl-L sends VT100
 * sequences. Lines longer than the terminal scroll sideways. docs/shell.md lists the keys.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_SIZE        2560u
#define LINE_HISTORY     32u
#define LINE_CHOICES_MAX 96u
#define LINE_CHOICE_SIZE 48u
#define LINE_WIDTH       80u

enum line_event {
	LINE_NONE,
	LINE_READY,     /* line->text holds a finished line; line_begin() starts the next */
	LINE_INTERRUPT, /* Ctrl-C: what was typed is dropped */
	LINE_END,       /* Ctrl-D on an empty line */
};

/* What a completion callback offers: words that may replace the text from start to the cursor. */
struct line_choices {
	const char *text;
	size_t start;
	size_t cursor;
	uint32_t count;
	char word[LINE_CHOICES_MAX][LINE_CHOICE_SIZE];
};

typedef void line_write_fn(void *context, const char *bytes, size_t size);
typedef void line_complete_fn(void *context, struct line_choices *choices);

struct line {
	line_write_fn *write;
	line_complete_fn *complete; /* NULL: TAB is a blank */
	void *context;
	const char *prompt;
	char text[LINE_SIZE]; /* always ends with NUL */
	size_t length;
	size_t cursor;
	size_t window; /* first character that is on the screen */
	size_t shown;  /* characters of the text that are on the screen */
	size_t column; /* where the terminal's cursor is, counted from the prompt's end */
	uint32_t escape;
	uint32_t escape_number;
	bool was_cr;
	bool is_pasting;
	uint32_t history_count;  /* lines ever stored */
	uint32_t history_offset; /* 0: the line being typed; n: the n-th last of the history */
	char history[LINE_HISTORY][LINE_SIZE];
	char typed[LINE_SIZE]; /* the line being typed, while the history is shown */
	struct line_choices choices;
};

void line_init(struct line *line, line_write_fn *write, line_complete_fn *complete, void *context);

/* Prints the prompt (kept by reference) and starts an empty line. */
void line_begin(struct line *line, const char *prompt);

/* Takes one byte from the terminal. After any result but LINE_NONE call line_begin() to go on. */
enum line_event line_feed(struct line *line, unsigned char byte);

/* Takes the prompt and the line off the screen, and puts them back: for a message in between. */
void line_hide(struct line *line);
void line_show(struct line *line);

/* For a completion callback: offers word if it goes on from what is typed; suffix is added when
 * it is the only one (' ' after a whole word). */
void line_choice_add(struct line_choices *choices, const char *word);
