/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's registers as records. On the way in only that is checked which would harm the host, since the CPU itself refuses at entry what
 * it cannot hold. The vendor keeps what is in its control structure; all else is in struct vcpu.
 */
#include "kernel/vcpu_state.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/msr.h"
#include "kernel/fpu.h"
#include "kernel/string.h"
#include "kernel/vlapic.h"
#include "kernel/xcr0.h"

#define FPU_MXCSR_OFFSET  24u
#define FPU_HEADER_OFFSET 512u

#define ORDER(record, first, last) \
	((offsetof(struct record, last) - offsetof(struct record, first)) / sizeof(uint64_t))
_Static_assert(ORDER(bh_cpu_state, rip, efer) == HVM_EFER - HVM_RIP, "order");
_Static_assert(ORDER(bh_vcpu_state, dr6, tsc) == HVM_PDPTE3 + 1 - HVM_DR6, "order");

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Members of a record that follow each other as the registers do. */
static void set_registers(struct vcpu *vcpu, uint32_t first, uint32_t last, const uint64_t *values)
{
	for (uint32_t reg = first; reg <= last; reg++) {
		hvm_set(vcpu, reg, *values++);
	}
}

/* ---- what an emulator needs ---- */

void vcpu_cpu_state_get(struct vcpu *vcpu, uint32_t groups, struct bh_cpu_state *state)
{
	memcpy(state->gpr, vcpu->gpr, sizeof(state->gpr));
	hvm->get_state(vcpu, state);
	state->xcr0 = vcpu->xcr0;
	if ((groups & BH_STATE_SEGMENTS) != 0) {
		hvm->get_segments(vcpu, state->segments);
	}
}

int vcpu_cpu_state_set(struct vcpu *vcpu, uint32_t groups, const struct bh_cpu_state *state)
{
	if ((groups & BH_STATE_SEGMENTS) != 0) {
		for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
			if (!is_canonical(state->segments[i].base)) {
				return BH_ERR_INVALID;
			}
		}
		hvm->set_segments(vcpu, state->segments);
	}
	if ((groups & BH_STATE_GPR) != 0) {
		memcpy(vcpu->gpr, state->gpr, sizeof(state->gpr));
		hvm_set(vcpu, HVM_RSP, state->gpr[BH_GPR_RSP]);
		hvm_set(vcpu, HVM_RIP, state->rip);
		hvm_set(vcpu, HVM_RFLAGS, state->rflags);
	}
	if ((groups & BH_STATE_CONTROL) != 0) {
		set_registers(vcpu, HVM_CR2, HVM_EFER, &state->cr2);
	}
	return BH_OK;
}

/* ---- the whole record ---- */

static void get_events(struct vcpu *vcpu, struct bh_vcpu_state *state)
{
	uint64_t shadow = hvm_get(vcpu, HVM_SHADOW);

	state->inject = vcpu->inject;
	state->inject_error_code = vcpu->inject_error_code;
	state->interrupt_shadow = shadow & ~HVM_SHADOW_NMI;
	state->is_nmi_blocked = (shadow & HVM_SHADOW_NMI) != 0;
	state->is_nmi_pending = vcpu->nmi_pending != 0 || (vcpu->requests & VCPU_REQUEST_NMI) != 0;
	state->activity = vcpu->activity;
}

