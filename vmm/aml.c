// SPDX-License-Identifier: Apache-2.0
/*
 * Emitter of AML: one function a term.
 *
 * Must never: write outside aml->bytes[0 .. size).
 */
#include "vmm/aml.h"

#define OP_ZERO     0x00u
#define OP_ONE      0x01u
#define OP_NAME     0x08u
#define OP_BYTE     0x0au
#define OP_WORD     0x0bu
#define OP_DWORD    0x0cu
#define OP_QWORD    0x0eu
#define OP_SCOPE    0x10u
#define OP_BUFFER   0x11u
#define OP_PACKAGE  0x12u
#define OP_EXTENDED 0x5bu
#define OP_DEVICE   0x82u
#define OP_METHOD   0x14u
#define OP_MULTI    0x2fu
#define OP_LOCAL0   0x60u
#define OP_STORE    0x70u
#define OP_AND      0x7bu
#define OP_NOTIFY   0x86u
#define OP_IF       0xa0u
#define OP_REGION   0x80u /* after OP_EXTENDED, as the next */
#define OP_FIELD    0x81u

#define REGION_IO   0x01u
/* ACPI 6.4 20.2.5.2: dword access, no lock, the other bits written as zeros. */
#define FIELD_FLAGS       0x43u

#define METHOD_SERIALIZED 0x08u

/*
 * Lengths are always written in three bytes (ACPI 6.4 20.2.4), so that they can be filled in
 * afterwards.
 */
#define LENGTH_BYTES 3u
#define LENGTH_FORM  0x80u

void aml_put(struct aml *aml, uint64_t value, uint32_t width_bytes)
{
	if (aml->size - aml->used < width_bytes) {
		aml->is_full = true;
		return;
	}
	for (uint32_t i = 0; i < width_bytes; i++) {
		aml->bytes[aml->used++] = (uint8_t)(value >> (i * 8));
	}
}

void aml_put_text(struct aml *aml, const char *text, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++) {
		aml_put(aml, (uint8_t)*text, 1);
		if (*text) {
			text++;
		}
	}
}

void aml_put_name(struct aml *aml, const char *name)
{
	if (*name == '\\') {
		aml_put(aml, '\\', 1);
		name++;
	}
	for (uint32_t i = 0; i < 4; i++) {
		aml_put(aml, *name ? (uint8_t)*name : '_', 1);
		if (*name) {
			name++;
		}
	}
}

void aml_put_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		aml_put(aml, value ? OP_ONE : OP_ZERO, 1);
	} else if (value <= 0xff) {
		aml_put(aml, OP_BYTE, 1);
		aml_put(aml, value, 1);
	} else if (value <= 0xffff) {
		aml_put(aml, OP_WORD, 1);
		aml_put(aml, value, 2);
	} else if (value <= 0xffffffff) {
		aml_put(aml, OP_DWORD, 1);
		aml_put(aml, value, 4);
	} else {
		aml_put(aml, OP_QWORD, 1);
		aml_put(aml, value, 8);
	}
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_put(aml, OP_NAME, 1);
	aml_put_name(aml, name);
	aml_put_integer(aml, value);
}

static uint32_t hex_digit(char c)
{
	return c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'A' + 10);
}

/* ACPI 6.4 19.6.36: 5 bits a letter, 4 a digit, the bytes swapped. */
void aml_name_eisa(struct aml *aml, const char *name, const char *id)
{
	uint32_t letters = (uint32_t)(id[0] - '@') << 10 | (uint32_t)(id[1] - '@') << 5 |
	                   (uint32_t)(id[2] - '@');
	uint32_t digits = hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 |
	                  hex_digit(id[6]);
	uint32_t value = letters << 16 | digits;

	aml_put(aml, OP_NAME, 1);
	aml_put_name(aml, name);
	aml_put(aml, OP_DWORD, 1);
	aml_put(aml, __builtin_bswap32(value), 4);
}

