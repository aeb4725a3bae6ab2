// SPDX-License-Identifier: Apache-2.0
/*
 * The short way of memory-mapped registers: the same result as the emulator's for every instruction that it takes, and nothing taken
 * from earlier exits once code, page tables, paging or CPL have changed.
 */
// sources: vmm/mmio.c vmm/emulate.c vmm/emulate_memory.c vmm/emulate_arithmetic.c vmm/emulate_string.c vmm/decode.c vmm/walk.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"
#include "vmm/emulate.h"
#include "vmm/mmio.h"

#define RAM_BYTES  0x20000u
#define DEVICE     0xfee00000ull
#define ROOT       0x10000u
#define ROOT_OTHER 0x14000u
#define ROOT_ALL   0x18000u /* every address is the device's page */
#define PAGE_TABLE 0x13000u
#define RIP        0x1004u
#define ANSWER     0x88f7e6d5c4b3a291ull
#define ROUNDS     300000u

static uint8_t ram[RAM_BYTES] __attribute__((aligned(4096)));
static const struct guest_memory memory = { .slots = { { 0, RAM_BYTES, ram } }, .slots_count = 1 };
static struct mmio_cache cache;
static struct bh_run run;

/* The one access that an instruction made. */
static struct {
	uint32_t count;
	uint64_t gpa, value;
	uint32_t size;
	bool is_write;
} seen;

static int device_read(void *context, uint64_t gpa, uint32_t size, uint64_t *value)
{
	(void)context;
	*value = ANSWER;
	seen.count++;
	seen.gpa = gpa;
	seen.size = size;
	seen.is_write = false;
	return BH_OK;
}

static int device_write(void *context, uint64_t gpa, uint32_t size, uint64_t value)
{
	(void)context;
	seen.count++;
	seen.gpa = gpa;
	seen.size = size;
	seen.value = size == 8 ? value : value & ((1ull << size * 8) - 1);
	seen.is_write = true;
	return BH_OK;
}

static const struct emulate_bus bus = { .mmio_read = device_read, .mmio_write = device_write };

static void put(uint32_t table, uint32_t index, uint64_t value)
{
	memcpy(ram + table + index * 8ul, &value, 8);
}

static uint64_t get(uint32_t table, uint32_t index)
{
	uint64_t value;

	memcpy(&value, ram + table + index * 8ul, 8);
	return value;
}

static void code(const void *bytes, size_t size)
{
	memcpy(ram + RIP, bytes, size);
}

/* Linear 0x1000 and 0x2000 are RAM one to one, for the kernel; ROOT_OTHER has 0x1000 at 0x2000. */
static int set_up(void **state)
{
	struct bh_cpu_state *cpu = &run.state;

	(void)state;
	memset(ram, 0, sizeof(ram));
	memset(&run, 0, sizeof(run));
	mmio_init(&cache);
	for (uint32_t root = ROOT; root <= ROOT_OTHER; root += ROOT_OTHER - ROOT) {
		put(root, 0, root + 0x1000 + 7);
		put(root + 0x1000, 0, root + 0x2000 + 7);
		put(root + 0x2000, 0, root + 0x3000 + 7);
	}
	put(PAGE_TABLE, 1, 0x1000 | 3);
	put(PAGE_TABLE, 2, 0x2000 | 3);
	put(ROOT_OTHER + 0x3000, 1, 0x2000 | 3);
	for (uint32_t i = 0; i < 512; i++) {
		for (uint32_t level = 0; level < 3; level++) {
			put(ROOT_ALL + level * 0x1000, i, ROOT_ALL + (level + 1) * 0x1000 + 7);
		}
		put(ROOT_ALL + 0x3000, i, DEVICE | 7);
	}
	cpu->cr0 = CPU_CR0_PG | CPU_CR0_PE | CPU_CR0_WP;
	cpu->cr3 = ROOT;
	cpu->cr4 = CPU_CR4_PAE;
	cpu->efer = CPU_EFER_LMA | CPU_EFER_LME;
	cpu->rflags = CPU_RFLAGS_FIXED;
	cpu->rip = RIP;
	cpu->segments[BH_SEG_CS].attributes = CPU_SEGMENT_LONG | CPU_SEGMENT_PRESENT | 0x1b;
	run.mmio.is_final = 1;
	run.mmio.is_64 = 1;
	run.mmio.gpa = DEVICE;
	return 0;
}

static const struct mmio_move *find(void)
{
	return mmio_find(&cache, &run, &memory, 0);
}

