/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest registers that live in the VMCS or, while the vCPU is current, in the CPU; out and in. An
 * entry checks what goes in (SDM 3C 26.3.1); a state that it refuses ends the guest's run and
 * nothing else.
 *
 * The guest changes most of CR0 and CR4 without an exit; the bits that the host needs (CR0.NE,
 * CR4.VMXE, CR4.MCE), caching bits, and what CPUID does not offer are ours: there the guest reads a
 * shadow (SDM 3C 25.1.3).
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/vlapic.h"

#define TPR_CLASS_SHIFT 4

/* Registers that are a field of the VMCS and nothing else. */
static const uint16_t fields[HVM_REGISTER_COUNT] = {
	[HVM_RIP] = VMCS_GUEST_RIP,
	[HVM_RFLAGS] = VMCS_GUEST_RFLAGS,
	[HVM_CR3] = VMCS_GUEST_CR3,
	[HVM_EFER] = VMCS_GUEST_EFER,
	[HVM_DR7] = VMCS_GUEST_DR7,
	[HVM_PAT] = VMCS_GUEST_PAT,
	[HVM_SYSENTER_CS] = VMCS_GUEST_SYSENTER_CS,
	[HVM_SYSENTER_ESP] = VMCS_GUEST_SYSENTER_ESP,
	[HVM_SYSENTER_EIP] = VMCS_GUEST_SYSENTER_EIP,
	[HVM_PDPTE0] = VMCS_GUEST_PDPTE0,
	[HVM_PDPTE1] = VMCS_GUEST_PDPTE0 + 2,
	[HVM_PDPTE2] = VMCS_GUEST_PDPTE0 + 4,
	[HVM_PDPTE3] = VMCS_GUEST_PDPTE0 + 6,
	[HVM_RSP] = VMCS_GUEST_RSP,
	[HVM_TSC_OFFSET] = VMCS_TSC_OFFSET,
};

static bool is_switched(enum hvm_register reg)
{
	return reg >= HVM_STAR && reg <= HVM_KERNEL_GS_BASE;
}

uint64_t vmx_get(struct vcpu *vcpu, enum hvm_register reg)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint64_t value;

	switch ((uint32_t)reg) {
	case HVM_CR2:
		return vcpu->cr2;
	case HVM_CR8:
		return vlapic_reg(vcpu, APIC_TPR) >> TPR_CLASS_SHIFT;
	case HVM_CR0:
		return (vmcs_read(VMCS_GUEST_CR0) & ~CR0_HOST_OWNED) |
		       (x->cr0_shadow & CR0_HOST_OWNED);
	case HVM_CR4:
		return (vmcs_read(VMCS_GUEST_CR4) & vmx_caps.cr4_owned) |
		       (x->cr4_shadow & ~vmx_caps.cr4_owned);
	case HVM_DR6:
		__asm__ volatile("mov %%dr6, %0" : "=r"(value));
		return value;
	case HVM_KERNEL_GS_BASE:
		if (x->is_guest_loaded) {
			return msr_read(MSR_KERNEL_GS_BASE);
		}
		break;
	case HVM_CPL:
		return field_get(SEGMENT_DPL, vmcs_read(VMCS_GUEST_SS_ATTRIBUTES));
	case HVM_SHADOW:
		value = vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
		return (value & INTERRUPTIBILITY_SHADOW) |
		       ((value & INTERRUPTIBILITY_NMI) != 0 ? HVM_SHADOW_NMI : 0);
	default:
		break;
	}
	return is_switched(reg) ? x->msrs[reg - HVM_STAR] : vmcs_read(fields[reg]);
}

/* What must agree with CR0, CR4 and EFER. */
static void settle_mode(struct vcpu *vcpu)
{
	uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
	bool is_long = (vmcs_read(VMCS_GUEST_CR0) & CR0_PG) != 0 && (efer & EFER_LME) != 0;

	vmcs_write(VMCS_GUEST_EFER, is_long ? efer | EFER_LMA : efer & ~EFER_LMA);
	vmcs_write(VMCS_ENTRY_CONTROLS,
	           vmx_caps.controls[VMX_ENTRY] | (is_long ? ENTRY_IA32E_GUEST : 0));
	vcpu->needs_flush = true; /* the guest expects what a MOV to CRn flushes */
}

