/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x for the two-vendor interface: the records of a VM and a vCPU, and the table of operations.
 * The policy of what exits stands here, in caps.c (control words) and in msr.c (MSR bitmap); what
 * exits mean, in exit.c. SDM 3C 24.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/start.h"
#include "kernel/string.h"

/*
 * #DB and #AC because a guest can make them recur in their own delivery, for ever (CVE-2015-8104,
 * CVE-2015-5307); #MC is the machine's.
 */
#define EXCEPTIONS_TAKEN  (BIT(1) | BIT(17) | BIT(18))
#define LINK_POINTER_NONE (~0ull)
#define PAT_RESET         0x0007040600070406ull
#define DR7_RESET         0x400u
#define CR0_RESET         (CR0_CD | CR0_NW | CR0_ET)
#define PAUSE_LOOP_GAP    128u
#define PAUSE_LOOP_WINDOW 4096u

/* The same for every VM: all ports exit (one page serves as both halves), MSRs as msr.c says. */
static uint8_t io_bitmap[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t msr_bitmap[PAGE_SIZE] __attribute__((aligned(4096)));

static bool vmx_probe_and_prepare(const char **reason)
{
	if (!vmx_probe(reason)) {
		return false;
	}
	memset(io_bitmap, 0xff, sizeof(io_bitmap));
	vmx_msr_bitmap_fill(msr_bitmap);
	/* The length of an instruction that exits is always told. */
	hvm_features = BH_FEATURE_NEXT_RIP;
	return true;
}

static int vmx_vm_init(struct vm *vm)
{
	vm->io_bitmap = image_to_phys(io_bitmap);
	vm->msr_bitmap = image_to_phys(msr_bitmap);
	return ptable_init(&vm->npt, PTABLE_EPT, vmx_caps.has_1g, vm->object.payer);
}

static void vmx_vm_fini(struct vm *vm)
{
	ptable_destroy(&vm->npt);
}

static void vmx_controls_write(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	x->cpu_controls = vmx_caps.cpu;
	x->entry_controls = vmx_caps.entry & ~ENTRY_IA32E_GUEST;
	vmcs_write(VMCS_PIN_CONTROLS, vmx_caps.pin);
	vmcs_write(VMCS_CPU_CONTROLS, x->cpu_controls);
	vmcs_write(VMCS_CPU_CONTROLS2, vmx_caps.cpu2);
	vmcs_write(VMCS_EXIT_CONTROLS, vmx_caps.exit);
	vmcs_write(VMCS_ENTRY_CONTROLS, x->entry_controls);
	vmcs_write(VMCS_EXCEPTION_BITMAP, EXCEPTIONS_TAKEN);
	vmcs_write(VMCS_PF_ERROR_MASK, 0);
	vmcs_write(VMCS_PF_ERROR_MATCH, 0);
	vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_EVENT, 0);
	vmcs_write(VMCS_IO_BITMAP_A, vcpu->vm->io_bitmap.raw);
	vmcs_write(VMCS_IO_BITMAP_B, vcpu->vm->io_bitmap.raw);
	vmcs_write(VMCS_MSR_BITMAP, vcpu->vm->msr_bitmap.raw);
	vmcs_write(VMCS_TSC_OFFSET, vcpu->vm->tsc_offset);
	vmcs_write(VMCS_EPT_POINTER, vmx_ept_pointer(vcpu->vm));
	vmcs_write(VMCS_LINK_POINTER, LINK_POINTER_NONE);
	if (vmx_caps.has_tpr_shadow) {
		vmcs_write(VMCS_TPR_THRESHOLD, 0);
	}
	if ((vmx_caps.cpu2 & CPU2_XSAVES) != 0) {
		vmcs_write(VMCS_XSS_EXITING_BITMAP, 0);
	}
	if ((vmx_caps.cpu2 & CPU2_PAUSE_LOOP) != 0) {
		vmcs_write(VMCS_PAUSE_LOOP_GAP, PAUSE_LOOP_GAP);
		vmcs_write(VMCS_PAUSE_LOOP_WINDOW, PAUSE_LOOP_WINDOW);
	}
}

