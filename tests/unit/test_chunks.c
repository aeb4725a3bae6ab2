// SPDX-License-Identifier: Apache-2.0
/*
 * Chunks between guests and root: what is reported goes at once or not at all, what is touched comes back unless it is in the balloon, guests
 * take turns with root, and a guest for which there is no memory is tried again without keeping root from others.
 */
// sources: mgmt/chunks.c mgmt/root_turn.c mgmt/virtio/memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/chunks.h"
#include "mgmt/machine.h"
#include "mgmt/root_turn.h"
#include "mgmt/virtio/backend.h"

#define SLOTS       3u
#define CHUNK_BYTES 0x200000ull
#define CHUNKS      8u
#define HZ          1000ull

static struct bh_chunks tables[SLOTS];
static struct guest_memory memories[SLOTS];
static struct vmm_channel channels[SLOTS];
static struct virtio_device devices[SLOTS];
static struct root_channel root;
static struct ledger *ledger;
static uint64_t now;
static uint64_t used_chunk; /* of slot 0: a device uses it; 0: none */
static uint32_t pokes[SLOTS];
static uint32_t signals[SLOTS];
static uint32_t events_count;
static bool has_memory;
static uint32_t requests_count;
static uint32_t last_slot;

/* ---- what chunks.c calls ---- */

const struct bh_chunks *machine_guest_chunks(uint32_t slot)
{
	return &tables[slot];
}

struct root_channel *machine_root_channel(void)
{
	return &root;
}

uint64_t machine_now_tsc(void)
{
	return now;
}

uint64_t machine_tsc_hz(void)
{
	return HZ;
}

struct vmm_channel *machine_vmm_channel(uint32_t slot)
{
	return &channels[slot];
}

void machine_signal_vmm_device(uint32_t slot)
{
	signals[slot]++;
}

void machine_signal_root(void)
{
}

struct ledger *machine_ledger(void)
{
	return ledger;
}

void ledger_event(struct ledger *of, uint64_t now_tsc, const char *guest, const char *format, ...)
{
	(void)of;
	(void)now_tsc;
	(void)guest;
	(void)format;
	events_count++;
}

struct guest_memory *virtio_slot_memory(uint32_t slot)
{
	return &memories[slot];
}

bool virtio_slot_uses(uint32_t slot, const uint8_t *from, const uint8_t *end)
{
	const uint8_t *at = memories[slot].base + used_chunk * CHUNK_BYTES;

	return slot == 0 && used_chunk != 0 && at >= from && at < end;
}

struct virtio_device *virtio_device_at(uint32_t slot, uint32_t idx)
{
	return idx == 3 ? &devices[slot] : NULL;
}

void virtio_device_poke(struct virtio_device *device)
{
	pokes[device - devices]++;
}

/* ---- root ---- */

static bool is_asked(void)
{
	return root.request_sequence != root.done_sequence;
}

static void answer(void)
{
	struct bh_chunks *table = &tables[root.params.slot];
	bool is_given = root.request == ROOT_REQUEST_CHUNKS_GIVE;

	assert_true(is_asked());
	requests_count++;
	last_slot = root.params.slot;
	root.result = is_given || has_memory ? BH_OK : BH_ERR_MEMORY;
	for (uint32_t i = 0; i < root.params.chunks_count && root.result == BH_OK; i++) {
		uint32_t chunk = root.params.chunk_first + i;

		assert_true(chunk > 0 && chunk < table->count);
		table->handles[chunk] = is_given ? 0 : 7;
	}
	root.done_sequence = root.request_sequence;
}

/* Until root has nothing to do; fails if there is no end of it. */
static void settle(void)
{
	for (uint32_t i = 0; i < 100; i++) {
		chunks_poll();
		chunks_poll();
		if (!is_asked()) {
			return;
		}
		answer();
	}
	fail_msg("root is never free");
}

