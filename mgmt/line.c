// SPDX-License-Identifier: Apache-2.0
/*
 * The line editor (see line.h). No I/O, no allocation; everything is in struct line.
 *
 * Drawing rule: `column` always says where the terminal's cursor is. redraw() is the only function
 * that moves it within a line.
 */
#include "mgmt/line.h"

#include <string.h>

#define KEY_CTRL(letter) ((unsigned char)((letter)&0x1f))
#define KEY_BACKSPACE    0x08
#define KEY_TAB          0x09
#define KEY_LF           0x0a
#define KEY_CR           0x0d
#define KEY_ESCAPE       0x1b
#define KEY_DELETE       0x7f

enum escape_state {
	ESCAPE_NONE,
	ESCAPE_BEGUN,   /* after ESC */
	ESCAPE_BRACKET, /* after ESC [ */
	ESCAPE_O,       /* after ESC O */
};

static void emit(struct line *line, const char *bytes, size_t size)
{
	if (size != 0) {
		line->write(line->context, bytes, size);
	}
}

static void emit_repeated(struct line *line, char byte, size_t count)
{
	char block[32];

	memset(block, byte, sizeof(block));
	while (count != 0) {
		size_t part = count < sizeof(block) ? count : sizeof(block);

		emit(line, block, part);
		count -= part;
	}
}

/* Columns that the text may use; the terminal's last column stays free, since some wrap there. */
static size_t visible_columns(const struct line *line)
{
	return LINE_WIDTH - 1 - strlen(line->prompt);
}

/* Moves the window so that the cursor is in it; true if it moved. Moves a third at a time, so
 * that a long line is not redrawn for each character. */
static bool scroll_to_cursor(struct line *line)
{
	size_t columns = visible_columns(line);
	size_t step = columns / 3;

	if (line->cursor >= line->window && line->cursor <= line->window + columns) {
		return false;
	}
	if (line->cursor < line->window) {
		line->window = line->cursor > step ? line->cursor - step : 0;
	} else {
		line->window = line->cursor - columns + step;
	}
	return true;
}

/* Brings the screen up to date; the text before index from has not changed. */
static void redraw(struct line *line, size_t from)
{
	size_t columns = visible_columns(line);
	size_t end;
	size_t column;

	if (scroll_to_cursor(line) || from < line->window) {
		from = line->window;
	}
	column = from - line->window;
	if (column < line->column) {
		emit_repeated(line, '\b', line->column - column);
	} else {
		emit(line, line->text + line->window + line->column, column - line->column);
	}
	end = line->length < line->window + columns ? line->length : line->window + columns;
	if (end > from) {
		emit(line, line->text + from, end - from);
		column += end - from;
	}
	if (line->shown > column) {
		emit_repeated(line, ' ', line->shown - column);
		emit_repeated(line, '\b', line->shown - column);
	}
	line->shown = end > line->window ? end - line->window : 0;
	emit_repeated(line, '\b', column - (line->cursor - line->window));
	line->column = line->cursor - line->window;
}

/* Moves the cursor only. */
static void move_to(struct line *line, size_t position)
{
	size_t column;

	line->cursor = position;
	if (position < line->window || position > line->window + visible_columns(line)) {
		redraw(line, line->window);
		return;
	}
	column = position - line->window;
	if (column < line->column) {
		emit_repeated(line, '\b', line->column - column);
	} else {
		emit(line, line->text + line->window + line->column, column - line->column);
	}
	line->column = column;
}

static void insert(struct line *line, const char *bytes, size_t size)
{
	size_t at = line->cursor;

	if (line->length + size >= LINE_SIZE) {
		emit(line, "\a", 1);
		return;
	}
	memmove(line->text + at + size, line->text + at, line->length - at + 1);
	memcpy(line->text + at, bytes, size);
	line->length += size;
	line->cursor += size;
	redraw(line, at);
}

/* Removes the text from start up to end, and leaves the cursor there. */
static void remove_range(struct line *line, size_t start, size_t end)
{
	if (start == end) {
		return;
	}
	memmove(line->text + start, line->text + end, line->length - end + 1);
	line->length -= end - start;
	line->cursor = start;
	redraw(line, start);
}

static void replace_all(struct line *line, const char *text)
{
	size_t length = strlen(text);

	memcpy(line->text, text, length + 1);
	line->length = length;
	line->cursor = length;
	redraw(line, 0);
}

static size_t word_start(const struct line *line)
{
	size_t at = line->cursor;

	while (at > 0 && line->text[at - 1] == ' ') {
		at--;
	}
	while (at > 0 && line->text[at - 1] != ' ') {
		at--;
	}
	return at;
}

