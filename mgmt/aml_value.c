// SPDX-License-Identifier: Apache-2.0
/*
 * Values and statements of AML (ACPI 6.4, 20.2.3, 20.2.5.2 to 20.2.5.4). NULL is a failure and ends the whole
 * question: an operator that is unknown here, memory, steps or levels used up, or bytes that make no sense.
 */
#include <string.h>

#include "mgmt/aml_internal.h"

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_VAR_PACKAGE = 0x13,
	OP_EXTENDED = 0x5b,
	OP_LOCAL0 = 0x60,
	OP_ARG0 = 0x68,
	OP_ARG6 = 0x6e,
	OP_STORE = 0x70,
	OP_ADD = 0x72,
	OP_SUBTRACT = 0x74,
	OP_INCREMENT = 0x75,
	OP_DECREMENT = 0x76,
	OP_MULTIPLY = 0x77,
	OP_DIVIDE = 0x78,
	OP_SHIFT_LEFT = 0x79,
	OP_SHIFT_RIGHT = 0x7a,
	OP_AND = 0x7b,
	OP_NAND = 0x7c,
	OP_OR = 0x7d,
	OP_NOR = 0x7e,
	OP_XOR = 0x7f,
	OP_NOT = 0x80,
	OP_FIND_LEFT = 0x81,
	OP_FIND_RIGHT = 0x82,
	OP_DEREF = 0x83,
	OP_MOD = 0x85,
	OP_NOTIFY = 0x86,
	OP_SIZE_OF = 0x87,
	OP_INDEX = 0x88,
	OP_CREATE_DWORD = 0x8a,
	OP_CREATE_WORD = 0x8b,
	OP_CREATE_BYTE = 0x8c,
	OP_CREATE_BIT = 0x8d,
	OP_CREATE_QWORD = 0x8f,
	OP_LAND = 0x90,
	OP_LOR = 0x91,
	OP_LNOT = 0x92,
	OP_LEQUAL = 0x93,
	OP_LGREATER = 0x94,
	OP_LLESS = 0x95,
	OP_TO_INTEGER = 0x99,
	OP_CONTINUE = 0x9f,
	OP_IF = 0xa0,
	OP_ELSE = 0xa1,
	OP_WHILE = 0xa2,
	OP_NOOP = 0xa3,
	OP_RETURN = 0xa4,
	OP_BREAK = 0xa5,
	OP_ONES = 0xff,
	/* behind OP_EXTENDED */
	EXT_MUTEX = 0x01,
	EXT_EVENT = 0x02,
	EXT_SLEEP = 0x22,
	EXT_ACQUIRE = 0x23,
	EXT_RELEASE = 0x27,
	EXT_REVISION = 0x30,
	EXT_DEBUG = 0x31,
	EXT_REGION = 0x80,
};

/* Where a result is put: a variable or an item, a name, bits of a buffer, or nowhere. */
struct target {
	struct aml_object **slot;
	struct aml_node *node;
	struct aml_object *bits;
};

static bool run_list(struct aml_reader *reader, const uint8_t *end);

static struct aml_object *integer(struct aml_reader *reader, uint64_t value)
{
	return aml_new(reader->space, AML_INTEGER, 0, value);
}

/* ---- what names and variables hold ----------------------------------------------------------- */

static struct aml_object *call(struct aml_space *space, struct aml_node *node,
                               struct aml_object *const *arguments, uint32_t count)
{
	struct aml_object *variables[AML_LOCALS + AML_ARGS] = { NULL };
	const struct aml_object *method = node->object;
	struct aml_reader reader = { .space = space,
		                     .scope = node,
		                     .at = method->code,
		                     .end = method->code + method->value,
		                     .variables = variables };
	uint32_t i;

	for (i = 0; i < count && i < AML_ARGS; i++) {
		variables[AML_LOCALS + i] = arguments[i];
	}
	if (!run_list(&reader, reader.end)) {
		return NULL;
	}
	return reader.flow == AML_RETURN ? reader.result : integer(&reader, 0);
}

struct aml_object *aml_evaluate(struct aml_space *space, struct aml_node *node,
                                struct aml_object *const *arguments, uint32_t count)
{
	struct aml_object *object = node->object;
	uint64_t value;

	if (object == NULL) {
		return NULL;
	}
	if (object->type == AML_METHOD) {
		struct aml_object *result = NULL;

		if (space->depth < AML_DEPTH_MAX) {
			space->depth++;
			result = call(space, node, arguments, count);
			space->depth--;
		}
		return result;
	}
	if (object->type == AML_FIELD || object->type == AML_BITS) {
		return aml_field_read(space, object, &value) ? aml_new(space, AML_INTEGER, 0, value)
		                                             : NULL;
	}
	return object->type == AML_OTHER ? NULL : object;
}

