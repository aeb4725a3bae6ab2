/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit means: from the VMCB to the vendor-free struct vm_exit. Decides nothing about the guest but what APM 2 15 says of the
 * instruction. Slow path only: the host is whole again.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/reg/cr.h"
#include "kernel/string.h"

#define VECTOR_DB           1u
#define VECTOR_BP           3u
#define VECTOR_OF           4u
#define VECTOR_UD           6u
#define VECTOR_GP           13u
#define VECTOR_AC           17u
#define VECTOR_MC           18u

#define NPF_WRITE           BIT(1)
#define NPF_FETCH           BIT(4)
#define NPF_FINAL           BIT(32)

#define VMCB_ATTRIBUTE_LONG BIT(9)

/* Length without prefixes, for CPUs that save no next RIP (docs/caveats.md). */
static uint64_t next_rip(const struct vmcb *vmcb, uint64_t length)
{
	return svm_has_next_rip ? vmcb->next_rip : vmcb->rip + length;
}

static void decode_io(const struct vmcb *vmcb, struct vm_exit *exit)
{
	uint64_t info = vmcb->exit_info1;

	exit->reason = BH_REASON_IO;
	exit->port = (uint16_t)field_get(SVM_IO_PORT, info);
	exit->width_bytes = (uint8_t)field_get(SVM_IO_SIZE, info);
	exit->is_write = (info & SVM_IO_IN) == 0;
	exit->is_string = (info & (SVM_IO_STRING | SVM_IO_REP)) != 0;
	exit->next_rip = vmcb->exit_info2;
}

static void decode_nested_fault(const struct vmcb *vmcb, struct vm_exit *exit)
{
	exit->reason = BH_REASON_MMIO;
	exit->gpa = GPA(vmcb->exit_info2);
	exit->is_write = (vmcb->exit_info1 & NPF_WRITE) != 0;
	exit->is_fetch = (vmcb->exit_info1 & NPF_FETCH) != 0;
	exit->is_final = (vmcb->exit_info1 & NPF_FINAL) != 0;
	exit->next_rip = vmcb->rip;
	exit->is_64 = exit->is_final && (vmcb->efer & EFER_LMA) != 0 &&
	              (vmcb->cs.attributes & VMCB_ATTRIBUTE_LONG) != 0;
	exit->cpl = vmcb->cpl;
	exit->instruction_length = 0;
	if ((hvm_features & BH_FEATURE_DECODE_ASSIST) != 0 &&
	    vmcb->fetched_bytes <= sizeof(vmcb->instruction)) {
		exit->instruction_length = vmcb->fetched_bytes;
		memcpy(exit->instruction, vmcb->instruction, sizeof(vmcb->instruction));
	}
}

static void decode_exception(const struct vmcb *vmcb, struct vm_exit *exit, bool was_step)
{
	uint32_t vector = (uint32_t)vmcb->exit_code - SVM_EXIT_EXCEPTION;

	exit->reason = BH_REASON_EXCEPTION;
	exit->inject = 0;
	if (vector == VECTOR_MC) {
		/* The machine's, not the guest's: the intercept took it, so hand it to our own handler. */
		__asm__ volatile("int $18" : : : "memory");
	} else if (was_step) {
		exit->reason = BH_REASON_INTERRUPT_WINDOW;
	} else {
		exit->inject = BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | vector;
		exit->error_code = 0;
		if (vector == VECTOR_AC) {
			exit->inject |= BH_INJECT_ERROR_CODE;
			exit->error_code = (uint32_t)vmcb->exit_info1;
		}
	}
}

static void decode_iret(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	exit->reason = BH_REASON_INTERRUPT_WINDOW;
	svm_private(vcpu)->is_at_iret = 1;
	svm_private(vcpu)->iret_rip = vmcb->rip;
	vmcb->intercept1 &= ~(uint32_t)SVM_INTERCEPT1_IRET;
	vmcb->clean &= ~(uint32_t)SVM_CLEAN_INTERCEPTS;
}

static void decode_plain(struct vm_exit *exit, uint32_t reason, uint64_t rip)
{
	exit->reason = reason;
	exit->next_rip = rip;
}

static void decode_fault(struct vm_exit *exit, uint32_t vector)
{
	exit->reason = BH_REASON_PRIVILEGED;
	exit->inject = BH_INJECT_VALID | BH_INJECT_TYPE_EXCEPTION | vector;
	exit->error_code = 0;
	if (vector == VECTOR_GP) {
		exit->inject |= BH_INJECT_ERROR_CODE;
	}
}

