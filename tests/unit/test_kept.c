// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that root keeps: requests in turn with those for guests, refusals, and taking over after
 * mgmt's death.
 */
// sources: mgmt/kept.c mgmt/root_turn.c mgmt/chunks.c mgmt/partition.c mgmt/random.c mgmt/guest_devices.c mgmt/guest_disks.c mgmt/block/*.c mgmt/virtio/*.c mgmt/switch/*.c mgmt/partition_poll.c mgmt/partition_start.c mgmt/placement.c mgmt/ledger.c mgmt/console.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/result.c mgmt/result_print.c tests/unit/mgmt_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/kept.h"
#include "mgmt/partition.h"
#include "tests/unit/mgmt_machine.h"

static int answers_count;
static int answers[8];
static char last_message[128];

static void done(void *owner, int idx, const char *message)
{
	assert_ptr_equal(owner, answers);
	answers[answers_count++] = idx;
	snprintf(last_message, sizeof(last_message), "%s", message);
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	kept_init();
	partition_init();
	answers_count = 0;
	return 0;
}

static void settle(void)
{
	int i;

	for (i = 0; i < 8; i++) {
		kept_poll();
		partition_poll();
		fake_step();
	}
	kept_poll();
}

static void test_take_and_release(void **state)
{
	(void)state;
	assert_true(kept_take(KEPT_FILE, "vmlinuz", 5000, done, answers));
	assert_true(kept_take(KEPT_DMA, "", 8192, done, answers));
	settle();
	assert_int_equal(answers_count, 2);
	assert_int_equal(kept_bytes((uint32_t)answers[0]), 8192);
	assert_string_equal(kept_record((uint32_t)answers[0])->name, "vmlinuz");
	assert_int_equal(kept_find(KEPT_FILE, "vmlinuz"), answers[0]);
	assert_int_equal(kept_find(KEPT_DMA, NULL), answers[1]);
	assert_int_equal(kept_find(KEPT_FILE, "other"), -1);
	assert_int_not_equal(kept_physical((uint32_t)answers[1]), 0);
	memset(kept_address((uint32_t)answers[0]), 1, 8192);
	kept_release((uint32_t)answers[0]);
	assert_null(kept_record((uint32_t)answers[0]));
	settle();
	assert_int_equal(kept_bytes((uint32_t)answers[0]), 0);
	assert_int_equal(kept_find(KEPT_FILE, "vmlinuz"), -1);
}

/* A run on its way back was found by who asked between root's turn and its answer. */
static void test_release_under_way(void **state)
{
	int idx;

	(void)state;
	assert_true(kept_take(KEPT_DISK, "a.0", 4096, done, answers));
	settle();
	idx = answers[0];
	kept_release((uint32_t)idx);
	kept_poll(); /* root is asked */
	assert_int_equal(kept_find(KEPT_DISK, "a.0"), -1);
	kept_init(); /* and mgmt is another */
	assert_int_equal(kept_find(KEPT_DISK, "a.0"), -1);
	settle();
	assert_int_equal(kept_bytes((uint32_t)idx), 0);
	assert_int_equal(machine_ledger()->kept[idx].purpose, KEPT_FREE);
	assert_true(kept_take(KEPT_DISK, "a.0", 4096, done, answers));
	settle();
	assert_int_equal(kept_find(KEPT_DISK, "a.0"), idx);
}

static void test_root_refuses(void **state)
{
	(void)state;
	fake_create_error = BH_ERR_MEMORY;
	assert_true(kept_take(KEPT_DMA, "", 4096, done, answers));
	settle();
	assert_int_equal(answers_count, 1);
	assert_int_equal(answers[0], BH_ERR_MEMORY);
	assert_string_equal(last_message, "no luck");
	assert_int_equal(kept_find(KEPT_DMA, NULL), -1);
}

static void test_limits(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < KEPT_REQUESTS_MAX; i++) {
		assert_true(kept_take(KEPT_DMA, "", 4096, done, answers));
	}
	assert_false(kept_take(KEPT_DMA, "", 4096, done, answers));
}

/* A guest's start and a run of memory asked for at once: root sees one after the other. */
static void test_turns_with_guests(void **state)
{
	struct config_guest config;
	struct result result;

	(void)state;
	memset(&config, 0, sizeof(config));
	result_init(&result);
	config_set_defaults(CONFIG_SECTION_GUEST, &config);
	snprintf(config.name, sizeof(config.name), "web");
	snprintf(config.kernel, sizeof(config.kernel), "vmlinuz");
	assert_true(partition_define(&config, &result));
	assert_true(kept_take(KEPT_DMA, "", 4096, done, answers));
	kept_poll();
	assert_true(partition_start(partition_find("web"), &result));
	assert_true(kept_take(KEPT_DMA, "", 4096, done, answers));
	settle();
	assert_int_equal(partition_find("web")->state, GUEST_RUNNING);
	assert_int_equal(answers_count, 2);
	result_free(&result);
}

/* mgmt dies while root clears a run: the next one gives it back, and keeps what is known. */
static void test_take_over(void **state)
{
	(void)state;
	assert_true(kept_take(KEPT_FILE, "image", 4096, done, answers));
	settle();
	fake_root_is_slow = true;
	assert_true(kept_take(KEPT_FILE, "half", 4096, done, answers));
	kept_poll();
	kept_init();
	partition_init();
	assert_true(kept_take(KEPT_DMA, "", 4096, done, answers));
	kept_poll();
	fake_root_is_slow = false;
	settle();
	assert_int_equal(answers_count, 2);
	assert_int_equal(kept_find(KEPT_FILE, "half"), -1);
	assert_int_equal(kept_find(KEPT_FILE, "image"), answers[0]);
	assert_int_equal(kept_find(KEPT_DMA, NULL), answers[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_take_and_release, setup),
		cmocka_unit_test_setup(test_release_under_way, setup),
		cmocka_unit_test_setup(test_root_refuses, setup),
		cmocka_unit_test_setup(test_limits, setup),
		cmocka_unit_test_setup(test_turns_with_guests, setup),
		cmocka_unit_test_setup(test_take_over, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
