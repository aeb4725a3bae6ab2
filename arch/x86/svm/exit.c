/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit means: from the VMCB to the vendor-free struct vm_exit. Decides nothing about the guest but what APM 2 15 says of the
 * instruction. Slow path only: the host is whole again.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/reg/cr.h"
#include "kernel/string.h"
#include "kernel/vcpu_exit.h"

#define NPF_WRITE      BIT(1)
#define NPF_FETCH      BIT(4)
#define NPF_FINAL      BIT(32)
#define ATTRIBUTE_LONG BIT(9)

#define SIMPLE(code)   [(code)-SVM_EXIT_INTR]

/*
 * Exits that say all by their code: what they are and, for instructions that somebody else completes, how long those are without
 * prefixes: for CPUs that save no next RIP (docs/caveats.md).
 */
static const struct {
	uint8_t reason;
	uint8_t length;
} simple[] = {
	SIMPLE(SVM_EXIT_INTR) = { BH_REASON_INTERRUPT, 0 },
	SIMPLE(SVM_EXIT_NMI) = { BH_REASON_NMI, 0 }, /* taken at the STGI */
	SIMPLE(SVM_EXIT_SMI) = { VM_EXIT_NONE, 0 },
	SIMPLE(SVM_EXIT_INIT) = { VM_EXIT_NONE, 0 },
	SIMPLE(SVM_EXIT_VINTR) = { BH_REASON_INTERRUPT_WINDOW, 0 },
	SIMPLE(SVM_EXIT_CPUID) = { BH_REASON_CPUID, 2 },
	SIMPLE(SVM_EXIT_INVD) = { BH_REASON_INVALIDATE, 2 },
	SIMPLE(SVM_EXIT_PAUSE) = { BH_REASON_PAUSE, 2 },
	SIMPLE(SVM_EXIT_HLT) = { BH_REASON_HLT, 1 },
	SIMPLE(SVM_EXIT_MSR) = { BH_REASON_MSR_READ, 2 },
	SIMPLE(SVM_EXIT_SHUTDOWN) = { BH_REASON_SHUTDOWN, 0 },
	SIMPLE(SVM_EXIT_VMMCALL) = { BH_REASON_HYPERCALL, 3 },
	SIMPLE(SVM_EXIT_WBINVD) = { BH_REASON_INVALIDATE, 2 },
	SIMPLE(SVM_EXIT_XSETBV) = { BH_REASON_XSETBV, 3 },
};

void svm_skip_instruction(struct vcpu *vcpu, uint32_t length)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	if (vmcb->exit_code == SVM_EXIT_IOIO) {
		vmcb->rip = vmcb->exit_info2;
	} else if (length != 0) {
		vmcb->rip += length;
	} else if (feature_has(FEATURE_SVM_NRIPS)) {
		vmcb->rip = vmcb->next_rip;
	} else {
		vmcb->rip += simple[vmcb->exit_code - SVM_EXIT_INTR].length;
	}
	vmcb->interrupt_shadow = 0;
}

static void decode_io(const struct vmcb *vmcb, struct vm_exit *exit)
{
	uint64_t info = vmcb->exit_info1;

	exit->reason = BH_REASON_IO;
	exit->io.port = (uint16_t)field_get(SVM_IO_PORT, info);
	exit->io.width_bytes = (uint8_t)field_get(SVM_IO_SIZE, info);
	exit->io.is_write = (info & SVM_IO_IN) == 0;
	exit->is_string = (info & (SVM_IO_STRING | SVM_IO_REP)) != 0;
}

static void decode_nested_fault(const struct vmcb *vmcb, struct vm_exit *exit)
{
	struct bh_exit_mmio *mmio = &exit->mmio;

	exit->reason = BH_REASON_MMIO;
	exit->is_delivery = (vmcb->exit_int_info & BH_INJECT_VALID) != 0;
	mmio->gpa = vmcb->exit_info2;
	mmio->is_write = (vmcb->exit_info1 & NPF_WRITE) != 0;
	mmio->is_fetch = (vmcb->exit_info1 & NPF_FETCH) != 0;
	mmio->is_final = (vmcb->exit_info1 & NPF_FINAL) != 0;
	mmio->is_64 = mmio->is_final && (vmcb->efer & EFER_LMA) != 0 &&
	              (vmcb->cs.attributes & ATTRIBUTE_LONG) != 0;
	mmio->cpl = vmcb->cpl;
	mmio->answer_length = 0;
	mmio->instruction_length = 0;
	if (feature_has(FEATURE_SVM_DECODE_ASSIST) &&
	    vmcb->fetched_bytes <= sizeof(vmcb->instruction)) {
		mmio->instruction_length = vmcb->fetched_bytes;
		memcpy(mmio->instruction, vmcb->instruction, sizeof(vmcb->instruction));
	}
}

