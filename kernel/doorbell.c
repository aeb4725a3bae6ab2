/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of port doorbells (see doorbell.h): open addressing, the next place when one is taken. A reader on another pCPU sees a key
 * only after its event, and may at worst set an event once too often when a port is bound again at that moment.
 */
#include "kernel/doorbell.h"

#define KEY_FREE         (DOORBELL_KEY_NEVER - 1)
#define KEY_IS_PORT(key) (((key)&0xffffu) == 0)

/* The place of this port, or the one that it would get. NULL: none. */
static struct port_slot *find(struct vm *vm, uint32_t port, bool is_new)
{
	for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
		struct port_slot *slot = &vm->ports[(port / 2 + i) % VM_PORT_SLOTS];
		uint32_t key = __atomic_load_n(&slot->key, __ATOMIC_ACQUIRE);

		if (is_new ? !KEY_IS_PORT(key) : key == port << 16) {
			return slot;
		}
		if (key == DOORBELL_KEY_NEVER) {
			break;
		}
	}
	return NULL;
}

void doorbell_clear(struct vm *vm)
{
	for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
		vm->ports[i].key = DOORBELL_KEY_NEVER;
	}
}

int doorbell_bind(struct vm *vm, uint64_t port, struct event *event)
{
	struct port_slot *slot;

	if (port > 0xffff) {
		return BH_ERR_INVALID;
	}
	if (find(vm, (uint32_t)port, false) != NULL) {
		return BH_ERR_EXISTS;
	}
	slot = find(vm, (uint32_t)port, true);
	if (slot == NULL) {
		return BH_ERR_LIMIT;
	}
	__atomic_store_n(&slot->event, event, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->key, (uint32_t)port << 16, __ATOMIC_RELEASE);
	return BH_OK;
}

int doorbell_unbind(struct vm *vm, uint64_t port)
{
	struct port_slot *slot = port <= 0xffff ? find(vm, (uint32_t)port, false) : NULL;

	if (slot == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	__atomic_store_n(&slot->key, KEY_FREE, __ATOMIC_RELEASE);
	return BH_OK;
}

void doorbell_forget_event(struct vm *vm, const struct event *event)
{
	for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
		if (vm->ports[i].event == event) {
			__atomic_store_n(&vm->ports[i].event, NULL, __ATOMIC_RELEASE);
		}
	}
}

bool doorbell_ring(struct vm *vm, uint16_t port)
{
	struct port_slot *slot = find(vm, port, false);
	struct event *event = slot != NULL ? __atomic_load_n(&slot->event, __ATOMIC_ACQUIRE) : NULL;

	if (event != NULL) {
		event_signal(event);
	}
	return slot != NULL;
}
