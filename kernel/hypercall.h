/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls in KVM's numbering (number in RAX; RBX, RCX, RDX, RSI; result in RAX). Those that touch another vCPU take the slow path;
 * numbers 4248xxxxh go to the VMM; all others do not exist.
 */
#pragma once

#include "kernel/types.h"

#define HYPERCALL_POLL_IRQ 1u  /* does nothing but exit */
#define HYPERCALL_KICK_CPU 5u  /* RCX: APIC id to wake from HLT */
#define HYPERCALL_SEND_IPI 10u /* RBX, RCX: bitmap of 128 APIC ids from RDX on; RSI: ICR */
#define HYPERCALL_YIELD_TO 11u /* RBX: APIC id; a hint */
#define HYPERCALL_VMM_PAGE 0x4248u /* number >> 16 */

#define HYPERCALL_ERROR_PERM ((uint64_t)-1)
#define HYPERCALL_ERROR_NOT_THERE ((uint64_t)-1000)

static inline bool hypercall_is_fast(uint64_t number)
{
	return number - HYPERCALL_KICK_CPU > HYPERCALL_YIELD_TO - HYPERCALL_KICK_CPU && number >> 16 != HYPERCALL_VMM_PAGE;
}

static inline uint64_t hypercall_fast(uint64_t number)
{
	return number == HYPERCALL_POLL_IRQ ? 0 : HYPERCALL_ERROR_NOT_THERE;
}

struct vcpu;
/* The slow ones, from ring 0 of the guest. Returns the result for RAX. */
uint64_t hypercall_handle(struct vcpu *vcpu, uint64_t number);
