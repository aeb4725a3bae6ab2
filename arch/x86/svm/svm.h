/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of arch/x86/svm share. Nothing outside of it includes this. */
#pragma once

#include "arch/x86/hvm.h"
#include "arch/x86/svm/vmcb.h"

/* In vcpu->hvm_private. */
struct svm_private {
	uint64_t shadow_rip; /* svm_is_tcg: where the guest stood in an interrupt shadow */
	uint64_t iret_rip;   /* NMI handler's IRET, about to be executed */
	union {
		struct {
			uint8_t is_shadow;   /* svm_is_tcg: shadow_rip counts */
			uint8_t is_at_iret;  /* iret_rip counts */
			uint8_t is_stepping; /* RFLAGS.TF is ours, for one instruction */
			uint8_t is_offered; /* V_IRQ was set for V_INTR_VECTOR; see svm_offer_interrupt() */
		};
		uint32_t attention; /* any of them: svm_exit_settle() has something to look at */
	};
	uint8_t is_nmi_blocked; /* an NMI handler runs: until its IRET */
	uint8_t had_tf;         /* the guest's own RFLAGS.TF while stepping */
};
#define SVM_OFFER_TAKEN \
	2u /* is_offered: the interrupt has left IRR, since nothing keeps it from going in */
/* Of attention: what the fast path leaves to the slow one. */
#define SVM_ATTENTION_SLOW 0x00ffffffu
_Static_assert(sizeof(struct svm_private) <= sizeof(((struct vcpu *)0)->hvm_private), "fits");

static inline struct vmcb *svm_vmcb(struct vcpu *vcpu)
{
	return vcpu->hvm_state;
}

static inline struct svm_private *svm_private(struct vcpu *vcpu)
{
	return (struct svm_private *)(void *)vcpu->hvm_private;
}

/* Part of the VMCB was changed: what the CPU keeps of it is void (APM 2 15.15). */
static inline void svm_changed(struct vmcb *vmcb, uint32_t clean_bits)
{
	vmcb->clean &= ~clean_bits;
}

/* QEMU without acceleration: see docs/caveats.md for what it does otherwise than the manual */
extern bool svm_is_tcg;

/* switch.S */
void svm_switch(struct vcpu *vcpu, hpa_t host_vmcb);
/* fast.c: hvm_exit_fast, at GIF=0. One for CPUs that save the next RIP, one that counts on instruction lengths. */
uint64_t svm_exit_fast_saved(struct vcpu *vcpu);
uint64_t svm_exit_fast_counted(struct vcpu *vcpu);
/* exit.c: the exit that the VMCB tells of, for the vendor-free slow path. */
void svm_exit_decode(struct vcpu *vcpu, struct vm_exit *exit);
void svm_skip_instruction(struct vcpu *vcpu, uint32_t length);
/* state.c */
uint64_t svm_get(struct vcpu *vcpu, enum hvm_register reg);
void svm_set(struct vcpu *vcpu, enum hvm_register reg, uint64_t value);
void svm_get_state(struct vcpu *vcpu, struct bh_cpu_state *state);
void svm_get_segments(struct vcpu *vcpu, struct bh_segment_state *segments);
void svm_set_segments(struct vcpu *vcpu, const struct bh_segment_state *segments);
/* event.c */
uint32_t svm_ready(struct vcpu *vcpu);
void svm_inject(struct vcpu *vcpu, uint32_t inject, uint32_t error_code);
bool svm_offer_interrupt(struct vcpu *vcpu, uint32_t vector);
void svm_open_window(struct vcpu *vcpu);
void svm_pass_cr8(struct vcpu *vcpu);
/* The offered interrupt has gone in since the last entry. */
void svm_offer_taken(struct vcpu *vcpu);
void svm_set_nmi_window(struct vcpu *vcpu, bool is_on);
void svm_set_shadow(struct vcpu *vcpu, uint32_t shadow);
void svm_intercept_iret(struct vcpu *vcpu, bool is_on);
/*
 * After a slow exit with attention or an interrupt shadow, before anything else looks: shadows, stepping, the end of NMI handlers.
 * True: this #DB was ours.
 */
bool svm_exit_settle(struct vcpu *vcpu);
