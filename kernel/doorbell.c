/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells: guest ports whose writes, of any width, the kernel finishes by setting an event, or by nothing at all. Each port has one place
 * in its VM's table, which is all that the exit path looks at; ports 2 or 4 apart, as those of one VM's devices are, have places of their
 * own. Bound and unbound under kernel_lock, read by any pCPU without one. A reader on another pCPU sees a key only after its event, and may
 * at worst set an event once too often when a port is bound again at that moment.
 */
#include "kernel/vcpu.h"

#define PORT_LAST 0xffffu
#define KEY_NONE  0xffffffffu /* a key is a port in bits 31:16 and nothing below */

void doorbell_clear(struct vm *vm)
{
	for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
		vm->ports[i].key = KEY_NONE;
	}
}

int doorbell_bind(struct vm *vm, uint64_t port, struct event *event)
{
	uint32_t key = (uint32_t)port << 16;
	struct port_slot *slot = &vm->ports[VM_PORT_SLOT(key)];

	if (port > PORT_LAST) {
		return BH_ERR_INVALID;
	}
	if (slot->key != KEY_NONE) {
		return BH_ERR_EXISTS;
	}
	__atomic_store_n(&slot->event, event, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
	return BH_OK;
}

int doorbell_unbind(struct vm *vm, uint64_t port)
{
	uint32_t key = (uint32_t)port << 16;
	struct port_slot *slot = &vm->ports[VM_PORT_SLOT(key)];

	if (port > PORT_LAST || slot->key != key) {
		return BH_ERR_NOT_FOUND;
	}
	__atomic_store_n(&slot->key, KEY_NONE, __ATOMIC_RELEASE);
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
