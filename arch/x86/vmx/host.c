/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of VMX: turning it on for a pCPU (SDM 3C 23.7, 31.5), making a VMCS current,
 * keeping its host fields true, and the registers that neither an entry nor an exit switches. Guest
 * values of those stay loaded from the first entry until vmx_leave().
 */
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "arch/x86/reg/segment.h"
#include "arch/x86/vmx/vmx.h"
#include "kernel/memory.h"

#define NET_MARGIN_TSC 1000u
#define VPID_LAST      0xffffu

const uint32_t vmx_switched_msrs[VMX_MSR_COUNT] = {
	[VMX_MSR_STAR] = MSR_STAR,
	[VMX_MSR_LSTAR] = MSR_LSTAR,
	[VMX_MSR_CSTAR] = MSR_CSTAR,
	[VMX_MSR_SFMASK] = MSR_SFMASK,
	[VMX_MSR_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
};

/*
 * The host's values of those that are the same on every pCPU. KERNEL_GS_BASE is the pCPU's record,
 * TSC_AUX its index (arch/x86/cpu.c).
 */
static uint64_t host_msrs[VMX_MSR_KERNEL_GS_BASE];
/*
 * Limits of the host's GDT and IDT: an exit leaves 0xffff in both (SDM 3C 27.5.2), which would show
 * the rest of the page to ring 3.
 */
static uint16_t host_gdt_limit, host_idt_limit;

static struct table_pointer vmx_gdtr_read(void)
{
	struct table_pointer gdtr;

	__asm__ volatile("sgdt %0" : "=m"(gdtr));
	return gdtr;
}

static struct table_pointer vmx_idtr_read(void)
{
	struct table_pointer idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	return idtr;
}

/* hvm_ops.cpu_on. MEMORY: no page for the VMXON region; UNSUPPORTED: the CPU refuses. */
int vmx_cpu_on(struct cpu *cpu)
{
	uint64_t control;
	int error;

	error = memory_allocate(PAGE_SIZE, PAGE_SIZE, MEMORY_OWNER_KERNEL, &cpu->hvm_page);
	if (error != BH_OK) {
		return error;
	}
	if (msr_read_safe(MSR_FEATURE_CONTROL, &control) == BH_OK &&
	    (control & FEATURE_CONTROL_LOCK) == 0) {
		msr_write(MSR_FEATURE_CONTROL,
		          control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	}
	cr0_write((cr0_read() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	cr4_write((cr4_read() | vmx_caps.cr4_fixed0 | CR4_VMXE) & vmx_caps.cr4_fixed1);
	*(uint32_t *)phys_to_virt(cpu->hvm_page) = vmx_caps.revision;
	error = vmx_on(cpu->hvm_page);
	if (error != BH_OK) {
		cr4_write(cr4_read() & ~(uint64_t)CR4_VMXE);
		memory_change(cpu->hvm_page, PAGE_SIZE, MEMORY_OWNER_KERNEL, MEMORY_FREE);
		return error;
	}
	/*
	 * Nothing that this pCPU may have cached under an earlier owner survives (SDM 3C 28.4.3.3).
	 */
	vmx_invept(VMX_INVALIDATE_ALL, 0);
	if (vmx_caps.has_vpid) {
		vmx_invvpid(VMX_INVALIDATE_ALL, 0);
	}
	cpu->hvm_current = NULL;
	cpu->hvm_asid_generation = 1;
	cpu->hvm_asid_next = 1;
	cpu->hvm_is_on = true;
	return BH_OK;
}

void vmx_cpu_off(struct cpu *cpu)
{
	if (!cpu->hvm_is_on) {
		return;
	}
	if (cpu->hvm_current != NULL) {
		vmx_unload(cpu->hvm_current);
	}
	vmx_off();
	cr4_write(cr4_read() & ~(uint64_t)CR4_VMXE);
	memory_change(cpu->hvm_page, PAGE_SIZE, MEMORY_OWNER_KERNEL, MEMORY_FREE);
	cpu->hvm_is_on = false;
}

/* Host fields that stay as they are while the vCPU is on this pCPU. */
static void vmx_host_fields_write(struct vcpu *vcpu, struct cpu *cpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	struct table_pointer gdtr = vmx_gdtr_read();
	struct table_pointer idtr = vmx_idtr_read();

	/* Read before the first guest runs here, so the limits are still those of the kernel. */
	if (host_gdt_limit == 0) {
		host_gdt_limit = gdtr.limit;
		host_idt_limit = idtr.limit;
		for (uint32_t i = 0; i < VMX_MSR_KERNEL_GS_BASE; i++) {
			host_msrs[i] = msr_read(vmx_switched_msrs[i]);
		}
	}
	vmcs_write(VMCS_HOST_CR4, cr4_read());
	vmcs_write(VMCS_HOST_EFER, msr_read(MSR_EFER));
	if (vmx_caps.has_pat) {
		vmcs_write(VMCS_HOST_PAT, msr_read(MSR_PAT));
	}
	vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_KERNEL_CS);
	vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	/*
	 * In 64-bit mode the rest may be null (SDM 3C 26.2.3); the bases of FS and GS have fields
	 * of their own.
	 */
	for (uint64_t field = VMCS_HOST_SS_SELECTOR; field <= VMCS_HOST_GS_SELECTOR; field += 2) {
		vmcs_write(field, 0);
	}
	vmcs_write(VMCS_HOST_ES_SELECTOR, 0);
	vmcs_write(VMCS_HOST_TR_BASE, (uint64_t)&cpu->tss);
	vmcs_write(VMCS_HOST_GDTR_BASE, gdtr.base);
	vmcs_write(VMCS_HOST_IDTR_BASE, idtr.base);
	vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write(VMCS_HOST_RIP, (uint64_t)vmx_switch_exit);
	if (vmx_caps.has_tpr_shadow) {
		vmcs_write(VMCS_VIRTUAL_APIC_PAGE, vcpu->pages[BH_VCPU_PAGE_LAPIC].raw);
	}
	x->host_cpu = cpu;
}

/*
 * A VPID of this pCPU. When all are used up, everything is forgotten and they start again (SDM 3C
 * 28.4.3.3).
 */
static void vmx_vpid_assign(struct vcpu *vcpu, struct cpu *cpu)
{
	if (!vmx_caps.has_vpid) {
		return;
	}
	if (cpu->hvm_asid_next > VPID_LAST) {
		vmx_invvpid(VMX_INVALIDATE_ALL, 0);
		cpu->hvm_asid_generation++;
		cpu->hvm_asid_next = 1;
	}
	vcpu->asid = cpu->hvm_asid_next++;
	vcpu->asid_generation = cpu->hvm_asid_generation;
	vmcs_write(VMCS_VPID, vcpu->asid);
}

/* hvm_ops.load */
void vmx_load(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_self();
	struct vmx_vcpu *x = vmx_of(vcpu);

	if (cpu->hvm_current != vcpu) {
		vmcs_load(vcpu->hvm_page);
		cpu->hvm_current = vcpu;
	}
	if (x->host_cpu != cpu) {
		vmx_host_fields_write(vcpu, cpu);
		vcpu->asid_generation = 0;
		/* The EPT's root page may have been another guest's when this pCPU last saw it. */
		x->needs_invept = 1;
	}
	if (vcpu->asid_generation != cpu->hvm_asid_generation) {
		vmx_vpid_assign(vcpu, cpu);
	}
}

/*
 * hvm_ops.unload: the VMCS goes back to memory and may be loaded by any pCPU (SDM 3C 24.11.1). On
 * the pCPU where it was loaded.
 */
void vmx_unload(struct vcpu *vcpu)
{
	struct cpu *cpu = cpu_self();
	struct vmx_vcpu *x = vmx_of(vcpu);

	if (cpu->hvm_current == vcpu) {
		vmx_leave(vcpu);
		cpu->hvm_current = NULL;
	}
	vmcs_clear(vcpu->hvm_page);
	x->is_launched = 0;
}

static void vmx_host_field_update(uint64_t field, uint64_t value, uint64_t *cached)
{
	if (value != *cached) {
		vmcs_write(field, value);
		*cached = value;
	}
}

static uint64_t vmx_host_msr(uint32_t i)
{
	if (i == VMX_MSR_KERNEL_GS_BASE) {
		return (uint64_t)cpu_self();
	}
	return host_msrs[i];
}

/* The guest writes it by exits, so the record is always right. Compare before writing. */
static void vmx_tsc_aux_load(struct vmx_vcpu *x, uint64_t tsc_aux)
{
	if (x->tsc_aux != tsc_aux && feature_has(FEATURE_RDTSCP)) {
		msr_write(MSR_TSC_AUX, tsc_aux);
		x->tsc_aux = tsc_aux;
	}
}

static void vmx_guest_load(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	vmx_host_field_update(VMCS_HOST_CR3, cr3_read(), &x->host_cr3);
	vmx_host_field_update(VMCS_HOST_FS_BASE, msr_read(MSR_FS_BASE), &x->host_fs_base);
	vmx_host_field_update(VMCS_HOST_GS_BASE, msr_read(MSR_GS_BASE), &x->host_gs_base);
	for (uint32_t i = 0; i < VMX_MSR_COUNT; i++) {
		if (x->msrs[i] != vmx_host_msr(i)) {
			msr_write(vmx_switched_msrs[i], x->msrs[i]);
		}
	}
	x->tsc_aux = x->host_cpu->idx;
	x->is_guest_loaded = 1;
}

bool vmx_net_set(const struct cpu *cpu)
{
	uint64_t now = arch_tsc_read();
	uint64_t due = cpu->timer_programmed_tsc - NET_MARGIN_TSC;
	uint64_t stay = arch_tsc_hz / 1000;

	if (due <= now) {
		while (arch_tsc_read() < due + 2 * NET_MARGIN_TSC) {
			cpu_pause();
		}
		return false;
	}
	vmcs_write(VMCS_PREEMPTION_TIMER, due - now < stay ? due - now : stay);
	return true;
}

void vmx_prepare_entry(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);

	vmx_load(vcpu);
	if (x->is_guest_loaded == 0) {
		vmx_guest_load(vcpu);
	}
	vmx_tsc_aux_load(x, vcpu->msr_tsc_aux);
	/* TS changes with the owner of the FPU; an exit loads this field. */
	vmx_host_field_update(VMCS_HOST_CR0, cr0_read(), &x->host_cr0);
	if (cr2_read() != vcpu->cr2) {
		cr2_write(vcpu->cr2);
	}
	if (x->needs_invept != 0) {
		vmx_invept(vmx_caps.has_invept_single ? VMX_INVALIDATE_SINGLE : VMX_INVALIDATE_ALL,
		           vmx_ept_pointer(vcpu->vm));
		x->needs_invept = 0;
	}
	if (x->needs_invvpid != 0) {
		if (vmx_caps.has_vpid) {
			vmx_invvpid(vmx_caps.has_invvpid_single ? VMX_INVALIDATE_SINGLE
			                                        : VMX_INVALIDATE_ALL,
			            vcpu->asid);
		}
		x->needs_invvpid = 0;
	}
}

/* hvm_ops.leave */
void vmx_leave(struct vcpu *vcpu)
{
	struct vmx_vcpu *x = vmx_of(vcpu);
	struct table_pointer table;

	if (x->is_guest_loaded == 0) {
		return;
	}
	/* SWAPGS changes it without an exit. */
	x->msrs[VMX_MSR_KERNEL_GS_BASE] = msr_read(MSR_KERNEL_GS_BASE);
	for (uint32_t i = 0; i < VMX_MSR_COUNT; i++) {
		if (x->msrs[i] != vmx_host_msr(i)) {
			msr_write(vmx_switched_msrs[i], vmx_host_msr(i));
		}
	}
	vmx_tsc_aux_load(x, x->host_cpu->idx);
	table = vmx_gdtr_read();
	table.limit = host_gdt_limit;
	__asm__ volatile("lgdt %0" : : "m"(table));
	table = vmx_idtr_read();
	table.limit = host_idt_limit;
	__asm__ volatile("lidt %0" : : "m"(table));
	x->is_guest_loaded = 0;
}
