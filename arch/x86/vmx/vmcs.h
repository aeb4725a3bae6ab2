/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMX registers only: capability MSRs (SDM 3D A), VMCS fields and their bits (SDM 3C 24, 3D B),
 * exit reasons (SDM 3D C), and one function for each VMX instruction. No policy and no state. Field
 * definitions are usable from assembly.
 */
#pragma once

/* ---- capability MSRs (SDM 3D A) ---- */
#define MSR_VMX_BASIC                   0x480
#define VMX_BASIC_REVISION              0x7fffffff
#define MSR_VMX_MISC                    0x485
#define VMX_MISC_TIMER_RATE             0x1f
#define MSR_VMX_CR4_FIXED1              0x489
#define MSR_VMX_PROCBASED2              0x48b
#define MSR_VMX_EPT_VPID                0x48c
#define MSR_VMX_TRUE_PINBASED           0x48d
#define MSR_VMX_TRUE_PROCBASED          0x48e
#define MSR_VMX_TRUE_EXIT               0x48f
#define MSR_VMX_TRUE_ENTRY              0x490

#define FEATURE_CONTROL_LOCK            0x1
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX 0x4

/* ---- 16-bit fields ---- */
#define VMCS_VPID              0x0000
#define VMCS_POSTED_VECTOR     0x0002
#define VMCS_GUEST_ES_SELECTOR 0x0800 /* ES CS SS DS FS GS LDTR TR: step 2 */
#define VMCS_GUEST_INTERRUPT   0x0810 /* highest in IRR; << 8: in ISR */
#define VMCS_HOST_ES_SELECTOR  0x0c00
#define VMCS_HOST_CS_SELECTOR  0x0c02
#define VMCS_HOST_TR_SELECTOR  0x0c0c

/* ---- 64-bit fields ---- */
#define VMCS_MSR_BITMAP             0x2004
#define VMCS_TSC_OFFSET             0x2010
#define VMCS_VIRTUAL_APIC_PAGE      0x2012
#define VMCS_POSTED_DESCRIPTOR      0x2016
#define VMCS_EPT_POINTER            0x201a
#define VMCS_EOI_EXIT0              0x201c /* four, step 2 */
#define VMCS_XSS_EXITING_BITMAP     0x202c
#define VMCS_GUEST_PHYSICAL_ADDRESS 0x2400
#define VMCS_LINK_POINTER           0x2800
#define VMCS_GUEST_DEBUGCTL         0x2802
#define VMCS_GUEST_PAT              0x2804
#define VMCS_GUEST_EFER             0x2806
#define VMCS_GUEST_PDPTE0           0x280a /* four, step 2 */
#define VMCS_HOST_PAT               0x2c00
#define VMCS_HOST_EFER              0x2c02

/* ---- 32-bit fields ---- */
#define VMCS_PIN_CONTROLS            0x4000
#define VMCS_CPU_CONTROLS            0x4002
#define VMCS_EXCEPTION_BITMAP        0x4004
#define VMCS_EXIT_CONTROLS           0x400c
#define VMCS_ENTRY_CONTROLS          0x4012
#define VMCS_ENTRY_EVENT             0x4016
#define VMCS_ENTRY_ERROR_CODE        0x4018
#define VMCS_TPR_THRESHOLD           0x401c
#define VMCS_CPU_CONTROLS2           0x401e
#define VMCS_PAUSE_LOOP_GAP          0x4020
#define VMCS_PAUSE_LOOP_WINDOW       0x4022
#define VMCS_INSTRUCTION_ERROR       0x4400
#define VMCS_EXIT_REASON             0x4402
#define VMCS_EXIT_EVENT              0x4404
#define VMCS_EXIT_EVENT_ERROR_CODE   0x4406
#define VMCS_VECTORING_EVENT         0x4408
#define VMCS_VECTORING_ERROR_CODE    0x440a
#define VMCS_EXIT_INSTRUCTION_LENGTH 0x440c
#define VMCS_GUEST_ES_LIMIT          0x4800 /* in the order of the selectors, then GDTR, IDTR: step 2 */
#define VMCS_GUEST_ES_ATTRIBUTES     0x4814 /* in the order of the selectors, step 2 */
#define VMCS_GUEST_CS_ATTRIBUTES     0x4816
#define VMCS_GUEST_SS_ATTRIBUTES     0x4818
#define VMCS_GUEST_INTERRUPTIBILITY  0x4824
#define VMCS_GUEST_SYSENTER_CS       0x482a
#define VMCS_PREEMPTION_TIMER        0x482e
#define VMCS_HOST_SYSENTER_CS        0x4c00

