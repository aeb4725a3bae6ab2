// SPDX-License-Identifier: Apache-2.0
/*
 * The guest page-table walk: every kind of paging, page size, right and fault code, and what is
 * left in the tables afterwards.
 */
// sources: vmm/walk.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/walk.h"

#define P     1ull
#define W     2ull
#define U     4ull
#define A     0x20ull
#define D     0x40ull
#define LARGE 0x80ull
#define NX    (1ull << 63)

static uint8_t ram[0x10000] __attribute__((aligned(4096)));
static const struct guest_memory memory = { .slots = { { 0, sizeof(ram), ram } },
	                                    .slots_count = 1 };
static struct walk_paging paging;
static struct walk_result result;

static void put(uint64_t table, uint32_t index, uint64_t value)
{
	memcpy(ram + table + index * 8ul, &value, 8);
}

static uint64_t get(uint64_t table, uint32_t index)
{
	uint64_t value;

	memcpy(&value, ram + table + index * 8ul, 8);
	return value;
}

static void put32(uint64_t table, uint32_t index, uint32_t value)
{
	memcpy(ram + table + index * 4ul, &value, 4);
}

static int walk(uint64_t linear, uint32_t access)
{
	return walk_translate(&memory, &paging, linear, access, &result);
}

static void check_fault(uint64_t linear, uint32_t access, uint32_t code)
{
	assert_int_equal(walk(linear, access), BH_ERR_ADDRESS);
	assert_int_equal(result.error_code, code);
}

/*
 * 4-level tables at 0x1000-0x4000 that map 0x7f8040201000 + n * 4 KiB by entry 1 + n of each
 * level.
 */
#define LINEAR 0x008040201000ull

static int set_up_long(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	paging = (struct walk_paging){
		.cr0 = CPU_CR0_PG | CPU_CR0_PE | CPU_CR0_WP,
		.cr3 = 0x1000,
		.cr4 = CPU_CR4_PAE,
		.efer = CPU_EFER_LMA | CPU_EFER_LME | CPU_EFER_NXE,
		.physical_bits = 40,
	};
	put(0x1000, 1, 0x2000 | P | W | U);
	put(0x2000, 1, 0x3000 | P | W | U);
	put(0x3000, 1, 0x4000 | P | W | U);
	put(0x4000, 1, 0xfee00000 | P | W | U);
	put(0x4000, 2, 0x123450000 | P | U);
	put(0x4000, 3, 0x5000 | P | W | NX);
	return 0;
}

static void test_no_paging(void **state)
{
	(void)state;
	paging.cr0 = CPU_CR0_PE;
	assert_int_equal(walk(0x1fee00020, WALK_WRITE), BH_OK);
	assert_int_equal(result.gpa, 0xfee00020);
}

static void test_long(void **state)
{
	(void)state;
	assert_int_equal(walk(LINEAR + 0x20, 0), BH_OK);
	assert_int_equal(result.gpa, 0xfee00020);
	assert_int_equal(result.page_bytes, 4096);
	assert_int_equal(get(0x4000, 1), 0xfee00000 | P | W | U | A);
	assert_int_equal(get(0x1000, 1), 0x2000 | P | W | U | A);
	assert_int_equal(walk(LINEAR + 0x20, WALK_WRITE), BH_OK);
	assert_int_equal(get(0x4000, 1), 0xfee00000 | P | W | U | A | D);
	assert_int_equal(get(0x3000, 1), 0x4000 | P | W | U | A);
	assert_int_equal(walk(LINEAR + 0x1fff, 0), BH_OK);
	assert_int_equal(result.gpa, 0x123450fff);
}

static void test_five_levels(void **state)
{
	(void)state;
	paging.cr4 |= CPU_CR4_LA57;
	paging.cr3 = 0x6000;
	put(0x6000, 3, 0x1000 | P | W | U);
	assert_int_equal(walk(LINEAR + (3ull << 48), WALK_USER), BH_OK);
	assert_int_equal(result.gpa, 0xfee00000);
	check_fault(LINEAR, 0, 0);
	put(0x6000, 0, 0x1000 | P | LARGE);
	check_fault(LINEAR, 0, 9);
}

static void test_large_pages(void **state)
{
	(void)state;
	put(0x3000, 1, 0x123400000 | P | W | LARGE);
	assert_int_equal(walk(LINEAR + 0x20, WALK_WRITE), BH_OK);
	assert_int_equal(result.gpa, 0x123401020);
	assert_int_equal(result.page_bytes, 0x200000);
	assert_int_equal(get(0x3000, 1), 0x123400000 | P | W | LARGE | A | D);
	put(0x3000, 1, 0x123402000 | P | W | LARGE); /* an address bit below 2 MiB */
	check_fault(LINEAR, 0, 9);
	put(0x3000, 1, 0x123401000 | P | LARGE); /* bit 12 is PAT */
	assert_int_equal(walk(LINEAR, 0), BH_OK);
	put(0x2000, 1, 0x140000000 | P | LARGE);
	assert_int_equal(walk(LINEAR, 0), BH_OK);
	assert_int_equal(result.gpa, 0x140201000);
	assert_int_equal(result.page_bytes, 0x40000000);
	put(0x1000, 1, 0x2000 | P | LARGE);
	check_fault(LINEAR, 0, 9);
}

