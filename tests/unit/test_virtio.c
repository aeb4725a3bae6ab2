// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio-pci transport from the driver's side, with a page on which the test plays mgmt: the
 * function and its capabilities, negotiation and its refusals, queues, resets, interrupts.
 */
// sources: vmm/virtio/device.c vmm/virtio/common.c vmm/virtio/features.c vmm/virtio/interrupt.c vmm/virtio/function.c vmm/virtio/devices.c vmm/devices/pci.c vmm/devices/pci_hotplug.c vmm/devices/acpi_pm.c vmm/bus.c vmm/guest_memory.c
#include "tests/unit/virtio_driver.h"

/* ---- the function ---- */

static void test_header(void **state)
{
	(void)state;
	assert_int_equal(config_get(1, 0, 4), 0x10421af4);
	assert_int_equal(config_get(1, PCI_REVISION, 1), 1);
	assert_int_equal(config_get(1, PCI_REVISION, 4) >> 8, 0x018000);
	assert_int_equal(config_get(1, PCI_SUBSYSTEM_ID, 2), 0x1042);
	assert_int_equal(config_get(1, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(config_get(2, 0, 4), 0xffffffff);
	assert_int_equal(page->offer_seen, 1);
	assert_int_equal(page->driver_state, VIO_DRIVER_RESET);
	assert_int_equal(page->uses_intx, 1);
}

static uint32_t capability_find(uint32_t id, uint32_t type)
{
	uint32_t at = (uint32_t)config_get(1, PCI_CAPABILITIES, 1);

	for (uint32_t i = 0; i < 16 && at != 0; i++) {
		if (config_get(1, at, 1) == id && (id != 9 || config_get(1, at + 3, 1) == type)) {
			return at;
		}
		at = (uint32_t)config_get(1, at + 1, 1);
	}
	return 0;
}

static void test_capabilities(void **state)
{
	static const struct {
		uint32_t type, bytes, bar, offset, length;
	} wanted[] = {
		{ 1, 16, 1, VIRTIO_COMMON_OFFSET, 64 },
		{ 2, 20, 0, 0, 4 },
		{ 3, 16, 1, VIRTIO_ISR_OFFSET, 1 },
		{ 4, 16, 1, VIRTIO_CONFIG_OFFSET, 64 },
		{ 5, 20, 0, 0, 0 },
	};
	uint32_t at;

	(void)state;
	for (uint32_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		at = capability_find(9, wanted[i].type);
		assert_int_not_equal(at, 0);
		assert_int_equal(config_get(1, at + 2, 1), wanted[i].bytes);
		assert_int_equal(config_get(1, at + 4, 1), wanted[i].bar);
		assert_int_equal(config_get(1, at + 8, 4), wanted[i].offset);
		assert_int_equal(config_get(1, at + 12, 4), wanted[i].length);
	}
	assert_int_equal(config_get(1, capability_find(9, 2) + 16, 4), 0); /* multiplier */
	at = capability_find(0x11, 0);
	assert_int_equal(config_get(1, at + 2, 2), 4); /* 4 queues and the configuration */
	assert_int_equal(config_get(1, at + 4, 4), VIRTIO_TABLE_OFFSET | 1);
	assert_int_equal(config_get(1, at + 8, 4), VIRTIO_PENDING_OFFSET | 1);
}

static void test_classes(void **state)
{
	(void)state;
	assert_int_equal(virtio_class_code(VIRTIO_TYPE_NET), 0x020000);
	assert_int_equal(virtio_class_code(VIRTIO_TYPE_CONSOLE), 0x078000);
	assert_int_equal(virtio_class_code(VIRTIO_TYPE_VSOCK), 0x078000);
	assert_int_equal(virtio_class_code(VIRTIO_TYPE_RNG), 0x00ff00);
}

static void test_no_device_config(void **state)
{
	(void)state;
	assert_int_equal(board_init(), BH_OK);
	board_offer(0, VIRTIO_TYPE_RNG, 0, 1);
	page->config_bytes = 0;
	virtio_devices_poll(&board.set);
	assert_int_equal(capability_find(9, 4), 0);
	assert_int_not_equal(capability_find(9, 1), 0);
}

static void test_doorbell_follows_bar(void **state)
{
	(void)state;
	assert_int_equal(board.doorbells[0], NOTIFY_PORT);
	config_set(1, PCI_BAR0, 4, 0xd000);
	assert_int_equal(board.doorbells[0], 0xd000);
	config_set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(board.doorbells[0], 0);
	config_set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(board.doorbells[0], 0xd000);
	config_set(1, PCI_BAR0, 4, 0xffffffff); /* sizing */
	assert_int_equal(config_get(1, PCI_BAR0, 4), 0xfffffffd);
	config_set(1, PCI_BAR0, 4, 0xc100);
	assert_int_equal(board.doorbells[0], 0xc100);
	pci_reset(&board.pci);
	virtio_devices_reset(&board.set);
	assert_int_equal(board.doorbells[0], 0);
}

/* A kick that reaches the VMM, because there is no doorbell, is a kick all the same. */
static void test_kick_without_doorbell(void **state)
{
	(void)state;
	bus_port_write(&board.bus, NOTIFY_PORT, 2, 1);
	assert_int_equal(board.kicks[0], 1);
	board.doorbell_error = BH_ERR_LIMIT;
	config_set(1, PCI_BAR0, 4, 0xd000);
	assert_int_equal(board.doorbells[0], 0);
	bus_port_write(&board.bus, 0xd000, 2, 0);
	assert_int_equal(board.kicks[0], 2);
	assert_int_equal(bus_port_read(&board.bus, 0xd000, 2), 0);
}

static void test_window(void **state)
{
	uint32_t at = capability_find(9, 5);

	(void)state;
	config_set(1, at + 4, 1, 1); /* BAR 1 */
	config_set(1, at + 8, 4, NUM_QUEUES);
	config_set(1, at + 12, 4, 2);
	assert_int_equal(config_get(1, at + 16, 4), 4);
	config_set(1, at + 8, 4, STATUS);
	config_set(1, at + 12, 4, 1);
	config_set(1, at + 16, 1, VIRTIO_ACKNOWLEDGE);
	assert_int_equal(get(STATUS, 1), VIRTIO_ACKNOWLEDGE);
	assert_int_equal(config_get(1, at + 16, 4), VIRTIO_ACKNOWLEDGE);
	config_set(1, at + 4, 1, 0); /* BAR 0: kick */
	config_set(1, at + 8, 4, 0);
	config_set(1, at + 12, 4, 2);
	config_set(1, at + 16, 2, 0);
	assert_int_equal(board.kicks[0], 1);
	/* Nonsense has no effect: no such BAR, outside, not aligned, wrong length. */
	config_set(1, at + 4, 1, 3);
	config_set(1, at + 16, 2, 0);
	config_set(1, at + 4, 1, 1);
	config_set(1, at + 8, 4, VIRTIO_MEMORY_BYTES);
	config_set(1, at + 16, 4, 0);
	config_set(1, at + 8, 4, 0xfffffffc);
	config_set(1, at + 12, 4, 4);
	config_set(1, at + 16, 4, 0);
	config_set(1, at + 8, 4, STATUS);
	config_set(1, at + 12, 4, 3);
	config_set(1, at + 16, 4, 0);
	assert_int_equal(board.kicks[0], 1);
	assert_int_equal(get(STATUS, 1), VIRTIO_ACKNOWLEDGE);
}

/* ---- negotiation ---- */

static void test_offered_features(void **state)
{
	(void)state;
	assert_true(features_get() == (BLOCK_FEATURES | VIRTIO_F_RING_RESET | VIRTIO_F_VERSION_1));
	set(FEATURE_SELECT, 4, 2);
	assert_int_equal(get(FEATURE, 4), 0);
	start_with(VIRTIO_TYPE_RNG, ~0ull, 1);
	assert_true(features_get() == ~VIRTIO_F_NEVER);
}

static void test_negotiation(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1 | (1ull << 9));
	assert_int_equal(get(STATUS, 1), 0x0f);
	assert_int_equal(page->driver_state, VIO_DRIVER_RUNNING);
	assert_true(page->driver_features == (VIRTIO_F_VERSION_1 | (1ull << 9)));
	assert_int_equal(page->queues[0].flags, VIO_QUEUE_ENABLED);
	assert_int_equal(page->queues[0].size, 64);
	assert_int_equal(page->queues[0].descriptors, 0x1000);
	assert_int_equal(page->queues[0].driver, 0x2000);
	assert_int_equal(page->queues[0].device, 0x3000);
	assert_int_equal(page->queues[1].flags, 0);
	/* Too late to change one's mind. */
	features_set(VIRTIO_F_VERSION_1);
	set(DRIVER_SELECT, 4, 0);
	assert_int_equal(get(DRIVER_FEATURE, 4), 1u << 9);
	set(STATUS, 1, VIRTIO_ACKNOWLEDGE); /* bits cannot be taken back */
	assert_int_equal(get(STATUS, 1), 0x0f);
}

static void test_refused_features(void **state)
{
	(void)state;
	assert_int_equal(negotiate(1ull << 9), 0x03);                        /* no VERSION_1 */
	assert_int_equal(negotiate(VIRTIO_F_VERSION_1 | (1ull << 5)), 0x03); /* not offered */
	assert_int_equal(negotiate(VIRTIO_F_VERSION_1 | (1ull << 33)), 0x03);
	set(STATUS, 1, 0x0f); /* not without FEATURES_OK */
	assert_int_equal(get(STATUS, 1), 0x03);
	assert_int_equal(page->driver_state, VIO_DRIVER_RESET);
	/* The driver may try again with less (virtio 1.2 2.2.1). */
	features_set(VIRTIO_F_VERSION_1);
	set(STATUS, 1, 0x0b);
	assert_int_equal(get(STATUS, 1), 0x0b);
}

static void test_dependent_features(void **state)
{
	static const struct {
		uint64_t accepted;
		bool fits;
	} cases[] = {
		{ 1ull << 7, false }, /* TSO4 in, no checksum */
		{ (1ull << 7) | (1ull << 1), true },
		{ (1ull << 9) | (1ull << 1), false }, /* ECN without TSO */
		{ (1ull << 9) | (1ull << 8) | (1ull << 1), true },
		{ 1ull << 11, false }, /* TSO4 out */
		{ (1ull << 11) | 1, true },
		{ (1ull << 13) | 1, false },
		{ (1ull << 13) | (1ull << 12) | 1, true },
		{ 1ull << 22, false }, /* MQ without control queue */
		{ (1ull << 22) | (1ull << 17), true },
		{ 1ull << 23, false },
		{ 1ull << 18, false },
		{ 0, true },
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start_with(VIRTIO_TYPE_NET, ~0ull, 3);
		assert_int_equal(negotiate(cases[i].accepted | VIRTIO_F_VERSION_1),
		                 cases[i].fits ? 0x0b : 0x03);
	}
}

static void test_wrong_widths(void **state)
{
	(void)state;
	set(STATUS, 4, 0x0f);
	assert_int_equal(get(STATUS, 1), 0);
	set(QUEUE_SELECT, 1, 2);
	assert_int_equal(get(QUEUE_SELECT, 2), 0);
	set(FEATURE_SELECT, 8, 1);
	assert_int_equal(get(FEATURE_SELECT, 4), 0);
	set(QUEUE_DESC, 2, 0x1000);
	assert_int_equal(get(QUEUE_DESC, 8), 0);
	set(QUEUE_DESC, 4, 0x1000);
	set(QUEUE_DESC + 4, 4, 1);
	assert_true(get(QUEUE_DESC, 8) == 0x100001000ull);
	assert_int_equal(get(QUEUE_DESC + 4, 4), 1);
	set(QUEUE_DESC + 4, 8, 5); /* across two fields */
	assert_true(get(QUEUE_DESC, 8) == 0x100001000ull);
	assert_int_equal(get(NUM_QUEUES, 4), 4); /* queues, status, generation */
	set(NUM_QUEUES, 2, 9);
	assert_int_equal(get(NUM_QUEUES, 2), 4);
	assert_int_equal(get(0x40, 4), 0);
	assert_int_equal(get(0x3c, 8), 0);
}

/* ---- queues ---- */

static void test_queue_fields(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		set(QUEUE_SELECT, 2, i);
		assert_int_equal(get(QUEUE_SIZE, 2), 256);
		assert_int_equal(get(QUEUE_VECTOR, 2), VIO_MSI_NONE);
		assert_int_equal(get(QUEUE_ENABLE, 2), 0);
		assert_int_equal(get(QUEUE_NOTIFY, 2), 0);
	}
	set(QUEUE_SELECT, 2, 4);
	assert_int_equal(get(QUEUE_SIZE, 2), 0);
	set(QUEUE_SIZE, 2, 16);
	set(QUEUE_DESC, 8, 0x1000);
	set(QUEUE_ENABLE, 2, 1);
	assert_int_equal(get(QUEUE_ENABLE, 2), 0);
	set(QUEUE_SELECT, 2, 0xffff);
	assert_int_equal(get(QUEUE_SIZE, 2), 0);
	set(QUEUE_SELECT, 2, 0);
	set(QUEUE_SIZE, 2, 0);
	assert_int_equal(get(QUEUE_SIZE, 2), 256);
	set(QUEUE_SIZE, 2, 512);
	assert_int_equal(get(QUEUE_SIZE, 2), 256);
}

