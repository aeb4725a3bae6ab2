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

static struct vm *vm_find(struct domain *caller, uint64_t number, int64_t *error)
{
	struct object *object = handle_find(caller, number, BH_OBJECT_VM, BH_RIGHT_CONTROL);

	*error = object != NULL ? BH_OK : handle_error(caller, number, BH_OBJECT_VM);
	return object != NULL ? vm_of(object) : NULL;
}

/* The entry from which something is derived: a handle of the caller's, with CONTROL, with room below it. */
static struct handle *parent_find(struct domain *caller, uint64_t number, uint32_t type, int *error)
{
	struct handle *handle = call_handle_entry(caller, number, type, BH_RIGHT_CONTROL, error);

	if (handle != NULL && handle->depth + 1u >= HANDLE_DEPTH_MAX) {
		*error = BH_ERR_LIMIT;
		return NULL;
	}
	return handle;
}

static int64_t call_vm_create(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_vm_params params;
	struct vm *vm;
	int error = call_copy_in(&params, frame->rdi, sizeof(params));

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
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = vm_create(caller, &params, &vm);
	if (error < 0) {
		return error;
	}
	object_init(&vm->object, BH_OBJECT_VM, caller);
	list_init(&vm->mappings);
	list_insert_before(&vms, &vm->node);
	return handle_fill(caller, number, &vm->object, BH_RIGHTS_ALL, NULL);
}

static int64_t call_vm_set_cpuid(struct domain *caller, const struct arch_frame *frame)
{
	int64_t error;
	struct vm *vm = vm_find(caller, frame->rdi, &error);

	if (vm == NULL) {
		return error;
	}
	if (frame->rdx > BH_CPUID_MAX) {
		return BH_ERR_INVALID;
	}
	error = call_copy_in(bounce.cpuid, frame->rsi, frame->rdx * sizeof(struct bh_cpuid_entry));
	return error < 0 ? error : vm_set_cpuid(vm, bounce.cpuid, (uint32_t)frame->rdx);
}

static int64_t call_vcpu_create(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *parent = parent_find(caller, frame->rdi, BH_OBJECT_VM, &error);
	struct vcpu *vcpu;

	if (parent == NULL) {
		return error;
	}
	struct vm *vm = vm_of(handle_object(parent));

	if (frame->rsi >= vm->vcpus_max) {
		return BH_ERR_INVALID;
	}
	if (vm->vcpus[frame->rsi] != NULL) {
		return BH_ERR_EXISTS;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = vcpu_create(caller, vm, (uint32_t)frame->rsi, &vcpu);
	if (error < 0) {
		return error;
	}
	object_init(&vcpu->object, BH_OBJECT_VCPU, caller);
	return handle_fill(caller, number, &vcpu->object, BH_RIGHTS_ALL, parent);
}

static int64_t call_vcpu_page(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *parent = parent_find(caller, frame->rdi, BH_OBJECT_VCPU, &error);
	uint32_t rights = BH_RIGHT_READ | BH_RIGHT_CONTROL | BH_RIGHT_GIVE;
	struct region *region;
	hpa_t pa;

	if (parent == NULL) {
		return error;
	}
	const struct vcpu *vcpu = vcpu_of(handle_object(parent));

	switch (frame->rsi) {
	case BH_VCPU_PAGE_RUN:
		pa = vcpu->run_page;
		rights |= BH_RIGHT_WRITE;
		break;
	case BH_VCPU_PAGE_LAPIC:
		pa = vcpu->lapic.page;
		break;
	case BH_VCPU_PAGE_STATS:
		pa = vcpu->stats_page;
		break;
	default:
		return BH_ERR_INVALID;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = region_create_at(caller, pa, PAGE_SIZE, REGION_BORROWED, &region);
	return error < 0 ? error : handle_fill(caller, number, &region->object, rights, parent);
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

static int64_t call_vcpu_get_state(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_VCPU, BH_RIGHT_READ);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_VCPU);
	}
	int error = vcpu_claim(vcpu_of(object));

	if (error < 0) {
		return error;
	}
	error = vcpu_get_state(vcpu_of(object), &bounce.state);
	vcpu_release(vcpu_of(object));
	return error < 0 ? error : call_copy_out(frame->rsi, &bounce.state, sizeof(bounce.state));
}

