// SPDX-License-Identifier: Apache-2.0
/*
 * What is below guests' disks: what a disk kept goes with it, sources that cannot be had, and who may write.
 */
// sources: mgmt/kept.c mgmt/root_turn.c mgmt/chunks.c mgmt/partition.c mgmt/random.c mgmt/guest_devices.c mgmt/guest_disks.c mgmt/block/*.c mgmt/virtio/*.c mgmt/switch/*.c mgmt/partition_poll.c mgmt/partition_start.c mgmt/placement.c mgmt/ledger.c mgmt/console.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/result.c mgmt/result_print.c tests/unit/mgmt_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/guest_devices.h"
#include "mgmt/kept.h"
#include "mgmt/partition.h"
#include "tests/unit/mgmt_machine.h"

#define GUEST_BYTES (16u << 20)

static struct result result;
static struct block_device whole, data, store;

static void submit(struct block_device *self, struct block_request *request)
{
	(void)self;
	request->done(request, BLOCK_OK);
}

static void add_device(struct block_device *device, const char *name, struct block_device *parent)
{
	memset(device, 0, sizeof(*device));
	snprintf(device->name, sizeof(device->name), "%s", name);
	device->sectors_count = 64;
	device->sector_bytes = 512;
	device->submit = submit;
	device->parent = parent;
	device->is_scanned = true;
	assert_true(block_add(device));
}

static void settle(void)
{
	int i;

	for (i = 0; i < 12; i++) {
		kept_poll();
		partition_poll();
		guest_devices_poll();
		fake_step();
	}
}

static int setup(void **state)
{
	(void)state;
	fake_reset();
	fake_guest_base = calloc(1, GUEST_BYTES);
	assert_non_null(fake_guest_base);
	kept_init();
	partition_init();
	result_init(&result);
	add_device(&whole, "nvme0", NULL);
	add_device(&data, "nvme0:data", &whole);
	add_device(&store, "nvme0:bulkhead-config", &whole);
	guest_devices_poll();
	fake_now += 60 * FAKE_HZ; /* drivers are not waited for any more */
	return 0;
}

static int teardown(void **state)
{
	uint32_t slot;

	(void)state;
	for (slot = 0; slot < BH_PARTITIONS_MAX; slot++) {
		struct guest *guest = partition_guest(slot);

		if (guest != NULL && guest->has_partition != 0) {
			assert_true(partition_kill(guest, &result));
			settle();
		}
	}
	block_remove(&store);
	block_remove(&data);
	block_remove(&whole);
	result_free(&result);
	free(fake_guest_base);
	fake_guest_base = NULL;
	return 0;
}

/* A guest of 16 MiB with these disks, running. */
static struct guest *run(const char *name, const char *keys)
{
	static struct config config;
	struct guest *guest;
	char text[512];

	snprintf(text, sizeof(text), "[guest %s]\nkernel=vmlinuz\nmemory=16M\n%s", name, keys);
	config_init(&config);
	assert_true(config_parse(&config, text, strlen(text)));
	assert_true(partition_define(&config.guests[0], &result));
	config_free(&config);
	guest = partition_find(name);
	assert_true(partition_start(guest, &result));
	settle();
	assert_int_equal(guest->state, GUEST_RUNNING);
	return guest;
}

static enum guest_devices_step plug(struct guest *guest, uint32_t i, const char *source, char *why)
{
	assert_true(config_disk_parse(source, &guest->config.disks[i]));
	why[0] = '\0';
	return guest_devices_plug_disk(guest, i, why, 200);
}

/* The guest's driver lets the device go. */
static void eject(const struct guest *guest, uint32_t i)
{
	struct vio_device *page = machine_device_page(partition_slot(guest), i);

	page->offer_seen = page->offer_sequence;
	settle();
	virtio_work();
	settle();
}

static uint8_t *memory_of(const char *name)
{
	int idx = kept_find(KEPT_DISK, name);

	assert_true(idx >= 0);
	return kept_address((uint32_t)idx);
}

