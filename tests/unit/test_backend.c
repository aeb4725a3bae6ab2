// SPDX-License-Identifier: Apache-2.0
/*
 * The life of mgmt's virtio devices, with a device that only counts: offers, starts and what refuses them, kicks,
 * interrupts of every kind, resets and removals with requests under way, and a new mgmt that finds devices running.
 */
// sources: mgmt/virtio/backend.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c mgmt/ledger.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/switch/*.c tests/unit/fake_driver.c tests/unit/mgmt_machine.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/ledger.h"
#include "mgmt/virtio/backend.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/mgmt_machine.h"

#define SLOT       2u
#define IDX        3u
#define RING_GPA   0x100000ull
#define QUEUE_SIZE 16u
#define F_OWN      0x4ull
#define MSI_GOOD   0xfee01000ull

static struct {
	uint32_t starts, works, stops, destroys;
	bool is_busy; /* requests are out */
} seen;
static struct virtio_device *device;
static struct vio_device *page;
static struct fake_driver driver;

static void on_start(struct virtio_device *of)
{
	(void)of;
	seen.starts++;
}

static bool on_work(struct virtio_device *of)
{
	(void)of;
	seen.works++;
	return false;
}

static void on_stop(struct virtio_device *of)
{
	(void)of;
	seen.stops++;
}

static bool on_is_idle(const struct virtio_device *of)
{
	(void)of;
	return !seen.is_busy;
}

static void on_destroy(struct virtio_device *of)
{
	(void)of;
	seen.destroys++;
}

static const struct virtio_operations operations = {
	.name = "fake",
	.start = on_start,
	.work = on_work,
	.stop = on_stop,
	.is_idle = on_is_idle,
	.destroy = on_destroy,
};

static void add(void)
{
	static const uint8_t config[8] = { 1, 2, 3 };
	const struct virtio_offer offer = { .type = VIRTIO_TYPE_BLOCK,
		                            .features = F_OWN,
		                            .queues_count = 2,
		                            .queue_size_max = QUEUE_SIZE,
		                            .config = config,
		                            .config_bytes = sizeof(config) };

	memset(&seen, 0, sizeof(seen));
	virtio_slot_begin(SLOT, FAKE_LOW_BYTES);
	device = virtio_device_add(SLOT, IDX, &operations, NULL, &offer);
	assert_non_null(device);
}

static int set_up(void **state)
{
	const struct guest_memory memory = fake_guest_memory();

	(void)state;
	fake_reset();
	(void)ledger_open(machine_ledger());
	fake_guest_base = memory.base;
	page = machine_device_page(SLOT, IDX);
	memset(page, 0, sizeof(*page));
	add();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	seen.is_busy = false;
	virtio_slot_end(SLOT);
	virtio_work();
	assert_true(virtio_slot_is_idle(SLOT));
	return 0;
}

/* The VMM tells that the driver is there, with a good queue 0. */
static void drive(uint64_t features)
{
	driver.memory = fake_guest_memory();
	fake_driver_init(&driver, RING_GPA, QUEUE_SIZE, features);
	page->queues[0] = driver.setup;
	page->driver_features = features;
	page->offer_seen = page->offer_sequence;
	page->driver_state = VIO_DRIVER_RUNNING;
	page->queue_vector[0] = 0;
	page->queue_vector[1] = VIO_MSI_NONE;
	page->msi[0] = (struct vio_msi){ .address = MSI_GOOD, .data = 0x41 };
	page->driver_generation++;
}

static void drive_and_look(uint64_t features)
{
	drive(features);
	virtio_slot_look(SLOT);
	virtio_work();
}

static void reset(void)
{
	page->driver_state = VIO_DRIVER_RESET;
	page->driver_generation++;
	virtio_slot_look(SLOT);
}

static void kick(void)
{
	uint64_t bits[BH_EVENT_WORDS] = { 0 };
	uint32_t bit = MGMT_EVENT_KICK + SLOT * VIO_DEVICES_MAX + IDX;

	bits[bit / 64] = 1ull << bit % 64;
	virtio_take_kicks(bit / 64, bits[bit / 64], machine_now_tsc());
	virtio_work();
}

/* A chain that came and went back: the driver wants to know. */
static void give_one(void)
{
	const struct fake_piece piece = { RING_GPA - 0x1000, 8, false };
	struct virtqueue_chain chain;

	fake_driver_add(&driver, &piece, 1, false);
	assert_true(virtqueue_take(&device->queues[0], &chain));
	virtqueue_give(&device->queues[0], &chain, 0);
	virtio_device_interrupt(device, 0);
}

