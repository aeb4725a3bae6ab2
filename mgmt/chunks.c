// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to root about chunks (see chunks.h), a run of neighbours at a time. While a chunk goes, no address in it is
 * translated any more (guest_memory.leaving), and before that no ring or request may lie in it: so mgmt never touches
 * memory that is not mapped.
 */
#include "mgmt/chunks.h"

#include <stddef.h>
#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/root_turn.h"
#include "mgmt/virtio/backend.h"

#define WORDS            (BH_CHUNKS_MAX / 64)
#define RETRIES_A_SECOND 4u

static struct {
	bool is_there;
	bool is_short;
	uint32_t device_idx;
	uint64_t give[WORDS];
	uint64_t take[WORDS];
} slots[BH_PARTITIONS_MAX];

static struct {
	bool is_out;
	uint32_t slot, first, count;
} flight;

static bool have_news;
static uint64_t retry_tsc; /* 0: nothing waits */

static bool bit_of(const uint64_t *bits, uint32_t idx)
{
	return (bits[idx / 64] >> (idx % 64) & 1) != 0;
}

static void bit_set(uint64_t *bits, uint32_t idx, bool value)
{
	bits[idx / 64] &= ~(1ull << (idx % 64));
	bits[idx / 64] |= (uint64_t)value << (idx % 64);
}

static bool is_there(uint32_t slot, uint32_t idx)
{
	return __atomic_load_n(&machine_guest_chunks(slot)->handles[idx], __ATOMIC_ACQUIRE) != 0;
}

static uint32_t count_of(uint32_t slot)
{
	uint32_t count = machine_guest_chunks(slot)->count;

	return count < BH_CHUNKS_MAX ? count : BH_CHUNKS_MAX;
}

/* A request of the mgmt before may still be under way: what it takes away must not be touched. */
static void adopt_flight(uint32_t slot)
{
	const struct root_channel *channel = machine_root_channel();
	uint32_t i;

	if (root_turn_is_answered() || channel->params.slot != slot ||
	    machine_load32(&channel->request) != ROOT_REQUEST_CHUNKS_GIVE) {
		return;
	}
	root_turn_adopt();
	flight.is_out = true;
	flight.slot = slot;
	flight.first = channel->params.chunk_first;
	flight.count = channel->params.chunks_count;
	for (i = flight.first; i - flight.first < flight.count && i < BH_CHUNKS_MAX; i++) {
		bit_set(virtio_slot_memory(slot)->leaving, i, true);
	}
}

void chunks_attach(uint32_t slot, uint32_t device_idx)
{
	struct guest_memory *memory = virtio_slot_memory(slot);

	memset(&slots[slot], 0, sizeof(slots[slot]));
	slots[slot].is_there = true;
	slots[slot].device_idx = device_idx;
	memory->chunks = machine_guest_chunks(slot);
	memory->chunk_shift = (uint32_t)__builtin_ctzll(memory->chunks->chunk_bytes);
	adopt_flight(slot);
}

void chunks_detach(uint32_t slot)
{
	slots[slot].is_there = false;
}

bool chunks_are_there(uint32_t slot)
{
	return slots[slot].is_there;
}

void chunks_give(uint32_t slot, uint32_t idx)
{
	if (idx != 0 && is_there(slot, idx)) {
		have_news |= !bit_of(slots[slot].give, idx);
		bit_set(slots[slot].give, idx, true);
		bit_set(slots[slot].take, idx, false);
	}
}

void chunks_take(uint32_t slot, uint32_t idx)
{
	bit_set(slots[slot].give, idx, false);
	if (!guest_memory_chunk_is_there(virtio_slot_memory(slot), idx)) {
		have_news |= !bit_of(slots[slot].take, idx);
		bit_set(slots[slot].take, idx, true);
	}
}

bool chunks_have_news(void)
{
	bool had = have_news;

	have_news = false;
	return had;
}

uint64_t chunks_away_bytes(uint32_t slot, uint64_t memory_bytes)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; slots[slot].is_there && i < count_of(slot); i++) {
		uint64_t chunk = machine_guest_chunks(slot)->chunk_bytes;
		uint64_t left = memory_bytes - i * chunk;

		if (!is_there(slot, i)) {
			bytes += left < chunk ? left : chunk;
		}
	}
	return bytes;
}