void vmx_set(struct vcpu *vcpu, enum hvm_register reg, uint64_t value)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	switch ((uint32_t)reg) {
	case HVM_CR2:
		vcpu->cr2 = value;
		break;
	case HVM_CR8:
		/* The TPR shadow is the APIC's register itself: its low bits stay when the class does. */
		if (vmx_get(vcpu, HVM_CR8) != (value & 0xf)) {
			vcpu->lapic.regs[APIC_TPR / 4] = (uint32_t)(value & 0xf) << TPR_CLASS_SHIFT;
		}
		break;
	case HVM_CR0:
		x->cr0_shadow = value;
		vmcs_write(VMCS_CR0_SHADOW, value);
		vmcs_write(VMCS_GUEST_CR0, (value | CR0_NE) & ~(CR0_CD | CR0_NW));
		break;
	case HVM_CR4:
		x->cr4_shadow = value;
		vmcs_write(VMCS_CR4_SHADOW, value);
		/* A machine check with MCE off would stop the machine, not the guest. */
		vmcs_write(VMCS_GUEST_CR4, (value | CR4_VMXE | CR4_MCE) & vmx_caps.cr4_fixed1);
		break;
	case HVM_DR6:
		vcpu->dr6 = value;
		__asm__ volatile("mov %0, %%dr6" : : "r"(value));
		break;
	case HVM_SHADOW:
		vmcs_write(VMCS_GUEST_INTERRUPTIBILITY,
		           (value & INTERRUPTIBILITY_SHADOW) |
		                   ((value & HVM_SHADOW_NMI) != 0 ? INTERRUPTIBILITY_NMI : 0));
		break;
	default:
		if (!is_switched(reg)) {
			vmcs_write(fields[reg], value);
			break;
		}
		x->msrs[reg - HVM_STAR] = value;
		if (x->is_guest_loaded) {
			msr_write(vmx_msr_number(reg - HVM_STAR), value);
		}
		break;
	}
	if (reg >= HVM_CR0 && reg <= HVM_EFER) {
		settle_mode(vcpu);
	}
}

void vmx_get_state(struct vcpu *vcpu, struct bh_cpu_state *state)
{
	uint64_t *values = &state->rip;

	state->gpr[BH_GPR_RSP] = vmcs_read(VMCS_GUEST_RSP);
	for (uint32_t reg = HVM_RIP; reg <= HVM_EFER; reg++) {
		*values++ = vmx_get(vcpu, reg);
	}
}

bool vmx_is_code64(void)
{
	return (vmcs_read(VMCS_GUEST_EFER) & EFER_LMA) != 0 &&
	       (vmcs_read(VMCS_GUEST_CS_ATTRIBUTES) & SEGMENT_L) != 0;
}

/*
 * The bits of ours have no effect but to be read again: the shadow takes what the guest wants, and
 * the CPU executes the instruction a second time, with all its checks and effects on the others.
 */
bool vmx_handle_cr(struct vcpu *vcpu, uint64_t qualification)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint64_t gpr = field_get(QUALIFICATION_CR_GPR, qualification);
	uint64_t value = gpr == BH_GPR_RSP ? vmcs_read(VMCS_GUEST_RSP) : vcpu->gpr[gpr];

	if (field_get(QUALIFICATION_CR_NUMBER, qualification) == 0) {
		if ((value & (CR0_CD | CR0_NW)) == CR0_NW) {
			return false;
		}
		x->cr0_shadow = value;
		vmcs_write(VMCS_CR0_SHADOW, value);
		return true;
	}
	/* Outside 64-bit code the register is 32 bits wide. */
	value = vmx_is_code64() ? value : (uint32_t)value;
	if ((value & ~(vmx_caps.cr4_owned | CR4_MCE)) != 0) {
		return false;
	}
	x->cr4_shadow = value;
	vmcs_write(VMCS_CR4_SHADOW, value);
	return true;
}

/* ---- segments ---- */

/* Number of the field in each group, by enum bh_segment: GDTR and IDTR come last there. */
static const uint8_t numbers[BH_SEG_COUNT] = { 0, 1, 2, 3, 4, 5, 8, 6, 9, 7 };

void vmx_get_segments(struct vcpu *vcpu, struct bh_segment_state *segments)
{
	(void)vcpu;
	for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
		uint64_t field = 2ull * numbers[i];
		uint32_t attributes = 0;

		segments[i] = (struct bh_segment_state){
			.limit = vmcs_read32(VMCS_GUEST_ES_LIMIT + field),
			.base = vmcs_read(VMCS_GUEST_ES_BASE + field),
		};
		if (i != BH_SEG_GDTR && i != BH_SEG_IDTR) {
			segments[i].selector = (uint16_t)vmcs_read(VMCS_GUEST_ES_SELECTOR + field);
			attributes = vmcs_read32(VMCS_GUEST_ES_ATTRIBUTES + field);
			attributes &= (attributes & SEGMENT_UNUSABLE) != 0 ? ~SEGMENT_PRESENT : ~0u;
			segments[i].attributes = (uint16_t)((attributes & SEGMENT_LOW) |
			                                    (attributes >> 4 & SEGMENT_HIGH));
		}
	}
}

void vmx_set_segments(struct vcpu *vcpu, const struct bh_segment_state *segments)
{
	(void)vcpu;
	for (uint32_t i = 0; i < BH_SEG_COUNT; i++) {
		uint64_t field = 2ull * numbers[i];
		uint32_t attributes = segments[i].attributes;

		vmcs_write(VMCS_GUEST_ES_LIMIT + field, segments[i].limit);
		vmcs_write(VMCS_GUEST_ES_BASE + field, segments[i].base);
		if (i != BH_SEG_GDTR && i != BH_SEG_IDTR) {
			attributes = (attributes & SEGMENT_PRESENT) != 0
			                     ? (attributes & SEGMENT_LOW) |
			                               (attributes & SEGMENT_HIGH) << 4
			                     : (attributes & SEGMENT_DPL) | SEGMENT_UNUSABLE;
			vmcs_write(VMCS_GUEST_ES_SELECTOR + field, segments[i].selector);
			vmcs_write(VMCS_GUEST_ES_ATTRIBUTES + field, attributes);
		}
	}
}
