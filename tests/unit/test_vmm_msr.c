// SPDX-License-Identifier: Apache-2.0
/*
 * The VMM's model-specific registers: constants, what is kept and what is refused, those of the CPU and of the local APIC, and that no
 * number and no value does harm.
 */
// sources: vmm/cpu_msr.c vmm/lapic.c vmm/msr.c vmm/kvmclock.c vmm/steal.c vmm/guest_memory.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bulkhead/errors.h"
#include "bulkhead/protocol.h"
#include "lib/time.h"
#include "vmm/cpu_msr.h"
#include "vmm/lapic.h"
#include "vmm/msr.h"

#define MTRR_CAP      0xfeu
#define MTRR_DEF_TYPE 0x2ffu
#define MISC_ENABLE   0x1a0u
#define VM_CR         0xc0010114u
#define KVM_WALL      0x4b564d00u
#define KVM_TIME      0x4b564d01u
#define KVM_STEAL     0x4b564d03u
#define KVM_PV_EOI    0x4b564d04u
#define APIC_BASE     0x1bu
#define EFER          0xc0000080u
#define XAPIC         (GUEST_LAPIC_BASE | 0x800u)
#define X2APIC        (XAPIC | 0x400u)

static _Alignas(4096) uint8_t ram[4096];
static struct guest_memory memory;
static struct bh_info info;
static uint64_t steal_tsc;
static struct bh_run run;
static uint32_t page[1024];
static const struct lapic lapic = { &run, page };
static struct msr_state msrs;

static int setup(void **state)
{
	(void)state;
	memset(ram, 0, sizeof(ram));
	memory = (struct guest_memory){ .slots = { { 0, sizeof(ram), ram } }, .slots_count = 1 };
	info.tsc_hz = 1000000000;
	memset(&run, 0, sizeof(run));
	memset(page, 0, sizeof(page));
	page[0xf0 / 4] = 0x1ff;
	run.apic_base = XAPIC;
	memset(&msrs, 0, sizeof(msrs));
	msrs.run = &run;
	msrs.clock = (struct kvmclock){ .memory = &memory,
		                        .info = &info,
		                        .tsc_offset = &run.tsc_offset };
	msrs.steal = (struct steal){ .memory = &memory,
		                     .info = &info,
		                     .steal_tsc = &steal_tsc,
		                     .preempted_byte = &run.preempted_byte };
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
	assert_int_equal(write(0x10, 0), BH_OK); /* the TSC moves, and the clock with it */
	assert_int_equal(ram[0x100], 4);
	assert_int_equal(write(0x3b, 0), BH_OK);
	assert_int_equal(ram[0x100], 6);
	msr_reset(&msrs);
	assert_int_equal(write(0x10, 0), BH_OK);
	assert_int_equal(ram[0x100], 6);
}

static void time_stamp_moves(void **state)
{
	(void)state;
	assert_int_equal(write(0x10, 0), BH_OK);
	assert_int_equal(run.state_dirty, BH_STATE_TSC);
	assert_in_range(read(0x10), 0, 10000000000);
	assert_int_equal(read(0x3b), run.tsc_offset);
	assert_int_equal(write(0x3b, 0), BH_OK);
	assert_int_equal(run.tsc_offset, 0);
	assert_int_equal(write(0x3b, 77), BH_OK);
	assert_int_equal(run.tsc_offset, 77);
	assert_int_equal(read(0x3b), 77);
}

static int base_write(uint64_t value)
{
	int error = lapic_msr_write(&lapic, APIC_BASE, value);

	assert_int_equal(run.state_dirty, error == BH_OK ? BH_STATE_APIC_BASE : 0);
	run.state_dirty = 0;
	return error;
}

static void apic_modes_follow_the_manual(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(base_write(GUEST_LAPIC_BASE | 0x400), BH_ERR_INVALID);
	assert_int_equal(base_write(0xfed00800), BH_ERR_INVALID);
	assert_int_equal(base_write(XAPIC | 1), BH_ERR_INVALID);
	assert_int_equal(base_write(X2APIC), BH_OK);
	assert_int_equal(lapic_msr_read(&lapic, APIC_BASE, &value), BH_OK);
	assert_int_equal(value, X2APIC);
	assert_int_equal(base_write(XAPIC), BH_ERR_INVALID);
	assert_int_equal(base_write(GUEST_LAPIC_BASE), BH_OK);
	assert_int_equal(base_write(X2APIC), BH_ERR_INVALID);
	assert_int_equal(base_write(XAPIC), BH_OK);
}

