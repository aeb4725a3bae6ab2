/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this CPU's VMX can do: reads the capability MSRs once (SDM 3D A), computes the control
 * words, and says what is missing. What is needed every CPU with EPT and unrestricted guests has;
 * the rest is taken where it is. Never turns VMX on.
 */
#include "arch/x86/vmx/vmx.h"

#include "arch/x86/asm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"

struct vmx_caps vmx_caps;

/*
 * Guest-owned CR4 bits if the CPU has them. MCE stays the host's.
 */
#define CR4_GUEST_OWNED                                                                    \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |    \
	 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | \
	 CR4_SMEP | CR4_SMAP)

/* One more word of bits beside the controls: MSR_VMX_EPT_VPID. */
#define WORD_EPT   VMX_CONTROL_COUNT
#define WORD_COUNT (VMX_CONTROL_COUNT + 1)

static const struct {
	uint32_t msr;
	uint64_t needed;
	uint64_t wished;
	const char *lacks;
} words[WORD_COUNT] = {
	[VMX_PIN] = { MSR_VMX_TRUE_PINBASED,
	              PIN_INTERRUPT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMI,
	              PIN_PREEMPTION_TIMER, "VT-x lacks virtual NMIs" },
	[VMX_CPU] = { MSR_VMX_TRUE_PROCBASED,
	              CPU_TSC_OFFSET | CPU_HLT_EXITING | CPU_MWAIT_EXITING | CPU_RDPMC_EXITING |
	                      CPU_TPR_SHADOW | CPU_IO_EXITING | CPU_MSR_BITMAPS |
	                      CPU_MONITOR_EXITING | CPU_CONTROLS2,
	              0, "VT-x lacks secondary controls, MSR bitmaps or the TPR shadow" },
	[VMX_CPU2] = { MSR_VMX_PROCBASED2, CPU2_EPT | CPU2_VPID | CPU2_UNRESTRICTED,
	               CPU2_RDTSCP | CPU2_WBINVD_EXITING | CPU2_PAUSE_LOOP | CPU2_INVPCID |
	                       CPU2_XSAVES,
	               "VT-x lacks EPT, VPID or unrestricted guest mode" },
	[VMX_EXIT] = { MSR_VMX_TRUE_EXIT,
	               EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
	                       EXIT_SAVE_EFER | EXIT_LOAD_EFER,
	               EXIT_SAVE_TIMER | EXIT_ACKNOWLEDGE, "VT-x cannot switch EFER or PAT" },
	[VMX_ENTRY] = { MSR_VMX_TRUE_ENTRY, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0,
	                "VT-x cannot switch EFER or PAT" },
	[WORD_EPT] = { MSR_VMX_EPT_VPID,
	               EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK | EPT_CAP_2M | EPT_CAP_INVEPT_SINGLE |
	                       EPT_CAP_INVVPID_ALL,
	               EPT_CAP_1G | EPT_CAP_AD,
	               "EPT lacks 4 levels, write-back tables, 2 MiB pages or invalidation" },
};

const uint16_t vmx_control_fields[VMX_CONTROL_COUNT] = {
	VMCS_PIN_CONTROLS,  VMCS_CPU_CONTROLS,   VMCS_CPU_CONTROLS2,
	VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS,
};

/* Of what is only wished: into the feature table, where `mask=` may have taken it away already. */
static const struct {
	enum feature feature;
	uint32_t word;
	uint64_t bit;
} features[] = {
	{ FEATURE_VMX_PREEMPTION_TIMER, VMX_PIN, PIN_PREEMPTION_TIMER },
	{ FEATURE_VMX_RDTSCP, VMX_CPU2, CPU2_RDTSCP },
	{ FEATURE_VMX_PAUSE_LOOP, VMX_CPU2, CPU2_PAUSE_LOOP },
	{ FEATURE_VMX_APICV, VMX_CPU2, CPU2_APICV },
	{ FEATURE_VMX_POSTED, VMX_PIN, PIN_POSTED },
	{ FEATURE_VMX_INVPCID, VMX_CPU2, CPU2_INVPCID },
	{ FEATURE_VMX_XSAVES, VMX_CPU2, CPU2_XSAVES },
	{ FEATURE_VMX_EPT_1G, WORD_EPT, EPT_CAP_1G },
	{ FEATURE_VMX_EPT_AD, WORD_EPT, EPT_CAP_AD },
};

/* Of a control MSR the upper half may be 1 and the lower half must be. One that is not there allows nothing. */
static uint64_t allowed_find(uint32_t word, uint32_t *must)
{
	uint64_t allowed = 0;

	if (msr_read_safe(words[word].msr, &allowed) != BH_OK) {
		allowed = 0;
	}
	*must = word == WORD_EPT ? 0 : (uint32_t)allowed;
	allowed = word == WORD_EPT ? allowed : allowed >> 32;
	for (uint32_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (features[i].word == word && (~allowed & features[i].bit) == 0) {
			feature_found(features[i].feature);
			allowed &= feature_has(features[i].feature) ? ~0ull : ~features[i].bit;
		}
	}
	return allowed;
}

const char *vmx_probe(void)
{
	uint64_t control, allowed = 0;

	if (msr_read_safe(MSR_FEATURE_CONTROL, &control) == BH_OK &&
	    (control & (FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX)) ==
	            FEATURE_CONTROL_LOCK) {
		return "firmware has turned VT-x off (IA32_FEATURE_CONTROL)";
	}
	for (uint32_t word = 0; word < WORD_COUNT; word++) {
		uint32_t must;

		allowed = allowed_find(word, &must);
		if ((words[word].needed & ~allowed) != 0) {
			return words[word].lacks;
		}
		if (word != WORD_EPT) {
			allowed &= words[word].needed | words[word].wished;
			vmx_caps.controls[word] = (uint32_t)allowed | must;
		}
	}
	vmx_caps.ept_bits = EPT_WRITE_BACK | EPT_WALK_4 |
	                    ((allowed & EPT_CAP_AD) != 0 ? EPT_ACCESSED_DIRTY : 0);
	/* No CPU counts its preemption timer at the TSC's own rate; Bochs does. */
	vmx_caps.needs_net = (vmx_caps.controls[VMX_PIN] & PIN_PREEMPTION_TIMER) != 0 &&
	                     (msr_read(MSR_VMX_MISC) & VMX_MISC_TIMER_RATE) == 0;
	if (!vmx_caps.needs_net) {
		vmx_caps.controls[VMX_PIN] &= ~PIN_PREEMPTION_TIMER;
		vmx_caps.controls[VMX_EXIT] &= ~EXIT_SAVE_TIMER;
	}
	vmx_caps.revision = (uint32_t)msr_read(MSR_VMX_BASIC) & VMX_BASIC_REVISION;
	vmx_caps.cr4_fixed1 = msr_read(MSR_VMX_CR4_FIXED1);
	vmx_caps.cr4_owned = (CR4_GUEST_OWNED | (feature_has(FEATURE_PKU) ? CR4_PKE : 0)) &
	                     vmx_caps.cr4_fixed1;
	return NULL;
}