static struct aml_object *take_named(struct aml_reader *reader)
{
	struct aml_object *arguments[AML_ARGS] = { NULL };
	struct aml_name name;
	struct aml_node *node;
	uint32_t count;
	uint32_t i;

	if (!aml_take_name(reader, &name)) {
		return NULL;
	}
	if (name.count == 1 && memcmp(name.segments, "_OSI", 4) == 0) {
		return aml_value(reader) != NULL ? integer(reader, UINT64_MAX) : NULL;
	}
	node = aml_find(reader->space, reader->scope, &name);
	if (node == NULL || node->object == NULL) {
		return NULL;
	}
	count = node->object->type == AML_METHOD ? node->object->count : 0;
	for (i = 0; i < count; i++) {
		arguments[i] = aml_value(reader);
		if (arguments[i] == NULL) {
			return NULL;
		}
	}
	return aml_evaluate(reader->space, node, arguments, count);
}

static struct aml_object **variable(const struct aml_reader *reader, uint8_t op)
{
	return reader->variables == NULL ? NULL : &reader->variables[op - OP_LOCAL0];
}

/* ---- stores ----------------------------------------------------------------------------------- */

/* Bytes and items are copied; what they hold is not changed in place. */
static struct aml_object *copy_of(struct aml_space *space, struct aml_object *object)
{
	struct aml_object *copy = object;

	if (object->type == AML_BUFFER) {
		copy = aml_new_buffer(space, object->count);
		if (copy != NULL) {
			memcpy(copy->bytes, object->bytes, object->count);
		}
	} else if (object->type == AML_PACKAGE) {
		copy = aml_new_package(space, object->count);
		if (copy != NULL) {
			memcpy(copy->items, object->items, object->count * AML_ITEM_BYTES);
		}
	}
	return copy;
}

static bool take_target(struct aml_reader *reader, struct target *target)
{
	struct aml_object *place;
	struct aml_name name;
	uint8_t op;

	memset(target, 0, sizeof(*target));
	if (reader->at == reader->end) {
		return false;
	}
	op = *reader->at;
	if (op == OP_ZERO) {
		reader->at++;
		return true;
	}
	if (op >= OP_LOCAL0 && op <= OP_ARG6) {
		reader->at++;
		target->slot = variable(reader, op);
		return target->slot != NULL;
	}
	if (op == OP_EXTENDED) {
		reader->at += 2;
		return reader->at <= reader->end && reader->at[-1] == EXT_DEBUG;
	}
	if (op == OP_INDEX) {
		place = aml_value(reader);
		if (place == NULL) {
			return false;
		}
		target->slot = place->type == AML_SLOT ? place->slot : NULL;
		target->bits = place->type == AML_BITS ? place : NULL;
		return true;
	}
	if (!aml_take_name(reader, &name)) {
		return false;
	}
	target->node = aml_find(reader->space, reader->scope, &name);
	return target->node != NULL && target->node->object != NULL;
}

/* A field of an operation region stays as it is: no hardware is written. */
static bool put(struct aml_reader *reader, const struct target *target, struct aml_object *object)
{
	struct aml_object *held = target->node != NULL ? target->node->object : target->bits;
	uint64_t value;

	if (target->slot == NULL && held == NULL) {
		return true;
	}
	if (held != NULL && held->type == AML_BITS) {
		if (!aml_integer(object, &value)) {
			return false;
		}
		aml_bits_write(held, value);
		return true;
	}
	if (held != NULL && (held->type == AML_FIELD || held->type == AML_OTHER)) {
		return true;
	}
	if (held != NULL &&
	    (held->type == AML_METHOD || held->type == AML_NODE || held->type == AML_REGION)) {
		return false;
	}
	object = copy_of(reader->space, object);
	if (object == NULL) {
		return false;
	}
	*(target->slot != NULL ? target->slot : &target->node->object) = object;
	return true;
}

static struct aml_object *store(struct aml_reader *reader)
{
	struct aml_object *object = aml_value(reader);
	struct target target;

	if (object == NULL || !take_target(reader, &target) || !put(reader, &target, object)) {
		return NULL;
	}
	return object;
}

static struct aml_object *put_integer(struct aml_reader *reader, uint64_t value)
{
	struct aml_object *object = integer(reader, value);
	struct target target;

	if (object == NULL || !take_target(reader, &target) || !put(reader, &target, object)) {
		return NULL;
	}
	return object;
}

