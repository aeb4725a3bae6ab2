/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing the other pCPUs up, and stopping them. */
#pragma once

#include "arch/x86/arch.h"

/* Start all pCPUs that ACPI names, at most `limit` with this one; they wait. Sets cpus_count. Boot pCPU. */
void smp_start(uint32_t limit);
/* Let them go on into kernel_cpu_loop(). */
void smp_release(void);
/* Turn virtualisation on for this pCPU where the machine has it. */
void smp_hvm_on(void);
_Noreturn void smp_ap_start(void);
