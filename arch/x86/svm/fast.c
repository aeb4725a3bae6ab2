/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exits that are finished on the spot (arch/x86/hvm_fast.h), between VMRUN and VMRUN with GIF=0 and the guest's VMLOAD state in
 * the CPU.
 */
#include "arch/x86/hvm_fast.h"

#include "arch/x86/reg/cr.h"
#include "arch/x86/svm/svm.h"

/* Lengths without prefixes; used where the CPU saves no next RIP (docs/caveats.md). */
#define LENGTH_CPUID   2u
#define LENGTH_HLT     1u
#define LENGTH_MSR     2u
#define LENGTH_VMMCALL 3u

/* What tells a plain OUT from others, and its port (struct port_slot). */
#define IO_OUT_KEY ((uint32_t)(SVM_IO_PORT | SVM_IO_IN | SVM_IO_STRING | SVM_IO_REP))

/* The instruction is finished: back into the guest. `saved`: the CPU saves the next RIP; a constant in each of the two variants below. */
static inline __attribute__((always_inline)) uint64_t advance(struct vcpu *vcpu, bool saved,
                                                              uint64_t length)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	if (saved) {
		vmcb->rip = vmcb->next_rip;
	} else {
		vmcb->rip += length;
	}
	vmcb->interrupt_shadow = 0;
	return vcpu->hvm_page.raw;
}

/* Finished, and there is something else to look at before the guest goes on. */
static inline uint64_t look_elsewhere(struct vcpu *vcpu)
{
	svm_vmcb(vcpu)->exit_code = SVM_EXIT_DONE;
	return 0;
}

/* What was offered may have gone in: IRR and ISR must say so before anything looks at them. */
static inline void settle_offer(struct vcpu *vcpu)
{
	if (svm_private(vcpu)->is_offered && (svm_vmcb(vcpu)->vintr & SVM_VINTR_IRQ) == 0) {
		svm_offer_taken(vcpu);
	}
}

static out_of_line uint64_t finish_doorbell(struct vcpu *vcpu, struct event *event)
{
	settle_offer(vcpu);
	return hvm_fast_ring(vcpu, event) ? vcpu->hvm_page.raw : look_elsewhere(vcpu);
}

/* An interrupt for the guest itself, if that is all; else the slow path looks. */
static uint64_t deliver(struct vcpu *vcpu)
{
	if ((svm_private(vcpu)->attention & SVM_ATTENTION_SLOW) == 0 && vcpu_deliver_fast(vcpu)) {
		return vcpu->hvm_page.raw;
	}
	return look_elsewhere(vcpu);
}

static out_of_line uint64_t finish_msr(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	settle_offer(vcpu);
	if (!hvm_fast_msr(vcpu, (vmcb->exit_info1 & 1) != 0, vmcb->rax)) {
		return 0;
	}
	(void)advance(vcpu, feature_has(FEATURE_SVM_NRIPS), LENGTH_MSR);
	return hvm_fast_go_on(vcpu) ? vcpu->hvm_page.raw : deliver(vcpu);
}

/* The interrupt that is offered goes in right at the next entry. TCG sees to that itself, with V_IRQ as it is. */
static inline bool offer_goes_in(struct vcpu *vcpu)
{
	const struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t vector = (uint32_t)field_get(SVM_VINTR_VECTOR, vmcb->vintr);

	return svm_is_tcg ? (vmcb->rflags & RFLAGS_IF) != 0 &&
	                            vector >> 4 > (vmcb->vintr & SVM_VINTR_TPR)
	                  : svm_offer_interrupt(vcpu, vector);
}

/* HLT with an interrupt that waits: no reason to sleep. */
static out_of_line uint64_t finish_hlt(struct vcpu *vcpu)
{
	if ((svm_private(vcpu)->attention & SVM_ATTENTION_SLOW) != 0) {
		return 0;
	}
	settle_offer(vcpu);
	vcpu->stats->exits[BH_REASON_HLT]++;
	(void)advance(vcpu, feature_has(FEATURE_SVM_NRIPS), LENGTH_HLT);
	if (svm_private(vcpu)->is_offered && hvm_fast_go_on(vcpu) && offer_goes_in(vcpu)) {
		return vcpu->hvm_page.raw;
	}
	vcpu->activity = BH_ACTIVITY_HALTED;
	/* Something waits already that may wake it; else whoever comes now sets a request, which is looked at before it sleeps. */
	if ((vcpu->lapic.irr_words | vcpu->irr_remote_words | vcpu->inject | vcpu->nmi_pending |
	     vcpu->lapic.is_extint_asserted) != 0) {
		vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	}
	return vcpu->requests != 0 ? deliver(vcpu) : look_elsewhere(vcpu);
}

static inline __attribute__((always_inline)) uint64_t finish_io(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	const struct port_slot *slot = hvm_fast_port(vcpu, (uint32_t)vmcb->exit_info1, IO_OUT_KEY);
	struct event *event;

	if (slot == NULL) {
		return 0;
	}
	vmcb->rip = vmcb->exit_info2; /* the next RIP, on every CPU (APM 2 15.10.2) */
	vmcb->interrupt_shadow = 0;
	event = slot->event; /* once: another pCPU may clear it */
	return event != NULL ? finish_doorbell(vcpu, event) : vcpu->hvm_page.raw;
}

static inline __attribute__((always_inline)) uint64_t exit_fast(struct vcpu *vcpu, bool saved)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t code = (uint32_t)vmcb->exit_code;

	if (code == SVM_EXIT_IOIO) {
		return finish_io(vcpu);
	}
	if (code == SVM_EXIT_CPUID) {
		return hvm_fast_cpuid(vcpu, &vmcb->rax) ? advance(vcpu, saved, LENGTH_CPUID) : 0;
	}
	if (code == SVM_EXIT_VMMCALL) {
		return hvm_fast_hypercall(vcpu, &vmcb->rax) ? advance(vcpu, saved, LENGTH_VMMCALL)
		                                            : 0;
	}
	if (code == SVM_EXIT_HLT) {
		return finish_hlt(vcpu);
	}
	return code == SVM_EXIT_MSR ? finish_msr(vcpu) : 0;
}

uint64_t svm_exit_fast_saved(struct vcpu *vcpu)
{
	return exit_fast(vcpu, true);
}

uint64_t svm_exit_fast_counted(struct vcpu *vcpu)
{
	return exit_fast(vcpu, false);
}