/*
 * What vcpu_reset() does not reach by the interface, and a state that can be entered whatever else
 * is set. SDM 3A table 9-1.
 */
static void vmx_guest_reset(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	vmcs_write(VMCS_GUEST_ACTIVITY, VMX_ACTIVITY_ACTIVE);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
	vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_write(VMCS_GUEST_DR7, DR7_RESET);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, 0);
	if (vmx_caps.has_pat) {
		vmcs_write(VMCS_GUEST_PAT, PAT_RESET);
	}
	x->pat = PAT_RESET;
	vmcs_write(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_write(VMCS_GUEST_RSP, 0);
	vmcs_write(VMCS_GUEST_CR3, 0);
	vmcs_write(VMCS_GUEST_TR_ATTRIBUTES, SEGMENT_PRESENT | SEGMENT_TSS_BUSY);
	vmx_cr0_write(vcpu, CR0_RESET);
	vmx_cr4_write(vcpu, 0);
	vmx_efer_write(vcpu, 0);
}

/* hvm_ops.vcpu_init. MEMORY, QUOTA. The pCPU's current vCPU, if any, stays current. */
static int vmx_vcpu_init(struct vcpu *vcpu)
{
	int error = quota_pages_allocate(vcpu->object.payer, 0, &vcpu->hvm_page);
	struct vcpu *current = cpu_self()->hvm_current;

	if (error != BH_OK) {
		return error;
	}
	vcpu->hvm_state = phys_to_virt(vcpu->hvm_page);
	*(uint32_t *)vcpu->hvm_state = vmx_caps.revision;
	vmcs_clear(vcpu->hvm_page);
	vmcs_load(vcpu->hvm_page);
	vmx_controls_write(vcpu);
	vmx_guest_reset(vcpu);
	vmcs_clear(vcpu->hvm_page);
	if (current != NULL) {
		vmcs_load(current->hvm_page);
	}
	return BH_OK;
}

/* It is loaded nowhere any more: vcpu_unload() has been on its pCPU. */
static void vmx_vcpu_fini(struct vcpu *vcpu)
{
	quota_pages_free(vcpu->object.payer, 0, vcpu->hvm_page);
}

static void vmx_flush_guest(struct vcpu *vcpu)
{
	vmx_of(vcpu)->needs_invept = 1;
}

static void vmx_set_tsc_offset(struct vcpu *vcpu, uint64_t offset)
{
	(void)vcpu;
	vmcs_write(VMCS_TSC_OFFSET, offset);
}

const struct hvm_ops vmx_ops = {
	.name = "Intel VT-x",
	.probe = vmx_probe_and_prepare,
	.cpu_on = vmx_cpu_on,
	.cpu_off = vmx_cpu_off,
	.vm_init = vmx_vm_init,
	.vm_fini = vmx_vm_fini,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_fini = vmx_vcpu_fini,
	.enter = vmx_enter,
	.leave = vmx_leave,
	.load = vmx_load,
	.unload = vmx_unload,
	.get_state = vmx_get_state,
	.set_state = vmx_set_state,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.get_dr = vmx_get_dr,
	.set_dr = vmx_set_dr,
	.get_cr8 = vmx_get_cr8,
	.set_cr8 = vmx_set_cr8,
	.get_cpl = vmx_get_cpl,
	.skip_instruction = vmx_skip_instruction,
	.interrupt_ready = vmx_interrupt_ready,
	.nmi_ready = vmx_nmi_ready,
	.inject = vmx_inject,
	.set_interrupt_window = vmx_set_interrupt_window,
	.set_nmi_window = vmx_set_nmi_window,
	.get_shadow = vmx_get_shadow,
	.set_shadow = vmx_set_shadow,
	.flush_guest = vmx_flush_guest,
	.set_tsc_offset = vmx_set_tsc_offset,
};
