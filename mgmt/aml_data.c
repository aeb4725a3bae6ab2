// SPDX-License-Identifier: Apache-2.0
/*
 * Data objects of AML: integers, strings, buffers, packages and their items (ACPI 6.4, 20.2.3). NULL is a
 * failure.
 */
#include <string.h>

#include "mgmt/aml_internal.h"

#define OP_BYTE        0x0au
#define OP_WORD        0x0bu
#define OP_DWORD       0x0cu
#define OP_STRING      0x0du
#define OP_QWORD       0x0eu
#define OP_BUFFER      0x11u
#define OP_PACKAGE     0x12u
#define OP_VAR_PACKAGE 0x13u

bool aml_integer(const struct aml_object *object, uint64_t *value)
{
	if (object == NULL || (object->type != AML_INTEGER && object->type != AML_BUFFER)) {
		return false;
	}
	*value = object->value;
	if (object->type == AML_BUFFER) {
		*value = 0;
		memcpy(value, object->bytes, object->count < 8 ? object->count : 8);
	}
	return true;
}

bool aml_take_integer(struct aml_reader *reader, uint64_t *value)
{
	return aml_integer(aml_value(reader), value);
}

static struct aml_object *take_constant(struct aml_reader *reader, uint32_t bytes)
{
	uint64_t value;

	return aml_take(reader, bytes, &value) ? aml_new(reader->space, AML_INTEGER, 0, value)
	                                       : NULL;
}

static struct aml_object *take_string(struct aml_reader *reader)
{
	const uint8_t *end = memchr(reader->at, 0, (size_t)(reader->end - reader->at));
	struct aml_object *object;

	if (end == NULL || end - reader->at > 0xffff) {
		return NULL;
	}
	object = aml_new(reader->space, AML_STRING, (uint32_t)(end - reader->at), 0);
	if (object != NULL) {
		object->bytes = aml_allocate(reader->space, object->count + 1);
		if (object->bytes == NULL) {
			return NULL;
		}
		memcpy(object->bytes, reader->at, object->count);
	}
	reader->at = end + 1;
	return object;
}

struct aml_object *aml_new_buffer(struct aml_space *space, uint64_t bytes)
{
	struct aml_object *object = aml_new(space, AML_BUFFER, (uint32_t)bytes, 0);

	if (object == NULL || bytes > AML_BUFFER_MAX) {
		return NULL;
	}
	object->bytes = aml_allocate(space, (uint32_t)bytes + 1);
	return object->bytes != NULL ? object : NULL;
}

static struct aml_object *take_buffer(struct aml_reader *reader)
{
	struct aml_object *object;
	const uint8_t *end;
	uint64_t bytes, given;

	if (!aml_take_package(reader, &end) || !aml_take_integer(reader, &bytes) ||
	    reader->at > end) {
		return NULL;
	}
	given = (uint64_t)(end - reader->at);
	object = aml_new_buffer(reader->space, bytes > given ? bytes : given);
	if (object != NULL) {
		memcpy(object->bytes, reader->at, given);
	}
	reader->at = end;
	return object;
}

struct aml_object *aml_new_package(struct aml_space *space, uint64_t count)
{
	struct aml_object *object = aml_new(space, AML_PACKAGE, (uint32_t)count, 0);

	if (object == NULL || count > AML_ITEMS_MAX) {
		return NULL;
	}
	object->items = aml_allocate(space, (uint32_t)(count + 1) * AML_ITEM_BYTES);
	return object->items != NULL ? object : NULL;
}

struct aml_object *aml_item(struct aml_space *space, struct aml_object *item)
{
	struct aml_reader reader = { .space = space };
	struct aml_name name;
	struct aml_node *node;

	if (item == NULL || item->type != AML_LATER) {
		return item;
	}
	reader.at = item->code;
	reader.end = item->code + item->count;
	if (!aml_take_name(&reader, &name)) {
		return NULL;
	}
	node = aml_find(space, &space->nodes[item->value], &name);
	return node != NULL && (node->object == NULL || node->object->type != AML_METHOD)
	               ? aml_evaluate(space, node, NULL, 0)
	               : NULL;
}

/* An item that is a name stands for what it names, data or a device; it may be defined later. */
static struct aml_object *take_item(struct aml_reader *reader)
{
	uint8_t first = *reader->at;
	struct aml_object *item;
	const uint8_t *begin = reader->at;
	struct aml_name name;

	if ((first < 'A' || first > 'Z') && first != '_' && first != 0x5c && first != 0x5e &&
	    first != 0x2e && first != 0x2f) {
		return aml_value(reader);
	}
	if (!aml_take_name(reader, &name)) {
		return NULL;
	}
	item = aml_new(reader->space, AML_LATER, (uint32_t)(reader->at - begin),
	               (uint64_t)(reader->scope - reader->space->nodes));
	if (item != NULL) {
		item->code = begin;
	}
	return item;
}

static struct aml_object *take_package(struct aml_reader *reader, bool is_variable)
{
	struct aml_object *object;
	const uint8_t *outer = reader->end;
	const uint8_t *end;
	uint64_t count;
	uint32_t i;

	if (!aml_take_package(reader, &end) ||
	    !(is_variable ? aml_take_integer(reader, &count) : aml_take(reader, 1, &count)) ||
	    reader->at > end) {
		return NULL;
	}
	object = aml_new_package(reader->space, count);
	reader->end = end;
	for (i = 0; object != NULL && i < count && reader->at < end; i++) {
		object->items[i] = take_item(reader);
		object = object->items[i] != NULL ? object : NULL;
	}
	reader->end = outer;
	reader->at = end;
	return object;
}

struct aml_object *aml_data(struct aml_reader *reader, uint8_t op)
{
	switch (op) {
	case OP_BYTE:
		return take_constant(reader, 1);
	case OP_WORD:
		return take_constant(reader, 2);
	case OP_DWORD:
		return take_constant(reader, 4);
	case OP_QWORD:
		return take_constant(reader, 8);
	case OP_STRING:
		return take_string(reader);
	case OP_BUFFER:
		return take_buffer(reader);
	default: /* a package, with its count as a byte or as a value */
		return take_package(reader, op == OP_VAR_PACKAGE);
	}
}