static int setup(void **state)
{
	(void)state;
	free(ledger);
	ledger = calloc(1, sizeof(*ledger));
	memset(&root, 0, sizeof(root));
	memset(channels, 0, sizeof(channels));
	memset(pokes, 0, sizeof(pokes));
	memset(signals, 0, sizeof(signals));
	used_chunk = events_count = requests_count = 0;
	has_memory = true;
	now += 100 * HZ;
	for (uint32_t i = 0; i < SLOTS; i++) {
		tables[i].chunk_bytes = CHUNK_BYTES;
		tables[i].count = CHUNKS;
		for (uint32_t k = 0; k < CHUNKS; k++) {
			tables[i].handles[k] = 7;
		}
		memories[i] = guest_memory_of((uint8_t *)0x100000000ull, CHUNKS * CHUNK_BYTES);
		chunks_attach(i, 3);
	}
	(void)chunks_have_news();
	return 0;
}

/* ---- the tests ---- */

static void test_a_report_goes(void **state)
{
	(void)state;
	chunks_report(0, 0);
	assert_false(chunks_have_news());
	chunks_report(0, 4);
	chunks_report(0, 5);
	assert_true(chunks_have_news());
	assert_false(chunks_is_settled(0, 4));
	chunks_poll();
	assert_true(is_asked());
	/* It is neither touched nor settled while root has it, even if it is gone from the table. */
	tables[0].handles[4] = tables[0].handles[5] = 0;
	assert_false(chunks_is_settled(0, 4));
	assert_null(guest_memory_at(&memories[0], 5 * CHUNK_BYTES, 1));
	pokes[0] = 0;
	settle();
	assert_true(chunks_is_settled(0, 4) && chunks_is_settled(0, 5));
	assert_int_equal(requests_count, 1);
	assert_int_not_equal(pokes[0], 0);
	assert_int_equal(chunks_away_bytes(0, CHUNKS * CHUNK_BYTES), 2 * CHUNK_BYTES);
}

static void test_a_report_that_cannot_go_is_forgotten(void **state)
{
	(void)state;
	used_chunk = 4;
	chunks_report(0, 4);
	settle();
	assert_true(chunks_is_settled(0, 4));
	assert_int_not_equal(pokes[0], 0);
	assert_int_equal(requests_count, 0);
	used_chunk = 0;
	settle();
	assert_int_equal(tables[0].handles[4], 7); /* not later, either: it is the guest's again */
	/* What the balloon gives waits until it can. */
	used_chunk = 4;
	chunks_give(0, 4);
	settle();
	assert_int_equal(tables[0].handles[4], 7);
	used_chunk = 0;
	settle();
	assert_int_equal(tables[0].handles[4], 0);
}

static void test_a_vcpu_touches(void **state)
{
	(void)state;
	chunks_report(1, 6);
	settle();
	signals[1] = 0;
	channels[1].wanted_chunks[5] = 6;
	channels[1].wanted_chunks[6] = BH_CHUNKS_MAX - 1; /* of a VMM that lies */
	channels[1].wanted_chunks[7] = UINT16_MAX;
	settle();
	assert_int_equal(tables[1].handles[6], 7);
	assert_int_not_equal(signals[1], 0);
	assert_int_equal(chunks_touched_bytes(1), CHUNK_BYTES);
	assert_int_equal(requests_count, 2);
}

static void test_what_is_lent_stays_away(void **state)
{
	(void)state;
	chunks_set_lent(1, 6, true);
	chunks_give(1, 6);
	settle();
	assert_int_equal(channels[1].lent_chunks[0], 1u << 6);
	signals[1] = 0;
	channels[1].wanted_chunks[0] = 6;
	settle();
	assert_int_equal(tables[1].handles[6], 0);
	assert_int_not_equal(signals[1], 0); /* the VMM answers itself */
	assert_false(guest_memory_miss(&memories[1], 6 * CHUNK_BYTES, 4));
	chunks_set_lent(1, 6, false);
	assert_int_equal(channels[1].lent_chunks[0], 0);
	settle();
	assert_int_equal(tables[1].handles[6], 7);
}

