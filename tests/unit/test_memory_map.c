/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot memory map put in order: what firmware says in any order, overlapping and unaligned, against a byte-wise idea of what may be
 * free. The image stands at 1 MiB, as linked.
 */
// sources: arch/x86/memory_map.c
// flags: -fno-pie
// libraries: -no-pie
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/start.h"
#include "kernel/memory.h"

#define PAGE        4096ull
#define MIB         (1ull << 20)
#define SPACE_PAGES 4096u /* the model's 16 MiB */

/* The linker's symbols: an image of 64 KiB at 1 MiB. */
__asm__(".globl image_physical_start, image_end\n"
        ".set image_physical_start, 0x100000\n"
        ".set image_end, 0xffffffff80110000\n");

struct boot_info boot_info;

void panic(const char *format, ...)
{
	printf("%s\n", format);
	abort();
}

int memory_allocate(uint64_t size, uint64_t alignment, uint32_t owner, hpa_t *pa)
{
	(void)size;
	(void)alignment;
	(void)owner;
	(void)pa;
	return BH_ERR_MEMORY;
}

static struct boot_info map;

static void add(uint64_t base, uint64_t size, uint32_t kind)
{
	map.memory[map.memory_count++] =
		(struct boot_memory){ .base = base, .size = size, .kind = kind };
}

static bool has(uint64_t base, uint64_t size, uint32_t kind)
{
	for (uint32_t i = 0; i < map.memory_count; i++) {
		if (map.memory[i].base == base && map.memory[i].size == size &&
		    map.memory[i].kind == kind) {
			return true;
		}
	}
	return false;
}

static void prepare(void)
{
	memory_map_low_page = 0;
	memory_map_prepare(&map);
}

static void test_usual_pc(void **state)
{
	(void)state;
	memset(&map, 0, sizeof(map));
	add(0, 0x9fc00, BOOT_MEMORY_FREE);
	add(0x9fc00, 0x400, BOOT_MEMORY_RESERVED);
	add(MIB, 15 * MIB, BOOT_MEMORY_FREE);
	map.modules_count = 1;
	map.modules[0].base = 4 * MIB;
	map.modules[0].size = 5;
	prepare();
	assert_int_equal(memory_map_low_page, 0x8000);
	assert_true(has(0x9f000, 0x1000, BOOT_MEMORY_RESERVED));
	assert_true(has(MIB, 0x10000, BOOT_MEMORY_BOOT));
	assert_true(has(MIB + 0x10000, 3 * MIB - 0x10000, BOOT_MEMORY_FREE));
	assert_true(has(4 * MIB, PAGE, BOOT_MEMORY_BOOT));
	assert_true(has(4 * MIB + PAGE, 12 * MIB - PAGE, BOOT_MEMORY_FREE));
	assert_int_equal(map.kernel_base, MIB);
	assert_int_equal(map.kernel_size, 0x10000);
}

static void test_low_page_avoids_modules(void **state)
{
	(void)state;
	memset(&map, 0, sizeof(map));
	add(0x7000, 0x4000, BOOT_MEMORY_FREE);
	add(MIB, 15 * MIB, BOOT_MEMORY_FREE);
	map.modules_count = 1;
	map.modules[0].base = 0x7800;
	map.modules[0].size = 0x1000;
	prepare();
	assert_int_equal(memory_map_low_page, 0x9000);
}

static void test_wrapping_entries(void **state)
{
	(void)state;
	memset(&map, 0, sizeof(map));
	add(MIB, 15 * MIB, BOOT_MEMORY_FREE);
	add(~0ull - 5, 100, BOOT_MEMORY_FREE);
	add(1ull << 60, 1ull << 60, BOOT_MEMORY_RESERVED);
	prepare();
	for (uint32_t i = 0; i < map.memory_count; i++) {
		assert_true(map.memory[i].base + map.memory[i].size > map.memory[i].base);
		assert_true(map.memory[i].base + map.memory[i].size <= ARCH_PHYSICAL_END);
	}
	assert_true(has(MIB + 0x10000, 15 * MIB - 0x10000, BOOT_MEMORY_FREE));
}

