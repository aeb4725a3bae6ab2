/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V for the two-vendor interface: finding it, turning it on, making a VM's and a vCPU's records, and the way into the guest and out.
 * The policy of intercepts stands here, in svm_vcpu_init() and msr_bitmap_build(); what exits mean, in exit.c. APM 2 15.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/memory.h"
#include "kernel/string.h"
#include "kernel/vcpu_exit.h"

bool svm_is_tcg;
static bool
	is_xsetbv_silent; /* TCG does not intercept it: find out after exits what the guest has made of XCR0 */
static uint32_t asid_last;

/* The same for every VM: all ports exit; MSRs as msr_bitmap_build() says. One bit a port; two bits an MSR (APM 2 15.10.1, 15.11). */
static uint8_t iopm[3 * PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t msrpm[2 * PAGE_SIZE] __attribute__((aligned(4096)));

#define MSR_PASS_READ  1u
#define MSR_PASS_WRITE 2u

static void msr_pass(uint32_t msr, uint32_t access)
{
	uint32_t base = msr < 0x2000 ? 0 : 0x800;
	uint32_t bit = 2 * (msr & 0x1fff);

	msrpm[base + bit / 8] &= (uint8_t) ~(access << (bit % 8));
}

/*
 * A guest owns what VMLOAD and VMSAVE switch. Not EFER (SVME is hidden), not PAT (QEMU does not switch it), not the TSC for writing.
 */
static void msr_bitmap_build(void)
{
	static const uint32_t owned[] = {
		MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR,         MSR_LSTAR,
		MSR_CSTAR,   MSR_SFMASK,  MSR_SYSENTER_CS,    MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	};

	memset(iopm, 0xff, sizeof(iopm));
	memset(msrpm, 0xff, sizeof(msrpm));
	for (size_t i = 0; i < ARRAY_SIZE(owned); i++) {
		msr_pass(owned[i], MSR_PASS_READ | MSR_PASS_WRITE);
	}
	msr_pass(MSR_TSC, MSR_PASS_READ);
}

static const char *svm_probe(void)
{
	uint64_t vm_cr = 0;

	if (msr_read_safe(MSR_VM_CR, &vm_cr) == BH_OK && (vm_cr & VM_CR_SVMDIS) != 0) {
		return "AMD-V is turned off by the firmware (VM_CR.SVMDIS)";
	}
	if (!feature_has(FEATURE_SVM_NPT)) {
		return "the CPU's AMD-V has no nested paging";
	}
	asid_last = cpuid_read(CPUID_SVM, 0).ebx - 1;
	if (feature_has(FEATURE_PAGE_1G)) {
		feature_found(FEATURE_NPT_1G);
	}
	hvm_exit_fast = feature_has(FEATURE_SVM_NRIPS) ? svm_exit_fast_saved
	                                               : svm_exit_fast_counted;
	svm_is_tcg = feature_is_tcg();
	is_xsetbv_silent = svm_is_tcg && feature_has(FEATURE_XSAVE);
	msr_bitmap_build();
	return NULL;
}

static int svm_cpu_on(struct cpu *cpu)
{
	/* Host save area (its content is the CPU's), and a VMCB for the host's VMLOAD state. */
	int error = memory_allocate(2 * PAGE_SIZE, PAGE_SIZE, MEMORY_OWNER_KERNEL, &cpu->hvm_page);

	if (error != BH_OK) {
		return error;
	}
	memset(phys_to_virt(cpu->hvm_page), 0, 2 * PAGE_SIZE);
	cpu->hvm_host_page = HPA(cpu->hvm_page.raw + PAGE_SIZE);
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SVME);
	msr_write(MSR_VM_HSAVE_PA, cpu->hvm_page.raw);
	/* FS base aside, it never changes after start: TR, KernelGS, SYSCALL's registers. */
	__asm__ volatile("vmsave %0" : : "a"(cpu->hvm_host_page.raw) : "memory");
	cpu->hvm_asid_generation = 1;
	cpu->hvm_tsc_aux = ~0ull;
	return BH_OK;
}

