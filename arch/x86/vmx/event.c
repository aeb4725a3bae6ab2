/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events for the guest: injection at the next entry (SDM 3C 26.6), window exits, interrupt shadows
 * and NMI blocking (table 24-3), and what an exit interrupted (IDT vectoring, SDM 3C 27.2.4).
 */
#include "arch/x86/reg/cr.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/vlapic.h"

#define ERROR_CODE_MASK 0x7fffu

/*
 * hvm_ops.ready. STI holds no NMI back: the window exit comes within its shadow (SDM 3C 25.2), so
 * waiting for its end could last for ever.
 */
uint32_t vmx_ready(struct vcpu *vcpu)
{
	uint64_t blocking = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
	uint32_t ready = 0;

	if (vmx_of(vcpu)->entry_event != 0) {
		return 0;
	}
	if ((blocking & INTERRUPTIBILITY_SHADOW) == 0 &&
	    (vmcs_read(VMCS_GUEST_RFLAGS) & RFLAGS_IF) != 0) {
		ready = HVM_READY_INTERRUPT;
	}
	if ((blocking & (HVM_SHADOW_MOV_SS | INTERRUPTIBILITY_NMI)) == 0) {
		ready |= HVM_READY_NMI;
	}
	return ready;
}

/* hvm_ops.inject. The layout of BH_INJECT_* is the VMCS field's. */
void vmx_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code)
{
	uint32_t blocking = vmcs_read32(VMCS_GUEST_INTERRUPTIBILITY);

	/* Real mode pushes no error code (SDM 3C 26.2.1.3). */
	if ((vmcs_read(VMCS_GUEST_CR0) & CR0_PE) == 0) {
		inject &= ~BH_INJECT_ERROR_CODE;
	}
	vmcs_write(VMCS_ENTRY_ERROR_CODE, error_code & ERROR_CODE_MASK);
	/* A delivered event ends the shadow; with both an entry fails (SDM 3C 26.3.1.5). */
	if ((blocking & INTERRUPTIBILITY_SHADOW) != 0) {
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~INTERRUPTIBILITY_SHADOW);
	}
	vmcs_write(VMCS_ENTRY_EVENT, inject);
	vmx_of(vcpu)->entry_event = inject;
}

static void set_cpu_control(struct vmx_vcpu *x, uint32_t bit, bool is_on)
{
	uint32_t controls = is_on ? x->cpu_controls | bit : x->cpu_controls & ~bit;

	if (controls != x->cpu_controls) {
		vmcs_write(VMCS_CPU_CONTROLS, controls);
		x->cpu_controls = controls;
	}
}

static void set_window(struct vmx_vcpu *x, bool is_on, uint32_t threshold)
{
	set_cpu_control(x, CPU_INTERRUPT_WINDOW, is_on);
	if (threshold != x->tpr_threshold) {
		vmcs_write(VMCS_TPR_THRESHOLD, threshold);
		x->tpr_threshold = threshold;
	}
}

void vmx_open_window(struct vcpu *vcpu)
{
	set_window(vmx_of(vcpu), true, 0);
}

/*
 * The CPU delivers (SDM 3C 29.2). It keeps the highest of IRR and of ISR, to which what came since
 * the last offer is added; and it must know whose EOI we want.
 */
static bool offer_to_cpu(struct vcpu *vcpu, uint32_t vector)
{
	struct vlapic *lapic = &vcpu->lapic;
	uint32_t status = vmcs_read32(VMCS_GUEST_INTERRUPT), old = status;

	if (unlikely(lapic->is_stale)) {
		lapic->is_stale = false;
		lapic->irr_words = lapic->isr_words = 0xff;
		vector = vlapic_update(vcpu);
		status = vlapic_in_service(vcpu) << 8;
	}
	lapic->irr_words = 0;
	status = vector > (status & 0xff) ? (status & 0xff00) | vector : status;
	if (status != old) {
		vmcs_write(VMCS_GUEST_INTERRUPT, status);
	}
	if (unlikely(__atomic_exchange_n(&lapic->is_tmr_new, false, __ATOMIC_ACQUIRE))) {
		for (uint32_t i = 0; i < 4; i++) {
			vmcs_write(VMCS_EOI_EXIT0 + 2 * i,
			           (uint64_t)vlapic_reg(vcpu, APIC_TMR + i * 0x20 + 0x10) << 32 |
			                   vlapic_reg(vcpu, APIC_TMR + i * 0x20));
		}
	}
	set_window(vmx_of(vcpu), false, 0);
	vector = (status & 0xff) >> 4;
	return vcpu->activity != BH_ACTIVITY_RUNNING && vector > status >> 12 &&
	       vector > hvm_get(vcpu, HVM_CR8) && (vmx_ready(vcpu) & HVM_READY_INTERRUPT) != 0;
}

