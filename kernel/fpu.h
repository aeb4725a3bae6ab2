/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who owns the floating point registers of a pCPU. Between threads they move at once; between a VMM thread and the vCPU that it runs
 * they move only when the thread uses them (CR0.TS, #NM), since a VMM's hot paths do not. kernel_leave() calls all that is needed:
 * code of vcpu_enter() finds the guest's registers and XCR0 loaded. All functions work on their own pCPU, interrupts off.
 */
#pragma once

#include "kernel/vcpu.h"

/* Before ring 3 runs in cpu->current. */
void fpu_enter_thread(struct cpu *cpu);
/* Before the guest of cpu->current->vcpu runs: its registers and its XCR0 are loaded on return. Quick when nothing changed. */
void fpu_enter_vcpu(struct cpu *cpu, struct vcpu *vcpu);
/* fpu_enter_vcpu() would do nothing. */
static inline bool fpu_is_ready(const struct cpu *cpu, const struct vcpu *vcpu)
{
	return cpu->fpu_owner == vcpu->fpu && cpu->fpu_thread == cpu->current &&
	       cpu->xcr0 == vcpu->xcr0;
}
/* #NM in ring 3: the thread wants its registers now. */
void fpu_trap(struct cpu *cpu);
/* If this pCPU's registers are those of `area`, write them to it and own nothing: then the area is the truth (state calls). */
void fpu_flush(struct cpu *cpu, const void *area);
/* If this pCPU's registers are those of `area`, forget them: its owner ends. */
void fpu_forget(struct cpu *cpu, const void *area);
