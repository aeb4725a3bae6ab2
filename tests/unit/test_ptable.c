/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page-table walker against a list of what was mapped, in all three formats: lookups, page sizes, overlaps, allocation failures at every
 * step, and not one table page lost. Table pages are real memory under ASan: the direct map's offset is undone by the fake allocator.
 */
// sources: arch/x86/ptable.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/arch.h"
#include "arch/x86/ptable.h"
#include "tests/unit/ptable_lookup.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

hpa_t kernel_pml4;

static _Alignas(4096) uint64_t kernel_half[512];

static uint32_t pages_out;        /* handed out and not returned */
static uint32_t pages_until_fail; /* 0 = never */

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	abort();
}

int ptable_page_allocate(void *owner, hpa_t *page)
{
	void *memory;

	assert_ptr_equal(owner, &pages_out);
	if (pages_until_fail != 0 && --pages_until_fail == 0) {
		pages_until_fail = 1;
		return BH_ERR_QUOTA;
	}
	memory = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(memory, 0, PAGE_SIZE);
	*page = virt_to_phys(memory);
	pages_out++;
	return BH_OK;
}

void ptable_page_free(void *owner, hpa_t page)
{
	assert_ptr_equal(owner, &pages_out);
	free(phys_to_virt(page));
	pages_out--;
}

hpa_t arch_early_pages(uint32_t count)
{
	static _Alignas(4096) uint64_t pages[8][512];
	static uint32_t used;

	assert_true(count == 1 && used < 8);
	return virt_to_phys(pages[used++]);
}

static struct ptable table_make(enum ptable_format format, bool has_1g)
{
	struct ptable pt;

	pages_until_fail = 0;
	assert_int_equal(ptable_init(&pt, format, has_1g, &pages_out), BH_OK);
	return pt;
}

static void table_end(struct ptable *pt)
{
	ptable_destroy(pt);
	assert_int_equal(pages_out, 0);
}

static void expect_page(const struct ptable *pt, uint64_t va, uint64_t pa, uint32_t flags,
                        uint64_t left)
{
	uint32_t found_flags;
	uint64_t found_left;
	hpa_t found;

	assert_true(ptable_lookup(pt, va, &found, &found_flags, &found_left));
	assert_int_equal(found.raw, pa);
	assert_int_equal(found_flags, flags);
	assert_int_equal(found_left, left);
}

static void expect_none(const struct ptable *pt, uint64_t va)
{
	uint32_t flags;
	uint64_t left;
	hpa_t pa;

	assert_false(ptable_lookup(pt, va, &pa, &flags, &left));
}

static const enum ptable_format formats[] = { PTABLE_HOST, PTABLE_NPT, PTABLE_EPT };

static void test_largest_pages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct ptable pt = table_make(formats[i], true);

		/* 4K up to 2 MiB, 2M up to 1 GiB, one 1G page, and the same down again */
		assert_int_equal(ptable_map(&pt, GIB - 2 * MIB - 4096,
		                            HPA(3 * GIB - 2 * MIB - 4096), GIB + 4 * MIB + 8192,
		                            PTABLE_READ | PTABLE_WRITE),
		                 BH_OK);
		expect_page(&pt, GIB - 2 * MIB - 1, 3 * GIB - 2 * MIB - 1,
		            PTABLE_READ | PTABLE_WRITE, 1);
		expect_page(&pt, GIB - 2 * MIB, 3 * GIB - 2 * MIB, PTABLE_READ | PTABLE_WRITE,
		            2 * MIB);
		expect_page(&pt, GIB + 5, 3 * GIB + 5, PTABLE_READ | PTABLE_WRITE, GIB - 5);
		expect_page(&pt, 2 * GIB, 4 * GIB, PTABLE_READ | PTABLE_WRITE, 2 * MIB);
		expect_page(&pt, 2 * GIB + 2 * MIB, 4 * GIB + 2 * MIB, PTABLE_READ | PTABLE_WRITE,
		            4096);
		expect_none(&pt, 2 * GIB + 2 * MIB + 4096);
		expect_none(&pt, GIB - 2 * MIB - 4097);
		/* root, PDPT, PDs of the first and third GiB, a PT at either end */
		assert_int_equal(pages_out, 6);
		ptable_unmap(&pt, GIB - 2 * MIB - 4096, GIB + 4 * MIB + 8192);
		assert_int_equal(pages_out, 1);
		table_end(&pt);
	}
}