static void svm_vcpu_init(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	/*
	 * #DB and #AC because a guest can make them recur in their own delivery, for ever and without a chance for an interrupt
	 * (CVE-2015-8104, CVE-2015-5307). #MC is the machine's.
	 */
	vmcb->intercept_exceptions = (uint32_t)(BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC));
	vmcb->intercept1 = SVM_INTERCEPT1_INTR | SVM_INTERCEPT1_NMI | SVM_INTERCEPT1_SMI |
	                   SVM_INTERCEPT1_INIT | SVM_INTERCEPT1_RDPMC | SVM_INTERCEPT1_CPUID |
	                   SVM_INTERCEPT1_INVD | SVM_INTERCEPT1_HLT | SVM_INTERCEPT1_INVLPGA |
	                   SVM_INTERCEPT1_IOIO | SVM_INTERCEPT1_MSR |
	                   (uint32_t)SVM_INTERCEPT1_SHUTDOWN;
	vmcb->intercept2 = SVM_INTERCEPT2_VMRUN | SVM_INTERCEPT2_VMMCALL | SVM_INTERCEPT2_VMLOAD |
	                   SVM_INTERCEPT2_VMSAVE | SVM_INTERCEPT2_STGI | SVM_INTERCEPT2_CLGI |
	                   SVM_INTERCEPT2_SKINIT | SVM_INTERCEPT2_WBINVD | SVM_INTERCEPT2_MONITOR |
	                   SVM_INTERCEPT2_MWAIT | SVM_INTERCEPT2_MWAIT_ARMED |
	                   SVM_INTERCEPT2_XSETBV | SVM_INTERCEPT2_RDPRU;
	if (feature_has(FEATURE_SVM_PAUSE_FILTER)) {
		vmcb->intercept1 |= SVM_INTERCEPT1_PAUSE;
		vmcb->pause_count = 3000;
		vmcb->pause_threshold = feature_has(FEATURE_SVM_PAUSE_THRESHOLD) ? 128 : 0;
	}
	vmcb->iopm_base = image_to_phys(iopm).raw;
	vmcb->msrpm_base = image_to_phys(msrpm).raw;
	vmcb->vintr = SVM_VINTR_MASKING;
	vmcb->np_enable = 1;
	vmcb->ncr3 = vcpu->vm->npt.root.raw;
	vmcb->efer = EFER_SVME;
}

static void svm_load(struct vcpu *vcpu)
{
	svm_vmcb(vcpu)->clean = 0;
}

/* unload: the VMCB is in memory; leave: enter() has brought back all that VMLOAD does, since NMIs need the host's TR at once. */
static void svm_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
}

/* ASID and what of its translations is to be forgotten (APM 2 15.15.1, 15.16). */
static void asid_prepare(struct vcpu *vcpu, struct vmcb *vmcb)
{
	vmcb->tlb_control = SVM_TLB_NOTHING;
	if (unlikely(vcpu->needs_flush)) {
		vcpu->needs_flush = false;
		vmcb->tlb_control = feature_has(FEATURE_SVM_FLUSH_BY_ASID) ? SVM_TLB_FLUSH_ASID
		                                                           : SVM_TLB_FLUSH_ALL;
	}
	if (unlikely(vcpu->asid_generation != vcpu->cpu->hvm_asid_generation)) {
		if (hvm_tag_assign(vcpu, asid_last)) {
			vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
		}
		vmcb->asid = vcpu->asid;
		svm_changed(vmcb, SVM_CLEAN_ASID);
	}
}

static void svm_enter(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct cpu *cpu = vcpu->cpu;
	struct vmcb *host = phys_to_virt(cpu->hvm_host_page);

	asid_prepare(vcpu, vmcb);
	host->fs.base = cpu->current->fs_base;
	hvm_tsc_aux_load(vcpu);
	vmcb->rax = vcpu->gpr[BH_GPR_RAX];
	svm_switch(vcpu, cpu->hvm_host_page);
	vcpu->gpr[BH_GPR_RAX] = vmcb->rax;
	vmcb->clean = SVM_CLEAN_ALL;
	if (unlikely(is_xsetbv_silent && (vmcb->cr4 & CR4_OSXSAVE) != 0)) {
		vcpu->xcr0 = xcr0_read();
		cpu->xcr0 = vcpu->xcr0;
	}
	svm_exit_decode(vcpu, exit);
}

const struct hvm_ops svm_ops = {
	.name = "AMD-V",
	.ptable_format = PTABLE_NPT,
	.probe = svm_probe,
	.cpu_on = svm_cpu_on,
	.vcpu_init = svm_vcpu_init,
	.enter = svm_enter,
	.leave = svm_nothing,
	.load = svm_load,
	.unload = svm_nothing,
	.get = svm_get,
	.set = svm_set,
	.get_state = svm_get_state,
	.get_segments = svm_get_segments,
	.set_segments = svm_set_segments,
	.skip_instruction = svm_skip_instruction,
	.ready = svm_ready,
	.inject = svm_inject,
	.offer_interrupt = svm_offer_interrupt,
	.open_window = svm_open_window,
	.set_nmi_window = svm_set_nmi_window,
};