/* A loader that fills the table: what is the kernel's is still taken out, and two modules that share a page end up in one range each. */
static void test_full_table(void **state)
{
	(void)state;
	memset(&map, 0, sizeof(map));
	add(MIB, 15 * MIB, BOOT_MEMORY_FREE);
	while (map.memory_count < BOOT_MEMORY_MAX) {
		add(64 * MIB + map.memory_count * PAGE, PAGE, BOOT_MEMORY_RESERVED);
	}
	map.modules_count = 2;
	map.modules[0].base = 4 * MIB;
	map.modules[0].size = PAGE + 10;
	map.modules[1].base = 4 * MIB + PAGE + 100;
	map.modules[1].size = PAGE;
	prepare();
	assert_true(has(MIB, 0x10000, BOOT_MEMORY_BOOT));
	assert_true(has(MIB + 0x10000, 3 * MIB - 0x10000, BOOT_MEMORY_FREE));
	assert_true(has(4 * MIB, 2 * PAGE, BOOT_MEMORY_BOOT));
	assert_true(has(4 * MIB + 2 * PAGE, PAGE, BOOT_MEMORY_BOOT));
	assert_true(has(4 * MIB + 3 * PAGE, 12 * MIB - 3 * PAGE, BOOT_MEMORY_FREE));
}

/* ---- random maps against one flag a page ---- */

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static bool is_covered_whole[SPACE_PAGES]; /* some one FREE entry holds all of the page */
static bool is_touched[SPACE_PAGES];       /* something that is not free touches it */

static void model_add(uint64_t base, uint64_t size, uint32_t kind)
{
	for (uint64_t page = 0; page < SPACE_PAGES; page++) {
		uint64_t start = page * PAGE, end = start + PAGE;

		if (kind == BOOT_MEMORY_FREE) {
			is_covered_whole[page] |= base <= start && end <= base + size;
		} else if (size != 0) {
			is_touched[page] |= base < end && start < base + size;
		}
	}
}

static void model_check(void)
{
	static uint32_t seen[SPACE_PAGES];
	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < map.memory_count; i++) {
		const struct boot_memory *memory = &map.memory[i];

		assert_true(memory->base % PAGE == 0 && memory->size % PAGE == 0 &&
		            memory->size != 0);
		for (uint64_t at = 0; memory->kind == BOOT_MEMORY_FREE && at < memory->size;
		     at += PAGE) {
			seen[(memory->base + at) / PAGE]++;
		}
	}
	for (uint32_t page = 0; page < SPACE_PAGES; page++) {
		bool is_free = is_covered_whole[page] && !is_touched[page] && page >= 256;

		assert_int_equal(seen[page], is_free ? 1 : 0);
	}
}

static void test_random(void **state)
{
	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint64_t unit = round % 2 ? 4096
		                          : 1000; /* aligned maps, and maps with crooked edges */

		memset(&map, 0, sizeof(map));
		memset(is_covered_whole, 0, sizeof(is_covered_whole));
		memset(is_touched, 0, sizeof(is_touched));
		model_add(MIB, 0x10000, BOOT_MEMORY_RESERVED);
		for (uint64_t count = random_next() % 6; count != 0; count--) {
			uint64_t base = random_next() % 3000 * unit,
				 size = random_next() % 800 * unit;

			if (base + size < SPACE_PAGES * PAGE) {
				add(base, size, BOOT_MEMORY_FREE);
				model_add(base, size, BOOT_MEMORY_FREE);
			}
		}
		for (uint64_t count = random_next() % 6; count != 0; count--) {
			uint64_t base = random_next() % 3000 * unit,
				 size = random_next() % 100 * unit;
			uint32_t kind = BOOT_MEMORY_RESERVED + (uint32_t)(random_next() % 2);

			add(base, size, kind);
			model_add(base, size, kind);
		}
		for (uint64_t count = random_next() % 4; count != 0; count--) {
			struct boot_module *module = &map.modules[map.modules_count++];

			module->base = random_next() % 3000 * PAGE;
			module->size = random_next() % 20000;
			model_add(module->base, module->size, BOOT_MEMORY_BOOT);
		}
		prepare();
		model_check();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual_pc),
		cmocka_unit_test(test_low_page_avoids_modules),
		cmocka_unit_test(test_wrapping_entries),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("memory_map", tests, NULL, NULL);
}
