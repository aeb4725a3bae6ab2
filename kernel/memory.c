/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owners of all frames, 16 bits each, and how many frames of each 2 MiB block are free, so that a search skips what is full.
 * Small runs fill the bottom, which keeps large aligned ones above. Must never clear or read what pages hold, and never pay: quota.c does.
 */
#include "kernel/memory.h"

#include "kernel/lock.h"
#include "kernel/string.h"

struct memory_bytes memory_bytes;

static struct spinlock memory_lock;
static uint16_t *owners;
static uint16_t *blocks; /* free frames in each */
static uint64_t frames_count;
static uint64_t first_free; /* no frame below is free */

void memory_init(uint16_t *records, uint64_t limit)
{
	owners = records;
	frames_count = limit >> PAGE_SHIFT;
	blocks = records + frames_count;
	first_free = frames_count;
	memset(owners, 0xff, frames_count * sizeof(*owners));
	memset(blocks, 0, (frames_count / MEMORY_BLOCK_PAGES + 1) * sizeof(*blocks));
	memory_bytes = (struct memory_bytes){ 0 };
}

static void bytes_count(uint32_t owner, uint64_t bytes)
{
	memory_bytes.total += owner != MEMORY_OUTSIDE ? bytes : 0;
	memory_bytes.free += owner == MEMORY_FREE ? bytes : 0;
	memory_bytes.kernel += owner == MEMORY_OWNER_KERNEL ? bytes : 0;
}

static void run_change(uint64_t frame, uint64_t count, uint32_t from, uint32_t to)
{
	bytes_count(from, 0 - (count << PAGE_SHIFT));
	bytes_count(to, count << PAGE_SHIFT);
	for (uint64_t i = frame; i < frame + count; i++) {
		CHECK(owners[i] == from); /* else freed twice, or not the caller's */
		owners[i] = (uint16_t)to;
		blocks[i / MEMORY_BLOCK_PAGES] = (uint16_t)(blocks[i / MEMORY_BLOCK_PAGES] +
		                                            (to == MEMORY_FREE) -
		                                            (from == MEMORY_FREE));
	}
}

void memory_change(hpa_t pa, uint64_t size, uint32_t from, uint32_t to)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;
	uint64_t count = size >> PAGE_SHIFT;

	CHECK(IS_ALIGNED(pa.raw | size, PAGE_SIZE) && frame <= frames_count &&
	      count <= frames_count - frame);
	spinlock_take(&memory_lock);
	run_change(frame, count, from, to);
	if (to == MEMORY_FREE && frame < first_free) {
		first_free = frame;
	}
	spinlock_drop(&memory_lock);
}

/* `count` free frames from a multiple of `align` on. */
static bool run_find(uint64_t count, uint64_t align, uint64_t *found)
{
	uint64_t start = ALIGN_UP(first_free, align), length = 0;

	while (length < count && start < frames_count && count <= frames_count - start) {
		uint64_t frame = start + length;
		uint32_t block_free = blocks[frame / MEMORY_BLOCK_PAGES];

		if (block_free == MEMORY_BLOCK_PAGES && frame % MEMORY_BLOCK_PAGES == 0) {
			length += MEMORY_BLOCK_PAGES;
		} else if (owners[frame] == MEMORY_FREE) {
			length++;
		} else {
			length = 0;
			start = block_free != 0 ? frame + 1
			                        : ALIGN_UP(frame + 1, MEMORY_BLOCK_PAGES);
			start = ALIGN_UP(start, align);
		}
	}
	*found = start;
	return length >= count;
}

int memory_allocate(uint64_t size, uint64_t alignment, uint32_t owner, hpa_t *pa)
{
	uint64_t align = alignment >> PAGE_SHIFT;
	uint64_t count = size >> PAGE_SHIFT;
	uint64_t frame;

	if (size == 0 || !IS_ALIGNED(size, PAGE_SIZE) || alignment < PAGE_SIZE ||
	    !IS_ALIGNED(alignment, alignment)) {
		return BH_ERR_INVALID;
	}
	spinlock_take(&memory_lock);
	bool is_found = run_find(count, align, &frame);

	if (is_found) {
		run_change(frame, count, MEMORY_FREE, owner);
		first_free = count == 1 && align == 1 ? frame + 1 : first_free;
	}
	spinlock_drop(&memory_lock);
	*pa = HPA(is_found ? frame << PAGE_SHIFT : 0);
	return is_found ? BH_OK : BH_ERR_MEMORY;
}

uint32_t memory_owner(hpa_t pa)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;

	return frame < frames_count ? owners[frame] : MEMORY_OUTSIDE;
}

bool memory_is_outside(hpa_t pa, uint64_t size)
{
	uint64_t end = pa.raw + size;

	for (uint64_t at = pa.raw; at < end && at >> PAGE_SHIFT < frames_count; at += PAGE_SIZE) {
		if (memory_owner(HPA(at)) != MEMORY_OUTSIDE) {
			return false;
		}
	}
	return true;
}