static uint32_t length_begin(struct aml *aml)
{
	uint32_t mark = aml->used;

	aml_put(aml, 0, LENGTH_BYTES);
	return mark;
}

void aml_end(struct aml *aml, uint32_t mark)
{
	uint32_t length = aml->used - mark;

	if (aml->is_full) {
		return;
	}
	aml->bytes[mark] = (uint8_t)(LENGTH_FORM | (length & 15u));
	aml->bytes[mark + 1] = (uint8_t)(length >> 4);
	aml->bytes[mark + 2] = (uint8_t)(length >> 12);
}

uint32_t aml_scope_begin(struct aml *aml, const char *name)
{
	uint32_t mark;

	aml_put(aml, OP_SCOPE, 1);
	mark = length_begin(aml);
	aml_put_name(aml, name);
	return mark;
}

uint32_t aml_device_begin(struct aml *aml, const char *name)
{
	uint32_t mark;

	aml_put(aml, OP_EXTENDED, 1);
	aml_put(aml, OP_DEVICE, 1);
	mark = length_begin(aml);
	aml_put_name(aml, name);
	return mark;
}

uint32_t aml_package_begin(struct aml *aml, uint8_t elements_count)
{
	uint32_t mark;

	aml_put(aml, OP_PACKAGE, 1);
	mark = length_begin(aml);
	aml_put(aml, elements_count, 1);
	return mark;
}

uint32_t aml_method_begin(struct aml *aml, const char *name, uint8_t arguments_count)
{
	uint32_t mark;

	aml_put(aml, OP_METHOD, 1);
	mark = length_begin(aml);
	aml_put_name(aml, name);
	aml_put(aml, METHOD_SERIALIZED | arguments_count, 1);
	return mark;
}

uint32_t aml_if_bit_begin(struct aml *aml, uint32_t local, uint32_t bit)
{
	uint32_t mark;

	aml_put(aml, OP_IF, 1);
	mark = length_begin(aml);
	aml_put(aml, OP_AND, 1);
	aml_put(aml, OP_LOCAL0 + local, 1);
	aml_put_integer(aml, bit);
	aml_put(aml, OP_ZERO, 1); /* the result goes nowhere else */
	return mark;
}

void aml_put_path(struct aml *aml, const char *const *names, uint8_t count)
{
	aml_put(aml, '\\', 1);
	aml_put(aml, OP_MULTI, 1);
	aml_put(aml, count, 1);
	for (uint32_t i = 0; i < count; i++) {
		aml_put_name(aml, names[i]);
	}
}

void aml_put_store_integer(struct aml *aml, uint64_t value, const char *name)
{
	aml_put(aml, OP_STORE, 1);
	aml_put_integer(aml, value);
	aml_put_name(aml, name);
}

void aml_put_store_local(struct aml *aml, const char *name, uint32_t local)
{
	aml_put(aml, OP_STORE, 1);
	aml_put_name(aml, name);
	aml_put(aml, OP_LOCAL0 + local, 1);
}

void aml_put_notify(struct aml *aml, const char *name, uint32_t value)
{
	aml_put(aml, OP_NOTIFY, 1);
	aml_put_name(aml, name);
	aml_put_integer(aml, value);
}

void aml_put_port_region(struct aml *aml, const char *name, uint32_t port, uint32_t length)
{
	aml_put(aml, OP_EXTENDED, 1);
	aml_put(aml, OP_REGION, 1);
	aml_put_name(aml, name);
	aml_put(aml, REGION_IO, 1);
	aml_put_integer(aml, port);
	aml_put_integer(aml, length);
}

void aml_put_fields32(struct aml *aml, const char *region, const char *const *names, uint32_t count)
{
	uint32_t mark;

	aml_put(aml, OP_EXTENDED, 1);
	aml_put(aml, OP_FIELD, 1);
	mark = length_begin(aml);
	aml_put_name(aml, region);
	aml_put(aml, FIELD_FLAGS, 1);
	for (uint32_t i = 0; i < count; i++) {
		aml_put_name(aml, names[i]);
		aml_put(aml, 32, 1); /* its width, as a length of one byte */
	}
	aml_end(aml, mark);
}

