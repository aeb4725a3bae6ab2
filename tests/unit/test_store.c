// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration on a disk in memory: saved and taken, and what a spoilt copy, a full disk or power
 * lost in a write leaves.
 */
// sources: mgmt/config_store.c lib/sha256.c mgmt/kept.c mgmt/root_turn.c mgmt/chunks.c mgmt/partition.c mgmt/random.c mgmt/guest_devices.c mgmt/guest_disks.c mgmt/block/*.c mgmt/virtio/*.c mgmt/switch/*.c mgmt/switches.c mgmt/partition_poll.c mgmt/partition_start.c mgmt/placement.c mgmt/ledger.c mgmt/console.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/result.c mgmt/result_print.c tests/unit/mgmt_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/block/block.h"
#include "mgmt/config_store.h"
#include "mgmt/partition.h"
#include "mgmt/shell.h"
#include "tests/unit/mgmt_machine.h"

#define DISK_BYTES (1u << 20)

static uint8_t disk[DISK_BYTES];
static struct block_device device;
static uint8_t other_disk[DISK_BYTES];
static struct block_device other;
static uint32_t writes_left; /* sectors until the power goes */
static bool is_broken;
static uint64_t bad_sector = UINT64_MAX; /* cannot be read */
static struct block_request *held;       /* a request that is answered later */
static bool is_slow;

static void answer(struct block_request *request)
{
	uint8_t *medium = request->scratch[0] != 0 ? other_disk : disk;
	uint64_t at = request->sector * BLOCK_SECTOR_BYTES;
	uint64_t bytes = request->sectors_count * BLOCK_SECTOR_BYTES;

	if (is_broken || (request->operation == BLOCK_READ && bad_sector >= request->sector &&
	                  bad_sector < request->sector + request->sectors_count)) {
		request->done(request, BLOCK_IO_ERROR);
		return;
	}
	if (request->operation == BLOCK_READ) {
		block_copy_to_pieces(request, 0, medium + at, bytes);
	} else if (request->operation == BLOCK_WRITE) {
		uint64_t most = (uint64_t)writes_left * BLOCK_SECTOR_BYTES;

		block_copy_from_pieces(request, 0, medium + at, bytes < most ? bytes : most);
		if (bytes > most) {
			request->done(request, BLOCK_GONE); /* for this mgmt it is over */
			return;
		}
	}
	request->done(request, BLOCK_OK);
}

static void submit(struct block_device *self, struct block_request *request)
{
	assert_true(self == &device || self == &other);
	request->scratch[0] = self == &other;
	if (is_slow) {
		held = request;
	} else {
		answer(request);
	}
}

static void add_disk(uint64_t bytes)
{
	memset(&device, 0, sizeof(device));
	snprintf(device.name, sizeof(device.name), "ram0:bulkhead-config");
	device.sectors_count = bytes / BLOCK_SECTOR_BYTES;
	device.sector_bytes = 4096;
	device.flags = BLOCK_CAN_FLUSH;
	device.submit = submit;
	assert_true(block_add(&device));
}

static void add_other(void)
{
	other = device;
	snprintf(other.name, sizeof(other.name), "ram1:bulkhead-config");
	other.is_searched = false;
	assert_true(block_add(&other));
}

/* A machine is switched on: nothing is known but the disk. */
static void power_on(void)
{
	fake_reset();
	partition_init();
	writes_left = UINT32_MAX;
	is_broken = is_slow = false;
	bad_sector = UINT64_MAX;
	device.is_searched = other.is_searched = false;
	held = NULL;
}

static int setup(void **state)
{
	(void)state;
	memset(disk, 0, sizeof(disk));
	memset(other_disk, 0, sizeof(other_disk));
	power_on();
	add_disk(DISK_BYTES);
	store_poll();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	block_remove(&device);
	block_remove(&other);
	return 0;
}

static void define(const char *name, uint64_t memory)
{
	struct config_guest config;
	struct result result;

	memset(&config, 0, sizeof(config));
	result_init(&result);
	config_set_defaults(CONFIG_SECTION_GUEST, &config);
	snprintf(config.name, sizeof(config.name), "%s", name);
	snprintf(config.kernel, sizeof(config.kernel), "vmlinuz");
	config.memory_bytes = memory;
	assert_true(partition_define(&config, &result));
	result_free(&result);
}

/* Text of the outcome; the caller frees the result. */
static const char *save(struct result *result)
{
	struct shell_wait wait = { .slot = UINT32_MAX };

	result_init(result);
	if (store_save(&wait, result)) {
		store_poll();
		assert_true(wait.poll(&wait, result));
	}
	return result->text;
}

static void assert_saved(void)
{
	struct result result;

	assert_non_null(strstr(save(&result), "saved on ram0:bulkhead-config"));
	result_free(&result);
}

static void saves_and_takes(void **state)
{
	(void)state;
	define("web", 64 << 20);
	assert_saved();
	power_on();
	store_poll();
	assert_non_null(partition_find("web"));
	assert_int_equal(partition_find("web")->config.memory_bytes, 64 << 20);
	define("db", 32 << 20);
	assert_saved();
	assert_saved();
	power_on();
	define("web", 16 << 20); /* the boot file has it too */
	store_poll();
	assert_non_null(partition_find("db"));
	assert_int_equal(partition_find("web")->config.memory_bytes, 64 << 20);
	assert_int_equal(device.users_count, 0);
}