/* mov (%rbx), %eax */
static void set_load(void)
{
	code("\x8b\x03", 2);
	run.state.gpr[BH_GPR_RBX] = 0x70000;
	run.mmio.is_write = 0;
}

/* ---- the same as the emulator ---- */

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint32_t random_instruction(uint8_t bytes[16])
{
	static const uint8_t opcodes[] = { 0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3,
		                           0xc6, 0xc7, 0x63, 0xb6, 0xb7, 0xbe, 0xbf, 0xc3,
		                           0x01, 0x84, 0x86, 0xff, 0x8f, 0xa4 };
	static const uint8_t prefixes[] = { 0x66, 0x67, 0x64, 0x65, 0xf0, 0xf2, 0xf3, 0x2e };
	uint8_t opcode = opcodes[random_next() % sizeof(opcodes)];
	uint32_t at = 0;

	if (random_next() % 4 == 0) {
		bytes[at++] = prefixes[random_next() % sizeof(prefixes)];
	}
	if (random_next() % 2 == 0) {
		bytes[at++] = 0x40 | (random_next() & 0xf);
	}
	if ((opcode >= 0xb6 && opcode <= 0xbf) || opcode == 0xc3) {
		bytes[at++] = 0x0f;
	}
	bytes[at++] = opcode;
	bytes[at++] = (uint8_t)(random_next() & (random_next() % 4 == 0 ? 0xff : 0x7f));
	while (at < 16) {
		bytes[at++] = (uint8_t)random_next();
	}
	return at;
}

/* True if both ways were taken and agreed. */
static bool compare(const uint8_t bytes[16])
{
	struct bh_cpu_state cpu = run.state;
	struct emulate emulate = { .cpu = &cpu, .memory = &memory, .bus = &bus };
	const struct mmio_move *move;
	uint64_t gpa;

	cpu.cr3 = ROOT_ALL;
	seen.count = 0;
	if (emulate_step(&emulate, bytes, 15) != EMULATE_DONE || seen.count != 1) {
		return false; /* not an access that a CPU would exit for */
	}
	gpa = seen.gpa;
	run.mmio.gpa = gpa;
	run.mmio.is_write = seen.is_write;
	move = find();
	if (move == NULL) {
		return false;
	}
	assert_int_equal(move->memory_bytes, seen.size);
	if (seen.is_write) {
		assert_true(mmio_value(move, &run) == seen.value);
		mmio_answer_write(move, &run);
		assert_int_equal(run.mmio.answer_gpr, BH_MMIO_NO_GPR);
	} else {
		mmio_answer_read(move, &run, ANSWER);
		assert_in_range(run.mmio.answer_gpr, 0, BH_GPR_COUNT - 1);
		assert_int_not_equal(run.mmio.answer_gpr, BH_GPR_RSP);
		run.state.gpr[run.mmio.answer_gpr] = run.mmio.answer_value;
	}
	assert_memory_equal(run.state.gpr, cpu.gpr, sizeof(cpu.gpr));
	assert_true(run.state.rip + run.mmio.answer_length == cpu.rip);
	return true;
}

static void test_agrees_with_emulator(void **state)
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint8_t bytes[16];

		random_instruction(bytes);
		for (uint32_t reg = 0; reg < BH_GPR_COUNT; reg++) {
			run.state.gpr[reg] = random_next() >> (random_next() % 2 == 0 ? 0 : 20);
		}
		run.state.rip = RIP + i % 64;
		memcpy(ram + run.state.rip, bytes, sizeof(bytes));
		taken += compare(bytes);
	}
	/* Of the usual encodings most must go the short way, or the comparison compares nothing. */
	assert_in_range(taken, ROUNDS / 10, ROUNDS);
}

/* ---- what must not be believed ---- */

static void test_finds_again(void **state)
{
	const struct mmio_move *first;

	set_load();
	first = find();
	assert_non_null(first);
	assert_ptr_equal(find(), first);
	assert_int_equal(first->length, 2);
}

static void test_code_changes(void **state)
{
	const struct mmio_move *move;

	set_load();
	assert_non_null(find());
	code("\x8b\x4b\x00", 3); /* mov 0(%rbx), %ecx */
	move = find();
	assert_non_null(move);
	assert_int_equal(move->reg, BH_GPR_RCX);
	assert_int_equal(move->length, 3);
	code("\x0b\x03", 2); /* or (%rbx), %eax */
	assert_null(find());
	set_load();
	assert_non_null(find());
}

