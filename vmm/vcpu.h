// SPDX-License-Identifier: Apache-2.0
/*
 * The thread of one vCPU: runs it, and answers the exits that the kernel hands on.
 *
 * Owns: the run page between two vcpu_run() calls, and this thread's parking. Must never: touch
 * another vCPU's run page.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/abi.h"

/* The records of the guest's vCPUs, before their threads run. Errors of the kernel's calls. */
int vcpu_threads_make(void);

/* Stops. Called by the control thread only. */

/*
 * Makes all vCPU threads leave the guest and returns when the last one is parked. `wait` sleeps for
 * an event.
 */
void vcpu_park_all(void (*wait)(void));
/* While they are parked: the guest is told of the pause that ends. */
void vcpu_tell_pause(void);
/* Lets all parked threads go on. */
void vcpu_release_all(void);

/* Those that wait for memory look whether it is there. */
void vcpu_look_for_memory(void);

/*
 * What a parked thread can be asked to do for the control thread; the kernel wants it done on the
 * vCPU's own pCPU.
 */
enum vcpu_job {
	VCPU_JOB_NONE = 0,
	VCPU_JOB_RESET,     /* state as after power-on; vCPU 0 as vcpu_job_start says */
	VCPU_JOB_REGISTERS, /* registers and activity into the channel */
};

/*
 * Has one parked thread do a job; returns its result. `wait` sleeps for an event. All threads are
 * parked.
 */
int vcpu_job_do(uint32_t vcpu_idx, enum vcpu_job job, void (*wait)(void));

/* ---- vcpu_state.c: the jobs, in the vCPU's own thread ---- */

/*
 * State as after power-on; `start`: where and how it starts, NULL: it waits for SIPI. The TSC runs
 * on. Errors of the kernel's calls.
 */
int vcpu_state_reset(uint32_t vcpu_idx, const struct bh_cpu_state *start);
/*
 * The XMM registers of a vCPU whose thread calls, for the emulator; set() takes them back. NULL or an
 * error of the kernel's calls. The machine's lock is held from one to the other.
 */
uint8_t (*vcpu_state_xmm_get(uint32_t vcpu_idx))[16];
int vcpu_state_xmm_set(uint32_t vcpu_idx);
/* INIT (SDM 3A table 10-1): keeps FPU, MSRs and XCR0; vCPU 0 runs on at the reset vector, others wait. The machine's lock is held. */
int vcpu_state_init(uint32_t vcpu_idx);
/* The guest reads or writes a register of the CPU (vmm/cpu_msr.h). Any error: it is refused. */
int vcpu_state_msr(uint32_t vcpu_idx, struct bh_exit_msr *msr);
/* Start-up IPI: real mode at page `vector`. The machine's lock is held. */
int vcpu_state_start(uint32_t vcpu_idx, uint8_t vector);
/* Registers into the channel. */
int vcpu_state_publish(uint32_t vcpu_idx);
