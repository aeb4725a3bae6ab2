/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this CPU's VMX can do: reads every capability MSR once (SDM 3D A), computes the control
 * words, and says what is missing. Required: EPT with four levels, write-back tables and 2 MiB
 * pages, unrestricted guest, virtual NMIs, MSR and I/O bitmaps, EFER switching. Everything else has
 * a fallback. Never turns VMX on.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"

struct vmx_caps vmx_caps;

/*
 * Guest-owned CR4 bits if the CPU has them. MCE stays the host's; OSXSAVE is ours because CPUID
 * asks for it, and PKE with it.
 */
#define CR4_GUEST_OWNED                                                                 \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | \
	 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)

/*
 * One control word: `needed` must be possible, `wished` is taken where it is; the rest is as the
 * CPU demands. SDM 3D A.3-A.5.
 */
static bool vmx_controls_compute(uint32_t msr, uint32_t needed, uint32_t wished, uint32_t *controls)
{
	uint64_t allowed = msr_read(msr);
	uint32_t must_be_one = (uint32_t)allowed;
	uint32_t may_be_one = (uint32_t)(allowed >> 32);

	*controls = ((needed | wished) & may_be_one) | must_be_one;
	return (needed & ~may_be_one) == 0;
}

/*
 * What the capability MSRs tell goes into the feature table, where `mask=` may have taken it away
 * already.
 */
static const struct {
	enum feature feature;
	uint32_t msr;
	uint8_t bit; /* in the upper half of a control MSR, or of the whole of MSR_VMX_EPT_VPID */
} vmx_features[] = {
	{ FEATURE_VMX_VIRTUAL_NMI, MSR_VMX_PINBASED, 32 + 5 },
	{ FEATURE_VMX_PREEMPTION_TIMER, MSR_VMX_PINBASED, 32 + 6 },
	{ FEATURE_VMX_POSTED, MSR_VMX_PINBASED, 32 + 7 },
	{ FEATURE_VMX_VIRTUAL_APIC, MSR_VMX_PROCBASED, 32 + 21 },
	{ FEATURE_VMX_EPT, MSR_VMX_PROCBASED2, 32 + 1 },
	{ FEATURE_VMX_RDTSCP, MSR_VMX_PROCBASED2, 32 + 3 },
	{ FEATURE_VMX_X2APIC_MODE, MSR_VMX_PROCBASED2, 32 + 4 },
	{ FEATURE_VMX_VPID, MSR_VMX_PROCBASED2, 32 + 5 },
	{ FEATURE_VMX_UNRESTRICTED, MSR_VMX_PROCBASED2, 32 + 7 },
	{ FEATURE_VMX_APIC_REGISTERS, MSR_VMX_PROCBASED2, 32 + 8 },
	{ FEATURE_VMX_APICV, MSR_VMX_PROCBASED2, 32 + 9 },
	{ FEATURE_VMX_PAUSE_LOOP, MSR_VMX_PROCBASED2, 32 + 10 },
	{ FEATURE_VMX_INVPCID, MSR_VMX_PROCBASED2, 32 + 12 },
	{ FEATURE_VMX_PML, MSR_VMX_PROCBASED2, 32 + 17 },
	{ FEATURE_VMX_XSAVES, MSR_VMX_PROCBASED2, 32 + 20 },
	{ FEATURE_VMX_MBEC, MSR_VMX_PROCBASED2, 32 + 22 },
	{ FEATURE_VMX_TSC_SCALING, MSR_VMX_PROCBASED2, 32 + 25 },
	{ FEATURE_VMX_EPT_2M, MSR_VMX_EPT_VPID, VMX_EPT_2M_BIT },
	{ FEATURE_VMX_EPT_1G, MSR_VMX_EPT_VPID, VMX_EPT_1G_BIT },
	{ FEATURE_VMX_EPT_AD, MSR_VMX_EPT_VPID, VMX_EPT_AD_BIT },
};

/*
 * MSR_VMX_PROCBASED2 and MSR_VMX_EPT_VPID exist only where the control before them does (SDM 3D
 * A.3.3, A.10).
 */
static void vmx_features_find(void)
{
	bool has_controls2 = (msr_read(MSR_VMX_PROCBASED) >> 32 & CPU_CONTROLS2) != 0;
	bool has_ept = has_controls2 &&
	               (msr_read(MSR_VMX_PROCBASED2) >> 32 & (CPU2_EPT | CPU2_VPID)) != 0;

	for (uint32_t i = 0; i < ARRAY_SIZE(vmx_features); i++) {
		uint32_t msr = vmx_features[i].msr;

		if ((msr == MSR_VMX_PROCBASED2 && !has_controls2) ||
		    (msr == MSR_VMX_EPT_VPID && !has_ept)) {
			continue;
		}
		if ((msr_read(msr) >> vmx_features[i].bit & 1) != 0) {
			feature_found(vmx_features[i].feature);
		}
	}
}

