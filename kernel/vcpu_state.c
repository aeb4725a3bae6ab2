/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's registers as records: checked on the way in, so that no value from a VMM can make the CPU or this kernel do more than refuse
 * the entry. The vendor keeps what is in its control structure; all else is in struct vcpu.
 */
#include "kernel/vcpu_state.h"

#include "arch/x86/hvm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/fpu.h"
#include "kernel/msr.h"
#include "kernel/string.h"
#include "kernel/vlapic.h"
#include "kernel/xcr0.h"

#define CR0_VALID                                                                                  \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
/* What guests may use of CR4; the CPU refuses at entry what it lacks. */
#define CR4_VALID \
	(GENMASK(11, 0) | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE)
#define CR3_RESERVED          GENMASK(63, 52)
#define RFLAGS_VALID          0x3f7fd7ull

#define ATTRIBUTES_RESET_CODE 0x9bu
#define ATTRIBUTES_RESET_DATA 0x93u
#define ATTRIBUTES_RESET_LDT  0x82u
#define ATTRIBUTES_RESET_TSS  0x8bu
#define ATTRIBUTE_LONG        BIT(13)
#define ATTRIBUTE_DEFAULT_BIG BIT(14)

#define FPU_MXCSR_OFFSET      24u
#define FPU_HEADER_OFFSET     512u

#define PAT_RESET             0x0007040600070406ull
#define DR6_RESET             0xffff0ff0ull
#define DR6_WRITABLE          0x1e00full
#define DR7_RESET             0x400ull
#define DR7_WRITABLE          0xffff23ffull

static bool check_segments(const struct bh_cpu_state *state)
{
	for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
		if (!is_canonical(state->segments[i].base)) {
			return false;
		}
	}
	return is_canonical(state->gdtr.base) && is_canonical(state->idtr.base) &&
	       state->gdtr.limit <= 0xffff && state->idtr.limit <= 0xffff;
}

static bool check_control(const struct bh_cpu_state *state)
{
	bool is_paging = (state->cr0 & CR0_PG) != 0;
	bool is_long = is_paging && (state->efer & EFER_LME) != 0;

	if ((state->cr0 & ~CR0_VALID) != 0 || (state->cr4 & ~CR4_VALID) != 0 ||
	    (state->cr3 & CR3_RESERVED) != 0 || state->cr8 > 15) {
		return false;
	}
	if (is_paging && (state->cr0 & CR0_PE) == 0) {
		return false;
	}
	if ((state->cr0 & CR0_NW) != 0 && (state->cr0 & CR0_CD) == 0) {
		return false;
	}
	if (is_long != ((state->efer & EFER_LMA) != 0) ||
	    (is_long && (state->cr4 & CR4_PAE) == 0)) {
		return false;
	}
	return (state->cr4 & CR4_PCIDE) == 0 || is_long;
}

int vcpu_state_check(uint32_t groups, const struct bh_cpu_state *state)
{
	uint64_t both = ATTRIBUTE_LONG | ATTRIBUTE_DEFAULT_BIG;

	if ((groups & BH_STATE_GPR) != 0 &&
	    (!is_canonical(state->rip) || (state->rflags & ~RFLAGS_VALID) != 0 ||
	     (state->rflags & RFLAGS_FIXED) == 0)) {
		return BH_ERR_INVALID;
	}
	if ((groups & BH_STATE_SEGMENTS) != 0 && !check_segments(state)) {
		return BH_ERR_INVALID;
	}
	if ((groups & BH_STATE_CONTROL) != 0 && !check_control(state)) {
		return BH_ERR_INVALID;
	}
	if ((groups & (BH_STATE_CONTROL | BH_STATE_SEGMENTS)) ==
	            (BH_STATE_CONTROL | BH_STATE_SEGMENTS) &&
	    (state->efer & EFER_LMA) != 0 &&
	    (state->segments[BH_SEG_CS].attributes & both) == both) {
		return BH_ERR_INVALID;
	}
	return BH_OK;
}

/* ---- reset ---- */

static void reset_segments(struct bh_cpu_state *state)
{
	for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
		state->segments[i].limit = 0xffff;
		state->segments[i].attributes = ATTRIBUTES_RESET_DATA;
	}
	state->segments[BH_SEG_CS].selector = 0xf000;
	state->segments[BH_SEG_CS].base = 0xffff0000;
	state->segments[BH_SEG_CS].attributes = ATTRIBUTES_RESET_CODE;
	state->segments[BH_SEG_LDTR].attributes = ATTRIBUTES_RESET_LDT;
	state->segments[BH_SEG_TR].attributes = ATTRIBUTES_RESET_TSS;
	state->gdtr.limit = 0xffff;
	state->idtr.limit = 0xffff;
}