/* An event was being delivered when the exit came: again, unless the instruction itself raises it again (APM 2 15.7.2). */
static out_of_line void take_interrupted_event(struct vcpu *vcpu, struct vmcb *vmcb)
{
	uint32_t info = (uint32_t)vmcb->exit_int_info;
	uint32_t vector = info & 0xff;
	uint32_t type = info & (uint32_t)SVM_EVENT_TYPE;

	if (type == SVM_EVENT_TYPE_SOFTWARE) {
		return;
	}
	if (type == BH_INJECT_TYPE_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF)) {
		return;
	}
	if (type == BH_INJECT_TYPE_NMI) {
		svm_private(vcpu)->is_nmi_blocked = 0;
	}
	vcpu->inject = info &
	               (BH_INJECT_VALID | BH_INJECT_ERROR_CODE | (uint32_t)SVM_EVENT_TYPE | 0xff);
	vcpu->inject_error_code = (uint32_t)(vmcb->exit_int_info >> 32);
	vcpu_request_self(vcpu, VCPU_REQUEST_INJECT);
}

static out_of_line void decode_rest(struct vcpu *vcpu, struct vm_exit *exit, bool was_step)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t code = (uint32_t)vmcb->exit_code;

	exit->vendor_code = code;
	exit->qualification = vmcb->exit_info1;
	switch (code) {
	case SVM_EXIT_NPF:
		decode_nested_fault(vmcb, exit);
		break;
	case SVM_EXIT_INTR:
		exit->reason = BH_REASON_INTERRUPT;
		break;
	case SVM_EXIT_DONE:
	case SVM_EXIT_SMI:
	case SVM_EXIT_INIT:
		exit->reason = VM_EXIT_NONE;
		break;
	case SVM_EXIT_NMI:
		exit->reason = BH_REASON_NMI; /* taken at the STGI */
		break;
	case SVM_EXIT_VINTR:
		exit->reason = BH_REASON_INTERRUPT_WINDOW;
		break;
	case SVM_EXIT_IRET:
		decode_iret(vcpu, exit);
		break;
	case SVM_EXIT_CPUID:
		if (svm_is_tcg) {
			svm_xcr0_settle(vcpu);
		}
		decode_plain(exit, BH_REASON_CPUID, next_rip(vmcb, 2));
		break;
	case SVM_EXIT_MSR:
		decode_plain(exit,
		             (vmcb->exit_info1 & 1) != 0 ? BH_REASON_MSR_WRITE : BH_REASON_MSR_READ,
		             next_rip(vmcb, 2));
		break;
	case SVM_EXIT_HLT:
		decode_plain(exit, BH_REASON_HLT, next_rip(vmcb, 1));
		break;
	case SVM_EXIT_VMMCALL:
		decode_plain(exit, BH_REASON_HYPERCALL, next_rip(vmcb, 3));
		break;
	case SVM_EXIT_XSETBV:
		decode_plain(exit, BH_REASON_XSETBV, next_rip(vmcb, 3));
		break;
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
		decode_plain(exit, BH_REASON_INVALIDATE, next_rip(vmcb, 2));
		break;
	case SVM_EXIT_PAUSE:
		decode_plain(exit, BH_REASON_PAUSE, next_rip(vmcb, 2));
		break;
	case SVM_EXIT_SHUTDOWN:
		exit->reason = BH_REASON_SHUTDOWN;
		break;
	case SVM_EXIT_INVALID:
		/* Whether it did the flush that it was told to is not said: everything again. */
		vcpu->asid_generation = 0;
		vcpu->cpu->hvm_asid_next = UINT32_MAX;
		exit->reason = VM_EXIT_FAILED_ENTRY;
		break;
	case SVM_EXIT_RDPMC:
		decode_fault(exit, VECTOR_GP);
		break;
	case SVM_EXIT_EXCEPTION + VECTOR_DB:
	case SVM_EXIT_EXCEPTION + VECTOR_AC:
	case SVM_EXIT_EXCEPTION + VECTOR_MC:
		decode_exception(vmcb, exit, was_step);
		break;
	default:
		/* SVM's own instructions, MONITOR, MWAIT, RDPRU: none is there for a guest */
		decode_fault(exit, VECTOR_UD);
		break;
	}
}

void svm_exit_decode(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t code = (uint32_t)vmcb->exit_code;
	bool was_step = false;

	if (unlikely((svm_private(vcpu)->attention | (uint32_t)vmcb->interrupt_shadow) != 0)) {
		was_step = svm_exit_settle(vcpu);
	}
	vmcb->event_inject = 0;
	if (unlikely((vmcb->exit_int_info & BH_INJECT_VALID) != 0) && code != SVM_EXIT_INVALID) {
		take_interrupted_event(vcpu, vmcb);
	}
	if (likely(code == SVM_EXIT_IOIO)) {
		decode_io(vmcb, exit); /* the most frequent of those that take long already */
		return;
	}
	decode_rest(vcpu, exit, was_step);
}
