/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model-specific registers of a guest, as one table of policies (SDM 4, APM 2 A): a constant, nothing at all, kept without effect, or
 * a function. What is not in it does not exist: #GP for the guest, counted and logged. The registers that a guest owns (SYSCALL, FS, GS,
 * SYSENTER) do not come here on a CPU whose bitmap lets them through, but are answered all the same.
 */
#include "kernel/msr.h"

#include "arch/x86/asm.h"
#include "arch/x86/feature.h"
#include "arch/x86/hvm.h"
#include "arch/x86/reg/cr.h"
#include "arch/x86/reg/msr.h"
#include "kernel/cpuid.h"
#include "kernel/kvmclock.h"
#include "kernel/vlapic.h"

enum msr_policy {
	POLICY_CONSTANT,    /* reads `value`; a write is #GP */
	POLICY_IGNORE,      /* reads `value`; writes go nowhere */
	POLICY_HVM,         /* in the vendor's structure, any value */
	POLICY_HVM_ADDRESS, /* the same, canonical values only */
	POLICY_FUNCTION,    /* read_special, write_special */
};

struct msr_row {
	uint32_t first, last;
	enum msr_policy policy;
	uint64_t value;
};

#define MSR_PLATFORM_ID           0x17u
#define MSR_TSC_ADJUST            0x3bu
#define MSR_UCODE_REVISION        0x8bu
#define MSR_ARCH_CAPABILITIES     0x10au
#define MSR_MTRR_FIRST            0x200u
#define MSR_MTRR_LAST             0x20fu
#define MSR_MTRR_FIX64K           0x250u
#define MSR_MTRR_FIX16K_80000     0x258u
#define MSR_MTRR_FIX16K_A0000     0x259u
#define MSR_MTRR_FIX4K_FIRST      0x268u
#define MSR_MTRR_FIX4K_LAST       0x26fu
#define MTRR_CAPABILITIES         0x508u /* 8 variable ranges, fixed ranges, write combining */
#define MSR_X2APIC_LAST           0x8ffu
#define HWCR_TSC_FREQ_SEL         BIT(24) /* the TSC counts at P0's rate: Linux asks */
#define DE_CFG_LFENCE_SERIALIZING BIT(1)
#define VM_CR_OFF                 0x18ull /* locked, SVM disabled */
#define IBPB                      BIT(0)

