/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V for the two-vendor interface: finding it, turning it on, making a VM's and a vCPU's records, and the way into the guest and out.
 * The policy of intercepts stands here, in svm_vcpu_init() and msr_bitmap_build(); what exits mean, in exit.c. APM 2 15.
 */
#include "arch/x86/svm/svm.h"

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/memory.h"
#include "kernel/string.h"

#define IOPM_SIZE  (3 * PAGE_SIZE)
#define MSRPM_SIZE (2 * PAGE_SIZE)

bool svm_has_next_rip;
uint64_t (*svm_exit_fast)(struct vcpu *vcpu);
bool svm_is_tcg;
static bool has_flush_by_asid;
static uint32_t asid_max;

/* The same for every VM: all ports exit; MSRs as msr_bitmap_build() says. One bit a port; two bits an MSR (APM 2 15.10.1, 15.11). */
static uint8_t iopm[IOPM_SIZE] __attribute__((aligned(4096)));
static uint8_t msrpm[MSRPM_SIZE] __attribute__((aligned(4096)));

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

static bool svm_probe(const char **reason)
{
	uint64_t vm_cr = 0;

	if (!feature_has(FEATURE_SVM)) {
		*reason = "the CPU has no AMD-V";
		return false;
	}
	if (msr_read_safe(MSR_VM_CR, &vm_cr) == BH_OK && (vm_cr & VM_CR_SVMDIS) != 0) {
		*reason = "AMD-V is turned off by the firmware (VM_CR.SVMDIS)";
		return false;
	}
	if (!feature_has(FEATURE_SVM_NPT)) {
		*reason = "the CPU's AMD-V has no nested paging";
		return false;
	}
	asid_max = cpuid_read(CPUID_SVM, 0).ebx;
	if (asid_max < 2) {
		*reason = "the CPU's AMD-V has no address space identifiers";
		return false;
	}
	svm_has_next_rip = feature_has(FEATURE_SVM_NRIPS);
	svm_exit_fast = svm_has_next_rip ? svm_exit_fast_saved : svm_exit_fast_counted;
	has_flush_by_asid = feature_has(FEATURE_SVM_FLUSH_BY_ASID);
	svm_is_tcg = feature_is_tcg();
	hvm_features = (svm_has_next_rip ? BH_FEATURE_NEXT_RIP : 0) |
	               (feature_has(FEATURE_SVM_DECODE_ASSIST) ? BH_FEATURE_DECODE_ASSIST : 0);
	msr_bitmap_build();
	return true;
}

static int svm_cpu_on(struct cpu *cpu)
{
	hpa_t pages;
	int error;

	/* Host save area (its content is the CPU's), and a VMCB for the host's VMLOAD state. They stay for ever. */
	if (cpu->hvm_page.raw == 0) {
		error = memory_allocate(2 * PAGE_SIZE, PAGE_SIZE, MEMORY_OWNER_KERNEL, &pages);
		if (error != BH_OK) {
			return error;
		}
		memset(phys_to_virt(pages), 0, 2 * PAGE_SIZE);
		cpu->hvm_page = pages;
		cpu->hvm_host_page = HPA(pages.raw + PAGE_SIZE);
	}
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SVME);
	msr_write(MSR_VM_HSAVE_PA, cpu->hvm_page.raw);
	cpu->hvm_current = NULL;
	cpu->hvm_asid_generation = 1;
	cpu->hvm_asid_next = 1;
	cpu->hvm_tsc_aux = ~0ull;
	cpu->hvm_is_on = true;
	return BH_OK;
}

static void svm_cpu_off(struct cpu *cpu)
{
	if (cpu->hvm_is_on) {
		cpu->hvm_is_on = false;
		__asm__ volatile("stgi"); /* an INIT for this pCPU must get through after us */
		msr_write(MSR_EFER, msr_read(MSR_EFER) & ~EFER_SVME);
	}
}