static uint32_t vmx_wish(enum feature feature, uint32_t bits)
{
	return feature_has(feature) ? bits : 0;
}

static bool vmx_pin_compute(bool has_true, const char **reason)
{
	/* No CPU counts its preemption timer at the TSC's own rate; Bochs does. */
	vmx_caps.needs_net = feature_has(FEATURE_VMX_PREEMPTION_TIMER) &&
	                     (msr_read(MSR_VMX_MISC) & VMX_MISC_TIMER_RATE) == 0;
	*reason = "VT-x lacks virtual NMIs";
	return vmx_controls_compute(has_true ? MSR_VMX_TRUE_PINBASED : MSR_VMX_PINBASED,
	                            PIN_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMI,
	                            vmx_caps.needs_net ? PIN_PREEMPTION_TIMER : 0, &vmx_caps.pin);
}

static bool vmx_cpu_compute(bool has_true, const char **reason)
{
	const uint32_t needed = CPU_TSC_OFFSET | CPU_HLT_EXITING | CPU_MWAIT_EXITING |
	                        CPU_RDPMC_EXITING | CPU_NMI_WINDOW | CPU_INTERRUPT_WINDOW |
	                        CPU_IO_BITMAPS | CPU_MSR_BITMAPS | CPU_MONITOR_EXITING |
	                        CPU_CONTROLS2 | CPU_CR8_LOAD_EXITING | CPU_CR8_STORE_EXITING;

	*reason = "VT-x lacks secondary controls, or MSR or I/O bitmaps";
	if (!vmx_controls_compute(has_true ? MSR_VMX_TRUE_PROCBASED : MSR_VMX_PROCBASED, needed,
	                          vmx_wish(FEATURE_VMX_VIRTUAL_APIC, CPU_TPR_SHADOW),
	                          &vmx_caps.cpu)) {
		return false;
	}
	*reason = "VT-x cannot leave CR3 accesses to the guest";
	if ((vmx_caps.cpu & (CPU_CR3_LOAD_EXITING | CPU_CR3_STORE_EXITING | CPU_INVLPG_EXITING)) !=
	    0) {
		return false;
	}
	vmx_caps.has_tpr_shadow = (vmx_caps.cpu & CPU_TPR_SHADOW) != 0;
	if (vmx_caps.has_tpr_shadow) {
		vmx_caps.cpu &= ~(CPU_CR8_LOAD_EXITING | CPU_CR8_STORE_EXITING);
	}
	vmx_caps.cpu &= ~(CPU_NMI_WINDOW | CPU_INTERRUPT_WINDOW);
	return true;
}

static bool vmx_cpu2_compute(const char **reason)
{
	uint32_t wished = CPU2_WBINVD_EXITING | vmx_wish(FEATURE_VMX_VPID, CPU2_VPID) |
	                  vmx_wish(FEATURE_VMX_RDTSCP, CPU2_RDTSCP) |
	                  vmx_wish(FEATURE_VMX_INVPCID, CPU2_INVPCID) |
	                  vmx_wish(FEATURE_VMX_PAUSE_LOOP, CPU2_PAUSE_LOOP) |
	                  vmx_wish(FEATURE_VMX_XSAVES, CPU2_XSAVES);

	*reason = "VT-x lacks EPT";
	if (!feature_has(FEATURE_VMX_EPT)) {
		return false;
	}
	*reason = "VT-x lacks unrestricted guest mode";
	return feature_has(FEATURE_VMX_UNRESTRICTED) &&
	       vmx_controls_compute(MSR_VMX_PROCBASED2, CPU2_EPT | CPU2_UNRESTRICTED, wished,
	                            &vmx_caps.cpu2);
}

static bool vmx_switch_compute(bool has_true, const char **reason)
{
	*reason = "VT-x cannot switch EFER";
	if (!vmx_controls_compute(has_true ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT,
	                          EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
	                          EXIT_SAVE_PAT | EXIT_LOAD_PAT |
	                                  (vmx_caps.needs_net ? EXIT_SAVE_TIMER : 0),
	                          &vmx_caps.exit) ||
	    !vmx_controls_compute(has_true ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY,
	                          ENTRY_LOAD_DEBUG | ENTRY_LOAD_EFER, ENTRY_LOAD_PAT,
	                          &vmx_caps.entry)) {
		return false;
	}
	vmx_caps.has_pat = (vmx_caps.exit & EXIT_LOAD_PAT) != 0 &&
	                   (vmx_caps.exit & EXIT_SAVE_PAT) != 0 &&
	                   (vmx_caps.entry & ENTRY_LOAD_PAT) != 0;
	if (!vmx_caps.has_pat) {
		vmx_caps.exit &= ~(EXIT_LOAD_PAT | EXIT_SAVE_PAT);
		vmx_caps.entry &= ~ENTRY_LOAD_PAT;
	}
	return true;
}

