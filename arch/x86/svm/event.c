/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events into the guest: injection, when they can be taken, and how to get an exit as soon as they can (APM 2 15.20, 15.21).
 *
 * AMD-V has no flag for "inside an NMI handler": after an NMI, IRET is intercepted, and NMIs stay blocked until the guest has got past it.
 *
 * QEMU's TCG saves the interrupt shadow at an exit and does not load it at VMRUN, so an exit between STI and HLT, followed by an
 * injection, would put a guest to sleep for ever. There the shadow is remembered by RIP, and the guest passes that one instruction
 * under RFLAGS.TF before anything is injected.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/reg/cr.h"
#include "kernel/vlapic.h"

#define DR6_BS   BIT(14)
#define DR6_HITS GENMASK(3, 0)

static void step_begin(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct svm_private *private = svm_private(vcpu);

	if (!private->is_stepping) {
		private->is_stepping = 1;
		private->had_tf = (vmcb->rflags & RFLAGS_TF) != 0;
		vmcb->rflags |= RFLAGS_TF;
	}
}

/*
 * The instruction is over (was_step), or another exit came first. An IRET that was executed has loaded RFLAGS anew: TF is the guest's then.
 * True: the #DB was for us alone.
 */
static bool step_end(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct svm_private *private = svm_private(vcpu);
	/* Bochs leaves BS to the delivery that the intercept prevents. */
	bool was_step = vmcb->exit_code == SVM_EXIT_EXCEPTION + 1 &&
	                ((vmcb->dr6 & DR6_BS) != 0 || (vmcb->dr6 & DR6_HITS) == 0);
	bool was_iret = private->is_at_iret && (was_step || vmcb->rip != private->iret_rip);

	private->is_stepping = 0;
	if (was_step) {
		private->is_shadow = 0;
	}
	if (was_iret) {
		private->is_at_iret = 0;
		private->is_nmi_blocked = 0;
	} else if (!private->had_tf) {
		vmcb->rflags &= ~RFLAGS_TF;
	}
	if (was_step && !private->had_tf) {
		vmcb->dr6 &= ~DR6_BS;
		svm_changed(vmcb, SVM_CLEAN_DR);
		return true;
	}
	return false;
}

bool svm_exit_settle(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct svm_private *private = svm_private(vcpu);

	if (private->is_offered && (vmcb->vintr & SVM_VINTR_IRQ) == 0) {
		svm_offer_taken(vcpu);
	} else if (private->is_offered == SVM_OFFER_TAKEN) {
		/* Another exit came first; or one in its delivery, and then it is in EXITINTINFO. */
		private->is_offered = 0;
		if ((vmcb->exit_int_info & BH_INJECT_VALID) == 0) {
			vlapic_untake(vcpu, (uint32_t)field_get(SVM_VINTR_VECTOR, vmcb->vintr));
		}
	} else if (private->is_offered) {
		/*
		 * Again: TCG has lost the shadow, and Bochs looks at V_IRQ only when IF changes.
		 */
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
	if (unlikely(private->is_stepping)) {
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT); /* what waited for its end */
		if (step_end(vcpu)) {
			return true;
		}
	}
	if (svm_is_tcg) {
		if (vmcb->interrupt_shadow != 0) {
			private->is_shadow = 1;
			private->shadow_rip = vmcb->rip;
		} else if (private->is_shadow && vmcb->rip == private->shadow_rip) {
			vmcb->interrupt_shadow = SVM_SHADOW;
		} else {
			private->is_shadow = 0;
		}
	}
	if (private->is_at_iret && vmcb->rip != private->iret_rip) {
		private->is_at_iret = 0; /* the NMI handler is over */
		private->is_nmi_blocked = 0;
	}
	return false;
}

static bool is_injecting(const struct vmcb *vmcb)
{
	return (vmcb->event_inject & BH_INJECT_VALID) != 0;
}

uint32_t svm_ready(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = svm_vmcb(vcpu);

	if (is_injecting(vmcb) || (vmcb->interrupt_shadow & SVM_SHADOW) != 0) {
		return 0;
	}
	return ((vmcb->rflags & RFLAGS_IF) != 0 ? HVM_READY_INTERRUPT : 0) |
	       (svm_private(vcpu)->is_nmi_blocked ? 0 : HVM_READY_NMI);
}

void svm_intercept_iret(struct vcpu *vcpu, bool is_on)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->intercept1 &= ~(uint32_t)SVM_INTERCEPT1_IRET;
	vmcb->intercept1 |= is_on ? SVM_INTERCEPT1_IRET : 0;
	svm_changed(vmcb, SVM_CLEAN_INTERCEPTS);
}

void svm_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code)
{
	svm_vmcb(vcpu)->event_inject = ((uint64_t)error_code << 32) | inject;
	if ((inject & HVM_EVENT_TYPE) == BH_INJECT_TYPE_NMI) {
		svm_private(vcpu)->is_nmi_blocked = 1;
		svm_intercept_iret(vcpu, true);
	}
}

