// SPDX-License-Identifier: Apache-2.0
/*
 * State of a vCPU after power-on and at the start of an image; its registers for the operator.
 *
 * Must never: be called in another thread than the vCPU's own. The one big record is static: the
 * control thread hands out one job at a time. Manual: SDM 3A table 10-1 (state after reset), 11.4.7
 * (local APIC).
 */
#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "vmm/boot.h"
#include "vmm/cpu_msr.h"
#include "vmm/cpu_state.h"
#include "vmm/vcpu.h"

#define RESET_RIP             0xfff0u
#define RESET_CS_BASE         0xffff0000u
#define RESET_CS_SELECTOR     0xf000u
#define RESET_CR0             0x60000010u
#define RESET_DR6             0xffff0ff0u
#define RESET_DR7             0x400u
#define RESET_PAT             0x0007040600070406ull
#define RESET_FCW             0x037fu
#define RESET_MXCSR           0x1f80u

#define FPU_FCW_OFFSET        0
#define FPU_MXCSR_OFFSET      24
#define FPU_XMM_OFFSET        160 /* SDM 1 table 10-2 */
#define FPU_XMM_BYTES         256
#define FPU_XSTATE_BV_OFFSET  512 /* only in an XSAVE area, not after FXSAVE */
#define XSTATE_SSE            0x02u

#define SEGMENT_DATA          0x0093u
#define SEGMENT_CODE          0x009bu
#define SEGMENT_LDT           0x0082u
#define SEGMENT_TSS           0x008bu

#define APIC_BASE_ENABLED     (1ull << 11)
#define APIC_BASE_BSP         (1ull << 8)

#define LAPIC_ID              0x02u
#define LAPIC_VERSION         0x03u
#define LAPIC_DFR             0x0eu
#define LAPIC_SVR             0x0fu
#define LAPIC_LVT_TIMER       0x32u
#define LAPIC_LVT_LINT0       0x35u
#define LAPIC_LVT_LINT1       0x36u
#define LAPIC_LVT_ERROR       0x37u

#define LVT_MASKED            0x10000u
#define LVT_EXTINT            0x00700u
#define LVT_NMI               0x00400u
#define SVR_RESET             0x000ffu
#define SVR_ENABLED           0x00100u

#define CPUID_LEAF_X_FEATURES 0x80000001u

static struct bh_vcpu_state state;

static void segment_set(struct bh_segment_state *segment, uint64_t base, uint16_t selector,
                        uint16_t attributes)
{
	*segment = (struct bh_segment_state){
		.base = base, .limit = 0xffff, .selector = selector, .attributes = attributes
	};
}

static void reset_cpu(struct bh_cpu_state *cpu)
{
	memset(cpu, 0, sizeof(*cpu));
	cpu->rip = RESET_RIP;
	cpu->rflags = CPU_RFLAGS_FIXED;
	cpu->gpr[BH_GPR_RDX] = 0x600; /* family 6 */
	for (uint32_t i = 0; i <= BH_SEG_GS; i++) {
		segment_set(&cpu->segments[i], 0, 0, SEGMENT_DATA);
	}
	segment_set(&cpu->segments[BH_SEG_CS], RESET_CS_BASE, RESET_CS_SELECTOR, SEGMENT_CODE);
	segment_set(&cpu->segments[BH_SEG_LDTR], 0, 0, SEGMENT_LDT);
	segment_set(&cpu->segments[BH_SEG_TR], 0, 0, SEGMENT_TSS);
	segment_set(&cpu->segments[BH_SEG_GDTR], 0, 0, 0);
	segment_set(&cpu->segments[BH_SEG_IDTR], 0, 0, 0);
	cpu->cr0 = RESET_CR0;
	cpu->xcr0 = 1; /* x87 */
}

static void reset_debug(void)
{
	state.dr[0] = state.dr[1] = state.dr[2] = state.dr[3] = 0;
	state.dr6 = RESET_DR6;
	state.dr7 = RESET_DR7;
}

static void reset_msrs(void)
{
	state.tsc_aux = 0;
	state.pat = RESET_PAT;
	state.sysenter_cs = state.sysenter_esp = state.sysenter_eip = 0;
	state.star = state.lstar = state.cstar = state.sfmask = 0;
	state.kernel_gs_base = 0;
	memset(state.pdpte, 0, sizeof(state.pdpte));
}

/*
 * The local APIC as firmware leaves it: on, and on vCPU 0 in virtual-wire mode, so that a kernel
 * which knows only the 8259 gets its interrupts (Intel MultiProcessor Specification 3.6.2.2).
 */
static void reset_lapic(uint32_t vcpu_idx)
{
	uint32_t version = state.lapic[LAPIC_VERSION];

	memset(state.lapic, 0, sizeof(state.lapic));
	state.lapic[LAPIC_ID] = vcpu_idx << 24;
	state.lapic[LAPIC_VERSION] = version;
	state.lapic[LAPIC_DFR] = UINT32_MAX;
	state.lapic[LAPIC_SVR] = SVR_RESET | (vcpu_idx == 0 ? SVR_ENABLED : 0);
	for (uint32_t i = LAPIC_LVT_TIMER; i <= LAPIC_LVT_ERROR; i++) {
		state.lapic[i] = LVT_MASKED;
	}
	if (vcpu_idx == 0) {
		state.lapic[LAPIC_LVT_LINT0] = LVT_EXTINT;
		state.lapic[LAPIC_LVT_LINT1] = LVT_NMI;
	}
	state.apic_base = GUEST_LAPIC_BASE | APIC_BASE_ENABLED;
	state.apic_base |= vcpu_idx == 0 ? APIC_BASE_BSP : 0;
	state.apic_timer_deadline_tsc = 0;
}