static void test_without_1g(void **state)
{
	struct ptable pt = table_make(PTABLE_EPT, false);

	(void)state;
	assert_int_equal(ptable_map(&pt, 0, HPA(GIB), GIB, PTABLE_READ), BH_OK);
	expect_page(&pt, 0, GIB, PTABLE_READ, 2 * MIB);
	assert_int_equal(pages_out, 3);
	table_end(&pt);
}

static void test_rights(void **state)
{
	static const uint32_t flags[] = { PTABLE_READ, PTABLE_READ | PTABLE_WRITE,
		                          PTABLE_READ | PTABLE_EXECUTE,
		                          PTABLE_READ | PTABLE_WRITE | PTABLE_EXECUTE,
		                          PTABLE_READ | PTABLE_WRITE | PTABLE_UNCACHED };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct ptable pt = table_make(formats[i], true);

		for (size_t k = 0; k < ARRAY_SIZE(flags); k++) {
			assert_int_equal(ptable_map(&pt, k * 4096, HPA(0x5000), 4096, flags[k]),
			                 BH_OK);
			assert_int_equal(
				ptable_map(&pt, GIB + k * 2 * MIB, HPA(2 * MIB), 2 * MIB, flags[k]),
				BH_OK);
			expect_page(&pt, k * 4096, 0x5000, flags[k], 4096);
			expect_page(&pt, GIB + k * 2 * MIB, 2 * MIB, flags[k], 2 * MIB);
		}
		assert_int_equal(ptable_map(&pt, 64 * MIB, HPA(0), 4096, PTABLE_WRITE),
		                 BH_ERR_INVALID);
		table_end(&pt);
	}
}

/* The bits themselves, as the manuals have them. */
static void test_entry_bits(void **state)
{
	struct ptable host = table_make(PTABLE_HOST, true), ept = table_make(PTABLE_EPT, true);
	const uint64_t *table;

	(void)state;
	assert_int_equal(ptable_map(&host, 0, HPA(GIB), GIB, PTABLE_READ | PTABLE_WRITE), BH_OK);
	table = phys_to_virt(host.root);
	assert_int_equal(table[0] & 0xfff, 0x7);
	table = phys_to_virt(HPA(table[0] & ~0xfffull));
	assert_int_equal(table[0], GIB | 0xe7 | 1ull << 63);
	assert_int_equal(
		ptable_map(&ept, 0, HPA(GIB), GIB, PTABLE_READ | PTABLE_WRITE | PTABLE_EXECUTE),
		BH_OK);
	table = phys_to_virt(ept.root);
	assert_int_equal(table[0] & 0xfff, 0x7);
	table = phys_to_virt(HPA(table[0] & ~0xfffull));
	assert_int_equal(table[0], GIB | 0xb7); /* RWX, write-back, large */
	assert_int_equal(ept.root.raw & 0xfff, 0);
	ptable_destroy(&host);
	table_end(&ept);
}

