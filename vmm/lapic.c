// SPDX-License-Identifier: Apache-2.0
/* Reads and writes of those registers (see lapic.h), by tables. */
#include "vmm/lapic.h"

#include "bulkhead/errors.h"
#include "bulkhead/protocol.h"

#define MSR_APIC_BASE    0x1bu
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST  0x83fu

#define BASE_BSP         (1ull << 8)
#define BASE_X2APIC      (1ull << 10)
#define BASE_ENABLE      (1ull << 11)
#define BASE_KNOWN       (BASE_BSP | BASE_X2APIC | BASE_ENABLE)

#define LAPIC_SVR        0x0f0u
#define LAPIC_SVR_ENABLE 0x100u
#define LAPIC_ESR        0x280u
#define LAPIC_ICR        0x300u
#define LAPIC_ICR_HIGH   0x310u
#define LAPIC_END        0x400u
#define LAPIC_LVT_MASKED 0x10000u

/*
 * Registers that can be written, by their place in the page: the bits that count, and those that read as ones. In x2APIC mode DFR, LDR and
 * ICR's upper half are none, and the kernel has finished TPR, EOI, ICR, the timer's count and SELF_IPI: what comes of them here is a value
 * that they refuse.
 */
#define AT(offset) [(offset) / 0x10]
static const struct register_row {
	uint32_t mask; /* 0: none */
	uint32_t ones;
	uint32_t is_x2apic; /* such a write can come in that mode, too */
	uint32_t is_lvt;
} rows[0x40] = {
	AT(0x080) = { 0xff, 0, false, false },                /* TPR */
	AT(0x0b0) = { UINT32_MAX, 0, false, false },          /* EOI */
	AT(0x0d0) = { 0xff000000, 0, false, false },          /* LDR */
	AT(0x0e0) = { UINT32_MAX, 0x0fffffff, false, false }, /* DFR */
	AT(LAPIC_SVR) = { 0x1ff, 0, true, false },
	AT(LAPIC_ESR) = { UINT32_MAX, 0, true, false }, /* latches what has been collected */
	AT(LAPIC_ICR) = { UINT32_MAX, 0, false, false },
	AT(LAPIC_ICR_HIGH) = { 0xff000000, 0, false, false },
	/* Vector and mask; delivery mode; for the pins polarity and trigger mode; for the timer its mode. */
	AT(0x320) = { 0x700ff, 0, true, true },      /* timer */
	AT(0x330) = { 0x117ff, 0, true, true },      /* thermal */
	AT(0x340) = { 0x117ff, 0, true, true },      /* performance counters */
	AT(0x350) = { 0x1b7ff, 0, true, true },      /* LINT0 */
	AT(0x360) = { 0x1b7ff, 0, true, true },      /* LINT1 */
	AT(0x370) = { 0x100ff, 0, true, true },      /* error */
	AT(0x380) = { UINT32_MAX, 0, false, false }, /* the timer's count */
	AT(0x3e0) = { 0xb, 0, true, false },         /* the timer's divider */
};

/* MSRs of x2APIC mode that can be read: bit n is 800h + n (SDM 3A table 11-6). */
#define BITS(last, first) ((~0ull >> (63 - (last))) & (~0ull << (first)))
#define READABLE                                                                     \
	(BITS(0x03, 0x02) | BITS(0x08, 0x08) | BITS(0x0a, 0x0a) | BITS(0x0d, 0x0d) | \
	 BITS(0x28, 0x0f) | BITS(0x30, 0x30) | BITS(0x37, 0x32) | BITS(0x39, 0x38) | \
	 BITS(0x3e, 0x3e))

void lapic_write(const struct lapic *lapic, uint32_t offset, uint32_t value)
{
	const struct register_row *row = &rows[offset / 0x10 % 0x40];
	struct bh_run *run = lapic->run;

	if (offset >= LAPIC_END || row->mask == 0) {
		return;
	}
	value = (value & row->mask) | row->ones;
	if (row->is_lvt && (lapic->registers[LAPIC_SVR / 4] & LAPIC_SVR_ENABLE) == 0) {
		value |= LAPIC_LVT_MASKED; /* SDM 3A 11.4.7.2 */
	}
	run->lapic_write = 1;
	run->lapic_offset = offset;
	run->lapic_value = value;
}

static bool is_x2apic(const struct lapic *lapic)
{
	return (lapic->run->apic_base & BASE_X2APIC) != 0;
}

/* The page does not move (docs/caveats.md); modes follow each other as in SDM 3A figure 11-27. */
static int base_write(const struct lapic *lapic, uint64_t value)
{
	uint64_t old = lapic->run->apic_base;
	bool was_on = (old & BASE_ENABLE) != 0, was_x2apic = (old & BASE_X2APIC) != 0;
	bool is_on = (value & BASE_ENABLE) != 0, is_x2apic = (value & BASE_X2APIC) != 0;

	if ((value & ~BASE_KNOWN) != GUEST_LAPIC_BASE || (is_x2apic && (!is_on || !was_on)) ||
	    (was_x2apic && is_on && !is_x2apic)) {
		return BH_ERR_INVALID;
	}
	lapic->run->apic_base = value;
	lapic->run->state_dirty |= BH_STATE_APIC_BASE;
	return BH_OK;
}

int lapic_msr_read(const struct lapic *lapic, uint32_t number, uint64_t *value)
{
	uint32_t offset = (number - MSR_X2APIC_FIRST) * 0x10;

	if (number == MSR_APIC_BASE) {
		*value = lapic->run->apic_base;
		return BH_OK;
	}
	if (number < MSR_X2APIC_FIRST || number > MSR_X2APIC_LAST || !is_x2apic(lapic) ||
	    (READABLE >> (number - MSR_X2APIC_FIRST) & 1) == 0) {
		return BH_ERR_NOT_FOUND;
	}
	*value = lapic->registers[offset / 4];
	if (offset == LAPIC_ICR) {
		*value |= (uint64_t)lapic->registers[LAPIC_ICR_HIGH / 4] << 32;
	}
	return BH_OK;
}

int lapic_msr_write(const struct lapic *lapic, uint32_t number, uint64_t value)
{
	uint32_t offset = (number - MSR_X2APIC_FIRST) * 0x10;

	if (number == MSR_APIC_BASE) {
		return base_write(lapic, value);
	}
	if (number < MSR_X2APIC_FIRST || number > MSR_X2APIC_LAST || !is_x2apic(lapic)) {
		return BH_ERR_NOT_FOUND;
	}
	if (!rows[offset / 0x10].is_x2apic || value > (offset == LAPIC_ESR ? 0 : UINT32_MAX)) {
		return BH_ERR_INVALID;
	}
	lapic_write(lapic, offset, (uint32_t)value);
	return BH_OK;
}
