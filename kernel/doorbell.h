/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbells beyond the calls in kernel/vcpu.h. */
#pragma once

#include "kernel/vcpu.h"

/* A new VM's table: every slot empty. */
void doorbell_slots_clear(struct vm *vm);
/* Quick no: nothing is bound to any port with these low bits. */
static inline bool doorbell_may_ring(const struct vm *vm, uint16_t port)
{
	return (__atomic_load_n(&vm->doorbell_buckets, __ATOMIC_RELAXED) &
	        BIT(port % VM_PORT_SLOTS)) != 0;
}

/* A guest's port write on the slow path: true if a doorbell took it. Any pCPU, no lock. */
bool doorbell_ring(struct vm *vm, uint16_t port, uint32_t length_bytes, uint64_t value);
