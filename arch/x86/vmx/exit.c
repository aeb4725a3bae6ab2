/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit means: from the VMCS to the vendor-free struct vm_exit (SDM 3C 27.2, 3D C). Decides
 * nothing about the guest but what the manual says of the instruction. Slow path only.
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/vmx/vmx.h"

#define ERROR_LAUNCHED 4u /* SDM 3C 30.4 */
#define ERROR_CONTROLS 7u
#define ATTRIBUTE_LONG BIT(13) /* of CS (SDM 3C table 25-2) */
#define VECTOR_DB      1u
#define VECTOR_NMI     2u
#define VECTOR_UD      6u
#define VECTOR_GP      13u
#define VECTOR_PF      14u
#define VECTOR_AC      17u
#define VECTOR_MC      18u

/* Exits whose instruction somebody else completes. */
static const uint8_t instruction_reasons[] = {
	[VMX_REASON_CPUID] = BH_REASON_CPUID,     [VMX_REASON_HLT] = BH_REASON_HLT,
	[VMX_REASON_INVD] = BH_REASON_INVALIDATE, [VMX_REASON_VMCALL] = BH_REASON_HYPERCALL,
	[VMX_REASON_RDMSR] = BH_REASON_MSR_READ,  [VMX_REASON_WRMSR] = BH_REASON_MSR_WRITE,
	[VMX_REASON_PAUSE] = BH_REASON_PAUSE,     [VMX_REASON_WBINVD] = BH_REASON_INVALIDATE,
	[VMX_REASON_XSETBV] = BH_REASON_XSETBV,
};

static bool vmx_is_code64(void)
{
	return (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) != 0 &&
	       (vmcs_read32(VMCS_GUEST_CS_ATTRIBUTES) & SEGMENT_L) != 0;
}

/* Outside 64-bit code RIP has 32 bits; only an instruction at the very end shows it. */
static uint64_t vmx_next_rip(void)
{
	uint64_t rip = vmcs_read(VMCS_GUEST_RIP);
	uint64_t next = rip + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH);

	return ((rip ^ next) >> 32) != 0 && !vmx_is_code64() ? (uint32_t)next : next;
}

static void vmx_decode_instruction(struct vm_exit *exit, uint32_t reason)
{
	exit->reason = reason;
	exit->next_rip = vmx_next_rip();
}

static void vmx_decode_fault(struct vm_exit *exit, uint32_t vector)
{
	exit->reason = BH_REASON_PRIVILEGED;
	exit->inject = BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | vector |
	               (vector == VECTOR_GP ? BH_INJECT_ERROR_CODE : 0);
	exit->error_code = 0;
}

static void vmx_decode_io(struct vm_exit *exit, uint64_t qualification)
{
	exit->port = (uint16_t)field_get(QUALIFICATION_IO_PORT, qualification);
	exit->width_bytes = (uint8_t)(field_get(QUALIFICATION_IO_SIZE, qualification) + 1);
	exit->is_write = (qualification & QUALIFICATION_IO_IN) == 0;
	exit->is_string = (qualification & (QUALIFICATION_IO_STRING | QUALIFICATION_IO_REP)) != 0;
	vmx_decode_instruction(exit, BH_REASON_IO);
}

/*
 * A page table of the guest is not in its memory. A CPU would read ones there: an entry with
 * reserved bits set. SDM 3A 4.7.
 */
static void vmx_decode_walk(struct vcpu *vcpu, struct vm_exit *exit)
{
	bool is_user = vmx_get_cpl(vcpu) == 3;

	exit->reason = BH_REASON_EXCEPTION;
	exit->inject = BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | BH_INJECT_ERROR_CODE |
	               VECTOR_PF;
	exit->error_code = (uint32_t)(PF_PRESENT | PF_RESERVED | (is_user ? PF_USER : 0));
	vcpu->cr2 = vmcs_read(VMCS_GUEST_LINEAR_ADDRESS);
}

/*
 * Memory that the guest has not. While an event was being delivered there is no instruction to
 * emulate: descriptor table or stack is not there, and a CPU would read ones from it, fault again,
 * and shut down.
 */
