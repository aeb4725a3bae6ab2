// SPDX-License-Identifier: Apache-2.0
/*
 * One table of policies. What is not in it does not exist.
 *
 * Memory types (MTRRs) are checked and kept, and have no effect: the nested page table decides.
 */
#include "vmm/msr.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "lib/time.h"

enum msr_policy {
	POLICY_CONSTANT, /* reads `value`; a write is refused */
	POLICY_IGNORE,   /* reads `value`; writes go nowhere */
	POLICY_KEEP,     /* a field of struct msr_state; writes are checked */
	POLICY_TSC,      /* the time stamp, moved by run.tsc_offset */
};

struct msr_row {
	uint32_t first, last;
	enum msr_policy policy;
	uint64_t value;
};

#define MSR_TSC                   0x10u
#define MSR_KVM_WALL_CLOCK_OLD    0x11u
#define MSR_KVM_SYSTEM_TIME_OLD   0x12u
#define MSR_TSC_ADJUST            0x3bu
#define MSR_MISC_ENABLE           0x1a0u
#define MSR_MTRR_FIRST            0x200u
#define MSR_MTRR_LAST             (MSR_MTRR_FIRST + MSR_MTRR_VARIABLE_COUNT - 1)
#define MSR_MTRR_FIX64K           0x250u
#define MSR_MTRR_FIX16K_80000     0x258u
#define MSR_MTRR_FIX16K_A0000     0x259u
#define MSR_MTRR_FIX4K_FIRST      0x268u
#define MSR_MTRR_FIX4K_LAST       0x26fu
#define MSR_MTRR_DEF_TYPE         0x2ffu
#define MSR_KVM_WALL_CLOCK        0x4b564d00u
#define MSR_KVM_SYSTEM_TIME       0x4b564d01u
#define MSR_KVM_STEAL_TIME        0x4b564d03u
#define MSR_KVM_PV_EOI            0x4b564d04u

#define FEATURE_CONTROL_LOCKED    1u
#define UCODE_REVISION            (1ull << 32)
#define FSB_100_MHZ               3u
#define PERF_STATUS               (1000ull | 4ull << 40) /* of an idle desktop CPU */
#define MTRR_CAPABILITIES         0x508u /* 8 variable ranges, fixed ranges, write combining */
#define MTRR_ON_WRITE_BACK        0x806u /* no fixed ranges (SDM 3A 12.11.2.1) */
#define MTRR_DEF_TYPE_WRITABLE    0xcffull
#define MTRR_RESERVED             (~0ull << 52)
#define MISC_ENABLE_RESET         0x1801u    /* fast strings; no branch trace store, no PEBS */
#define HWCR_TSC_FREQ_SEL         (1u << 24) /* the TSC counts at P0's rate: Linux asks */
#define DE_CFG_LFENCE_SERIALIZING (1u << 1)
#define PV_EOI_ON                 1ull
#define PV_EOI_RESERVED           2ull
#define PV_EOI_BYTES              4u
#define VM_CR_OFF                 0x18u /* locked, SVM disabled */

