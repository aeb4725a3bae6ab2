/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buddy system. One 16-bit record a frame: the first page of a free block carries MEMORY_RECORD_FREE | order, every other page of
 * it MEMORY_RECORD_INSIDE, every page in use its owner. Free blocks are linked through themselves (direct map).
 * Must never clear or read what pages hold, and never pay: quota.c does.
 */
#include "kernel/memory.h"

#include "arch/x86/arch.h"
#include "kernel/list.h"
#include "kernel/lock.h"

#define RUN_TRIES_MAX 4096u /* blocks looked at before a long run is given up */

static struct spinlock memory_lock;
static uint16_t *records;
static uint64_t frames_count;
static struct list free_lists[MEMORY_ORDER_MAX + 1];
static uint64_t total_pages, free_pages, kernel_pages;

static struct list *block_of(uint64_t frame)
{
	return phys_to_virt(HPA(frame << PAGE_SHIFT));
}

static uint64_t frame_of(const struct list *block)
{
	return virt_to_phys(block).raw >> PAGE_SHIFT;
}

static bool frame_is_free_block(uint64_t frame)
{
	return frame < frames_count && (records[frame] & MEMORY_RECORD_FREE) != 0 &&
	       records[frame] < MEMORY_RECORD_OUTSIDE;
}

static uint32_t frame_order(uint64_t frame)
{
	return records[frame] & ~MEMORY_RECORD_FREE;
}

/* Four records a store: at start this runs over all of RAM. */
static void records_set(uint64_t frame, uint64_t count, uint32_t value)
{
	uint64_t i = 0;

	for (; i < count && !IS_ALIGNED(frame + i, 4u); i++) {
		records[frame + i] = (uint16_t)value;
	}
	for (; i + 4 <= count; i += 4) {
		*(uint64_t *)(void *)&records[frame + i] = value * 0x0001000100010001ull;
	}
	for (; i < count; i++) {
		records[frame + i] = (uint16_t)value;
	}
}

static void block_take(uint64_t frame)
{
	list_remove(block_of(frame));
	records[frame] = MEMORY_RECORD_INSIDE;
}

/* Put one block back and join it with its free buddies. All its records are INSIDE. */
static void block_put(uint64_t frame, uint32_t order)
{
	while (order < MEMORY_ORDER_MAX) {
		uint64_t buddy = frame ^ (1ull << order);

		if (!frame_is_free_block(buddy) || frame_order(buddy) != order) {
			break;
		}
		block_take(buddy);
		frame &= ~(1ull << order);
		order++;
	}
	records[frame] = (uint16_t)(MEMORY_RECORD_FREE | order);
	list_insert_before(free_lists[order].next, block_of(frame));
}

/* Put any run back, in the largest aligned blocks. */
static void run_put(uint64_t frame, uint64_t count)
{
	while (count > 0) {
		uint32_t order = frame == 0 ? MEMORY_ORDER_MAX : (uint32_t)__builtin_ctzll(frame);
		uint32_t fits = 63u - (uint32_t)__builtin_clzll(count);

		order = order < fits ? order : fits;
		order = order < MEMORY_ORDER_MAX ? order : MEMORY_ORDER_MAX;
		block_put(frame, order);
		frame += 1ull << order;
		count -= 1ull << order;
	}
}

void memory_init(uint16_t *frame_records, uint64_t limit)
{
	records = frame_records;
	frames_count = limit >> PAGE_SHIFT;
	records_set(0, frames_count, MEMORY_RECORD_OUTSIDE);
	total_pages = free_pages = kernel_pages = 0;
	for (uint32_t order = 0; order <= MEMORY_ORDER_MAX; order++) {
		list_init(&free_lists[order]);
	}
}

void memory_add_used(hpa_t pa, uint64_t size, uint32_t owner)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;

	for (uint64_t i = 0; i < size >> PAGE_SHIFT && frame + i < frames_count; i++) {
		if (records[frame + i] == MEMORY_RECORD_OUTSIDE) {
			records[frame + i] = (uint16_t)owner;
			total_pages++;
			kernel_pages += owner == MEMORY_OWNER_KERNEL ? 1 : 0;
		}
	}
}

void memory_add_free(hpa_t pa, uint64_t size)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;
	uint64_t count = size >> PAGE_SHIFT;

	CHECK(frame + count <= frames_count);
	records_set(frame, count, MEMORY_RECORD_INSIDE);
	run_put(frame, count);
	total_pages += count;
	free_pages += count;
}

/* How many pages from `frame` on are free, as far as `count` needs. Joined blocks grow and then shrink, so the walk is short. */
static uint64_t run_length(uint64_t frame, uint64_t count)
{
	uint64_t length = 0;

	while (length < count && frame_is_free_block(frame + length)) {
		length += 1ull << frame_order(frame + length);
	}
	return length;
}