static uint64_t try_queue(uint32_t size, uint64_t descriptors, uint64_t driver, uint64_t device)
{
	set(QUEUE_SELECT, 2, 1);
	set(QUEUE_SIZE, 2, size);
	set(QUEUE_DESC, 8, descriptors);
	set(QUEUE_DRIVER, 8, driver);
	set(QUEUE_DEVICE, 8, device);
	set(QUEUE_ENABLE, 2, 1);
	return get(QUEUE_ENABLE, 2);
}

static void test_refused_split_queues(void **state)
{
	uint64_t end = BOARD_RAM;

	(void)state;
	assert_int_equal(try_queue(64, 0x1000, 0x2000, 0x3000), 0); /* before FEATURES_OK */
	negotiate(VIRTIO_F_VERSION_1);
	assert_int_equal(try_queue(48, 0x1000, 0x2000, 0x3000), 0); /* no power of two */
	assert_int_equal(try_queue(64, 0x1008, 0x2000, 0x3000), 0); /* alignment */
	assert_int_equal(try_queue(64, 0x1000, 0x2001, 0x3000), 0);
	assert_int_equal(try_queue(64, 0x1000, 0x2000, 0x3002), 0);
	assert_int_equal(try_queue(64, end - 1008, 0x2000, 0x3000), 0); /* beyond the end */
	assert_int_equal(try_queue(64, 0x1000, end - 132, 0x3000), 0);
	assert_int_equal(try_queue(64, 0x1000, 0x2000, end - 516), 0);
	assert_int_equal(try_queue(64, ~0ull << 4, 0x2000, 0x3000), 0); /* wraps */
	assert_int_equal(try_queue(64, 0x100000, 0x2000, 0x3000), 0);   /* nowhere */
	set(QUEUE_ENABLE, 2, 0);
	set(QUEUE_ENABLE, 2, 2);
	assert_int_equal(get(QUEUE_ENABLE, 2), 0);
	assert_int_equal(try_queue(64, end - 1024, end - 134, (1ull << 32) + end - 520), 1);
	/* Enabled: nothing of it changes any more. */
	assert_int_equal(try_queue(32, 0, 0, 0), 1);
	assert_int_equal(get(QUEUE_SIZE, 2), 64);
	assert_int_equal(get(QUEUE_DESC, 8), end - 1024);
	set(QUEUE_ENABLE, 2, 0);
	assert_int_equal(get(QUEUE_ENABLE, 2), 1);
}

