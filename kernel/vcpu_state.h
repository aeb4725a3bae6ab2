/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers from outside: what is acceptable, and what a reset makes of them. */
#pragma once

#include "kernel/vcpu.h"

/*
 * Are the groups GPR, SEGMENTS, CONTROL in `state` such that the CPU can hold them? Reserved bits, canonical addresses, and the
 * consistency of CR0, CR4 and EFER (SDM 3C 26.3.1, APM 2 15.5.1). INVALID else. EFER bits that the vendor lacks are its own business.
 */
int vcpu_state_check(uint32_t groups, const struct bh_cpu_state *state) must_check;
/* Power-on or INIT (SDM 3A table 9-1). INIT keeps the FPU, MSRs, XCR0, CR0.CD and NW; the local APIC is the caller's. */
void vcpu_reset(struct vcpu *vcpu, bool is_init);
/* Start-up IPI: real mode at vector << 12. */
void vcpu_start_at(struct vcpu *vcpu, uint8_t vector);
/* A record for injection as the ABI allows it: type and vector that go together, nothing else set. 0 is valid. */
bool vcpu_inject_is_valid(uint32_t inject);
/* This pCPU's current vCPU from now on: the previous one's debug registers saved, this one's loaded. Binds vcpu->cpu if it has none. */
void vcpu_make_current(struct vcpu *vcpu);
/* DR0-3 and, where the vendor does not switch it, DR6: CPU to record and back. The vCPU is current. */
void vcpu_debug_registers_save(struct vcpu *vcpu);
void vcpu_debug_registers_load(struct vcpu *vcpu);
