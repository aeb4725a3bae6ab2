// SPDX-License-Identifier: Apache-2.0
/*
 * The shell's state machine (see shell.h). All that it shows goes through io.write*(), all that it
 * knows of verbs is command_run().
 *
 * News (guests that ended, starts that failed) are shown before a prompt, not in the middle of a
 * line, so that a program that reads the terminal finds one prompt after each of its lines. They
 * never follow a table or JSON, which a program may want to read to its end.
 */
#include "mgmt/shell.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/console.h"
#include "mgmt/machine.h"
#include "mgmt/partition.h"
#include "mgmt/verb.h"

#define PROMPT                   "bulkhead> "
#define SECTION_PROMPT           "        > "
#define KEY_INTERRUPT            0x03
#define BAR_WIDTH                30u
#define FOLLOW_PER_SECOND        5u
#define CONSOLE_RETRY_PER_SECOND 50u

/* ---- output ---------------------------------------------------------------------------------- */

static void put(struct shell *shell, const char *text)
{
	shell->io.write_text(text, strlen(text));
}

static void write_line_bytes(void *context, const char *bytes, size_t size)
{
	((struct shell *)context)->io.write_text(bytes, size);
}

static void write_result(void *context, const char *bytes, size_t size)
{
	((struct shell *)context)->io.write_text(bytes, size);
}

/* True if the result of a wait has said it. */
static bool is_told(const struct shell *shell, uint64_t event_number)
{
	uint32_t i;

	for (i = 0; i < SHELL_TOLD_EVENTS; i++) {
		if (shell->told_events[i] == event_number) {
			return true;
		}
	}
	return false;
}

/* Shows the events that nobody has asked for, but for those of a guest that a verb has told of. */
static void show_news(struct shell *shell, const char *told_guest)
{
	const struct ledger *ledger = machine_ledger();

	if (ledger->events_count - shell->news_count > LEDGER_EVENTS) {
		shell->news_count = ledger->events_count - LEDGER_EVENTS;
	}
	for (; shell->news_count < ledger->events_count; shell->news_count++) {
		const struct ledger_event *event =
			&ledger->events[shell->news_count % LEDGER_EVENTS];

		if ((event->guest[0] != '\0' && strcmp(event->guest, told_guest) == 0) ||
		    is_told(shell, shell->news_count + 1)) {
			continue;
		}
		put(shell, "* ");
		put(shell, event->guest);
		put(shell, event->guest[0] != '\0' ? ": " : "");
		put(shell, event->text);
		put(shell, "\n");
	}
}

static void show_bare_prompt(struct shell *shell)
{
	shell->mode = SHELL_PROMPT;
	line_begin(&shell->line, PROMPT);
}

static void show_prompt(struct shell *shell)
{
	show_news(shell, "");
	show_bare_prompt(shell);
}

static void show_result(struct shell *shell, const struct result *result, bool is_json)
{
	result_print(result, is_json, write_result, shell);
}

/* ---- what verbs leave behind ----------------------------------------------------------------- */

void shell_begin_wait(struct shell *shell, const struct shell_wait *wait)
{
	shell->wait = *wait;
	shell->mode = SHELL_WAIT;
}

void shell_begin_follow(struct shell *shell, const struct shell_follow *follow)
{
	shell->follow = *follow;
	shell->follow_deadline_tsc = machine_now_tsc();
	shell->mode = SHELL_FOLLOW;
}

void shell_begin_console(struct shell *shell, uint32_t slot, uint32_t line)
{
	shell->console_slot = slot;
	shell->console_line = line;
	shell->console_guest_id = partition_guest(slot)->id;
	shell->is_held = false;
	shell->mode = SHELL_CONSOLE;
	console_open(slot, line);
	put(shell, "connected to ");
	put(shell, partition_guest(slot)->config.name);
	put(shell, "; Ctrl-] leaves\n");
}