static void test_packed_queues(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED);
	assert_int_equal(try_queue(48, 0x1000, 0x2002, 0x3000), 0); /* alignment 4 */
	assert_int_equal(try_queue(48, 0x1000, 0x2000, BOARD_RAM - 2), 0);
	assert_int_equal(try_queue(48, BOARD_RAM - 48 * 16 + 16, 0x2000, 0x3000), 0);
	assert_int_equal(try_queue(48, 0x1000, BOARD_RAM - 4, 0x3000), 1);
}

/* A queue that is enabled while the driver runs is told at once; one reset waits for mgmt. */
static void test_queue_reset(void **state)
{
	uint32_t generation;

	(void)state;
	run(VIRTIO_F_VERSION_1 | VIRTIO_F_RING_RESET);
	generation = page->driver_generation;
	queue_set(1, 32, 0x8000);
	assert_int_equal(page->driver_generation, generation + 1);
	assert_int_equal(page->queues[1].flags, VIO_QUEUE_ENABLED);
	board_acknowledge(0);
	set(QUEUE_VECTOR, 2, 2);
	set(QUEUE_RESET, 2, 1);
	assert_int_equal(page->driver_generation, generation + 2);
	assert_int_equal(page->queues[1].flags, 0);
	assert_int_equal(page->queues[0].flags, VIO_QUEUE_ENABLED);
	assert_int_equal(get(QUEUE_RESET, 2), 1);
	assert_int_equal(get(QUEUE_ENABLE, 2), 0);
	queue_set(1, 16, 0x8000); /* too early */
	assert_int_equal(get(QUEUE_ENABLE, 2), 0);
	board_acknowledge(0);
	assert_int_equal(get(QUEUE_RESET, 2), 0);
	assert_int_equal(get(QUEUE_VECTOR, 2), VIO_MSI_NONE);
	queue_set(1, 16, 0x8000);
	assert_int_equal(get(QUEUE_ENABLE, 2), 1);
	assert_int_equal(page->queues[1].size, 16);
	assert_int_equal(get(STATUS, 1), 0x0f);
}

