/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow path of exits, vendor-free: finished here, or handed to the VMM in the run page. No instruction is decoded.
 */
#include "kernel/vcpu_exit.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/msr.h"
#include "kernel/hypercall.h"
#include "kernel/thread.h"
#include "kernel/vlapic.h"
#include "kernel/xcr0.h"

static bool exit_io(struct vcpu *vcpu, const struct vm_exit *exit)
{
	static const uint32_t masks[8] = { [1] = 0xff, [2] = 0xffff, [4] = 0xffffffff };
	struct bh_exit_io io = exit->io;

	if (unlikely(exit->is_string)) {
		return vcpu_return(vcpu, BH_EXIT_EMULATE, BH_STATE_EMULATE);
	}
	hvm->skip_instruction(vcpu, 0);
	if (io.is_write) {
		io.value = vcpu->gpr[BH_GPR_RAX] & masks[io.width_bytes & 7];
	} else {
		vcpu->answer = io.width_bytes;
	}
	vcpu->run->io = io;
	return vcpu_return_plain(vcpu, BH_EXIT_IO, 0);
}

static bool exit_mmio(struct vcpu *vcpu, const struct vm_exit *exit)
{
	const struct bh_exit_mmio *mmio = &exit->mmio;

	if (ALIGN_DOWN(mmio->gpa, PAGE_SIZE) == APIC_BASE_RESET) {
		if (!mmio->is_write) {
			vlapic_register_refresh(vcpu, mmio->gpa % PAGE_SIZE & ~0xfull);
		}
		vcpu->stats->exits[BH_REASON_APIC]++;
	}
	vcpu->run->mmio = *mmio;
	if (unlikely(exit->is_delivery)) {
		/* Descriptor table or stack is not there: the VMM may know better, else the guest's CPU shuts down. */
		return vcpu_return(vcpu, BH_EXIT_DELIVERY, BH_STATE_EMULATE);
	}
	vcpu->answer = VCPU_ANSWER_MMIO;
	return vcpu_return(vcpu, BH_EXIT_MMIO,
	                   mmio->is_64 ? BH_STATE_GPR | BH_STATE_CONTROL : BH_STATE_EMULATE);
}

static bool exit_msr(struct vcpu *vcpu, bool is_write)
{
	uint32_t msr = (uint32_t)vcpu->gpr[BH_GPR_RCX];
	uint64_t value = (vcpu->gpr[BH_GPR_RDX] << 32) | (uint32_t)vcpu->gpr[BH_GPR_RAX];

	if (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST) {
		vlapic_register_refresh(vcpu, (msr - MSR_X2APIC) * 0x10);
	}
	vcpu->answer = is_write ? VCPU_ANSWER_WRMSR : VCPU_ANSWER_RDMSR;
	vcpu->run->msr = (struct bh_exit_msr){ .number = msr,
		                               .is_write = is_write,
		                               .value = is_write ? value : 0 };
	return vcpu_return_plain(vcpu, BH_EXIT_MSR, 0);
}

static bool exit_hlt(struct vcpu *vcpu)
{
	hvm->skip_instruction(vcpu, 0);
	vcpu->activity = BH_ACTIVITY_HALTED;
	/* something may wait already that can wake it */
	vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
	return true;
}

static bool exit_hypercall(struct vcpu *vcpu)
{
	uint64_t number = vcpu->gpr[BH_GPR_RAX];

	hvm->skip_instruction(vcpu, 0);
	if (hvm_get(vcpu, HVM_CPL) != 0) {
		vcpu->gpr[BH_GPR_RAX] = HYPERCALL_ERROR_PERM;
		return true;
	}
	if (number >= HYPERCALL_VMM_FIRST && number < HYPERCALL_NONE_FIRST) {
		return vcpu_return(vcpu, BH_EXIT_HYPERCALL, BH_STATE_GPR);
	}
	vcpu->gpr[BH_GPR_RAX] = hypercall_handle(vcpu, number);
	return true;
}

