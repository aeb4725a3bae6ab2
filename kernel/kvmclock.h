/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time for guests in KVM's form: a page per vCPU with TSC-to-nanoseconds parameters, the wall clock at time 0, stolen time. The TSC never
 * stops nor changes its rate for a guest, so a page is written once, and again only after the guest moved its own TSC.
 */
#pragma once

#include "kernel/vcpu.h"

#define MSR_KVM_WALL_CLOCK_OLD  0x11u
#define MSR_KVM_SYSTEM_TIME_OLD 0x12u
#define MSR_KVM_WALL_CLOCK      0x4b564d00u
#define MSR_KVM_SYSTEM_TIME     0x4b564d01u
#define MSR_KVM_STEAL_TIME      0x4b564d03u
#define MSR_KVM_POLL_CONTROL    0x4b564d05u

/* Only registers whose bit the guest's CPUID 40000001h has exist. NOT_FOUND, INVALID. */
int kvmclock_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value) must_check;
int kvmclock_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value) must_check;
void kvmclock_reset(struct vcpu *vcpu);
/* Before entry after VCPU_REQUEST_CLOCK. */
void kvmclock_update(struct vcpu *vcpu);
/* Before entry, when time was stolen since the last time told. */
void kvmclock_update_steal(struct vcpu *vcpu);
void kvmclock_restore(struct vcpu *vcpu, const struct bh_vcpu_state *state);
/* Pure: nanoseconds = (ticks shifted left by *shift) * *multiplier >> 32. */
void kvmclock_scale(uint64_t tsc_hz, uint32_t *multiplier, int8_t *shift);