static void test_queue_reset_not_accepted(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1);
	set(QUEUE_SELECT, 2, 0);
	set(QUEUE_RESET, 2, 1);
	assert_int_equal(get(QUEUE_RESET, 2), 0);
	assert_int_equal(get(QUEUE_ENABLE, 2), 1);
}

/* ---- resets ---- */

static void test_reset_waits_for_mgmt(void **state)
{
	uint32_t generation;

	(void)state;
	run(VIRTIO_F_VERSION_1);
	set(CONFIG_VECTOR, 2, 1);
	generation = page->driver_generation;
	set(STATUS, 1, 0);
	assert_int_equal(page->driver_generation, generation + 1);
	assert_int_equal(page->driver_state, VIO_DRIVER_RESET);
	assert_int_equal(page->queues[0].flags, 0);
	assert_int_equal(page->queue_vector[VIO_QUEUES_MAX], VIO_MSI_NONE);
	assert_int_not_equal(get(STATUS, 1), 0);
	assert_false(virtio_devices_are_quiet(&board.set));
	set(STATUS, 1, VIRTIO_ACKNOWLEDGE); /* a driver that does not wait gets nowhere */
	assert_int_not_equal(get(STATUS, 1), 0);
	set(STATUS, 1, 0);
	assert_int_equal(page->driver_generation, generation + 1);
	board_acknowledge(0);
	assert_int_equal(get(STATUS, 1), 0);
	assert_true(virtio_devices_are_quiet(&board.set));
	run(VIRTIO_F_VERSION_1);
	assert_int_equal(page->driver_generation, generation + 2);
}