/* Increment and Decrement: the operand is where the result goes. */
static struct aml_object *step(struct aml_reader *reader, uint64_t change)
{
	const uint8_t *begin = reader->at;
	uint64_t value;

	if (!aml_take_integer(reader, &value)) {
		return NULL;
	}
	reader->at = begin;
	return put_integer(reader, value + change);
}

/* ---- operators -------------------------------------------------------------------------------- */

static uint64_t combine(uint8_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case OP_ADD:
		return a + b;
	case OP_SUBTRACT:
		return a - b;
	case OP_MULTIPLY:
		return a * b;
	case OP_SHIFT_LEFT:
		return b < 64 ? a << b : 0;
	case OP_SHIFT_RIGHT:
		return b < 64 ? a >> b : 0;
	case OP_AND:
		return a & b;
	case OP_NAND:
		return ~(a & b);
	case OP_OR:
		return a | b;
	case OP_NOR:
		return ~(a | b);
	case OP_XOR:
		return a ^ b;
	case OP_MOD:
		return b != 0 ? a % b : 0;
	case OP_LAND:
		return a != 0 && b != 0 ? UINT64_MAX : 0;
	case OP_LOR:
		return a != 0 || b != 0 ? UINT64_MAX : 0;
	case OP_LEQUAL:
		return a == b ? UINT64_MAX : 0;
	case OP_LGREATER:
		return a > b ? UINT64_MAX : 0;
	default: /* OP_LLESS */
		return a < b ? UINT64_MAX : 0;
	}
}

static struct aml_object *calculate(struct aml_reader *reader, uint8_t op)
{
	uint64_t a, b;

	if (!aml_take_integer(reader, &a) || !aml_take_integer(reader, &b)) {
		return NULL;
	}
	return op >= OP_LAND ? integer(reader, combine(op, a, b))
	                     : put_integer(reader, combine(op, a, b));
}

static struct aml_object *divide(struct aml_reader *reader)
{
	uint64_t a, b;

	if (!aml_take_integer(reader, &a) || !aml_take_integer(reader, &b) || b == 0 ||
	    put_integer(reader, a % b) == NULL) {
		return NULL;
	}
	return put_integer(reader, a / b);
}

static struct aml_object *change_one(struct aml_reader *reader, uint8_t op)
{
	uint64_t value;

	if (!aml_take_integer(reader, &value)) {
		return NULL;
	}
	switch (op) {
	case OP_NOT:
		return put_integer(reader, ~value);
	case OP_FIND_LEFT:
		return put_integer(reader, value != 0 ? 64 - (uint64_t)__builtin_clzll(value) : 0);
	case OP_FIND_RIGHT:
		return put_integer(reader, value != 0 ? (uint64_t)__builtin_ctzll(value) + 1 : 0);
	case OP_LNOT:
		return integer(reader, value == 0 ? UINT64_MAX : 0);
	default: /* OP_TO_INTEGER */
		return put_integer(reader, value);
	}
}

/* A place in a package or a buffer. */
static struct aml_object *take_index(struct aml_reader *reader)
{
	struct aml_object *whole = aml_value(reader);
	struct aml_object *place;
	struct target target;
	uint64_t idx;

	if (whole == NULL || !aml_take_integer(reader, &idx) || idx >= whole->count ||
	    (whole->type != AML_PACKAGE && whole->type != AML_BUFFER)) {
		return NULL;
	}
	place = aml_new(reader->space, whole->type == AML_PACKAGE ? AML_SLOT : AML_BITS, 8,
	                8 * idx);
	if (place == NULL) {
		return NULL;
	}
	if (whole->type == AML_PACKAGE) {
		place->slot = &whole->items[idx];
	} else {
		place->bytes = whole->bytes;
	}
	return take_target(reader, &target) && put(reader, &target, place) ? place : NULL;
}

static struct aml_object *dereference(struct aml_reader *reader)
{
	struct aml_object *place = aml_value(reader);
	uint64_t value;

	if (place != NULL && place->type == AML_SLOT) {
		return aml_item(reader->space, *place->slot);
	}
	return place != NULL && place->type == AML_BITS &&
	                       aml_field_read(reader->space, place, &value)
	               ? integer(reader, value)
	               : NULL;
}

static struct aml_object *size_of(struct aml_reader *reader)
{
	const struct aml_object *object = aml_value(reader);

	return object != NULL ? integer(reader, object->count) : NULL;
}

/* A name for bits of a buffer. */
static struct aml_object *create_field(struct aml_reader *reader, uint32_t bits)
{
	struct aml_object *buffer = aml_value(reader);
	struct aml_object *field;
	struct aml_name name;
	struct aml_node *node;
	uint64_t at;

