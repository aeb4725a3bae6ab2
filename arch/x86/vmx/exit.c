/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit means: from the VMCS to the vendor-free struct vm_exit (SDM 3C 27.2, 3D C). Decides
 * nothing about the guest but what the manual says of the instruction. Slow path only.
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/start.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/vcpu_exit.h"
#include "kernel/vlapic.h"

#define ERROR_LAUNCHED 4u /* SDM 3C 30.4 */
#define ERROR_CONTROLS 7u
#define DR6_HITS       GENMASK(3, 0)
#define DR7_GD         BIT(13)

/* Exits that say all by their number. Task switches: long mode has none; for what else uses one, the VMM decides. */
static const uint8_t simple[] = {
	[VMX_REASON_INTERRUPT] = BH_REASON_INTERRUPT,
	[VMX_REASON_TRIPLE_FAULT] = BH_REASON_SHUTDOWN,
	[VMX_REASON_INIT] = VM_EXIT_NONE,
	[VMX_REASON_INTERRUPT_WINDOW] = BH_REASON_INTERRUPT_WINDOW,
	[VMX_REASON_NMI_WINDOW] = BH_REASON_INTERRUPT_WINDOW,
	[VMX_REASON_TASK_SWITCH] = BH_REASON_TASK_SWITCH,
	[VMX_REASON_CPUID] = BH_REASON_CPUID,
	[VMX_REASON_HLT] = BH_REASON_HLT,
	[VMX_REASON_INVD] = BH_REASON_INVALIDATE,
	[VMX_REASON_VMCALL] = BH_REASON_HYPERCALL,
	[VMX_REASON_RDMSR] = BH_REASON_MSR_READ,
	[VMX_REASON_WRMSR] = BH_REASON_MSR_WRITE,
	[VMX_REASON_PAUSE] = BH_REASON_PAUSE,
	[VMX_REASON_TPR_THRESHOLD] = BH_REASON_INTERRUPT_WINDOW,
	[VMX_REASON_TIMER] = BH_REASON_INTERRUPT,
	[VMX_REASON_WBINVD] = BH_REASON_INVALIDATE,
	[VMX_REASON_XSETBV] = BH_REASON_XSETBV,
};

/* A single step that the skipped instruction would have ended is still due (SDM 3C 24.4.2). */
void vmx_skip_instruction(struct vcpu *vcpu, uint32_t length)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t rip = vmcs_read(VMCS_GUEST_RIP);

	length = length != 0 ? length : vmcs_read32(VMCS_EXIT_INSTRUCTION_LENGTH);
	if (vmx_of(vcpu)->exit_reason == VMX_REASON_IO) {
		*vmx_out_at(vcpu, rip) = (struct vmx_out){
			rip, vmx_of(vcpu)->qualification & QUALIFICATION_IO_FORM, length
		};
	}
	vmcs_write(VMCS_GUEST_RIP, rip + length);
	if ((blocking & INTERRUPTIBILITY_SHADOW) != 0) {
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~INTERRUPTIBILITY_SHADOW);
	}
	if ((vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_TF) != 0) {
		vmcs_write(VMCS_GUEST_PENDING_DEBUG,
		           vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_SINGLE_STEP);
	}
}

static void decode_io(struct vm_exit *exit, uint64_t qualification)
{
	exit->reason = BH_REASON_IO;
	exit->io.port = (uint16_t)field_get(QUALIFICATION_IO_PORT, qualification);
	exit->io.width_bytes = (uint8_t)(field_get(QUALIFICATION_IO_SIZE, qualification) + 1);
	exit->io.is_write = (qualification & QUALIFICATION_IO_IN) == 0;
	exit->is_string = (qualification & (QUALIFICATION_IO_STRING | QUALIFICATION_IO_REP)) != 0;
}

