/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the AML reader. Of mgmt/aml_*.c alone. */
#pragma once

#include "mgmt/aml.h"

#define AML_BYTES_MAX   (512u * 1024)
#define AML_ARENA_BYTES (256u * 1024)
#define AML_NODES_MAX   8192u
#define AML_STEPS_MAX   300000u /* of loading, and of all questions together */
#define AML_DEPTH_MAX   48u
#define AML_ITEMS_MAX   255u
#define AML_ITEM_BYTES  8u /* a pointer */
#define AML_BUFFER_MAX  4096u
#define AML_LOCALS      8u
#define AML_ARGS        7u

enum aml_type {
	AML_NOTHING,
	AML_INTEGER,
	AML_STRING,
	AML_BUFFER,
	AML_PACKAGE,
	AML_SLOT,   /* what Index and RefOf give: a place for an object */
	AML_BITS,   /* a field of a buffer */
	AML_FIELD,  /* of an operation region */
	AML_REGION, /* value: where; count: bytes; space */
	AML_METHOD,
	AML_NODE,  /* a device or the like */
	AML_LATER, /* an item's name that was not there yet: `code`, of at most `count` bytes, seen from node number `value` */
	AML_OTHER,
};

struct aml_node;

struct aml_object {
	uint8_t type;   /* enum aml_type */
	uint8_t space;  /* of a region */
	uint32_t count; /* bytes, items, bits, or arguments */
	uint64_t value; /* integer, first bit, or base of a region */
	union {
		uint8_t *bytes;
		struct aml_object **items;
		struct aml_object **slot;
		struct aml_node *node;
		const uint8_t *code; /* of a method, which ends at `code + value` */
	};
};

struct aml_node {
	char name[4];
	struct aml_node *parent, *child, *next;
	struct aml_object *object; /* NULL: a scope */
};

struct aml_space {
	struct aml_machine machine;
	uint8_t *aml;
	struct aml_node *nodes; /* the first is the root */
	uint32_t nodes_count, nodes_max;
	uint8_t *arena;
	uint32_t arena_used;
	uint32_t steps_left;
	uint32_t depth;
	struct aml_node *host_bridge; /* of bus 0, once tables are loaded; or NULL */
};

enum aml_flow {
	AML_ON,
	AML_RETURN,
	AML_BREAK,
	AML_CONTINUE,
};

/* A place in AML that is being read; what it may not go beyond; and a method's variables. */
struct aml_reader {
	struct aml_space *space;
	struct aml_node *scope;
	const uint8_t *at, *end;
	struct aml_object **variables; /* locals, then arguments; NULL while tables are loaded */
	struct aml_object *result;
	enum aml_flow flow;
};

struct aml_name {
	bool is_root;
	uint8_t parents;
	uint8_t count;
	const uint8_t *segments;
};

/* aml_name.c. All that read give false, or NULL, at the end or where the bytes make no sense. */
bool aml_take(struct aml_reader *reader, uint32_t bytes, uint64_t *value);
bool aml_take_package(struct aml_reader *reader, const uint8_t **end);
bool aml_take_name(struct aml_reader *reader, struct aml_name *name);
struct aml_node *aml_find(const struct aml_space *space, struct aml_node *scope,
                          const struct aml_name *name);
struct aml_node *aml_child(const struct aml_node *node, const char *name);
/* The node of that name, which is made if it is not there. */
struct aml_node *aml_make(struct aml_space *space, struct aml_node *scope,
                          const struct aml_name *name);
void *aml_allocate(struct aml_space *space, uint32_t bytes);
struct aml_object *aml_new(struct aml_space *space, enum aml_type type, uint32_t count,
                           uint64_t value);

/* aml_load.c: a list of definitions; where one is not understood the rest of its list is left out. */
void aml_load(struct aml_space *space, const uint8_t *at, const uint8_t *end,
              struct aml_node *scope);
/* Field: the names in it. The region's name is read. */
bool aml_load_fields(struct aml_reader *reader, struct aml_node *region, const uint8_t *end);

/* aml_value.c */
struct aml_object *aml_value(struct aml_reader *reader);
/* What the node is: a method is called. */
struct aml_object *aml_evaluate(struct aml_space *space, struct aml_node *node,
                                struct aml_object *const *arguments, uint32_t count);

/* aml_data.c */
bool aml_integer(const struct aml_object *object, uint64_t *value);
bool aml_take_integer(struct aml_reader *reader, uint64_t *value);
struct aml_object *aml_new_buffer(struct aml_space *space, uint64_t bytes);
struct aml_object *aml_new_package(struct aml_space *space, uint64_t count);
/* The object that begins with this byte, which is read. */
struct aml_object *aml_data(struct aml_reader *reader, uint8_t op);
/* What an item of a package is, whose name may be defined after it. NULL: nothing. */
struct aml_object *aml_item(struct aml_space *space, struct aml_object *item);

/* aml_field.c */
bool aml_field_read(struct aml_space *space, const struct aml_object *field, uint64_t *value);
void aml_bits_write(const struct aml_object *bits, uint64_t value);