/* The fields of virtual interrupts, and whether one that can be taken exits instead. */
static void set_virtual_interrupt(struct vcpu *vcpu, uint64_t fields, bool is_window)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t intercept = is_window ? SVM_INTERCEPT1_VINTR : 0;

	vmcb->vintr = (vmcb->vintr & (SVM_VINTR_TPR | SVM_VINTR_MASKING)) | fields;
	svm_changed(vmcb, SVM_CLEAN_TPR);
	if ((vmcb->intercept1 & SVM_INTERCEPT1_VINTR) != intercept) {
		vmcb->intercept1 ^= SVM_INTERCEPT1_VINTR;
		svm_changed(vmcb, SVM_CLEAN_INTERCEPTS);
	}
	vmcb->intercept_cr = svm_is_tcg && fields != 0 ? SVM_INTERCEPT_CR8_WRITE : 0;
	svm_private(vcpu)->is_offered = fields != 0 && !is_window;
}

/* TCG dies of a MOV to CR8 while V_IRQ is set (an assertion of its own): the guest passes that instruction in a step without. */
void svm_pass_cr8(struct vcpu *vcpu)
{
	step_begin(vcpu);
	set_virtual_interrupt(vcpu, 0, false);
}

/* A step is under way, or must come first. An interrupt that is delivered in it would save our TF: nothing is offered till it is over. */
static bool is_step_first(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = svm_vmcb(vcpu);

	if (svm_is_tcg && vmcb->interrupt_shadow != 0 && !is_injecting(vmcb)) {
		step_begin(vcpu);
	}
	return svm_private(vcpu)->is_stepping;
}

void svm_open_window(struct vcpu *vcpu)
{
	/* a step's #DB is a window too */
	uint64_t fields = is_step_first(vcpu)
	                          ? 0
	                          : SVM_VINTR_IRQ | SVM_VINTR_IGNORE_TPR | SVM_VINTR_PRIORITY;

	set_virtual_interrupt(vcpu, fields, true);
}

/*
 * What can go in at the next entry is injected. Else the CPU delivers it by itself when IF, shadow and CR8 allow, without an exit, and
 * clears V_IRQ then (APM 2 15.21.4): so after an exit V_IRQ says whether it has gone in. A delivery that an exit interrupts is in
 * EXITINTINFO in both cases.
 *
 * TCG's VMRUN leaves the vector of an injected interrupt behind as an exception to come, and delivers that, IF or not, when something
 * makes the emulator leave its loop before the next exit. So there the CPU delivers what can go in, too; it is in service already.
 */
bool svm_offer_interrupt(struct vcpu *vcpu, uint32_t vector)
{
	const struct vmcb *vmcb = svm_vmcb(vcpu);
	uint64_t priority = vector >> 4, fields = 0;
	bool is_next = priority > (vlapic_in_service(vcpu) >> 4);
	bool is_ready = is_next && priority > (vmcb->vintr & SVM_VINTR_TPR) &&
	                (svm_ready(vcpu) & HVM_READY_INTERRUPT) != 0;

	if (is_ready && !svm_is_tcg) {
		vlapic_take(vcpu, vector);
		svm_inject(vcpu, BH_INJECT_VALID | BH_INJECT_TYPE_INTERRUPT | vector, 0);
	} else if (is_next && !is_step_first(vcpu)) {
		/* TCG lets it through at equal priority already. */
		fields = SVM_VINTR_IRQ | field_set(SVM_VINTR_VECTOR, vector) |
		         field_set(SVM_VINTR_PRIORITY, priority - svm_is_tcg);
	}
	set_virtual_interrupt(vcpu, fields, false);
	if (is_ready && fields != 0) {
		vlapic_take(vcpu, vector);
		svm_private(vcpu)->is_offered = SVM_OFFER_TAKEN;
	}
	return is_ready;
}

void svm_offer_taken(struct vcpu *vcpu)
{
	if (svm_private(vcpu)->is_offered != SVM_OFFER_TAKEN) {
		vlapic_take(vcpu, (uint32_t)field_get(SVM_VINTR_VECTOR, svm_vmcb(vcpu)->vintr));
		vcpu->stats->counts[BH_COUNT_CPU]++;
	}
	svm_private(vcpu)->is_offered = 0;
}

void svm_set_nmi_window(struct vcpu *vcpu, bool is_on)
{
	struct svm_private *private = svm_private(vcpu);

	if (!is_on) {
		return;
	}
	if (is_injecting(svm_vmcb(vcpu))) {
		/* A step would begin with that event's delivery, which saves our TF: look again at the next exit. */
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
		return;
	}
	/* Blocked by a handler that runs: its IRET exits. At that IRET, or in a shadow: one instruction further. */
	if (private->is_at_iret || !private->is_nmi_blocked) {
		step_begin(vcpu);
	}
}

void svm_set_shadow(struct vcpu *vcpu, uint32_t shadow)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct svm_private *private = svm_private(vcpu);

	vmcb->interrupt_shadow = (shadow & ~HVM_SHADOW_NMI) != 0 ? SVM_SHADOW : 0;
	private->attention = 0;
	private->is_shadow = svm_is_tcg && vmcb->interrupt_shadow != 0;
	private->shadow_rip = vmcb->rip;
	private->is_nmi_blocked = (shadow & HVM_SHADOW_NMI) != 0;
	svm_intercept_iret(vcpu, private->is_nmi_blocked);
}
