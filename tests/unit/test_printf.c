/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's formatter against the C library's for everything that it knows, and its bounds. */
// sources: kernel/printf.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/log.h"

static void __attribute__((format(printf, 1, 2))) same(const char *format, ...)
{
	char ours[128], theirs[128];
	va_list first, second;

	va_start(first, format);
	va_copy(second, first);
	size_t length = format_text(ours, sizeof(ours), format, first);

	vsnprintf(theirs, sizeof(theirs), format, second);
	va_end(first);
	va_end(second);
	assert_string_equal(ours, theirs);
	assert_int_equal(length, strlen(theirs));
}

static size_t __attribute__((format(printf, 3, 4)))
format_into(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	size_t length = format_text(buffer, size, format, arguments);

	va_end(arguments);
	return length;
}

static void test_same(void **state)
{
	(void)state;
	same("plain %% text");
	same("%d %d %d %ld", 0, -1, INT32_MIN, INT64_MIN);
	same("%u %lu %x %lx", 0u, UINT64_MAX, 0xbeefu, UINT64_MAX);
	same("[%5d|%05d|%5u|%06lu]", 42, 42, 7u, 123456789ul);
	same("[%8x|%08x|%lx]", 0x1fu, 0x1fu, 0xffff800000000000ul);
	same("[%s|%c]", "abc", 'z');
}

static void test_bounds(void **state)
{
	char buffer[8];

	(void)state;
	memset(buffer, 'x', sizeof(buffer));
	assert_int_equal(format_into(buffer, 4, "%s", "abcdef"), 3);
	assert_string_equal(buffer, "abc");
	assert_int_equal(buffer[4], 'x');
	assert_int_equal(format_into(buffer, 1, "%d", 1), 0);
	assert_string_equal(buffer, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_same),
		                            cmocka_unit_test(test_bounds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
