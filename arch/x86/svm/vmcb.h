/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMCB and the registers of SVM (APM 2 appendix B and C, 15.30): layout, bit names, exit codes. No code.
 * A VMCB belongs to its vCPU and is touched on the vCPU's pCPU only.
 */
#pragma once

#include "kernel/types.h"

/* ---- MSRs (APM 2 15.30) ---- */
#define MSR_VM_CR       0xc0010114
#define VM_CR_SVMDIS    BIT(4)
#define MSR_VM_HSAVE_PA 0xc0010117

/* ---- CPUID 8000_000A (APM 3 E.4.9) ---- */
#define CPUID_SVM 0x8000000au

/* ---- intercepts ---- */
#define SVM_INTERCEPT_CR8_WRITE    BIT(24)
#define SVM_INTERCEPT1_INTR        BIT(0)
#define SVM_INTERCEPT1_NMI         BIT(1)
#define SVM_INTERCEPT1_SMI         BIT(2)
#define SVM_INTERCEPT1_INIT        BIT(3)
#define SVM_INTERCEPT1_VINTR       BIT(4)
#define SVM_INTERCEPT1_RDPMC       BIT(15)
#define SVM_INTERCEPT1_CPUID       BIT(18)
#define SVM_INTERCEPT1_IRET        BIT(20)
#define SVM_INTERCEPT1_INVD        BIT(22)
#define SVM_INTERCEPT1_PAUSE       BIT(23)
#define SVM_INTERCEPT1_HLT         BIT(24)
#define SVM_INTERCEPT1_INVLPGA     BIT(26)
#define SVM_INTERCEPT1_IOIO        BIT(27)
#define SVM_INTERCEPT1_MSR         BIT(28)
#define SVM_INTERCEPT1_SHUTDOWN    BIT(31)

#define SVM_INTERCEPT2_VMRUN       BIT(0)
#define SVM_INTERCEPT2_VMMCALL     BIT(1)
#define SVM_INTERCEPT2_VMLOAD      BIT(2)
#define SVM_INTERCEPT2_VMSAVE      BIT(3)
#define SVM_INTERCEPT2_STGI        BIT(4)
#define SVM_INTERCEPT2_CLGI        BIT(5)
#define SVM_INTERCEPT2_SKINIT      BIT(6)
#define SVM_INTERCEPT2_WBINVD      BIT(9)
#define SVM_INTERCEPT2_MONITOR     BIT(10)
#define SVM_INTERCEPT2_MWAIT       BIT(11)
#define SVM_INTERCEPT2_MWAIT_ARMED BIT(12)
#define SVM_INTERCEPT2_XSETBV      BIT(13)
#define SVM_INTERCEPT2_RDPRU       BIT(14)

/* ---- other control fields ---- */
#define SVM_TLB_NOTHING      0u
#define SVM_TLB_FLUSH_ALL    1u
#define SVM_TLB_FLUSH_ASID   3u

#define SVM_VINTR_TPR        GENMASK(3, 0)
#define SVM_VINTR_IRQ        BIT(8)
#define SVM_VINTR_PRIORITY   GENMASK(19, 16)
#define SVM_VINTR_IGNORE_TPR BIT(20)
#define SVM_VINTR_MASKING    BIT(24)
#define SVM_VINTR_VECTOR     GENMASK(39, 32)

#define SVM_SHADOW           BIT(0)

#define SVM_CLEAN_INTERCEPTS BIT(0) /* intercepts, TSC offset, pause filter */
#define SVM_CLEAN_ASID       BIT(2)
#define SVM_CLEAN_TPR        BIT(3) /* V_TPR, V_IRQ and the like */
#define SVM_CLEAN_NP         BIT(4) /* with PAT */
#define SVM_CLEAN_CR         BIT(5)
#define SVM_CLEAN_DR         BIT(6)
#define SVM_CLEAN_CR2        BIT(9)
#define SVM_CLEAN_ALL        0x3ffu

/* EXITINFO1 of IOIO (APM 2 15.10.2) */
#define SVM_IO_IN     BIT(0)
#define SVM_IO_STRING BIT(2)
#define SVM_IO_REP    BIT(3)
#define SVM_IO_SIZE   GENMASK(6, 4) /* one bit each for 1, 2, 4 bytes */
#define SVM_IO_PORT   GENMASK(31, 16)

enum svm_exit_code {
	SVM_EXIT_CR8_WRITE = 0x18,
	SVM_EXIT_EXCEPTION = 0x40, /* + vector */
	SVM_EXIT_INTR = 0x60,
	SVM_EXIT_NMI = 0x61,
	SVM_EXIT_SMI = 0x62,
	SVM_EXIT_INIT = 0x63,
	SVM_EXIT_VINTR = 0x64,
	SVM_EXIT_RDPMC = 0x6f,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_IRET = 0x74,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_PAUSE = 0x77,
	SVM_EXIT_HLT = 0x78,
	SVM_EXIT_IOIO = 0x7b,
	SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_XSETBV = 0x8d,
	SVM_EXIT_NPF = 0x400,
	SVM_EXIT_DONE =
		0x4248, /* ours: finished on the fast path, but the work or request word is set */
	SVM_EXIT_INVALID = 0xffffffff, /* low half of -1 */
};

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes; /* descriptor bits 55:52 and 47:40, packed to 12 bits */
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* control area */
	uint32_t intercept_cr;
	uint32_t intercept_dr;
	uint32_t intercept_exceptions;
	uint32_t intercept1;
	uint32_t intercept2;
	uint32_t intercept3;
	uint8_t reserved_018[0x3c - 0x18];
	uint16_t pause_threshold;
	uint16_t pause_count;
	uint64_t iopm_base;
	uint64_t msrpm_base;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved_05d[3];
	uint64_t vintr;
	uint64_t interrupt_shadow;
	uint64_t exit_code;
	uint64_t exit_info1;
	uint64_t exit_info2;
	uint64_t exit_int_info;
	uint64_t np_enable;
	uint8_t reserved_098[0xa8 - 0x98];
	uint64_t event_inject;
	uint64_t ncr3;
	uint64_t lbr_enable;
	uint32_t clean;
	uint32_t reserved_0c4;
	uint64_t next_rip;
	uint8_t fetched_bytes;
	uint8_t instruction[15];
	uint8_t reserved_0e0[0x400 - 0xe0];
	/* state save area */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved_4cc;
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint64_t s_cet, ssp, isst_addr;
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp,
		sysenter_eip, cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t g_pat, debugctl, br_from, br_to, last_exception_from, last_exception_to;
	uint8_t reserved_698[0x1000 - 0x698];
};
_Static_assert(offsetof(struct vmcb, asid) == 0x058, "APM 2 B");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x070, "APM 2 B");
_Static_assert(offsetof(struct vmcb, event_inject) == 0x0a8, "APM 2 B");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "APM 2 B");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM 2 B");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM 2 B");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "APM 2 B");
_Static_assert(sizeof(struct vmcb) == 4096, "APM 2 B");
