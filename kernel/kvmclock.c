/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paravirtual clock (Linux Documentation/virt/kvm/x86/msr.rst tells the records). Time 0 is the start of this machine. Guest memory is
 * reached through the nested page table and the direct map; what is not RAM mapped for writing is left alone.
 */
#include "kernel/kvmclock.h"

#include "arch/x86/arch.h"
#include "kernel/cpuid.h"
#include "kernel/start.h"

#define NS_PER_SECOND        1000000000ull
#define LEAF_KVM_FEATURES    0x40000001u
#define FEATURE_CLOCK_OLD    BIT(0)
#define FEATURE_CLOCK        BIT(3)
#define FEATURE_STEAL_TIME   BIT(5)
#define FEATURE_POLL_CONTROL BIT(12)
#define ENABLED              BIT(0)
#define CLOCK_TSC_STABLE     BIT(0)
#define STEAL_RECORD_SIZE    64u

struct clock_record {
	uint32_t version; /* odd while it is written */
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time_ns;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags;
	uint8_t pad2[2];
};
_Static_assert(sizeof(struct clock_record) == 32, "KVM's ABI");

struct wall_record {
	uint32_t version;
	uint32_t seconds;
	uint32_t nanoseconds;
};

struct steal_record {
	uint64_t steal_ns;
	uint32_t version;
	uint32_t flags;
	uint8_t preempted;
	uint8_t pad[47];
};
_Static_assert(sizeof(struct steal_record) == STEAL_RECORD_SIZE, "KVM's ABI");

void kvmclock_scale(uint64_t tsc_hz, uint32_t *multiplier, int8_t *shift)
{
	uint64_t hz = tsc_hz;
	int8_t s = 0;

	/* Bring the rate into (0.5, 1] times 2^32 / ... so that the multiplier uses its 32 bits. */
	while (hz > 2 * NS_PER_SECOND) {
		hz >>= 1;
		s--;
	}
	while (hz <= NS_PER_SECOND) {
		hz <<= 1;
		s++;
	}
	*multiplier = (uint32_t)((NS_PER_SECOND << 32) / hz);
	*shift = s;
}

static uint64_t tsc_to_ns(uint64_t tsc)
{
	return tsc / arch_tsc_hz * NS_PER_SECOND + tsc % arch_tsc_hz * NS_PER_SECOND / arch_tsc_hz;
}

static const struct bh_info *info(void)
{
	return phys_to_virt(info_page());
}

void kvmclock_update(struct vcpu *vcpu)
{
	struct clock_record *record;
	uint64_t now = arch_tsc_read();

	if ((vcpu->kvm_system_time & ENABLED) == 0) {
		return;
	}
	record = vm_guest_memory(vcpu->vm, vcpu->kvm_system_time & ~ENABLED, sizeof(*record));
	if (record == NULL) {
		return;
	}
	vcpu->kvmclock_version += 2;
	__atomic_store_n(&record->version, vcpu->kvmclock_version - 1, __ATOMIC_SEQ_CST);
	record->pad = 0;
	record->tsc_timestamp = now + vcpu->tsc_offset;
	record->system_time_ns = tsc_to_ns(now - info()->boot_tsc);
	kvmclock_scale(arch_tsc_hz, &record->multiplier, &record->shift);
	record->flags = CLOCK_TSC_STABLE;
	__atomic_store_n(&record->version, vcpu->kvmclock_version, __ATOMIC_SEQ_CST);
}

static void write_wall_clock(struct vcpu *vcpu, uint64_t gpa)
{
	struct wall_record *record = vm_guest_memory(vcpu->vm, gpa, sizeof(*record));
	uint32_t version;

	if (record == NULL) {
		return;
	}
	version = __atomic_load_n(&record->version, __ATOMIC_RELAXED) & ~1u;
	__atomic_store_n(&record->version, version + 1, __ATOMIC_SEQ_CST);
	record->seconds = (uint32_t)info()->wall_seconds;
	record->nanoseconds = 0;
	__atomic_store_n(&record->version, version + 2, __ATOMIC_SEQ_CST);
}