static void test_limits(void **state)
{
	struct ptable host = table_make(PTABLE_HOST, true), npt = table_make(PTABLE_NPT, true);

	(void)state;
	assert_int_equal(ptable_map(&host, (1ull << 47) - 4096, HPA(0), 4096, PTABLE_READ), BH_OK);
	assert_int_equal(ptable_map(&host, (1ull << 47) - 8192, HPA(0), 12288, PTABLE_READ),
	                 BH_ERR_INVALID);
	assert_int_equal(ptable_map(&host, 1ull << 47, HPA(0), 4096, PTABLE_READ), BH_ERR_INVALID);
	assert_int_equal(ptable_map(&host, 0xffff800000000000ull, HPA(0), 4096, PTABLE_READ),
	                 BH_ERR_INVALID);
	expect_none(&host, 0xffff800000000000ull);
	assert_int_equal(ptable_map(&npt, (1ull << 48) - 4096, HPA(0), 4096, PTABLE_READ), BH_OK);
	assert_int_equal(ptable_map(&npt, 1ull << 48, HPA(0), 4096, PTABLE_READ), BH_ERR_INVALID);
	assert_int_equal(ptable_map(&npt, 0, HPA(0), 0, PTABLE_READ), BH_ERR_INVALID);
	assert_int_equal(ptable_map(&npt, 4096, HPA(0), ~0xfffull, PTABLE_READ), BH_ERR_INVALID);
	assert_int_equal(ptable_map(&npt, 1, HPA(0), 4096, PTABLE_READ), BH_ERR_INVALID);
	assert_int_equal(ptable_map(&npt, 0, HPA(1), 4096, PTABLE_READ), BH_ERR_INVALID);
	ptable_destroy(&host);
	table_end(&npt);
}

/* Every allocation of a map fails once: an error, and the table is what it was. */
static void test_failures(void **state)
{
	(void)state;
	for (uint32_t fail = 1; fail < 12; fail++) {
		struct ptable pt = table_make(PTABLE_NPT, true);
		uint32_t before;
		int error;

		assert_int_equal(ptable_map(&pt, 0, HPA(GIB), 8192, PTABLE_READ), BH_OK);
		before = pages_out;
		pages_until_fail = fail;
		error = ptable_map(&pt, 512 * GIB - 2 * MIB - 4096, HPA(GIB - 4096), 4 * MIB + 8192,
		                   PTABLE_READ);
		pages_until_fail = 0;
		if (error != BH_OK) {
			assert_int_equal(error, BH_ERR_QUOTA);
			assert_int_equal(pages_out, before);
			expect_none(&pt, 512 * GIB - 2 * MIB - 4096);
			expect_none(&pt, 512 * GIB);
			expect_page(&pt, 4096, GIB + 4096, PTABLE_READ, 4096);
		} else {
			assert_true(fail > 5);
		}
		table_end(&pt);
	}
	pages_until_fail = 1;
	assert_int_equal(ptable_init(&(struct ptable){ 0 }, PTABLE_HOST, true, &pages_out),
	                 BH_ERR_QUOTA);
	assert_int_equal(pages_out, 0);
}

/* ---- random maps and unmaps against a list ---- */

#define MAPPINGS_MAX 24

struct mapping {
	uint64_t va, pa, size;
	uint32_t flags;
};

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t random_unit(void)
{
	static const uint64_t units[] = { 4096, 4096, 64 * 1024, 2 * MIB, GIB };

	return units[random_next() % ARRAY_SIZE(units)];
}

static struct mapping mapping_random(void)
{
	uint64_t unit = random_unit();
	struct mapping m = { .va = random_next() % (4 * GIB / unit) * unit,
		             .pa = random_next() % (64 * GIB / unit) * unit };

	m.size = (1 + random_next() % 3) * unit + (random_next() % 4 == 0 ? 4096 : 0);
	m.flags = PTABLE_READ | (random_next() % 2 ? PTABLE_WRITE : 0) |
	          (random_next() % 2 ? PTABLE_EXECUTE : 0);
	return m;
}

static void model_check(const struct ptable *pt, const struct mapping *list, size_t count)
{
	for (int i = 0; i < 8; i++) {
		uint64_t va = random_next() % (8 * GIB), left;
		const struct mapping *found = NULL;
		uint32_t flags;
		hpa_t pa;

		if (count != 0 && random_next() % 2) {
			found = &list[random_next() % count];
			va = found->va + random_next() % found->size;
			found = NULL;
		}
		for (size_t k = 0; k < count; k++) {
			found = va >= list[k].va && va - list[k].va < list[k].size ? &list[k]
			                                                           : found;
		}
		assert_int_equal(ptable_lookup(pt, va, &pa, &flags, &left), found != NULL);
		if (found != NULL) {
			assert_int_equal(pa.raw, found->pa + (va - found->va));
			assert_int_equal(flags, found->flags);
			assert_true(left <= found->va + found->size - va);
		}
	}
}

