// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to root about chunks (see chunks.h), a run of neighbours at a time. While a chunk goes, no address in it is
 * translated any more (guest_memory.leaving), and before that no ring or request may lie in it: so mgmt never touches
 * memory that is not mapped.
 *
 * root has more to do than this: after each answer it is others' turn, and the guests' turns go round.
 */
#include "mgmt/chunks.h"

#include <stddef.h>
#include <string.h>

#include "mgmt/machine.h"
#include "mgmt/root_turn.h"
#include "mgmt/virtio/backend.h"

#define WORDS              GUEST_CHUNK_WORDS
#define RETRIES_A_SECOND   4u
#define SHORT_TOLD_SECONDS 60u /* a guest that waits for memory is told of no more often */

static struct {
	bool is_there;
	bool is_short;
	uint32_t device_idx;
	uint64_t give[WORDS];
	uint64_t report[WORDS]; /* the same, but forgotten if it cannot be at once */
	uint64_t take[WORDS];
	struct guest_chunk_news news;
	uint64_t touched_bytes;
	uint64_t told_tsc;
} slots[BH_PARTITIONS_MAX];

static struct {
	bool is_out;
	bool is_given;
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
	flight.is_given = true;
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
	slots[slot].news.have_news = &have_news;
	memory->news = &slots[slot].news;
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

void chunks_report(uint32_t slot, uint32_t idx)
{
	if (idx != 0 && is_there(slot, idx)) {
		have_news = true;
		bit_set(slots[slot].report, idx, true);
		bit_set(slots[slot].take, idx, false);
	}
}

bool chunks_is_settled(uint32_t slot, uint32_t idx)
{
	return !bit_of(slots[slot].report, idx) && !bit_of(virtio_slot_memory(slot)->leaving, idx);
}

void chunks_set_lent(uint32_t slot, uint32_t idx, bool is_lent)
{
	uint64_t *told = machine_vmm_channel(slot)->lent_chunks;

	bit_set(slots[slot].news.lent, idx, is_lent);
	machine_store64(&told[idx / 64], slots[slot].news.lent[idx / 64]);
}

void chunks_take(uint32_t slot, uint32_t idx)
{
	bit_set(slots[slot].give, idx, false);
	bit_set(slots[slot].report, idx, false);
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

uint64_t chunks_touched_bytes(uint32_t slot)
{
	return slots[slot].touched_bytes;
}

bool chunks_are_short(uint32_t slot)
{
	return slots[slot].is_there && slots[slot].is_short;
}

/* ---- root ------------------------------------------------------------------------------------------ */

static void tell_device(uint32_t slot, uint32_t idx)
{
	struct virtio_device *device = virtio_device_at(slot, idx);

	if (device != NULL) {
		virtio_device_poke(device);
	}
}

/* Devices look again whether what they need is there, and vCPUs. */
static void tell_all(uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < VIO_DEVICES_MAX; i++) {
		tell_device(slot, i);
	}
	machine_signal_vmm_device(slot);
}

static void set_short(uint32_t slot, bool is_short)
{
	uint64_t now = machine_now_tsc();

	if (is_short) {
		retry_tsc = now + machine_tsc_hz() / RETRIES_A_SECOND;
	}
	if (is_short && !slots[slot].is_short &&
	    (slots[slot].told_tsc == 0 ||
	     now - slots[slot].told_tsc > SHORT_TOLD_SECONDS * machine_tsc_hz())) {
		slots[slot].told_tsc = now;
		ledger_event(machine_ledger(), now, machine_ledger()->guests[slot].config.name,
		             "it waits for memory that it gave back: the machine has none free");
	}
	slots[slot].is_short = is_short;
}

/* True if root has answered now. */
static bool take_answer(void)
{
	uint32_t slot = flight.slot;
	uint32_t i;

	if (!flight.is_out || !root_turn_is_answered()) {
		return false;
	}
	flight.is_out = false;
	root_turn_end();
	if (!slots[slot].is_there) {
		return true;
	}
	for (i = flight.first; i - flight.first < flight.count && i < BH_CHUNKS_MAX; i++) {
		bit_set(virtio_slot_memory(slot)->leaving, i, false);
	}
	if (!flight.is_given) {
		set_short(slot, machine_root_channel()->result == BH_ERR_MEMORY ||
		                        machine_root_channel()->result == BH_ERR_QUOTA);
	}
	tell_all(slot);
	return true;
}

/* ---- what is touched ------------------------------------------------------------------------------ */

static void take_touched(uint32_t slot, uint32_t idx)
{
	if (idx < count_of(slot) && !bit_of(slots[slot].take, idx) &&
	    !guest_memory_chunk_is_there(virtio_slot_memory(slot), idx)) {
		slots[slot].touched_bytes += machine_guest_chunks(slot)->chunk_bytes;
		chunks_take(slot, idx);
	}
}

/* By devices. */
static void take_missed(uint32_t slot)
{
	struct guest_chunk_news *news = &slots[slot].news;
	uint32_t i;

	if (!news->is_missed) {
		return;
	}
	for (i = 0; i < count_of(slot); i++) {
		if (bit_of(news->missed, i)) {
			take_touched(slot, i);
		}
	}
	memset(news->missed, 0, sizeof(news->missed));
	news->is_missed = false;
	tell_all(slot); /* what is there by now */
}

/* By vCPUs: the VMM's word, which concerns nobody but its guest. */
static void take_wanted(uint32_t slot)
{
	const struct vmm_channel *channel = machine_vmm_channel(slot);
	uint32_t i;

	for (i = 0; i < BH_MAX_VCPUS; i++) {
		uint32_t idx = __atomic_load_n(&channel->wanted_chunks[i], __ATOMIC_ACQUIRE);

		if (idx == 0 || idx >= count_of(slot)) {
			continue;
		}
		if (is_there(slot, idx) || bit_of(slots[slot].news.lent, idx)) {
			machine_signal_vmm_device(slot); /* it waits no more */
		} else {
			take_touched(slot, idx);
		}
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
	if (bit_of(slots[slot].report, idx) && !may_go(slot, idx)) {
		bit_set(slots[slot].report, idx, false);
		tell_device(slot, slots[slot].device_idx);
	}
	return !bit_of(slots[slot].give, idx) && !bit_of(slots[slot].report, idx) &&
	       !bit_of(slots[slot].take, idx);
}

/* Wished for, one way or the other. */
static bool is_wished(uint32_t slot, uint32_t idx, bool is_given)
{
	return is_given ? bit_of(slots[slot].give, idx) || bit_of(slots[slot].report, idx)
	                : bit_of(slots[slot].take, idx);
}

static void send(uint32_t slot, uint32_t first, bool is_given)
{
	struct root_channel *channel = machine_root_channel();
	uint32_t idx = first;

	do {
		bit_set(virtio_slot_memory(slot)->leaving, idx, is_given);
		bit_set(slots[slot].report, idx, false);
		idx++;
	} while (idx < count_of(slot) && !is_fulfilled(slot, idx) &&
	         is_wished(slot, idx, is_given) && (!is_given || may_go(slot, idx)));
	memset(&channel->params, 0, sizeof(channel->params));
	channel->params.slot = slot;
	channel->params.chunk_first = first;
	channel->params.chunks_count = idx - first;
	flight.is_out = true;
	flight.is_given = is_given;
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
			if (is_fulfilled(slot, i) || !is_wished(slot, i, is_given)) {
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
	static uint32_t next_slot;
	uint32_t i;

	if (take_answer()) {
		return; /* the next turn; it comes at once */
	}
	for (i = 0; i < BH_PARTITIONS_MAX; i++) {
		if (slots[i].is_there) {
			take_missed(i);
			take_wanted(i);
		}
	}
	for (i = 0; i < BH_PARTITIONS_MAX && root_turn_is_free(); i++) {
		next_slot = (next_slot + 1) % BH_PARTITIONS_MAX;
		if (slots[next_slot].is_there && send_for(next_slot)) {
			return;
		}
	}
}

uint64_t chunks_deadline_tsc(void)
{
	return retry_tsc > machine_now_tsc() ? retry_tsc : BH_FOREVER;
}
