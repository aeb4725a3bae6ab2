/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration of the TSC and of the local APIC's countdown; wall-clock time at start. */
#pragma once

#include "kernel/types.h"

/* Set arch_tsc_hz and the APIC timer's rate; prints how it was found. Boot pCPU, after acpi_init and apic_cpu_init. */
void time_init(void);
/* Start the 8254's channel 0 as a rate generator. */
void time_pit_start(uint32_t hz);