/* EPT and VPID (SDM 3D A.10). */
static bool vmx_translation_compute(const char **reason)
{
	uint64_t caps = msr_read(MSR_VMX_EPT_VPID);
	const uint64_t needed = BIT(VMX_EPT_WALK_4_BIT) | BIT(VMX_EPT_WRITE_BACK_BIT) |
	                        BIT(VMX_INVEPT_BIT) | BIT(VMX_INVEPT_ALL_BIT);

	*reason = "EPT lacks 4 levels, write-back tables, 2 MiB pages or INVEPT";
	if ((caps & needed) != needed || !feature_has(FEATURE_VMX_EPT_2M)) {
		return false;
	}
	vmx_caps.ept_bits = EPT_WRITE_BACK | EPT_WALK_4 |
	                    vmx_wish(FEATURE_VMX_EPT_AD, EPT_ACCESSED_DIRTY);
	vmx_caps.has_1g = feature_has(FEATURE_VMX_EPT_1G);
	vmx_caps.has_invept_single = (caps & BIT(VMX_INVEPT_SINGLE_BIT)) != 0;
	/* A VPID that cannot be invalidated cannot be given out a second time. */
	if ((caps & BIT(VMX_INVVPID_BIT)) == 0 || (caps & BIT(VMX_INVVPID_ALL_BIT)) == 0) {
		vmx_caps.cpu2 &= ~CPU2_VPID;
		feature_drop(FEATURE_VMX_VPID);
	}
	vmx_caps.has_vpid = (vmx_caps.cpu2 & CPU2_VPID) != 0;
	vmx_caps.has_invvpid_single = (caps & BIT(VMX_INVVPID_SINGLE_BIT)) != 0;
	return true;
}

/* CR0 and CR4 in VMX operation (SDM 3C 23.8, 3D A.7, A.8). */
static void vmx_fixed_bits_read(void)
{
	vmx_caps.cr0_fixed0 = msr_read(MSR_VMX_CR0_FIXED0) & ~(uint64_t)(CR0_PE | CR0_PG);
	vmx_caps.cr0_fixed1 = msr_read(MSR_VMX_CR0_FIXED1);
	vmx_caps.cr4_fixed0 = msr_read(MSR_VMX_CR4_FIXED0);
	vmx_caps.cr4_fixed1 = msr_read(MSR_VMX_CR4_FIXED1);
	vmx_caps.cr4_owned = CR4_GUEST_OWNED & vmx_caps.cr4_fixed1 & ~vmx_caps.cr4_fixed0;
}

/* SDM 3C 23.7: firmware decides, or has left the decision to us (unlocked). */
static bool vmx_firmware_allows(const char **reason)
{
	uint64_t control;

	if (msr_read_safe(MSR_FEATURE_CONTROL, &control) != BH_OK) {
		return true; /* a hypervisor below us without this register */
	}
	*reason = "firmware has turned VT-x off (IA32_FEATURE_CONTROL)";
	return (control & FEATURE_CONTROL_LOCK) == 0 ||
	       (control & FEATURE_CONTROL_VMX_OUTSIDE_SMX) != 0;
}

/* hvm_ops.probe */
bool vmx_probe(const char **reason)
{
	uint64_t basic;
	bool has_true;

	*reason = "the CPU has no VT-x";
	if (!feature_has(FEATURE_VMX)) {
		return false;
	}
	if (!vmx_firmware_allows(reason)) {
		return false;
	}
	basic = msr_read(MSR_VMX_BASIC);
	has_true = (basic & BIT(VMX_BASIC_TRUE_CONTROLS_BIT)) != 0;
	vmx_caps.revision = (uint32_t)basic & VMX_BASIC_REVISION;
	vmx_features_find();
	if (!vmx_pin_compute(has_true, reason) || !vmx_cpu_compute(has_true, reason) ||
	    !vmx_cpu2_compute(reason) || !vmx_switch_compute(has_true, reason) ||
	    !vmx_translation_compute(reason)) {
		return false;
	}
	vmx_fixed_bits_read();
	*reason = NULL;
	return true;
}
