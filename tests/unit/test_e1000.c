// SPDX-License-Identifier: Apache-2.0
/*
 * The e1000 driver over registers and rings of the test's own, which plays the device: frames in one and in
 * several descriptors, over the ring's end, too long, without an end, and broken ones.
 */
// sources: drivers/e1000.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/driver.h"
#include "drivers/nic.h"

#define REG_CTRL    0x0000u
#define REG_STATUS  0x0008u
#define REG_RCTL    0x0100u
#define REG_RDT     0x2818u
#define REG_TDT     0x3818u
#define REG_RAL0    0x5400u
#define REG_RAH0    0x5404u
#define RCTL_LONG   (1u << 5)
#define RING        128u
#define DONE        0x01u
#define END         0x02u
#define MEMORY_SIZE (2u * 4096u + 2u * RING * NIC_PIECE_BYTES)

struct descriptor {
	uint64_t address;
	uint16_t bytes;
	uint16_t checksum;
	uint8_t status; /* of a frame that goes out: checksum start, command */
	uint8_t errors;
	uint16_t special;
};

static uint32_t regs[0x6000 / 4];
static _Alignas(4096) uint8_t memory[MEMORY_SIZE];
static struct pci_function pci = { .vendor_id = 0x8086, .device_id = 0x100e };
static struct device device;
static struct nic *nic;
static uint64_t now;
static uint32_t used;
static uint32_t device_rx; /* the next descriptor that the device fills */
static uint8_t frame[20000];
static uint8_t got[20000];
static uint32_t got_bytes, got_count;

uint64_t driver_now_tsc(void)
{
	return now;
}

uint64_t driver_ms_to_tsc(uint64_t ms)
{
	return ms;
}

void *driver_allocate(uint64_t bytes)
{
	return calloc(1, bytes);
}

void *driver_dma(struct device *of, uint64_t bytes, uint64_t *physical)
{
	uint8_t *at = memory + used;

	(void)of;
	used += (uint32_t)((bytes + 4095) & ~4095ull);
	assert_true(used <= MEMORY_SIZE);
	*physical = (uint64_t)(at - memory) + 0x100000;
	return at;
}

volatile void *driver_map_bar(struct device *of, uint32_t bar_idx, uint64_t bytes)
{
	(void)of;
	assert_int_equal(bar_idx, 0);
	assert_true(bytes <= sizeof(regs));
	return regs;
}

void driver_fail(struct device *of, const char *format, ...)
{
	(void)format;
	of->state = DEVICE_FAILED;
}

void driver_say(const struct device *of, const char *format, ...)
{
	(void)of;
	(void)format;
}

static void receive(void *user, const struct nic_piece *pieces, uint32_t count)
{
	uint32_t i;

	(void)user;
	got_count++;
	got_bytes = 0;
	assert_true(count >= 1 && count <= NIC_PIECES_MAX);
	for (i = 0; i < count; i++) {
		memcpy(got + got_bytes, pieces[i].address, pieces[i].bytes);
		got_bytes += pieces[i].bytes;
	}
}

void driver_nic_ready(struct nic *ready)
{
	nic = ready;
	nic->receive = receive;
}

void driver_nic_link(struct nic *of)
{
	(void)of;
}

static struct descriptor *rx(uint32_t idx)
{
	return (struct descriptor *)memory + idx % RING;
}

static struct descriptor *tx(uint32_t idx)
{
	return (struct descriptor *)(memory + 4096) + idx % RING;
}

static uint8_t *at_physical(uint64_t address)
{
	assert_in_range(address, 0x100000, 0x100000 + MEMORY_SIZE - NIC_PIECE_BYTES);
	return memory + (address - 0x100000);
}

static int setup(void **state)
{
	uint32_t i;

	(void)state;
	memset(regs, 0, sizeof(regs));
	memset(memory, 0, sizeof(memory));
	used = device_rx = got_count = got_bytes = 0;
	nic = NULL;
	device = (struct device){ .driver = &driver_e1000, .pci = &pci };
	assert_true(driver_e1000.matches(&pci));
	regs[REG_STATUS / 4] = 2u | 2u << 6;
	regs[REG_RAL0 / 4] = 0x12005452u;
	regs[REG_RAH0 / 4] = 0x80005634u;
	for (i = 0; i < sizeof(frame); i++) {
		frame[i] = (uint8_t)(i * 7 + i / 251);
	}
	driver_e1000.start(&device);
	now += 1000;
	regs[REG_CTRL / 4] &= ~(1u << 26); /* the reset is over */
	driver_e1000.service(&device);
	assert_int_equal(device.state, DEVICE_RUNNING);
	assert_non_null(nic);
	assert_true(nic->is_link_up);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(device.own);
	return 0;
}

/* The device writes a frame. No descriptor is taken that the driver has not given. */
static void arrive(uint32_t bytes, bool has_end)
{
	uint32_t done = 0;

	while (done < bytes) {
		struct descriptor *descriptor = rx(device_rx);
		uint32_t piece = bytes - done < NIC_PIECE_BYTES ? bytes - done : NIC_PIECE_BYTES;

		assert_int_not_equal(device_rx % RING, regs[REG_RDT / 4]);
		assert_int_equal(descriptor->status, 0);
		memcpy(at_physical(descriptor->address), frame + done, piece);
		descriptor->bytes = (uint16_t)piece;
		done += piece;
		descriptor->status = (uint8_t)(DONE | (done == bytes && has_end ? END : 0));
		device_rx++;
	}
	driver_e1000.service(&device);
}

static void assert_got(uint32_t count, uint32_t bytes)
{
	assert_int_equal(got_count, count);
	assert_int_equal(got_bytes, bytes);
	assert_memory_equal(got, frame, bytes);
}