static void reset_fpu(void)
{
	memset(state.fpu, 0, sizeof(state.fpu));
	state.fpu[FPU_FCW_OFFSET] = (uint8_t)RESET_FCW;
	state.fpu[FPU_FCW_OFFSET + 1] = (uint8_t)(RESET_FCW >> 8);
	state.fpu[FPU_MXCSR_OFFSET] = (uint8_t)RESET_MXCSR;
	state.fpu[FPU_MXCSR_OFFSET + 1] = (uint8_t)(RESET_MXCSR >> 8);
}

static void reset_events(bool is_started)
{
	state.inject = 0;
	state.inject_error_code = 0;
	state.interrupt_shadow = 0;
	state.is_nmi_blocked = 0;
	state.is_nmi_pending = 0;
	state.activity = is_started ? BH_ACTIVITY_RUNNING : BH_ACTIVITY_WAIT_SIPI;
}

int vcpu_state_reset(uint32_t vcpu_idx, const struct bh_cpu_state *start)
{
	int error = bh_vcpu_get_state(VMM_HANDLE_VCPU + vcpu_idx, &state);

	if (error < 0) {
		return error;
	}
	reset_cpu(&state.cpu);
	if (start != NULL) {
		state.cpu = *start;
		state.cpu.xcr0 = 1;
	}
	reset_debug();
	reset_msrs();
	reset_lapic(vcpu_idx);
	reset_fpu();
	reset_events(start != NULL);
	state.version = BH_ABI_VERSION;
	state.groups = BH_STATE_ALL;
	return bh_vcpu_set_state(VMM_HANDLE_VCPU + vcpu_idx, &state);
}

int vcpu_state_init(uint32_t vcpu_idx)
{
	int error = bh_vcpu_get_state(VMM_HANDLE_VCPU + vcpu_idx, &state);
	uint64_t cr0, xcr0;

	if (error < 0) {
		return error;
	}
	cr0 = state.cpu.cr0;
	xcr0 = state.cpu.xcr0;
	reset_cpu(&state.cpu);
	state.cpu.xcr0 = xcr0;
	/* CD and NW stay; but QEMU lets a guest set NW without CD, which is no state to go on with. */
	if ((cr0 & CPU_CR0_CD) == 0) {
		state.cpu.cr0 &= ~(CPU_CR0_CD | CPU_CR0_NW);
	} else if ((cr0 & CPU_CR0_NW) == 0) {
		state.cpu.cr0 &= ~CPU_CR0_NW;
	}
	reset_debug();
	reset_events(vcpu_idx == 0);
	state.groups = BH_STATE_EMULATE | BH_STATE_DEBUG | BH_STATE_EVENTS;
	return bh_vcpu_set_state(VMM_HANDLE_VCPU + vcpu_idx, &state);
}

int vcpu_state_start(uint32_t vcpu_idx, uint8_t vector)
{
	int error = bh_vcpu_get_state(VMM_HANDLE_VCPU + vcpu_idx, &state);

	if (error < 0) {
		return error;
	}
	state.cpu.rip = 0;
	segment_set(&state.cpu.segments[BH_SEG_CS], (uint64_t)vector << 12, (uint16_t)(vector << 8),
	            SEGMENT_CODE);
	state.groups = BH_STATE_GPR | BH_STATE_SEGMENTS;
	return bh_vcpu_set_state(VMM_HANDLE_VCPU + vcpu_idx, &state);
}

int vcpu_state_publish(uint32_t vcpu_idx)
{
	struct vmm_channel *channel = (struct vmm_channel *)VMM_VA_CHANNEL;
	int error = bh_vcpu_get_state(VMM_HANDLE_VCPU + vcpu_idx, &state);

	if (error < 0) {
		return error;
	}
	channel->registers = state.cpu;
	channel->registers_vcpu = vcpu_idx;
	channel->registers_activity = state.activity;
	return BH_OK;
}

int vcpu_state_msr(uint32_t vcpu_idx, struct bh_exit_msr *msr)
{
	struct bh_cpu_state cpuid = { .gpr[BH_GPR_RAX] = CPUID_LEAF_X_FEATURES };
	int error = bh_vcpu_get_state(VMM_HANDLE_VCPU + vcpu_idx, &state);

	if (error < 0) {
		return error;
	}
	if (!msr->is_write) {
		return cpu_msr_read(&state, msr->number, &msr->value);
	}
	boot_answer_cpuid(vcpu_idx, &cpuid);
	error = cpu_msr_write(&state, (uint32_t)cpuid.gpr[BH_GPR_RDX], msr->number, msr->value);
	return error < 0 ? error : bh_vcpu_set_state(VMM_HANDLE_VCPU + vcpu_idx, &state);
}

uint8_t (*vcpu_state_xmm_get(uint32_t vcpu_idx))[16]
{
	if (bh_vcpu_get_state(VMM_HANDLE_VCPU + vcpu_idx, &state) < 0 ||
	    state.fpu_size < FPU_XMM_OFFSET + FPU_XMM_BYTES) {
		return NULL;
	}
	return (uint8_t(*)[16])(state.fpu + FPU_XMM_OFFSET);
}

int vcpu_state_xmm_set(uint32_t vcpu_idx)
{
	if (state.fpu_size > FPU_XSTATE_BV_OFFSET) {
		state.fpu[FPU_XSTATE_BV_OFFSET] |= XSTATE_SSE;
	}
	state.groups = BH_STATE_FPU;
	return bh_vcpu_set_state(VMM_HANDLE_VCPU + vcpu_idx, &state);
}
