/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into a guest before it runs on: resets, exceptions, NMIs, interrupts, in the order of their priority (SDM 3A 6.9).
 * Own pCPU, from the vCPU's request word.
 */
#include "arch/x86/hvm.h"
#include "kernel/trace.h"
#include "kernel/vcpu_exit.h"
#include "kernel/vlapic.h"

#define TYPE_MASK 0x700u
#define REQUESTS_EVENT \
	(VCPU_REQUEST_INTERRUPT | VCPU_REQUEST_NMI | VCPU_REQUEST_EXTINT | VCPU_REQUEST_INJECT)
#define NMI_PENDING_MAX 2u

/* Sets of exceptions (SDM 3A tables 6-1 and 6-5). */
#define CONTRIBUTORY \
	(BIT(VECTOR_DE) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) | BIT(VECTOR_GP))
#define WITH_ERROR_CODE                                                                        \
	((CONTRIBUTORY & ~BIT(VECTOR_DE)) | BIT(VECTOR_DF) | BIT(VECTOR_PF) | BIT(VECTOR_AC) | \
	 BIT(VECTOR_CP))

static bool is_in(uint64_t set, uint32_t vector)
{
	return (set >> (vector & 63) & 1) != 0;
}

/* Both in the course of one delivery make a double fault. */
static bool makes_double_fault(uint32_t first, uint32_t second)
{
	return (first == VECTOR_PF && second == VECTOR_PF) ||
	       (is_in(CONTRIBUTORY | BIT(VECTOR_PF), first) && is_in(CONTRIBUTORY, second));
}

void vcpu_raise(struct vcpu *vcpu, uint32_t vector, uint32_t error_code)
{
	uint32_t old = vcpu->inject;
	uint32_t type = old & TYPE_MASK;

	vcpu_request_self(vcpu, VCPU_REQUEST_INJECT);
	if ((old & BH_INJECT_VALID) != 0 && type == BH_INJECT_TYPE_EXCEPTION) {
		if ((old & 0xff) == VECTOR_DF) {
			vcpu->is_triple_fault = true;
			return;
		}
		if (makes_double_fault(old & 0xff, vector)) {
			vector = VECTOR_DF;
			error_code = 0;
		}
	} else if ((old & BH_INJECT_VALID) != 0 && type == BH_INJECT_TYPE_NMI) {
		vcpu->nmi_pending++; /* comes again after the exception's handler */
	} else if ((old & BH_INJECT_VALID) != 0 && type == BH_INJECT_TYPE_INTERRUPT) {
		vlapic_untake(vcpu, old & 0xff);
	}
	vcpu->inject = BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | vector |
	               (is_in(WITH_ERROR_CODE, vector) ? BH_INJECT_ERROR_CODE : 0);
	vcpu->inject_error_code = error_code;
}

static void inject(struct vcpu *vcpu, uint32_t event, uint32_t error_code)
{
	hvm->inject(vcpu, event, error_code);
	trace(BH_TRACE_INJECT, TRACE_VCPU(vcpu), event);
	vcpu->stats->injections[(event & TYPE_MASK) >> 8 & 3]++;
	vcpu->activity = BH_ACTIVITY_RUNNING;
}

static void deliver_nmi(struct vcpu *vcpu)
{
	if (vcpu->nmi_pending != 0 && (hvm->ready(vcpu) & HVM_READY_NMI) != 0) {
		vcpu->nmi_pending--;
		inject(vcpu, BH_INJECT_VALID | BH_INJECT_TYPE_NMI | VECTOR_NMI, 0);
	}
	hvm->set_nmi_window(vcpu, vcpu->nmi_pending != 0);
}

/* The 8259's interrupt: the VMM acknowledges it, and its answer comes back as an injection. */
static bool offer_extint(struct vcpu *vcpu)
{
	if ((hvm->ready(vcpu) & HVM_READY_INTERRUPT) != 0) {
		vcpu->activity = BH_ACTIVITY_RUNNING;
		(void)hvm->offer_interrupt(vcpu, 0);
		/* Looked at again after the answer: the line may still be asserted, for the next one. */
		vcpu_request_self(vcpu, VCPU_REQUEST_EXTINT);
		return vcpu_return(vcpu, BH_EXIT_EXTINT, 0);
	}
	hvm->open_window(vcpu);
	return true;
}

static void deliver_apic(struct vcpu *vcpu)
{
	if (hvm->offer_interrupt(vcpu, vlapic_update(vcpu))) {
		vcpu->activity = BH_ACTIVITY_RUNNING;
	}
}

