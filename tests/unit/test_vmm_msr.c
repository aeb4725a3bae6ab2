// SPDX-License-Identifier: Apache-2.0
/*
 * The VMM's model-specific registers: constants, what is kept and what is refused, and that no
 * number and no value does harm.
 */
// sources: vmm/msr.c vmm/kvmclock.c vmm/steal.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "vmm/msr.h"

#define MTRR_CAP      0xfeu
#define MTRR_DEF_TYPE 0x2ffu
#define MISC_ENABLE   0x1a0u
#define VM_CR         0xc0010114u
#define KVM_WALL      0x4b564d00u
#define KVM_TIME      0x4b564d01u
#define KVM_STEAL     0x4b564d03u

static _Alignas(4096) uint8_t ram[4096];
static struct guest_memory memory;
static struct bh_info info;
static uint64_t tsc_offset, steal_tsc;
static struct msr_state msrs;

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memory = (struct guest_memory){ .slots = { { 0, sizeof(ram), ram } }, .slots_count = 1 };
	info.tsc_hz = 1000000000;
	tsc_offset = 0;
	memset(&msrs, 0, sizeof(msrs));
	msrs.clock =
		(struct kvmclock){ .memory = &memory, .info = &info, .tsc_offset = &tsc_offset };
	msrs.steal = (struct steal){ .memory = &memory, .info = &info, .steal_tsc = &steal_tsc };
	msr_reset(&msrs);
	return 0;
}

static uint64_t read(uint32_t number)
{
	uint64_t value = 0;

	assert_int_equal(msr_read(&msrs, number, &value), BH_OK);
	return value;
}

static int write(uint32_t number, uint64_t value)
{
	return msr_write(&msrs, number, value);
}

static void constants_stay(void **state)
{
	(void)state;
	assert_int_equal(read(MTRR_CAP), 0x508);
	assert_int_equal(write(MTRR_CAP, 0), BH_ERR_INVALID);
	assert_int_equal(read(VM_CR), 0x18);
	assert_int_equal(read(0x3a), 1);
	assert_int_equal(write(0x3a, 5), BH_ERR_INVALID);
	assert_int_equal(write(0x8b, 7), BH_OK); /* ignored: Linux writes before it reads */
	assert_int_equal(read(0x8b), 1ull << 32);
}

static void memory_types_are_checked(void **state)
{
	(void)state;
	assert_int_equal(read(MTRR_DEF_TYPE), 0x806);
	assert_int_equal(write(MTRR_DEF_TYPE, 0xc00), BH_OK);
	assert_int_equal(write(MTRR_DEF_TYPE, 0xc02), BH_ERR_INVALID);
	assert_int_equal(write(MTRR_DEF_TYPE, 0x1006), BH_ERR_INVALID);
	assert_int_equal(read(MTRR_DEF_TYPE), 0xc00);
	assert_int_equal(write(0x200, 0x02), BH_ERR_INVALID);
	assert_int_equal(write(0x200, 0x80000006), BH_OK);
	assert_int_equal(write(0x201, 0xfffc0000800), BH_OK);
	assert_int_equal(write(0x20f, 1ull << 52), BH_ERR_INVALID);
	assert_int_equal(write(0x250, 0x0606060606060606), BH_OK);
	assert_int_equal(write(0x26f, 0x0606060606060602), BH_ERR_INVALID);
	assert_int_equal(write(0x26f, 0x0505050505050505), BH_OK);
	assert_int_equal(read(0x200), 0x80000006);
	assert_int_equal(read(0x201), 0xfffc0000800);
	assert_int_equal(read(0x26f), 0x0505050505050505);
	assert_int_equal(read(0x259), 0);
}

/* Each kept register has a place of its own. */
static void kept_registers_do_not_mix(void **state)
{
	static const uint32_t numbers[] = {
		0x200, 0x201, 0x20e, 0x20f,       0x250,    0x258,
		0x259, 0x268, 0x26f, MISC_ENABLE, KVM_WALL,
	};
	static const uint64_t values[] = { 0, 1, 4, 5, 0, 1, 4, 5, 6, 7, 8 };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_int_equal(write(numbers[i], values[i]), BH_OK);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_int_equal(read(numbers[i]), values[i]);
	}
	msr_reset(&msrs);
	assert_int_equal(read(0x26f), 0);
	assert_int_equal(read(MISC_ENABLE), 0x1801);
	assert_int_equal(read(KVM_WALL), 0);
}

static void clock_is_reached(void **state)
{
	(void)state;
	assert_int_equal(write(KVM_TIME, 0x101), BH_OK);
	assert_int_equal(read(KVM_TIME), 0x101);
	assert_int_equal(read(0x12), 0x101); /* the old number */
	assert_int_equal(ram[0x100], 2);
	tsc_offset = 5;
	assert_int_equal(write(0x10, 0), BH_OK); /* the kernel tells that the TSC has moved */
	assert_int_equal(ram[0x100], 4);
	assert_int_equal(write(0x3b, 0), BH_OK);
	assert_int_equal(ram[0x100], 6);
	msr_reset(&msrs);
	assert_int_equal(write(0x10, 0), BH_OK);
	assert_int_equal(ram[0x100], 6);
}

static void stolen_time_is_reached(void **state)
{
	(void)state;
	assert_int_equal(write(KVM_STEAL, 0x202), BH_ERR_INVALID);
	assert_int_equal(write(KVM_STEAL, 0x201), BH_OK);
	assert_int_equal(read(KVM_STEAL), 0x201);
	assert_int_equal(ram[0x208], 2); /* the record's version */
	msr_reset(&msrs);
	assert_int_equal(read(KVM_STEAL), 0);
	steal_tsc += 1000;
	steal_update(&msrs.steal);
	assert_int_equal(ram[0x208], 2);
}

static void what_is_not_there_is_refused(void **state)
{
	uint64_t value = 1;

	(void)state;
	assert_int_equal(msr_read(&msrs, 0x12345678, &value), BH_ERR_NOT_FOUND);
	assert_int_equal(write(0x12345678, 0), BH_ERR_NOT_FOUND);
	assert_int_equal(msr_read(&msrs, 0x10a, &value), BH_ERR_NOT_FOUND); /* not offered */
	assert_int_equal(value, 1);
}

static void every_number_is_harmless(void **state)
{
	static const uint32_t bases[] = { 0, 0xc0000000, 0xc0010000, 0x4b564d00 - 0x100 };
	static const uint64_t values[] = { 0xdeadbeefcafef00d, 0xfff, 0xffd, UINT64_MAX };
	uint64_t value;

	(void)state;
	for (uint32_t base = 0; base < sizeof(bases) / sizeof(bases[0]); base++) {
		for (uint32_t i = 0; i < 0x12000; i++) {
			(void)!msr_write(&msrs, bases[base] + i, values[i % 4]);
			(void)!msr_read(&msrs, bases[base] + i, &value);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(constants_stay, setup),
		cmocka_unit_test_setup(memory_types_are_checked, setup),
		cmocka_unit_test_setup(kept_registers_do_not_mix, setup),
		cmocka_unit_test_setup(clock_is_reached, setup),
		cmocka_unit_test_setup(stolen_time_is_reached, setup),
		cmocka_unit_test_setup(what_is_not_there_is_refused, setup),
		cmocka_unit_test_setup(every_number_is_harmless, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