/* Sorted by nothing: rows are few and this is the slow path; first match counts. */
static const struct msr_row rows[] = {
	{ MSR_TSC, MSR_TSC, POLICY_FUNCTION, 0 },
	{ MSR_KVM_WALL_CLOCK_OLD, MSR_KVM_SYSTEM_TIME_OLD, POLICY_FUNCTION, 0 },
	{ MSR_PLATFORM_ID, MSR_PLATFORM_ID, POLICY_CONSTANT, 0 },
	{ MSR_APIC_BASE, MSR_APIC_BASE, POLICY_FUNCTION, 0 },
	{ 0x2a, 0x2a, POLICY_IGNORE, 0 },                                 /* EBL_CR_POWERON */
	{ 0x34, 0x34, POLICY_CONSTANT, 0 },                               /* SMI_COUNT */
	{ MSR_FEATURE_CONTROL, MSR_FEATURE_CONTROL, POLICY_CONSTANT, 1 }, /* locked, without VMX */
	{ MSR_TSC_ADJUST, MSR_TSC_ADJUST, POLICY_FUNCTION, 0 },
	{ MSR_SPEC_CTRL, MSR_PRED_CMD, POLICY_FUNCTION, 0 },
	{ 0x79, 0x79, POLICY_IGNORE, 0 }, /* microcode update */
	{ MSR_UCODE_REVISION, MSR_UCODE_REVISION, POLICY_IGNORE, 1ull << 32 },
	{ 0xc1, 0xc8, POLICY_IGNORE, 0 },   /* performance counters: none */
	{ 0xcd, 0xcd, POLICY_CONSTANT, 3 }, /* FSB_FREQ */
	{ 0xce, 0xce, POLICY_IGNORE, 0 },   /* PLATFORM_INFO */
	{ 0xe7, 0xe8, POLICY_IGNORE, 0 },   /* MPERF, APERF */
	{ MSR_MTRR_CAP, MSR_MTRR_CAP, POLICY_CONSTANT, MTRR_CAPABILITIES },
	{ MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, POLICY_FUNCTION, 0 },
	{ 0x10b, 0x10b, POLICY_IGNORE, 0 }, /* FLUSH_CMD */
	{ 0x140, 0x140, POLICY_IGNORE, 0 }, /* MISC_FEATURES_ENABLES */
	{ MSR_SYSENTER_CS, MSR_SYSENTER_CS, POLICY_HVM, 0 },
	{ MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, POLICY_HVM_ADDRESS, 0 },
	{ MSR_MCG_CAP, MSR_MCG_CAP, POLICY_IGNORE, 0 }, /* no banks */
	{ MSR_MCG_STATUS, MSR_MCG_CTL, POLICY_IGNORE, 0 },
	{ 0x186, 0x18d, POLICY_IGNORE, 0 },                      /* PERFEVTSEL */
	{ 0x198, 0x198, POLICY_CONSTANT, 1000ull | 4ull << 40 }, /* PERF_STATUS */
	{ 0x199, 0x19c, POLICY_IGNORE, 0 }, /* PERF_CTL, clock modulation, thermal */
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, POLICY_FUNCTION, 0 },
	{ 0x1a2, 0x1a2, POLICY_CONSTANT, 0 }, /* TEMPERATURE_TARGET */
	{ 0x1b0, 0x1b2, POLICY_IGNORE, 0 },   /* energy bias, package thermal */
	{ 0x1d9, 0x1de, POLICY_IGNORE, 0 },   /* DEBUGCTL, last branch: not kept */
	{ MSR_MTRR_FIRST, MSR_MTRR_LAST, POLICY_FUNCTION, 0 },
	{ MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, POLICY_FUNCTION, 0 },
	{ MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, POLICY_FUNCTION, 0 },
	{ MSR_MTRR_FIX4K_FIRST, MSR_MTRR_FIX4K_LAST, POLICY_FUNCTION, 0 },
	{ MSR_PAT, MSR_PAT, POLICY_FUNCTION, 0 },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, POLICY_FUNCTION, 0 },
	{ 0x38d, 0x390, POLICY_IGNORE, 0 }, /* fixed counter control */
	{ MSR_MC0_CTL, MSR_MC0_CTL + 0x7f, POLICY_IGNORE, 0 },
	{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, POLICY_FUNCTION, 0 },
	{ MSR_X2APIC, MSR_X2APIC_LAST, POLICY_FUNCTION, 0 },
	{ MSR_XSS, MSR_XSS, POLICY_FUNCTION, 0 },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_POLL_CONTROL, POLICY_FUNCTION, 0 },
	{ MSR_EFER, MSR_EFER, POLICY_FUNCTION, 0 },
	{ MSR_STAR, MSR_STAR, POLICY_HVM, 0 },
	{ MSR_LSTAR, MSR_CSTAR, POLICY_HVM_ADDRESS, 0 },
	{ MSR_SFMASK, MSR_SFMASK, POLICY_HVM, 0 },
	{ 0xc00000e7, 0xc00000e8, POLICY_IGNORE, 0 }, /* read-only MPERF, APERF */
	{ MSR_FS_BASE, MSR_KERNEL_GS_BASE, POLICY_HVM_ADDRESS, 0 },
	{ MSR_TSC_AUX, MSR_TSC_AUX, POLICY_FUNCTION, 0 },
	{ 0xc0010000, 0xc0010007, POLICY_IGNORE, 0 }, /* K7 performance counters */
	{ 0xc0010010, 0xc0010010, POLICY_IGNORE, 0 }, /* SYSCFG */
	{ 0xc0010015, 0xc0010015, POLICY_IGNORE, HWCR_TSC_FREQ_SEL },
	{ 0xc001001f, 0xc0010020, POLICY_IGNORE, 0 }, /* NB_CFG, microcode loader */
	{ 0xc0010055, 0xc0010055, POLICY_IGNORE, 0 }, /* interrupt pending message */
	{ 0xc0010058, 0xc0010058, POLICY_IGNORE, 0 }, /* MMIO configuration base */
	{ 0xc0010061, 0xc001006b, POLICY_IGNORE, 0 }, /* P-states */
	{ 0xc0010112, 0xc0010113, POLICY_IGNORE, 0 }, /* SMM address and mask */
	{ 0xc0010114, 0xc0010114, POLICY_CONSTANT, VM_CR_OFF },
	{ 0xc0010117, 0xc0010117, POLICY_CONSTANT, 0 },
	{ 0xc0010140, 0xc0010141, POLICY_IGNORE, 0 }, /* OS-visible workarounds: none */
	{ 0xc0010200, 0xc001020b, POLICY_IGNORE, 0 }, /* performance counters */
	{ 0xc0011020, 0xc0011023, POLICY_IGNORE, 0 }, /* LS, IC, DC, BU configuration */
	{ 0xc0011028, 0xc0011028, POLICY_IGNORE, 0 }, /* FP configuration */
	{ 0xc0011029, 0xc0011029, POLICY_IGNORE, DE_CFG_LFENCE_SERIALIZING },
	{ 0xc001102a, 0xc001102d, POLICY_IGNORE, 0 },
};