int vcpu_get_state(struct vcpu *vcpu, struct bh_vcpu_state *state)
{
	bool was_bound = vcpu->cpu != NULL;
	uint64_t *values = &state->dr6;

	vcpu_make_current(vcpu);
	memset(state, 0, sizeof(*state));
	state->version = BH_ABI_VERSION;
	state->groups = BH_STATE_ALL;
	vcpu_cpu_state_get(vcpu, BH_STATE_EMULATE, &state->cpu);
	vcpu_debug_registers_save(vcpu);
	memcpy(state->dr, vcpu->dr, sizeof(state->dr));
	for (uint32_t reg = HVM_DR6; reg <= HVM_PDPTE3; reg++) {
		*values++ = hvm_get(vcpu, reg);
	}
	state->tsc = arch_tsc_read() + vcpu->tsc_offset;
	state->tsc_aux = vcpu->msr_tsc_aux;
	get_events(vcpu, state);
	vlapic_register_refresh(vcpu, APIC_TPR);
	vlapic_register_refresh(vcpu, APIC_TIMER_CURRENT);
	state->apic_base = vcpu->lapic.apic_base;
	state->apic_timer_deadline_tsc = vlapic_timer_read_deadline(vcpu);
	for (uint32_t i = 0; i < 256; i++) {
		state->lapic[i] = vcpu->lapic.regs[i * 4];
	}
	fpu_flush(cpu_self(), vcpu->fpu);
	state->fpu_size = arch_fpu_size < sizeof(state->fpu) ? arch_fpu_size : sizeof(state->fpu);
	memcpy(state->fpu, vcpu->fpu, state->fpu_size);
	if (!was_bound) {
		vcpu_unload(vcpu);
	}
	return BH_OK;
}

/* What XRSTOR or FXRSTOR would refuse (SDM 1 13.8.1): reserved MXCSR bits, components that XCR0 cannot have, a header that is not plain. */
static bool fpu_is_valid(const struct bh_vcpu_state *state)
{
	uint64_t header[8];
	uint32_t mxcsr;

	if (state->fpu_size != arch_fpu_size || arch_fpu_size > sizeof(state->fpu)) {
		return false;
	}
	memcpy(&mxcsr, state->fpu + FPU_MXCSR_OFFSET, sizeof(mxcsr));
	if ((mxcsr & ~0xffffu) != 0) {
		return false;
	}
	if (state->fpu_size < FPU_HEADER_OFFSET + sizeof(header)) {
		return true;
	}
	memcpy(header, state->fpu + FPU_HEADER_OFFSET, sizeof(header));
	for (size_t i = 1; i < ARRAY_SIZE(header); i++) {
		if (header[i] != 0) {
			return false;
		}
	}
	return (header[0] & ~arch_xcr0_supported) == 0;
}

/* HVM_PAT to HVM_KERNEL_GS_BASE: no other value makes a WRMSR or VMLOAD of ours fault. */
static bool msr_is_valid(uint32_t reg, uint64_t value)
{
	switch (reg) {
	case HVM_PAT:
		/* Eight memory types of 0, 1, 4 to 7 (SDM 3A 11.12.2): no byte above 7, and bit 1 never without bit 2. */
		return (value & ~0x0707070707070707ull) == 0 &&
		       (value >> 1 & ~(value >> 2) & 0x0101010101010101ull) == 0;
	case HVM_SYSENTER_ESP:
	case HVM_SYSENTER_EIP:
	case HVM_LSTAR:
	case HVM_CSTAR:
	case HVM_KERNEL_GS_BASE:
		return is_canonical(value);
	case HVM_SFMASK:
		return value <= 0xffffffff;
	default:
		return true;
	}
}

static bool check_rest(const struct bh_vcpu_state *state)
{
	const uint64_t *values = &state->pat;
	uint32_t groups = state->groups;

	if ((groups & BH_STATE_CONTROL) != 0 && !xcr0_is_valid(state->cpu.xcr0)) {
		return false;
	}
	if ((groups & BH_STATE_MSR) != 0) {
		for (uint32_t reg = HVM_PAT; reg <= HVM_KERNEL_GS_BASE; reg++) {
			if (!msr_is_valid(reg, *values++)) {
				return false;
			}
		}
	}
	if ((groups & BH_STATE_EVENTS) != 0 && state->activity > BH_ACTIVITY_WAIT_SIPI) {
		return false;
	}
	if ((groups & BH_STATE_LAPIC) != 0 &&
	    ((state->apic_base & APIC_BASE_ADDRESS) != APIC_BASE_RESET ||
	     (state->apic_base & (APIC_BASE_X2APIC | APIC_BASE_ENABLE)) == APIC_BASE_X2APIC)) {
		return false;
	}
	return (groups & BH_STATE_FPU) == 0 || fpu_is_valid(state);
}