static void vmx_decode_ept(struct vcpu *vcpu, struct vm_exit *exit, uint64_t qualification)
{
	bool was_delivering = vmx_event_settle(vcpu, true, (uint32_t)qualification);

	exit->gpa = GPA(vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	if (was_delivering) {
		exit->reason = BH_REASON_SHUTDOWN;
		return;
	}
	if ((qualification & (QUALIFICATION_EPT_LINEAR | QUALIFICATION_EPT_FINAL)) ==
	    QUALIFICATION_EPT_LINEAR) {
		vmx_decode_walk(vcpu, exit);
		return;
	}
	exit->reason = BH_REASON_MMIO;
	exit->is_write = (qualification & QUALIFICATION_EPT_WRITE) != 0;
	exit->is_fetch = (qualification & QUALIFICATION_EPT_FETCH) != 0;
	/* The other form without a linear address has been sorted out above. */
	exit->is_final = (qualification & QUALIFICATION_EPT_FINAL) != 0;
	exit->next_rip = vmcs_read(VMCS_GUEST_RIP);
	exit->is_64 = exit->is_final && (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) != 0 &&
	              (vmcs_read(VMCS_GUEST_CS_ATTRIBUTES) & ATTRIBUTE_LONG) != 0;
	exit->cpl = (uint8_t)hvm->get_cpl(vcpu);
	exit->instruction_length = 0;
}

/*
 * #DB and #AC are given on (they are intercepted because a guest can make them recur in their own
 * delivery); #MC and NMI are the machine's.
 */
static void vmx_decode_exception(struct vcpu *vcpu, struct vm_exit *exit, uint64_t qualification)
{
	uint32_t event = vmcs_read32(VMCS_EXIT_EVENT);
	uint32_t vector = (uint32_t)field_get(EVENT_VECTOR, event);

	(void)vmx_event_settle(vcpu, vector != VECTOR_NMI && vector != VECTOR_MC, event);
	if (vector == VECTOR_NMI) {
		/* NMIs are blocked now; the handler's IRET ends that. */
		__asm__ volatile("int $2" : : : "memory");
		exit->reason = BH_REASON_NMI;
		return;
	}
	exit->reason = BH_REASON_EXCEPTION;
	exit->inject = 0;
	exit->error_code = 0;
	if (vector == VECTOR_MC) {
		__asm__ volatile("int $18" : : : "memory");
		return;
	}
	if (field_get(EVENT_TYPE, event) == EVENT_TYPE_SOFT_PRIVILEGED) {
		/* INT1: a trap, but RIP still points to it. */
		vmcs_write(VMCS_GUEST_RIP, vmx_next_rip());
	} else if (vector == VECTOR_DB) {
		vmx_debug_exception(vcpu, qualification);
	}
	exit->inject = BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | vector;
	if ((event & EVENT_ERROR_CODE) != 0) {
		exit->inject |= BH_INJECT_ERROR_CODE;
		exit->error_code = vmcs_read32(VMCS_EXIT_EVENT_ERROR_CODE);
	}
}

static void vmx_decode_cr(struct vcpu *vcpu, struct vm_exit *exit, uint64_t qualification)
{
	uint32_t priority = vmx_of(vcpu)->window_priority;

	if (!vmx_handle_cr(vcpu, qualification)) {
		vmx_decode_fault(exit, VECTOR_GP);
		return;
	}
	vmx_decode_instruction(exit, VM_EXIT_NONE);
	vcpu->stats->exits[BH_REASON_CR]++;
	vmx_skip_instruction(vcpu, exit);
	/* Without the TPR shadow nobody else sees CR8 fall below what waits. */
	if (!vmx_caps.has_tpr_shadow && priority != 0 && vmx_get_cr8(vcpu) < priority) {
		exit->reason = BH_REASON_INTERRUPT_WINDOW;
	}
}

static void vmx_exit_failed_entry(struct vcpu *vcpu, struct vm_exit *exit)
{
	uint32_t reason = vmx_of(vcpu)->exit_reason;
	uint64_t rip = vmcs_read(VMCS_GUEST_RIP);

	/* A fast exit advanced RIP over the end of 32-bit code: it wraps (see vmx_next_rip). */
	if ((rip >> 32) != 0 && !vmx_is_code64()) {
		vmcs_write(VMCS_GUEST_RIP, (uint32_t)rip);
		exit->reason = VM_EXIT_NONE;
		return;
	}
	exit->reason = VM_EXIT_FAILED_ENTRY;
	exit->vendor_code = reason;
	log_print_limited("vm %u vcpu %u: VM entry failed: reason %x, qualification %lx",
	                  vcpu->vm->id, vcpu->idx, reason, vmcs_read(VMCS_EXIT_QUALIFICATION));
	log_print_limited("  cr0 %lx cr4 %lx efer %lx rip %lx rflags %lx cs %x",
	                  vmcs_read(VMCS_GUEST_CR0), vmcs_read(VMCS_GUEST_CR4),
	                  vmcs_read(VMCS_GUEST_EFER), rip, vmcs_read(VMCS_GUEST_RFLAGS),
	                  vmcs_read32(VMCS_GUEST_CS_ATTRIBUTES));
}

/*
 * Exits that can come in the middle of an event's delivery; all others are by an instruction or
 * between two.
 */
static bool vmx_decode_delivery(struct vcpu *vcpu, struct vm_exit *exit, uint32_t reason,
                                uint64_t qualification)
{
	switch (reason) {
	case VMX_REASON_EXCEPTION:
		vmx_decode_exception(vcpu, exit, qualification);
		return true;
	case VMX_REASON_EPT_VIOLATION:
		vmx_decode_ept(vcpu, exit, qualification);
		return true;
	case VMX_REASON_EPT_MISCONFIGURATION:
		panic("EPT misconfiguration at guest-physical %lx",
		      vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	case VMX_REASON_TASK_SWITCH:
		/* Long mode has none; for what else uses one, the VMM decides. */
		exit->reason = BH_REASON_TASK_SWITCH;
		return true;
	case VMX_REASON_TRIPLE_FAULT:
		exit->reason = BH_REASON_SHUTDOWN;
		return true;
	default:
		(void)vmx_event_settle(vcpu, false, 0);
		return false;
	}
}

static bool vmx_decode_between(struct vm_exit *exit, uint32_t reason)
{
	switch (reason) {
	case VMX_REASON_TIMER:
	case VMX_REASON_INTERRUPT:
		exit->reason = BH_REASON_INTERRUPT;
		return true;
	case VMX_REASON_INTERRUPT_WINDOW:
	case VMX_REASON_NMI_WINDOW:
	case VMX_REASON_TPR_THRESHOLD:
		exit->reason = BH_REASON_INTERRUPT_WINDOW;
		return true;
	case VMX_REASON_DONE:
	case VMX_REASON_INIT:
	case VMX_REASON_SIPI:
		/* INIT of a pCPU that runs guests: nobody of ours sends one. */
		exit->reason = VM_EXIT_NONE;
		return true;
	default:
		return false;
	}
}

static void vmx_exit_decode(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t reason = x->exit_reason & EXIT_REASON_BASIC;
	uint64_t qualification;

	exit->vendor_code = reason;
	if (vmx_decode_between(exit, reason)) {
		if (reason != VMX_REASON_DONE) {
			(void)vmx_event_settle(vcpu, false, 0);
		}
		return;
	}
	qualification = reason == VMX_REASON_IO ? x->qualification
	                                        : vmcs_read(VMCS_EXIT_QUALIFICATION);
	exit->qualification = qualification;
	if (vmx_decode_delivery(vcpu, exit, reason, qualification)) {
		return;
	}
	if (reason < ARRAY_SIZE(instruction_reasons) && instruction_reasons[reason] != 0) {
		vmx_decode_instruction(exit, instruction_reasons[reason]);
		return;
	}
	switch (reason) {
	case VMX_REASON_IO:
		vmx_decode_io(exit, qualification);
		break;
	case VMX_REASON_CR:
		vmx_decode_cr(vcpu, exit, qualification);
		break;
	case VMX_REASON_RDPMC:
		vmx_decode_fault(exit, VECTOR_GP);
		break;
	default:
		/* VMX's own, GETSEC, MONITOR, MWAIT, RSM: none of them is there for a guest. */
		vmx_decode_fault(exit, VECTOR_UD);
		break;
	}
}

/*
 * The CPU refused to enter before it looked at the guest's state. A guest moves one control:
 * its TPR may have fallen below the threshold since that was set (SDM 3C 26.2.1.1). Then there is
 * an interrupt to look at; the event that waits in the VMCS, if any, still does.
 */
static void vmx_exit_refused(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t error = vmcs_read32(VMCS_INSTRUCTION_ERROR);

	if ((vmcs_read32(VMCS_ENTRY_EVENT) & EVENT_VALID) == 0) {
		x->entry_event = 0;
	}
	if (error == ERROR_LAUNCHED) {
		/* Launched, then nothing but fast exits, then vmx_exit_failed_entry(). */
		x->is_launched = 1;
		exit->reason = VM_EXIT_NONE;
		return;
	}
	if (error != ERROR_CONTROLS) {
		panic("VM entry refused: error %u", error);
	}
	if (x->tpr_threshold > vmx_get_cr8(vcpu)) {
		vmx_set_interrupt_window(vcpu, 0);
		exit->reason = BH_REASON_INTERRUPT_WINDOW;
		return;
	}
	exit->reason = VM_EXIT_FAILED_ENTRY;
	exit->vendor_code = error;
	log_print_limited("vm %u vcpu %u: VM entry refused: error %u, event %x", vcpu->vm->id,
	                  vcpu->idx, error, x->entry_event);
}

void vmx_enter(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	vmx_prepare_entry(vcpu);
	if (vmx_caps.needs_net && !vmx_net_set(vcpu->cpu)) {
		exit->reason = BH_REASON_INTERRUPT;
		return;
	}
	if (unlikely(vmx_switch(vcpu))) {
		vcpu->cr2 = cr2_read();
		vmx_exit_refused(vcpu, exit);
		return;
	}
	vcpu->cr2 = cr2_read();
	if (unlikely((x->exit_reason & EXIT_REASON_FAILED_ENTRY) != 0)) {
		vmx_exit_failed_entry(vcpu, exit);
		return;
	}
	x->is_launched = 1;
	x->entry_event = 0;
	vmx_exit_decode(vcpu, exit);
}
