// SPDX-License-Identifier: Apache-2.0
/*
 * The line editor as a byte-in byte-out machine, watched through a small terminal that understands
 * CR, LF, BS and printable characters, and nothing else.
 */
// sources: mgmt/line.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/line.h"

#define PROMPT "bulkhead> "

static struct line line;
static char screen[81];
static size_t column;
static size_t written;
static unsigned int line_feeds;
static unsigned int bells;

static void terminal_write(void *context, const char *bytes, size_t size)
{
	size_t i;

	(void)context;
	written += size;
	for (i = 0; i < size; i++) {
		switch (bytes[i]) {
		case '\r':
			column = 0;
			break;
		case '\n':
			column = 0;
			line_feeds++;
			memset(screen, ' ', 80);
			break;
		case '\b':
			assert_true(column > 0);
			column--;
			break;
		case '\a':
			bells++;
			break;
		case '\x1b':
			return; /* Ctrl-L only */
		default:
			assert_true(column < 80);
			screen[column++] = bytes[i];
			break;
		}
	}
}

static void offer(void *context, struct line_choices *choices)
{
	(void)context;
	choices->start = choices->cursor;
	while (choices->start > 0 && choices->text[choices->start - 1] != ' ') {
		choices->start--;
	}
	line_choice_add(choices, "start");
	line_choice_add(choices, "stats");
	line_choice_add(choices, "stop");
	line_choice_add(choices, "vcpus=");
	line_choice_add(choices, "list");
}

static int setup(void **state)
{
	(void)state;
	memset(screen, ' ', 80);
	column = 0;
	line_feeds = 0;
	bells = 0;
	line_init(&line, terminal_write, offer, NULL);
	line_begin(&line, PROMPT);
	return 0;
}

static enum line_event type(const char *keys)
{
	enum line_event event = LINE_NONE;

	while (*keys != '\0') {
		event = line_feed(&line, (unsigned char)*keys++);
	}
	return event;
}

static void assert_screen(const char *expected)
{
	char shown[81];
	size_t end = 80;

	memcpy(shown, screen, 80);
	while (end > 0 && shown[end - 1] == ' ') {
		end--;
	}
	shown[end] = '\0';
	assert_string_equal(shown, expected);
}

static void edits_in_the_middle(void **state)
{
	(void)state;
	type("lst");
	assert_screen(PROMPT "lst");
	type("\x1b[D\x1b[Di");
	assert_string_equal(line.text, "list");
	assert_screen(PROMPT "list");
	assert_int_equal(column, 10 + 2);
	type("\x01\x1b[3~L\x05s\x7f\x08");
	assert_string_equal(line.text, "Lis");
	assert_screen(PROMPT "Lis");
	type(" one two\x17");
	assert_string_equal(line.text, "Lis one ");
	type("\x1b[H\x1b[C\x0b");
	assert_string_equal(line.text, "L");
	assert_screen(PROMPT "L");
	type("abc\x02\x15");
	assert_string_equal(line.text, "c");
	assert_int_equal(type("\r"), LINE_READY);
	assert_string_equal(line.text, "c");
}

static void ends_lines_once(void **state)
{
	(void)state;
	assert_int_equal(type("a\r"), LINE_READY);
	line_begin(&line, PROMPT);
	assert_int_equal(type("\n"), LINE_NONE);
	assert_int_equal(type("b\n"), LINE_READY);
	assert_string_equal(line.text, "b");
	line_begin(&line, PROMPT);
	assert_int_equal(type("xy\x03"), LINE_INTERRUPT);
	assert_string_equal(line.text, "");
	line_begin(&line, PROMPT);
	assert_int_equal(type("\x04"), LINE_END);
	line_begin(&line, PROMPT);
	assert_int_equal(type("ab\x02\x04"), LINE_NONE);
	assert_string_equal(line.text, "a");
}

