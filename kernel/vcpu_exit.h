/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the vendor-free vCPU: exits, events, returns to the VMM. */
#pragma once

#include "kernel/vcpu.h"

#define VECTOR_DE  0u
#define VECTOR_DB  1u
#define VECTOR_NMI 2u
#define VECTOR_BP  3u
#define VECTOR_OF  4u
#define VECTOR_UD  6u
#define VECTOR_DF  8u
#define VECTOR_TS  10u
#define VECTOR_NP  11u
#define VECTOR_SS  12u
#define VECTOR_GP  13u
#define VECTOR_PF  14u
#define VECTOR_AC  17u
#define VECTOR_MC  18u
#define VECTOR_CP  21u

/* Finish an exit in the kernel (true: go on in the guest) or hand it to the VMM (false). kernel/vcpu_exit.c */
bool vcpu_exit_handle(struct vcpu *vcpu, const struct vm_exit *exit);
/* vcpu_run() returns to the VMM with this reason and these groups of state. Always false. */
bool vcpu_return(struct vcpu *vcpu, enum bh_exit reason, uint32_t state_groups);
/* The same when the state, if any, is in the run page already. */
static inline bool vcpu_return_plain(struct vcpu *vcpu, enum bh_exit reason, uint32_t state_groups)
{
	struct cpu *cpu = vcpu->cpu;

	vcpu->run->exit = reason;
	vcpu->run->state_valid = state_groups;
	vcpu->stats->vmm_exits++;
	vcpu->time_slot |= 1;
	cpu->current->vcpu = NULL;
	__atomic_store_n(&vcpu->thread, NULL, __ATOMIC_RELEASE);
	return false;
}

/* Do what the request word asks. False: vcpu_run has returned to the VMM. kernel/vcpu_event.c */
bool vcpu_requests_handle(struct vcpu *vcpu);
