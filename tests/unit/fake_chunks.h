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
static bool fake_reports[BH_CHUNKS_MAX];
static struct guest_chunk_news fake_news;
static bool fake_have_news;

static void fake_chunks_reset(void)
{
	memset(&fake_chunks, 0, sizeof(fake_chunks));
	memset(fake_record, 0, sizeof(fake_record));
	memset(fake_gives, 0, sizeof(fake_gives));
	memset(fake_takes, 0, sizeof(fake_takes));
	memset(fake_reports, 0, sizeof(fake_reports));
	memset(&fake_news, 0, sizeof(fake_news));
	fake_news.have_news = &fake_have_news;
	fake_backend.memory.news = &fake_news;
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
		fake_chunks.handles[i] = fake_takes[i] ? 7
		                         : fake_gives[i] || fake_reports[i]
		                                 ? 0
		                                 : fake_chunks.handles[i];
		fake_gives[i] = fake_takes[i] = fake_reports[i] = false;
	}
}

/* What mgmt/chunks.c would do for devices that miss chunks. */
static inline void fake_chunks_bring_missed(void)
{
	for (uint32_t i = 0; i < FAKE_CHUNKS; i++) {
		if ((fake_news.missed[i / 64] >> (i % 64) & 1) != 0) {
			fake_takes[i] = true;
		}
	}
	memset(fake_news.missed, 0, sizeof(fake_news.missed));
	fake_news.is_missed = fake_have_news = false;
	fake_chunks_work();
}

uint64_t machine_tsc_hz(void)
{
	return 1000000;
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

void chunks_report(uint32_t slot, uint32_t idx)
{
	(void)slot;
	fake_reports[idx] = idx != 0;
}

bool chunks_is_settled(uint32_t slot, uint32_t idx)
{
	(void)slot;
	return !fake_reports[idx];
}

void chunks_set_lent(uint32_t slot, uint32_t idx, bool is_lent)
{
	(void)slot;
	fake_news.lent[idx / 64] &= ~(1ull << (idx % 64));
	fake_news.lent[idx / 64] |= (uint64_t)is_lent << (idx % 64);
}

void chunks_take(uint32_t slot, uint32_t idx)
{
	(void)slot;
	fake_gives[idx] = false;
	fake_reports[idx] = false;
	fake_takes[idx] = true;
}