/* First match counts. */
static const struct msr_row rows[] = {
	{ MSR_TSC, MSR_TSC, POLICY_TSC, 0 },
	{ MSR_KVM_WALL_CLOCK_OLD, MSR_KVM_SYSTEM_TIME_OLD, POLICY_KEEP, 0 },
	{ 0x17, 0x17, POLICY_CONSTANT, 0 },                      /* PLATFORM_ID */
	{ 0x2a, 0x2a, POLICY_IGNORE, 0 },                        /* EBL_CR_POWERON */
	{ 0x34, 0x34, POLICY_CONSTANT, 0 },                      /* SMI_COUNT */
	{ 0x3a, 0x3a, POLICY_CONSTANT, FEATURE_CONTROL_LOCKED }, /* without VMX */
	{ MSR_TSC_ADJUST, MSR_TSC_ADJUST, POLICY_TSC, 0 },
	{ 0x79, 0x79, POLICY_IGNORE, 0 }, /* microcode update */
	{ 0x8b, 0x8b, POLICY_IGNORE, UCODE_REVISION },
	{ 0xc1, 0xc8, POLICY_IGNORE, 0 },             /* performance counters: none */
	{ 0xcd, 0xcd, POLICY_CONSTANT, FSB_100_MHZ }, /* FSB_FREQ */
	{ 0xce, 0xce, POLICY_IGNORE, 0 },             /* PLATFORM_INFO */
	{ 0xe7, 0xe8, POLICY_IGNORE, 0 },             /* MPERF, APERF */
	{ 0xfe, 0xfe, POLICY_CONSTANT, MTRR_CAPABILITIES },
	{ 0x10b, 0x10b, POLICY_IGNORE, 0 }, /* FLUSH_CMD */
	{ 0x140, 0x140, POLICY_IGNORE, 0 }, /* MISC_FEATURES_ENABLES */
	{ 0x179, 0x17b, POLICY_IGNORE, 0 }, /* MCG_CAP, STATUS, CTL: no banks */
	{ 0x186, 0x18d, POLICY_IGNORE, 0 }, /* PERFEVTSEL */
	{ 0x198, 0x198, POLICY_CONSTANT, PERF_STATUS },
	{ 0x199, 0x19c, POLICY_IGNORE, 0 }, /* PERF_CTL, clock modulation, thermal */
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, POLICY_KEEP, 0 },
	{ 0x1a2, 0x1a2, POLICY_CONSTANT, 0 }, /* TEMPERATURE_TARGET */
	{ 0x1b0, 0x1b2, POLICY_IGNORE, 0 },   /* energy bias, package thermal */
	{ 0x1d9, 0x1de, POLICY_IGNORE, 0 },   /* DEBUGCTL, last branch: not kept */
	{ MSR_MTRR_FIRST, MSR_MTRR_LAST, POLICY_KEEP, 0 },
	{ MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, POLICY_KEEP, 0 },
	{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, POLICY_KEEP, 0 },
	{ MSR_MTRR_FIX4K_FIRST, MSR_MTRR_FIX4K_LAST, POLICY_KEEP, 0 },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, POLICY_KEEP, 0 },
	{ 0x38d, 0x390, POLICY_IGNORE, 0 }, /* fixed counter control */
	{ 0x400, 0x47f, POLICY_IGNORE, 0 }, /* machine check banks */
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME, POLICY_KEEP, 0 },
	{ MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI, POLICY_KEEP, 0 },
	{ 0xc00000e7, 0xc00000e8, POLICY_IGNORE, 0 }, /* read-only MPERF, APERF */
	{ 0xc0010000, 0xc0010007, POLICY_IGNORE, 0 }, /* K7 performance counters */
	{ 0xc0010010, 0xc0010010, POLICY_IGNORE, 0 }, /* SYSCFG */
	{ 0xc0010015, 0xc0010015, POLICY_IGNORE, HWCR_TSC_FREQ_SEL },
	{ 0xc001001f, 0xc0010020, POLICY_IGNORE, 0 }, /* NB_CFG, microcode loader */
	{ 0xc0010055, 0xc0010055, POLICY_IGNORE, 0 }, /* interrupt pending message */
	{ 0xc0010058, 0xc0010058, POLICY_IGNORE, 0 }, /* MMIO configuration base */
	{ 0xc0010061, 0xc001006b, POLICY_IGNORE, 0 }, /* P-states */
	{ 0xc0010112, 0xc0010113, POLICY_IGNORE, 0 }, /* SMM address and mask */
	{ 0xc0010114, 0xc0010114, POLICY_CONSTANT, VM_CR_OFF },
	{ 0xc0010117, 0xc0010117, POLICY_CONSTANT, 0 }, /* VM_HSAVE_PA */
	{ 0xc0010140, 0xc0010141, POLICY_IGNORE, 0 },   /* OS-visible workarounds: none */
	{ 0xc0010200, 0xc001020b, POLICY_IGNORE, 0 },   /* performance counters */
	{ 0xc0011020, 0xc0011023, POLICY_IGNORE, 0 },   /* LS, IC, DC, BU configuration */
	{ 0xc0011028, 0xc0011028, POLICY_IGNORE, 0 },   /* FP configuration */
	{ 0xc0011029, 0xc0011029, POLICY_IGNORE, DE_CFG_LFENCE_SERIALIZING },
	{ 0xc001102a, 0xc001102d, POLICY_IGNORE, 0 },
};

int msr_pv_eoi_set(struct msr_state *msrs, uint64_t value)
{
	if ((value & PV_EOI_RESERVED) != 0) {
		return BH_ERR_INVALID;
	}
	msrs->pv_eoi = value;
	msrs->run->eoi_byte = 0;
	if ((value & PV_EOI_ON) != 0) {
		msrs->run->eoi_byte = (uint64_t)guest_memory_at(msrs->steal.memory,
		                                                value & ~PV_EOI_ON, PV_EOI_BYTES);
	}
	return BH_OK;
}

void msr_reset(struct msr_state *msrs)
{
	memset(msrs->mtrr_variable, 0, sizeof(msrs->mtrr_variable));
	memset(msrs->mtrr_fixed, 0, sizeof(msrs->mtrr_fixed));
	msrs->mtrr_def_type = MTRR_ON_WRITE_BACK;
	msrs->misc_enable = MISC_ENABLE_RESET;
	msrs->clock.system_time = 0;
	msrs->clock.wall_clock = 0;
	(void)steal_set(&msrs->steal, 0);
	(void)msr_pv_eoi_set(msrs, 0);
}