/* What the kernel is told to store; UINT32_MAX: nothing. */
static uint32_t stored(uint32_t offset)
{
	uint32_t value = run.lapic_write == 1 && run.lapic_offset == offset ? run.lapic_value
	                                                                    : UINT32_MAX;

	run.lapic_write = 0;
	return value;
}

static uint32_t store(uint32_t offset, uint32_t value)
{
	lapic_write(&lapic, offset, value);
	return stored(offset);
}

static void apic_registers_in_memory(void **state)
{
	(void)state;
	assert_int_equal(store(0x0f0, 0xfffff1ff), 0x1ff);
	assert_int_equal(store(0x0d0, 0x12345678), 0x12000000);
	assert_int_equal(store(0x0e0, 0x40000000), 0x4fffffff);
	assert_int_equal(store(0x310, 0x12345678), 0x12000000);
	assert_int_equal(store(0x320, 0xfffeffff), 0x600ff);
	assert_int_equal(store(0x350, 0xfffeffff), 0xb7ff);
	assert_int_equal(store(0x370, 0xfffeffff), 0xff);
	assert_int_equal(store(0x3e0, 0xffffffff), 0xb);
	assert_int_equal(store(0x300, 0x4fff), 0x4fff);
	page[0xf0 / 4] = 0xff; /* disabled by software: masked */
	assert_int_equal(store(0x320, 0x40), 0x10040);
	static const uint32_t none[] = { 0x20, 0x30, 0xa0, 0x100, 0x390, 0x3f0, 0x400, 0xff0 };

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		lapic_write(&lapic, none[i], 0x55);
		assert_int_equal(run.lapic_write, 0);
	}
}

static void apic_registers_by_msr(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(lapic_msr_read(&lapic, 0x802, &value), BH_ERR_NOT_FOUND); /* xAPIC */
	assert_int_equal(lapic_msr_write(&lapic, 0x80f, 0x1ff), BH_ERR_NOT_FOUND);
	run.apic_base = X2APIC;
	page[0x300 / 4] = 0x4077;
	page[0x310 / 4] = 5;
	page[0x20 / 4] = 9;
	assert_int_equal(lapic_msr_read(&lapic, 0x802, &value), BH_OK);
	assert_int_equal(value, 9);
	assert_int_equal(lapic_msr_read(&lapic, 0x830, &value), BH_OK);
	assert_int_equal(value, 0x5ull << 32 | 0x4077);
	assert_int_equal(lapic_msr_write(&lapic, 0x80f, 0xfff), BH_OK);
	assert_int_equal(stored(0xf0), 0x1ff);
	assert_int_equal(lapic_msr_write(&lapic, 0x80f, 1ull << 32), BH_ERR_INVALID);
	assert_int_equal(lapic_msr_write(&lapic, 0x828, 0), BH_OK);
	assert_int_equal(stored(0x280), 0);
	assert_int_equal(lapic_msr_write(&lapic, 0x828, 1), BH_ERR_INVALID);
	assert_int_equal(lapic_msr_write(&lapic, 0x80b, 1), BH_ERR_INVALID);   /* EOI */
	assert_int_equal(lapic_msr_write(&lapic, 0x808, 256), BH_ERR_INVALID); /* TPR */
	assert_int_equal(lapic_msr_write(&lapic, 0x80d, 0), BH_ERR_INVALID);   /* LDR */
	assert_int_equal(lapic_msr_write(&lapic, 0x80e, 0), BH_ERR_INVALID);   /* DFR: none */
	assert_int_equal(run.lapic_write, 0);
	for (uint32_t i = 0; i < 0x40; i++) {
		static const uint8_t holes[] = { 0x00, 0x04, 0x09, 0x0b, 0x0c, 0x0e,
			                         0x29, 0x31, 0x3a, 0x3d, 0x3f };
		bool is_hole = memchr(holes, (int)i, sizeof(holes)) != NULL || (i > 3 && i < 8) ||
		               (i > 0x28 && i < 0x30) || (i > 0x39 && i < 0x3e);

		is_hole = is_hole || i == 1;
		assert_int_equal(lapic_msr_read(&lapic, 0x800 + i, &value),
		                 is_hole ? BH_ERR_NOT_FOUND : BH_OK);
	}
}

