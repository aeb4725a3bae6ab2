// SPDX-License-Identifier: Apache-2.0
/*
 * Building results (see result.h). Memory failure is remembered and shown at printing, so that
 * verbs need no check at each cell.
 */
#include "mgmt/result.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_SIZE 640u

void result_init(struct result *result)
{
	memset(result, 0, sizeof(*result));
}

void result_free(struct result *result)
{
	free(result->cells);
	free(result->text);
	result_init(result);
}

static void forget(struct result *result, enum result_kind kind)
{
	result->kind = kind;
	result->part_count = 0;
	result->cell_count = 0;
	result->text_size = 0;
}

/* Adds size bytes to the text store; the offset is returned. The store always ends with NUL. */
static uint32_t store(struct result *result, const char *bytes, size_t size)
{
	uint32_t offset = result->text_size;
	size_t needed = (size_t)offset + size + 1;

	if (needed > result->text_capacity) {
		size_t capacity = needed < 512 ? 512 : needed * 2;
		char *text = capacity < UINT32_MAX ? realloc(result->text, capacity) : NULL;

		if (text == NULL) {
			result->is_out_of_memory = true;
			return 0;
		}
		result->text = text;
		result->text_capacity = (uint32_t)capacity;
	}
	memcpy(result->text + offset, bytes, size);
	result->text[offset + size] = '\0';
	result->text_size += (uint32_t)size;
	return offset;
}

static uint32_t store_string(struct result *result, const char *text)
{
	return store(result, text, strlen(text) + 1);
}

void result_message(struct result *result, const char *format, ...)
{
	char text[FORMAT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	forget(result, RESULT_MESSAGE);
	store_string(result, text);
}

void result_error(struct result *result, const char *where, const char *meant, const char *format,
                  ...)
{
	char text[FORMAT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	forget(result, RESULT_ERROR);
	store_string(result, text);
	result->where = store_string(result, where);
	result->meant = store_string(result, meant);
}

bool result_is_error(const struct result *result)
{
	return result->kind == RESULT_ERROR || result->is_out_of_memory;
}

void result_raw(struct result *result, const char *text)
{
	if (result->kind != RESULT_RAW) {
		forget(result, RESULT_RAW);
	}
	store(result, text, strlen(text));
}

void result_raw_format(struct result *result, const char *format, ...)
{
	char text[FORMAT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	result_raw(result, text);
}

void result_begin(struct result *result, const char *name, enum result_shape shape,
                  const struct result_column *columns, uint32_t column_count)
{
	struct result_part *part;

	if (result->kind != RESULT_PARTS) {
		forget(result, RESULT_PARTS);
	}
	if (result->part_count == RESULT_PARTS_MAX) {
		result->is_out_of_memory = true;
		return;
	}
	part = &result->part[result->part_count++];
	part->name = name;
	part->shape = shape;
	part->columns = columns;
	part->column_count = column_count;
	part->first_cell = result->cell_count;
	part->cell_count = 0;
}

static void add_cell(struct result *result, uint64_t value, bool is_empty)
{
	if (result->cell_count == result->cell_capacity) {
		uint32_t capacity = result->cell_capacity == 0 ? 64 : result->cell_capacity * 2;
		struct result_cell *cells = realloc(result->cells, capacity * sizeof(*cells));

		if (cells == NULL) {
			result->is_out_of_memory = true;
			return;
		}
		result->cells = cells;
		result->cell_capacity = capacity;
	}
	result->cells[result->cell_count].value = value;
	result->cells[result->cell_count].is_empty = is_empty;
	result->cell_count++;
	result->part[result->part_count - 1].cell_count++;
}

void result_text(struct result *result, const char *text)
{
	if (text[0] == '\0') {
		result_empty(result);
	} else {
		add_cell(result, store_string(result, text), false);
	}
}

void result_value(struct result *result, uint64_t value)
{
	add_cell(result, value, false);
}

void result_empty(struct result *result)
{
	add_cell(result, 0, true);
}

static void format_bytes(uint64_t bytes, char *out, size_t size)
{
	static const char letters[] = "KMGT";
	unsigned int unit = 0;
	uint64_t scaled = bytes;

	while (unit < 4 && scaled >= 1024) {
		unit++;
		scaled >>= 10;
	}
	if (unit == 0) {
		snprintf(out, size, "%u", (unsigned int)bytes);
	} else if ((bytes & ((1ull << (10 * unit)) - 1)) == 0) {
		snprintf(out, size, "%u%c", (unsigned int)scaled, letters[unit - 1]);
	} else {
		uint64_t tenths = (bytes >> (10 * (unit - 1))) * 10 / 1024;

		snprintf(out, size, "%u.%u%c", (unsigned int)(tenths / 10),
		         (unsigned int)(tenths % 10), letters[unit - 1]);
	}
}

static void format_duration(uint64_t seconds, char *out, size_t size)
{
	unsigned int minutes = (unsigned int)(seconds / 60 % 60);
	unsigned int hours = (unsigned int)(seconds / 3600 % 24);
	unsigned int days = (unsigned int)(seconds / 86400);

	if (seconds < 60) {
		snprintf(out, size, "%us", (unsigned int)seconds);
	} else if (seconds < 3600) {
		snprintf(out, size, "%um%02us", minutes, (unsigned int)(seconds % 60));
	} else if (seconds < 86400) {
		snprintf(out, size, "%uh%02um", hours, minutes);
	} else {
		snprintf(out, size, "%ud%02uh", days, hours);
	}
}

void result_format(enum result_unit unit, uint64_t value, char *out, size_t size)
{
	switch (unit) {
	case RESULT_BYTES:
		format_bytes(value, out, size);
		break;
	case RESULT_TENTHS:
		snprintf(out, size, "%llu.%u", (unsigned long long)(value / 10),
		         (unsigned int)(value % 10));
		break;
	case RESULT_DURATION:
		format_duration(value, out, size);
		break;
	case RESULT_HEX:
		snprintf(out, size, "0x%llx", (unsigned long long)value);
		break;
	case RESULT_FLAG:
		snprintf(out, size, "%s", value != 0 ? "yes" : "no");
		break;
	case RESULT_TEXT:
	case RESULT_COUNT:
		snprintf(out, size, "%llu", (unsigned long long)value);
		break;
	}
}
