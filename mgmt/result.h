/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a verb gives back: a message, an error, a record, a table or a text, built once and printed
 * as aligned text or as JSON by one printer.
 *
 * A result never holds formatted numbers: each cell keeps its value, the column says its unit. A
 * result that ran out of memory prints as an error. The JSON is described in docs/shell.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESULT_PARTS_MAX 4u

enum result_unit {
	RESULT_TEXT,
	RESULT_COUNT,
	RESULT_BYTES,    /* text: 512M, 1.5G */
	RESULT_TENTHS,   /* value 125 is 12.5 */
	RESULT_DURATION, /* seconds; text: 12s, 4m05s, 2h03m, 3d04h */
	RESULT_HEX,
	RESULT_FLAG, /* text: yes, no */
};

/* label heads the text column or line, key is the JSON member. */
struct result_column {
	const char *label;
	const char *key;
	enum result_unit unit;
};

enum result_shape {
	RESULT_RECORD, /* one line a field */
	RESULT_TABLE,  /* one line a row */
};

struct result_cell {
	uint64_t value; /* RESULT_TEXT: offset in the text store */
	bool is_empty;
};

/* A record or a table. columns is kept by reference. */
struct result_part {
	const char *name; /* JSON member when there are several parts */
	enum result_shape shape;
	const struct result_column *columns;
	uint32_t column_count;
	uint32_t first_cell;
	uint32_t cell_count;
};

enum result_kind {
	RESULT_NONE,
	RESULT_MESSAGE,
	RESULT_ERROR,
	RESULT_PARTS,
	RESULT_RAW, /* text for the operator as it is */
};

struct result {
	enum result_kind kind;
	bool is_out_of_memory;
	uint32_t part_count;
	struct result_part part[RESULT_PARTS_MAX];
	struct result_cell *cells;
	uint32_t cell_count;
	uint32_t cell_capacity;
	char *text; /* message, error, raw text, and the texts of cells, one after the other */
	uint32_t text_size;
	uint32_t text_capacity;
	uint32_t where; /* RESULT_ERROR: offsets of its parts in text; what is at 0 */
	uint32_t meant;
};

typedef void result_write_fn(void *context, const char *bytes, size_t size);

void result_init(struct result *result);
void result_free(struct result *result);

/* Sentences for the operator. The latest of these replaces what the result held. */
void result_message(struct result *result, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* what went wrong, where ("" if that is plain), and what would be right ("" if nothing is
 * known). */
void result_error(struct result *result, const char *where, const char *meant, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));
bool result_is_error(const struct result *result);

/* Adds to the raw text. */
void result_raw(struct result *result, const char *text);
void result_raw_format(struct result *result, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Begins a record or table; the cells that follow fill its columns, row by row. */
void result_begin(struct result *result, const char *name, enum result_shape shape,
                  const struct result_column *columns, uint32_t column_count);
void result_text(struct result *result, const char *text);
void result_value(struct result *result, uint64_t value);
void result_empty(struct result *result);

/* Prints the result; text ends with a newline unless it is empty. */
void result_print(const struct result *result, bool as_json, result_write_fn *write, void *context);

/* Formats one value as the text table does. */
void result_format(enum result_unit unit, uint64_t value, char *out, size_t size);
