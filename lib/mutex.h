/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mutex between threads of one domain: one atomic exchange when it is free. A waiter yields its pCPU, because the holder may be a
 * thread of the same pCPU. Hold it briefly and never over a call that waits.
 */
#pragma once

#include "lib/call.h"

struct bh_mutex {
	uint32_t is_held;
};

static inline void bh_mutex_lock(struct bh_mutex *mutex)
{
	while (__atomic_exchange_n(&mutex->is_held, 1, __ATOMIC_ACQUIRE) != 0) {
		bh_thread_yield();
	}
}

static inline void bh_mutex_unlock(struct bh_mutex *mutex)
{
	__atomic_store_n(&mutex->is_held, 0, __ATOMIC_RELEASE);
}