bool vcpu_deliver_fast(struct vcpu *vcpu)
{
	uint32_t wanted = VCPU_REQUEST_INTERRUPT;

	if (cpu_self()->work != 0 || vcpu->lapic.is_extint_asserted ||
	    (vcpu->inject | vcpu->nmi_pending | vcpu->lapic.eoi_byte) != 0 ||
	    vcpu->activity == BH_ACTIVITY_WAIT_SIPI ||
	    !__atomic_compare_exchange_n(&vcpu->requests, &wanted, 0, false, __ATOMIC_SEQ_CST,
	                                 __ATOMIC_RELAXED)) {
		return false;
	}
	deliver_apic(vcpu);
	return vcpu->activity == BH_ACTIVITY_RUNNING;
}

static bool deliver_events(struct vcpu *vcpu)
{
	if (vcpu->is_triple_fault) {
		vcpu->is_triple_fault = false;
		vcpu->inject = 0;
		return vcpu_return(vcpu, BH_EXIT_SHUTDOWN, BH_STATE_EMULATE);
	}
	if (vcpu->inject != 0) {
		uint32_t event = vcpu->inject;

		vcpu->inject = 0;
		inject(vcpu, event, vcpu->inject_error_code);
	}
	deliver_nmi(vcpu);
	if (vlapic_extint_pending(vcpu)) {
		return offer_extint(vcpu);
	}
	deliver_apic(vcpu);
	return true;
}

static bool report_eoi(struct vcpu *vcpu)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(vcpu->lapic.eoi_level); i++) {
		uint64_t *word = &vcpu->lapic.eoi_level[i];

		if (*word != 0) {
			vcpu->run->vector = i * 64 + (uint32_t)__builtin_ctzll(*word);
			*word &= *word - 1;
			vcpu_request_self(vcpu, VCPU_REQUEST_EOI); /* there may be more */
			vcpu->stats->exits[BH_REASON_EOI]++;
			return vcpu_return(vcpu, BH_EXIT_EOI, 0);
		}
	}
	return true;
}

/* What returns to the VMM gives the rest of the bits back for the next time. */
static bool requests_rare(struct vcpu *vcpu, uint32_t bits)
{
	uint32_t rest = bits & (REQUESTS_EVENT | VCPU_REQUEST_EOI | VCPU_REQUEST_KICK);

	if ((bits & VCPU_REQUEST_FLUSH) != 0) {
		vcpu->needs_flush = true;
		vcpu->stats->counts[BH_COUNT_FLUSH]++;
	}
	vcpu->is_kicked |= (bits & VCPU_REQUEST_UNHALT) != 0;
	if ((bits & VCPU_REQUEST_INIT) != 0) {
		vcpu_request_self(vcpu, (rest & ~VCPU_REQUEST_NMI) | (bits & VCPU_REQUEST_SIPI));
		vlapic_reset(vcpu, true); /* the VMM does the registers (SDM 3A 8.4.2) */
		return vcpu_return(vcpu, BH_EXIT_INIT, 0);
	}
	if ((bits & VCPU_REQUEST_SIPI) != 0 && vcpu->activity == BH_ACTIVITY_WAIT_SIPI) {
		vcpu_request_self(vcpu, rest);
		vcpu->activity = BH_ACTIVITY_RUNNING;
		vcpu->run->vector = __atomic_load_n(&vcpu->sipi_vector, __ATOMIC_ACQUIRE);
		return vcpu_return(vcpu, BH_EXIT_SIPI, 0);
	}
	if ((bits & VCPU_REQUEST_KICK) != 0) {
		vcpu_request_self(vcpu, rest & ~VCPU_REQUEST_KICK);
		return vcpu_return(vcpu, BH_EXIT_KICK, 0);
	}
	if ((bits & VCPU_REQUEST_EOI) != 0) {
		vcpu_request_self(vcpu, rest & ~VCPU_REQUEST_EOI);
		return report_eoi(vcpu);
	}
	return true;
}

bool vcpu_requests_handle(struct vcpu *vcpu)
{
	uint32_t bits = __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);

	if ((bits & ~REQUESTS_EVENT) != 0 && !requests_rare(vcpu, bits)) {
		return false;
	}
	if ((bits & VCPU_REQUEST_NMI) != 0 && vcpu->nmi_pending < NMI_PENDING_MAX) {
		vcpu->nmi_pending++;
	}
	if ((bits & REQUESTS_EVENT) != 0 && vcpu->activity != BH_ACTIVITY_WAIT_SIPI) {
		return deliver_events(vcpu);
	}
	return true;
}