static void test_a_device_touches(void **state)
{
	(void)state;
	chunks_report(2, 3);
	settle();
	assert_null(guest_memory_at(&memories[2], 3 * CHUNK_BYTES - 4, 8));
	assert_true(guest_memory_miss(&memories[2], 3 * CHUNK_BYTES - 4, 8));
	assert_true(chunks_have_news());
	settle();
	assert_non_null(guest_memory_at(&memories[2], 3 * CHUNK_BYTES - 4, 8));
	assert_int_equal(chunks_touched_bytes(2), CHUNK_BYTES);
	/* Nobody's, and what is there by now: then the device is called again. */
	assert_false(guest_memory_miss(&memories[2], CHUNKS * CHUNK_BYTES - 4, 8));
	assert_false(guest_memory_miss(&memories[2], GUEST_HOLE_START, 8));
	assert_false(guest_memory_miss(&memories[2], UINT64_MAX - 3, 8));
	pokes[2] = 0;
	assert_true(guest_memory_miss(&memories[2], 3 * CHUNK_BYTES, 8));
	settle();
	assert_int_not_equal(pokes[2], 0);
}

/* Missed while it is on its way out: it goes and comes. */
static void test_touched_while_it_goes(void **state)
{
	(void)state;
	chunks_report(0, 2);
	chunks_poll();
	assert_true(is_asked());
	assert_true(guest_memory_miss(&memories[0], 2 * CHUNK_BYTES, 4096));
	settle();
	assert_int_equal(requests_count, 2);
	assert_int_equal(tables[0].handles[2], 7);
	assert_true(chunks_is_settled(0, 2));
}

static void test_guests_take_turns(void **state)
{
	uint32_t seen = 0;

	(void)state;
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		chunks_report(slot, 1);
		chunks_report(slot, 3);
		chunks_report(slot, 5);
	}
	for (uint32_t i = 0; i < SLOTS; i++) {
		chunks_poll();
		chunks_poll();
		answer();
		seen |= 1u << last_slot;
	}
	assert_int_equal(seen, 7);
	settle();
}

/* After an answer it is others' turn first. */
static void test_others_come_to_root(void **state)
{
	(void)state;
	chunks_report(0, 1);
	chunks_report(0, 3);
	chunks_poll();
	answer();
	chunks_poll();
	assert_true(root_turn_is_free());
	chunks_poll();
	assert_false(root_turn_is_free());
	settle();
}

static void test_no_memory(void **state)
{
	(void)state;
	chunks_report(0, 4);
	settle();
	has_memory = false;
	channels[0].wanted_chunks[0] = 4;
	settle();
	assert_true(chunks_are_short(0));
	assert_int_equal(events_count, 1);
	assert_int_equal(requests_count, 2); /* root is not asked again and again */
	assert_true(chunks_deadline_tsc() <= now + HZ);
	/* Others are served meanwhile. */
	chunks_report(1, 4);
	settle();
	assert_int_equal(tables[1].handles[4], 0);
	now += HZ;
	settle();
	assert_int_equal(requests_count, 4);
	assert_int_equal(events_count, 1);
	has_memory = true;
	now += HZ;
	settle();
	assert_int_equal(tables[0].handles[4], 7);
	assert_false(chunks_are_short(0));
}

/* A mgmt that takes over finds what its predecessor asked for under way. */
static void test_the_next_mgmt(void **state)
{
	(void)state;
	chunks_report(0, 4);
	chunks_poll();
	assert_true(is_asked());
	memories[0] = guest_memory_of((uint8_t *)0x100000000ull, CHUNKS * CHUNK_BYTES);
	chunks_attach(0, 3);
	assert_null(guest_memory_at(&memories[0], 4 * CHUNK_BYTES, 1));
	channels[0].wanted_chunks[0] = 4; /* a vCPU that has waited since */
	settle();
	assert_int_equal(tables[0].handles[4], 7);
	assert_non_null(guest_memory_at(&memories[0], 4 * CHUNK_BYTES, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_report_goes, setup),
		cmocka_unit_test_setup(test_a_report_that_cannot_go_is_forgotten, setup),
		cmocka_unit_test_setup(test_a_vcpu_touches, setup),
		cmocka_unit_test_setup(test_what_is_lent_stays_away, setup),
		cmocka_unit_test_setup(test_a_device_touches, setup),
		cmocka_unit_test_setup(test_touched_while_it_goes, setup),
		cmocka_unit_test_setup(test_guests_take_turns, setup),
		cmocka_unit_test_setup(test_others_come_to_root, setup),
		cmocka_unit_test_setup(test_no_memory, setup),
		cmocka_unit_test_setup(test_the_next_mgmt, setup),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(ledger);
	return failed;
}
