/* SPDX-License-Identifier: Apache-2.0 */
/* Machine check architecture: enable, and report when the machine says that it is broken (SDM 3B 15.3, 15.10; APM 2 9). */
#include "arch/x86/machine_check.h"

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/msr.h"
#include "kernel/object.h"

static uint32_t banks_count;

void machine_check_cpu_init(struct cpu *cpu)
{
	uint64_t cap;

	if (!feature_has(FEATURE_MCE) || !feature_has(FEATURE_MCA) ||
	    msr_read_safe(MSR_MCG_CAP, &cap) != BH_OK) {
		return;
	}
	if (cpu->idx == 0) {
		banks_count = cap & MCG_CAP_COUNT;
	}
	if ((cap & MCG_CAP_CTL_PRESENT) && msr_write_safe(MSR_MCG_CTL, ~0ull) != BH_OK) {
		return;
	}
	for (uint32_t bank = 0; bank < banks_count; bank++) {
		if (msr_write_safe(MSR_MC0_CTL + 4 * bank, ~0ull) != BH_OK ||
		    msr_write_safe(MSR_MC0_CTL + 4 * bank + 1, 0) != BH_OK) {
			break;
		}
	}
}

/* Print one bank; true if what it holds cannot be lived with. */
static bool bank_report(uint32_t bank)
{
	uint32_t base = MSR_MC0_CTL + 4 * bank;
	uint64_t status, address = 0, misc = 0;

	if (msr_read_safe(base + 1, &status) != BH_OK || (status & BIT(MC_STATUS_VALID)) == 0) {
		return false;
	}
	if ((status & BIT(MC_STATUS_ADDRESS_VALID)) && msr_read_safe(base + 2, &address) != BH_OK) {
		address = 0;
	}
	if ((status & BIT(MC_STATUS_MISC_VALID)) && msr_read_safe(base + 3, &misc) != BH_OK) {
		misc = 0;
	}
	log_print("machine check: bank %u status %lx address %lx misc %lx", bank, status, address,
	          misc);
	return (status & (BIT(MC_STATUS_UNCORRECTED) | BIT(MC_STATUS_CONTEXT_CORRUPT))) != 0;
}

void machine_check_handle(const struct arch_frame *frame)
{
	uint64_t status = 0;
	bool is_fatal = false;

	arch_console_claimed = false;
	if (msr_read_safe(MSR_MCG_STATUS, &status) != BH_OK || (status & MCG_STATUS_RIPV) == 0) {
		is_fatal = true;
	}
	log_print("machine check: cpu %u status %lx at %lx", cpu_self()->idx, status, frame->rip);
	for (uint32_t bank = 0; bank < banks_count; bank++) {
		is_fatal |= bank_report(bank);
	}
	if (is_fatal) {
		panic("machine check: the hardware reports an uncorrected error");
	}
	for (uint32_t bank = 0; bank < banks_count; bank++) {
		is_fatal |= msr_write_safe(MSR_MC0_CTL + 4 * bank + 1, 0) != BH_OK;
	}
	is_fatal |= msr_write_safe(MSR_MCG_STATUS, 0) != BH_OK;
	CHECK(!is_fatal);
}
