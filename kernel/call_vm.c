/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on virtual machines and vCPUs (see call.h): decode handles, copy records, hand on to kernel/vcpu.h.
 * A handle made from a VM's handle is derived from that, so vCPUs, their pages and guest interrupts end before their VM does.
 */
#include "kernel/call.h"

#include "arch/x86/hvm.h"
#include "kernel/thread.h"
#include "kernel/fpu.h"
#include "kernel/region.h"
#include "kernel/vcpu.h"

struct list vms = { &vms, &vms };

int64_t call_vm_create(struct call *call)
{
	const struct bh_vm_params *params = &call_record.vm;
	struct vm *vm;

	if (hvm == NULL) {
		return BH_ERR_UNSUPPORTED;
	}
	if ((params->flags & ~BH_VM_DEBUG) != 0 || params->vcpus_max == 0 ||
	    params->vcpus_max > BH_MAX_VCPUS || params->id > UINT16_MAX ||
	    (params->reserved0 | params->reserved[0] | params->reserved[1]) != 0) {
		return BH_ERR_INVALID;
	}
	int error = vm_create(call->caller, params, &vm);

	if (error == BH_OK) {
		object_init(&vm->object, BH_OBJECT_VM, call->caller);
		list_init(&vm->mappings);
		list_insert_before(&vms, &vm->node);
		call->made = &vm->object;
	}
	return error;
}

int64_t call_vm_set_cpuid(struct call *call)
{
	uint64_t count = call->arg[2];
	int error = count <= BH_CPUID_MAX
	                    ? arch_copy_from_user(call_record.cpuid, HVA(call->arg[1]),
	                                          count * sizeof(struct bh_cpuid_entry))
	                    : BH_ERR_INVALID;

	return error < 0 ? error
	                 : vm_set_cpuid(vm_of(call->object), call_record.cpuid, (uint32_t)count);
}

int64_t call_vm_msi(struct call *call)
{
	return vm_msi_deliver(vm_of(call->object), call->arg[1], (uint32_t)call->arg[2]);
}

int64_t call_vcpu_create(struct call *call)
{
	struct vm *vm = vm_of(call->object);
	uint64_t idx = call->arg[1];
	struct vcpu *vcpu;

	if (idx >= vm->vcpus_max) {
		return BH_ERR_INVALID;
	}
	if (vm->vcpus[idx] != NULL) {
		return BH_ERR_EXISTS;
	}
	int error = vcpu_create(call->caller, vm, (uint32_t)idx, &vcpu);

	if (error == BH_OK) {
		object_init(&vcpu->object, BH_OBJECT_VCPU, call->caller);
		call->made = &vcpu->object;
	}
	return error;
}

int64_t call_vcpu_page(struct call *call)
{
	const struct vcpu *vcpu = vcpu_of(call->object);
	uint64_t which = call->arg[1];

	if (which > BH_VCPU_PAGE_STATS) {
		return BH_ERR_INVALID;
	}
	struct region *region = region_create(call->caller, vcpu_page(vcpu, which), PAGE_SIZE,
	                                      REGION_BORROWED);

	call->made = region != NULL ? &region->object : NULL;
	call->rights = BH_RIGHT_READ | BH_RIGHT_CONTROL | BH_RIGHT_GIVE |
	               (which == BH_VCPU_PAGE_RUN ? BH_RIGHT_WRITE : 0);
	return BH_OK;
}

int64_t call_vcpu_kick(struct call *call)
{
	vcpu_request(vcpu_of(call->object), VCPU_REQUEST_KICK);
	return BH_OK;
}

int64_t call_vcpu_extint(struct call *call)
{
	struct vcpu *vcpu = vcpu_of(call->object);

	if (call->arg[1] > 1) {
		return BH_ERR_INVALID;
	}
	__atomic_store_n(&vcpu->lapic.is_extint_asserted, call->arg[1] == 1, __ATOMIC_RELEASE);
	vcpu_request(vcpu, VCPU_REQUEST_EXTINT);
	return BH_OK;
}

int64_t call_vcpu_stats(struct call *call)
{
	call_record.vcpu_stats = *vcpu_of(call->object)->stats;
	return BH_OK;
}

/* Nobody runs it, and nobody can until vcpu_release(); its registers can be reached from this pCPU. */
static int vcpu_claim(struct vcpu *vcpu)
{
	struct thread *nobody = NULL;

	if (!__atomic_compare_exchange_n(&vcpu->thread, &nobody, cpu_self()->current, false,
	                                 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		return BH_ERR_STATE;
	}
	if (vcpu->cpu != NULL && vcpu->cpu != cpu_self()) {
		message_detach_vcpu(vcpu);
	}
	fpu_flush(cpu_self(), vcpu->fpu);
	return BH_OK;
}

static void vcpu_release(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->thread, NULL, __ATOMIC_RELEASE);
}

int64_t call_vcpu_get_state(struct call *call)
{
	struct vcpu *vcpu = vcpu_of(call->object);
	int error = vcpu_claim(vcpu);

	if (error == BH_OK) {
		error = vcpu_get_state(vcpu, &call_record.vcpu_state);
		vcpu_release(vcpu);
	}
	return error;
}

int64_t call_vcpu_set_state(struct call *call)
{
	struct vcpu *vcpu = vcpu_of(call->object);
	const struct bh_vcpu_state *state = &call_record.vcpu_state;

	if (state->version != BH_ABI_VERSION || (state->groups & ~BH_STATE_ALL) != 0) {
		return BH_ERR_INVALID;
	}
	int error = vcpu_claim(vcpu);

	if (error == BH_OK) {
		error = vcpu_set_state(vcpu, state);
		vcpu_release(vcpu);
	}
	return error;
}

int64_t call_doorbell_bind(struct call *call)
{
	struct event *event;
	int error = call_event_argument(call, call->arg[2], &event);

	return error < 0 ? error : doorbell_bind(vm_of(call->object), call->arg[1], event);
}

int64_t call_doorbell_unbind(struct call *call)
{
	return doorbell_unbind(vm_of(call->object), call->arg[1]);
}

void call_vm_forget_event(const struct event *event)
{
	list_for_each(node, &vms)
	{
		doorbell_forget_event(list_entry(node, struct vm, node), event);
	}
}
