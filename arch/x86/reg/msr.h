/* SPDX-License-Identifier: Apache-2.0 */
/* Model-specific registers that the kernel itself uses (SDM 4 2.1, APM 2 A). Those of VMX and SVM stand in their own files. Usable from assembly. */
#pragma once

#define MSR_TSC                   0x10
#define MSR_APIC_BASE             0x1b
#define APIC_BASE_BSP             0x100
#define APIC_BASE_X2APIC          0x400
#define APIC_BASE_ENABLE          0x800
#define APIC_BASE_ADDRESS         0x000ffffffffff000
#define MSR_FEATURE_CONTROL       0x3a
#define MSR_TSC_ADJUST            0x3bu
#define MSR_SYSENTER_CS           0x174
#define MSR_SYSENTER_ESP          0x175
#define MSR_SYSENTER_EIP          0x176
#define MSR_MCG_CAP               0x179
#define MCG_CAP_COUNT             0xff
#define MCG_CAP_CTL_PRESENT       0x100
#define MSR_MCG_STATUS            0x17a
#define MCG_STATUS_RIPV           0x1
#define MSR_MCG_CTL               0x17b
#define MSR_PAT                   0x277
#define MSR_MC0_CTL               0x400 /* + 4 * bank, as the next two */
#define MSR_MC0_STATUS            0x401
#define MC_STATUS_CONTEXT_CORRUPT BIT(57)
#define MC_STATUS_ADDRESS_VALID   BIT(58)
#define MC_STATUS_UNCORRECTED     BIT(61)
#define MC_STATUS_VALID           BIT(63)
#define MSR_MC0_ADDRESS           0x402
#define MSR_TSC_DEADLINE          0x6e0
#define MSR_X2APIC                0x800 /* + register offset / 16 */
#define MSR_X2APIC_LAST           0x83f
#define MSR_EFER                  0xc0000080
#define MSR_STAR                  0xc0000081
#define MSR_LSTAR                 0xc0000082
#define MSR_CSTAR                 0xc0000083
#define MSR_SFMASK                0xc0000084
#define MSR_FS_BASE               0xc0000100
#define MSR_GS_BASE               0xc0000101
#define MSR_KERNEL_GS_BASE        0xc0000102
#define MSR_TSC_AUX               0xc0000103