/* A driver that never ran has given mgmt nothing: no need to wait. */
static void test_reset_before_driver_ok(void **state)
{
	uint32_t generation = page->driver_generation;

	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	queue_set(0, 64, 0x1000);
	set(STATUS, 1, 0);
	assert_int_equal(get(STATUS, 1), 0);
	set(QUEUE_SELECT, 2, 0);
	assert_int_equal(get(QUEUE_ENABLE, 2), 0);
	assert_int_equal(get(QUEUE_SIZE, 2), 256);
	set(DRIVER_SELECT, 4, 1);
	assert_int_equal(get(DRIVER_FEATURE, 4), 0);
	assert_int_equal(page->driver_generation, generation);
}

static void test_machine_reset(void **state)
{
	uint32_t at = capability_find(0x11, 0);

	(void)state;
	run(VIRTIO_F_VERSION_1);
	config_set(1, at + 2, 2, 0x8000);
	set(VIRTIO_TABLE_OFFSET + 12, 4, 0);
	pci_reset(&board.pci);
	virtio_devices_reset(&board.set);
	assert_int_equal(page->driver_state, VIO_DRIVER_RESET);
	assert_int_equal(page->uses_intx, 1);
	assert_int_equal(config_get(1, at + 2, 2), 4);
	assert_false(virtio_devices_are_quiet(&board.set));
	board_acknowledge(0);
	assert_true(virtio_devices_are_quiet(&board.set));
	config_set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(get(VIRTIO_TABLE_OFFSET + 12, 4), 1); /* masked */
}