static void test_offer_and_start(void **state)
{
	(void)state;
	assert_int_equal(page->type, VIRTIO_TYPE_BLOCK);
	assert_int_equal(page->offer_sequence, 1);
	assert_true((page->features & (F_OWN | VIRTIO_F_VERSION_1)) ==
	            (F_OWN | VIRTIO_F_VERSION_1));
	assert_int_equal(page->config[1], 2);
	assert_int_equal(seen.starts, 0);
	drive_and_look(VIRTIO_F_VERSION_1 | F_OWN);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.works, 1);
	assert_int_equal(page->backend_state, VIO_BACKEND_SERVES);
	assert_int_equal(page->backend_generation, page->driver_generation);
	virtio_slot_look(SLOT); /* nothing new */
	assert_int_equal(seen.starts, 1);
	kick();
	assert_int_equal(seen.works, 2);
	assert_int_equal(page->counters.kicks, 1);
	reset();
	assert_int_equal(seen.stops, 1);
	kick();
	assert_int_equal(seen.works, 2);
}

/* What the VMM says of a driver is checked again, and a good start follows. */
static void test_bad_starts(void **state)
{
	static const struct {
		uint64_t features, gpa;
		uint32_t size;
		const char *reason;
	} bad[] = {
		{ VIRTIO_F_VERSION_1 | 0x8, RING_GPA, QUEUE_SIZE, "not offered" },
		{ VIRTIO_F_VERSION_1, RING_GPA, 2 * QUEUE_SIZE, "larger than was offered" },
		{ VIRTIO_F_VERSION_1, RING_GPA, 12, "size that is not allowed" },
		{ VIRTIO_F_VERSION_1, RING_GPA, 0, "size that is not allowed" },
		{ VIRTIO_F_VERSION_1, FAKE_LOW_BYTES - 16, QUEUE_SIZE,
		  "not in the guest's memory" },
		{ VIRTIO_F_VERSION_1, UINT64_MAX - 15, QUEUE_SIZE, "not in the guest's memory" },
		{ VIRTIO_F_VERSION_1, RING_GPA + 8, QUEUE_SIZE, "not aligned" },
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		drive(bad[i].features);
		page->queues[0].descriptors = bad[i].gpa;
		page->queues[0].size = bad[i].size;
		virtio_slot_look(SLOT);
		assert_int_equal(page->backend_state, VIO_BACKEND_BROKEN);
		assert_non_null(strstr(page->reason, bad[i].reason));
		assert_false(device->is_running);
		kick();
		assert_int_equal(seen.works, i);
		drive_and_look(VIRTIO_F_VERSION_1);
		assert_int_equal(page->backend_state, VIO_BACKEND_SERVES);
		assert_int_equal(seen.works, i + 1);
	}
}

static void test_messages(void **state)
{
	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	fake_msis_count = 0;
	give_one();
	assert_int_equal(fake_msis_count, 1);
	assert_int_equal(fake_msi_address, MSI_GOOD);
	assert_int_equal(fake_msi_data, 0x41);
	virtio_device_interrupt(device, 0); /* nothing was given back since */
	assert_int_equal(fake_msis_count, 1);

	page->msi[0].is_masked = 1;
	give_one();
	assert_int_equal(fake_msis_count, 1);
	assert_int_equal(page->msi_pending, 1);
	page->msi[0].is_masked = 0;

	page->msi[0].sequence = 1; /* a VMM that never leaves it alone */
	give_one();
	assert_int_equal(fake_msis_count, 1);
	page->msi[0].sequence = 2;

	page->queue_vector[0] = VIO_MSI_NONE;
	give_one();
	page->queue_vector[0] = VIO_QUEUES_MAX + 1; /* no such vector */
	give_one();
	assert_int_equal(fake_msis_count, 1);

	page->uses_intx = 1;
	fake_device_signals_count = 0;
	give_one();
	assert_int_equal(fake_msis_count, 1);
	assert_int_equal(page->intx_pending, 1);
	assert_int_equal(fake_device_signals_count, 1);

	fake_driver_want_interrupt(&driver, false);
	page->intx_pending = 0;
	give_one();
	assert_int_equal(page->intx_pending, 0);
}

/* Its driver waits until the last request has left the guest's memory. */
static void test_reset_waits(void **state)
{
	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	seen.is_busy = true;
	reset();
	assert_int_equal(seen.stops, 1);
	assert_int_not_equal(page->backend_generation, page->driver_generation);
	drive(VIRTIO_F_VERSION_1); /* and starts again meanwhile */
	virtio_slot_look(SLOT);
	assert_int_equal(seen.starts, 1);
	seen.is_busy = false;
	virtio_device_poke(device);
	virtio_work();
	assert_int_equal(page->backend_generation, page->driver_generation);
	assert_int_equal(seen.starts, 2);
}

