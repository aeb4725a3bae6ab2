/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the fuzz targets of one virtio device: each step puts a chain of the fuzzer's making into one of the
 * queues, with bytes of the fuzzer's in its readable pieces, and gives the device its turns.
 *
 * Input: a byte of features, then steps: queue, shape, a byte that says how long, that many bytes.
 */
#pragma once

#include <string.h>

#include "tests/fuzz/check.h"
#include "tests/unit/fake_backend.h"

#define STEP_GPA   0x10000ull
#define STEPS_MAX  48u
#define PIECES_MAX 3u

static inline void device_step(const uint8_t *step, const uint8_t *bytes, uint32_t length)
{
	struct fake_driver *driver =
		&fake_backend.drivers[step[0] % fake_backend.device.queues_count];
	uint32_t outs = step[1] & 3;
	uint32_t ins = step[1] >> 2 & 3;
	struct fake_piece pieces[2 * PIECES_MAX];
	uint32_t count = 0;
	uint16_t id;
	uint32_t used;

	memcpy(fake_backend.memory.base + STEP_GPA, bytes, length);
	for (; outs > 0 && length > 0; outs--) {
		uint32_t part = outs == 1 ? length : (length + 1) / 2;

		pieces[count] = (struct fake_piece){ STEP_GPA + (count != 0 ? 0x80u : 0), part,
			                             false };
		length -= part;
		count++;
	}
	for (; ins > 0; ins--) {
		pieces[count] = (struct fake_piece){ STEP_GPA + 0x1000 * ins,
			                             1u + (step[1] >> 4) * 64u, true };
		count++;
	}
	/* A packed ring that it has overrun never runs dry. */
	for (uint32_t i = 0; i < FAKE_QUEUE_SIZE && fake_driver_used(driver, &id, &used); i++) {
	}
	if (count != 0 && (uint16_t)(driver->avail_idx - driver->used_idx) < FAKE_QUEUE_SIZE / 4) {
		fake_driver_add(driver, pieces, count, false);
	}
	fake_backend_work();
}

/* Runs the steps; `between` is called after each. */
static inline void device_steps(const uint8_t *data, size_t size, void (*between)(uint8_t choice))
{
	uint32_t steps;

	for (steps = 0; steps < STEPS_MAX && size >= 3; steps++) {
		uint32_t length = data[2] < size - 3 ? data[2] : (uint32_t)(size - 3);

		device_step(data, data + 3, length);
		between(data[2]);
		data += 3 + length;
		size -= 3 + length;
		if (!fake_backend.device.is_running) {
			CHECK(fake_backend.broken != NULL);
			fake_backend_stop();
			fake_backend_start(fake_backend.device.features);
		}
	}
}