static void test_broken(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1);
	page->backend_state = VIO_BACKEND_BROKEN;
	page->backend_generation--; /* of an earlier life: not ours */
	virtio_devices_poll(&board.set);
	assert_int_equal(get(STATUS, 1), 0x0f);
	page->backend_generation++;
	virtio_devices_poll(&board.set);
	assert_int_equal(get(STATUS, 1), 0x4f);
	assert_int_equal(get(VIRTIO_ISR_OFFSET, 1), VIRTIO_ISR_CONFIG);
	virtio_devices_poll(&board.set); /* once */
	assert_int_equal(get(VIRTIO_ISR_OFFSET, 1), 0);
	set(STATUS, 1, 0);
	board_acknowledge(0);
	assert_int_equal(get(STATUS, 1), 0);
	run(VIRTIO_F_VERSION_1);
	virtio_devices_poll(&board.set);
	assert_int_equal(get(STATUS, 1), 0x0f);
}

/* ---- the device's configuration ---- */

static void test_config(void **state)
{
	uint64_t generation = get(GENERATION, 1);

	(void)state;
	run(VIRTIO_F_VERSION_1 | (1ull << 11));
	page->config[0] = 0x34;
	page->config[1] = 0x12;
	virtio_devices_poll(&board.set);
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET, 2), 0); /* not told yet */
	page->config_generation++;                         /* under way */
	virtio_devices_poll(&board.set);
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET, 2), 0);
	page->config_generation++;
	virtio_devices_poll(&board.set);
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET, 2), 0x1234);
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET + 1, 1), 0x12);
	assert_int_equal(get(GENERATION, 1), generation + 1);
	assert_int_equal(get(VIRTIO_ISR_OFFSET, 1), VIRTIO_ISR_CONFIG);
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET + 60, 8), 0); /* half beyond the end */
}

static void test_config_writes(void **state)
{
	uint32_t notifies;

	(void)state;
	run(VIRTIO_F_VERSION_1);
	notifies = board.notifies;
	set(VIRTIO_CONFIG_OFFSET + 32, 1, 1); /* writeback, but CONFIG_WCE was not accepted */
	set(VIRTIO_CONFIG_OFFSET, 8, ~0ull);  /* the capacity is read-only */
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET, 8), 0);
	assert_int_equal(page->config_written_sequence, 0);
	assert_int_equal(board.notifies, notifies);
	set(STATUS, 1, 0);
	board_acknowledge(0);
	run(VIRTIO_F_VERSION_1 | (1ull << 11));
	set(VIRTIO_CONFIG_OFFSET + 32, 2, 0x0101);
	assert_int_equal(get(VIRTIO_CONFIG_OFFSET + 32, 2), 1);
	assert_int_equal(page->config_written[32], 1);
	assert_int_equal(page->config_written_sequence, 1);
}

/* ---- interrupts ---- */

