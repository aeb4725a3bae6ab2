/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells: guest ports whose writes, of any width, the kernel finishes by setting an event, or by nothing at all. One table a VM
 * (vm->ports). The exit path looks at a port's own place only, which serves up to 64 ports that are 2 or 4 apart; one that had to go
 * elsewhere is found on the slow path. Bound and unbound under kernel_lock; read by any pCPU without one.
 */
#pragma once

#include "kernel/vcpu.h"

/* A place that was never used: no port whose search began before it is behind it. No port has this key, nor the next lower one. */
#define DOORBELL_KEY_NEVER 0xffffffffu

/* A new VM's table. */
void doorbell_clear(struct vm *vm);
/* `event` NULL: swallow the write. INVALID, EXISTS, LIMIT. */
int doorbell_bind(struct vm *vm, uint64_t port, struct event *event) must_check;
int doorbell_unbind(struct vm *vm, uint64_t port) must_check;
/* The event ends: its ports swallow from now on. A write in flight may still use it until its pCPU has passed a safe point. */
void doorbell_forget_event(struct vm *vm, const struct event *event);
/* Quick no. */
static inline bool doorbell_may_ring(const struct vm *vm, uint16_t port)
{
	return vm->ports[port / 2 % VM_PORT_SLOTS].key != DOORBELL_KEY_NEVER;
}

/* A guest's port write on the slow path: true if a doorbell took it. Any pCPU, no lock. */
bool doorbell_ring(struct vm *vm, uint16_t port);