/*
 * hvm_ops.offer_interrupt. While CR8 holds the interrupt back the TPR threshold watches for its
 * fall (a threshold above the TPR would be refused at entry, SDM 3C 26.2.1.1); the exit then asks
 * for the window proper. What comes after one that goes in waits for that one's EOI.
 */
bool vmx_offer_interrupt(struct vcpu *vcpu, uint32_t vector)
{
	uint32_t priority = vector >> 4;
	bool is_held, is_taken, is_next;

	if (vcpu->lapic.is_in_cpu) {
		return offer_to_cpu(vcpu, vector);
	}
	is_next = priority > (vlapic_in_service(vcpu) >> 4);
	is_held = is_next && hvm_get(vcpu, HVM_CR8) >= priority;
	is_taken = is_next && !is_held && (vmx_ready(vcpu) & HVM_READY_INTERRUPT) != 0;
	if (is_taken) {
		vlapic_take(vcpu, vector);
		vmx_inject(vcpu, BH_INJECT_VALID | BH_INJECT_TYPE_INTERRUPT | vector, 0);
	}
	set_window(vmx_of(vcpu), is_next && !is_held && !is_taken, is_held ? priority : 0);
	return is_taken;
}

/* In x2APIC mode, whose registers need no page that the guest could map. */
void vmx_choose_delivery(struct vcpu *vcpu)
{
	bool is_on = (vcpu->lapic.apic_base & APIC_BASE_X2APIC) != 0 &&
	             feature_has(FEATURE_VMX_APICV);
	uint32_t controls = vmx_caps.controls[VMX_CPU2] | (is_on ? CPU2_APICV : 0);

	if (likely(is_on == vcpu->lapic.is_in_cpu)) {
		return;
	}
	vcpu->lapic.is_in_cpu = is_on;
	vcpu->lapic.is_stale = vcpu->lapic.is_tmr_new = true;
	vcpu->lapic.is_posted = is_on && feature_has(FEATURE_VMX_POSTED);
	vmcs_write(VMCS_PIN_CONTROLS,
	           vmx_caps.controls[VMX_PIN] | (vcpu->lapic.is_posted ? PIN_POSTED : 0));
	vmcs_write(VMCS_CPU_CONTROLS2, controls);
	vmcs_write(VMCS_MSR_BITMAP, image_to_phys(vmx_msr_bitmaps[is_on]).raw);
	(void)vmx_offer_interrupt(vcpu, vlapic_update(vcpu));
}

void vmx_set_nmi_window(struct vcpu *vcpu, bool is_on)
{
	set_cpu_control(vmx_of(vcpu), CPU_NMI_WINDOW, is_on);
}

/*
 * The IRET will run again, so the blocking comes back; bit 12 means nothing when an event was being
 * delivered.
 */
bool vmx_event_settle(struct vcpu *vcpu, uint32_t unblock_info)
{
	uint32_t vectoring = vmcs_read32(VMCS_VECTORING_EVENT);

	if ((vectoring & BH_INJECT_VALID) != 0) {
		hvm_event_again(vcpu, vectoring, vmcs_read32(VMCS_VECTORING_ERROR_CODE));
		return true;
	}
	if ((unblock_info & EVENT_NMI_UNBLOCKED) != 0) {
		hvm_set(vcpu, HVM_SHADOW, hvm_get(vcpu, HVM_SHADOW) | HVM_SHADOW_NMI);
	}
	return false;
}