static int svm_vm_init(struct vm *vm)
{
	vm->io_bitmap = image_to_phys(iopm);
	vm->msr_bitmap = image_to_phys(msrpm);
	return ptable_init(&vm->npt, PTABLE_NPT, feature_has(FEATURE_NPT_1G), vm->object.payer);
}

static void svm_vm_fini(struct vm *vm)
{
	ptable_destroy(&vm->npt);
}

static int svm_vcpu_init(struct vcpu *vcpu)
{
	int error = quota_pages_allocate(vcpu->object.payer, 0, &vcpu->hvm_page);
	struct vmcb *vmcb;

	if (error != BH_OK) {
		return error;
	}
	vmcb = phys_to_virt(vcpu->hvm_page);
	vcpu->hvm_state = vmcb;
	/*
	 * #DB and #AC because a guest can make them recur in their own delivery, for ever and without a chance for an interrupt
	 * (CVE-2015-8104, CVE-2015-5307). #MC is the machine's.
	 */
	vmcb->intercept_exceptions = SVM_EXCEPTION_DB | SVM_EXCEPTION_AC | SVM_EXCEPTION_MC;
	vmcb->intercept1 = SVM_INTERCEPT1_INTR | SVM_INTERCEPT1_NMI | SVM_INTERCEPT1_SMI |
	                   SVM_INTERCEPT1_INIT | SVM_INTERCEPT1_VINTR | SVM_INTERCEPT1_RDPMC |
	                   SVM_INTERCEPT1_CPUID | SVM_INTERCEPT1_INVD | SVM_INTERCEPT1_HLT |
	                   SVM_INTERCEPT1_INVLPGA | SVM_INTERCEPT1_IOIO | SVM_INTERCEPT1_MSR |
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
	vmcb->iopm_base = vcpu->vm->io_bitmap.raw;
	vmcb->msrpm_base = vcpu->vm->msr_bitmap.raw;
	vmcb->tsc_offset = vcpu->vm->tsc_offset;
	vmcb->vintr = SVM_VINTR_MASKING;
	vmcb->np_enable = 1;
	vmcb->ncr3 = ptable_root_value(&vcpu->vm->npt);
	vmcb->efer = EFER_SVME;
	return BH_OK;
}

static void svm_vcpu_fini(struct vcpu *vcpu)
{
	quota_pages_free(vcpu->object.payer, 0, vcpu->hvm_page);
}

static void svm_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;

	/* What the host's VMLOAD state is now (FS base aside): TR, KernelGS and SYSCALL's registers never change after start. */
	__asm__ volatile("vmsave %0" : : "a"(cpu->hvm_host_page.raw) : "memory");
	svm_vmcb(vcpu)->clean = 0;
	cpu->hvm_current = vcpu;
}

static void svm_unload(struct vcpu *vcpu)
{
	if (vcpu->cpu->hvm_current == vcpu) {
		vcpu->cpu->hvm_current = NULL;
	}
}

/* enter() has brought back all that VMLOAD does: NMIs need the host's TR at once. */
static void svm_leave(struct vcpu *vcpu)
{
	if (svm_is_tcg && (svm_vmcb(vcpu)->cr4 & CR4_OSXSAVE) != 0) {
		svm_xcr0_settle(vcpu);
	}
}

void svm_xcr0_settle(struct vcpu *vcpu)
{
	if (feature_has(FEATURE_XSAVE)) {
		vcpu->xcr0 = xcr0_read();
		vcpu->cpu->xcr0 = vcpu->xcr0;
	}
}