/* Buffer: length, size as a word, bytes. The size stands right behind the length and its prefix. */
uint32_t aml_resources_begin(struct aml *aml)
{
	uint32_t mark;

	aml_put(aml, OP_NAME, 1);
	aml_put_name(aml, "_CRS");
	aml_put(aml, OP_BUFFER, 1);
	mark = length_begin(aml);
	aml_put(aml, OP_WORD, 1);
	aml_put(aml, 0, 2);
	return mark;
}

void aml_resources_end(struct aml *aml, uint32_t mark)
{
	uint32_t start = mark + LENGTH_BYTES + 3;
	uint32_t size;

	aml_put(aml, 0x79, 1); /* end tag; checksum 0 = not checked */
	aml_put(aml, 0, 1);
	if (aml->is_full) {
		return;
	}
	size = aml->used - start;
	aml->bytes[start - 2] = (uint8_t)size;
	aml->bytes[start - 1] = (uint8_t)(size >> 8);
	aml_end(aml, mark);
}

/* ACPI 6.4 6.4.2.5. */
void aml_resource_io(struct aml *aml, uint16_t base, uint8_t length)
{
	aml_put(aml, 0x47, 1);
	aml_put(aml, 1, 1); /* decodes 16 bits */
	aml_put(aml, base, 2);
	aml_put(aml, base, 2);
	aml_put(aml, 1, 1); /* alignment */
	aml_put(aml, length, 1);
}

/* ACPI 6.4 6.4.2.1: without flags, edge-triggered, active high. */
void aml_resource_irq(struct aml *aml, uint32_t number)
{
	aml_put(aml, 0x22, 1);
	aml_put(aml, 1ull << number, 2);
}

/* ACPI 6.4 6.4.3.4. */
void aml_resource_memory(struct aml *aml, uint32_t base, uint32_t length)
{
	aml_put(aml, 0x86, 1);
	aml_put(aml, 9, 2);
	aml_put(aml, 1, 1); /* read and write */
	aml_put(aml, base, 4);
	aml_put(aml, length, 4);
}

/* ACPI 6.4 6.4.3.5: type 0 memory, 1 I/O, 2 bus; fixed at both ends, positive decode, produced. */
static void window_head(struct aml *aml, uint32_t tag, uint32_t type, uint32_t specific)
{
	aml_put(aml, tag, 1);
	aml_put(aml, tag == 0x88 ? 13 : 23, 2);
	aml_put(aml, type, 1);
	aml_put(aml, 0x0c, 1);
	aml_put(aml, specific, 1);
}

static void window16(struct aml *aml, uint32_t type, uint32_t specific, uint16_t first,
                     uint16_t last)
{
	window_head(aml, 0x88, type, specific);
	aml_put(aml, 0, 2);
	aml_put(aml, first, 2);
	aml_put(aml, last, 2);
	aml_put(aml, 0, 2);
	aml_put(aml, (uint64_t)last - first + 1, 2);
}

void aml_resource_bus(struct aml *aml, uint16_t first, uint16_t last)
{
	window16(aml, 2, 0, first, last);
}

void aml_resource_io_window(struct aml *aml, uint16_t first, uint16_t last)
{
	window16(aml, 1, 3, first, last); /* the whole range, ISA and not */
}

void aml_resource_memory_window(struct aml *aml, uint32_t first, uint32_t last)
{
	window_head(aml, 0x87, 0, 1); /* read and write, not cacheable */
	aml_put(aml, 0, 4);
	aml_put(aml, first, 4);
	aml_put(aml, last, 4);
	aml_put(aml, 0, 4);
	aml_put(aml, (uint64_t)last - first + 1, 4);
}
