/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of a pCPU in one sorted list; the hardware holds the earliest of the first and the end of the slice. Own pCPU only. */
#pragma once

#include "kernel/object.h"

/* Fire what is due; the slice's end asks for the scheduler. */
void timer_run(struct cpu *cpu);
/* Make sure that the hardware fires early enough. It may fire too early, never too late. */
void timer_program(struct cpu *cpu);
