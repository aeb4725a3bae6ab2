/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VT-x for the two-vendor interface: the controls of a vCPU, and the table of operations. The policy
 * of what exits stands here (MSR bitmap) and in caps.c (control words); what exits mean, in exit.c.
 * SDM 3C 24.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/start.h"
#include "kernel/string.h"
#include "kernel/vcpu_exit.h"

#define PAUSE_LOOP_GAP    128u
#define PAUSE_LOOP_WINDOW 4096u
#define BITMAP_HIGH       1024u /* MSRs from C0000000h */
#define BITMAP_WRITE      2048u
#define OWNED_COUNT       7u

uint8_t vmx_msr_bitmaps[2][PAGE_SIZE] __attribute__((aligned(4096)));

static void msr_pass(uint8_t *bitmap, uint32_t msr, bool may_read, bool may_write)
{
	uint32_t at = (msr >> 31) * BITMAP_HIGH + (msr & 0x1fff) / 8;
	uint8_t mask = (uint8_t) ~(1u << msr % 8);

	bitmap[at] &= may_read ? mask : 0xff;
	bitmap[BITMAP_WRITE + at] &= may_write ? mask : 0xff;
}

/*
 * While the CPU delivers interrupts: what it keeps in the virtual-APIC page is read there; TPR, EOI and SELF_IPI are written there (SDM 3C
 * 29.5). Bit n is MSR 800h + n. Registers that do not exist exit, and so does what the page does not hold.
 */
#define X2APIC_READ \
	(GENMASK(0x27, 0x10) | BIT(0x2) | BIT(0x3) | BIT(0x8) | BIT(0xa) | BIT(0xd) | BIT(0xf))
#define X2APIC_WRITE (BIT(0x8) | BIT(0xb) | BIT(0x3f))

/*
 * What the CPU switches, or checks as the guest expects, is the guest's. STAR, LSTAR, CSTAR and
 * SFMASK are read without an exit and written with one: then vmx_leave() need not read them back.
 * EFER is written with an exit, because a guest must not set what CPUID denies it. The first
 * OWNED_COUNT are for writing too.
 */
static const char *probe_and_prepare(void)
{
	static const uint32_t passed[] = {
		MSR_FS_BASE,     MSR_GS_BASE,      MSR_KERNEL_GS_BASE,
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
		MSR_PAT,         MSR_EFER,         MSR_STAR,
		MSR_LSTAR,       MSR_CSTAR,        MSR_SFMASK,
		MSR_TSC,
	};

	memset(vmx_msr_bitmaps, 0xff, sizeof(vmx_msr_bitmaps));
	for (uint32_t i = 0; i < 2 * ARRAY_SIZE(passed); i++) {
		msr_pass(vmx_msr_bitmaps[i % 2], passed[i / 2], true, i / 2 < OWNED_COUNT);
	}
	for (uint32_t i = 0; i < 64; i++) {
		msr_pass(vmx_msr_bitmaps[1], MSR_X2APIC + i, (X2APIC_READ >> i & 1) != 0,
		         (X2APIC_WRITE >> i & 1) != 0);
	}
	hvm_exit_fast = vmx_exit_fast;
	return vmx_probe();
}

/* Every field that is 0 at first: a VMCS is not cleared memory. First and last of each run (SDM 3D B). */
static void clear_fields(void)
{
	static const uint16_t runs[][2] = {
		{ VMCS_GUEST_ES_SELECTOR, VMCS_GUEST_ES_SELECTOR + 14 },
		{ VMCS_HOST_ES_SELECTOR, VMCS_HOST_TR_SELECTOR },
		{ VMCS_GUEST_DEBUGCTL, VMCS_GUEST_EFER },
		{ VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE0 + 6 },
		{ VMCS_EXCEPTION_BITMAP, VMCS_TPR_THRESHOLD },
		{ VMCS_GUEST_ES_LIMIT, VMCS_GUEST_SYSENTER_CS },
		{ VMCS_HOST_SYSENTER_CS, VMCS_HOST_SYSENTER_CS },
		{ VMCS_CR0_MASK, VMCS_CR4_SHADOW },
		{ VMCS_GUEST_CR0, VMCS_GUEST_SYSENTER_EIP },
		{ VMCS_HOST_CR0, VMCS_HOST_RIP },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(runs); i++) {
		for (uint32_t field = runs[i][0]; field <= runs[i][1]; field += 2) {
			vmcs_write(field, 0);
		}
	}
}

/* hvm_ops.vcpu_init. Its next load, after an unload, writes the host's fields. */
static void vmx_vcpu_init(struct vcpu *vcpu)
{
	clear_fields();
	for (uint32_t i = 0; i < VMX_CONTROL_COUNT; i++) {
		vmcs_write(vmx_control_fields[i], vmx_caps.controls[i]);
	}
	vmx_of(vcpu)->cpu_controls = vmx_caps.controls[VMX_CPU];
	/*
	 * #DB and #AC because a guest can make them recur in their own delivery, for ever
	 * (CVE-2015-8104, CVE-2015-5307); #MC is the machine's.
	 */
	vmcs_write(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC));
	vmcs_write(VMCS_CR0_MASK, CR0_HOST_OWNED);
	vmcs_write(VMCS_CR4_MASK, ~vmx_caps.cr4_owned);
	vmcs_write(VMCS_MSR_BITMAP, image_to_phys(vmx_msr_bitmaps[0]).raw);
	vmcs_write(VMCS_VIRTUAL_APIC_PAGE, vcpu_page(vcpu, BH_VCPU_PAGE_LAPIC).raw);
	vmcs_write(VMCS_EPT_POINTER, vmx_ept_pointer(vcpu->vm));
	vmcs_write(VMCS_LINK_POINTER, ~0ull);
	if (feature_has(FEATURE_VMX_POSTED)) {
		vmcs_write(VMCS_POSTED_VECTOR, VECTOR_POSTED);
		vmcs_write(VMCS_POSTED_DESCRIPTOR, virt_to_phys(vcpu->irr_remote).raw);
	}
	if ((vmx_caps.controls[VMX_CPU2] & CPU2_XSAVES) != 0) {
		vmcs_write(VMCS_XSS_EXITING_BITMAP, 0);
	}
	if ((vmx_caps.controls[VMX_CPU2] & CPU2_PAUSE_LOOP) != 0) {
		vmcs_write(VMCS_PAUSE_LOOP_GAP, PAUSE_LOOP_GAP);
		vmcs_write(VMCS_PAUSE_LOOP_WINDOW, PAUSE_LOOP_WINDOW);
	}
}

const struct hvm_ops vmx_ops = {
	.name = "Intel VT-x",
	.ptable_format = PTABLE_EPT,
	.probe = probe_and_prepare,
	.cpu_on = vmx_cpu_on,
	.vcpu_init = vmx_vcpu_init,
	.enter = vmx_enter,
	.leave = vmx_leave,
	.load = vmx_load,
	.unload = vmx_unload,
	.get = vmx_get,
	.set = vmx_set,
	.get_state = vmx_get_state,
	.get_segments = vmx_get_segments,
	.set_segments = vmx_set_segments,
	.skip_instruction = vmx_skip_instruction,
	.ready = vmx_ready,
	.inject = vmx_inject,
	.offer_interrupt = vmx_offer_interrupt,
	.open_window = vmx_open_window,
	.set_nmi_window = vmx_set_nmi_window,
};
