/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating point ownership (see fpu.h). cpu->fpu_owner names the area whose contents are in the registers; when it is the current
 * thread's vCPU's and ring 3 runs, CR0.TS is set and #NM brings the thread's own. Other threads never see foreign registers,
 * so that nothing leaks by speculation (LazyFP) across domains; a VMM sees its guest's registers anyway.
 */
#include "kernel/fpu.h"

static void fpu_swap(struct cpu *cpu, void *area)
{
	arch_fpu_swap(cpu->fpu_owner, area);
	cpu->fpu_owner = area;
	cpu->fpu_thread = cpu->current;
}

void fpu_enter_thread(struct cpu *cpu)
{
	struct thread *thread = cpu->current;

	if (unlikely(cpu->fpu_thread != thread)) {
		fpu_swap(cpu, thread->fpu);
	}
	if (cpu->fpu_traps != (cpu->fpu_owner != thread->fpu)) {
		arch_fpu_set_trap(!cpu->fpu_traps);
	}
}

void fpu_enter_vcpu(struct cpu *cpu, struct vcpu *vcpu)
{
	if (unlikely(cpu->fpu_owner != vcpu->fpu)) {
		fpu_swap(cpu, vcpu->fpu);
	}
	cpu->fpu_thread = cpu->current;
	arch_xcr0_load(vcpu->xcr0);
}

void fpu_trap(struct cpu *cpu)
{
	struct thread *thread = cpu->current;

	arch_fpu_set_trap(false);
	if (cpu->fpu_owner != thread->fpu) {
		fpu_swap(cpu, thread->fpu);
	}
}

void fpu_forget(struct cpu *cpu, const void *area)
{
	if (cpu->fpu_owner == area) {
		cpu->fpu_owner = NULL;
		cpu->fpu_thread = NULL;
	}
}

void fpu_flush(struct cpu *cpu, const void *area)
{
	if (area != NULL && cpu->fpu_owner == area) {
		fpu_swap(cpu, cpu->fpu_owner);
		fpu_forget(cpu, area);
	}
}
