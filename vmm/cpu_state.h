// SPDX-License-Identifier: Apache-2.0
/*
 * The bits of CPU registers that the loaders and the emulator need. The registers themselves are
 * those of struct bh_cpu_state.
 *
 * Must never: hold state. Manual: SDM 1 3.4, SDM 3A 2.5, SDM 3C 25.4.1 (segment access rights).
 */
#pragma once

#include "bulkhead/abi.h"

/* Bits of struct bh_segment_state.attributes. */
#define CPU_SEGMENT_TYPE_CODE     0x0008u
#define CPU_SEGMENT_TYPE_DOWN     0x0004u /* of a data segment: expands down */
#define CPU_SEGMENT_TYPE_WRITABLE 0x0002u /* of a data segment; of a code segment: readable */
#define CPU_SEGMENT_DPL_SHIFT     5
#define CPU_SEGMENT_PRESENT       0x0080u
#define CPU_SEGMENT_LONG          0x0200u
#define CPU_SEGMENT_BIG           0x0400u

#define CPU_CR0_PE                (1ull << 0)
#define CPU_CR0_ET                (1ull << 4)
#define CPU_CR0_WP                (1ull << 16)
#define CPU_CR0_NW                (1ull << 29)
#define CPU_CR0_CD                (1ull << 30)
#define CPU_CR0_PG                (1ull << 31)

#define CPU_CR4_PSE               (1ull << 4)
#define CPU_CR4_PAE               (1ull << 5)
#define CPU_CR4_LA57              (1ull << 12)
#define CPU_CR4_SMEP              (1ull << 20)
#define CPU_CR4_SMAP              (1ull << 21)

#define CPU_EFER_LME              (1ull << 8)
#define CPU_EFER_LMA              (1ull << 10)
#define CPU_EFER_NXE              (1ull << 11)

#define CPU_RFLAGS_CF             (1ull << 0)
#define CPU_RFLAGS_FIXED          (1ull << 1)
#define CPU_RFLAGS_PF             (1ull << 2)
#define CPU_RFLAGS_AF             (1ull << 4)
#define CPU_RFLAGS_ZF             (1ull << 6)
#define CPU_RFLAGS_SF             (1ull << 7)
#define CPU_RFLAGS_DF             (1ull << 10)
#define CPU_RFLAGS_OF             (1ull << 11)
#define CPU_RFLAGS_RF             (1ull << 16)
#define CPU_RFLAGS_VM             (1ull << 17)
#define CPU_RFLAGS_AC             (1ull << 18)

/* Exception vectors that an emulated instruction can raise (SDM 3A 6.3.1). */
#define CPU_VECTOR_UD 6
#define CPU_VECTOR_SS 12
#define CPU_VECTOR_GP 13
#define CPU_VECTOR_PF 14
