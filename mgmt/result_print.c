// SPDX-License-Identifier: Apache-2.0
/*
 * Printing results: aligned text for an operator, JSON (RFC 8259) for a program. The only two forms
 * there are; a verb never prints.
 */
#include "mgmt/result.h"

#include <stdio.h>
#include <string.h>

#define CELL_SIZE 40u

struct printer {
	const struct result *result;
	result_write_fn *write;
	void *context;
};

static void put(const struct printer *printer, const char *text)
{
	printer->write(printer->context, text, strlen(text));
}

static void put_repeated(const struct printer *printer, char c, size_t count)
{
	for (; count != 0; count--) {
		printer->write(printer->context, &c, 1);
	}
}

/* A cell as text; buffer is used where the text is not stored. */
static const char *cell_text(const struct printer *printer, const struct result_column *column,
                             const struct result_cell *cell, char *buffer)
{
	if (cell->is_empty) {
		return "-";
	}
	if (column->unit == RESULT_TEXT) {
		return printer->result->text + cell->value;
	}
	result_format(column->unit, cell->value, buffer, CELL_SIZE);
	return buffer;
}

static size_t column_width(const struct printer *printer, const struct result_part *part,
                           uint32_t column)
{
	size_t width = strlen(part->columns[column].label);
	uint32_t i;

	for (i = column; i < part->cell_count; i += part->column_count) {
		char buffer[CELL_SIZE];
		size_t length = strlen(cell_text(printer, &part->columns[column],
		                                 &printer->result->cells[part->first_cell + i],
		                                 buffer));

		width = length > width ? length : width;
	}
	return width;
}

/* Texts stand left, numbers right. The last column is not padded on its right. */
static void put_aligned(const struct printer *printer, const char *text, size_t width, bool is_left,
                        bool is_last)
{
	size_t padding = width - strlen(text);

	if (!is_left) {
		put_repeated(printer, ' ', padding);
	}
	put(printer, text);
	if (is_left && !is_last) {
		put_repeated(printer, ' ', padding);
	}
	put(printer, is_last ? "\n" : "  ");
}

static void print_table(const struct printer *printer, const struct result_part *part)
{
	size_t width[24];
	uint32_t columns = part->column_count < 24 ? part->column_count : 24;
	uint32_t i;

	if (columns == 0) {
		return;
	}
	for (i = 0; i < columns; i++) {
		width[i] = column_width(printer, part, i);
		put_aligned(printer, part->columns[i].label, width[i],
		            part->columns[i].unit == RESULT_TEXT, i + 1 == columns);
	}
	for (i = 0; i < part->cell_count; i++) {
		uint32_t column = i % columns;
		char buffer[CELL_SIZE];
		const char *text = cell_text(printer, &part->columns[column],
		                             &printer->result->cells[part->first_cell + i], buffer);

		put_aligned(printer, text, width[column], part->columns[column].unit == RESULT_TEXT,
		            column + 1 == columns);
	}
}

static void print_record(const struct printer *printer, const struct result_part *part)
{
	size_t width = 0;
	uint32_t i;

	for (i = 0; i < part->column_count; i++) {
		size_t length = strlen(part->columns[i].label);

		width = length > width ? length : width;
	}
	for (i = 0; i < part->cell_count; i++) {
		char buffer[CELL_SIZE];

		put(printer, part->columns[i].label);
		put_repeated(printer, ' ', width + 2 - strlen(part->columns[i].label));
		put(printer, cell_text(printer, &part->columns[i],
		                       &printer->result->cells[part->first_cell + i], buffer));
		put(printer, "\n");
	}
}

static void print_text(const struct printer *printer)
{
	const struct result *result = printer->result;
	uint32_t i;

	switch (result->kind) {
	case RESULT_NONE:
		break;
	case RESULT_MESSAGE:
		put(printer, result->text);
		put(printer, "\n");
		break;
	case RESULT_ERROR:
		put(printer, "error: ");
		if (result->text[result->where] != '\0') {
			put(printer, result->text + result->where);
			put(printer, ": ");
		}
		put(printer, result->text);
		if (result->text[result->meant] != '\0') {
			put(printer, "; ");
			put(printer, result->text + result->meant);
		}
		put(printer, "\n");
		break;
	case RESULT_PARTS:
		for (i = 0; i < result->part_count; i++) {
			if (result->part[i].shape == RESULT_TABLE) {
				print_table(printer, &result->part[i]);
			} else {
				print_record(printer, &result->part[i]);
			}
		}
		break;
	case RESULT_RAW:
		put(printer, result->text);
		if (result->text_size != 0 && result->text[result->text_size - 1] != '\n') {
			put(printer, "\n");
		}
		break;
	}
}