/* Of the MSRs, those in the vendor's structure, and where the ABI's record has them. */
static const struct {
	uint32_t msr;
	uint32_t offset;
} hvm_msrs[] = {
	{ MSR_PAT, offsetof(struct bh_vcpu_state, pat) },
	{ MSR_SYSENTER_CS, offsetof(struct bh_vcpu_state, sysenter_cs) },
	{ MSR_SYSENTER_ESP, offsetof(struct bh_vcpu_state, sysenter_esp) },
	{ MSR_SYSENTER_EIP, offsetof(struct bh_vcpu_state, sysenter_eip) },
	{ MSR_STAR, offsetof(struct bh_vcpu_state, star) },
	{ MSR_LSTAR, offsetof(struct bh_vcpu_state, lstar) },
	{ MSR_CSTAR, offsetof(struct bh_vcpu_state, cstar) },
	{ MSR_SFMASK, offsetof(struct bh_vcpu_state, sfmask) },
	{ MSR_KERNEL_GS_BASE, offsetof(struct bh_vcpu_state, kernel_gs_base) },
};

static uint64_t msr_of_record(const struct bh_vcpu_state *state, size_t i)
{
	return *(const uint64_t *)(const void *)((const char *)state + hvm_msrs[i].offset);
}

static void reset_msrs(struct vcpu *vcpu)
{
	for (size_t i = 0; i < ARRAY_SIZE(hvm_msrs); i++) {
		hvm->set_msr(vcpu, hvm_msrs[i].msr, hvm_msrs[i].msr == MSR_PAT ? PAT_RESET : 0);
	}
	vcpu->msr_tsc_aux = 0;
	vcpu->xcr0 = 1;
	arch_fpu_init_area(vcpu->fpu);
}

void vcpu_reset(struct vcpu *vcpu, bool is_init)
{
	struct bh_cpu_state state;
	uint64_t cache_bits = CR0_CD | CR0_NW;

	hvm->get_state(vcpu, BH_STATE_CONTROL, &state);
	if (is_init) {
		/* QEMU lets a guest set NW without CD, which is no state to go on with */
		cache_bits &= (state.cr0 & CR0_CD) != 0 ? state.cr0 : 0;
	}
	memset(&state, 0, sizeof(state));
	reset_segments(&state);
	state.rip = 0xfff0;
	state.rflags = RFLAGS_FIXED;
	state.gpr[BH_GPR_RDX] = 0x600;
	state.cr0 = CR0_ET | cache_bits;
	if (hvm->set_state(vcpu, BH_STATE_GPR | BH_STATE_SEGMENTS | BH_STATE_CONTROL, &state) !=
	    BH_OK) {
		panic("reset state refused");
	}
	if (!is_init) {
		reset_msrs(vcpu);
	}
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	hvm->set_dr(vcpu, 6, DR6_RESET);
	hvm->set_dr(vcpu, 7, DR7_RESET);
	hvm->set_shadow(vcpu, 0);
	vcpu->inject = 0;
	vcpu->nmi_pending = 0;
	vcpu->answer = VCPU_ANSWER_NONE;
}

void vcpu_start_at(struct vcpu *vcpu, uint8_t vector)
{
	struct bh_cpu_state state;

	hvm->get_state(vcpu, BH_STATE_GPR | BH_STATE_SEGMENTS, &state);
	state.rip = 0;
	state.segments[BH_SEG_CS].selector = (uint16_t)(vector << 8);
	state.segments[BH_SEG_CS].base = (uint64_t)vector << 12;
	if (hvm->set_state(vcpu, BH_STATE_GPR | BH_STATE_SEGMENTS, &state) != BH_OK) {
		/* Not from reset: the VMM let it wait with registers that it could not have set itself. */
		log_print_limited("vm %u vcpu %u: start-up refused", vcpu->vm->id, vcpu->idx);
	}
}

/* ---- the whole record ---- */

static void get_msrs(struct vcpu *vcpu, struct bh_vcpu_state *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hvm_msrs); i++) {
		*(uint64_t *)(void *)((char *)state +
		                      hvm_msrs[i].offset) = hvm->get_msr(vcpu, hvm_msrs[i].msr);
	}
	state->tsc = arch_tsc_read() + vcpu->tsc_offset;
	state->tsc_aux = vcpu->msr_tsc_aux;
}

static void get_events(struct vcpu *vcpu, struct bh_vcpu_state *state)
{
	uint32_t shadow = hvm->get_shadow(vcpu);

	state->inject = vcpu->inject;
	state->inject_error_code = vcpu->inject_error_code;
	state->interrupt_shadow = shadow & 3;
	state->is_nmi_blocked = (shadow >> 2) & 1;
	state->is_nmi_pending = vcpu->nmi_pending != 0 || (vcpu->requests & VCPU_REQUEST_NMI) != 0;
	state->activity = vcpu->activity;
}

