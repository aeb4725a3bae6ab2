/* SPDX-License-Identifier: Apache-2.0 */
/* printf for the log (see log.h): what the kernel's own lines need, and no more. No floating point, no positions, no state. */
#include "kernel/log.h"
#include "kernel/string.h"

struct output {
	char *buffer;
	size_t size;
	size_t length;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size) {
		out->buffer[out->length++] = c;
	}
}

static void put_number(struct output *out, uint64_t value, uint32_t base, uint32_t width, char pad)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (at > 0 && sizeof(digits) - at < width) {
		digits[--at] = pad;
	}
	for (; at < sizeof(digits); at++) {
		put(out, digits[at]);
	}
}

size_t format_text(char *buffer, size_t size, const char *format, va_list arguments)
{
	struct output out = { buffer, size, 0 };

	for (; *format != '\0'; format++) {
		char pad = format[1] == '0' ? '0' : ' ';
		uint32_t width = 0;

		if (*format != '%') {
			put(&out, *format);
			continue;
		}
		for (format++; *format >= '0' && *format <= '9'; format++) {
			width = width * 10 + (uint32_t)(*format - '0');
		}
		bool is_long = *format == 'l';

		format += is_long ? 1 : 0;
		if (*format == 's') {
			for (const char *text = va_arg(arguments, const char *); *text != '\0';
			     text++) {
				put(&out, *text);
			}
		} else if (*format == 'd') {
			int64_t value = is_long ? va_arg(arguments, long) : va_arg(arguments, int);

			if (value < 0) {
				put(&out, '-');
			}
			put_number(&out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10,
			           width, pad);
		} else if (*format == 'u' || *format == 'x') {
			put_number(&out,
			           is_long ? va_arg(arguments, unsigned long)
			                   : va_arg(arguments, unsigned),
			           *format == 'x' ? 16 : 10, width, pad);
		} else {
			put(&out, *format == 'c' ? (char)va_arg(arguments, int) : *format);
		}
	}
	if (size > 0) {
		buffer[out.length] = '\0';
	}
	return out.length;
}
