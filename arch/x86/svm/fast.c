/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits that are finished on the spot: port write to a doorbell, CPUID from the table, hypercall, and the MSRs of the local APIC.
 * Runs between VMRUN and VMRUN with GIF=0 and the guest's VMLOAD state in the CPU: no user memory, no waiting, nothing that may fault.
 * Every instruction here is paid for on every exit: count them (docs/performance.md) before adding one.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/hypercall.h"
#include "kernel/msr.h"

/* Lengths without prefixes; used where the CPU saves no next RIP (docs/caveats.md). */
#define LENGTH_CPUID   2u
#define LENGTH_MSR     2u
#define LENGTH_VMMCALL 3u

/* `saved`: the CPU saves the next RIP. A constant in each of the two variants of the exit path below. */
static inline __attribute__((always_inline)) void advance(struct vmcb *vmcb, bool saved,
                                                          uint64_t length)
{
	if (saved) {
		vmcb->rip = vmcb->next_rip;
	} else {
		vmcb->rip += length;
	}
	vmcb->interrupt_shadow = 0;
}

/* What tells a plain OUT from others, and its port (struct port_slot). */
#define SVM_IO_OUT_KEY ((uint32_t)(SVM_IO_PORT | SVM_IO_IN | SVM_IO_STRING | SVM_IO_REP))

/* Something was done that may have given this pCPU or this vCPU other work: look before going back. */
static uint64_t go_on_or_look(struct vcpu *vcpu)
{
	if (unlikely((cpu_self()->work | vcpu->requests) != 0)) {
		svm_vmcb(vcpu)->exit_code = SVM_EXIT_DONE;
		return 0;
	}
	return vcpu->hvm_page.raw;
}

static out_of_line uint64_t finish_doorbell(struct vcpu *vcpu, struct event *event)
{
	event_signal(event);
	return go_on_or_look(vcpu);
}

static out_of_line uint64_t finish_msr(struct vcpu *vcpu, struct vmcb *vmcb)
{
	uint32_t msr = (uint32_t)vcpu->gpr[BH_GPR_RCX];
	bool is_write = (vmcb->exit_info1 & 1) != 0;
	uint64_t value = (vcpu->gpr[BH_GPR_RDX] << 32) | (uint32_t)vmcb->rax;

	if (!msr_guest_fast(vcpu, msr, is_write, &value)) {
		return 0;
	}
	if (!is_write) {
		vmcb->rax = (uint32_t)value;
		vcpu->gpr[BH_GPR_RDX] = value >> 32;
	}
	vcpu->stats->exits[is_write ? BH_REASON_MSR_WRITE : BH_REASON_MSR_READ]++;
	advance(vmcb, svm_has_next_rip, LENGTH_MSR);
	return go_on_or_look(vcpu);
}

/* Leaf 1: APIC id and OSXSAVE are this vCPU's. */
static out_of_line uint64_t finish_cpuid_features(struct vcpu *vcpu, struct vmcb *vmcb,
                                                  const struct bh_cpuid_entry *slot)
{
	uint32_t osxsave = (vmcb->cr4 & CR4_OSXSAVE) != 0 ? CPUID_1_ECX_OSXSAVE : 0;

	if ((uint32_t)vmcb->rax != CPUID_LEAF_FEATURES || slot->leaf != CPUID_SLOT_FEATURES) {
		return 0;
	}
	vmcb->rax = slot->eax;
	vcpu->gpr[BH_GPR_RBX] = slot->ebx | vcpu->idx << CPUID_1_EBX_APIC_ID_SHIFT;
	vcpu->gpr[BH_GPR_RCX] = slot->ecx | osxsave;
	vcpu->gpr[BH_GPR_RDX] = slot->edx;
	vcpu->stats->exits[BH_REASON_CPUID]++;
	advance(vmcb, svm_has_next_rip, LENGTH_CPUID);
	return vcpu->hvm_page.raw;
}

static inline __attribute__((always_inline)) uint64_t finish_cpuid(struct vcpu *vcpu,
                                                                   struct vmcb *vmcb, bool saved)
{
	uint32_t leaf = (uint32_t)vmcb->rax;
	const struct bh_cpuid_entry *slot = &vcpu->cpuid[cpuid_slot_number(leaf)];

	if (unlikely(slot->leaf != leaf)) {
		return finish_cpuid_features(vcpu, vmcb, slot);
	}
	vmcb->rax = slot->eax;
	vcpu->gpr[BH_GPR_RBX] = slot->ebx;
	vcpu->gpr[BH_GPR_RCX] = slot->ecx;
	vcpu->gpr[BH_GPR_RDX] = slot->edx;
	vcpu->stats->exits[BH_REASON_CPUID]++;
	advance(vmcb, saved, LENGTH_CPUID);
	return vcpu->hvm_page.raw;
}

static inline __attribute__((always_inline)) uint64_t exit_fast(struct vcpu *vcpu, bool saved)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t code = (uint32_t)vmcb->exit_code;

	if (code == SVM_EXIT_IOIO) {
		uint32_t info = (uint32_t)vmcb->exit_info1;
		const struct port_slot *slot = &vcpu->vm->ports[VM_PORT_SLOT(info)];
		struct event *event;

		if ((info & SVM_IO_OUT_KEY) != slot->key) {
			return 0;
		}
		vmcb->rip = vmcb->exit_info2; /* the next RIP, on every CPU (APM 2 15.10.2) */
		vmcb->interrupt_shadow = 0;
		vcpu->stats->exits[BH_REASON_DOORBELL]++;
		event = slot->event; /* once: another pCPU may clear it */
		if (event != NULL) {
			return finish_doorbell(vcpu, event);
		}
		return vcpu->hvm_page.raw;
	}
	if (code == SVM_EXIT_CPUID) {
		return finish_cpuid(vcpu, vmcb, saved);
	}
	if (code == SVM_EXIT_VMMCALL) {
		if (!hypercall_is_fast(vmcb->rax)) {
			return 0;
		}
		vmcb->rax = hypercall_fast(vmcb->rax);
		vcpu->stats->exits[BH_REASON_HYPERCALL]++;
		advance(vmcb, saved, LENGTH_VMMCALL);
		return vcpu->hvm_page.raw;
	}
	if (code == SVM_EXIT_MSR) {
		return finish_msr(vcpu, vmcb);
	}
	return 0;
}

uint64_t svm_exit_fast_saved(struct vcpu *vcpu)
{
	return exit_fast(vcpu, true);
}

uint64_t svm_exit_fast_counted(struct vcpu *vcpu)
{
	return exit_fast(vcpu, false);
}