/* ---- natural-width fields ---- */
#define VMCS_CR0_MASK            0x6000
#define VMCS_CR4_MASK            0x6002
#define VMCS_CR0_SHADOW          0x6004
#define VMCS_CR4_SHADOW          0x6006
#define VMCS_EXIT_QUALIFICATION  0x6400
#define VMCS_GUEST_CR0           0x6800
#define VMCS_GUEST_CR3           0x6802
#define VMCS_GUEST_CR4           0x6804
#define VMCS_GUEST_ES_BASE       0x6806 /* in the order of the limits, step 2 */
#define VMCS_GUEST_DR7           0x681a
#define VMCS_GUEST_RSP           0x681c
#define VMCS_GUEST_RIP           0x681e
#define VMCS_GUEST_RFLAGS        0x6820
#define VMCS_GUEST_PENDING_DEBUG 0x6822
#define VMCS_GUEST_SYSENTER_ESP  0x6824
#define VMCS_GUEST_SYSENTER_EIP  0x6826
#define VMCS_HOST_CR0            0x6c00
#define VMCS_HOST_CR3            0x6c02
#define VMCS_HOST_CR4            0x6c04
#define VMCS_HOST_FS_BASE        0x6c06
#define VMCS_HOST_TR_BASE        0x6c0a
#define VMCS_HOST_GDTR_BASE      0x6c0c
#define VMCS_HOST_IDTR_BASE      0x6c0e
#define VMCS_HOST_RSP            0x6c14
#define VMCS_HOST_RIP            0x6c16

#ifndef __ASSEMBLER__

#include "kernel/types.h"

/* MSR_VMX_EPT_VPID. Of INVEPT the type for one EPTP, of INVVPID the one for all contexts. */
#define EPT_CAP_WALK_4        BIT(6)
#define EPT_CAP_WRITE_BACK    BIT(14)
#define EPT_CAP_2M            BIT(16)
#define EPT_CAP_1G            BIT(17)
#define EPT_CAP_INVEPT_SINGLE (BIT(20) | BIT(25))
#define EPT_CAP_AD            BIT(21)
#define EPT_CAP_INVVPID_ALL   (BIT(32) | BIT(42))

/* Pin-based controls (SDM 3C 24.6.1). */
#define PIN_INTERRUPT_EXITING 0x1u
#define PIN_NMI_EXITING       0x8u
#define PIN_VIRTUAL_NMI       0x20u
#define PIN_PREEMPTION_TIMER  0x40u
#define PIN_POSTED            0x80u

/* Processor-based controls (SDM 3C 24.6.2). */
#define CPU_INTERRUPT_WINDOW 0x4u
#define CPU_TSC_OFFSET       0x8u
#define CPU_HLT_EXITING      0x80u
#define CPU_MWAIT_EXITING    0x400u
#define CPU_RDPMC_EXITING    0x800u
#define CPU_TPR_SHADOW       0x200000u
#define CPU_NMI_WINDOW       0x400000u
#define CPU_IO_EXITING       0x1000000u
#define CPU_MSR_BITMAPS      0x10000000u
#define CPU_MONITOR_EXITING  0x20000000u
#define CPU_CONTROLS2        0x80000000u