static const struct msr_row *find(uint32_t msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (msr >= rows[i].first && msr <= rows[i].last) {
			return &rows[i];
		}
	}
	return NULL;
}

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* ---- memory types: kept, without effect (nested paging decides) ---- */

bool msr_pat_is_valid(uint64_t value)
{
	for (uint32_t i = 0; i < 8; i++) {
		uint64_t type = (value >> (8 * i)) & 0xff;

		if (type > 7 || type == 2 || type == 3) {
			return false;
		}
	}
	return true;
}

static bool is_memory_type(uint64_t type)
{
	return type <= 6 && type != 2 && type != 3;
}

static uint64_t *mtrr_field(struct vcpu *vcpu, uint32_t msr)
{
	if (msr >= MSR_MTRR_FIRST && msr <= MSR_MTRR_LAST) {
		return &vcpu->mtrr[msr - MSR_MTRR_FIRST];
	}
	if (msr == MSR_MTRR_FIX64K) {
		return &vcpu->mtrr[16];
	}
	if (msr == MSR_MTRR_FIX16K_80000 || msr == MSR_MTRR_FIX16K_A0000) {
		return &vcpu->mtrr[17 + msr - MSR_MTRR_FIX16K_80000];
	}
	return &vcpu->mtrr[19 + msr - MSR_MTRR_FIX4K_FIRST];
}

static int write_mtrr(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_MTRR_DEF_TYPE) {
		if ((value & ~0xcffull) != 0 || !is_memory_type(value & 0xff)) {
			return BH_ERR_INVALID;
		}
		vcpu->msr_mtrr_def_type = value;
		return BH_OK;
	}
	if (msr <= MSR_MTRR_LAST) {
		if ((value & GENMASK(63, 52)) != 0 ||
		    ((msr & 1) == 0 && !is_memory_type(value & 0xff))) {
			return BH_ERR_INVALID;
		}
	} else {
		for (uint32_t i = 0; i < 8; i++) {
			if (!is_memory_type((value >> (8 * i)) & 0xff)) {
				return BH_ERR_INVALID;
			}
		}
	}
	*mtrr_field(vcpu, msr) = value;
	return BH_OK;
}

/* ---- time ---- */

