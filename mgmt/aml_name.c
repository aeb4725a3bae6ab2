// SPDX-License-Identifier: Apache-2.0
/*
 * AML's encodings of lengths and names, and the tree of names (ACPI 6.4, 5.3, 20.2.2, 20.2.4). Memory is an
 * arena that goes with the space.
 */
#include <string.h>

#include "mgmt/aml_internal.h"

#define ROOT_CHARACTER   0x5cu
#define PARENT_CHARACTER 0x5eu
#define NAME_NULL        0x00u
#define NAME_DUAL        0x2eu
#define NAME_MULTI       0x2fu

void *aml_allocate(struct aml_space *space, uint32_t bytes)
{
	uint8_t *at = space->arena + space->arena_used;

	bytes = (bytes + 7) & ~7u;
	if (bytes > AML_ARENA_BYTES - space->arena_used) {
		return NULL;
	}
	space->arena_used += bytes;
	memset(at, 0, bytes);
	return at;
}

struct aml_object *aml_new(struct aml_space *space, enum aml_type type, uint32_t count,
                           uint64_t value)
{
	struct aml_object *object = aml_allocate(space, sizeof(*object));

	if (object != NULL) {
		object->type = (uint8_t)type;
		object->count = count;
		object->value = value;
	}
	return object;
}

bool aml_take(struct aml_reader *reader, uint32_t bytes, uint64_t *value)
{
	if ((uint64_t)(reader->end - reader->at) < bytes) {
		return false;
	}
	*value = 0;
	memcpy(value, reader->at, bytes);
	reader->at += bytes;
	return true;
}

/* PkgLength: the top two bits of its first byte count the bytes that follow; it counts itself. */
bool aml_take_package(struct aml_reader *reader, const uint8_t **end)
{
	const uint8_t *begin = reader->at;
	uint64_t first, rest, length;

	if (!aml_take(reader, 1, &first) || !aml_take(reader, (uint32_t)(first >> 6), &rest)) {
		return false;
	}
	length = (first >> 6) == 0 ? first : (first & 0xf) | rest << 4;
	if (length < (uint64_t)(reader->at - begin) || length > (uint64_t)(reader->end - begin)) {
		return false;
	}
	*end = begin + length;
	return true;
}

static bool is_lead(uint8_t byte)
{
	return (byte >= 'A' && byte <= 'Z') || byte == '_';
}

bool aml_take_name(struct aml_reader *reader, struct aml_name *name)
{
	uint64_t byte;

	memset(name, 0, sizeof(*name));
	while (reader->at < reader->end &&
	       (*reader->at == ROOT_CHARACTER || *reader->at == PARENT_CHARACTER)) {
		name->is_root |= *reader->at == ROOT_CHARACTER;
		name->parents = (uint8_t)(name->parents + (*reader->at == PARENT_CHARACTER));
		reader->at++;
	}
	if (reader->at == reader->end) {
		return false;
	}
	name->count = 1;
	if (*reader->at == NAME_NULL || *reader->at == NAME_DUAL) {
		name->count = *reader->at++ == NAME_DUAL ? 2 : 0;
	} else if (*reader->at == NAME_MULTI) {
		reader->at++;
		if (!aml_take(reader, 1, &byte)) {
			return false;
		}
		name->count = (uint8_t)byte;
	}
	name->segments = reader->at;
	if ((uint64_t)(reader->end - reader->at) < 4u * name->count ||
	    (name->count != 0 && !is_lead(*reader->at))) {
		return false;
	}
	reader->at += 4u * name->count;
	return true;
}

struct aml_node *aml_child(const struct aml_node *node, const char *name)
{
	struct aml_node *child = node->child;

	while (child != NULL && memcmp(child->name, name, 4) != 0) {
		child = child->next;
	}
	return child;
}

/* Where the name begins: NULL if there are not so many levels above. */
static struct aml_node *begin_of(const struct aml_space *space, struct aml_node *scope,
                                 const struct aml_name *name)
{
	uint32_t i;

	if (name->is_root) {
		return space->nodes;
	}
	for (i = 0; i < name->parents && scope != NULL; i++) {
		scope = scope->parent;
	}
	return scope;
}

struct aml_node *aml_find(const struct aml_space *space, struct aml_node *scope,
                          const struct aml_name *name)
{
	struct aml_node *node = begin_of(space, scope, name);
	bool is_searched = !name->is_root && name->parents == 0 && name->count == 1;
	uint32_t i;

	if (is_searched) {
		struct aml_node *found = NULL;

		for (; node != NULL && found == NULL; node = node->parent) {
			found = aml_child(node, (const char *)name->segments);
		}
		return found;
	}
	for (i = 0; i < name->count && node != NULL; i++) {
		node = aml_child(node, (const char *)name->segments + 4 * i);
	}
	return node;
}

struct aml_node *aml_make(struct aml_space *space, struct aml_node *scope,
                          const struct aml_name *name)
{
	struct aml_node *parent = begin_of(space, scope, name);
	struct aml_node *node;
	uint32_t i;

	for (i = 0; i + 1 < name->count && parent != NULL; i++) {
		parent = aml_child(parent, (const char *)name->segments + 4 * i);
	}
	if (parent == NULL || name->count == 0) {
		return NULL;
	}
	node = aml_child(parent, (const char *)name->segments + 4 * i);
	if (node != NULL) {
		return node;
	}
	if (space->nodes_count == space->nodes_max) {
		return NULL;
	}
	node = &space->nodes[space->nodes_count++];
	memcpy(node->name, name->segments + 4 * i, 4);
	node->parent = parent;
	node->next = parent->child;
	parent->child = node;
	return node;
}