/* Taken once in a power-on, also over mgmt's restart. */
static void takes_once(void **state)
{
	struct result result;

	(void)state;
	define("web", 64 << 20);
	assert_saved();
	result_init(&result);
	assert_true(partition_delete(partition_find("web"), &result));
	partition_poll();
	store_poll();
	assert_null(partition_find("web"));
	result_free(&result);
}

static void power_lost_in_a_save(void **state)
{
	/* the text begins in sector 8; what follows it does not count */
	static const uint32_t sectors[] = { 0, 1, 7, 8 };
	struct result result;
	uint32_t i;

	(void)state;
	define("web", 64 << 20);
	assert_saved();
	for (i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		define("db", 32 << 20);
		writes_left = sectors[i];
		assert_non_null(strstr(save(&result), "is as it was"));
		result_free(&result);
		power_on();
		store_poll();
		assert_non_null(partition_find("web"));
		assert_null(partition_find("db"));
	}
}

static void spoilt_copies(void **state)
{
	(void)state;
	define("web", 64 << 20);
	assert_saved(); /* copy 0, sequence 1 */
	define("db", 64 << 20);
	assert_saved(); /* copy 1, sequence 2 */
	disk[STORE_COPY_BYTES + 4096 + 10] ^= 1;
	power_on();
	store_poll();
	assert_non_null(partition_find("web"));
	assert_null(partition_find("db"));
	disk[16] ^= 1; /* copy 0's sequence number */
	power_on();
	store_poll();
	assert_null(partition_find("web"));
	define("new", 16 << 20);
	assert_saved(); /* over nonsense */
	power_on();
	store_poll();
	assert_non_null(partition_find("new"));
}

/* Two copies are there so that the medium may lose one: a copy that could not be read once cost the other, too. */
static void unreadable_copies(void **state)
{
	struct result result;

	(void)state;
	define("web", 64 << 20);
	assert_saved(); /* copy 0 */
	define("db", 64 << 20);
	assert_saved(); /* copy 1 */
	power_on();
	bad_sector = 3;
	store_poll();
	assert_non_null(partition_find("db"));
	define("new", 16 << 20);
	assert_saved(); /* over the copy that cannot be read */
	power_on();
	bad_sector = STORE_COPY_BYTES / BLOCK_SECTOR_BYTES;
	store_poll();
	assert_non_null(partition_find("new"));
	power_on();
	is_broken = true;
	store_poll();
	assert_null(partition_find("new"));
	is_broken = false;
	assert_non_null(strstr(save(&result), "saved on"));
	result_free(&result);
}

/* Partitions of that name on several disks: one without a configuration was all that was looked at. */
static void several_disks(void **state)
{
	struct result result;

	(void)state;
	add_other();
	define("web", 64 << 20);
	snprintf(machine_ledger()->store_name, 32, "ram1:bulkhead-config");
	assert_non_null(strstr(save(&result), "saved on ram1:bulkhead-config"));
	result_free(&result);
	power_on();
	store_poll();
	assert_non_null(partition_find("web"));
	define("db", 64 << 20);
	assert_non_null(
		strstr(save(&result), "saved on ram1:bulkhead-config")); /* where it is from */
	result_free(&result);
	power_on();
	block_remove(&other); /* shows up later */
	store_poll();
	assert_null(partition_find("db"));
	assert_true(block_add(&other));
	store_poll();
	assert_non_null(partition_find("db"));
	assert_int_equal(device.users_count + other.users_count, 0);
	/* A save ends the search: what comes then is older. */
	power_on();
	block_remove(&other);
	store_poll();
	define("new", 16 << 20);
	assert_saved();
	assert_true(block_add(&other));
	store_poll();
	assert_null(partition_find("db"));
}

/* A guest writes to the disk at the same time. */
static void written_disk(void **state)
{
	struct block_device whole = { .writers_count = 1 };
	struct result result;

	(void)state;
	device.parent = &whole;
	assert_non_null(strstr(save(&result), "a guest writes to the disk"));
	result_free(&result);
	whole.writers_count = 0;
	assert_saved();
}

static void broken_disks(void **state)
{
	struct result result;

	(void)state;
	define("web", 64 << 20);
	is_broken = true;
	assert_non_null(strstr(save(&result), "is as it was"));
	assert_true(result_is_error(&result));
	result_free(&result);
	block_remove(&device);
	assert_non_null(strstr(save(&result), "no disk has"));
	result_free(&result);
	add_disk(128 << 10);
	assert_non_null(strstr(save(&result), "smaller"));
	result_free(&result);
}

/* One thing at a time; what is slow does not block. */
static void slow_disk(void **state)
{
	struct shell_wait wait = { .slot = UINT32_MAX };
	struct result result;
	int rounds = 0;

	(void)state;
	define("web", 64 << 20);
	is_slow = true;
	result_init(&result);
	assert_true(store_save(&wait, &result));
	assert_false(wait.poll(&wait, &result));
	assert_false(store_save(&wait, &result));
	assert_true(result_is_error(&result));
	while (!wait.poll(&wait, &result) && rounds++ < 10) {
		struct block_request *request = held;

		held = NULL;
		assert_non_null(request);
		answer(request);
		store_poll();
	}
	assert_int_equal(rounds, 4); /* read, read, write, flush */
	assert_false(result_is_error(&result));
	result_free(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(saves_and_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(spoilt_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(unreadable_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(several_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(written_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(power_lost_in_a_save, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