static void decode_ept(struct vcpu *vcpu, struct vm_exit *exit, uint64_t qualification)
{
	struct bh_exit_mmio *mmio = &exit->mmio;

	exit->reason = BH_REASON_MMIO;
	exit->is_delivery = vmx_event_settle(vcpu, (uint32_t)qualification);
	mmio->gpa = vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS);
	mmio->is_write = (qualification & QUALIFICATION_EPT_WRITE) != 0;
	mmio->is_fetch = (qualification & QUALIFICATION_EPT_FETCH) != 0;
	mmio->is_final = (qualification & QUALIFICATION_EPT_FINAL) == QUALIFICATION_EPT_FINAL;
	mmio->is_64 = mmio->is_final && vmx_is_code64();
	mmio->cpl = (uint8_t)hvm_get(vcpu, HVM_CPL);
	mmio->answer_length = 0;
	mmio->instruction_length = 0;
}

/* A #DB that we intercept sets DR6 and clears DR7.GD only here (SDM 3C 27.2.1, table 27-1). */
static void set_debug_registers(struct vcpu *vcpu, uint64_t qualification)
{
	hvm_set(vcpu, HVM_DR6,
	        (hvm_get(vcpu, HVM_DR6) & ~DR6_HITS) | (qualification & QUALIFICATION_DEBUG));
	hvm_set(vcpu, HVM_DR7, hvm_get(vcpu, HVM_DR7) & ~DR7_GD);
}

/*
 * #DB and #AC are given on (they are intercepted because a guest can make them recur in their own
 * delivery); #MC and NMI are the machine's.
 */
static void decode_exception(struct vcpu *vcpu, struct vm_exit *exit, uint64_t qualification)
{
	uint32_t event = vmcs_read32(VMCS_EXIT_EVENT);
	uint32_t vector = event & HVM_EVENT_VECTOR;
	bool is_machine = vector == VECTOR_NMI || vector == VECTOR_MC;

	(void)vmx_event_settle(vcpu, is_machine ? 0 : event);
	if (is_machine) {
		exit->reason = BH_REASON_NMI;
		if (vector == VECTOR_MC) {
			__asm__ volatile("int $18" : : : "memory");
		} else {
			/* NMIs are blocked now; the handler's IRET ends that. */
			__asm__ volatile("int $2" : : : "memory");
		}
		return;
	}
	if ((event & HVM_EVENT_TYPE) == EVENT_TYPE_INT1) {
		/* a trap, but RIP still points to it */
		vmcs_write(VMCS_GUEST_RIP,
		           vmcs_read(VMCS_GUEST_RIP) + vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
	} else if (vector == VECTOR_DB) {
		set_debug_registers(vcpu, qualification);
	}
	hvm_exit_raise(exit, BH_REASON_EXCEPTION, vector, vmcs_read32(VMCS_EXIT_EVENT_ERROR_CODE));
}

static void decode_rest(struct vcpu *vcpu, struct vm_exit *exit, uint32_t reason)
{
	uint64_t qualification = vmcs_read(VMCS_EXIT_QUALIFICATION);

	switch (reason) {
	case VMX_REASON_EXCEPTION:
		decode_exception(vcpu, exit, qualification);
		break;
	case VMX_REASON_EPT_VIOLATION:
		decode_ept(vcpu, exit, qualification);
		break;
	case VMX_REASON_EPT_MISCONFIGURATION:
		panic("EPT misconfiguration at guest-physical %lx",
		      vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS));
	case VMX_REASON_EOI:
		vlapic_eoi_level(vcpu, qualification & 0xff);
		exit->reason = VM_EXIT_NONE;
		break;
	case VMX_REASON_APIC_WRITE:
		/* a SELF_IPI that cannot be */
		vlapic_write(vcpu, APIC_SELF_IPI, vlapic_reg(vcpu, APIC_SELF_IPI));
		exit->reason = VM_EXIT_NONE;
		break;
	case VMX_REASON_CR:
		vcpu->stats->exits[BH_REASON_CR]++;
		hvm_exit_raise(exit, BH_REASON_PRIVILEGED, VECTOR_GP, 0);
		if (vmx_handle_cr(vcpu, qualification)) {
			exit->reason = VM_EXIT_NONE;
		}
		break;
	case VMX_REASON_RDPMC:
		hvm_exit_raise(exit, BH_REASON_PRIVILEGED, VECTOR_GP, 0);
		break;
	default:
		/* VMX's own, GETSEC, MONITOR, MWAIT, RSM: none of them is there for a guest. */
		hvm_exit_raise(exit, BH_REASON_PRIVILEGED, VECTOR_UD, 0);
		break;
	}
}

