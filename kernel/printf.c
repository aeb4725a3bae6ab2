/* SPDX-License-Identifier: Apache-2.0 */
/* printf for the log (see log.h). No floating point, no positions, no state. */
#include "kernel/log.h"
#include "kernel/string.h"

struct output {
	char *buffer;
	size_t size;
	size_t length;
};

struct spec {
	bool is_left, is_zero, is_alternate, is_long, is_negative;
	size_t width;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size) {
		out->buffer[out->length++] = c;
	}
}

static void put_padded(struct output *out, const struct spec *spec, const char *text, size_t length)
{
	size_t pad = spec->width > length ? spec->width - length : 0;

	for (; pad > 0 && !spec->is_left; pad--) {
		put(out, spec->is_zero ? '0' : ' ');
	}
	for (size_t i = 0; i < length; i++) {
		put(out, text[i]);
	}
	for (; pad > 0; pad--) {
		put(out, ' ');
	}
}

static void put_number(struct output *out, const struct spec *spec, uint64_t value, uint32_t base)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (spec->is_alternate && base == 16) {
		digits[--at] = 'x';
		digits[--at] = '0';
	}
	if (spec->is_negative && !spec->is_zero) {
		digits[--at] = '-';
	}
	put_padded(out, spec, &digits[at], sizeof(digits) - at);
}

static void put_signed(struct output *out, struct spec *spec, int64_t value)
{
	spec->is_negative = value < 0;
	if (spec->is_negative && spec->is_zero) {
		put(out, '-'); /* before the zeros */
		spec->width -= spec->width > 0 ? 1 : 0;
	}
	put_number(out, spec, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

static const char *spec_read(const char *at, struct spec *spec)
{
	*spec = (struct spec){ 0 };
	for (; *at == '-' || *at == '0' || *at == '#'; at++) {
		spec->is_left |= *at == '-';
		spec->is_zero |= *at == '0';
		spec->is_alternate |= *at == '#';
	}
	for (; *at >= '0' && *at <= '9'; at++) {
		spec->width = spec->width * 10 + (size_t)(*at - '0');
	}
	for (; *at == 'l' || *at == 'z'; at++) {
		spec->is_long = true;
	}
	return at;
}

size_t format_text(char *buffer, size_t size, const char *format, va_list arguments)
{
	struct output out = { buffer, size, 0 };
	struct spec spec;

	for (const char *at = format; *at != '\0'; at++) {
		if (*at != '%') {
			put(&out, *at);
			continue;
		}
		at = spec_read(at + 1, &spec);
		if (*at == '\0') {
			break;
		}
		if (*at == 's') {
			const char *text = va_arg(arguments, const char *);

			text = text != NULL ? text : "(null)";
			put_padded(&out, &spec, text, strlen(text));
		} else if (*at == 'c') {
			put(&out, (char)va_arg(arguments, int));
		} else if (*at == 'd') {
			put_signed(&out, &spec,
			           spec.is_long ? va_arg(arguments, long) : va_arg(arguments, int));
		} else if (*at == 'u' || *at == 'x') {
			put_number(&out, &spec,
			           spec.is_long ? va_arg(arguments, unsigned long)
			                        : va_arg(arguments, unsigned),
			           *at == 'x' ? 16 : 10);
		} else if (*at == 'p') {
			spec.is_alternate = true;
			put_number(&out, &spec, (uint64_t)va_arg(arguments, void *), 16);
		} else {
			put(&out, *at);
		}
	}
	if (size > 0) {
		buffer[out.length] = '\0';
	}
	return out.length;
}
