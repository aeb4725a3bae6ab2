// SPDX-License-Identifier: Apache-2.0
/*
 * Results: the same record, table, message and error as text and as JSON.
 */
// sources: mgmt/result.c mgmt/result_print.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/result.h"

static char output[65536];
static size_t used;

static void collect(void *context, const char *bytes, size_t size)
{
	(void)context;
	assert_true(used + size < sizeof(output));
	memcpy(output + used, bytes, size);
	used += size;
	output[used] = '\0';
}

static const char *print(const struct result *result, bool as_json)
{
	used = 0;
	output[0] = '\0';
	result_print(result, as_json, collect, NULL);
	return output;
}

static const struct result_column columns[] = {
	{ "NAME", "name", RESULT_TEXT },          { "MEM", "memory_bytes", RESULT_BYTES },
	{ "CPU%", "cpu_percent", RESULT_TENTHS }, { "UPTIME", "uptime_seconds", RESULT_DURATION },
	{ "OK", "is_ok", RESULT_FLAG },
};

static void prints_tables(void **state)
{
	struct result result;

	(void)state;
	result_init(&result);
	result_begin(&result, "guests", RESULT_TABLE, columns, 5);
	assert_string_equal(print(&result, false), "NAME  MEM  CPU%  UPTIME  OK\n");
	assert_string_equal(print(&result, true), "[]\n");
	result_text(&result, "alpha");
	result_value(&result, 512u << 20);
	result_value(&result, 1005);
	result_value(&result, 3725);
	result_value(&result, 1);
	result_text(&result, "b\"");
	result_value(&result, 1536u << 20);
	result_empty(&result);
	result_empty(&result);
	result_value(&result, 0);
	assert_string_equal(print(&result, false), "NAME    MEM   CPU%  UPTIME   OK\n"
	                                           "alpha  512M  100.5   1h02m  yes\n"
	                                           "b\"     1.5G      -       -   no\n");
	assert_string_equal(
		print(&result, true),
		"[\n  {\"name\": \"alpha\", \"memory_bytes\": 536870912, "
		"\"cpu_percent\": 100.5, \"uptime_seconds\": 3725, \"is_ok\": true},\n"
		"  {\"name\": \"b\\\"\", \"memory_bytes\": 1610612736, \"cpu_percent\": null, "
		"\"uptime_seconds\": null, \"is_ok\": false}\n]\n");
	result_begin(&result, "one", RESULT_RECORD, columns, 1);
	result_text(&result, "x");
	assert_non_null(strstr(print(&result, true), ",\n\"one\": {\"name\": \"x\"}}\n"));
	assert_non_null(strstr(print(&result, false), "\nNAME  x\n"));
	result_free(&result);
}

static void prints_errors_and_messages(void **state)
{
	struct result result;

	(void)state;
	result_init(&result);
	assert_string_equal(print(&result, false), "");
	result_error(&result, "guest alpha", "stop it first", "it is %s", "running");
	assert_true(result_is_error(&result));
	assert_string_equal(print(&result, false),
	                    "error: guest alpha: it is running; stop it first\n");
	assert_string_equal(print(&result, true),
	                    "{\"error\": {\"what\": \"it is running\", \"where\": \"guest alpha\", "
	                    "\"meant\": \"stop it first\"}}\n");
	result_message(&result, "done %d", 1);
	assert_false(result_is_error(&result));
	assert_string_equal(print(&result, false), "done 1\n");
	assert_string_equal(print(&result, true), "{\"message\": \"done 1\"}\n");
	result_raw(&result, "a\n");
	result_raw(&result, "b\xff");
	assert_string_equal(print(&result, false), "a\nb\xff\n");
	assert_string_equal(print(&result, true), "{\"text\": \"a\\nb\\u00ff\"}\n");
	result_free(&result);
}

static void assert_format(enum result_unit unit, uint64_t value, const char *expected)
{
	char text[40];

	result_format(unit, value, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void formats_units(void **state)
{
	(void)state;
	assert_format(RESULT_BYTES, 0, "0");
	assert_format(RESULT_BYTES, 1023, "1023");
	assert_format(RESULT_BYTES, 1024, "1K");
	assert_format(RESULT_BYTES, (1ull << 30) + (1ull << 20) * 100, "1.0G");
	assert_format(RESULT_BYTES, 3ull << 40, "3T");
	assert_format(RESULT_BYTES, UINT64_MAX, "16777215.9T");
	assert_format(RESULT_DURATION, 59, "59s");
	assert_format(RESULT_DURATION, 245, "4m05s");
	assert_format(RESULT_DURATION, 86400 * 3 + 3600 * 4, "3d04h");
	assert_format(RESULT_HEX, 0xfee00000, "0xfee00000");
	assert_format(RESULT_TENTHS, 7, "0.7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_tables),
		cmocka_unit_test(prints_errors_and_messages),
		cmocka_unit_test(formats_units),
	};

	return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
