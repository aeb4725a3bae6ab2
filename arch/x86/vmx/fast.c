/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits that are finished on the spot (arch/x86/hvm_fast.h). At most three VMREADs (reason,
 * length, RIP) and one VMWRITE (RIP); scripts/check-vmreads counts them. A port write reads the
 * qualification, which tells the port, and has its length from the first time that it was seen: the
 * slow path's work, and the right one as long as place and operands are the same (what is left are
 * prefixes that mean nothing, at the same place, by turns). The interrupt shadow is left as it was: it then covers one instruction more, which
 * no guest can tell from a late interrupt.
 */
#include "arch/x86/hvm_fast.h"

#include "arch/x86/vmx/vmx.h"

/* What tells a plain OUT from others, and its port (struct port_slot). */
#define IO_OUT_KEY                                                                          \
	((uint32_t)(QUALIFICATION_IO_PORT | QUALIFICATION_IO_IN | QUALIFICATION_IO_STRING | \
	            QUALIFICATION_IO_REP))

static inline bool advance(void)
{
	vmcs_write(VMCS_GUEST_RIP,
	           vmcs_read(VMCS_GUEST_RIP) + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
	return true;
}

static inline bool go_on_or_look(struct vcpu *vcpu, bool is_free)
{
	if (unlikely(!is_free)) {
		vmx_of(vcpu)->exit_reason = VMX_REASON_DONE;
	}
	return is_free;
}

static inline bool finish_io(struct vcpu *vcpu)
{
	uint32_t info = vmcs_read32(VMCS_EXIT_QUALIFICATION);
	uint64_t rip = vmcs_read(VMCS_GUEST_RIP);
	const struct vmx_out *out = vmx_out_at(vcpu, rip);
	const struct port_slot *slot;
	struct event *event;

	vmx_of(vcpu)->qualification = info;
	if (out->rip != rip || out->operands != (info & QUALIFICATION_IO_FORM)) {
		return false;
	}
	slot = hvm_fast_port(vcpu, info, IO_OUT_KEY);
	if (slot == NULL) {
		return false;
	}
	event = __atomic_load_n(&slot->event, __ATOMIC_RELAXED);
	vmcs_write(VMCS_GUEST_RIP, rip + out->length);
	return event == NULL || go_on_or_look(vcpu, hvm_fast_ring(vcpu, event));
}

static inline bool finish_msr(struct vcpu *vcpu, bool is_write)
{
	return hvm_fast_msr(vcpu, is_write, vcpu->gpr[BH_GPR_RAX]) && advance() &&
	       go_on_or_look(vcpu, hvm_fast_go_on(vcpu));
}

uint64_t vmx_exit_fast(struct vcpu *vcpu)
{
	uint32_t reason = vmcs_read32(VMCS_EXIT_REASON);

	vmx_of(vcpu)->exit_reason = reason;
	if (reason == VMX_REASON_IO) {
		return finish_io(vcpu);
	}
	if (reason == VMX_REASON_CPUID) {
		return hvm_fast_cpuid(vcpu, &vcpu->gpr[BH_GPR_RAX]) && advance();
	}
	if (reason == VMX_REASON_VMCALL) {
		return hvm_fast_hypercall(vcpu, &vcpu->gpr[BH_GPR_RAX]) && advance();
	}
	if (reason == VMX_REASON_WRMSR || reason == VMX_REASON_RDMSR) {
		return finish_msr(vcpu, reason == VMX_REASON_WRMSR);
	}
	return false;
}
