/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a virtio-pci function on the tests' board: its registers (virtio 1.2 4.1.4.3) and the way to a running device.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/virtio_board.h"

#define BLOCK_FEATURES \
	((1ull << 9) | (1ull << 11) | (1ull << 28) | (1ull << 29) | VIRTIO_F_RING_PACKED)
#define NOTIFY_PORT    0xc000u

#define FEATURE_SELECT 0x00
#define FEATURE        0x04
#define DRIVER_SELECT  0x08
#define DRIVER_FEATURE 0x0c
#define CONFIG_VECTOR  0x10
#define NUM_QUEUES     0x12
#define STATUS         0x14
#define GENERATION     0x15
#define QUEUE_SELECT   0x16
#define QUEUE_SIZE     0x18
#define QUEUE_VECTOR   0x1a
#define QUEUE_ENABLE   0x1c
#define QUEUE_NOTIFY   0x1e
#define QUEUE_DESC     0x20
#define QUEUE_DRIVER   0x28
#define QUEUE_DEVICE   0x30
#define QUEUE_RESET    0x3a

static struct vio_device *const page = &board.pages[0];

static inline uint64_t get(uint32_t offset, uint32_t width)
{
	return bus_mmio_read(&board.bus, BOARD_MEMORY + offset, width);
}

static inline void set(uint32_t offset, uint32_t width, uint64_t value)
{
	bus_mmio_write(&board.bus, BOARD_MEMORY + offset, width, value);
}

static inline uint64_t config_get(uint32_t slot, uint32_t offset, uint32_t width)
{
	return bus_mmio_read(&board.bus, BOARD_ECAM + (slot << 15) + offset, width);
}

static inline void config_set(uint32_t slot, uint32_t offset, uint32_t width, uint64_t value)
{
	bus_mmio_write(&board.bus, BOARD_ECAM + (slot << 15) + offset, width, value);
}

static inline void start_with(uint32_t type, uint64_t features, uint32_t queues)
{
	assert_int_equal(board_init(), BH_OK);
	board_offer(0, type, features, queues);
	virtio_devices_poll(&board.set);
	config_set(1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	board.set.is_live = true;
	board_acknowledge(0);
}

static inline int setup(void **state)
{
	(void)state;
	start_with(VIRTIO_TYPE_BLOCK, BLOCK_FEATURES | VIRTIO_F_RING_RESET, 4);
	return 0;
}

static inline uint64_t features_get(void)
{
	uint64_t low, high;

	set(FEATURE_SELECT, 4, 0);
	low = get(FEATURE, 4);
	set(FEATURE_SELECT, 4, 1);
	high = get(FEATURE, 4);
	return low | high << 32;
}

static inline void features_set(uint64_t features)
{
	set(DRIVER_SELECT, 4, 0);
	set(DRIVER_FEATURE, 4, (uint32_t)features);
	set(DRIVER_SELECT, 4, 1);
	set(DRIVER_FEATURE, 4, features >> 32);
}

/* Up to FEATURES_OK; what the status says then. */
static inline uint64_t negotiate(uint64_t features)
{
	set(STATUS, 1, 0);
	set(STATUS, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	features_set(features);
	set(STATUS, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	return get(STATUS, 1);
}

static inline void queue_set(uint32_t queue, uint32_t size, uint64_t gpa)
{
	set(QUEUE_SELECT, 2, queue);
	set(QUEUE_SIZE, 2, size);
	set(QUEUE_DESC, 8, gpa);
	set(QUEUE_DRIVER, 8, gpa + 0x1000);
	set(QUEUE_DEVICE, 8, gpa + 0x2000);
	set(QUEUE_ENABLE, 2, 1);
}

static inline void run(uint64_t features)
{
	assert_int_equal(negotiate(features), 0x0b);
	queue_set(0, 64, 0x1000);
	set(STATUS, 1, 0x0f);
	board_acknowledge(0);
}
