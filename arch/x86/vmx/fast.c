/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits that are finished on the spot: port write to a doorbell, CPUID from the table,
 * hypercall, and the MSRs of the local APIC. Runs between two entries with the guest's MSRs in the
 * CPU: no user memory, no waiting, nothing that may fault. At most three VMREADs (reason, length,
 * RIP) and one VMWRITE (RIP); a port write reads the qualification too, since nothing else tells
 * the port. The interrupt shadow is left as it was: it then covers one instruction more, which no
 * guest can tell from a late interrupt.
 */
#include "arch/x86/reg/cr.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/cpuid.h"
#include "kernel/hypercall.h"
#include "kernel/msr.h"

static inline void vmx_fast_advance(void)
{
	vmcs_write(VMCS_GUEST_RIP,
	           vmcs_read(VMCS_GUEST_RIP) + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
}

/*
 * Something was done that may have given this pCPU or this vCPU other work: look before going back.
 */
static inline bool vmx_fast_go_on(struct vcpu *vcpu)
{
	if (unlikely((cpu_self()->work | vcpu->requests) != 0)) {
		vmx_of(vcpu)->exit_reason = VMX_REASON_DONE;
		return false;
	}
	return true;
}

static inline bool vmx_fast_cpuid(struct vcpu *vcpu)
{
	uint32_t leaf = (uint32_t)vcpu->gpr[BH_GPR_RAX];
	const struct bh_cpuid_entry *slot = cpuid_slot(vcpu->vm, leaf);
	uint32_t ebx, ecx;

	if (unlikely(!cpuid_slot_is(slot, leaf))) {
		return false;
	}
	ebx = slot->ebx;
	ecx = slot->ecx;
	if (leaf == CPUID_LEAF_FEATURES) {
		ebx |= vcpu->idx << CPUID_1_EBX_APIC_ID_SHIFT;
		ecx |= (vmx_of(vcpu)->cr4_shadow & CR4_OSXSAVE) != 0 ? (uint32_t)CPUID_1_ECX_OSXSAVE
		                                                     : 0;
	}
	vcpu->gpr[BH_GPR_RAX] = slot->eax;
	vcpu->gpr[BH_GPR_RBX] = ebx;
	vcpu->gpr[BH_GPR_RCX] = ecx;
	vcpu->gpr[BH_GPR_RDX] = slot->edx;
	vcpu->stats->exits[BH_REASON_CPUID]++;
	vmx_fast_advance();
	return true;
}

static __attribute__((noinline)) bool vmx_fast_event(struct vcpu *vcpu, struct event *event)
{
	event_signal(event);
	return vmx_fast_go_on(vcpu);
}

/* What tells a plain OUT from others, and its port (struct port_slot). */
#define VMX_IO_OUT_KEY                                                                      \
	((uint32_t)(QUALIFICATION_IO_PORT | QUALIFICATION_IO_IN | QUALIFICATION_IO_STRING | \
	            QUALIFICATION_IO_REP))

static inline bool vmx_fast_doorbell(struct vcpu *vcpu)
{
	uint32_t info = vmcs_read32(VMCS_EXIT_QUALIFICATION);
	const struct port_slot *slot = &vcpu->vm->ports[VM_PORT_SLOT(info)];
	struct event *event;

	vmx_of(vcpu)->qualification = info;
	if ((info & VMX_IO_OUT_KEY) != slot->key) {
		return false;
	}
	vmx_fast_advance();
	vcpu->stats->exits[BH_REASON_DOORBELL]++;
	event = __atomic_load_n(&slot->event, __ATOMIC_RELAXED);
	return event == NULL || vmx_fast_event(vcpu, event);
}

static __attribute__((noinline)) bool vmx_fast_msr(struct vcpu *vcpu, bool is_write)
{
	uint64_t value = (vcpu->gpr[BH_GPR_RDX] << 32) | (uint32_t)vcpu->gpr[BH_GPR_RAX];

	if (!msr_guest_fast(vcpu, (uint32_t)vcpu->gpr[BH_GPR_RCX], is_write, &value)) {
		return false;
	}
	if (!is_write) {
		vcpu->gpr[BH_GPR_RAX] = (uint32_t)value;
		vcpu->gpr[BH_GPR_RDX] = value >> 32;
	}
	vcpu->stats->exits[is_write ? BH_REASON_MSR_WRITE : BH_REASON_MSR_READ]++;
	vmx_fast_advance();
	return vmx_fast_go_on(vcpu);
}

static inline bool vmx_fast_hypercall(struct vcpu *vcpu)
{
	uint64_t number = vcpu->gpr[BH_GPR_RAX];

	if (!hypercall_is_fast(number)) {
		return false;
	}
	vcpu->gpr[BH_GPR_RAX] = hypercall_fast(number);
	vcpu->stats->exits[BH_REASON_HYPERCALL]++;
	vmx_fast_advance();
	return true;
}

bool vmx_exit_fast(struct vcpu *vcpu)
{
	uint32_t reason = vmcs_read32(VMCS_EXIT_REASON);

	vmx_of(vcpu)->exit_reason = reason;
	if (reason == VMX_REASON_IO) {
		return vmx_fast_doorbell(vcpu);
	}
	if (reason == VMX_REASON_CPUID) {
		return vmx_fast_cpuid(vcpu);
	}
	if (reason == VMX_REASON_VMCALL) {
		return vmx_fast_hypercall(vcpu);
	}
	if (reason == VMX_REASON_WRMSR || reason == VMX_REASON_RDMSR) {
		return vmx_fast_msr(vcpu, reason == VMX_REASON_WRMSR);
	}
	return false;
}
