// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-balloon against any driver. What must hold: what is in the balloon is never more than the guest has, a chunk
 * that goes for the balloon is wholly lent, chunk 0 stays, and a report is answered only when its chunks are settled.
 */
// sources: mgmt/virtio/balloon.c mgmt/virtio/queue.c mgmt/virtio/memory.c mgmt/virtio/queue_split.c mgmt/virtio/queue_packed.c tests/unit/fake_driver.c tests/unit/fake_backend.c
#include <stddef.h>
#include <stdint.h>

#include "mgmt/virtio/balloon.h"
#include "tests/fuzz/device_target.h"
#include "tests/unit/fake_chunks.h"

#define CHUNK_PAGES 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Chunks in which tests' rings and buffers lie stay, as mgmt/chunks.c would see to it. */
static bool may_go(uint32_t chunk)
{
	return chunk > 3 && (chunk < 16 || chunk > 24);
}

/* A report of up to four chunks, whole or not. */
static void report(uint8_t choice)
{
	struct fake_driver *driver = &fake_backend.drivers[3 + (choice >> 3 & 1)];
	const struct fake_piece piece = { (choice >> 2) * FAKE_CHUNK_BYTES / 2,
		                          (1 + (choice & 3)) * FAKE_CHUNK_BYTES,
		                          (choice & 4) != 0 };
	uint16_t id;
	uint32_t used;

	for (uint32_t i = 0; i < FAKE_QUEUE_SIZE && fake_driver_used(driver, &id, &used); i++) {
	}
	if (fake_backend.device.is_running && driver->avail_idx == driver->used_idx) {
		fake_driver_add(driver, &piece, 1, false);
		fake_backend_work();
		for (uint32_t i = 0; i < FAKE_CHUNKS; i++) {
			CHECK(!fake_reports[i] || !fake_driver_used(driver, &id, &used));
		}
	}
}

static void between(uint8_t choice)
{
	struct balloon_info info;

	if (choice % 4 == 2) {
		report(choice);
	}
	balloon_info(&fake_backend.device, &info);
	CHECK(info.lent_bytes <= FAKE_BYTES);
	for (uint32_t i = 0; i < FAKE_CHUNKS; i++) {
		CHECK(!fake_gives[i] ||
		      (fake_record[i * 2] == 0xff && fake_record[i * 2 + 1] == 0xff));
		fake_gives[i] = fake_gives[i] && may_go(i);
		fake_reports[i] = fake_reports[i] && may_go(i);
	}
	CHECK(fake_chunks.handles[0] != 0 && !fake_reports[0]);
	/* The chunk in which buffers lie has gone; it comes when it is missed. */
	if (choice % 16 == 7) {
		fake_chunks.handles[1] = 0;
	}
	if (choice % 16 == 9) {
		fake_chunks_bring_missed();
		fake_backend_work();
	}
	if (choice % 2 == 0) {
		fake_chunks_work();
	}
	if (choice % 8 == 1) {
		balloon_ask_stats(&fake_backend.device);
	}
	if (choice % 8 == 3) {
		balloon_want(&fake_backend.device, choice * 4096ull);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1) {
		return 0;
	}
	fake_backend_reset();
	fake_chunks_reset();
	CHECK(balloon_add(0, 14, &(struct balloon_params){ FAKE_BYTES, 0, true }) != NULL);
	/* Half of the first chunk that may go is lent already. */
	fake_record[4 * 2] = 0xff;
	fake_backend_start(fake_backend.device.offered |
	                   ((data[0] & 1) != 0 ? VIRTIO_F_RING_PACKED : 0));
	device_steps(data + 1, size - 1, between);
	fake_backend.device.operations->destroy(&fake_backend.device);
	return 0;
}