/* What follows the instruction is not part of it. */
static void test_bytes_behind_do_not_count(void **state)
{
	const struct mmio_move *move;

	set_load();
	move = find();
	ram[RIP + 2] ^= 0xff;
	assert_ptr_equal(find(), move);
	assert_true(mmio_is_current(move, &run));
}

static void test_page_is_moved(void **state)
{
	set_load();
	assert_non_null(find());
	memcpy(ram + 0x2004, "\x8b\x13", 2); /* mov (%rbx), %edx */
	put(PAGE_TABLE, 1, 0x2000 | 3);
	assert_non_null(find());
	assert_int_equal(find()->reg, BH_GPR_RDX);
	put(PAGE_TABLE, 1, 0);
	assert_null(find());
}

static void test_every_level_counts(void **state)
{
	for (uint32_t level = 0; level < 4; level++) {
		uint32_t table = ROOT + level * 0x1000;
		uint32_t index = level == 3 ? 1 : 0;
		uint64_t entry;

		set_load();
		assert_non_null(find());
		entry = get(table, index);
		put(table, index, 0);
		assert_null(find());
		put(table, index, entry);
		assert_non_null(find());
	}
}

/* A guest that clears accessed bits to find its idle pages must see them come back. */
static void test_accessed_bit_is_set_again(void **state)
{
	set_load();
	assert_non_null(find());
	put(PAGE_TABLE, 1, 0x1000 | 3);
	assert_non_null(find());
	assert_int_equal(get(PAGE_TABLE, 1) & 0x20, 0x20);
}

static void test_root_changes(void **state)
{
	set_load();
	assert_non_null(find());
	memcpy(ram + 0x2004, "\x8b\x13", 2);
	run.state.cr3 = ROOT_OTHER;
	assert_non_null(find());
	assert_int_equal(find()->reg, BH_GPR_RDX);
}

static void test_rights_change(void **state)
{
	set_load();
	assert_non_null(find());
	run.mmio.cpl = 3; /* the page is the kernel's */
	assert_null(find());
	run.mmio.cpl = 0;
	assert_non_null(find());
	put(PAGE_TABLE, 1, 0x1000 | 7);
	assert_non_null(find());
	run.state.cr4 |= CPU_CR4_SMEP;
	assert_null(find());
	run.state.cr4 &= ~CPU_CR4_SMEP;
	put(PAGE_TABLE, 1, 1ull << 63 | 0x1000 | 3);
	run.state.efer |= CPU_EFER_NXE;
	assert_null(find());
}

static void test_other_access(void **state)
{
	set_load();
	run.mmio.is_write = 1;
	assert_null(find());
	run.mmio.is_write = 0;
	run.mmio.gpa = DEVICE + 4; /* the instruction reaches the page's first bytes */
	assert_null(find());
	run.state.gpr[BH_GPR_RBX] = 0x70ffe;
	run.mmio.gpa = DEVICE + 0xffe; /* two pages */
	assert_null(find());
	run.state.gpr[BH_GPR_RBX] = 0x70ffc;
	run.mmio.gpa = DEVICE + 0xffc;
	assert_non_null(find());
}

static void test_not_for_other_exits(void **state)
{
	set_load();
	run.mmio.is_64 = 0;
	assert_null(find());
	run.mmio.is_64 = 1;
	run.state.rip = 0x1ff4; /* the instruction may go on into the next page */
	memcpy(ram + 0x1ff4, "\x8b\x03", 2);
	assert_null(find());
	run.state.rip = 0x1ff0;
	memcpy(ram + 0x1ff0, "\x8b\x03", 2);
	assert_non_null(find());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_agrees_with_emulator, set_up),
		cmocka_unit_test_setup(test_finds_again, set_up),
		cmocka_unit_test_setup(test_code_changes, set_up),
		cmocka_unit_test_setup(test_bytes_behind_do_not_count, set_up),
		cmocka_unit_test_setup(test_page_is_moved, set_up),
		cmocka_unit_test_setup(test_every_level_counts, set_up),
		cmocka_unit_test_setup(test_accessed_bit_is_set_again, set_up),
		cmocka_unit_test_setup(test_root_changes, set_up),
		cmocka_unit_test_setup(test_rights_change, set_up),
		cmocka_unit_test_setup(test_other_access, set_up),
		cmocka_unit_test_setup(test_not_for_other_exits, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
