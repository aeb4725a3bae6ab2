// SPDX-License-Identifier: Apache-2.0
/*
 * Offers of virtio devices, plugged and taken away, with a page on which the test plays mgmt.
 */
// sources: vmm/virtio/device.c vmm/virtio/common.c vmm/virtio/features.c vmm/virtio/interrupt.c vmm/virtio/function.c vmm/virtio/devices.c vmm/devices/pci.c vmm/devices/pci_hotplug.c vmm/devices/acpi_pm.c vmm/bus.c vmm/guest_memory.c
#include "tests/unit/virtio_driver.h"

static void test_bad_offers(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 7; i++) {
		assert_int_equal(board_init(), BH_OK);
		board_offer(0, i == 0 ? 0x40 : 2, 0, i == 1 ? 0 : i == 2 ? VIO_QUEUES_MAX + 1 : 1);
		page->queue_size_max = i == 3 ? 0 : i == 4 ? 2048 : i == 5 ? 48 : 256;
		page->config_bytes = i == 6 ? VIO_CONFIG_BYTES + 1 : 8;
		virtio_devices_poll(&board.set);
		assert_int_equal(config_get(1, 0, 4), 0xffffffff);
		assert_int_equal(page->offer_seen, 1);
	}
}

/* An offer whose configuration is still being written waits. */
static void test_half_an_offer(void **state)
{
	(void)state;
	board_offer(1, VIRTIO_TYPE_RNG, 0, 1);
	board.pages[1].config_generation = 1;
	virtio_devices_poll(&board.set);
	assert_int_equal(config_get(2, 0, 4), 0xffffffff);
	assert_int_equal(board.pages[1].offer_seen, 0);
	board.pages[1].config_generation = 2;
	virtio_devices_poll(&board.set);
	assert_int_equal(config_get(2, 0, 4), 0x10441af4);
}

static void test_have_offers(void **state)
{
	struct virtio_devices none = { .devices = NULL };

	(void)state;
	assert_true(virtio_devices_have_offers(&board.set, 1));
	assert_false(virtio_devices_have_offers(&board.set, 5));
	board_offer(2, VIRTIO_TYPE_RNG, 0, 1);
	assert_true(virtio_devices_have_offers(&board.set, 5));
	assert_true(virtio_devices_have_offers(&none, 0xffff));
	virtio_devices_poll(&none);
	virtio_devices_reset(&none);
	assert_true(virtio_devices_are_quiet(&none));
}

static uint64_t hotplug_get(uint32_t offset)
{
	return bus_port_read(&board.bus, PCI_HOTPLUG_PORT + offset, 4);
}

static void test_hotplug(void **state)
{
	(void)state;
	bus_port_write(&board.bus, ACPI_PM_PORT_GPE + 1, 1, 1u << PCI_HOTPLUG_GPE);
	board_offer(3, VIRTIO_TYPE_NET, 0, 3);
	virtio_devices_poll(&board.set);
	assert_int_equal(config_get(4, 0, 4), 0x10411af4);
	assert_true(board.acpi_pm.sci.level);
	bus_port_write(&board.bus, ACPI_PM_PORT_GPE, 1, 1u << PCI_HOTPLUG_GPE);
	assert_false(board.acpi_pm.sci.level);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_INSERTED), 1u << 4);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_INSERTED), 0);
	/* An eject that was not asked for takes nothing away. */
	bus_port_write(&board.bus, PCI_HOTPLUG_PORT + PCI_HOTPLUG_EJECT, 4, 1u << 4);
	assert_int_equal(config_get(4, 0, 4), 0x10411af4);
	board_offer(3, 0, 0, 0);
	virtio_devices_poll(&board.set);
	virtio_devices_poll(&board.set);
	assert_int_equal(board.pages[3].offer_seen, 1);
	assert_int_equal(config_get(4, 0, 4), 0x10411af4);
	assert_true(board.acpi_pm.sci.level);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_REMOVE), 1u << 4);
	bus_port_write(&board.bus, PCI_HOTPLUG_PORT + PCI_HOTPLUG_EJECT, 4, 1u << 4);
	assert_int_equal(config_get(4, 0, 4), 0xffffffff);
	assert_int_equal(board.pages[3].offer_seen, 2);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_REMOVE), 0);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_EJECT), 0);
	/* And in again, as something else. */
	board_offer(3, VIRTIO_TYPE_BLOCK, 0, 1);
	virtio_devices_poll(&board.set);
	assert_int_equal(config_get(4, 0, 4), 0x10421af4);
	assert_int_equal(board.pages[3].offer_seen, 3);
}

/* A running driver that is ejected is reset, and its BARs are free for others. */
static void test_eject_while_running(void **state)
{
	uint32_t generation;

	(void)state;
	run(VIRTIO_F_VERSION_1);
	generation = page->driver_generation;
	board_offer(0, VIRTIO_TYPE_NET, 0, 3); /* another device at once */
	virtio_devices_poll(&board.set);
	assert_int_equal(config_get(1, 0, 4), 0x10421af4);
	bus_port_write(&board.bus, PCI_HOTPLUG_PORT + PCI_HOTPLUG_EJECT, 4, 1u << 1);
	assert_int_equal(config_get(1, 0, 4), 0x10411af4);
	assert_int_equal(page->driver_state, VIO_DRIVER_RESET);
	assert_true(page->driver_generation > generation);
	assert_int_equal(page->offer_seen, 2);
	assert_int_equal(board.doorbells[0], 0);
	assert_int_equal(bus_port_read(&board.bus, NOTIFY_PORT, 2), 0xffff);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_INSERTED), 2);
}

/* A reset of the machine finishes what hot-plug has not. */
static void test_removal_at_reset(void **state)
{
	(void)state;
	board_offer(0, 0, 0, 0);
	virtio_devices_poll(&board.set);
	assert_int_equal(config_get(1, 0, 4), 0x10421af4);
	pci_reset(&board.pci);
	pci_hotplug_reset(&board.hotplug);
	virtio_devices_reset(&board.set);
	assert_int_equal(config_get(1, 0, 4), 0xffffffff);
	assert_int_equal(page->offer_seen, 2);
	assert_int_equal(hotplug_get(PCI_HOTPLUG_REMOVE), 0);
}

static void test_all_pages(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < VIO_DEVICES_MAX; i++) {
		board_offer(i, VIRTIO_TYPE_RNG, 0, VIO_QUEUES_MAX);
	}
	virtio_devices_poll(&board.set);
	for (uint32_t i = 1; i < VIO_DEVICES_MAX; i++) {
		assert_int_equal(config_get(i + 1, 0, 4), 0x10441af4);
		config_set(i + 1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
		assert_int_equal(board.doorbells[i], NOTIFY_PORT + i * 4);
		assert_int_equal(
			bus_mmio_read(&board.bus, BOARD_MEMORY + i * 0x2000 + NUM_QUEUES, 2),
			VIO_QUEUES_MAX);
	}
	assert_int_equal(board.pages[15].msi[VIO_QUEUES_MAX].is_masked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bad_offers, setup),
		cmocka_unit_test_setup(test_half_an_offer, setup),
		cmocka_unit_test_setup(test_have_offers, setup),
		cmocka_unit_test_setup(test_hotplug, setup),
		cmocka_unit_test_setup(test_eject_while_running, setup),
		cmocka_unit_test_setup(test_removal_at_reset, setup),
		cmocka_unit_test_setup(test_all_pages, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