static void remembers_lines(void **state)
{
	char text[8] = "line00";
	int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		text[4] = (char)('0' + i / 10);
		text[5] = (char)('0' + i % 10);
		type(text);
		type("\r");
		line_begin(&line, PROMPT);
	}
	type("line39\r");
	line_begin(&line, PROMPT);
	type("half\x1b[A");
	assert_string_equal(line.text, "line39");
	type("\x1bOA");
	assert_string_equal(line.text, "line38");
	assert_screen(PROMPT "line38");
	type("\x1b[B\x1b[B");
	assert_string_equal(line.text, "half");
	assert_screen(PROMPT "half");
	for (i = 0; i < 50; i++) {
		type("\x10");
	}
	assert_string_equal(line.text, "line08");
}

static void completes_words(void **state)
{
	(void)state;
	type("l\t");
	assert_string_equal(line.text, "list ");
	type("\x15st\t");
	assert_string_equal(line.text, "st");
	assert_int_equal(line_feeds, 2);
	assert_screen(PROMPT "st");
	type("a\t");
	assert_string_equal(line.text, "sta");
	type("r\t");
	assert_string_equal(line.text, "start ");
	type("v\t");
	assert_string_equal(line.text, "start vcpus=");
	type("zz\t");
	assert_int_equal(bells, 1);
}

static void takes_pasted_text(void **state)
{
	(void)state;
	type("\x1b[200~a\tb\x1b[201~");
	assert_string_equal(line.text, "a b");
	assert_screen(PROMPT "a b");
}

static void scrolls_long_lines(void **state)
{
	char expected[LINE_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < 400; i++) {
		char key[2] = { (char)('a' + i % 26), '\0' };

		type(key);
		expected[i] = key[0];
	}
	expected[400] = '\0';
	assert_string_equal(line.text, expected);
	assert_memory_equal(screen, PROMPT, 10);
	assert_memory_equal(screen + column - 5, expected + 395, 5);
	type("\x01");
	assert_int_equal(column, 10);
	assert_memory_equal(screen + 10, expected, 69);
	type("\x05\x7f\x7f");
	assert_memory_equal(screen + column - 5, expected + 393, 5);
	assert_true(screen[column] == ' ');
	/* A long line costs a few bytes of echo for each character, not a screen line. */
	type("\x15");
	assert_screen("bulkhead>");
	written = 0;
	for (i = 0; i < 400; i++) {
		type("x");
	}
	assert_true(written < 400 * 10);
}

static void refuses_too_much(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < LINE_SIZE + 10; i++) {
		type("y");
	}
	assert_int_equal(line.length, LINE_SIZE - 1);
	assert_int_equal(bells, 11);
}

static void steps_aside_for_a_message(void **state)
{
	(void)state;
	type("ab\x02");
	line_hide(&line);
	assert_screen("");
	assert_int_equal(column, 0);
	line_show(&line);
	assert_screen(PROMPT "ab");
	assert_int_equal(column, 11);
	type("\x0c");
	assert_string_equal(line.text, "ab");
}

static void survives_noise(void **state)
{
	unsigned int seed = 1;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		seed = seed * 1103515245u + 12345u;
		/* Ctrl-L's sequences are beyond this terminal. */
		if ((seed >> 16 & 0xff) == 0x0c) {
			continue;
		}
		if (line_feed(&line, (unsigned char)(seed >> 16)) != LINE_NONE) {
			line_begin(&line, PROMPT);
		}
		assert_true(line.length < LINE_SIZE && line.cursor <= line.length);
		assert_int_equal(strlen(line.text), line.length);
		assert_int_equal(column, 10 + line.cursor - line.window);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(edits_in_the_middle, setup),
		cmocka_unit_test_setup(ends_lines_once, setup),
		cmocka_unit_test_setup(remembers_lines, setup),
		cmocka_unit_test_setup(completes_words, setup),
		cmocka_unit_test_setup(takes_pasted_text, setup),
		cmocka_unit_test_setup(scrolls_long_lines, setup),
		cmocka_unit_test_setup(refuses_too_much, setup),
		cmocka_unit_test_setup(steps_aside_for_a_message, setup),
		cmocka_unit_test_setup(survives_noise, setup),
	};

	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
