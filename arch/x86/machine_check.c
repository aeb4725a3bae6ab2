/* SPDX-License-Identifier: Apache-2.0 */
/* Machine check architecture: enable, and report when the machine says that it is broken (SDM 3B 15.3, 15.10; APM 2 9). */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/start.h"
#include "kernel/object.h"

static uint32_t banks_count;

void machine_check_cpu_init(void)
{
	uint32_t bank = 0;
	uint64_t cap;

	if (!feature_has(FEATURE_MCE) || !feature_has(FEATURE_MCA) ||
	    msr_read_safe(MSR_MCG_CAP, &cap) != BH_OK ||
	    ((cap & MCG_CAP_CTL_PRESENT) && msr_write_safe(MSR_MCG_CTL, ~0ull) != BH_OK)) {
		return;
	}
	while (bank < (cap & MCG_CAP_COUNT) &&
	       msr_write_safe(MSR_MC0_CTL + 4 * bank, ~0ull) == BH_OK &&
	       msr_write_safe(MSR_MC0_STATUS + 4 * bank, 0) == BH_OK) {
		bank++;
	}
	banks_count = bank;
}

void machine_check_handle(const struct arch_frame *frame)
{
	uint64_t status = msr_read(MSR_MCG_STATUS);
	bool is_fatal = (status & MCG_STATUS_RIPV) == 0, was_claimed = arch_console_claimed;

	arch_console_claimed = false;
	log_print("machine check: cpu %u status %lx at %lx", cpu_self()->idx, status, frame->rip);
	for (uint32_t bank = 0; bank < banks_count; bank++) {
		status = msr_read(MSR_MC0_STATUS + 4 * bank);
		if ((status & MC_STATUS_VALID) == 0) {
			continue;
		}
		log_print("machine check: bank %u status %lx address %lx", bank, status,
		          status & MC_STATUS_ADDRESS_VALID ? msr_read(MSR_MC0_ADDRESS + 4 * bank)
		                                           : 0);
		is_fatal |= (status & (MC_STATUS_UNCORRECTED | MC_STATUS_CONTEXT_CORRUPT)) != 0;
		msr_write(MSR_MC0_STATUS + 4 * bank, 0);
	}
	if (is_fatal) {
		panic("machine check: the hardware reports an uncorrected error");
	}
	msr_write(MSR_MCG_STATUS, 0);
	arch_console_claimed = was_claimed;
}
