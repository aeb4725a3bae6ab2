/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits that are finished on the spot, as far as both vendors do it alike. Runs between two entries with the guest's MSRs in the CPU
 * (and, on AMD-V, GIF=0): no user memory, no waiting, nothing that may fault. Every instruction is paid for on every exit: count them
 * (docs/performance.md) before adding one. `rax`: where the guest's RAX is.
 */
#pragma once

#include "kernel/cpuid.h"
#include "kernel/hypercall.h"
#include "kernel/msr.h"
#include "kernel/vcpu.h"

/* Something was done that may have given this pCPU or this vCPU other work. False: look before going back. */
static inline bool hvm_fast_go_on(const struct vcpu *vcpu)
{
	return likely((cpu_self()->work | vcpu->requests) == 0);
}

/*
 * A port write that needs no more than an event set, or nothing at all. `info`: as the vendor tells it, `mask`: the bits that make a plain
 * OUT what it is. NULL: the slow path's.
 */
static inline const struct port_slot *hvm_fast_port(struct vcpu *vcpu, uint32_t info, uint32_t mask)
{
	const struct port_slot *slot = &vcpu->vm->ports[VM_PORT_SLOT(info)];

	if ((info & mask) != slot->key) {
		return NULL;
	}
	vcpu->stats->exits[BH_REASON_DOORBELL]++;
	return slot;
}

out_of_line bool hvm_fast_ring(struct vcpu *vcpu, struct event *event);

static inline void hvm_fast_cpuid_answer(struct vcpu *vcpu, const struct bh_cpuid_entry *slot,
                                         uint64_t *rax)
{
	*rax = slot->eax;
	vcpu->gpr[BH_GPR_RBX] = slot->ebx;
	vcpu->gpr[BH_GPR_RCX] = slot->ecx;
	vcpu->gpr[BH_GPR_RDX] = slot->edx;
	vcpu->stats->exits[BH_REASON_CPUID]++;
}

/* Leaf 1: APIC id and OSXSAVE are this vCPU's. */
out_of_line bool hvm_fast_cpuid_features(struct vcpu *vcpu, const struct bh_cpuid_entry *slot,
                                         uint64_t *rax);

static inline bool hvm_fast_cpuid(struct vcpu *vcpu, uint64_t *rax)
{
	uint32_t leaf = (uint32_t)*rax;
	const struct bh_cpuid_entry *slot = &vcpu->cpuid[cpuid_slot_number(leaf)];

	if (unlikely(slot->leaf != leaf)) {
		return hvm_fast_cpuid_features(vcpu, slot, rax);
	}
	hvm_fast_cpuid_answer(vcpu, slot, rax);
	return true;
}

static inline bool hvm_fast_hypercall(struct vcpu *vcpu, uint64_t *rax)
{
	if (*rax < HYPERCALL_NONE_FIRST) {
		return false;
	}
	*rax = HYPERCALL_ERROR_NOT_THERE;
	vcpu->stats->exits[BH_REASON_HYPERCALL]++;
	return true;
}

/* WRMSR of the local APIC's registers; no read of one is frequent. */
static inline bool hvm_fast_msr(struct vcpu *vcpu, bool is_write, uint64_t rax)
{
	if (!is_write || !msr_guest_write(vcpu, (uint32_t)vcpu->gpr[BH_GPR_RCX],
	                                  (vcpu->gpr[BH_GPR_RDX] << 32) | (uint32_t)rax)) {
		return false;
	}
	vcpu->stats->exits[BH_REASON_MSR_WRITE]++;
	return true;
}