static const struct msr_row *find(uint32_t number)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (number >= rows[i].first && number <= rows[i].last) {
			return &rows[i];
		}
	}
	return NULL;
}

/* Where a register of POLICY_KEEP is kept. */
static uint64_t *field(struct msr_state *msrs, uint32_t number)
{
	switch (number) {
	case MSR_KVM_WALL_CLOCK_OLD:
	case MSR_KVM_WALL_CLOCK:
		return &msrs->clock.wall_clock;
	case MSR_KVM_SYSTEM_TIME_OLD:
	case MSR_KVM_SYSTEM_TIME:
		return &msrs->clock.system_time;
	case MSR_KVM_STEAL_TIME:
		return &msrs->steal.value;
	case MSR_KVM_PV_EOI:
		return &msrs->pv_eoi;
	case MSR_MISC_ENABLE:
		return &msrs->misc_enable;
	case MSR_MTRR_DEF_TYPE:
		return &msrs->mtrr_def_type;
	case MSR_MTRR_FIX64K:
		return &msrs->mtrr_fixed[0];
	case MSR_MTRR_FIX16K_80000:
	case MSR_MTRR_FIX16K_A0000:
		return &msrs->mtrr_fixed[1 + number - MSR_MTRR_FIX16K_80000];
	default:
		return number <= MSR_MTRR_LAST
		               ? &msrs->mtrr_variable[number - MSR_MTRR_FIRST]
		               : &msrs->mtrr_fixed[3 + number - MSR_MTRR_FIX4K_FIRST];
	}
}

static bool is_memory_type(uint64_t type)
{
	return type <= 6 && type != 2 && type != 3;
}

/* SDM 3A 12.11.2: what a CPU takes in base, mask, fixed-range and default-type registers. */
static bool is_mtrr_valid(uint32_t number, uint64_t value)
{
	if (number == MSR_MTRR_DEF_TYPE) {
		return (value & ~MTRR_DEF_TYPE_WRITABLE) == 0 && is_memory_type(value & 0xff);
	}
	if (number <= MSR_MTRR_LAST) {
		bool is_base = (number & 1) == 0;

		return (value & MTRR_RESERVED) == 0 && (!is_base || is_memory_type(value & 0xff));
	}
	for (uint32_t shift = 0; shift < 64; shift += 8) {
		if (!is_memory_type(value >> shift & 0xff)) {
			return false;
		}
	}
	return true;
}

/* Ticks forward. The clock page follows. */
static void move_tsc(struct msr_state *msrs, uint64_t ticks)
{
	msrs->tsc_adjust += ticks;
	msrs->run->tsc_offset += ticks;
	msrs->run->state_dirty |= BH_STATE_TSC;
	kvmclock_update(&msrs->clock);
}

static uint64_t tsc_read(const struct msr_state *msrs, uint32_t number)
{
	return number == MSR_TSC ? bh_tsc() + msrs->run->tsc_offset : msrs->tsc_adjust;
}

static int keep(struct msr_state *msrs, uint32_t number, uint64_t value)
{
	switch (number) {
	case MSR_KVM_WALL_CLOCK_OLD:
	case MSR_KVM_WALL_CLOCK:
		kvmclock_set_wall_clock(&msrs->clock, value);
		return BH_OK;
	case MSR_KVM_SYSTEM_TIME_OLD:
	case MSR_KVM_SYSTEM_TIME:
		kvmclock_set_system_time(&msrs->clock, value);
		return BH_OK;
	case MSR_KVM_STEAL_TIME:
		return steal_set(&msrs->steal, value);
	case MSR_KVM_PV_EOI:
		return msr_pv_eoi_set(msrs, value);
	default:
		if (number != MSR_MISC_ENABLE && !is_mtrr_valid(number, value)) {
			return BH_ERR_INVALID;
		}
		*field(msrs, number) = value;
		return BH_OK;
	}
}

int msr_read(struct msr_state *msrs, uint32_t number, uint64_t *value)
{
	const struct msr_row *row = find(number);

	if (row == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	if (row->policy == POLICY_TSC) {
		*value = tsc_read(msrs, number);
	} else {
		*value = row->policy == POLICY_KEEP ? *field(msrs, number) : row->value;
	}
	return BH_OK;
}

int msr_write(struct msr_state *msrs, uint32_t number, uint64_t value)
{
	const struct msr_row *row = find(number);

	if (row == NULL) {
		return BH_ERR_NOT_FOUND;
	}
	switch (row->policy) {
	case POLICY_CONSTANT:
		return BH_ERR_INVALID;
	case POLICY_IGNORE:
		return BH_OK;
	case POLICY_KEEP:
		return keep(msrs, number, value);
	case POLICY_TSC:
		move_tsc(msrs, value - tsc_read(msrs, number));
		return BH_OK;
	}
	return BH_ERR_NOT_FOUND;
}
