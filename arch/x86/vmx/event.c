/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events for the guest: injection at the next entry (SDM 3C 26.6), window exits, interrupt shadows
 * and NMI blocking (table 24-3), CR8, and what an exit interrupted (IDT vectoring, SDM 3C 27.2.4).
 */
#include "arch/x86/reg/cr.h"
#include "arch/x86/vmx/vmx.h"

#define LAPIC_TPR            (0x80u / 4)
#define TPR_CLASS_SHIFT      4
#define SHADOW_STI           0x1u
#define SHADOW_MOV_SS        0x2u
#define SHADOW_NMI           0x4u
#define VECTOR_NMI           2u
#define VECTOR_CP            21u
#define EXCEPTION_LAST       31u
#define EXCEPTIONS_WITH_CODE 0x00027d00u /* 8, 10-14, 17 */
#define ERROR_CODE_MASK      0x7fffu
#define PRIORITY_ANY_CR8     16u

void vmx_cpu_controls_set(struct vcpu *vcpu, uint32_t bits, bool is_on)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t controls = is_on ? x->cpu_controls | bits : x->cpu_controls & ~bits;

	if (controls != x->cpu_controls) {
		vmcs_write(VMCS_CPU_CONTROLS, controls);
		x->cpu_controls = controls;
	}
}

/* hvm_ops.interrupt_ready */
bool vmx_interrupt_ready(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->entry_event == 0 && (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) != 0 &&
	       (vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_SHADOW) == 0;
}

/*
 * hvm_ops.nmi_ready. STI holds no NMI back: the window exit comes within its shadow (SDM 3C 25.2),
 * so waiting for its end could last for ever.
 */
bool vmx_nmi_ready(struct vcpu *vcpu)
{
	return vmx_of(vcpu)->entry_event == 0 &&
	       (vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY) &
	        (INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_NMI)) == 0;
}

/* What an entry accepts as an event (SDM 3C 26.2.1.3); 0 for what no CPU would deliver. */
static uint32_t vmx_event_make(uint32_t inject, bool is_protected)
{
	uint32_t vector = inject & EVENT_VECTOR;

	switch (field_get(EVENT_TYPE, inject)) {
	case EVENT_TYPE_INTERRUPT:
		return EVENT_VALID | vector;
	case EVENT_TYPE_NMI:
		return EVENT_VALID | EVENT_TYPE_NMI << 8 | VECTOR_NMI;
	case EVENT_TYPE_EXCEPTION:
		if (vector > EXCEPTION_LAST || vector == VECTOR_CP) {
			return 0;
		}
		/* Real mode pushes no error code. */
		return EVENT_VALID | EVENT_TYPE_EXCEPTION << 8 | vector |
		       (is_protected && (EXCEPTIONS_WITH_CODE >> vector & 1) != 0 ? EVENT_ERROR_CODE
		                                                                  : 0);
	default:
		return 0;
	}
}

/* hvm_ops.inject. The layout of BH_INJECT_* is the VMCS field's. */
void vmx_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code)
{
	uint32_t event = vmx_event_make(inject, (vmcs_read(VMCS_GUEST_CR0) & CR0_PE) != 0);
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	if ((event & EVENT_ERROR_CODE) != 0) {
		vmcs_write(VMCS_ENTRY_ERROR_CODE, error_code & ERROR_CODE_MASK);
	}
	/* A delivered event ends the shadow; with both an entry fails (SDM 3C 26.3.1.5). */
	if ((blocking & INTERRUPTIBILITY_SHADOW) != 0) {
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~INTERRUPTIBILITY_SHADOW);
	}
	vmcs_write(VMCS_ENTRY_EVENT, event);
	vmx_of(vcpu)->entry_event = event;
}

uint32_t vmx_get_cr8(struct vcpu *vcpu)
{
	return (vcpu->lapic.regs[LAPIC_TPR] >> TPR_CLASS_SHIFT) & 0xf;
}

/*
 * The TPR shadow works on the LAPIC page itself, so this is the register, with its low bits kept
 * when the class does not change.
 */
void vmx_set_cr8(struct vcpu *vcpu, uint32_t cr8)
{
	if (vmx_get_cr8(vcpu) != cr8) {
		vcpu->lapic.regs[LAPIC_TPR] = cr8 << TPR_CLASS_SHIFT;
	}
}

/*
 * hvm_ops.set_interrupt_window. While CR8 holds the interrupt back the TPR threshold watches for
 * its fall (a threshold above the TPR would be refused at entry, SDM 3C 26.2.1.1); the exit then
 * asks for the window proper.
 */