static void set_events(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	vcpu->inject = state->inject & BH_INJECT_MASK;
	vcpu->inject_error_code = state->inject_error_code;
	hvm_set(vcpu, HVM_SHADOW,
	        state->interrupt_shadow | (state->is_nmi_blocked != 0 ? HVM_SHADOW_NMI : 0));
	vcpu->nmi_pending = state->is_nmi_pending != 0;
	vcpu->activity = (uint8_t)state->activity;
	vcpu_request_self(vcpu, VCPU_REQUEST_INJECT | VCPU_REQUEST_INTERRUPT);
}

static void set_lapic(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	/* not yet in the page: of the state that goes */
	for (uint32_t i = 0; i < ARRAY_SIZE(vcpu->irr_remote); i++) {
		__atomic_store_n(&vcpu->irr_remote[i], 0, __ATOMIC_RELAXED);
	}
	vlapic_set_base(vcpu, state->apic_base);
	for (uint32_t i = 0; i < 64; i++) {
		vcpu->lapic.regs[i * 4] = state->lapic[i];
	}
	vcpu->lapic.regs[APIC_ID / 4] = (state->apic_base & APIC_BASE_X2APIC) != 0
	                                        ? vcpu->idx
	                                        : vcpu->idx << 24;
	vcpu->lapic.regs[APIC_VERSION / 4] = VLAPIC_VERSION;
	hvm_set(vcpu, HVM_CR8, (vlapic_reg(vcpu, APIC_TPR) >> 4) & 0xf);
	(void)hvm->offer_interrupt(vcpu, 0);
	vlapic_restore(vcpu, state->apic_timer_deadline_tsc);
	vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
}

static int set_groups(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	uint32_t groups = state->groups;
	int error = vcpu_cpu_state_set(vcpu, groups, &state->cpu);

	if (error != BH_OK) {
		return error;
	}
	if ((groups & BH_STATE_GPR) != 0) {
		/* it was for an instruction of the state that goes */
		vcpu->answer = VCPU_ANSWER_NONE;
	}
	if ((groups & BH_STATE_CONTROL) != 0) {
		vcpu->xcr0 = state->cpu.xcr0;
	}
	if ((groups & BH_STATE_DEBUG) != 0) {
		memcpy(vcpu->dr, state->dr, sizeof(vcpu->dr));
		hvm_set(vcpu, HVM_DR6, (uint32_t)state->dr6); /* more would fault */
		hvm_set(vcpu, HVM_DR7, (uint32_t)state->dr7);
		vcpu_debug_registers_load(vcpu);
	}
	if ((groups & BH_STATE_MSR) != 0) {
		set_registers(vcpu, HVM_PAT, HVM_PDPTE3, &state->pat);
		vcpu->msr_tsc_aux = (uint32_t)state->tsc_aux;
	}
	if ((groups & BH_STATE_LAPIC) != 0) {
		set_lapic(vcpu, state);
	}
	if ((groups & BH_STATE_EVENTS) != 0) {
		set_events(vcpu, state);
	}
	if ((groups & BH_STATE_FPU) != 0) {
		fpu_forget(cpu_self(), vcpu->fpu);
		memcpy(vcpu->fpu, state->fpu, state->fpu_size);
	}
	return BH_OK;
}

int vcpu_set_state(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	bool was_bound = vcpu->cpu != NULL;
	int error;

	if (state->version != BH_ABI_VERSION || (state->groups & ~BH_STATE_ALL) != 0 ||
	    !check_rest(state)) {
		return BH_ERR_INVALID;
	}
	vcpu_make_current(vcpu);
	error = set_groups(vcpu, state);
	if (!was_bound) {
		vcpu_unload(vcpu);
	}
	return error;
}