static void msix_on(void)
{
	config_set(1, capability_find(0x11, 0) + 2, 2, 0x8000);
	for (uint32_t i = 0; i < 5; i++) {
		set(VIRTIO_TABLE_OFFSET + i * 16, 4, 0xfee00003);
		set(VIRTIO_TABLE_OFFSET + i * 16 + 4, 4, 1);
		set(VIRTIO_TABLE_OFFSET + i * 16 + 8, 4, 0x40 + i);
		set(VIRTIO_TABLE_OFFSET + i * 16 + 12, 4, 0xfffffffe);
	}
}

static void test_intx(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1);
	page->intx_pending = 1;
	assert_int_equal(board.lines, 0);
	virtio_devices_poll(&board.set);
	assert_int_equal(board.lines, 1);
	assert_int_equal(page->intx_pending, 0);
	assert_int_equal(config_get(1, PCI_STATUS, 2) & 8, 8);
	page->intx_pending = 1; /* came since: the read takes it, too */
	assert_int_equal(get(VIRTIO_ISR_OFFSET, 1), VIRTIO_ISR_QUEUE);
	assert_int_equal(board.lines, 0);
	assert_int_equal(get(VIRTIO_ISR_OFFSET, 1), 0);
	assert_int_equal(config_get(1, PCI_STATUS, 2) & 8, 0);
	config_set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_OFF);
	page->intx_pending = 0xff;
	virtio_devices_poll(&board.set);
	assert_int_equal(board.lines, 0);
	config_set(1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(board.lines, 1);
	set(STATUS, 1, 0); /* a reset lowers it */
	assert_int_equal(board.lines, 0);
}

static void test_msix_table(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1);
	assert_int_equal(page->msi[0].is_masked, 1);
	msix_on();
	assert_int_equal(page->uses_intx, 0);
	assert_int_equal(page->msi[3].is_masked, 0);
	assert_true(page->msi[3].address == 0x1fee00000ull);
	assert_int_equal(page->msi[3].data, 0x43);
	assert_int_equal(page->msi[3].sequence & 1, 0);
	assert_int_equal(get(VIRTIO_TABLE_OFFSET, 4), 0xfee00000);
	assert_true(get(VIRTIO_TABLE_OFFSET, 8) == 0x1fee00000ull);
	assert_int_equal(get(VIRTIO_TABLE_OFFSET + 12, 4), 0);
	set(VIRTIO_TABLE_OFFSET + 12, 8, 1); /* control, and the next entry's address */
	assert_int_equal(page->msi[0].is_masked, 1);
	assert_int_equal(page->msi[1].address & 0xffffffff, 0);
	set(VIRTIO_TABLE_OFFSET + 5 * 16, 4, 0xffffffff); /* beyond the table */
	assert_int_equal(get(VIRTIO_TABLE_OFFSET + 5 * 16, 4), 0);
	set(VIRTIO_TABLE_OFFSET + 8, 2, 0x99); /* half a word */
	assert_int_equal(get(VIRTIO_TABLE_OFFSET + 8, 4), 0x40);
}

static void test_vectors(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1);
	set(QUEUE_SELECT, 2, 0);
	set(QUEUE_VECTOR, 2, 4);
	assert_int_equal(get(QUEUE_VECTOR, 2), 4);
	assert_int_equal(page->queue_vector[0], 4);
	set(QUEUE_VECTOR, 2, 5); /* there are five */
	assert_int_equal(get(QUEUE_VECTOR, 2), VIO_MSI_NONE);
	assert_int_equal(page->queue_vector[0], VIO_MSI_NONE);
	set(CONFIG_VECTOR, 2, 0);
	assert_int_equal(page->queue_vector[VIO_QUEUES_MAX], 0);
	set(CONFIG_VECTOR, 2, 99);
	assert_int_equal(get(CONFIG_VECTOR, 2), VIO_MSI_NONE);
}