void shell_begin_section(struct shell *shell, const char *first_line)
{
	size_t length = strlen(first_line);

	memcpy(shell->section, first_line, length);
	shell->section_size = (uint32_t)length;
	if (length != 0) {
		shell->section[shell->section_size++] = '\n';
	}
	shell->mode = SHELL_SECTION;
	line_begin(&shell->line, SECTION_PROMPT);
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Runs one line of the prompt. */
static void run_line(struct shell *shell)
{
	static char line[LINE_SIZE];
	bool is_json = false;
	struct result result;
	const char *text = line;

	memcpy(line, shell->line.text, shell->line.length + 1);
	text += strspn(text, " ");
	if (*text == '[') {
		shell_begin_section(shell, text);
		return;
	}
	result_init(&result);
	shell->mode = SHELL_PROMPT;
	command_run(shell, text, &result, &is_json);
	if (shell->mode == SHELL_PROMPT || result.kind != RESULT_NONE) {
		show_result(shell, &result, is_json); /* a wait's result comes later */
	}
	if (shell->mode == SHELL_PROMPT &&
	    (is_json || result.kind == RESULT_PARTS || result.kind == RESULT_RAW)) {
		show_bare_prompt(shell);
	} else if (shell->mode == SHELL_PROMPT) {
		show_prompt(shell);
	}
	result_free(&result);
}

static void end_section(struct shell *shell)
{
	struct result result;

	result_init(&result);
	verb_create_section(shell->section, shell->section_size, &result);
	show_result(shell, &result, false);
	result_free(&result);
	show_prompt(shell);
}

/* Takes one line of a section; an empty one ends it. */
static void take_section_line(struct shell *shell)
{
	size_t length = shell->line.length;

	if (length == 0) {
		end_section(shell);
		return;
	}
	if (shell->section_size + length + 1 > sizeof(shell->section)) {
		put(shell, "error: the section is longer than 8 KiB; it is dropped\n");
		show_prompt(shell);
		return;
	}
	memcpy(shell->section + shell->section_size, shell->line.text, length);
	shell->section_size += (uint32_t)length;
	shell->section[shell->section_size++] = '\n';
	line_begin(&shell->line, SECTION_PROMPT);
}

static void feed_line(struct shell *shell, unsigned char byte)
{
	switch (line_feed(&shell->line, byte)) {
	case LINE_NONE:
		break;
	case LINE_READY:
		if (shell->mode == SHELL_SECTION) {
			take_section_line(shell);
		} else {
			run_line(shell);
		}
		break;
	case LINE_INTERRUPT:
		show_prompt(shell);
		break;
	case LINE_END:
		if (shell->mode == SHELL_SECTION) {
			end_section(shell);
		} else {
			show_prompt(shell);
		}
		break;
	}
}

/* ---- waiting and following ------------------------------------------------------------------- */

static int next_byte(struct shell *shell)
{
	if (shell->ahead_head != shell->ahead_tail) {
		return (unsigned char)shell->ahead[shell->ahead_tail++ % SHELL_TYPED_AHEAD];
	}
	return shell->io.read();
}

/* Keeps what is typed for later; true if Ctrl-C was among it. */
static bool type_ahead(struct shell *shell)
{
	int byte;

	while (shell->ahead_head - shell->ahead_tail < SHELL_TYPED_AHEAD &&
	       (byte = shell->io.read()) >= 0) {
		if (byte == KEY_INTERRUPT) {
			shell->ahead_tail = shell->ahead_head;
			return true;
		}
		shell->ahead[shell->ahead_head++ % SHELL_TYPED_AHEAD] = (char)byte;
	}
	return false;
}

/* A bar on one line, drawn anew a few times a second. */
static void show_progress(struct shell *shell)
{
	struct shell_wait *wait = &shell->wait;
	char text[96];
	char done_text[24];
	char total_text[24];
	char bar[BAR_WIDTH + 1];
	uint64_t total = 0;
	uint64_t done;

	if (wait->progress == NULL || wait->is_json || machine_now_tsc() < wait->progress_tsc) {
		return;
	}
	wait->progress_tsc = machine_now_tsc() + machine_tsc_hz() / FOLLOW_PER_SECOND;
	done = wait->progress(wait, &total);
	result_format(RESULT_BYTES, done, done_text, sizeof(done_text));
	if (total == 0 || done > total) {
		snprintf(text, sizeof(text), "\r%s\x1b[K", done_text);
	} else {
		uint32_t filled = (uint32_t)((unsigned __int128)done * BAR_WIDTH / total);

		memset(bar, '-', BAR_WIDTH);
		memset(bar, '#', filled);
		bar[BAR_WIDTH] = '\0';
		result_format(RESULT_BYTES, total, total_text, sizeof(total_text));
		snprintf(text, sizeof(text), "\r[%s] %s of %s\x1b[K", bar, done_text, total_text);
	}
	put(shell, text);
}

/* Shows the end of a verb. It tells what happened to its guest: that is no news. */
static void end_wait(struct shell *shell, const struct result *result)
{
	const struct guest *guest = partition_guest(shell->wait.slot);

	if (shell->wait.progress_tsc != 0) {
		put(shell, "\r\x1b[K");
	}
	show_result(shell, result, shell->wait.is_json);
	shell->told_events[shell->told_count++ % SHELL_TOLD_EVENTS] = shell->wait.told_event;
	if (!shell->wait.is_json && result->kind != RESULT_PARTS) {
		show_news(shell, guest != NULL ? guest->config.name : "");
	}
	show_bare_prompt(shell);
}

/* Ctrl-C. */
static void leave_wait(struct shell *shell, struct result *result)
{
	if (shell->wait.leave != NULL) {
		put(shell, "^C\n");
		shell->wait.leave(result);
		end_wait(shell, result);
	} else {
		put(shell, "^C\nnot waiting any longer; the work goes on\n");
		show_prompt(shell);
	}
}

static void poll_wait(struct shell *shell)
{
	struct result result;

	result_init(&result);
	shell->wait.room = shell->io.room();
	if (shell->wait.poll(&shell->wait, &result)) {
		end_wait(shell, &result);
	} else if (type_ahead(shell)) {
		leave_wait(shell, &result);
	} else if (result.kind == RESULT_RAW) {
		show_result(shell, &result, false);
	} else {
		show_progress(shell);
	}
	result_free(&result);
}

static void poll_follow(struct shell *shell)
{
	struct result result;

	if (type_ahead(shell)) {
		put(shell, "^C\n");
		shell->news_count = machine_ledger()->events_count;
		show_prompt(shell);
		return;
	}
	if (machine_now_tsc() < shell->follow_deadline_tsc) {
		return;
	}
	shell->follow_deadline_tsc = machine_now_tsc() + machine_tsc_hz() / FOLLOW_PER_SECOND;
	result_init(&result);
	shell->follow.poll(&shell->follow, &result);
	show_result(shell, &result, false);
	result_free(&result);
}

/* ---- console -------------------------------------------------------------------------------- */

/* Sends output as far as the line takes it without waiting, so that keys are always heard. */
static void console_output(struct shell *shell)
{
	char part[256];
	size_t count;

	while (shell->io.room() > sizeof(part)) {
		count = console_read(shell->console_slot, shell->console_line, part, sizeof(part));
		if (count == 0) {
			return;
		}
		shell->io.write(part, count);
	}
}

static bool console_input(struct shell *shell)
{
	for (;;) {
		int byte;

		if (shell->is_held) {
			if (console_write(shell->console_slot, shell->console_line, &shell->held,
			                  1) == 0) {
				return true;
			}
			shell->is_held = false;
		}
		byte = next_byte(shell);
		if (byte < 0) {
			return true;
		}
		if (byte == CONSOLE_LEAVE_KEY) {
			return false;
		}
		shell->held = (char)byte;
		shell->is_held = true;
	}
}

static void leave_console(struct shell *shell, const char *why)
{
	put(shell, "\n");
	put(shell, why);
	put(shell, "\n");
	show_prompt(shell);
}

/* True while the guest may still say something. */
static bool is_console_alive(const struct shell *shell)
{
	const struct guest *guest = partition_guest(shell->console_slot);

	return guest != NULL && guest->id == shell->console_guest_id &&
	       (guest->has_partition != 0 || guest->request != GUEST_REQUEST_NONE ||
	        guest->restart_at_tsc != 0) &&
	       !((guest->state == GUEST_OFF || guest->state == GUEST_CRASHED) &&
	         guest->restart_at_tsc == 0);
}

static void poll_console(struct shell *shell)
{
	if (!console_input(shell)) {
		leave_console(shell, "disconnected");
		return;
	}
	console_output(shell);
	if (shell->io.room() > 256 && !is_console_alive(shell)) {
		const struct guest *guest = partition_guest(shell->console_slot);

		leave_console(shell, guest == NULL                   ? "the guest has been deleted"
		                     : guest->state == GUEST_CRASHED ? "the guest has crashed"
		                                                     : "the guest is off");
	}
}

/* ---- the whole ------------------------------------------------------------------------------ */

void shell_init(struct shell *shell, const struct shell_io *io)
{
	memset(shell, 0, sizeof(*shell));
	shell->io = *io;
	line_init(&shell->line, write_line_bytes, command_complete, shell);
	shell->news_count = machine_ledger()->events_count;
}

void shell_start(struct shell *shell)
{
	show_prompt(shell);
	shell->prompt_tsc = machine_now_tsc();
}

/* Takes input until there is none, or a verb has put the shell into another mode. */
static void poll_lines(struct shell *shell)
{
	int byte;

	while ((shell->mode == SHELL_PROMPT || shell->mode == SHELL_SECTION) &&
	       (byte = next_byte(shell)) >= 0) {
		feed_line(shell, (unsigned char)byte);
	}
}

static void poll_mode(struct shell *shell)
{
	switch (shell->mode) {
	case SHELL_PROMPT:
	case SHELL_SECTION:
		poll_lines(shell);
		break;
	case SHELL_WAIT:
		poll_wait(shell);
		break;
	case SHELL_FOLLOW:
		poll_follow(shell);
		break;
	case SHELL_CONSOLE:
		poll_console(shell);
		break;
	}
}

void shell_poll(struct shell *shell)
{
	enum shell_mode before;

	do {
		before = shell->mode;
		poll_mode(shell);
	} while (shell->mode != before);
}

uint64_t shell_deadline_tsc(const struct shell *shell)
{
	switch (shell->mode) {
	case SHELL_WAIT:
		return shell->wait.deadline_tsc;
	case SHELL_FOLLOW:
		return shell->follow_deadline_tsc;
	case SHELL_CONSOLE:
		/* Held input, or output that waits for the line, is tried again soon. */
		if (shell->is_held || shell->io.room() <= 256) {
			return machine_now_tsc() + machine_tsc_hz() / CONSOLE_RETRY_PER_SECOND;
		}
		return BH_FOREVER;
	case SHELL_PROMPT:
	case SHELL_SECTION:
		break;
	}
	return BH_FOREVER;
}
