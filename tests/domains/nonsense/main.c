/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that has been taken over: started by root in place of the true one, it throws every kernel call with all kinds of nonsense
 * from all its threads at once (one a vCPU, on their pCPUs), and says at the end on its console how many calls it made. The kernel,
 * the shell and free memory must be as before; the system test looks.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/heap.h"
#include "lib/threads.h"
#include "lib/time.h"

BH_HEAP_DEFINE(8192);

#define CALLS_PER_THREAD 4000u

int main(void);

static struct vmm_channel *const channel = (struct vmm_channel *)VMM_VA_CHANNEL;
static struct bh_console *const console = (struct bh_console *)VMM_VA_CONSOLE;
static const struct vmm_config *const config = (const struct vmm_config *)VMM_VA_CONFIG;
static uint32_t done_count;
static uint64_t accepted_count;
/* The kernel may write a whole record of any kind at its end. */
static uint8_t scratch[4 * 4096] __attribute__((aligned(4096)));

static void console_write(const char *text)
{
	uint64_t head = console->out_head;

	for (; *text != '\0'; text++) {
		console->out[head++ % BH_CONSOLE_OUT_BYTES] = (uint8_t)*text;
	}
	__atomic_store_n(&console->out_head, head, __ATOMIC_RELEASE);
	bh_event_signal(VMM_HANDLE_NOTIFY);
}

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t random_handle(uint64_t *seed)
{
	static const uint32_t known[] = { 0,  1,  2,  3,  8,  9,    10,   16,        64,
		                          65, 66, 11, 12, 13, 4095, 4096, 0xffffffff };
	uint64_t random = random_next(seed);

	return (random & 3) == 0 ? random >> 32 & 0x1ff
	                         : known[(random >> 8) % (sizeof(known) / sizeof(known[0]))];
}

static uint64_t random_number(uint64_t *seed)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		3,
		4,
		8,
		63,
		64,
		255,
		256,
		4095,
		4096,
		4097,
		8192,
		1ull << 20,
		2ull << 20,
		1ull << 30,
		1ull << 31,
		(1ull << 32) - 1,
		1ull << 32,
		1ull << 47,
		(1ull << 47) - 1,
		1ull << 63,
		~0ull,
		~0ull - 4095,
		0xfee00000,
		0xfffffffffffff000,
		0xffff800000000000,
		0xffffffff80100000,
		0x7f0000000000,
		0x7efffffff000,
	};
	uint64_t random = random_next(seed);

	return (random & 7) == 0 ? random_next(seed)
	                         : edges[(random >> 8) % (sizeof(edges) / sizeof(edges[0]))];
}

/* A pointer: mostly into memory that is there (with nonsense in it), else anywhere. */
static uint64_t random_pointer(uint64_t *seed)
{
	uint64_t random = random_next(seed);

	switch (random & 7) {
	case 0:
		return random_number(seed);
	case 1:
		return (uint64_t)scratch + 4090;
	case 2:
		return VMM_VA_CONFIG;
	case 3:
		return VMM_VA_GUEST + (random >> 8 & 0xfffff);
	default:
		for (uint32_t i = 0; i < 16; i++) {
			((uint64_t *)(void *)scratch)[i] = (random_next(seed) & 1) != 0
			                                           ? random_number(seed)
			                                           : random_handle(seed);
		}
		return (uint64_t)scratch;
	}
}

static uint64_t random_argument(uint64_t *seed)
{
	uint64_t random = random_next(seed) % 3;

	return random == 0   ? random_handle(seed)
	       : random == 1 ? random_number(seed)
	                     : random_pointer(seed);
}

/* Calls that would end or silence this test itself are thrown with arguments that cannot. */
static bool is_spared(uint64_t number, const uint64_t arguments[5])
{
	uint32_t handle = (uint32_t)arguments[0];
	bool is_needed = (handle >= VMM_HANDLE_VM && handle <= VMM_HANDLE_NOTIFY) ||
	                 (handle >= VMM_HANDLE_VCPU &&
	                  handle < VMM_HANDLE_VCPU + config->vcpus_count);

	switch (number) {
	case BH_CALL_THREAD_EXIT:
		return true;
	case BH_CALL_LOG_WRITE:
		return true;
	case BH_CALL_HANDLE_CLOSE:
		return is_needed;
	default:
		return false;
	}
}

static void throw_calls(uint32_t thread_idx)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull * (thread_idx + 1);
	uint64_t accepted = 0;

	for (uint32_t i = 0; i < CALLS_PER_THREAD; i++) {
		uint64_t number = random_next(&seed) % (BH_CALL_COUNT + 3);
		uint64_t arguments[5];

		arguments[0] = (random_next(&seed) & 3) != 0 ? random_handle(&seed)
		                                             : random_argument(&seed);
		for (uint32_t k = 1; k < 5; k++) {
			arguments[k] = random_argument(&seed);
		}
		if (number == BH_CALL_EVENT_WAIT) {
			arguments[1] = bh_tsc() + (random_next(&seed) & 0xffff);
		}
		if (is_spared(number, arguments)) {
			continue;
		}
		accepted += bh_call6(number, arguments[0], arguments[1], arguments[2], arguments[3],
		                     arguments[4]) >= 0;
	}
	__atomic_fetch_add(&accepted_count, accepted, __ATOMIC_RELAXED);
	__atomic_fetch_add(&done_count, 1, __ATOMIC_RELEASE);
}

/* Threads may sit in vcpu_run, in a guest that does something for ever. */
static void kick_all(void)
{
	for (uint32_t i = 0; i < config->vcpus_count; i++) {
		bh_vcpu_kick(VMM_HANDLE_VCPU + i);
	}
	bh_thread_yield();
}

_Noreturn void domain_thread_main(uint32_t idx)
{
	throw_calls(idx);
	for (;;) {
		kick_all(); /* main() comes last, and has nobody else to do it */
	}
}

int main(void)
{
	char text[120];
	uint32_t threads_count = config->vcpus_count;

	channel->state = VMM_RUNNING;
	bh_threads_release();
	while (__atomic_load_n(&done_count, __ATOMIC_ACQUIRE) < threads_count) {
		kick_all();
	}
	throw_calls(0);
	snprintf(text, sizeof(text), "nonsense: %u calls, some of them accepted: %s\r\n",
	         (unsigned)(CALLS_PER_THREAD * (threads_count + 1)),
	         accepted_count != 0 ? "yes" : "no");
	console_write(text);
	channel->exit_code = 0;
	__atomic_store_n(&channel->state, VMM_DEBUG_EXIT, __ATOMIC_RELEASE);
	for (;;) {
		uint64_t bits[BH_EVENT_WORDS];

		bh_event_signal(VMM_HANDLE_NOTIFY);
		bh_event_wait(VMM_HANDLE_EVENTS, bh_tsc() + bh_info()->tsc_hz, bits);
	}
}