void msr_guest_set_tsc(struct vcpu *vcpu, uint64_t value)
{
	uint64_t offset = value - arch_tsc_read();

	vcpu->msr_tsc_adjust += offset - vcpu->tsc_offset;
	vcpu->tsc_offset = offset;
	hvm->set_tsc_offset(vcpu, offset);
	vcpu_request_self(vcpu, VCPU_REQUEST_CLOCK);
}

static void write_tsc_adjust(struct vcpu *vcpu, uint64_t value)
{
	vcpu->tsc_offset += value - vcpu->msr_tsc_adjust;
	vcpu->msr_tsc_adjust = value;
	hvm->set_tsc_offset(vcpu, vcpu->tsc_offset);
	vcpu_request_self(vcpu, VCPU_REQUEST_CLOCK);
}

/* ---- EFER (SDM 4 table 2-2, APM 2 3.1.7) ---- */

static int write_efer(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = hvm->get_msr(vcpu, MSR_EFER);
	uint64_t allowed = EFER_SCE | EFER_LMA;
	struct bh_cpu_state state;

	allowed |= cpuid_guest_has(vcpu->vm, 0x80000001, 3, BIT(20)) ? EFER_NXE : 0;
	allowed |= cpuid_guest_has(vcpu->vm, 0x80000001, 3, BIT(29)) ? EFER_LME : 0;
	allowed |= cpuid_guest_has(vcpu->vm, 0x80000001, 3, BIT(25)) ? EFER_FFXSR : 0;
	if ((value & ~allowed) != 0) {
		return BH_ERR_INVALID;
	}
	if (((old ^ value) & EFER_LME) != 0) {
		hvm->get_state(vcpu, BH_STATE_CONTROL, &state);
		if ((state.cr0 & CR0_PG) != 0) {
			return BH_ERR_INVALID;
		}
	}
	hvm->set_msr(vcpu, MSR_EFER, (value & ~EFER_LMA) | (old & EFER_LMA)); /* LMA is the CPU's */
	return BH_OK;
}

/* ---- speculation ---- */

static bool has_spec_ctrl(const struct vm *vm)
{
	return cpuid_guest_has(vm, 7, 3, BIT(26) | BIT(27) | BIT(31)) ||
	       cpuid_guest_has(vm, 0x80000008, 1, BIT(14) | BIT(15) | BIT(24));
}

static int write_speculation(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_SPEC_CTRL) {
		if (!has_spec_ctrl(vcpu->vm) || (value & ~7ull) != 0) {
			return BH_ERR_INVALID;
		}
		vcpu->msr_spec_ctrl = value;
		return BH_OK;
	}
	if ((!cpuid_guest_has(vcpu->vm, 7, 3, BIT(26)) &&
	     !cpuid_guest_has(vcpu->vm, 0x80000008, 1, BIT(12))) ||
	    (value & ~IBPB) != 0) {
		return BH_ERR_INVALID;
	}
	if (value != 0 && (feature_has(FEATURE_IBPB) || feature_has(FEATURE_IBRS))) {
		msr_write(MSR_PRED_CMD, IBPB);
	}
	return BH_OK;
}

/* ---- local APIC in x2APIC mode: MSR number = 0x800 + offset / 16 (SDM 3A 11.12.1.2) ---- */

static bool is_x2apic(const struct vcpu *vcpu)
{
	return (vcpu->lapic.apic_base & APIC_BASE_X2APIC) != 0;
}

static int read_x2apic(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	uint32_t offset = (msr - MSR_X2APIC) * 0x10;
	uint32_t low;
	int error;

	if (!is_x2apic(vcpu) || offset >= APIC_PAGE_END) {
		return BH_ERR_INVALID;
	}
	error = vlapic_read(vcpu, offset, &low);
	*value = low;
	if (offset == APIC_ICR) {
		*value |= (uint64_t)vlapic_reg(vcpu, APIC_ICR_HIGH) << 32;
	}
	return error;
}

