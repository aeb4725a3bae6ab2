/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of CPU features: each is found once at start, has a name for the operator (`mask=`, `info`), and is asked for by
 * feature_has() ever after. A masked feature is as if the CPU did not have it. What only an MSR tells (VMX capabilities) is added
 * by the vendor's probe with feature_found().
 */
#pragma once

#include "kernel/types.h"

/* X(enumerator, name, CPUID leaf, subleaf, register, bit); leaf 0: not in CPUID. SDM 2A CPUID, APM 3 E.3-E.4. */
#define FEATURE_LIST(X)                                                  \
	X(X2APIC, "x2apic", 0x1, 0, ECX, 21)                             \
	X(TSC_DEADLINE, "tscdeadline", 0x1, 0, ECX, 24)                  \
	X(XSAVE, "xsave", 0x1, 0, ECX, 26)                               \
	X(AVX, "avx", 0x1, 0, ECX, 28)                                   \
	X(MCE, "mce", 0x1, 0, EDX, 7)                                    \
	X(MCA, "mca", 0x1, 0, EDX, 14)                                   \
	X(SMEP, "smep", 0x7, 0, EBX, 7)                                  \
	X(AVX512F, "avx512f", 0x7, 0, EBX, 16)                           \
	X(SMAP, "smap", 0x7, 0, EBX, 20)                                 \
	X(UMIP, "umip", 0x7, 0, ECX, 2)                                  \
	X(PKU, "pku", 0x7, 0, ECX, 3)                                    \
	X(PAGE_1G, "page1g", 0x80000001, 0, EDX, 26)                     \
	X(RDTSCP, "rdtscp", 0x80000001, 0, EDX, 27)                      \
	X(SVM, "svm", 0x80000001, 0, ECX, 2)                             \
	X(SVM_NPT, "npt", 0x8000000a, 0, EDX, 0)                         \
	X(SVM_NRIPS, "nrips", 0x8000000a, 0, EDX, 3)                     \
	X(SVM_FLUSH_BY_ASID, "flushbyasid", 0x8000000a, 0, EDX, 6)       \
	X(SVM_DECODE_ASSIST, "decodeassist", 0x8000000a, 0, EDX, 7)      \
	X(SVM_PAUSE_FILTER, "pausefilter", 0x8000000a, 0, EDX, 10)       \
	X(SVM_PAUSE_THRESHOLD, "pausethreshold", 0x8000000a, 0, EDX, 12) \
	X(NPT_1G, "npt1g", 0, 0, EAX, 0)                                 \
	X(VMX, "vmx", 0x1, 0, ECX, 5)                                    \
	X(VMX_EPT_1G, "ept1g", 0, 0, EAX, 0)                             \
	X(VMX_EPT_AD, "eptad", 0, 0, EAX, 0)                             \
	X(VMX_PREEMPTION_TIMER, "preempt", 0, 0, EAX, 0)                 \
	X(VMX_XSAVES, "vxsaves", 0, 0, EAX, 0)                           \
	X(VMX_INVPCID, "vinvpcid", 0, 0, EAX, 0)                         \
	X(VMX_RDTSCP, "vrdtscp", 0, 0, EAX, 0)                           \
	X(VMX_PAUSE_LOOP, "ple", 0, 0, EAX, 0)                           \
	X(VMX_APICV, "apicv", 0, 0, EAX, 0)                              \
	X(VMX_POSTED, "posted", 0, 0, EAX, 0)

#define FEATURE_ENUMERATOR(symbol, name, leaf, subleaf, reg, bit) FEATURE_##symbol,
enum feature {
	FEATURE_LIST(FEATURE_ENUMERATOR) FEATURE_COUNT
};
#undef FEATURE_ENUMERATOR

extern uint64_t feature_bits;
_Static_assert(FEATURE_COUNT <= 64, "one word");

static inline bool feature_has(enum feature feature)
{
	return (feature_bits >> feature) & 1;
}

/* Fill the table from CPUID, less what `mask` names (comma-separated, up to a blank or NUL; NULL: nothing). Boot pCPU, once. */
void feature_detect(const char *mask);
/* A feature that CPUID does not tell: set it, unless it is masked. */
void feature_found(enum feature feature);
/* Names of all features found, blank-separated, for bh_info.features. */
void feature_names(char *text, size_t size);
/* Physical address width, in bits (CPUID 80000008h). */
uint32_t feature_physical_bits(void);
/* QEMU without acceleration: its lost-interrupt workaround is wanted (arch/x86/apic.c). */
bool feature_is_tcg(void);
