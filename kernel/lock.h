/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaf spin locks: held for a few instructions, interrupts off, nothing is waited for and no other lock taken inside.
 * (kernel_lock, which is held longer, is in kernel/message.h: its waiters answer messages.)
 */
#pragma once

#include "kernel/types.h"

struct spinlock {
	uint32_t is_held;
};

static inline bool spinlock_try(struct spinlock *lock)
{
	return __atomic_exchange_n(&lock->is_held, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void spinlock_take(struct spinlock *lock)
{
	while (!spinlock_try(lock)) {
		__builtin_ia32_pause();
	}
}

static inline void spinlock_drop(struct spinlock *lock)
{
	__atomic_store_n(&lock->is_held, 0, __ATOMIC_RELEASE);
}