static bool model_overlaps(const struct mapping *list, size_t count, const struct mapping *m)
{
	for (size_t k = 0; k < count; k++) {
		if (m->va < list[k].va + list[k].size && list[k].va < m->va + m->size) {
			return true;
		}
	}
	return false;
}

static void test_random(void **state)
{
	(void)state;
	for (size_t round = 0; round < 6; round++) {
		struct ptable pt = table_make(formats[round % 3], round >= 3);
		struct mapping list[MAPPINGS_MAX];
		size_t count = 0;

		for (int step = 0; step < 3000; step++) {
			struct mapping m = mapping_random();

			if (count < MAPPINGS_MAX && random_next() % 3 != 0) {
				int error = ptable_map(&pt, m.va, HPA(m.pa), m.size, m.flags);

				assert_int_equal(error, model_overlaps(list, count, &m)
				                                ? BH_ERR_EXISTS
				                                : BH_OK);
				if (error == BH_OK) {
					list[count++] = m;
				}
			} else if (count != 0) {
				size_t k = random_next() % count;

				ptable_unmap(&pt, list[k].va, list[k].size);
				list[k] = list[--count];
			}
			model_check(&pt, list, count);
		}
		while (count != 0) {
			count--;
			ptable_unmap(&pt, list[count].va, list[count].size);
		}
		assert_int_equal(pages_out, 1);
		table_end(&pt);
	}
}

static void test_kernel_half(void **state)
{
	uint64_t *kernel = kernel_half;
	struct ptable pt;

	(void)state;
	kernel[256] = 0x1003;
	kernel[511] = 0x2003;
	kernel[3] = 0x3007; /* must not be taken */
	pt = table_make(PTABLE_HOST, true);
	assert_int_equal(((uint64_t *)phys_to_virt(pt.root))[256], 0x1003);
	assert_int_equal(((uint64_t *)phys_to_virt(pt.root))[511], 0x2003);
	assert_int_equal(((uint64_t *)phys_to_virt(pt.root))[3], 0);
	table_end(&pt);
}

/* The kernel's own mappings reach up to the end of the address space, where va + span is 0. */
static void test_kernel_format(void **state)
{
	const uint64_t image = 0xffffffff80101000ull, last = 0xfffffffffffff000ull - 4096;
	struct ptable pt;
	uint64_t *table;

	(void)state;
	assert_int_equal(ptable_init(&pt, PTABLE_KERNEL, true, NULL), BH_OK);
	assert_int_equal(
		ptable_map(&pt, image, HPA(0x101000), 0x19000, PTABLE_READ | PTABLE_EXECUTE),
		BH_OK);
	assert_int_equal(ptable_map(&pt, last, HPA(0x5000), 4096, PTABLE_READ | PTABLE_WRITE),
	                 BH_OK);
	assert_int_equal(ptable_map(&pt, image + 4096, HPA(0), 4096, PTABLE_READ), BH_ERR_EXISTS);
	expect_page(&pt, image, 0x101000, PTABLE_READ | PTABLE_EXECUTE, 4096);
	expect_page(&pt, last, 0x5000, PTABLE_READ | PTABLE_WRITE, 4096);
	expect_none(&pt, image + 0x19000);
	table = phys_to_virt(pt.root);
	for (unsigned int level = 3; level != 0; level--) {
		table = phys_to_virt(HPA(table[image >> (12 + 9 * level) & 511] & ~0xfffull));
	}
	assert_int_equal(table[0x101], 0x101161); /* global, dirty, accessed, not user */
}

static int group_setup(void **state)
{
	(void)state;
	kernel_pml4 = virt_to_phys(kernel_half);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_largest_pages), cmocka_unit_test(test_without_1g),
		cmocka_unit_test(test_rights),        cmocka_unit_test(test_entry_bits),
		cmocka_unit_test(test_limits),        cmocka_unit_test(test_failures),
		cmocka_unit_test(test_random),        cmocka_unit_test(test_kernel_half),
		cmocka_unit_test(test_kernel_format),
	};

	return cmocka_run_group_tests_name("ptable", tests, group_setup, NULL);
}