/* A RAM disk that was taken away came back, with all that was in it, as the next disk of its size. */
static void memory_goes_with_the_disk(void **state)
{
	struct guest *guest = run("a", "disk=ram:1M\ndisk=ram:1M\n");
	char why[200];

	(void)state;
	memory_of("a.1")[0] = 42;
	guest_devices_remove_disk(guest, 1);
	settle();
	assert_int_equal(memory_of("a.1")[0], 42); /* the driver has it */
	/* The next one is named before that is over. */
	assert_int_equal(plug(guest, 1, "ram:1M", why), GUEST_DEVICES_WAIT);
	settle();
	assert_int_equal(memory_of("a.1")[0], 42);
	eject(guest, 1);
	assert_int_equal(memory_of("a.1")[0], 0);
	assert_non_null(guest_devices_disk(partition_slot(guest), 1));
	guest_devices_remove_disk(guest, 1);
	eject(guest, 1);
	assert_int_equal(kept_find(KEPT_DISK, "a.1"), -1);
	/* Of a guest that does not run it goes at once. */
	assert_true(partition_kill(guest, &result));
	settle();
	memory_of("a.0")[0] = 43;
	guest_devices_remove_disk(guest, 0);
	settle();
	assert_int_equal(kept_find(KEPT_DISK, "a.0"), -1);
}

/* Another source of the same size is another disk: a file's copy was the old content. */
static void memory_goes_with_the_source(void **state)
{
	struct guest *guest = run("a", "disk=ram:1M\ndisk=ram:2M\n");
	struct config_guest changed = guest->config;

	(void)state;
	assert_true(partition_kill(guest, &result));
	settle();
	memory_of("a.0")[0] = memory_of("a.1")[0] = 42;
	assert_true(config_disk_parse("nvme0:data, overlay", &changed.disks[0]));
	partition_configure(guest, &changed);
	settle();
	assert_int_equal(kept_find(KEPT_DISK, "a.0"), -1);
	assert_int_equal(memory_of("a.1")[0], 42);
}

/* What cannot be had was added all the same, without a word. */
static void what_cannot_be_had(void **state)
{
	struct guest *guest = run("a", "disk=nvme0:data\n");
	char why[200];

	(void)state;
	assert_int_equal(plug(guest, 1, "nothing", why), GUEST_DEVICES_FAILED);
	assert_non_null(strstr(why, "no file and no device 'nothing'"));
	assert_string_equal(guest->config.disks[1].source, "");
	assert_int_equal(plug(guest, 1, "nvme0:data", why), GUEST_DEVICES_FAILED);
	assert_non_null(strstr(why, "a's disk 0 uses it"));
	assert_int_equal(plug(guest, 1, "nvme0, ro", why), GUEST_DEVICES_FAILED);
	assert_int_equal(plug(guest, 1, "nvme0:bulkhead-config", why), GUEST_DEVICES_FAILED);
	assert_non_null(strstr(why, "'save config' writes there"));
	assert_int_equal(plug(guest, 1, "nvme0:bulkhead-config, ro", why), GUEST_DEVICES_READY);
	fake_create_error = BH_ERR_MEMORY;
	assert_int_equal(plug(guest, 2, "ram:1M", why), GUEST_DEVICES_WAIT);
	settle();
	fake_now += 2 * FAKE_HZ;
	settle();
	assert_int_equal(machine_ledger()->events_count, 2); /* started, and once why not */
	assert_non_null(strstr(machine_ledger()->events[1].text, "disk ram:1M: no luck"));
	fake_create_error = BH_OK;
	settle();
	assert_non_null(guest_devices_disk(partition_slot(guest), 2));
}

static void writers_are_counted(void **state)
{
	struct guest *guest = run("a", "disk=nvme0:data\ndisk=nvme0:bulkhead-config,ro\n");

	(void)state;
	assert_int_equal(data.writers_count, 1);
	assert_int_equal(store.writers_count, 0);
	assert_int_equal(store.users_count, 1);
	assert_true(partition_kill(guest, &result));
	settle();
	assert_int_equal(data.writers_count + data.users_count + store.users_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_goes_with_the_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_goes_with_the_source, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_had, setup, teardown),
		cmocka_unit_test_setup_teardown(writers_are_counted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
