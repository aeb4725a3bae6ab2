// SPDX-License-Identifier: Apache-2.0
/* Those registers, by a table of places in the record (see cpu_msr.h). */
#include "vmm/cpu_msr.h"

#include <stddef.h>

#include "bulkhead/errors.h"
#include "vmm/cpu_state.h"

#define MSR_EFER     0xc0000080u
#define MSR_TSC_AUX  0xc0000103u

#define EFER_SCE     (1ull << 0)
#define FEATURE_NX   (1u << 20)
#define FEATURE_LONG (1u << 29)

#define ROW(number, member, group)                                    \
	{                                                             \
		number, group, offsetof(struct bh_vcpu_state, member) \
	}

static const struct {
	uint32_t number;
	uint16_t group;
	uint16_t offset;
} rows[] = {
	ROW(0x277, pat, BH_STATE_MSR),
	ROW(0x6e0, apic_timer_deadline_tsc, 0), /* writes are the kernel's */
	ROW(MSR_EFER, cpu.efer, BH_STATE_CONTROL),
	ROW(0xc0000081, star, BH_STATE_MSR),
	ROW(0xc0000082, lstar, BH_STATE_MSR),
	ROW(0xc0000083, cstar, BH_STATE_MSR),
	ROW(0xc0000084, sfmask, BH_STATE_MSR),
	ROW(MSR_TSC_AUX, tsc_aux, BH_STATE_MSR),
};

/* Its row, or -1. */
static int find(uint32_t number)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].number == number) {
			return (int)i;
		}
	}
	return -1;
}

/* LMA is the CPU's, whatever is written. */
static int check_efer(const struct bh_cpu_state *cpu, uint32_t features, uint64_t value)
{
	uint64_t allowed = EFER_SCE | CPU_EFER_LMA;

	allowed |= (features & FEATURE_NX) != 0 ? CPU_EFER_NXE : 0;
	allowed |= (features & FEATURE_LONG) != 0 ? CPU_EFER_LME : 0;
	return (value & ~allowed) != 0 || (((cpu->efer ^ value) & CPU_EFER_LME) != 0 &&
	                                   (cpu->cr0 & CPU_CR0_PG) != 0)
	               ? BH_ERR_INVALID
	               : BH_OK;
}

int cpu_msr_read(const struct bh_vcpu_state *state, uint32_t number, uint64_t *value)
{
	int row = find(number);

	if (row < 0) {
		return BH_ERR_NOT_FOUND;
	}
	*value = *(const uint64_t *)(const void *)((const char *)state + rows[row].offset);
	return BH_OK;
}

int cpu_msr_write(struct bh_vcpu_state *state, uint32_t features, uint32_t number, uint64_t value)
{
	int row = find(number);

	if (row < 0 || rows[row].group == 0) {
		return BH_ERR_NOT_FOUND;
	}
	if ((number == MSR_EFER && check_efer(&state->cpu, features, value) < 0) ||
	    (number == MSR_TSC_AUX && value > UINT32_MAX)) {
		return BH_ERR_INVALID;
	}
	*(uint64_t *)(void *)((char *)state + rows[row].offset) = value;
	state->groups = rows[row].group;
	return BH_OK;
}