	if (buffer == NULL || buffer->type != AML_BUFFER || !aml_take_integer(reader, &at) ||
	    !aml_take_name(reader, &name)) {
		return NULL;
	}
	at *= bits == 1 ? 1 : 8;
	if (at + bits > 8ull * buffer->count || at > 8ull * AML_BUFFER_MAX) {
		return NULL;
	}
	node = aml_make(reader->space, reader->scope, &name);
	field = aml_new(reader->space, AML_BITS, bits, at);
	if (node == NULL || field == NULL) {
		return NULL;
	}
	field->bytes = buffer->bytes;
	node->object = field;
	return field;
}

static struct aml_object *define_name(struct aml_reader *reader)
{
	struct aml_object *object;
	struct aml_name name;
	struct aml_node *node;

	if (!aml_take_name(reader, &name)) {
		return NULL;
	}
	object = aml_value(reader);
	node = object != NULL ? aml_make(reader->space, reader->scope, &name) : NULL;
	if (node == NULL) {
		return NULL;
	}
	node->object = object;
	return object;
}

static struct aml_object *define_region(struct aml_reader *reader)
{
	struct aml_object *region;
	struct aml_name name;
	struct aml_node *node;
	uint64_t space, base, bytes;

	if (!aml_take_name(reader, &name) || !aml_take(reader, 1, &space) ||
	    !aml_take_integer(reader, &base) || !aml_take_integer(reader, &bytes)) {
		return NULL;
	}
	node = aml_make(reader->space, reader->scope, &name);
	region = aml_new(reader->space, AML_REGION,
	                 (uint32_t)(bytes < UINT32_MAX ? bytes : UINT32_MAX), base);
	if (node == NULL || region == NULL) {
		return NULL;
	}
	region->space = (uint8_t)space;
	node->object = region;
	return region;
}

/* Mutex, Event, Acquire, Release: there is one who asks, so nothing is to be done. */
static struct aml_object *pass_over(struct aml_reader *reader, uint8_t op)
{
	struct aml_name name;
	struct aml_node *node;
	uint64_t rest;
	uint32_t bytes = op == EXT_MUTEX ? 1 : op == EXT_ACQUIRE ? 2 : 0;

	if (!aml_take_name(reader, &name) || !aml_take(reader, bytes, &rest)) {
		return NULL;
	}
	if (op == EXT_MUTEX || op == EXT_EVENT) {
		node = aml_make(reader->space, reader->scope, &name);
		if (node != NULL) {
			node->object = aml_new(reader->space, AML_OTHER, 0, 0);
		}
	}
	return integer(reader, 0);
}

static struct aml_object *take_extended(struct aml_reader *reader)
{
	uint64_t op, value;

	if (!aml_take(reader, 1, &op)) {
		return NULL;
	}
	switch (op) {
	case EXT_MUTEX:
	case EXT_EVENT:
	case EXT_ACQUIRE:
	case EXT_RELEASE:
		return pass_over(reader, (uint8_t)op);
	case EXT_SLEEP - 1: /* Stall */
	case EXT_SLEEP:
		return aml_take_integer(reader, &value) ? integer(reader, 0) : NULL;
	case EXT_REVISION:
		return integer(reader, 2);
	case EXT_REGION:
		return define_region(reader);
	default:
		return NULL;
	}
}

static struct aml_object *notify(struct aml_reader *reader)
{
	struct target target;
	uint64_t value;

	return take_target(reader, &target) && aml_take_integer(reader, &value) ? integer(reader, 0)
	                                                                        : NULL;
}

static struct aml_object *take_operator(struct aml_reader *reader, uint8_t op)
{
	switch (op) {
	case OP_STORE:
		return store(reader);
	case OP_INCREMENT:
		return step(reader, 1);
	case OP_DECREMENT:
		return step(reader, UINT64_MAX);
	case OP_DIVIDE:
		return divide(reader);
	case OP_NOT:
	case OP_FIND_LEFT:
	case OP_FIND_RIGHT:
	case OP_LNOT:
	case OP_TO_INTEGER:
		return change_one(reader, op);
	case OP_DEREF:
		return dereference(reader);
	case OP_NOTIFY:
		return notify(reader);
	case OP_SIZE_OF:
		return size_of(reader);
	case OP_INDEX:
		return take_index(reader);
	case OP_CREATE_BIT:
		return create_field(reader, 1);
	case OP_CREATE_BYTE:
		return create_field(reader, 8);
	case OP_CREATE_WORD:
		return create_field(reader, 16);
	case OP_CREATE_DWORD:
		return create_field(reader, 32);
	case OP_CREATE_QWORD:
		return create_field(reader, 64);
	default:
		break;
	}
	if ((op >= OP_ADD && op <= OP_XOR && op != OP_ADD + 1) || op == OP_MOD ||
	    (op >= OP_LAND && op <= OP_LLESS)) {
		return calculate(reader, op);
	}
	return NULL;
}