/* Secondary processor-based controls (SDM 3C table 24-7). */
#define CPU2_EPT            0x2u
#define CPU2_RDTSCP         0x8u
#define CPU2_X2APIC         0x10u
#define CPU2_VPID           0x20u
#define CPU2_WBINVD_EXITING 0x40u
#define CPU2_UNRESTRICTED   0x80u
#define CPU2_APIC_REGISTERS 0x100u
#define CPU2_DELIVERY       0x200u
#define CPU2_APICV          (CPU2_X2APIC | CPU2_APIC_REGISTERS | CPU2_DELIVERY)
#define CPU2_PAUSE_LOOP     0x400u
#define CPU2_INVPCID        0x1000u
#define CPU2_XSAVES         0x100000u

/* Exit and entry controls (SDM 3C 24.7, 24.8). */
#define EXIT_SAVE_DEBUG   0x4u
#define EXIT_HOST_64      0x200u
#define EXIT_ACKNOWLEDGE  0x8000u
#define EXIT_SAVE_PAT     0x40000u
#define EXIT_LOAD_PAT     0x80000u
#define EXIT_SAVE_EFER    0x100000u
#define EXIT_LOAD_EFER    0x200000u
#define EXIT_SAVE_TIMER   0x400000u
#define ENTRY_LOAD_DEBUG  0x4u
#define ENTRY_IA32E_GUEST 0x200u
#define ENTRY_LOAD_PAT    0x4000u
#define ENTRY_LOAD_EFER   0x8000u

/* Event records (SDM 3C tables 24-15, 24-17, 24-18) have the layout of BH_INJECT_*, and beside that: */
#define EVENT_TYPE_INT1     0x500u
#define EVENT_NMI_UNBLOCKED 0x1000u /* exit only: an IRET had unblocked NMIs */

/* EPTP (SDM 3C table 24-9). */
#define EPT_WRITE_BACK     0x6u
#define EPT_WALK_4         0x18u
#define EPT_ACCESSED_DIRTY 0x40u

/* Guest interruptibility (SDM 3C table 24-3): the low bits are HVM_SHADOW_STI and _MOV_SS. */
#define INTERRUPTIBILITY_SHADOW   0x3u
#define INTERRUPTIBILITY_NMI      0x8u
#define PENDING_DEBUG_SINGLE_STEP BIT(14)

/* Segment attributes (SDM 3C table 24-2): those of struct bh_segment_state, with its upper part four bits higher. */
#define SEGMENT_LOW      0xffu
#define SEGMENT_HIGH     0xf00u
#define SEGMENT_DPL      0x60u
#define SEGMENT_PRESENT  0x80u
#define SEGMENT_L        0x2000u
#define SEGMENT_UNUSABLE 0x10000u

/* Bits of CR0 that the guest does not change itself. */
#define CR0_HOST_OWNED (CR0_NE | CR0_NW | CR0_CD)

/* Exit qualifications (SDM 3C 27.2.1). */
#define QUALIFICATION_IO_SIZE   GENMASK(2, 0) /* bytes - 1 */
#define QUALIFICATION_IO_IN     BIT(3)
#define QUALIFICATION_IO_STRING BIT(4)
#define QUALIFICATION_IO_REP    BIT(5)
#define QUALIFICATION_IO_PORT   GENMASK(31, 16)
#define QUALIFICATION_IO_FORM   GENMASK(6, 0) /* size, direction, string, immediate or DX */
#define QUALIFICATION_CR_NUMBER GENMASK(3, 0)
#define QUALIFICATION_CR_GPR    GENMASK(11, 8)
#define QUALIFICATION_DEBUG     (GENMASK(3, 0) | BIT(13) | BIT(14)) /* as in DR6 */
#define QUALIFICATION_EPT_WRITE BIT(1)
#define QUALIFICATION_EPT_FETCH BIT(2)
#define QUALIFICATION_EPT_FINAL \
	(BIT(7) | BIT(8)) /* the linear address is told, and it is the access itself */
