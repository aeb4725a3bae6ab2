/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fair scheduler a pCPU. Ready threads stand in the order of their virtual time (run time divided by weight); the least runs. A
 * thread that slept is put a little ahead, so that it runs at once. A cap bounds the run time in each period of 100 ms.
 * Own pCPU only, interrupts off.
 */
#pragma once

#include "kernel/object.h"

#define SCHED_WEIGHT_USUAL 256u
#define SCHED_WEIGHT_MAX   65535u

/* Once, when the TSC's rate is known. */
void sched_init(void);
/* The pCPU's fields, before anything else of the kernel runs there. */
void sched_cpu_init(struct cpu *cpu);
/* A thread became ready. */
void sched_enqueue(struct cpu *cpu, struct thread *thread);
/* Account, choose, switch. */
void sched_run(struct cpu *cpu);