static struct aml_object *take_one(struct aml_reader *reader)
{
	uint8_t op = *reader->at;

	if ((op >= 'A' && op <= 'Z') || op == '_' || op == 0x5c || op == 0x5e || op == 0x2e ||
	    op == 0x2f) {
		return take_named(reader);
	}
	reader->at++;
	switch (op) {
	case OP_ZERO:
	case OP_ONE:
		return integer(reader, op);
	case OP_ONES:
		return integer(reader, UINT64_MAX);
	case OP_BYTE:
	case OP_WORD:
	case OP_DWORD:
	case OP_QWORD:
	case OP_STRING:
	case OP_BUFFER:
	case OP_PACKAGE:
	case OP_VAR_PACKAGE:
		return aml_data(reader, op);
	case OP_NAME:
		return define_name(reader);
	case OP_EXTENDED:
		return take_extended(reader);
	default:
		break;
	}
	if (op >= OP_LOCAL0 && op <= OP_ARG6) {
		return variable(reader, op) != NULL ? *variable(reader, op) : NULL;
	}
	return take_operator(reader, op);
}

struct aml_object *aml_value(struct aml_reader *reader)
{
	struct aml_space *space = reader->space;
	struct aml_object *object;

	if (reader->at >= reader->end || space->steps_left == 0 || space->depth == AML_DEPTH_MAX) {
		return NULL;
	}
	space->steps_left--;
	space->depth++;
	object = take_one(reader);
	space->depth--;
	return object;
}

/* ---- statements ------------------------------------------------------------------------------- */

static bool run_if(struct aml_reader *reader)
{
	const uint8_t *end;
	uint64_t value;

	if (!aml_take_package(reader, &end) || !aml_take_integer(reader, &value) ||
	    reader->at > end) {
		return false;
	}
	if (value != 0 && !run_list(reader, end)) {
		return false;
	}
	reader->at = end;
	if (reader->at < reader->end && *reader->at == OP_ELSE) {
		reader->at++;
		if (!aml_take_package(reader, &end) || (value == 0 && !run_list(reader, end))) {
			return false;
		}
		reader->at = end;
	}
	return true;
}

static bool run_while(struct aml_reader *reader)
{
	const uint8_t *begin, *end;
	uint64_t value;

	if (!aml_take_package(reader, &end)) {
		return false;
	}
	for (begin = reader->at; reader->flow == AML_ON || reader->flow == AML_CONTINUE;) {
		reader->flow = AML_ON;
		reader->at = begin;
		if (!aml_take_integer(reader, &value) || reader->at > end) {
			return false;
		}
		if (value == 0) {
			break;
		}
		if (!run_list(reader, end)) {
			return false;
		}
	}
	reader->flow = reader->flow == AML_BREAK ? AML_ON : reader->flow;
	reader->at = end;
	return true;
}

static bool run_one(struct aml_reader *reader)
{
	uint8_t op = *reader->at;

	switch (op) {
	case OP_IF:
		reader->at++;
		return run_if(reader);
	case OP_WHILE:
		reader->at++;
		return run_while(reader);
	case OP_NOOP:
		reader->at++;
		return true;
	case OP_BREAK:
	case OP_CONTINUE:
		reader->at++;
		reader->flow = op == OP_BREAK ? AML_BREAK : AML_CONTINUE;
		return true;
	case OP_RETURN:
		reader->at++;
		reader->result = aml_value(reader);
		reader->flow = AML_RETURN;
		return reader->result != NULL;
	default:
		return aml_value(reader) != NULL;
	}
}

static bool run_list(struct aml_reader *reader, const uint8_t *end)
{
	const uint8_t *outer = reader->end;
	struct aml_space *space = reader->space;
	bool is_good = true;

	if (space->depth == AML_DEPTH_MAX) {
		return false;
	}
	space->depth++;
	reader->end = end;
	while (is_good && reader->at < end && reader->flow == AML_ON) {
		is_good = space->steps_left != 0 && run_one(reader);
		space->steps_left -= space->steps_left != 0 ? 1 : 0;
	}
	reader->end = outer;
	space->depth--;
	return is_good;
}
