/* SPDX-License-Identifier: Apache-2.0 */
/* Machine checks: banks enabled on each pCPU; an uncorrected error ends the machine with a dump of all banks (SDM 3B 15). */
#pragma once

#include "arch/x86/arch.h"

void machine_check_cpu_init(struct cpu *cpu);
/* #MC, on its own stack. Returns only if every bank's error was corrected. */
void machine_check_handle(const struct arch_frame *frame);