/* XSETBV (SDM 2B): CPL 0, register 0, a valid combination of what this guest's CPUID offers. */
static bool exit_xsetbv(struct vcpu *vcpu)
{
	uint64_t value = (vcpu->gpr[BH_GPR_RDX] << 32) | (uint32_t)vcpu->gpr[BH_GPR_RAX];

	if (hvm_get(vcpu, HVM_CPL) != 0 || (uint32_t)vcpu->gpr[BH_GPR_RCX] != 0 ||
	    (value & ~vcpu->vm->xcr0_offered) != 0 || !xcr0_is_valid(value)) {
		vcpu_raise(vcpu, VECTOR_GP, 0);
		return true;
	}
	vcpu->xcr0 = value;
	arch_xcr0_load(value);
	hvm->skip_instruction(vcpu, 0);
	return true;
}

/* A guest CPU that spins for a lock: others on this pCPU may hold it. */
static bool exit_pause(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	hvm->skip_instruction(vcpu, 0);
	cpu->is_yielding = true;
	__atomic_fetch_or(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
	return true;
}

/* A timer alone, mostly the guest's own, needs no way out of the guest and back. */
static bool exit_interrupt(struct vcpu *vcpu)
{
	uint32_t timer = CPU_WORK_TIMER;

	arch_interrupts_poll();
	if (__atomic_compare_exchange_n(&vcpu->cpu->work, &timer, 0, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_RELAXED)) {
		timer_run(vcpu->cpu);
	}
	return true;
}

static bool exit_failed_entry(struct vcpu *vcpu, const struct vm_exit *exit)
{
	vcpu->run->failure = exit->vendor_code;
	log_print_limited("vm %u vcpu %u: entry refused (%x)", vcpu->vm->id, vcpu->idx,
	                  exit->vendor_code);
	return vcpu_return(vcpu, BH_EXIT_FAILED_ENTRY, BH_STATE_EMULATE);
}

static out_of_line bool handle_rest(struct vcpu *vcpu, const struct vm_exit *exit)
{
	switch (exit->reason) {
	case BH_REASON_MMIO:
		return exit_mmio(vcpu, exit);
	case BH_REASON_CPUID:
		hvm->skip_instruction(vcpu, 0); /* a leaf that the fast path has not answered */
		return vcpu_return(vcpu, BH_EXIT_CPUID, BH_STATE_GPR | BH_STATE_CONTROL);
	case BH_REASON_MSR_READ:
	case BH_REASON_MSR_WRITE:
		return exit_msr(vcpu, exit->reason == BH_REASON_MSR_WRITE);
	case BH_REASON_HLT:
		return exit_hlt(vcpu);
	case BH_REASON_HYPERCALL:
		return exit_hypercall(vcpu);
	case BH_REASON_INTERRUPT:
		return exit_interrupt(vcpu);
	case BH_REASON_INTERRUPT_WINDOW:
		vcpu_request_self(
			vcpu, VCPU_REQUEST_INJECT); /* what waits, and no window if nothing does */
		return true;
	case BH_REASON_XSETBV:
		return exit_xsetbv(vcpu);
	case BH_REASON_INVALIDATE:
		/* caches are coherent for a guest without devices of its own */
		hvm->skip_instruction(vcpu, 0);
		return true;
	case BH_REASON_PAUSE:
		return exit_pause(vcpu);
	case BH_REASON_EXCEPTION:
	case BH_REASON_PRIVILEGED:
		vcpu_raise(vcpu, exit->vector, exit->error_code);
		return true;
	case BH_REASON_SHUTDOWN:
		return vcpu_return(vcpu, BH_EXIT_SHUTDOWN, BH_STATE_EMULATE);
	case BH_REASON_NMI:
	case VM_EXIT_NONE:
		return true;
	case VM_EXIT_FAILED_ENTRY:
		return exit_failed_entry(vcpu, exit);
	default:
		return vcpu_return(vcpu, BH_EXIT_EMULATE, BH_STATE_EMULATE);
	}
}

bool vcpu_exit_handle(struct vcpu *vcpu, const struct vm_exit *exit)
{
	if (likely(exit->reason == BH_REASON_IO)) {
		return exit_io(vcpu, exit);
	}
	return handle_rest(vcpu, exit);
}
