/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page allocator on an array: exact sizes, alignment, owners, joining, and a long random run against a plain list of what is out.
 */
// flags: -iquote tests/fake
// sources: kernel/memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch_inline.h"
#include "kernel/memory.h"

#define PAGES     8192u /* 32 MiB */
#define BASE_PAGE 16u
#define RUNS_MAX  300u
#define ROUNDS    20000u

char *fake_ram;
struct cpu *fake_cpu;
uint64_t fake_tsc;

static uint16_t records[2 * PAGES];

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	abort();
}

static int start(void **state)
{
	(void)state;
	if (fake_ram == NULL) {
		fake_ram = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
	}
	memory_init(records, PAGES * PAGE_SIZE);
	memory_change(HPA(0), 4 * PAGE_SIZE, MEMORY_OUTSIDE, MEMORY_OWNER_KERNEL);
	memory_change(HPA(BASE_PAGE * PAGE_SIZE), (PAGES - BASE_PAGE) * PAGE_SIZE, MEMORY_OUTSIDE,
	              MEMORY_FREE);
	return 0;
}

static void test_costs_what_it_holds(void **state)
{
	uint64_t before = memory_bytes.free;
	hpa_t pa;

	(void)state;
	assert_int_equal(memory_allocate(9 * (1 << 20), PAGE_SIZE_2M, 5, &pa), BH_OK);
	assert_int_equal(before - memory_bytes.free, 9 * (1 << 20));
	assert_int_equal(pa.raw % PAGE_SIZE_2M, 0);
	assert_int_equal(memory_owner(pa), 5);
	assert_int_equal(memory_owner(HPA(pa.raw + 9 * (1 << 20) - PAGE_SIZE)), 5);
	assert_int_not_equal(memory_owner(HPA(pa.raw + 9 * (1 << 20))), 5);
	memory_change(pa, 9 * (1 << 20), 5, MEMORY_FREE);
	assert_int_equal(memory_bytes.free, before);
}

static void test_joins_neighbours(void **state)
{
	uint64_t most = (PAGES - BASE_PAGE) * PAGE_SIZE;
	hpa_t pa, other;

	(void)state;
	/* Everything in one run. */
	assert_int_equal(memory_allocate(most, PAGE_SIZE, 1, &pa), BH_OK);
	assert_int_equal(memory_bytes.free, 0);
	assert_int_equal(memory_allocate(PAGE_SIZE, PAGE_SIZE, 1, &other), BH_ERR_MEMORY);
	memory_change(HPA(pa.raw + PAGE_SIZE), PAGE_SIZE, 1, MEMORY_FREE);
	assert_int_equal(memory_allocate(PAGE_SIZE, PAGE_SIZE, 2, &other), BH_OK);
	assert_int_equal(other.raw, pa.raw + PAGE_SIZE);
	memory_change(other, PAGE_SIZE, 2, 1);
	memory_change(pa, most, 1, MEMORY_FREE);
	assert_int_equal(memory_allocate(most, PAGE_SIZE, 1, &pa), BH_OK);
	memory_change(pa, most, 1, MEMORY_FREE);
}

static void test_refuses(void **state)
{
	hpa_t pa;

	(void)state;
	assert_int_equal(memory_allocate(0, PAGE_SIZE, 1, &pa), BH_ERR_INVALID);
	assert_int_equal(memory_allocate(100, PAGE_SIZE, 1, &pa), BH_ERR_INVALID);
	assert_int_equal(memory_allocate(PAGE_SIZE, 100, 1, &pa), BH_ERR_INVALID);
	assert_int_equal(memory_allocate(PAGE_SIZE, 3 * PAGE_SIZE, 1, &pa), BH_ERR_INVALID);
	assert_int_equal(memory_allocate(~0ull << PAGE_SHIFT, PAGE_SIZE, 1, &pa), BH_ERR_MEMORY);
	assert_int_equal(memory_allocate(PAGE_SIZE, 1ull << 63, 1, &pa), BH_ERR_MEMORY);
}

static void test_outside(void **state)
{
	(void)state;
	assert_false(memory_is_outside(HPA(0), PAGE_SIZE));
	assert_true(memory_is_outside(HPA(4 * PAGE_SIZE), 4 * PAGE_SIZE));
	assert_false(memory_is_outside(HPA(4 * PAGE_SIZE), 13 * PAGE_SIZE));
	assert_true(memory_is_outside(HPA(PAGES * PAGE_SIZE), 1ull << 40));
}

struct run {
	hpa_t pa;
	uint64_t pages;
	uint32_t owner;
};

static struct run runs[RUNS_MAX];
static uint32_t runs_count;
static uint64_t pages_out;

static void random_allocate(void)
{
	uint64_t pages = 1 + (uint64_t)rand() % (rand() % 4 == 0 ? 1500 : 20);
	uint64_t alignment = PAGE_SIZE << (rand() % 8);
	struct run *run = &runs[runs_count];

	if (runs_count == RUNS_MAX) {
		return;
	}
	*run = (struct run){ .pages = pages, .owner = 1 + (uint32_t)rand() % 500 };
	if (memory_allocate(pages * PAGE_SIZE, alignment, run->owner, &run->pa) < 0) {
		return;
	}
	assert_int_equal(run->pa.raw % alignment, 0);
	for (uint32_t i = 0; i < runs_count; i++) {
		uint64_t end = runs[i].pa.raw + runs[i].pages * PAGE_SIZE;

		assert_true(end <= run->pa.raw ||
		            run->pa.raw + pages * PAGE_SIZE <= runs[i].pa.raw);
	}
	memset(phys_to_virt(run->pa), 0xee, pages * PAGE_SIZE);
	pages_out += pages;
	runs_count++;
}

/* The whole run, or its upper part. */
static void random_free(void)
{
	struct run *run = &runs[(uint32_t)rand() % runs_count];
	uint64_t keep = rand() % 2 == 0 ? 0 : (uint64_t)rand() % run->pages;

	memory_change(HPA(run->pa.raw + keep * PAGE_SIZE), (run->pages - keep) * PAGE_SIZE,
	              run->owner, MEMORY_FREE);
	pages_out -= run->pages - keep;
	run->pages = keep;
	if (keep == 0) {
		*run = runs[--runs_count];
	}
}

static void test_random(void **state)
{
	uint64_t all = memory_bytes.free;
	hpa_t pa;

	(void)state;
	srand(1);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		if (runs_count == 0 || rand() % 2 == 0) {
			random_allocate();
		} else {
			random_free();
		}
		assert_int_equal(memory_bytes.free, all - pages_out * PAGE_SIZE);
	}
	for (uint32_t i = 0; i < runs_count; i++) {
		assert_int_equal(memory_owner(runs[i].pa), runs[i].owner);
		memory_change(runs[i].pa, runs[i].pages * PAGE_SIZE, runs[i].owner, MEMORY_FREE);
	}
	assert_int_equal(memory_bytes.free, all);
	assert_int_equal(memory_allocate(all, PAGE_SIZE, 1, &pa), BH_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_costs_what_it_holds, start),
		cmocka_unit_test_setup(test_joins_neighbours, start),
		cmocka_unit_test_setup(test_refuses, start),
		cmocka_unit_test_setup(test_outside, start),
		cmocka_unit_test_setup(test_random, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
