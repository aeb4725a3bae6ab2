/* SPDX-License-Identifier: Apache-2.0 */
/* Start of floating point on each pCPU; the rest of the FPU interface is in arch.h. */
#pragma once

#include "kernel/cpu.h"

/* Enable the state components that are supported (boot pCPU: find them) and put the FPU into its initial state. */
void fpu_cpu_init(struct cpu *cpu);