/* What mgmt leaves while a vector is masked goes out when it is unmasked. */
static void test_masked_vectors(void **state)
{
	uint32_t at = capability_find(0x11, 0);

	(void)state;
	run(VIRTIO_F_VERSION_1);
	msix_on();
	set(VIRTIO_TABLE_OFFSET + 2 * 16 + 12, 4, 1);
	assert_int_equal(page->msi[2].is_masked, 1);
	page->msi_pending = 1u << 2;
	assert_int_equal(get(VIRTIO_PENDING_OFFSET, 8), 4);
	assert_int_equal(board.messages_count, 0);
	set(VIRTIO_TABLE_OFFSET + 2 * 16 + 12, 4, 0);
	assert_int_equal(board.messages_count, 1);
	assert_int_equal(board.message_data, 0x42);
	assert_int_equal(page->msi_pending, 0);
	config_set(1, at + 2, 2, 0xc000); /* all */
	assert_int_equal(page->msi[0].is_masked, 1);
	page->msi_pending = 3;
	config_set(1, at + 2, 2, 0x8000);
	assert_int_equal(board.messages_count, 3);
	assert_int_equal(page->msi_pending, 0);
}

static void test_config_interrupt(void **state)
{
	(void)state;
	run(VIRTIO_F_VERSION_1);
	msix_on();
	page->config_generation += 2;
	virtio_devices_poll(&board.set); /* no vector: nothing */
	assert_int_equal(board.messages_count, 0);
	assert_int_equal(board.lines, 0);
	set(CONFIG_VECTOR, 2, 1);
	page->config_generation += 2;
	virtio_devices_poll(&board.set);
	assert_int_equal(board.messages_count, 1);
	assert_int_equal(board.message_data, 0x41);
	assert_true(board.message_address == 0x1fee00000ull);
	set(VIRTIO_TABLE_OFFSET + 16 + 12, 4, 1);
	page->config_generation += 2;
	virtio_devices_poll(&board.set);
	assert_int_equal(board.messages_count, 1);
	assert_int_equal(get(VIRTIO_PENDING_OFFSET, 4), 2);
	set(VIRTIO_TABLE_OFFSET + 16 + 12, 4, 0);
	assert_int_equal(board.messages_count, 2);
}

static void test_no_config_interrupt_before_driver_ok(void **state)
{
	(void)state;
	negotiate(VIRTIO_F_VERSION_1);
	page->config_generation += 2;
	virtio_devices_poll(&board.set);
	assert_int_equal(get(VIRTIO_ISR_OFFSET, 1), 0);
	assert_int_equal(board.lines, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_header, setup),
		cmocka_unit_test_setup(test_capabilities, setup),
		cmocka_unit_test_setup(test_classes, setup),
		cmocka_unit_test_setup(test_no_device_config, setup),
		cmocka_unit_test_setup(test_doorbell_follows_bar, setup),
		cmocka_unit_test_setup(test_kick_without_doorbell, setup),
		cmocka_unit_test_setup(test_window, setup),
		cmocka_unit_test_setup(test_offered_features, setup),
		cmocka_unit_test_setup(test_negotiation, setup),
		cmocka_unit_test_setup(test_refused_features, setup),
		cmocka_unit_test_setup(test_dependent_features, setup),
		cmocka_unit_test_setup(test_wrong_widths, setup),
		cmocka_unit_test_setup(test_queue_fields, setup),
		cmocka_unit_test_setup(test_refused_split_queues, setup),
		cmocka_unit_test_setup(test_packed_queues, setup),
		cmocka_unit_test_setup(test_queue_reset, setup),
		cmocka_unit_test_setup(test_queue_reset_not_accepted, setup),
		cmocka_unit_test_setup(test_reset_waits_for_mgmt, setup),
		cmocka_unit_test_setup(test_reset_before_driver_ok, setup),
		cmocka_unit_test_setup(test_machine_reset, setup),
		cmocka_unit_test_setup(test_broken, setup),
		cmocka_unit_test_setup(test_config, setup),
		cmocka_unit_test_setup(test_config_writes, setup),
		cmocka_unit_test_setup(test_intx, setup),
		cmocka_unit_test_setup(test_msix_table, setup),
		cmocka_unit_test_setup(test_vectors, setup),
		cmocka_unit_test_setup(test_masked_vectors, setup),
		cmocka_unit_test_setup(test_config_interrupt, setup),
		cmocka_unit_test_setup(test_no_config_interrupt_before_driver_ok, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
