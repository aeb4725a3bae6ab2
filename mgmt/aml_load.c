// SPDX-License-Identifier: Apache-2.0
/*
 * Definitions of a table (ACPI 6.4, 20.2.5): scopes, devices, methods, fields. What only runs (names, regions,
 * stores) is aml_value.c's. Conditions around definitions are passed over.
 */
#include <string.h>

#include "mgmt/aml_internal.h"

#define OP_ALIAS       0x06u
#define OP_SCOPE       0x10u
#define OP_METHOD      0x14u
#define OP_EXTERNAL    0x15u
#define OP_IF          0xa0u
#define OP_WHILE       0xa2u
#define OP_EXTENDED    0x5bu
#define OP_FIELD       0x81u
#define OP_DEVICE      0x82u
#define OP_PROCESSOR   0x83u
#define OP_POWER       0x84u
#define OP_THERMAL     0x85u
#define OP_INDEX_FIELD 0x86u
#define OP_BANK_FIELD  0x87u

static bool load_scope(struct aml_reader *reader)
{
	const uint8_t *end;
	struct aml_name name;
	struct aml_node *node;

	if (!aml_take_package(reader, &end) || !aml_take_name(reader, &name)) {
		return false;
	}
	node = aml_find(reader->space, reader->scope, &name);
	if (node != NULL && reader->at <= end) {
		aml_load(reader->space, reader->at, end, node);
	}
	reader->at = end;
	return true;
}

static bool load_method(struct aml_reader *reader)
{
	const uint8_t *end;
	struct aml_name name;
	struct aml_node *node;
	uint64_t flags;

	if (!aml_take_package(reader, &end) || !aml_take_name(reader, &name) ||
	    !aml_take(reader, 1, &flags) || reader->at > end) {
		return false;
	}
	node = aml_make(reader->space, reader->scope, &name);
	if (node != NULL) {
		node->object = aml_new(reader->space, AML_METHOD, flags & 7,
		                       (uint64_t)(end - reader->at));
	}
	if (node != NULL && node->object != NULL) {
		node->object->code = reader->at;
	}
	reader->at = end;
	return true;
}

/* A device, or what looks like one; `skip` bytes follow its name. */
static bool load_device(struct aml_reader *reader, uint32_t skip)
{
	const uint8_t *end;
	struct aml_name name;
	struct aml_node *node;
	uint64_t skipped;

	if (!aml_take_package(reader, &end) || !aml_take_name(reader, &name) ||
	    !aml_take(reader, skip, &skipped) || reader->at > end) {
		return false;
	}
	node = aml_make(reader->space, reader->scope, &name);
	if (node != NULL) {
		node->object = aml_new(reader->space, AML_NODE, 0, 0);
	}
	if (node != NULL && node->object != NULL) {
		node->object->node = node;
		aml_load(reader->space, reader->at, end, node);
	}
	reader->at = end;
	return true;
}

/* One element of a list of fields; *bit moves on by its bits. */
static bool load_field(struct aml_reader *reader, struct aml_node *region, uint64_t *bit)
{
	struct aml_name name = { .count = 1, .segments = reader->at };
	const uint8_t *begin = reader->at;
	struct aml_node *node;
	uint64_t kind, first, rest, bits;

	if (!aml_take(reader, 1, &kind)) {
		return false;
	}
	if (kind == 0x01) { /* how it is accessed */
		return aml_take(reader, 2, &rest);
	}
	if (kind != 0x00) { /* a name; 0: bits without one */
		reader->at = begin;
		if (!aml_take(reader, 4, &rest)) {
			return false;
		}
	}
	if (!aml_take(reader, 1, &first) || !aml_take(reader, (uint32_t)(first >> 6), &rest)) {
		return false;
	}
	bits = (first >> 6) == 0 ? first : (first & 0xf) | rest << 4;
	if (kind != 0x00) {
		node = aml_make(reader->space, reader->scope, &name);
		if (node == NULL) {
			return false;
		}
		node->object = aml_new(reader->space, region != NULL ? AML_FIELD : AML_OTHER,
		                       (uint32_t)bits, *bit);
		if (node->object == NULL) {
			return false;
		}
		node->object->node = region;
	}
	*bit += bits;
	return true;
}