static char *history_line(struct line *line, uint32_t offset)
{
	return line->history[(line->history_count - offset) % LINE_HISTORY];
}

static void show_history(struct line *line, uint32_t offset)
{
	uint32_t kept = line->history_count < LINE_HISTORY ? line->history_count : LINE_HISTORY;

	if (offset > kept || offset == line->history_offset) {
		return;
	}
	if (line->history_offset == 0) {
		memcpy(line->typed, line->text, line->length + 1);
	}
	line->history_offset = offset;
	replace_all(line, offset == 0 ? line->typed : history_line(line, offset));
}

static void store_history(struct line *line)
{
	if (line->length == 0 ||
	    (line->history_count != 0 && strcmp(history_line(line, 1), line->text) == 0)) {
		return;
	}
	line->history_count++;
	memcpy(history_line(line, 1), line->text, line->length + 1);
}

void line_init(struct line *line, line_write_fn *write, line_complete_fn *complete, void *context)
{
	memset(line, 0, sizeof(*line));
	line->write = write;
	line->complete = complete;
	line->context = context;
	line->prompt = "";
}

void line_begin(struct line *line, const char *prompt)
{
	line->prompt = prompt;
	line->text[0] = '\0';
	line->length = 0;
	line->cursor = 0;
	line->window = 0;
	line->shown = 0;
	line->column = 0;
	line->history_offset = 0;
	line->escape = ESCAPE_NONE;
	emit(line, prompt, strlen(prompt));
}

void line_hide(struct line *line)
{
	emit(line, "\r", 1);
	emit_repeated(line, ' ', strlen(line->prompt) + line->shown);
	emit(line, "\r", 1);
}

void line_show(struct line *line)
{
	emit(line, line->prompt, strlen(line->prompt));
	line->shown = 0;
	line->column = 0;
	redraw(line, line->window);
}

void line_choice_add(struct line_choices *choices, const char *word)
{
	size_t typed = choices->cursor - choices->start;
	size_t length = strlen(word);

	if (choices->count >= LINE_CHOICES_MAX || length >= LINE_CHOICE_SIZE || length < typed ||
	    memcmp(word, choices->text + choices->start, typed) != 0) {
		return;
	}
	memcpy(choices->word[choices->count++], word, length + 1);
}

/* Prints the choices below the line in columns, and the line again. */
static void list_choices(struct line *line)
{
	struct line_choices *choices = &line->choices;
	size_t width = 0;
	size_t column = 0;
	uint32_t i;

	for (i = 0; i < choices->count; i++) {
		size_t length = strlen(choices->word[i]);

		width = length > width ? length : width;
	}
	width += 2;
	for (i = 0; i < choices->count; i++) {
		size_t length = strlen(choices->word[i]);

		if (column == 0 || column + width >= LINE_WIDTH) {
			emit(line, "\n", 1);
			column = 0;
		}
		emit(line, choices->word[i], length);
		if (i + 1 < choices->count) {
			emit_repeated(line, ' ', width - length);
		}
		column += width;
	}
	emit(line, "\n", 1);
	line_show(line);
}

static void complete(struct line *line)
{
	struct line_choices *choices = &line->choices;
	size_t typed;
	size_t common;
	uint32_t i;

	choices->text = line->text;
	choices->cursor = line->cursor;
	choices->start = line->cursor;
	choices->count = 0;
	line->complete(line->context, choices);
	if (choices->count == 0) {
		emit(line, "\a", 1);
		return;
	}
	typed = line->cursor - choices->start;
	common = strlen(choices->word[0]);
	for (i = 1; i < choices->count; i++) {
		size_t same = 0;

		while (same < common && choices->word[i][same] == choices->word[0][same]) {
			same++;
		}
		common = same;
	}
	if (common > typed) {
		insert(line, choices->word[0] + typed, common - typed);
	} else if (choices->count > 1) {
		list_choices(line);
	}
	if (choices->count == 1 && (common == 0 || choices->word[0][common - 1] != '=') &&
	    line->text[line->cursor] == '\0') {
		insert(line, " ", 1);
	}
}

static void clear_screen(struct line *line)
{
	static const char home_and_erase[] = "\x1b[H\x1b[2J";

	emit(line, home_and_erase, sizeof(home_and_erase) - 1);
	line_show(line);
}

