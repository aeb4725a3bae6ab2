/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls in KVM's numbering (number in RAX; RBX, RCX, RDX, RSI; result in RAX). 10000h to 1ffffh go to the VMM; what is above does not
 * exist and is answered on the fast path.
 */
#pragma once

#include "kernel/types.h"

#define HYPERCALL_POLL_IRQ        1u  /* does nothing but exit */
#define HYPERCALL_KICK_CPU        5u  /* RCX: APIC id to wake from HLT */
#define HYPERCALL_SEND_IPI        10u /* RBX, RCX: bitmap of 128 APIC ids from RDX on; RSI: ICR */
#define HYPERCALL_YIELD_TO        11u /* RBX: APIC id; a hint */
#define HYPERCALL_VMM_FIRST       0x10000u
#define HYPERCALL_NONE_FIRST      0x20000u

#define HYPERCALL_ERROR_PERM      ((uint64_t)-1)
#define HYPERCALL_ERROR_NOT_THERE ((uint64_t)-1000)

struct vcpu;
/* The slow ones, from ring 0 of the guest. Returns the result for RAX. */
uint64_t hypercall_handle(struct vcpu *vcpu, uint64_t number);
