/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls on virtual machines and vCPUs (see call.h): decode handles, copy records, hand on to kernel/vcpu.h.
 * A handle made from a VM's handle is derived from that, so vCPUs, their pages and guest interrupts end before their VM does.
 */
#include "kernel/call.h"

#include "arch/x86/hvm.h"
#include "kernel/event.h"
#include "kernel/fpu.h"
#include "kernel/message.h"
#include "kernel/region.h"
#include "kernel/string.h"
#include "kernel/vcpu.h"

struct list vms = { &vms, &vms };

/* Records too large for the stack; under kernel_lock. */
static union {
	struct bh_vcpu_state state;
	struct bh_cpuid_entry cpuid[BH_CPUID_MAX];
} bounce;

static struct vm *vm_of(struct object *object)
{
	return container_of(object, struct vm, object);
}

static struct vcpu *vcpu_of(struct object *object)
{
	return container_of(object, struct vcpu, object);
}

int64_t call_vm_create(struct call *call)
{
	struct bh_vm_params params;
	struct vm *vm;
	int error = call_copy_in(&params, call->frame->rdi, sizeof(params));

	if (error < 0) {
		return error;
	}
	if (hvm == NULL) {
		return BH_ERR_UNSUPPORTED;
	}
	if ((params.flags & ~BH_VM_DEBUG) != 0 || params.vcpus_max == 0 ||
	    params.vcpus_max > BH_MAX_VCPUS ||
	    (params.reserved[0] | params.reserved[1] | params.reserved[2]) != 0) {
		return BH_ERR_INVALID;
	}
	error = vm_create(call->caller, &params, &vm);
	if (error < 0) {
		return error;
	}
	object_init(&vm->object, BH_OBJECT_VM, call->caller);
	list_init(&vm->mappings);
	list_insert_before(&vms, &vm->node);
	return handle_fill(call->caller, call->number, &vm->object, BH_RIGHTS_ALL, NULL);
}

int64_t call_vm_set_cpuid(struct call *call)
{
	uint64_t count = call->frame->rdx;
	int error = count <= BH_CPUID_MAX ? call_copy_in(bounce.cpuid, call->frame->rsi,
	                                                 count * sizeof(struct bh_cpuid_entry))
	                                  : BH_ERR_INVALID;

	return error < 0 ? error : vm_set_cpuid(vm_of(call->object), bounce.cpuid, (uint32_t)count);
}

int64_t call_vm_msi(struct call *call)
{
	return vm_msi_deliver(vm_of(call->object), call->frame->rsi, (uint32_t)call->frame->rdx);
}

int64_t call_vcpu_create(struct call *call)
{
	struct vm *vm = vm_of(call->object);
	uint64_t idx = call->frame->rsi;
	struct vcpu *vcpu;

	if (idx >= vm->vcpus_max) {
		return BH_ERR_INVALID;
	}
	if (vm->vcpus[idx] != NULL) {
		return BH_ERR_EXISTS;
	}
	int error = vcpu_create(call->caller, vm, (uint32_t)idx, &vcpu);

	if (error < 0) {
		return error;
	}
	object_init(&vcpu->object, BH_OBJECT_VCPU, call->caller);
	return handle_fill(call->caller, call->number, &vcpu->object, BH_RIGHTS_ALL, call->handle);
}

int64_t call_vcpu_page(struct call *call)
{
	const struct vcpu *vcpu = vcpu_of(call->object);
	uint32_t rights = BH_RIGHT_READ | BH_RIGHT_CONTROL | BH_RIGHT_GIVE;
	uint64_t which = call->frame->rsi;
	struct region *region;

	if (which > BH_VCPU_PAGE_STATS) {
		return BH_ERR_INVALID;
	}
	rights |= which == BH_VCPU_PAGE_RUN ? BH_RIGHT_WRITE : 0;
	int error = region_create_at(call->caller, vcpu->pages[which], PAGE_SIZE, REGION_BORROWED,
	                             &region);

	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &region->object, rights,
	                               call->handle);
}

int64_t call_vcpu_kick(struct call *call)
{
	vcpu_kick(vcpu_of(call->object));
	return BH_OK;
}

int64_t call_vcpu_extint(struct call *call)
{
	if (call->frame->rsi > 1) {
		return BH_ERR_INVALID;
	}
	vcpu_set_extint(vcpu_of(call->object), call->frame->rsi == 1);
	return BH_OK;
}

int64_t call_vcpu_stats(struct call *call)
{
	return call_copy_out(call->frame->rsi, vcpu_of(call->object)->stats,
	                     sizeof(struct bh_vcpu_stats));
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

	if (error < 0) {
		return error;
	}
	memset(&bounce.state, 0, sizeof(bounce.state)); /* nothing of another guest's */
	error = vcpu_get_state(vcpu, &bounce.state);
	vcpu_release(vcpu);
	return error < 0 ? error
	                 : call_copy_out(call->frame->rsi, &bounce.state, sizeof(bounce.state));
}

int64_t call_vcpu_set_state(struct call *call)
{
	struct vcpu *vcpu = vcpu_of(call->object);
	int error = call_copy_in(&bounce.state, call->frame->rsi, sizeof(bounce.state));

	if (error < 0) {
		return error;
	}
	if (bounce.state.version != BH_ABI_VERSION || (bounce.state.groups & ~BH_STATE_ALL) != 0) {
		return BH_ERR_INVALID;
	}
	error = vcpu_claim(vcpu);
	if (error < 0) {
		return error;
	}
	error = vcpu_set_state(vcpu, &bounce.state);
	vcpu_release(vcpu);
	return error;
}

int64_t call_doorbell_bind(struct call *call)
{
	struct bh_doorbell record;
	struct event *event;
	int error = call_copy_in(&record, call->frame->rsi, sizeof(record));

	if (error < 0) {
		return error;
	}
	error = call_event_argument(call, record.event, &event);
	if (error < 0) {
		return error;
	}
	error = vm_doorbell_bind(vm_of(call->object), &record, event);
	if (error == BH_OK && event != NULL) {
		event->is_bound = true;
	}
	return error;
}

int64_t call_doorbell_unbind(struct call *call)
{
	struct bh_doorbell record;
	int error = call_copy_in(&record, call->frame->rsi, sizeof(record));

	return error < 0 ? error : vm_doorbell_unbind(vm_of(call->object), &record);
}

/* A write in flight may still use the event: limbo frees it after every pCPU has passed a safe point. */
void call_vm_forget_event(const struct event *event)
{
	list_for_each(node, &vms)
	{
		struct vm *vm = list_entry(node, struct vm, node);

		for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
			if (vm->doorbells[i].event == event) {
				__atomic_store_n(&vm->doorbells[i].event, NULL, __ATOMIC_RELEASE);
			}
		}
		for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
			if (vm->port_slots[i].event == event) {
				__atomic_store_n(&vm->port_slots[i].event, NULL, __ATOMIC_RELEASE);
			}
		}
	}
}

int64_t call_guest_interrupt_bind(struct call *call)
{
	uint64_t data = call->frame->rdx;
	struct event *event;
	int error = data <= UINT32_MAX ? event_create_msi(call->caller, vm_of(call->object),
	                                                  call->frame->rsi, (uint32_t)data, &event)
	                               : BH_ERR_INVALID;

	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &event->object, BH_RIGHTS_ALL,
	                               call->handle);
}