/* The VMM is just writing a next state, and this mgmt comes late to look at the one before. */
static void test_half_a_change_waits(void **state)
{
	uint64_t gpa;

	(void)state;
	drive(VIRTIO_F_VERSION_1);
	gpa = page->queues[0].descriptors;
	page->driver_state = VIO_DRIVER_CHANGING;
	page->queues[0].descriptors = 0;
	virtio_slot_look(SLOT);
	assert_int_equal(seen.starts, 0);
	assert_int_not_equal(page->backend_generation, page->driver_generation);
	page->queues[0].descriptors = gpa;
	page->driver_generation++;
	virtio_slot_look(SLOT);
	assert_int_equal(seen.starts, 0);
	page->driver_state = VIO_DRIVER_RUNNING;
	virtio_slot_look(SLOT);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(page->backend_generation, page->driver_generation);
}

static void test_removal_waits(void **state)
{
	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	virtio_device_remove(device);
	virtio_work();
	assert_int_equal(page->type, VIRTIO_TYPE_NONE);
	assert_true(device->is_running); /* until the guest has let go */
	kick();
	assert_int_equal(seen.destroys, 0);
	seen.is_busy = true;
	page->offer_seen = page->offer_sequence;
	virtio_slot_look(SLOT);
	virtio_work();
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.destroys, 0);
	seen.is_busy = false;
	virtio_device_poke(device);
	virtio_work();
	assert_int_equal(seen.destroys, 1);
	assert_null(virtio_device_at(SLOT, IDX));
	kick(); /* for a device that is no more */
}

static void test_end_of_a_partition_waits(void **state)
{
	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	seen.is_busy = true;
	virtio_slot_end(SLOT);
	assert_int_equal(seen.stops, 1);
	assert_false(virtio_slot_is_idle(SLOT));
	seen.is_busy = false;
	virtio_device_poke(device);
	virtio_work();
	assert_int_equal(seen.destroys, 1);
	assert_true(virtio_slot_is_idle(SLOT));
}

/* A new mgmt offers the same: nothing changes for the guest but one interrupt too many. */
static void test_next_mgmt(void **state)
{
	uint32_t sequence;

	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	give_one();
	sequence = page->offer_sequence;
	virtio_slot_end(SLOT);
	page->backend_state = VIO_BACKEND_NONE;
	fake_msis_count = 0;
	add();
	assert_int_equal(page->offer_sequence, sequence);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(page->backend_state, VIO_BACKEND_SERVES);
	assert_int_equal(fake_msis_count, 1);
	assert_int_equal(page->counters.interrupts, 2); /* counted over both lives */
	give_one();
	assert_int_equal(fake_msis_count, 2);
}

/*
 * A device was being taken away when mgmt died: the next one has none for that page, and nothing to do there, but the driver's resets, and
 * the guest's, wait for it. They waited for ever.
 */
static void test_removal_goes_on_without_the_device(void **state)
{
	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	virtio_device_remove(device);
	virtio_slot_end(SLOT);
	virtio_work();
	virtio_slot_begin(SLOT, FAKE_LOW_BYTES);
	reset();
	virtio_slot_look(SLOT);
	assert_int_equal(page->backend_generation, page->driver_generation);
	assert_int_equal(page->backend_state, VIO_BACKEND_NONE);
	/* One that is offered and not served yet is not spoken for. */
	page->type = VIRTIO_TYPE_BLOCK;
	reset();
	virtio_slot_look(SLOT);
	assert_int_not_equal(page->backend_generation, page->driver_generation);
}

static void test_broken_for_the_next_mgmt(void **state)
{
	(void)state;
	drive_and_look(VIRTIO_F_VERSION_1);
	virtio_device_break(device, "test");
	virtio_device_break(device, "again");
	assert_string_equal(page->reason, "test");
	assert_int_equal(seen.stops, 1);
	virtio_slot_end(SLOT);
	add();
	assert_int_equal(seen.starts, 0);
	assert_int_equal(page->backend_state, VIO_BACKEND_BROKEN);
	drive_and_look(VIRTIO_F_VERSION_1);
	assert_int_equal(seen.starts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_offer_and_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_starts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_a_change_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_removal_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end_of_a_partition_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_mgmt, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_removal_goes_on_without_the_device, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_broken_for_the_next_mgmt, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