/* A free run of `count` pages that begins with a free block aligned to 2^align. */
static bool run_find(uint64_t count, uint32_t align, uint64_t *found)
{
	uint32_t fit = count == 1 ? 0 : 64u - (uint32_t)__builtin_clzll(count - 1);
	uint32_t tries = 0;

	/* The smallest block that holds it whole ... */
	for (uint32_t order = fit > align ? fit : align; order <= MEMORY_ORDER_MAX; order++) {
		if (!list_is_empty(&free_lists[order])) {
			*found = frame_of(free_lists[order].next);
			return true;
		}
	}
	/* ... or neighbours that are free together. */
	for (uint32_t order = MEMORY_ORDER_MAX + 1; order-- > 0;) {
		list_for_each(node, &free_lists[order])
		{
			uint64_t frame = frame_of(node);

			if (IS_ALIGNED(frame, 1ull << align) && run_length(frame, count) >= count) {
				*found = frame;
				return true;
			}
			if (++tries == RUN_TRIES_MAX) {
				return false;
			}
		}
	}
	return false;
}

static void run_take(uint64_t frame, uint64_t count, uint32_t owner)
{
	uint64_t length = 0;

	while (length < count) {
		uint64_t block = frame + length;

		length += 1ull << frame_order(block);
		block_take(block);
	}
	if (length > count) {
		run_put(frame + count, length - count);
	}
	records_set(frame, count, owner);
	free_pages -= count;
	kernel_pages += owner == MEMORY_OWNER_KERNEL ? count : 0;
}

int memory_allocate(uint64_t size, uint64_t alignment, uint32_t owner, hpa_t *pa)
{
	uint64_t frame;

	if (size == 0 || !IS_ALIGNED(size, PAGE_SIZE) || alignment < PAGE_SIZE ||
	    !IS_ALIGNED(alignment, alignment)) {
		return BH_ERR_INVALID;
	}
	if (size > frames_count << PAGE_SHIFT || alignment > frames_count << PAGE_SHIFT) {
		return BH_ERR_MEMORY;
	}
	spinlock_take(&memory_lock);
	bool is_found = run_find(size >> PAGE_SHIFT,
	                         (uint32_t)__builtin_ctzll(alignment >> PAGE_SHIFT), &frame);

	if (is_found) {
		run_take(frame, size >> PAGE_SHIFT, owner);
	}
	spinlock_drop(&memory_lock);
	*pa = HPA(is_found ? frame << PAGE_SHIFT : 0);
	return is_found ? BH_OK : BH_ERR_MEMORY;
}

void memory_free(hpa_t pa, uint64_t size)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;
	uint64_t count = size >> PAGE_SHIFT;

	CHECK(IS_ALIGNED(pa.raw, PAGE_SIZE) && IS_ALIGNED(size, PAGE_SIZE) &&
	      frame + count <= frames_count && frame + count >= frame);
	spinlock_take(&memory_lock);
	for (uint64_t i = 0; i < count; i++) {
		/* freed twice, or not ours */
		CHECK((records[frame + i] & MEMORY_RECORD_FREE) == 0);
		kernel_pages -= records[frame + i] == MEMORY_OWNER_KERNEL ? 1 : 0;
		records[frame + i] = MEMORY_RECORD_INSIDE;
	}
	run_put(frame, count);
	free_pages += count;
	spinlock_drop(&memory_lock);
}

void memory_change_owner(hpa_t pa, uint64_t size, uint32_t owner)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;

	for (uint64_t i = 0; i < size >> PAGE_SHIFT; i++) {
		CHECK((records[frame + i] & MEMORY_RECORD_FREE) == 0);
		kernel_pages -= records[frame + i] == MEMORY_OWNER_KERNEL ? 1 : 0;
		records[frame + i] = (uint16_t)owner;
	}
}

bool memory_is_outside(hpa_t pa, uint64_t size)
{
	uint64_t end = (pa.raw + size + PAGE_SIZE - 1) >> PAGE_SHIFT;

	for (uint64_t frame = pa.raw >> PAGE_SHIFT; frame < end && frame < frames_count; frame++) {
		if (records[frame] != MEMORY_RECORD_OUTSIDE) {
			return false;
		}
	}
	return true;
}

uint32_t memory_record(hpa_t pa)
{
	uint64_t frame = pa.raw >> PAGE_SHIFT;

	return frame < frames_count ? records[frame] : MEMORY_RECORD_OUTSIDE;
}

uint64_t memory_total(void)
{
	return total_pages << PAGE_SHIFT;
}

uint64_t memory_free_bytes(void)
{
	return free_pages << PAGE_SHIFT;
}

uint64_t memory_kernel_bytes(void)
{
	return kernel_pages << PAGE_SHIFT;
}