bool chunks_are_short(uint32_t slot)
{
	return slots[slot].is_there && slots[slot].is_short;
}

/* ---- root ------------------------------------------------------------------------------------------ */

static void take_answer(void)
{
	uint32_t slot = flight.slot;
	struct virtio_device *device;
	uint32_t i;

	if (!flight.is_out || !root_turn_is_answered()) {
		return;
	}
	flight.is_out = false;
	root_turn_end();
	if (!slots[slot].is_there) {
		return;
	}
	for (i = flight.first; i - flight.first < flight.count && i < BH_CHUNKS_MAX; i++) {
		bit_set(virtio_slot_memory(slot)->leaving, i, false);
	}
	slots[slot].is_short = machine_root_channel()->result == BH_ERR_MEMORY ||
	                       machine_root_channel()->result == BH_ERR_QUOTA;
	device = virtio_device_at(slot, slots[slot].device_idx);
	if (device != NULL) {
		virtio_device_poke(device);
	}
}

static bool may_go(uint32_t slot, uint32_t idx)
{
	const struct guest_memory *memory = virtio_slot_memory(slot);
	uint64_t bytes = memory->chunks->chunk_bytes;
	const uint8_t *from = memory->base + guest_memory_gpa(memory, idx * bytes);

	return is_there(slot, idx) && !virtio_slot_uses(slot, from, from + bytes);
}

/* Has the chunk what is wished for it? Then the wish is forgotten. */
static bool is_fulfilled(uint32_t slot, uint32_t idx)
{
	if (bit_of(slots[slot].give, idx) && !is_there(slot, idx)) {
		bit_set(slots[slot].give, idx, false);
	}
	if (bit_of(slots[slot].take, idx) && is_there(slot, idx)) {
		bit_set(slots[slot].take, idx, false);
	}
	return !bit_of(slots[slot].give, idx) && !bit_of(slots[slot].take, idx);
}

static void send(uint32_t slot, uint32_t first, bool is_given)
{
	struct root_channel *channel = machine_root_channel();
	uint32_t idx = first;

	do {
		bit_set(virtio_slot_memory(slot)->leaving, idx, is_given);
		idx++;
	} while (idx < count_of(slot) && !is_fulfilled(slot, idx) &&
	         (is_given ? bit_of(slots[slot].give, idx) && may_go(slot, idx)
	                   : bit_of(slots[slot].take, idx)));
	memset(&channel->params, 0, sizeof(channel->params));
	channel->params.slot = slot;
	channel->params.chunk_first = first;
	channel->params.chunks_count = idx - first;
	flight.is_out = true;
	flight.slot = slot;
	flight.first = first;
	flight.count = idx - first;
	root_turn_send(is_given ? ROOT_REQUEST_CHUNKS_GIVE : ROOT_REQUEST_CHUNKS_TAKE);
}

/* Chunks that come back go first: a guest waits for them. True if something was asked. */
static bool send_for(uint32_t slot)
{
	bool is_waiting = false;
	uint32_t pass;
	uint32_t i;

	for (pass = 0; pass < 2; pass++) {
		bool is_given = pass == 1;

		for (i = 0; i < count_of(slot); i++) {
			if (is_fulfilled(slot, i) ||
			    !bit_of(is_given ? slots[slot].give : slots[slot].take, i)) {
				continue;
			}
			is_waiting = true;
			if (is_given ? may_go(slot, i)
			             : !slots[slot].is_short || machine_now_tsc() >= retry_tsc) {
				send(slot, i, is_given);
				return true;
			}
		}
	}
	if (is_waiting && machine_now_tsc() >= retry_tsc) {
		retry_tsc = machine_now_tsc() + machine_tsc_hz() / RETRIES_A_SECOND;
	}
	return false;
}

void chunks_poll(void)
{
	uint32_t slot;

	take_answer();
	for (slot = 0; slot < BH_PARTITIONS_MAX && root_turn_is_free(); slot++) {
		if (slots[slot].is_there && send_for(slot)) {
			return;
		}
	}
}

uint64_t chunks_deadline_tsc(void)
{
	return retry_tsc > machine_now_tsc() ? retry_tsc : BH_FOREVER;
}