static void feed_control(struct line *line, unsigned char byte)
{
	switch (byte) {
	case KEY_CTRL('A'):
		move_to(line, 0);
		break;
	case KEY_CTRL('E'):
		move_to(line, line->length);
		break;
	case KEY_CTRL('B'):
		move_to(line, line->cursor > 0 ? line->cursor - 1 : 0);
		break;
	case KEY_CTRL('F'):
		move_to(line, line->cursor < line->length ? line->cursor + 1 : line->length);
		break;
	case KEY_CTRL('D'):
		remove_range(line, line->cursor,
		             line->cursor < line->length ? line->cursor + 1 : line->length);
		break;
	case KEY_CTRL('K'):
		remove_range(line, line->cursor, line->length);
		break;
	case KEY_CTRL('U'):
		remove_range(line, 0, line->cursor);
		break;
	case KEY_CTRL('W'):
		remove_range(line, word_start(line), line->cursor);
		break;
	case KEY_CTRL('L'):
		clear_screen(line);
		break;
	case KEY_CTRL('P'):
		show_history(line, line->history_offset + 1);
		break;
	case KEY_CTRL('N'):
		show_history(line, line->history_offset > 0 ? line->history_offset - 1 : 0);
		break;
	case KEY_BACKSPACE:
	case KEY_DELETE:
		if (line->cursor > 0) {
			remove_range(line, line->cursor - 1, line->cursor);
		}
		break;
	default:
		break;
	}
}

/* ESC [ number ~ (VT220 editing keys, and the marks of a bracketed paste). */
static void feed_tilde(struct line *line)
{
	switch (line->escape_number) {
	case 1:
	case 7:
		feed_control(line, KEY_CTRL('A'));
		break;
	case 4:
	case 8:
		feed_control(line, KEY_CTRL('E'));
		break;
	case 3:
		feed_control(line, KEY_CTRL('D'));
		break;
	case 200:
		line->is_pasting = true;
		break;
	case 201:
		line->is_pasting = false;
		break;
	default:
		break;
	}
}

static void feed_escape(struct line *line, unsigned char byte)
{
	uint32_t state = line->escape;

	if (state == ESCAPE_BEGUN) {
		line->escape = byte == '[' ? ESCAPE_BRACKET : byte == 'O' ? ESCAPE_O : ESCAPE_NONE;
		line->escape_number = 0;
		return;
	}
	if (byte >= '0' && byte <= '9' && state == ESCAPE_BRACKET) {
		line->escape_number = (line->escape_number * 10 + byte - '0') % 1000;
		return;
	}
	if (byte == ';') {
		line->escape_number = 0;
		return;
	}
	line->escape = ESCAPE_NONE;
	switch (byte) {
	case 'A':
		feed_control(line, KEY_CTRL('P'));
		break;
	case 'B':
		feed_control(line, KEY_CTRL('N'));
		break;
	case 'C':
		feed_control(line, KEY_CTRL('F'));
		break;
	case 'D':
		feed_control(line, KEY_CTRL('B'));
		break;
	case 'H':
		feed_control(line, KEY_CTRL('A'));
		break;
	case 'F':
		feed_control(line, KEY_CTRL('E'));
		break;
	case '~':
		feed_tilde(line);
		break;
	default:
		break;
	}
}

static enum line_event finish(struct line *line, enum line_event event)
{
	move_to(line, line->length);
	if (event == LINE_INTERRUPT) {
		if (line->column + 2 <= visible_columns(line)) {
			emit(line, "^C", 2);
		}
		line->text[0] = '\0';
		line->length = 0;
		line->cursor = 0;
		line->window = 0;
	} else {
		store_history(line);
	}
	emit(line, "\n", 1);
	return event;
}

enum line_event line_feed(struct line *line, unsigned char byte)
{
	bool was_cr = line->was_cr;
	char c = (char)byte;

	line->was_cr = byte == KEY_CR;
	if (byte == KEY_LF && was_cr) {
		return LINE_NONE;
	}
	if (byte == KEY_CTRL('C')) {
		line->escape = ESCAPE_NONE;
		line->is_pasting = false;
		return finish(line, LINE_INTERRUPT);
	}
	if (line->escape != ESCAPE_NONE) {
		feed_escape(line, byte);
	} else if (byte == KEY_CR || byte == KEY_LF) {
		return finish(line, LINE_READY);
	} else if (byte == KEY_ESCAPE) {
		line->escape = ESCAPE_BEGUN;
	} else if (byte == KEY_CTRL('D') && line->length == 0) {
		return finish(line, LINE_END);
	} else if (byte == KEY_TAB && line->complete != NULL && !line->is_pasting) {
		complete(line);
	} else if (byte == KEY_TAB) {
		insert(line, " ", 1);
	} else if (byte >= 0x20 && byte < KEY_DELETE) {
		insert(line, &c, 1);
	} else {
		feed_control(line, byte);
	}
	return LINE_NONE;
}