void vmx_set_interrupt_window(struct vcpu *vcpu, uint32_t priority)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	bool is_held = priority != 0 && priority < PRIORITY_ANY_CR8 &&
	               vmx_get_cr8(vcpu) >= priority;
	uint32_t threshold = is_held ? priority : 0;

	x->window_priority = priority;
	vmx_cpu_controls_set(vcpu, CPU_INTERRUPT_WINDOW, priority != 0 && !is_held);
	if (vmx_caps.has_tpr_shadow && threshold != x->tpr_threshold) {
		vmcs_write(VMCS_TPR_THRESHOLD, threshold);
		x->tpr_threshold = threshold;
	}
}

void vmx_set_nmi_window(struct vcpu *vcpu, bool is_on)
{
	vmx_cpu_controls_set(vcpu, CPU_NMI_WINDOW, is_on);
}

uint32_t vmx_get_shadow(struct vcpu *vcpu)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	(void)vcpu;
	return ((blocking & INTERRUPTIBILITY_STI) != 0 ? SHADOW_STI : 0) |
	       ((blocking & INTERRUPTIBILITY_MOV_SS) != 0 ? SHADOW_MOV_SS : 0) |
	       ((blocking & INTERRUPTIBILITY_NMI) != 0 ? SHADOW_NMI : 0);
}

/*
 * Both shadows at once, or STI's without IF, would be refused (SDM 3C 26.3.1.5); MOV SS is the
 * stronger one.
 */
void vmx_set_shadow(struct vcpu *vcpu, uint32_t shadow)
{
	uint32_t blocking = (shadow & SHADOW_NMI) != 0 ? INTERRUPTIBILITY_NMI : 0;

	(void)vcpu;
	if ((shadow & SHADOW_MOV_SS) != 0) {
		blocking |= INTERRUPTIBILITY_MOV_SS;
	} else if ((shadow & SHADOW_STI) != 0 && (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) != 0) {
		blocking |= INTERRUPTIBILITY_STI;
	}
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking);
}

/*
 * hvm_ops.skip_instruction. A single step that the skipped instruction would have ended is still
 * due (SDM 3C 24.4.2).
 */
void vmx_skip_instruction(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	(void)vcpu;
	vmcs_write(VMCS_GUEST_RIP, exit->next_rip);
	if ((blocking & INTERRUPTIBILITY_SHADOW) != 0) {
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~INTERRUPTIBILITY_SHADOW);
	}
	if ((vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_TF) != 0) {
		vmcs_write(VMCS_GUEST_PENDING_DEBUG,
		           vmcs_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_SINGLE_STEP);
	}
}

static void vmx_nmi_blocking_set(bool is_on)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);
	uint32_t wanted = is_on ? blocking | INTERRUPTIBILITY_NMI
	                        : blocking & ~INTERRUPTIBILITY_NMI;

	if (wanted != blocking) {
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, wanted);
	}
}

/*
 * `unblock_info`: the record whose bit 12 says that an IRET had unblocked NMIs before it faulted:
 * the exit event of a fault, or the qualification of an EPT violation. The IRET will run again, so
 * the blocking comes back; bit 12 means nothing for #DF or when an event was being delivered.
 */
bool vmx_event_settle(struct vcpu *vcpu, bool may_unblock_nmi, uint32_t unblock_info)
{
	uint32_t vectoring = vmcs_read32(VMCS_VECTORING_EVENT);

	if ((vectoring & EVENT_VALID) == 0) {
		if (may_unblock_nmi && (unblock_info & EVENT_NMI_UNBLOCKED) != 0) {
			vmx_nmi_blocking_set(true);
		}
		return false;
	}
	switch (field_get(EVENT_TYPE, vectoring)) {
	case EVENT_TYPE_NMI:
		/* It goes in again, which needs NMIs unblocked and blocks them. */
		vmx_nmi_blocking_set(false);
		break;
	case EVENT_TYPE_INTERRUPT:
	case EVENT_TYPE_EXCEPTION:
		break;
	default:
		return true; /* INT n, INT1, INT3, INTO: RIP still points to it */
	}
	vcpu->inject = vectoring & (EVENT_VALID | EVENT_TYPE | EVENT_VECTOR | EVENT_ERROR_CODE);
	vcpu->inject_error_code = (vectoring & EVENT_ERROR_CODE) != 0
	                                  ? vmcs_read32(VMCS_VECTORING_ERROR_CODE)
	                                  : 0;
	__atomic_or_fetch(&vcpu->requests, VCPU_REQUEST_INJECT, __ATOMIC_RELAXED);
	return true;
}
