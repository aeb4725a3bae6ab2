/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers from outside. vcpu_get_state() and vcpu_set_state() (kernel/vcpu.h) take all groups, these the three of the run page. */
#pragma once

#include "kernel/vcpu.h"

/* Fills at least these groups of GPR, SEGMENTS, CONTROL. The vCPU is current. */
void vcpu_cpu_state_get(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state);
/* Not XCR0. INVALID: what would harm the host, and nothing has changed. What the CPU cannot hold it refuses at the next entry. */
int vcpu_cpu_state_set(struct vcpu *vcpu, uint32_t groups,
                       const struct bh_cpu_state *state) must_check;
/* This pCPU's current vCPU from now on: the previous one's debug registers saved, this one's loaded. Binds vcpu->cpu if it has none. */
void vcpu_make_current(struct vcpu *vcpu);
/* DR0-3 and, where the vendor does not switch it, DR6: CPU to record and back. The vCPU is current. */
void vcpu_debug_registers_save(struct vcpu *vcpu);
void vcpu_debug_registers_load(struct vcpu *vcpu);
