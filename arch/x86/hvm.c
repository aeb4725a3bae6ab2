/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the two vendors this machine has. Nothing else. */
#include "arch/x86/hvm.h"

#include "arch/x86/feature.h"

const struct hvm_ops *hvm;
const char *hvm_reason = "the CPU has neither AMD-V nor Intel VT-x";
uint32_t hvm_features;

void hvm_probe(void)
{
	const struct hvm_ops *candidate = NULL;

	if (feature_has(FEATURE_SVM)) {
		candidate = &svm_ops;
	} else if (feature_has(FEATURE_VMX)) {
		candidate = &vmx_ops;
	}
	if (candidate != NULL && candidate->probe(&hvm_reason)) {
		hvm = candidate;
		hvm_reason = NULL;
	}
}