#define EXIT_REASON_FAILED_ENTRY 0x80000000u
#define EXIT_REASON_BASIC        0xffffu

/*
 * Basic exit reasons (SDM 3D C). Those that our controls exclude are left out; they end in the
 * default case.
 */
enum vmx_reason {
	VMX_REASON_EXCEPTION = 0,
	VMX_REASON_INTERRUPT = 1,
	VMX_REASON_TRIPLE_FAULT = 2,
	VMX_REASON_INIT = 3,
	VMX_REASON_INTERRUPT_WINDOW = 7,
	VMX_REASON_NMI_WINDOW = 8,
	VMX_REASON_TASK_SWITCH = 9,
	VMX_REASON_CPUID = 10,
	VMX_REASON_HLT = 12,
	VMX_REASON_INVD = 13,
	VMX_REASON_RDPMC = 15,
	VMX_REASON_VMCALL = 18,
	VMX_REASON_CR = 28,
	VMX_REASON_IO = 30,
	VMX_REASON_RDMSR = 31,
	VMX_REASON_WRMSR = 32,
	VMX_REASON_PAUSE = 40,
	VMX_REASON_TPR_THRESHOLD = 43,
	VMX_REASON_EOI = 45,
	VMX_REASON_EPT_VIOLATION = 48,
	VMX_REASON_EPT_MISCONFIGURATION = 49,
	VMX_REASON_TIMER = 52,
	VMX_REASON_WBINVD = 54,
	VMX_REASON_XSETBV = 55,
	VMX_REASON_APIC_WRITE = 56,
};

/* ---- instructions ---- */

/*
 * CF: no current VMCS; ZF: error number in it (SDM 3C 30.2). Either is our own broken invariant and
 * ends in CHECK; a read is not checked, because each field is also written once, at the vCPU's
 * start, where a missing one shows.
 */
static inline uint64_t vmcs_read(uint64_t field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

static inline uint32_t vmcs_read32(uint64_t field)
{
	return (uint32_t)vmcs_read(field);
}

static inline void vmcs_write(uint64_t field, uint64_t value)
{
	bool has_failed;

	__asm__ volatile("vmwrite %2, %1"
	                 : "=@ccna"(has_failed)
	                 : "r"(field), "r"(value)
	                 : "memory");
	CHECK(!has_failed);
}

/* Those that take the address of a VMCS or VMXON region. False: refused. */
#define DEFINE_VMX_INSTRUCTION(name)                                                               \
	static inline bool vmx_##name(hpa_t region)                                                \
	{                                                                                          \
		bool has_failed;                                                                   \
                                                                                                   \
		__asm__ volatile(#name " %1" : "=@ccna"(has_failed) : "m"(region.raw) : "memory"); \
		return !has_failed;                                                                \
	}
DEFINE_VMX_INSTRUCTION(vmxon)
DEFINE_VMX_INSTRUCTION(vmclear)
DEFINE_VMX_INSTRUCTION(vmptrld)
#undef DEFINE_VMX_INSTRUCTION

/* INVEPT and INVVPID (SDM 3C 30.3) with the type for one context, or for all. */
#define DEFINE_VMX_INVALIDATE(name, type)                               \
	static inline void vmx_##name(uint64_t context)                 \
	{                                                               \
		const uint64_t descriptor[2] = { context, 0 };          \
		bool has_failed;                                        \
                                                                        \
		__asm__ volatile(#name " %1, %2"                        \
		                 : "=@ccna"(has_failed)                 \
		                 : "m"(descriptor), "r"((uint64_t)type) \
		                 : "memory");                           \
		CHECK(!has_failed);                                     \
	}
DEFINE_VMX_INVALIDATE(invept, 1)
DEFINE_VMX_INVALIDATE(invvpid, 2)
#undef DEFINE_VMX_INVALIDATE

#endif