void kvmclock_update_steal(struct vcpu *vcpu)
{
	uint64_t told = vcpu->thread->wait_tsc;
	struct steal_record *record;
	uint32_t version;

	if ((vcpu->kvm_steal_time & ENABLED) == 0) {
		return;
	}
	record = vm_guest_memory(vcpu->vm, vcpu->kvm_steal_time & ~(STEAL_RECORD_SIZE - 1ull),
	                         sizeof(*record));
	if (record == NULL) {
		return;
	}
	version = __atomic_load_n(&record->version, __ATOMIC_RELAXED) & ~1u;
	__atomic_store_n(&record->version, version + 1, __ATOMIC_SEQ_CST);
	record->steal_ns += tsc_to_ns(told - vcpu->steal_told_tsc);
	__atomic_store_n(&record->version, version + 2, __ATOMIC_SEQ_CST);
	vcpu->steal_told_tsc = told;
}

static bool exists(const struct vcpu *vcpu, uint32_t msr)
{
	uint64_t bit;

	switch (msr) {
	case MSR_KVM_WALL_CLOCK_OLD:
	case MSR_KVM_SYSTEM_TIME_OLD:
		bit = FEATURE_CLOCK_OLD;
		break;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
		bit = FEATURE_CLOCK;
		break;
	case MSR_KVM_STEAL_TIME:
		bit = FEATURE_STEAL_TIME;
		break;
	case MSR_KVM_POLL_CONTROL:
		bit = FEATURE_POLL_CONTROL;
		break;
	default:
		return false;
	}
	return cpuid_guest_has(vcpu->vm, LEAF_KVM_FEATURES, 0, bit);
}

int kvmclock_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (!exists(vcpu, msr)) {
		return BH_ERR_NOT_FOUND;
	}
	switch (msr) {
	case MSR_KVM_WALL_CLOCK_OLD:
	case MSR_KVM_WALL_CLOCK:
		*value = vcpu->kvm_wall_clock;
		break;
	case MSR_KVM_STEAL_TIME:
		*value = vcpu->kvm_steal_time;
		break;
	case MSR_KVM_POLL_CONTROL:
		*value = vcpu->kvm_poll_control;
		break;
	default:
		*value = vcpu->kvm_system_time;
		break;
	}
	return BH_OK;
}

int kvmclock_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (!exists(vcpu, msr)) {
		return BH_ERR_NOT_FOUND;
	}
	switch (msr) {
	case MSR_KVM_WALL_CLOCK_OLD:
	case MSR_KVM_WALL_CLOCK:
		vcpu->kvm_wall_clock = value;
		write_wall_clock(vcpu, value);
		break;
	case MSR_KVM_STEAL_TIME:
		if ((value & (STEAL_RECORD_SIZE - 1) & ~ENABLED) != 0) {
			return BH_ERR_INVALID;
		}
		vcpu->kvm_steal_time = value;
		vcpu->steal_told_tsc = vcpu->thread != NULL ? vcpu->thread->wait_tsc : 0;
		break;
	case MSR_KVM_POLL_CONTROL:
		if ((value & ~1ull) != 0) {
			return BH_ERR_INVALID;
		}
		vcpu->kvm_poll_control = value;
		break;
	default:
		vcpu->kvm_system_time = value;
		vcpu_request_self(vcpu, VCPU_REQUEST_CLOCK);
		break;
	}
	return BH_OK;
}

void kvmclock_reset(struct vcpu *vcpu)
{
	vcpu->kvm_system_time = 0;
	vcpu->kvm_wall_clock = 0;
	vcpu->kvm_steal_time = 0;
	vcpu->kvm_async_pf = 0;
	vcpu->kvm_poll_control = 1;
}

void kvmclock_restore(struct vcpu *vcpu, const struct bh_vcpu_state *state)
{
	vcpu->kvm_system_time = state->kvm_system_time;
	vcpu->kvm_wall_clock = state->kvm_wall_clock;
	vcpu->kvm_steal_time = state->kvm_steal_time & ~(STEAL_RECORD_SIZE - 2ull);
	vcpu_request_self(vcpu, VCPU_REQUEST_CLOCK);
}
