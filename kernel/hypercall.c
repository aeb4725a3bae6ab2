/* SPDX-License-Identifier: Apache-2.0 */
/* The hypercalls that touch another vCPU of the same VM. Arguments are the guest's: every number is checked or harmless. */
#include "kernel/hypercall.h"

#include "kernel/vcpu.h"
#include "kernel/vlapic.h"

/* One message for each bit of two words; the count of those that had a target is the result. */
static uint64_t send_ipi(struct vcpu *vcpu)
{
	const uint64_t words[2] = { vcpu->gpr[BH_GPR_RBX], vcpu->gpr[BH_GPR_RCX] };
	uint64_t first = vcpu->gpr[BH_GPR_RDX];
	uint64_t icr = vcpu->gpr[BH_GPR_RSI];
	uint64_t mode = field_get(APIC_ICR_MODE, icr);
	uint64_t count = 0;
	struct apic_message message = {
		.icr = (uint32_t)(icr & (APIC_ICR_MODE | 0xff)),
		.is_x2apic = true,
		.sender = vcpu,
	};

	if (mode != APIC_DELIVERY_NMI && (mode != APIC_DELIVERY_FIXED || (icr & 0xff) < 16)) {
		return (uint64_t)-22; /* EINVAL in KVM's ABI */
	}
	for (uint32_t bit = 0; bit < 128; bit++) {
		uint64_t target = first + bit;

		if ((words[bit / 64] & BIT(bit % 64)) != 0 && vm_vcpu(vcpu->vm, target) != NULL) {
			message.destination = (uint32_t)target;
			count += vlapic_deliver(vcpu->vm, &message) == BH_OK ? 1 : 0;
		}
	}
	vcpu->stats->counts[BH_COUNT_IPI] += count;
	return count;
}

uint64_t hypercall_handle(struct vcpu *vcpu, uint64_t number)
{
	struct vcpu *target;

	switch (number) {
	case HYPERCALL_KICK_CPU:
		target = vm_vcpu(vcpu->vm, vcpu->gpr[BH_GPR_RCX]);
		if (target != NULL) {
			vcpu_request(target, VCPU_REQUEST_UNHALT);
		}
		return 0;
	case HYPERCALL_SEND_IPI:
		return send_ipi(vcpu);
	case HYPERCALL_YIELD_TO:
		vcpu->cpu->is_yielding = true;
		__atomic_fetch_or(&vcpu->cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
		return 0;
	default:
		return number == HYPERCALL_POLL_IRQ ? 0 : HYPERCALL_ERROR_NOT_THERE;
	}
}
