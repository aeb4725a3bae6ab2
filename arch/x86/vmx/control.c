/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control registers. The guest changes most of CR0 and CR4 without an exit; the bits that the host
 * needs (CR0.NE, CR4.VMXE, CR4.MCE), caching bits, and the rare ones are ours: the guest reads a
 * shadow, and a MOV that changes one of them is done here as the CPU would do it (SDM 2B "MOV
 * control registers", 3A 4.1.2, 4.4.1, 10.8.5, 3C 25.1.3). EFER follows CR0.PG.
 */
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/memory.h"
#include "kernel/string.h"

#define CR0_GUEST_OWNED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_WP | CR0_AM | CR0_PG)
#define CR0_DEFINED     (CR0_GUEST_OWNED | CR0_ET | CR0_NE | CR0_NW | CR0_CD)
/*
 * A change of any of these forgets translations, or makes the CPU read the PDPTEs again (SDM 3A
 * 4.4.1, 4.10.4.1).
 */
#define CR4_TRANSLATION  (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP)
#define CR0_LMSW         (CR0_PE | CR0_MP | CR0_EM | CR0_TS)

#define CR3_PDPT_ADDRESS GENMASK(31, 5)
#define CR3_PCID         GENMASK(11, 0)
#define PDPTE_COUNT      4u
#define PDPTE_RESERVED   (GENMASK(2, 1) | GENMASK(8, 5))

uint64_t vmx_cr4_allowed(void)
{
	return vmx_caps.cr4_owned | CR4_OSXSAVE | CR4_MCE |
	       (feature_has(FEATURE_PKU) ? CR4_PKE & vmx_caps.cr4_fixed1 : 0);
}

uint64_t vmx_cr0_read(struct vcpu *vcpu)
{
	return (vmcs_read(VMCS_GUEST_CR0) & CR0_GUEST_OWNED) |
	       (vmx_of(vcpu)->cr0_shadow & ~CR0_GUEST_OWNED);
}

uint64_t vmx_cr4_read(struct vcpu *vcpu)
{
	return (vmcs_read(VMCS_GUEST_CR4) & vmx_caps.cr4_owned) |
	       (vmx_of(vcpu)->cr4_shadow & ~vmx_caps.cr4_owned);
}

/* CD and NW stay off in the CPU: the memory is the host's, and so is its caching. */
void vmx_cr0_write(struct vcpu *vcpu, uint64_t value)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	x->cr0_shadow = (value & CR0_DEFINED) | CR0_ET;
	vmcs_write(VMCS_CR0_SHADOW, x->cr0_shadow);
	vmcs_write(VMCS_GUEST_CR0, (((value & CR0_DEFINED) | vmx_caps.cr0_fixed0) &
	                            vmx_caps.cr0_fixed1 & ~(CR0_CD | CR0_NW)) |
	                                   CR0_ET);
	vmcs_write(VMCS_CR0_MASK, ~CR0_GUEST_OWNED);
}

void vmx_cr4_write(struct vcpu *vcpu, uint64_t value)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	x->cr4_shadow = value;
	vmcs_write(VMCS_CR4_SHADOW, value);
	/* A machine check with MCE off would stop the machine, not the guest. */
	vmcs_write(VMCS_GUEST_CR4, (value | vmx_caps.cr4_fixed0 | (CR4_MCE & vmx_caps.cr4_fixed1)) &
	                                   vmx_caps.cr4_fixed1);
	vmcs_write(VMCS_CR4_MASK, ~vmx_caps.cr4_owned);
}

void vmx_efer_write(struct vcpu *vcpu, uint64_t value)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	uint32_t attributes;

	vmcs_write(VMCS_GUEST_EFER, value);
	vmcs_write(VMCS_ENTRY_CONTROLS,
	           x->entry_controls | ((value & EFER_LMA) != 0 ? ENTRY_IA32E_GUEST : 0));
	if ((value & EFER_LMA) != 0) {
		/*
		 * Long mode knows no 16-bit TSS; a CPU would not look at its type now, an entry
		 * does (SDM 3C 26.3.1.2).
		 */
		attributes = vmcs_read32(VMCS_GUEST_TR_ATTRIBUTES);
		if ((attributes & SEGMENT_TYPE) == SEGMENT_TSS_BUSY_16) {
			vmcs_write(VMCS_GUEST_TR_ATTRIBUTES,
			           (attributes & ~SEGMENT_TYPE) | SEGMENT_TSS_BUSY);
		}
	}
}

bool vmx_pdptes_load(struct vcpu *vcpu, uint64_t cr3)
{
	uint64_t pdptes[PDPTE_COUNT];
	uint64_t reserved = PDPTE_RESERVED | ~(BIT(feature_physical_bits()) - 1);
	uint64_t gpa = cr3 & CR3_PDPT_ADDRESS;
	uint64_t left;
	uint32_t flags;
	hpa_t pa;

	if (!ptable_lookup(&vcpu->vm->npt, gpa, &pa, &flags, &left) ||
	    memory_is_outside(HPA(ALIGN_DOWN(pa.raw, PAGE_SIZE)), PAGE_SIZE)) {
		return false;
	}
	memcpy(pdptes, phys_to_virt(pa), sizeof(pdptes));
	for (uint32_t i = 0; i < PDPTE_COUNT; i++) {
		if ((pdptes[i] & PTE_PRESENT) != 0 && (pdptes[i] & reserved) != 0) {
			return false;
		}
	}
	for (uint32_t i = 0; i < PDPTE_COUNT; i++) {
		vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, pdptes[i]);
	}
	return true;
}

