/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked lists. A list and every element that is not in one is a node that points to itself. */
#pragma once

#include "kernel/types.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

/* Insert `node` before `at`; with the list itself as `at`, at the tail. */
static inline void list_insert_before(struct list *at, struct list *node)
{
	node->next = at;
	node->prev = at->prev;
	at->prev->next = node;
	at->prev = node;
}

/* Take `node` out of whatever list it is in; harmless when it is in none. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_for_each(node, head) \
	for (struct list *node = (head)->next; node != (head); node = node->next)