static void decode_iret(struct vcpu *vcpu, struct vm_exit *exit)
{
	exit->reason = BH_REASON_INTERRUPT_WINDOW;
	svm_private(vcpu)->is_at_iret = 1;
	svm_private(vcpu)->iret_rip = svm_vmcb(vcpu)->rip;
	svm_intercept_iret(vcpu, false);
}

static void decode_rest(struct vcpu *vcpu, struct vm_exit *exit, bool was_step)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint32_t code = (uint32_t)vmcb->exit_code;

	if (code - SVM_EXIT_INTR < ARRAY_SIZE(simple) && simple[code - SVM_EXIT_INTR].reason != 0) {
		exit->reason = simple[code - SVM_EXIT_INTR].reason;
		if (code == SVM_EXIT_MSR && (vmcb->exit_info1 & 1) != 0) {
			exit->reason = BH_REASON_MSR_WRITE;
		}
		return;
	}
	switch (code) {
	case SVM_EXIT_NPF:
		decode_nested_fault(vmcb, exit);
		break;
	case SVM_EXIT_IRET:
		decode_iret(vcpu, exit);
		break;
	case SVM_EXIT_DONE:
		exit->reason = VM_EXIT_NONE;
		break;
	case SVM_EXIT_INVALID:
		/* Whether it did the flush that it was told to is not said: everything again. */
		vcpu->asid_generation = 0;
		vcpu->cpu->hvm_asid_next = UINT32_MAX;
		exit->reason = VM_EXIT_FAILED_ENTRY;
		exit->vendor_code = code;
		break;
	case SVM_EXIT_CR8_WRITE:
		svm_pass_cr8(vcpu);
		exit->reason = VM_EXIT_NONE;
		break;
	case SVM_EXIT_RDPMC:
		hvm_exit_raise(exit, BH_REASON_PRIVILEGED, VECTOR_GP, 0);
		break;
	case SVM_EXIT_EXCEPTION + VECTOR_DB:
		hvm_exit_raise(exit, was_step ? BH_REASON_INTERRUPT_WINDOW : BH_REASON_EXCEPTION,
		               VECTOR_DB, 0);
		break;
	case SVM_EXIT_EXCEPTION + VECTOR_AC:
		hvm_exit_raise(exit, BH_REASON_EXCEPTION, VECTOR_AC, (uint32_t)vmcb->exit_info1);
		break;
	case SVM_EXIT_EXCEPTION + VECTOR_MC:
		/* The machine's, not the guest's: the intercept took it, so hand it to our own handler. */
		__asm__ volatile("int $18" : : : "memory");
		exit->reason = BH_REASON_NMI;
		break;
	default:
		/* SVM's own instructions, MONITOR, MWAIT, RDPRU: none is there for a guest */
		hvm_exit_raise(exit, BH_REASON_PRIVILEGED, VECTOR_UD, 0);
		break;
	}
}

static out_of_line void decode_any(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	bool was_step = (svm_private(vcpu)->attention | (uint32_t)vmcb->interrupt_shadow) != 0 &&
	                svm_exit_settle(vcpu);

	if ((vmcb->exit_int_info & BH_INJECT_VALID) != 0 &&
	    (uint32_t)vmcb->exit_code != SVM_EXIT_INVALID) {
		hvm_event_again(vcpu, (uint32_t)vmcb->exit_int_info,
		                (uint32_t)(vmcb->exit_int_info >> 32));
	}
	if (vmcb->exit_code == SVM_EXIT_IOIO) {
		decode_io(vmcb, exit);
	} else {
		decode_rest(vcpu, exit, was_step);
	}
}

/* Nothing is under way but the exit itself. */
static inline bool is_plain(struct vcpu *vcpu, const struct vmcb *vmcb)
{
	return likely((svm_private(vcpu)->attention | (uint32_t)vmcb->interrupt_shadow |
	               (vmcb->exit_int_info & BH_INJECT_VALID)) == 0);
}

void svm_exit_decode(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	vmcb->event_inject = 0;
	if (likely(vmcb->exit_code == SVM_EXIT_IOIO) && is_plain(vcpu, vmcb)) {
		decode_io(vmcb, exit); /* the most frequent of those that take long already */
	} else if (vmcb->exit_code == SVM_EXIT_DONE && is_plain(vcpu, vmcb)) {
		exit->reason = VM_EXIT_NONE;
	} else {
		decode_any(vcpu, exit);
	}
}