bool aml_load_fields(struct aml_reader *reader, struct aml_node *region, const uint8_t *end)
{
	struct aml_reader list = *reader;
	uint64_t flags;
	uint64_t bit = 0;

	list.end = end;
	reader->at = end;
	if (region != NULL && (region->object == NULL || region->object->type != AML_REGION)) {
		region = NULL;
	}
	if (list.at > end || !aml_take(&list, 1, &flags)) {
		return false;
	}
	while (list.at < end) {
		if (!load_field(&list, region, &bit)) {
			return false;
		}
	}
	return true;
}

/* Field, or IndexField, whose fields cannot be read. */
static bool load_field_list(struct aml_reader *reader, bool is_index)
{
	const uint8_t *end;
	struct aml_name name;
	struct aml_name data;

	if (!aml_take_package(reader, &end) || !aml_take_name(reader, &name) ||
	    (is_index && !aml_take_name(reader, &data))) {
		return false;
	}
	return aml_load_fields(
		reader, is_index ? NULL : aml_find(reader->space, reader->scope, &name), end);
}

static bool skip_package(struct aml_reader *reader)
{
	const uint8_t *end;

	if (!aml_take_package(reader, &end)) {
		return false;
	}
	reader->at = end;
	return true;
}

static bool load_alias(struct aml_reader *reader)
{
	struct aml_name from, to;
	const struct aml_node *source;
	struct aml_node *node;

	if (!aml_take_name(reader, &from) || !aml_take_name(reader, &to)) {
		return false;
	}
	source = aml_find(reader->space, reader->scope, &from);
	node = aml_make(reader->space, reader->scope, &to);
	if (source != NULL && node != NULL) {
		node->object = source->object;
	}
	return true;
}

static bool load_external(struct aml_reader *reader)
{
	struct aml_name name;
	uint64_t rest;

	return aml_take_name(reader, &name) && aml_take(reader, 2, &rest);
}

static bool load_extended(struct aml_reader *reader)
{
	switch (reader->at[1]) {
	case OP_FIELD:
	case OP_INDEX_FIELD:
		reader->at += 2;
		return load_field_list(reader, reader->at[-1] == OP_INDEX_FIELD);
	case OP_DEVICE:
	case OP_THERMAL:
		reader->at += 2;
		return load_device(reader, 0);
	case OP_PROCESSOR:
		reader->at += 2;
		return load_device(reader, 6);
	case OP_POWER:
		reader->at += 2;
		return load_device(reader, 3);
	case OP_BANK_FIELD:
		reader->at += 2;
		return skip_package(reader);
	default:
		return aml_value(reader) != NULL;
	}
}

static bool load_one(struct aml_reader *reader)
{
	switch (*reader->at) {
	case OP_SCOPE:
		reader->at++;
		return load_scope(reader);
	case OP_METHOD:
		reader->at++;
		return load_method(reader);
	case OP_ALIAS:
		reader->at++;
		return load_alias(reader);
	case OP_EXTERNAL:
		reader->at++;
		return load_external(reader);
	case OP_IF:
	case OP_IF + 1: /* Else */
	case OP_WHILE:
		reader->at++;
		return skip_package(reader);
	case OP_EXTENDED:
		return reader->end - reader->at >= 2 && load_extended(reader);
	default:
		return aml_value(reader) != NULL;
	}
}

void aml_load(struct aml_space *space, const uint8_t *at, const uint8_t *end,
              struct aml_node *scope)
{
	struct aml_reader reader = { .space = space, .scope = scope, .at = at, .end = end };

	if (space->depth == AML_DEPTH_MAX) {
		return;
	}
	space->depth++;
	while (reader.at < end && space->steps_left != 0) {
		space->steps_left--;
		if (!load_one(&reader)) {
			break;
		}
	}
	space->depth--;
}