/* An ASID of this pCPU's current generation. When all are used up, a new generation starts with everything flushed (APM 2 15.15.1, 15.16). */
static void asid_prepare(struct vcpu *vcpu, struct vmcb *vmcb)
{
	struct cpu *cpu = vcpu->cpu;
	struct svm_private *private = svm_private(vcpu);

	vmcb->tlb_control = SVM_TLB_NOTHING;
	if (unlikely(private->flush)) {
		private->flush = 0;
		if (has_flush_by_asid && vcpu->asid_generation == cpu->hvm_asid_generation) {
			vmcb->tlb_control = SVM_TLB_FLUSH_ASID;
			return;
		}
		vcpu->asid_generation = 0;
	}
	if (likely(vcpu->asid_generation == cpu->hvm_asid_generation)) {
		return;
	}
	if (cpu->hvm_asid_next >= asid_max) {
		cpu->hvm_asid_generation++;
		cpu->hvm_asid_next = 1;
		vmcb->tlb_control = SVM_TLB_FLUSH_ALL;
	}
	vcpu->asid = cpu->hvm_asid_next++;
	vcpu->asid_generation = cpu->hvm_asid_generation;
	vmcb->asid = vcpu->asid;
	vmcb->clean &= ~(uint32_t)SVM_CLEAN_ASID;
}

static void svm_enter(struct vcpu *vcpu, struct vm_exit *exit)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	struct cpu *cpu = vcpu->cpu;
	struct vmcb *host = phys_to_virt(cpu->hvm_host_page);

	asid_prepare(vcpu, vmcb);
	host->fs.base = cpu->current->fs_base;
	if (cpu->hvm_tsc_aux != vcpu->msr_tsc_aux && feature_has(FEATURE_RDTSCP)) {
		msr_write(MSR_TSC_AUX, vcpu->msr_tsc_aux); /* the host has no use for it */
		cpu->hvm_tsc_aux = vcpu->msr_tsc_aux;
	}
	vmcb->rax = vcpu->gpr[BH_GPR_RAX];
	svm_switch(vcpu, cpu->hvm_host_page);
	vcpu->gpr[BH_GPR_RAX] = vmcb->rax;
	vmcb->clean = SVM_CLEAN_ALL;
	svm_exit_decode(vcpu, exit);
}

static void svm_flush_guest(struct vcpu *vcpu)
{
	svm_private(vcpu)->flush = 1;
}

static void svm_set_tsc_offset(struct vcpu *vcpu, uint64_t offset)
{
	svm_vmcb(vcpu)->tsc_offset = offset;
	svm_vmcb(vcpu)->clean &= ~(uint32_t)SVM_CLEAN_INTERCEPTS;
}

static void svm_skip_instruction(struct vcpu *vcpu, const struct vm_exit *exit)
{
	svm_vmcb(vcpu)->rip = exit->next_rip;
	svm_vmcb(vcpu)->interrupt_shadow = 0;
}

static uint32_t svm_get_cpl(struct vcpu *vcpu)
{
	return svm_vmcb(vcpu)->cpl;
}

const struct hvm_ops svm_ops = {
	.name = "AMD-V",
	.probe = svm_probe,
	.cpu_on = svm_cpu_on,
	.cpu_off = svm_cpu_off,
	.vm_init = svm_vm_init,
	.vm_fini = svm_vm_fini,
	.vcpu_init = svm_vcpu_init,
	.vcpu_fini = svm_vcpu_fini,
	.enter = svm_enter,
	.leave = svm_leave,
	.load = svm_load,
	.unload = svm_unload,
	.get_state = svm_get_state,
	.set_state = svm_set_state,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.get_dr = svm_get_dr,
	.set_dr = svm_set_dr,
	.get_cr8 = svm_get_cr8,
	.set_cr8 = svm_set_cr8,
	.get_cpl = svm_get_cpl,
	.skip_instruction = svm_skip_instruction,
	.interrupt_ready = svm_interrupt_ready,
	.nmi_ready = svm_nmi_ready,
	.inject = svm_inject,
	.set_interrupt_window = svm_set_interrupt_window,
	.set_nmi_window = svm_set_nmi_window,
	.get_shadow = svm_get_shadow,
	.set_shadow = svm_set_shadow,
	.flush_guest = svm_flush_guest,
	.set_tsc_offset = svm_set_tsc_offset,
};