static bool vmx_is_code64(uint64_t efer)
{
	return (efer & EFER_LMA) != 0 && (vmcs_read32(VMCS_GUEST_CS_ATTRIBUTES) & SEGMENT_L) != 0;
}

/* MOV to CR0. False: #GP(0). */
static bool vmx_cr0_set(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = vmx_cr0_read(vcpu);
	uint64_t cr4 = vmx_cr4_read(vcpu);
	uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
	bool is_long_enabled = (efer & EFER_LME) != 0;

	if ((value >> 32) != 0 || (value & (CR0_PG | CR0_PE)) == CR0_PG ||
	    (value & (CR0_NW | CR0_CD)) == CR0_NW) {
		return false;
	}
	if ((value & CR0_PG) == 0 && (old & CR0_PG) != 0 &&
	    (vmx_is_code64(efer) || (cr4 & CR4_PCIDE) != 0)) {
		return false;
	}
	if ((value & CR0_PG) != 0 && (old & CR0_PG) == 0 && is_long_enabled &&
	    ((cr4 & CR4_PAE) == 0 || (vmcs_read32(VMCS_GUEST_CS_ATTRIBUTES) & SEGMENT_L) != 0)) {
		return false;
	}
	if ((value & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && !is_long_enabled &&
	    ((value ^ old) & (CR0_PG | CR0_CD | CR0_NW)) != 0 &&
	    !vmx_pdptes_load(vcpu, vmcs_read(VMCS_GUEST_CR3))) {
		return false;
	}
	vmx_cr0_write(vcpu, value);
	if (((value ^ old) & CR0_PG) != 0) {
		vmx_efer_write(vcpu, (value & CR0_PG) != 0 && is_long_enabled
		                             ? efer | EFER_LMA
		                             : efer & ~(uint64_t)EFER_LMA);
		vmx_of(vcpu)->needs_invvpid = 1;
	}
	return true;
}

/* MOV to CR4. False: #GP(0). */
static bool vmx_cr4_set(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = vmx_cr4_read(vcpu);
	uint64_t changed = value ^ old;
	uint64_t efer = vmcs_read(VMCS_GUEST_EFER);
	uint64_t cr3 = vmcs_read(VMCS_GUEST_CR3);
	bool is_long = (efer & EFER_LMA) != 0;

	if ((value & ~vmx_cr4_allowed()) != 0 || (is_long && (value & CR4_PAE) == 0)) {
		return false;
	}
	if ((changed & value & CR4_PCIDE) != 0 && (!is_long || (cr3 & CR3_PCID) != 0)) {
		return false;
	}
	if (!is_long && (value & CR4_PAE) != 0 && (vmx_cr0_read(vcpu) & CR0_PG) != 0 &&
	    (changed & CR4_TRANSLATION) != 0 && !vmx_pdptes_load(vcpu, cr3)) {
		return false;
	}
	vmx_cr4_write(vcpu, value);
	if ((changed & CR4_TRANSLATION) != 0) {
		vmx_of(vcpu)->needs_invvpid = 1;
	}
	return true;
}

static uint64_t vmx_gpr_read(struct vcpu *vcpu, uint32_t number)
{
	return number == BH_GPR_RSP ? vmcs_read(VMCS_GUEST_RSP) : vcpu->gpr[number];
}

static void vmx_gpr_write(struct vcpu *vcpu, uint32_t number, uint64_t value)
{
	if (number == BH_GPR_RSP) {
		vmcs_write(VMCS_GUEST_RSP, value);
	} else {
		vcpu->gpr[number] = value;
	}
}

/*
 * CR0 and CR4 are read from the shadow, CR3 is the guest's own; CR8 comes here only without the TPR
 * shadow.
 */
static bool vmx_handle_cr_move(struct vcpu *vcpu, uint64_t qualification, uint64_t value)
{
	switch (field_get(QUALIFICATION_CR_NUMBER, qualification)) {
	case 0:
		return vmx_cr0_set(vcpu, value);
	case 4:
		return vmx_cr4_set(vcpu, value);
	case 8:
		if (value > 0xf) {
			return false;
		}
		vmx_set_cr8(vcpu, (uint32_t)value);
		return true;
	default:
		return false;
	}
}

bool vmx_handle_cr(struct vcpu *vcpu, uint64_t qualification)
{
	uint32_t gpr = (uint32_t)field_get(QUALIFICATION_CR_GPR, qualification);
	uint64_t value;

	switch (field_get(QUALIFICATION_CR_ACCESS, qualification)) {
	case CR_ACCESS_WRITE:
		value = vmx_gpr_read(vcpu, gpr);
		/* Outside 64-bit code the register is 32 bits wide. */
		return vmx_handle_cr_move(
			vcpu, qualification,
			vmx_is_code64(vmcs_read(VMCS_GUEST_EFER)) ? value : (uint32_t)value);
	case CR_ACCESS_READ:
		vmx_gpr_write(vcpu, gpr, vmx_get_cr8(vcpu));
		return true;
	case CR_ACCESS_CLTS:
		return vmx_cr0_set(vcpu, vmx_cr0_read(vcpu) & ~CR0_TS);
	default:
		/* LMSW sets PE but cannot clear it (SDM 2A LMSW). */
		value = vmx_cr0_read(vcpu);
		return vmx_cr0_set(vcpu,
		                   (value & ~(CR0_LMSW & ~CR0_PE)) |
		                           (field_get(QUALIFICATION_CR_LMSW_SOURCE, qualification) &
		                            CR0_LMSW));
	}
}