static int64_t call_vcpu_set_state(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_VCPU, BH_RIGHT_WRITE);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_VCPU);
	}
	int error = call_copy_in(&bounce.state, frame->rsi, sizeof(bounce.state));

	if (error < 0) {
		return error;
	}
	if (bounce.state.version != BH_ABI_VERSION || (bounce.state.groups & ~BH_STATE_ALL) != 0) {
		return BH_ERR_INVALID;
	}
	error = vcpu_claim(vcpu_of(object));
	if (error < 0) {
		return error;
	}
	error = vcpu_set_state(vcpu_of(object), &bounce.state);
	vcpu_release(vcpu_of(object));
	return error;
}

static int64_t doorbell_decode(struct domain *caller, const struct arch_frame *frame,
                               struct bh_doorbell *record, struct event **event)
{
	struct object *object;
	int64_t error = call_copy_in(record, frame->rsi, sizeof(*record));
	uint32_t length = record->length_bytes;

	*event = NULL;
	if (error < 0) {
		return error;
	}
	if ((record->flags & ~(BH_DOORBELL_PORT | BH_DOORBELL_MATCH)) != 0 ||
	    record->reserved != 0 ||
	    (length != 0 && length != 1 && length != 2 && length != 4 && length != 8) ||
	    ((record->flags & BH_DOORBELL_PORT) != 0 &&
	     (record->address > 0xffff || length == 8))) {
		return BH_ERR_INVALID;
	}
	if (record->event == 0) {
		return BH_OK;
	}
	object = handle_find(caller, record->event, BH_OBJECT_EVENT, BH_RIGHT_WRITE);
	if (object == NULL) {
		return handle_error(caller, record->event, BH_OBJECT_EVENT);
	}
	*event = event_of(object);
	return BH_OK;
}

static int64_t call_doorbell_bind(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_doorbell record = { 0 };
	struct event *event;
	int64_t error;
	struct vm *vm = vm_find(caller, frame->rdi, &error);

	error = error < 0 ? error : doorbell_decode(caller, frame, &record, &event);
	if (error < 0) {
		return error;
	}
	if (event != NULL) {
		event->is_bound = true;
	}
	return vm_doorbell_bind(vm, &record, event);
}

static int64_t call_doorbell_unbind(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_doorbell record;
	int64_t error;
	struct vm *vm = vm_find(caller, frame->rdi, &error);

	error = error < 0 ? error : call_copy_in(&record, frame->rsi, sizeof(record));
	return error < 0 ? error : vm_doorbell_unbind(vm, &record);
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

static int64_t call_guest_interrupt_bind(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *parent = parent_find(caller, frame->rdi, BH_OBJECT_VM, &error);
	struct event *event;

	if (parent == NULL) {
		return error;
	}
	if (frame->rdx > UINT32_MAX) {
		return BH_ERR_INVALID;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = event_create_msi(caller, vm_of(handle_object(parent)), frame->rsi,
	                         (uint32_t)frame->rdx, &event);
	return error < 0 ? error
	                 : handle_fill(caller, number, &event->object, BH_RIGHTS_ALL, parent);
}

int64_t call_vm(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	switch (number) {
	case BH_CALL_VM_CREATE:
		return call_vm_create(caller, frame);
	case BH_CALL_VM_SET_CPUID:
		return call_vm_set_cpuid(caller, frame);
	case BH_CALL_VCPU_CREATE:
		return call_vcpu_create(caller, frame);
	case BH_CALL_VCPU_PAGE:
		return call_vcpu_page(caller, frame);
	case BH_CALL_VCPU_GET_STATE:
		return call_vcpu_get_state(caller, frame);
	case BH_CALL_VCPU_SET_STATE:
		return call_vcpu_set_state(caller, frame);
	case BH_CALL_DOORBELL_BIND:
		return call_doorbell_bind(caller, frame);
	case BH_CALL_DOORBELL_UNBIND:
		return call_doorbell_unbind(caller, frame);
	case BH_CALL_GUEST_INTERRUPT_BIND:
		return call_guest_interrupt_bind(caller, frame);
	default:
		return BH_ERR_CALL;
	}
}