/* Acknowledged by the exit, so the IDT is not gone through for it. */
static void take_interrupt(void)
{
	uint32_t event = vmcs_read32(VMCS_EXIT_EVENT);

	if ((event & BH_INJECT_VALID) != 0) {
		apic_interrupt(event & HVM_EVENT_VECTOR);
	}
}

static void decode(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t reason = x->exit_reason & EXIT_REASON_BASIC;

	if (reason == VMX_REASON_DONE) {
		exit->reason = VM_EXIT_NONE;
		return;
	}
	/* Those two can come in the middle of an event's delivery and do it themselves. */
	if (reason != VMX_REASON_EXCEPTION && reason != VMX_REASON_EPT_VIOLATION) {
		(void)vmx_event_settle(vcpu, 0);
	}
	if (reason == VMX_REASON_INTERRUPT) {
		take_interrupt();
	}
	if (reason == VMX_REASON_IO) {
		decode_io(exit, x->qualification);
	} else if (reason < ARRAY_SIZE(simple) && simple[reason] != 0) {
		exit->reason = simple[reason];
	} else {
		decode_rest(vcpu, exit, reason);
	}
}

static void failed_entry(struct vm_exit *exit, uint32_t reason)
{
	uint64_t rip = vmcs_read(VMCS_GUEST_RIP);

	/* RIP was advanced over the end of 32-bit code: it wraps. */
	if ((rip >> 32) != 0 && !vmx_is_code64()) {
		vmcs_write(VMCS_GUEST_RIP, (uint32_t)rip);
		exit->reason = VM_EXIT_NONE;
		return;
	}
	exit->reason = VM_EXIT_FAILED_ENTRY;
	exit->vendor_code = reason;
}

/*
 * The CPU refused to enter before it looked at the guest's state. A guest moves one control:
 * its TPR may have fallen below the threshold since that was set (SDM 3C 26.2.1.1). Then there is
 * an interrupt to look at; the event that waits in the VMCS, if any, still does.
 */
static void refused_entry(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t error = vmcs_read32(VMCS_INSTRUCTION_ERROR);

	if ((vmcs_read32(VMCS_ENTRY_EVENT) & BH_INJECT_VALID) == 0) {
		x->entry_event = 0;
	}
	if (error == ERROR_LAUNCHED) {
		/* Launched, then nothing but fast exits, then a failed or refused entry. */
		x->is_launched = 1;
		exit->reason = VM_EXIT_NONE;
	} else if (error != ERROR_CONTROLS) {
		panic("VM entry refused: error %u", error);
	} else if (x->tpr_threshold > hvm_get(vcpu, HVM_CR8)) {
		(void)vmx_offer_interrupt(vcpu, 0);
		exit->reason = BH_REASON_INTERRUPT_WINDOW;
	} else {
		exit->reason = VM_EXIT_FAILED_ENTRY;
		exit->vendor_code = error;
	}
}

void vmx_enter(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	bool is_refused;

	if (!vmx_prepare_entry(vcpu)) {
		exit->reason = BH_REASON_INTERRUPT;
		return;
	}
	is_refused = vmx_switch(vcpu);
	vcpu->cr2 = cr2_read();
	if (unlikely(is_refused)) {
		refused_entry(vcpu, exit);
	} else if (unlikely((x->exit_reason & EXIT_REASON_FAILED_ENTRY) != 0)) {
		failed_entry(exit, x->exit_reason);
	} else {
		x->is_launched = 1;
		x->entry_event = 0;
		decode(vcpu, exit);
	}
}
