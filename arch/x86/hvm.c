/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the two vendors this machine has, and what both do alike. */
#include "arch/x86/hvm.h"

#include "arch/x86/hvm_fast.h"
#include "arch/x86/reg/cr.h"
#include "kernel/object.h"
#include "kernel/string.h"
#include "kernel/trace.h"
#include "kernel/vcpu_exit.h"

const struct hvm_ops *hvm;
uint64_t (*hvm_exit_fast)(struct vcpu *vcpu);
const char *hvm_reason = "the CPU has neither AMD-V nor Intel VT-x";

static uint64_t (*untraced_fast)(struct vcpu *vcpu);

/* What has been finished shows in the counters. */
static uint64_t traced_fast(struct vcpu *vcpu)
{
	uint64_t before[BH_REASON_COUNT], tsc = arch_tsc_read();

	memcpy(before, vcpu->stats->exits, sizeof(before));
	uint64_t result = untraced_fast(vcpu);

	for (uint32_t i = 0; i < BH_REASON_COUNT; i++) {
		if (before[i] != vcpu->stats->exits[i]) {
			trace_write(tsc, BH_TRACE_EXIT, TRACE_VCPU(vcpu), i);
			vcpu->time_slot = 2 * i;
		}
	}
	if (result != 0) {
		trace(BH_TRACE_ENTER, TRACE_VCPU(vcpu), vcpu->time_slot);
	}
	return result;
}

void hvm_trace(bool is_on)
{
	hvm_exit_fast = is_on ? traced_fast : untraced_fast;
}

void hvm_probe(void)
{
	const struct hvm_ops *candidate = feature_has(FEATURE_SVM)   ? &svm_ops
	                                  : feature_has(FEATURE_VMX) ? &vmx_ops
	                                                             : NULL;

	if (candidate != NULL) {
		hvm_reason = candidate->probe();
		hvm = hvm_reason == NULL ? candidate : NULL;
		untraced_fast = hvm_exit_fast;
	}
}

bool hvm_tag_assign(struct vcpu *vcpu, uint32_t last)
{
	struct cpu *cpu = vcpu->cpu;
	bool is_over = cpu->hvm_asid_next - 1 >= last; /* also the first time: 0 */

	if (is_over) {
		cpu->hvm_asid_generation++;
		cpu->hvm_asid_next = 1;
	}
	vcpu->asid = cpu->hvm_asid_next++;
	vcpu->asid_generation = cpu->hvm_asid_generation;
	return is_over;
}

void hvm_event_again(struct vcpu *vcpu, uint32_t event, uint32_t error_code)
{
	uint32_t vector = event & HVM_EVENT_VECTOR;
	uint32_t type = event & HVM_EVENT_TYPE;

	if (type > BH_INJECT_TYPE_EXCEPTION ||
	    (type == BH_INJECT_TYPE_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF))) {
		return; /* INT n, INT1, INT3, INTO */
	}
	if (type == BH_INJECT_TYPE_NMI) {
		hvm_set(vcpu, HVM_SHADOW, hvm_get(vcpu, HVM_SHADOW) & ~(uint64_t)HVM_SHADOW_NMI);
	}
	vcpu->inject = event &
	               (BH_INJECT_VALID | BH_INJECT_ERROR_CODE | HVM_EVENT_TYPE | HVM_EVENT_VECTOR);
	vcpu->inject_error_code = error_code;
	vcpu_request_self(vcpu, VCPU_REQUEST_INJECT);
}

/* ---- fast exits that take a little longer (hvm_fast.h) ---- */

bool hvm_fast_ring(struct vcpu *vcpu, struct event *event)
{
	cpu_self()->is_kicking = true;
	event_signal(event);
	cpu_self()->is_kicking = false;
	return hvm_fast_go_on(vcpu);
}

bool hvm_fast_cpuid_features(struct vcpu *vcpu, const struct bh_cpuid_entry *slot, uint64_t *rax)
{
	if ((uint32_t)*rax != CPUID_LEAF_FEATURES || slot->leaf != CPUID_SLOT_FEATURES) {
		return false;
	}
	hvm_fast_cpuid_answer(vcpu, slot, rax);
	vcpu->gpr[BH_GPR_RBX] |= vcpu->idx << CPUID_1_EBX_APIC_ID_SHIFT;
	vcpu->gpr[BH_GPR_RCX] |= (hvm_get(vcpu, HVM_CR4) & CR4_OSXSAVE) != 0 ? CPUID_1_ECX_OSXSAVE
	                                                                     : 0;
	return true;
}