static void registers_of_the_cpu(void **state)
{
	static struct bh_vcpu_state cpu;
	const uint32_t features = 1u << 29 | 1u << 20;
	uint64_t value;

	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	assert_int_equal(cpu_msr_write(&cpu, features, 0x277, 0x0007040600070406), BH_OK);
	assert_int_equal(cpu.groups, BH_STATE_MSR);
	assert_int_equal(cpu_msr_read(&cpu, 0x277, &value), BH_OK);
	assert_int_equal(value, 0x0007040600070406);
	assert_int_equal(cpu_msr_write(&cpu, features, 0xc0000082, 0xffff800000000000), BH_OK);
	assert_int_equal(cpu.lstar, 0xffff800000000000);
	assert_int_equal(cpu_msr_write(&cpu, features, EFER, 0x901), BH_OK); /* SCE, LME, NXE */
	assert_int_equal(cpu.groups, BH_STATE_CONTROL);
	assert_int_equal(cpu.cpu.efer, 0x901);
	assert_int_equal(cpu_msr_write(&cpu, features, EFER, 0x1901), BH_ERR_INVALID); /* SVME */
	assert_int_equal(cpu_msr_write(&cpu, 1u << 29, EFER, 0x901), BH_ERR_INVALID);
	cpu.cpu.cr0 = 0x80000001;
	assert_int_equal(cpu_msr_write(&cpu, features, EFER, 0x801), BH_ERR_INVALID); /* paging */
	assert_int_equal(cpu_msr_write(&cpu, features, EFER, 0xd00), BH_OK);
	assert_int_equal(cpu_msr_write(&cpu, features, 0xc0000103, 1ull << 32), BH_ERR_INVALID);
	assert_int_equal(cpu_msr_write(&cpu, features, 0xc0000103, 7), BH_OK);
	assert_int_equal(cpu.tsc_aux, 7);
	cpu.apic_timer_deadline_tsc = 99;
	assert_int_equal(cpu_msr_read(&cpu, 0x6e0, &value), BH_OK);
	assert_int_equal(value, 99);
	assert_int_equal(cpu_msr_write(&cpu, features, 0x6e0, 1), BH_ERR_NOT_FOUND);
	assert_int_equal(cpu_msr_read(&cpu, 0xc0000085, &value), BH_ERR_NOT_FOUND);
}

static void stolen_time_is_reached(void **state)
{
	(void)state;
	assert_int_equal(write(KVM_STEAL, 0x202), BH_ERR_INVALID);
	assert_int_equal(write(KVM_STEAL, 0x201), BH_OK);
	assert_int_equal(read(KVM_STEAL), 0x201);
	assert_int_equal(ram[0x208], 2); /* the record's version */
	assert_ptr_equal((void *)run.preempted_byte, &ram[0x210]);
	msr_reset(&msrs);
	assert_int_equal(read(KVM_STEAL), 0);
	assert_int_equal(run.preempted_byte, 0);
	steal_tsc += 1000;
	steal_update(&msrs.steal);
	assert_int_equal(ram[0x208], 2);
}

static void pv_eoi_names_the_guests_byte(void **state)
{
	(void)state;
	assert_int_equal(write(KVM_PV_EOI, 0x305), BH_OK);
	assert_int_equal(read(KVM_PV_EOI), 0x305);
	assert_ptr_equal((void *)run.eoi_byte, &ram[0x304]);
	assert_int_equal(write(KVM_PV_EOI, 0x307), BH_ERR_INVALID);
	assert_ptr_equal((void *)run.eoi_byte, &ram[0x304]);
	assert_int_equal(write(KVM_PV_EOI, 0x304), BH_OK); /* off */
	assert_int_equal(run.eoi_byte, 0);
	assert_int_equal(write(KVM_PV_EOI, 0x1001), BH_OK); /* no RAM */
	assert_int_equal(run.eoi_byte, 0);
	assert_int_equal(write(KVM_PV_EOI, 0x305), BH_OK);
	msr_reset(&msrs);
	assert_int_equal(run.eoi_byte, 0);
	assert_int_equal(read(KVM_PV_EOI), 0);
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
			(void)!lapic_msr_write(&lapic, bases[base] + i, values[i % 4]);
			(void)!lapic_msr_read(&lapic, bases[base] + i, &value);
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
		cmocka_unit_test_setup(time_stamp_moves, setup),
		cmocka_unit_test_setup(apic_modes_follow_the_manual, setup),
		cmocka_unit_test_setup(apic_registers_in_memory, setup),
		cmocka_unit_test_setup(apic_registers_by_msr, setup),
		cmocka_unit_test_setup(registers_of_the_cpu, setup),
		cmocka_unit_test_setup(stolen_time_is_reached, setup),
		cmocka_unit_test_setup(pv_eoi_names_the_guests_byte, setup),
		cmocka_unit_test_setup(what_is_not_there_is_refused, setup),
		cmocka_unit_test_setup(every_number_is_harmless, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