static int write_x2apic(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	uint32_t offset = (msr - MSR_X2APIC) * 0x10;

	if (!is_x2apic(vcpu) || offset >= APIC_PAGE_END) {
		return BH_ERR_INVALID;
	}
	if (offset == APIC_ICR) {
		vcpu->lapic.regs[APIC_ICR / 4] = (uint32_t)value;
		vcpu->lapic.regs[APIC_ICR_HIGH / 4] = (uint32_t)(value >> 32);
		vlapic_send(vcpu, value);
		return BH_OK;
	}
	if (value > 0xffffffff || (offset == APIC_TPR && value > 0xff)) {
		return BH_ERR_INVALID;
	}
	return vlapic_write(vcpu, offset, (uint32_t)value);
}

/* ---- the functions of the table ---- */

static int read_special(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = arch_tsc_read() + vcpu->tsc_offset;
		return BH_OK;
	case MSR_TSC_ADJUST:
		*value = vcpu->msr_tsc_adjust;
		return BH_OK;
	case MSR_APIC_BASE:
		*value = vcpu->lapic.apic_base;
		return BH_OK;
	case MSR_SPEC_CTRL:
		*value = vcpu->msr_spec_ctrl;
		return has_spec_ctrl(vcpu->vm) ? BH_OK : BH_ERR_INVALID;
	case MSR_ARCH_CAPABILITIES:
		*value = 0;
		return cpuid_guest_has(vcpu->vm, 7, 3, BIT(29)) ? BH_OK : BH_ERR_INVALID;
	case MSR_MISC_ENABLE:
		*value = vcpu->msr_misc_enable;
		return BH_OK;
	case MSR_PAT:
	case MSR_EFER:
		*value = hvm->get_msr(vcpu, msr);
		return BH_OK;
	case MSR_MTRR_DEF_TYPE:
		*value = vcpu->msr_mtrr_def_type;
		return BH_OK;
	case MSR_TSC_DEADLINE:
		*value = vlapic_timer_read_deadline(vcpu);
		return cpuid_guest_has(vcpu->vm, CPUID_LEAF_FEATURES, 2, CPUID_1_ECX_TSC_DEADLINE)
		               ? BH_OK
		               : BH_ERR_INVALID;
	case MSR_XSS:
		*value = vcpu->xss;
		return cpuid_guest_has(vcpu->vm, CPUID_LEAF_XSAVE, 0, ~0ull) ? BH_OK
		                                                             : BH_ERR_INVALID;
	case MSR_TSC_AUX:
		*value = vcpu->msr_tsc_aux;
		return BH_OK;
	case MSR_PRED_CMD:
		return BH_ERR_INVALID; /* write-only */
	default:
		break;
	}
	if (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST) {
		return read_x2apic(vcpu, msr, value);
	}
	if (msr >= MSR_MTRR_FIRST && msr <= MSR_MTRR_FIX4K_LAST) {
		*value = *mtrr_field(vcpu, msr);
		return BH_OK;
	}
	return kvmclock_msr_read(vcpu, msr, value);
}

