/* SPDX-License-Identifier: Apache-2.0 */
/* Control registers, EFER and RFLAGS (SDM 3A 2.3, 2.5; APM 2 3.1), page-table entry bits (SDM 3A 4.5), #PF error code. Usable from assembly. */
#pragma once

#ifdef __ASSEMBLER__
#define REG_BIT(n) (1 << (n))
#else
#define REG_BIT(n) (1ull << (n))
#endif

#define CR0_PE         REG_BIT(0)
#define CR0_MP         REG_BIT(1)
#define CR0_EM         REG_BIT(2)
#define CR0_TS         REG_BIT(3)
#define CR0_ET         REG_BIT(4)
#define CR0_NE         REG_BIT(5)
#define CR0_WP         REG_BIT(16)
#define CR0_AM         REG_BIT(18)
#define CR0_NW         REG_BIT(29)
#define CR0_CD         REG_BIT(30)
#define CR0_PG         REG_BIT(31)

#define CR4_VME        REG_BIT(0)
#define CR4_PVI        REG_BIT(1)
#define CR4_TSD        REG_BIT(2)
#define CR4_DE         REG_BIT(3)
#define CR4_PSE        REG_BIT(4)
#define CR4_PAE        REG_BIT(5)
#define CR4_MCE        REG_BIT(6)
#define CR4_PGE        REG_BIT(7)
#define CR4_PCE        REG_BIT(8)
#define CR4_OSFXSR     REG_BIT(9)
#define CR4_OSXMMEXCPT REG_BIT(10)
#define CR4_UMIP       REG_BIT(11)
#define CR4_VMXE       REG_BIT(13)
#define CR4_FSGSBASE   REG_BIT(16)
#define CR4_PCIDE      REG_BIT(17)
#define CR4_OSXSAVE    REG_BIT(18)
#define CR4_SMEP       REG_BIT(20)
#define CR4_SMAP       REG_BIT(21)
#define CR4_PKE        REG_BIT(22)

#define EFER_SCE       REG_BIT(0)
#define EFER_LME       REG_BIT(8)
#define EFER_LMA       REG_BIT(10)
#define EFER_NXE       REG_BIT(11)
#define EFER_SVME      REG_BIT(12)

#define RFLAGS_FIXED   REG_BIT(1)
#define RFLAGS_TF      REG_BIT(8)
#define RFLAGS_IF      REG_BIT(9)
#define RFLAGS_DF      REG_BIT(10)
#define RFLAGS_IOPL    (REG_BIT(12) | REG_BIT(13))
#define RFLAGS_NT      REG_BIT(14)
#define RFLAGS_RF      REG_BIT(16)
#define RFLAGS_AC      REG_BIT(18)

#define PTE_PRESENT    REG_BIT(0)
#define PTE_WRITE      REG_BIT(1)
#define PTE_USER       REG_BIT(2)
#define PTE_PWT        REG_BIT(3)
#define PTE_PCD        REG_BIT(4)
#define PTE_ACCESSED   REG_BIT(5)
#define PTE_DIRTY      REG_BIT(6)
#define PTE_LARGE      REG_BIT(7)
#define PTE_GLOBAL     REG_BIT(8)
#define PTE_NX         (1ull << 63)
#define PTE_ADDRESS    0x000ffffffffff000ull