static void put_json_string(const struct printer *printer, const char *text)
{
	put(printer, "\"");
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		char escaped[8];

		if (c == '"' || c == '\\') {
			snprintf(escaped, sizeof(escaped), "\\%c", c);
		} else if (c == '\n') {
			snprintf(escaped, sizeof(escaped), "\\n");
		} else if (c < 0x20 || c >= 0x7f) {
			/* Bytes beyond ASCII are shown as Latin-1: what a guest sent need not be
			 * UTF-8. */
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		} else {
			snprintf(escaped, sizeof(escaped), "%c", c);
		}
		put(printer, escaped);
	}
	put(printer, "\"");
}

static void put_json_cell(const struct printer *printer, const struct result_column *column,
                          const struct result_cell *cell)
{
	char buffer[CELL_SIZE];

	if (cell->is_empty) {
		put(printer, "null");
		return;
	}
	switch (column->unit) {
	case RESULT_TEXT:
		put_json_string(printer, printer->result->text + cell->value);
		break;
	case RESULT_HEX:
		result_format(RESULT_HEX, cell->value, buffer, sizeof(buffer));
		put_json_string(printer, buffer);
		break;
	case RESULT_FLAG:
		put(printer, cell->value != 0 ? "true" : "false");
		break;
	case RESULT_TENTHS:
		result_format(RESULT_TENTHS, cell->value, buffer, sizeof(buffer));
		put(printer, buffer);
		break;
	case RESULT_COUNT:
	case RESULT_BYTES:
	case RESULT_DURATION:
		result_format(RESULT_COUNT, cell->value, buffer, sizeof(buffer));
		put(printer, buffer);
		break;
	}
}

static void put_json_object(const struct printer *printer, const struct result_part *part,
                            uint32_t first)
{
	uint32_t i;

	put(printer, "{");
	for (i = 0; i < part->column_count && first + i < part->cell_count; i++) {
		put(printer, i == 0 ? "" : ", ");
		put_json_string(printer, part->columns[i].key);
		put(printer, ": ");
		put_json_cell(printer, &part->columns[i],
		              &printer->result->cells[part->first_cell + first + i]);
	}
	put(printer, "}");
}

static void put_json_part(const struct printer *printer, const struct result_part *part)
{
	uint32_t i;

	if (part->shape == RESULT_RECORD) {
		put_json_object(printer, part, 0);
		return;
	}
	put(printer, "[");
	for (i = 0; i < part->cell_count; i += part->column_count) {
		put(printer, i == 0 ? "\n  " : ",\n  ");
		put_json_object(printer, part, i);
	}
	put(printer, i == 0 ? "]" : "\n]");
}

static void put_json_member(const struct printer *printer, const char *key, const char *text)
{
	put_json_string(printer, key);
	put(printer, ": ");
	put_json_string(printer, text);
}

static void print_json_parts(const struct printer *printer)
{
	const struct result *result = printer->result;
	uint32_t i;

	if (result->part_count == 1) {
		put_json_part(printer, &result->part[0]);
		return;
	}
	put(printer, "{");
	for (i = 0; i < result->part_count; i++) {
		put(printer, i == 0 ? "" : ",\n");
		put_json_string(printer, result->part[i].name);
		put(printer, ": ");
		put_json_part(printer, &result->part[i]);
	}
	put(printer, "}");
}

static void print_json(const struct printer *printer)
{
	const struct result *result = printer->result;

	switch (result->kind) {
	case RESULT_NONE:
		put(printer, "{}");
		break;
	case RESULT_MESSAGE:
		put(printer, "{");
		put_json_member(printer, "message", result->text);
		put(printer, "}");
		break;
	case RESULT_ERROR:
		put(printer, "{\"error\": {");
		put_json_member(printer, "what", result->text);
		put(printer, ", ");
		put_json_member(printer, "where", result->text + result->where);
		put(printer, ", ");
		put_json_member(printer, "meant", result->text + result->meant);
		put(printer, "}}");
		break;
	case RESULT_PARTS:
		print_json_parts(printer);
		break;
	case RESULT_RAW:
		put(printer, "{");
		put_json_member(printer, "text", result->text);
		put(printer, "}");
		break;
	}
	put(printer, "\n");
}

void result_print(const struct result *result, bool as_json, result_write_fn *write, void *context)
{
	struct printer printer = { .result = result, .write = write, .context = context };

	if (result->is_out_of_memory) {
		put(&printer, as_json ? "{\"error\": {\"what\": \"out of memory\"}}\n"
		                      : "error: mgmt is out of memory for this answer\n");
	} else if (as_json) {
		print_json(&printer);
	} else {
		print_text(&printer);
	}
}