static int write_special(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_TSC:
		msr_guest_set_tsc(vcpu, value);
		return BH_OK;
	case MSR_TSC_ADJUST:
		write_tsc_adjust(vcpu, value);
		return BH_OK;
	case MSR_APIC_BASE:
		return vlapic_set_base(vcpu, value);
	case MSR_SPEC_CTRL:
	case MSR_PRED_CMD:
		return write_speculation(vcpu, msr, value);
	case MSR_MISC_ENABLE:
		vcpu->msr_misc_enable = value;
		return BH_OK;
	case MSR_PAT:
		if (!msr_pat_is_valid(value)) {
			return BH_ERR_INVALID;
		}
		hvm->set_msr(vcpu, msr, value);
		return BH_OK;
	case MSR_EFER:
		return write_efer(vcpu, value);
	case MSR_MTRR_DEF_TYPE:
		return write_mtrr(vcpu, msr, value);
	case MSR_TSC_DEADLINE:
		if (!cpuid_guest_has(vcpu->vm, CPUID_LEAF_FEATURES, 2, CPUID_1_ECX_TSC_DEADLINE)) {
			return BH_ERR_INVALID;
		}
		vlapic_timer_write_deadline(vcpu, value);
		return BH_OK;
	case MSR_XSS:
		return value == 0 && cpuid_guest_has(vcpu->vm, CPUID_LEAF_XSAVE, 0, ~0ull)
		               ? BH_OK
		               : BH_ERR_INVALID;
	case MSR_TSC_AUX:
		if (value > 0xffffffff) {
			return BH_ERR_INVALID;
		}
		vcpu->msr_tsc_aux = value; /* loaded by the vendor's enter() */
		return BH_OK;
	case MSR_ARCH_CAPABILITIES:
		return BH_ERR_INVALID;
	default:
		break;
	}
	if (msr >= MSR_X2APIC && msr <= MSR_X2APIC_LAST) {
		return write_x2apic(vcpu, msr, value);
	}
	if (msr >= MSR_MTRR_FIRST && msr <= MSR_MTRR_FIX4K_LAST) {
		return write_mtrr(vcpu, msr, value);
	}
	return kvmclock_msr_write(vcpu, msr, value);
}

static int unknown(struct vcpu *vcpu, uint32_t msr, const char *what)
{
	vcpu->stats->unclaimed++;
	log_print_limited("vm %u vcpu %u: %s of unknown MSR %x at %lx", vcpu->vm->id, vcpu->idx,
	                  what, msr, hvm->get_rip(vcpu));
	return BH_ERR_NOT_FOUND;
}

int msr_guest_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct msr_row *row = find(msr);

	*value = 0;
	if (row == NULL) {
		return unknown(vcpu, msr, "read");
	}
	switch (row->policy) {
	case POLICY_CONSTANT:
	case POLICY_IGNORE:
		*value = row->value;
		return BH_OK;
	case POLICY_HVM:
	case POLICY_HVM_ADDRESS:
		*value = hvm->get_msr(vcpu, msr);
		return BH_OK;
	case POLICY_FUNCTION:
		return read_special(vcpu, msr, value);
	}
	return BH_ERR_NOT_FOUND;
}

int msr_guest_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct msr_row *row = find(msr);

	if (row == NULL) {
		return unknown(vcpu, msr, "write");
	}
	switch (row->policy) {
	case POLICY_CONSTANT:
		return BH_ERR_INVALID;
	case POLICY_IGNORE:
		return BH_OK;
	case POLICY_HVM_ADDRESS:
		if (!is_canonical(value)) {
			return BH_ERR_INVALID;
		}
		hvm->set_msr(vcpu, msr, value);
		return BH_OK;
	case POLICY_HVM:
		hvm->set_msr(vcpu, msr, value);
		return BH_OK;
	case POLICY_FUNCTION:
		return write_special(vcpu, msr, value);
	}
	return BH_ERR_NOT_FOUND;
}

bool msr_guest_fast(struct vcpu *vcpu, uint32_t msr, bool is_write, uint64_t *value)
{
	if (!is_x2apic(vcpu)) {
		return false;
	}
	if (!is_write) {
		return msr == MSR_X2APIC + APIC_TPR / 0x10 &&
		       read_x2apic(vcpu, msr, value) == BH_OK;
	}
	switch (msr) {
	case MSR_X2APIC + APIC_EOI / 0x10:
	case MSR_X2APIC + APIC_TPR / 0x10:
	case MSR_X2APIC + APIC_ICR / 0x10:
	case MSR_X2APIC + APIC_SELF_IPI / 0x10:
	case MSR_X2APIC + APIC_TIMER_INITIAL / 0x10:
		return write_x2apic(vcpu, msr, *value) == BH_OK;
	case MSR_TSC_DEADLINE:
		return write_special(vcpu, msr, *value) == BH_OK;
	default:
		return false;
	}
}
