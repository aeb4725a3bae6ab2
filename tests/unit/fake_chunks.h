/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks of the fake guest memory, and the wishes that a balloon has for them. To be included once by a test. */
#pragma once

#include <string.h>

#include "mgmt/chunks.h"
#include "mgmt/machine.h"
#include "tests/unit/fake_backend.h"

#define FAKE_CHUNK_BYTES 0x10000ull
#define FAKE_BYTES       (FAKE_LOW_BYTES + FAKE_HIGH_BYTES)
#define FAKE_CHUNKS      ((uint32_t)(FAKE_BYTES / FAKE_CHUNK_BYTES))

static struct bh_chunks fake_chunks;
static uint8_t fake_record[BH_CHUNKS_RECORD_BYTES(FAKE_BYTES)];
static bool fake_gives[BH_CHUNKS_MAX];
static bool fake_takes[BH_CHUNKS_MAX];

static void fake_chunks_reset(void)
{
	memset(&fake_chunks, 0, sizeof(fake_chunks));
	memset(fake_record, 0, sizeof(fake_record));
	memset(fake_gives, 0, sizeof(fake_gives));
	memset(fake_takes, 0, sizeof(fake_takes));
	fake_chunks.chunk_bytes = FAKE_CHUNK_BYTES;
	fake_chunks.count = FAKE_CHUNKS;
	for (uint32_t i = 0; i < FAKE_CHUNKS; i++) {
		fake_chunks.handles[i] = 7;
	}
	fake_backend.memory.chunks = &fake_chunks;
	fake_backend.memory.chunk_shift = 16;
}

/* What root would do. */
static void fake_chunks_work(void)
{
	for (uint32_t i = 0; i < FAKE_CHUNKS; i++) {
		fake_chunks.handles[i] = fake_takes[i]   ? 7
		                         : fake_gives[i] ? 0
		                                         : fake_chunks.handles[i];
		fake_gives[i] = fake_takes[i] = false;
	}
}

struct guest_memory *virtio_slot_memory(uint32_t slot)
{
	(void)slot;
	return &fake_backend.memory;
}

struct virtio_device *virtio_device_at(uint32_t slot, uint32_t idx)
{
	(void)slot;
	(void)idx;
	return &fake_backend.device;
}

struct vio_device *machine_device_page(uint32_t slot, uint32_t device_idx)
{
	(void)slot;
	(void)device_idx;
	return fake_backend_page();
}

uint8_t *machine_guest_record(uint32_t slot)
{
	(void)slot;
	return fake_record;
}

void chunks_give(uint32_t slot, uint32_t idx)
{
	(void)slot;
	if (idx != 0) {
		fake_gives[idx] = true;
		fake_takes[idx] = false;
	}
}

void chunks_take(uint32_t slot, uint32_t idx)
{
	(void)slot;
	fake_gives[idx] = false;
	fake_takes[idx] = true;
}