int vcpu_get_state(struct vcpu *vcpu, struct bh_vcpu_state *state)
{
	bool was_bound = vcpu->cpu != NULL;

	vcpu_make_current(vcpu);
	memset(state, 0, sizeof(*state));
	state->version = BH_ABI_VERSION;
	state->groups = BH_STATE_ALL;
	hvm->get_state(vcpu, BH_STATE_EMULATE, &state->cpu);
	state->cpu.xcr0 = vcpu->xcr0;
	vcpu_debug_registers_save(vcpu);
	memcpy(state->dr, vcpu->dr, sizeof(state->dr));
	state->dr6 = hvm->get_dr(vcpu, 6);
	state->dr7 = hvm->get_dr(vcpu, 7);
	get_msrs(vcpu, state);
	get_events(vcpu, state);
	vlapic_page_refresh(vcpu);
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

static bool check_rest(const struct bh_vcpu_state *state)
{
	uint32_t groups = state->groups;

	if ((groups & BH_STATE_CONTROL) != 0 && !xcr0_is_valid(state->cpu.xcr0)) {
		return false;
	}
	if ((groups & BH_STATE_MSR) != 0) {
		for (size_t i = 0; i < ARRAY_SIZE(hvm_msrs); i++) {
			if (!msr_value_is_valid(hvm_msrs[i].msr, msr_of_record(state, i))) {
				return false;
			}
		}
	}
	if ((groups & BH_STATE_EVENTS) != 0 &&
	    (state->activity > BH_ACTIVITY_WAIT_SIPI || state->interrupt_shadow > 2 ||
	     !vcpu_inject_is_valid(state->inject))) {
		return false;
	}
	if ((groups & BH_STATE_LAPIC) != 0 &&
	    ((state->apic_base & APIC_BASE_ADDRESS) != APIC_BASE_RESET ||
	     (state->apic_base & (APIC_BASE_X2APIC | APIC_BASE_ENABLE)) == APIC_BASE_X2APIC)) {
		return false;
	}
	return (groups & BH_STATE_FPU) == 0 || fpu_is_valid(state);
}

static void set_msrs(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hvm_msrs); i++) {
		hvm->set_msr(vcpu, hvm_msrs[i].msr, msr_of_record(state, i));
	}
	if (state->tsc != BH_TSC_KEEP) {
		msr_guest_set_tsc(vcpu, state->tsc);
	}
	vcpu->msr_tsc_aux = (uint32_t)state->tsc_aux;
}

static void set_events(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	vcpu->inject = state->inject;
	vcpu->inject_error_code = state->inject_error_code;
	hvm->set_shadow(vcpu, state->interrupt_shadow | (state->is_nmi_blocked != 0 ? 4u : 0));
	vcpu->nmi_pending = state->is_nmi_pending != 0;
	vcpu->activity = (uint8_t)state->activity;
	vcpu_request_self(vcpu, VCPU_REQUEST_INJECT | VCPU_REQUEST_INTERRUPT);
}

static void set_lapic(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	uint32_t id = vlapic_reg(vcpu, APIC_ID);

	for (uint32_t i = 0; i < ARRAY_SIZE(vcpu->irr_remote);
	     i++) { /* not yet in the page: of the state that goes */
		__atomic_store_n(&vcpu->irr_remote[i], 0, __ATOMIC_RELAXED);
	}
	vcpu->lapic.apic_base = state->apic_base & (APIC_BASE_ADDRESS | APIC_BASE_ENABLE |
	                                            APIC_BASE_X2APIC | APIC_BASE_BSP);
	for (uint32_t i = 0; i < 64; i++) {
		vcpu->lapic.regs[i * 4] = state->lapic[i];
	}
	vcpu->lapic.regs[APIC_ID / 4] = (state->apic_base & APIC_BASE_X2APIC) != 0 ? vcpu->idx : id;
	vcpu->lapic.regs[APIC_VERSION / 4] = VLAPIC_VERSION;
	hvm->set_cr8(vcpu, (vlapic_reg(vcpu, APIC_TPR) >> 4) & 0xf);
	vlapic_restore(vcpu, state->apic_timer_deadline_tsc);
	vcpu_request_self(vcpu, VCPU_REQUEST_INTERRUPT);
}

static int set_groups(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	uint32_t groups = state->groups;
	int error = hvm->set_state(vcpu, groups & BH_STATE_EMULATE, &state->cpu);

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
		hvm->set_dr(vcpu, 6, (state->dr6 & DR6_WRITABLE) | DR6_RESET);
		hvm->set_dr(vcpu, 7, (state->dr7 & DR7_WRITABLE) | DR7_RESET);
		vcpu_debug_registers_load(vcpu);
	}
	if ((groups & BH_STATE_MSR) != 0) {
		set_msrs(vcpu, state);
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
