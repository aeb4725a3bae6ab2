/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs that live in the VMCS or in the CPU while the guest runs, and the bitmap that leaves them to
 * the guest (SDM 3C 24.6.9). Every other register is kernel/msr.c's. Values that a WRMSR of ours
 * would fault on never reach the CPU.
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/string.h"

#define MSR_DEBUGCTL        0x1d9
#define BITMAP_READ_LOW     0u
#define BITMAP_READ_HIGH    1024u
#define BITMAP_WRITE_OFFSET 2048u
#define BITMAP_MSR_MASK     0x1fffu
#define MSR_HIGH_BASE       0xc0000000u

static void vmx_msr_bitmap_pass(uint8_t *bitmap, uint32_t msr, bool may_write)
{
	uint32_t base = msr >= MSR_HIGH_BASE ? BITMAP_READ_HIGH : BITMAP_READ_LOW;
	uint32_t bit = msr & BITMAP_MSR_MASK;

	bitmap[base + bit / 8] &= (uint8_t) ~(1u << bit % 8);
	if (may_write) {
		bitmap[BITMAP_WRITE_OFFSET + base + bit / 8] &= (uint8_t) ~(1u << bit % 8);
	}
}

/*
 * What the CPU switches, or checks as the guest expects, is the guest's. STAR, LSTAR, CSTAR and
 * SFMASK are read without an exit and written with one: then vmx_leave() need not read them back.
 * EFER is written with an exit, because a guest must not set what CPUID denies it.
 */
void vmx_msr_bitmap_fill(uint8_t *bitmap)
{
	static const uint32_t owned[] = { MSR_FS_BASE,     MSR_GS_BASE,      MSR_KERNEL_GS_BASE,
		                          MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP };
	static const uint32_t readable[] = { MSR_EFER,  MSR_STAR,   MSR_LSTAR,
		                             MSR_CSTAR, MSR_SFMASK, MSR_TSC };

	memset(bitmap, 0xff, PAGE_SIZE);
	for (uint32_t i = 0; i < ARRAY_SIZE(owned); i++) {
		vmx_msr_bitmap_pass(bitmap, owned[i], true);
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(readable); i++) {
		vmx_msr_bitmap_pass(bitmap, readable[i], false);
	}
	if (vmx_caps.has_pat) {
		vmx_msr_bitmap_pass(bitmap, MSR_PAT, true);
	}
}

static uint64_t vmx_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16);
}

static uint32_t vmx_switched_index(uint32_t msr)
{
	uint32_t i = 0;

	while (i < VMX_MSR_COUNT && vmx_switched_msrs[i] != msr) {
		i++;
	}
	return i;
}

static uint64_t vmx_field_of_msr(uint32_t msr)
{
	switch (msr) {
	case MSR_FS_BASE:
		return VMCS_GUEST_FS_BASE;
	case MSR_GS_BASE:
		return VMCS_GUEST_GS_BASE;
	case MSR_SYSENTER_CS:
		return VMCS_GUEST_SYSENTER_CS;
	case MSR_SYSENTER_ESP:
		return VMCS_GUEST_SYSENTER_ESP;
	case MSR_SYSENTER_EIP:
		return VMCS_GUEST_SYSENTER_EIP;
	case MSR_DEBUGCTL:
		return VMCS_GUEST_DEBUGCTL;
	case MSR_EFER:
		return VMCS_GUEST_EFER;
	case MSR_PAT:
		return vmx_caps.has_pat ? VMCS_GUEST_PAT : 0;
	default:
		return 0;
	}
}

/* hvm_ops.get_msr */
uint64_t vmx_get_msr(struct vcpu *vcpu, uint32_t msr)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t i = vmx_switched_index(msr);

	if (i < VMX_MSR_COUNT) {
		return i == VMX_MSR_KERNEL_GS_BASE && x->is_guest_loaded != 0 ? msr_read(msr)
		                                                              : x->msrs[i];
	}
	if (vmx_field_of_msr(msr) == 0) {
		return msr == MSR_PAT ? x->pat : 0;
	}
	return vmcs_read(vmx_field_of_msr(msr));
}

static void vmx_switched_msr_set(struct vmx_vcpu *x, uint32_t i, uint64_t value)
{
	if (i == VMX_MSR_SFMASK) {
		value = (uint32_t)value;
	} else if (i != VMX_MSR_STAR) {
		value = vmx_canonical(value);
	}
	x->msrs[i] = value;
	if (x->is_guest_loaded != 0) {
		msr_write(vmx_switched_msrs[i], value);
	}
}

/* hvm_ops.set_msr. EFER.LMA follows LME and CR0.PG, whatever `value` says. */
void vmx_set_msr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t i = vmx_switched_index(msr);

	if (i < VMX_MSR_COUNT) {
		vmx_switched_msr_set(x, i, value);
		return;
	}
	if (msr == MSR_EFER) {
		bool is_long = (value & EFER_LME) != 0 && (vmx_cr0_read(vcpu) & CR0_PG) != 0;

		vmx_efer_write(vcpu, is_long ? value | EFER_LMA : value & ~(uint64_t)EFER_LMA);
	} else if (vmx_field_of_msr(msr) != 0) {
		vmcs_write(vmx_field_of_msr(msr), value);
	} else if (msr == MSR_PAT) {
		x->pat = value;
	}
}