static void test_rights(void **state)
{
	uint64_t before;

	(void)state;
	check_fault(LINEAR + 0x4000, 0, 0);
	check_fault(LINEAR + 0x4000, WALK_USER | WALK_WRITE, 6);
	before = get(0x4000, 2);
	check_fault(LINEAR + 0x1000, WALK_WRITE, 3);
	check_fault(LINEAR + 0x1000, WALK_WRITE | WALK_USER, 7);
	assert_int_equal(get(0x4000, 2), before);
	check_fault(LINEAR + 0x2000, WALK_USER, 5);
	check_fault(LINEAR + 0x2000, WALK_FETCH, 0x11);
	paging.cr0 &= ~CPU_CR0_WP;
	assert_int_equal(walk(LINEAR + 0x1000, WALK_WRITE), BH_OK);
	check_fault(LINEAR + 0x1000, WALK_WRITE | WALK_USER, 7);
	/* A right that an upper level takes away is gone. */
	put(0x2000, 1, 0x3000 | P);
	check_fault(LINEAR, WALK_USER, 5);
	paging.cr0 |= CPU_CR0_WP;
	check_fault(LINEAR, WALK_WRITE, 3);
	put(0x2000, 1, 0x3000 | P | NX);
	check_fault(LINEAR, WALK_FETCH, 0x11);
}

static void test_smep_smap(void **state)
{
	(void)state;
	assert_int_equal(walk(LINEAR, WALK_FETCH), BH_OK);
	paging.cr4 |= CPU_CR4_SMEP;
	check_fault(LINEAR, WALK_FETCH, 0x11);
	assert_int_equal(walk(LINEAR, WALK_FETCH | WALK_USER), BH_OK);
	paging.cr4 |= CPU_CR4_SMAP;
	check_fault(LINEAR, 0, 1);
	assert_int_equal(walk(LINEAR, WALK_USER), BH_OK);
	paging.rflags = CPU_RFLAGS_AC;
	assert_int_equal(walk(LINEAR, WALK_WRITE), BH_OK);
	assert_int_equal(walk(LINEAR + 0x2000, 0), BH_OK);
}

static void test_reserved_bits(void **state)
{
	(void)state;
	put(0x4000, 1, 1ull << 40 | P | U);
	check_fault(LINEAR, WALK_USER, 0xd);
	put(0x4000, 1, 1ull << 39 | P | U);
	assert_int_equal(walk(LINEAR, WALK_USER), BH_OK);
	put(0x4000, 1, NX | P | U);
	paging.efer &= ~CPU_EFER_NXE;
	check_fault(LINEAR, WALK_FETCH, 9); /* no fetch bit without NXE and SMEP */
	put(0x4000, 1, 0x5000 | P);
	put(0x3000, 1, 0x20000 | P); /* a table where there is no memory reads as ones */
	check_fault(LINEAR, 0, 9);
}

static void test_pae(void **state)
{
	(void)state;
	paging.efer = CPU_EFER_NXE;
	paging.cr3 = 0x1020;
	put(0x1020, 2, 0x2000 | P);
	put(0x2000, 3, 0x3000 | P | W | U);
	put(0x3000, 4, 0x1fee00000 | P | W | U);
	put(0x2000, 5, 0x200000 | P | LARGE);
	assert_int_equal(walk(0x80604123, WALK_WRITE | WALK_USER), BH_OK);
	assert_int_equal(result.gpa, 0x1fee00123);
	assert_int_equal(get(0x1020, 2), 0x2000 | P);
	assert_int_equal(get(0x3000, 4), 0x1fee00000 | P | W | U | A | D);
	assert_int_equal(walk(0x80a54321, 0), BH_OK);
	assert_int_equal(result.gpa, 0x254321);
	check_fault(0x80a54321, WALK_WRITE, 3);
	check_fault(0xc0000000, 0, 0);
	put(0x1020, 2, 0x2000 | P | A); /* QEMU's CPU marks top entries, too */
	assert_int_equal(walk(0x80604123, 0), BH_OK);
	assert_int_equal(get(0x1020, 2), 0x2000 | P | A);
}

static void test_32(void **state)
{
	uint32_t entry;

	(void)state;
	paging.efer = 0;
	paging.cr4 = CPU_CR4_PSE;
	put32(0x1000, 0x3fb, 0x2000 | P | W | U);
	put32(0x2000, 0x200, 0xfee00000 | P | W);
	put32(0x1000, 1, 0xc0000000 | 0x6000 | P | W | LARGE);
	assert_int_equal(walk(0xfee00300, WALK_WRITE), BH_OK);
	assert_int_equal(result.gpa, 0xfee00300);
	memcpy(&entry, ram + 0x2000 + 0x200 * 4, 4);
	assert_int_equal(entry, 0xfee00000 | P | W | A | D);
	memcpy(&entry, ram + 0x2000 + 0x201 * 4, 4);
	assert_int_equal(entry, 0);
	check_fault(0xfee00300, WALK_USER, 5);
	assert_int_equal(walk(0x4abcde, 0), BH_OK);
	assert_int_equal(result.gpa, 0x3c00abcdeull);
	assert_int_equal(result.page_bytes, 0x400000);
	put32(0x1000, 1, 0xc0200000 | P | LARGE);
	check_fault(0x4abcde, 0, 9);
	paging.cr4 = 0; /* without PSE the bit means nothing */
	put32(0x1000, 1, 0x3000 | P | LARGE);
	put32(0x3000, 0xab, 0x7000 | P);
	assert_int_equal(walk(0x4abcde, 0), BH_OK);
	assert_int_equal(result.gpa, 0x7cde);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_paging, set_up_long),
		cmocka_unit_test_setup(test_long, set_up_long),
		cmocka_unit_test_setup(test_five_levels, set_up_long),
		cmocka_unit_test_setup(test_large_pages, set_up_long),
		cmocka_unit_test_setup(test_rights, set_up_long),
		cmocka_unit_test_setup(test_smep_smap, set_up_long),
		cmocka_unit_test_setup(test_reserved_bits, set_up_long),
		cmocka_unit_test_setup(test_pae, set_up_long),
		cmocka_unit_test_setup(test_32, set_up_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
