// SPDX-License-Identifier: Apache-2.0
/*
 * Which CPUID bits a guest may see. Data only; each bit is named by what it stands for.
 *
 * Must never: allow a feature whose state or registers the kernel does not keep apart for each
 * guest (virtualization, performance counters, power control, tracing, monitoring, SGX, keys,
 * shadow stacks).
 */
#include "vmm/cpuid.h"

#define BIT(n) (1u << (n))
#define ALL    0xffffffffu

/* Leaf 1 (SDM 2A table 3-10 and 3-11). */
#define F1_ECX                                                                                   \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(12) /* FMA */ |   \
	 BIT(13) /* CMPXCHG16B */ | BIT(17) /* PCID */ | BIT(19) /* SSE4.1 */ |                  \
	 BIT(20) /* SSE4.2 */ | BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ | BIT(25) /* AES */ | \
	 BIT(26) /* XSAVE */ | BIT(28) /* AVX */ | BIT(29) /* F16C */ | BIT(30) /* RDRAND */)
#define F1_ECX_SET (BIT(21) /* x2APIC */ | BIT(24) /* TSC deadline */ | BIT(31) /* hypervisor */)
#define F1_EDX                                                                                \
	(BIT(0) /* FPU */ | BIT(1) /* VME */ | BIT(2) /* DE */ | BIT(3) /* PSE */ |           \
	 BIT(4) /* TSC */ | BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(7) /* MCE */ |          \
	 BIT(8) /* CX8 */ | BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ |      \
	 BIT(14) /* MCA */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ | BIT(17) /* PSE-36 */ |  \
	 BIT(19) /* CLFLUSH */ | BIT(23) /* MMX */ | BIT(24) /* FXSR */ | BIT(25) /* SSE */ | \
	 BIT(26) /* SSE2 */ | BIT(27) /* self-snoop */)
#define F1_EDX_SET BIT(9) /* APIC */

/* Leaf 7, subleaf 0. */
#define F7_EBX                                                                         \
	(BIT(0) /* FSGSBASE */ | BIT(3) /* BMI1 */ | BIT(5) /* AVX2 */ |               \
	 BIT(6) /* FDP only on exceptions */ | BIT(7) /* SMEP */ | BIT(8) /* BMI2 */ | \
	 BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ | BIT(13) /* no FCS, FDS */ |       \
	 BIT(16) /* AVX512F */ | BIT(17) /* AVX512DQ */ | BIT(18) /* RDSEED */ |       \
	 BIT(19) /* ADX */ | BIT(20) /* SMAP */ | BIT(21) /* AVX512IFMA */ |           \
	 BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */ | BIT(28) /* AVX512CD */ |      \
	 BIT(29) /* SHA */ | BIT(30) /* AVX512BW */ | BIT(31) /* AVX512VL */)
#define F7_EBX_SET BIT(1) /* TSC_ADJUST, which the kernel keeps for each vCPU */
#define F7_ECX                                                                              \
	(BIT(1) /* AVX512VBMI */ | BIT(2) /* UMIP */ | BIT(3) /* PKU */ |                   \
	 BIT(6) /* AVX512VBMI2 */ | BIT(8) /* GFNI */ | BIT(9) /* VAES */ |                 \
	 BIT(10) /* VPCLMULQDQ */ | BIT(11) /* AVX512VNNI */ | BIT(12) /* AVX512BITALG */ | \
	 BIT(14) /* AVX512VPOPCNTDQ */ | BIT(22) /* RDPID */ | BIT(27) /* MOVDIRI */)
#define F7_EDX                                                                         \
	(BIT(2) /* AVX512 4VNNIW */ | BIT(3) /* AVX512 4FMAPS */ | BIT(4) /* FSRM */ | \
	 BIT(10) /* MD_CLEAR */ | BIT(14) /* SERIALIZE */)
#define F7_1_EAX                                                                               \
	(BIT(4) /* AVX-VNNI */ | BIT(5) /* AVX512BF16 */ | BIT(10) /* fast zero REP MOVSB */ | \
	 BIT(11) /* fast short REP STOSB */ | BIT(12) /* fast short REP CMPSB */)

/* Leaf 0x80000001 (APM 3 E.4.2). */
#define FX_ECX                                                                   \
	(BIT(0) /* LAHF in 64-bit mode */ | BIT(4) /* CR8 by LOCK MOV CR0 */ |   \
	 BIT(5) /* LZCNT */ | BIT(6) /* SSE4A */ | BIT(7) /* misaligned SSE */ | \
	 BIT(8) /* PREFETCH */ | BIT(11) /* XOP */ | BIT(16) /* FMA4 */ | BIT(21) /* TBM */)
#define FX_EDX                                                                             \
	(0x0183f1ffu /* as in leaf 1 */ | BIT(11) /* SYSCALL */ | BIT(20) /* NX */ |       \
	 BIT(22) /* MMX extensions */ | BIT(26) /* 1 GiB pages */ | BIT(27) /* RDTSCP */ | \
	 BIT(29) /* long mode */ | BIT(30) /* 3DNow extensions */ | BIT(31) /* 3DNow */)

/*
 * Sorted by leaf. Leaves that are not here are all zero to the guest, but for those that cpuid.c
 * makes up.
 */
const struct cpuid_policy cpuid_policies[] = {
	{ 0x1, 0, { ALL, 0x0000ff00, F1_ECX, F1_EDX }, { 0, 0, F1_ECX_SET, F1_EDX_SET } },
	{ 0x2, 0, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x6, 0, { 0 }, { BIT(2) /* the APIC timer never stops */, 0, 0, 0 } },
	{ 0x7, 0, { ALL, F7_EBX, F7_ECX, F7_EDX }, { 0, F7_EBX_SET, 0, 0 } },
	{ 0x7, 1, { F7_1_EAX, 0, 0, 0 }, { 0 } },
	{ 0x80000001, 0, { ALL, 0xf0000000, FX_ECX, FX_EDX }, { 0 } },
	{ 0x80000002, 0, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000003, 0, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000004, 0, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000005, 0, { ALL, ALL, ALL, ALL }, { 0 } },
	{ 0x80000006, 0, { ALL, ALL, ALL, ALL }, { 0 } },
	/*
	 * Invariant TSC: the kernel tells time by the TSC itself, so a machine where it is not
	 * stable runs no guests well anyway.
	 */
	{ 0x80000007, 0, { 0 }, { 0, 0, 0, BIT(8) } },
};
const uint32_t cpuid_policies_count = sizeof(cpuid_policies) / sizeof(cpuid_policies[0]);