static void test_plain(void **state)
{
	uint32_t i;

	(void)state;
	assert_int_equal(regs[REG_RCTL / 4] & RCTL_LONG, 0);
	for (i = 1; i <= 3 * RING; i++) {
		arrive(60 + i, true);
		assert_got(i, 60 + i);
	}
	assert_int_equal(nic->received_count, 3 * RING);
}

static void test_jumbo(void **state)
{
	uint32_t i;

	(void)state;
	nic->set_frame_max(nic, NIC_FRAME_JUMBO);
	assert_int_not_equal(regs[REG_RCTL / 4] & RCTL_LONG, 0);
	for (i = 1; i <= RING; i++) { /* 5 descriptors each: over the ring's end at every place */
		arrive(NIC_FRAME_JUMBO, true);
		assert_got(i, NIC_FRAME_JUMBO);
	}
	arrive(NIC_PIECE_BYTES, true);
	assert_got(RING + 1, NIC_PIECE_BYTES);
	nic->set_frame_max(nic, NIC_FRAME_MAX);
	assert_int_equal(regs[REG_RCTL / 4] & RCTL_LONG, 0);
}

/* A frame of which only a part has come waits for the rest. */
static void test_in_parts(void **state)
{
	(void)state;
	nic->set_frame_max(nic, NIC_FRAME_JUMBO);
	arrive(2 * NIC_PIECE_BYTES, false);
	assert_int_equal(got_count, 0);
	memmove(frame, frame + 2 * NIC_PIECE_BYTES, 8000);
	arrive(100, true);
	assert_int_equal(got_count, 1);
	assert_int_equal(got_bytes, 2 * NIC_PIECE_BYTES + 100);
	assert_memory_equal(got + 2 * NIC_PIECE_BYTES, frame, 100);
}

static void test_too_long(void **state)
{
	(void)state;
	arrive(NIC_FRAME_MAX + 1, true);
	assert_int_equal(nic->too_long_count, 1);
	nic->set_frame_max(nic, NIC_FRAME_JUMBO);
	arrive(NIC_FRAME_JUMBO + 1, true);
	arrive(7 * NIC_PIECE_BYTES, true);
	assert_int_equal(nic->too_long_count, 3);
	/* Longer than any frame: dropped as one, and the next is whole. */
	arrive(9 * NIC_PIECE_BYTES, false);
	arrive(9 * NIC_PIECE_BYTES, true);
	assert_int_equal(nic->too_long_count, 4);
	assert_int_equal(got_count, 0);
	arrive(3000, true);
	assert_got(1, 3000);
	assert_int_equal(nic->errors_count, 0);
}

/* Lengths and flags that no device writes. */
static void test_nonsense(void **state)
{
	uint32_t i;

	(void)state;
	nic->set_frame_max(nic, NIC_FRAME_JUMBO);
	for (i = 0; i < 6; i++) { /* six pieces of a byte each */
		rx(i)->bytes = 1;
		rx(i)->status = (uint8_t)(DONE | (i == 5 ? END : 0));
	}
	rx(6)->bytes = 0;
	rx(6)->status = DONE | END;
	rx(7)->bytes = NIC_PIECE_BYTES + 1;
	rx(7)->status = DONE | END;
	rx(8)->bytes = 100;
	rx(8)->errors = 1;
	rx(8)->status = DONE | END;
	driver_e1000.service(&device);
	assert_int_equal(got_count, 0);
	assert_int_equal(nic->too_long_count, 1);
	assert_int_equal(nic->errors_count, 3);
	rx(8)->errors = 0;
	device_rx = 9;
	arrive(64, true);
	assert_got(1, 64);
}

static bool send(uint32_t bytes)
{
	struct nic_piece pieces[NIC_PIECES_MAX];
	uint32_t count = nic->reserve(nic, bytes, pieces);
	uint32_t done = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		memcpy(pieces[i].address, frame + done, pieces[i].bytes);
		done += pieces[i].bytes;
	}
	if (count != 0) {
		assert_int_equal(done, bytes);
		nic->commit(nic, bytes);
	}
	return count != 0;
}

/* The device sends what lies from descriptor `first` on; returns the next. */
static uint32_t leave(uint32_t first, uint32_t bytes)
{
	uint32_t done = 0;
	uint8_t command;

	do {
		struct descriptor *descriptor = tx(first++);

		command = (uint8_t)(descriptor->checksum >> 8);
		assert_memory_equal(at_physical(descriptor->address), frame + done,
		                    descriptor->bytes);
		done += descriptor->bytes;
		descriptor->status = DONE;
	} while ((command & 1u) == 0);
	assert_int_equal(done, bytes);
	return first;
}

static void test_send(void **state)
{
	uint32_t next = 0;
	uint32_t i;

	(void)state;
	nic->set_frame_max(nic, NIC_FRAME_JUMBO);
	for (i = 0; i < RING; i++) {
		assert_true(send(NIC_FRAME_JUMBO));
		assert_true(send(60));
		nic->flush(nic);
		next = leave(leave(next, NIC_FRAME_JUMBO), 60);
		assert_int_equal(regs[REG_TDT / 4], next % RING);
	}
	/* 127 descriptors: 25 frames of 5, then there is room for a short one only. */
	for (i = 0; i < 25; i++) {
		assert_true(send(NIC_FRAME_JUMBO));
	}
	assert_false(send(NIC_FRAME_JUMBO));
	assert_true(send(NIC_PIECE_BYTES));
	assert_true(send(60));
	assert_false(send(60));
	nic->flush(nic);
	leave(next, NIC_FRAME_JUMBO);
	assert_true(send(NIC_FRAME_JUMBO));
	assert_false(send(60));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_jumbo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
