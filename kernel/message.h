/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between pCPUs: the one lock for calls that change object graphs, wake-ups, and safe points (kernel/object.h tells what they are for).
 */
#pragma once

#include "kernel/object.h"

/* Waiting for it answers messages, so its holder may wait for all pCPUs. Before it is taken a call holds no pointer to any object. */
void kernel_lock_take(void);
void kernel_lock_drop(void);

/* Answer what others asked of this pCPU: wake-ups, vCPUs to let go, safe points. */
void message_poll(struct cpu *cpu);
/* Set work bits of a pCPU and make it look. */
void message_send(struct cpu *cpu, uint32_t work);
/* Take a vCPU off whatever pCPU it is on; its FPU state is in memory then. Its thread, if any, comes back from vcpu_run with DEAD. */
void message_detach_vcpu(struct vcpu *vcpu);
