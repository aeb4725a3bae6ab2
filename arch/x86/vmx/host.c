/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of VMX: turning it on for a pCPU (SDM 3C 23.7, 31.5), making a VMCS current,
 * keeping its host fields true, and the registers that neither an entry nor an exit switches. Guest
 * values of those stay loaded from the first entry until vmx_leave().
 */
#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/reg/segment.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/memory.h"

#define NET_MARGIN_TSC 1000u
#define VPID_LAST      0xffffu

/* The host's values of the switched MSRs, but KERNEL_GS_BASE, which is the pCPU's record: the same on every pCPU. */
static uint64_t host_msrs[VMX_MSR_COUNT - 1];

/* hvm_ops.cpu_on. MEMORY: no page for the VMXON region; UNSUPPORTED: the CPU refuses. */
int vmx_cpu_on(struct cpu *cpu)
{
	uint64_t control;
	int error = memory_allocate(PAGE_SIZE, PAGE_SIZE, MEMORY_OWNER_KERNEL, &cpu->hvm_page);

	if (error != BH_OK) {
		return error;
	}
	if (msr_read_safe(MSR_FEATURE_CONTROL, &control) == BH_OK &&
	    (control & FEATURE_CONTROL_LOCK) == 0) {
		msr_write(MSR_FEATURE_CONTROL,
		          control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	}
	cr4_write(cr4_read() | CR4_VMXE);
	*(uint32_t *)phys_to_virt(cpu->hvm_page) = vmx_caps.revision;
	if (!vmx_vmxon(cpu->hvm_page)) {
		return BH_ERR_UNSUPPORTED;
	}
	for (uint32_t i = 0; i < ARRAY_SIZE(host_msrs); i++) {
		host_msrs[i] = msr_read(vmx_msr_number(i));
	}
	cpu->hvm_asid_generation = 1;
	cpu->hvm_tsc_aux = ~0ull;
	return BH_OK;
}

/* Host fields that stay as they are while the vCPU is on this pCPU. */
static void write_host_fields(struct cpu *cpu)
{
	struct table_pointer idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	vmcs_write(VMCS_HOST_CR4, cr4_read());
	vmcs_write(VMCS_HOST_EFER, msr_read(MSR_EFER));
	vmcs_write(VMCS_HOST_PAT, msr_read(MSR_PAT));
	vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_KERNEL_CS);
	vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	vmcs_write(VMCS_HOST_TR_BASE, (uint64_t)&cpu->tss);
	vmcs_write(VMCS_HOST_GDTR_BASE, (uint64_t)cpu->gdt);
	vmcs_write(VMCS_HOST_IDTR_BASE, idtr.base);
	vmcs_write(VMCS_HOST_RIP, (uint64_t)vmx_switch_exit);
}

/* hvm_ops.load */
void vmx_load(struct vcpu *vcpu)
{
	struct cpu *cpu = vcpu->cpu;
	bool is_new = vcpu->asid_generation != cpu->hvm_asid_generation;

	if (is_new) {
		*(uint32_t *)vcpu->hvm_state = vmx_caps.revision;
		vmx_unload(vcpu);
	}
	CHECK(vmx_vmptrld(vcpu->hvm_page));
	if (is_new) {
		if (hvm_tag_assign(vcpu, VPID_LAST)) {
			/* Also the first time: what an earlier owner of this CPU has left (SDM 3C 28.4.3.3). */
			vmx_invvpid(0);
		}
		vmcs_write(VMCS_VPID, vcpu->asid);
		write_host_fields(cpu);
		/* The EPT's root page may have been another guest's when this pCPU last saw it. */
		vcpu->needs_flush = true;
	}
}

/*
 * hvm_ops.unload: the VMCS goes back to memory and may be loaded by any pCPU (SDM 3C 24.11.1). On
 * the pCPU where it was loaded.
 */
void vmx_unload(struct vcpu *vcpu)
{
	vmx_leave(vcpu);
	CHECK(vmx_vmclear(vcpu->hvm_page));
	vmx_of(vcpu)->is_launched = 0;
}

static void update_host_field(uint64_t field, uint64_t value, uint64_t *cached)
{
	if (value != *cached) {
		vmcs_write(field, value);
		*cached = value;
	}
}

static void load_guest_msrs(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	update_host_field(VMCS_HOST_CR3, cr3_read(), &x->host_cr3);
	update_host_field(VMCS_HOST_FS_BASE, vcpu->cpu->current->fs_base, &x->host_fs_base);
	for (uint32_t i = 0; i < VMX_MSR_COUNT; i++) {
		msr_write(vmx_msr_number(i), x->msrs[i]);
	}
	x->is_guest_loaded = true;
}

/*
 * Bochs takes no external interrupt in a guest that is entered with IF=0 until something touches IF
 * (it masks by the host's rule): a guest that spins so would never give its pCPU back. And if that
 * something is an exception's delivery, Bochs with several CPUs exits with the handler's RSP and
 * the faulting RIP. So, there, the preemption timer ends a stay in the guest after a millisecond,
 * and just before our own timer is due; what is due so soon is waited for here. False: no entry.
 */
static bool set_net(const struct cpu *cpu)
{
	uint64_t now = arch_tsc_read();
	uint64_t due = cpu->timer_programmed_tsc - NET_MARGIN_TSC;
	uint64_t stay = arch_tsc_hz / 1000;

	if (due <= now) {
		while (arch_tsc_read() < due + 2 * NET_MARGIN_TSC) {
			__builtin_ia32_pause();
		}
		return false;
	}
	vmcs_write(VMCS_PREEMPTION_TIMER, due - now < stay ? due - now : stay);
	return true;
}

bool vmx_prepare_entry(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	if (!x->is_guest_loaded) {
		load_guest_msrs(vcpu);
	}
	hvm_tsc_aux_load(vcpu);
	vmx_choose_delivery(vcpu);
	/* TS changes with the owner of the FPU; an exit loads this field. */
	update_host_field(VMCS_HOST_CR0, cr0_read(), &x->host_cr0);
	if (cr2_read() != vcpu->cr2) {
		cr2_write(vcpu->cr2);
	}
	if (vcpu->needs_flush) {
		/* With EPT there are no translations but those that this forgets (SDM 3C 28.4.1). */
		vmx_invept(vmx_ept_pointer(vcpu->vm));
		vcpu->needs_flush = false;
	}
	return !vmx_caps.needs_net || set_net(vcpu->cpu);
}

/* hvm_ops.leave */
void vmx_leave(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	struct cpu *cpu = cpu_self();
	struct table_pointer gdtr = { sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt };

	if (!x->is_guest_loaded) {
		return;
	}
	/* SWAPGS changes it without an exit. */
	x->msrs[VMX_MSR_COUNT - 1] = msr_read(MSR_KERNEL_GS_BASE);
	msr_write(MSR_KERNEL_GS_BASE, (uint64_t)cpu);
	for (uint32_t i = 0; i < ARRAY_SIZE(host_msrs); i++) {
		msr_write(vmx_msr_number(i), host_msrs[i]);
	}
	/*
	 * An exit leaves limits of 0xffff (SDM 3C 27.5.2). In the GDT that would be selectors for what
	 * stands behind it; the IDT has no more than 256 entries anyway.
	 */
	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	x->is_guest_loaded = false;
}
