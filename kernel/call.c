/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into the kernel by a call: the three frequent ones first, then by the table. RAX is written here and nowhere else, but for
 * calls that wait (event_wait, vcpu_run). Without kernel_lock run only calls that change nothing but one object's own state.
 */
#include "kernel/call.h"

#include "kernel/event.h"
#include "kernel/limbo.h"
#include "kernel/message.h"
#include "kernel/vcpu.h"

#define USER_END 0x0000800000000000ull /* first address that is not canonical */

#define READ     BH_RIGHT_READ
#define WRITE    BH_RIGHT_WRITE
#define CONTROL  BH_RIGHT_CONTROL

#define MAKES    0x1u           /* makes a handle */
#define DERIVES  (MAKES | 0x2u) /* ... derived from the first argument's */
#define UNLOCKED 0x4u

struct call_entry {
	int64_t (*function)(struct call *call);
	uint8_t type; /* of the first argument; 0 = it is no handle, or the function looks */
	uint8_t rights;
	uint8_t flags;
};

static bool range_is_user(uint64_t address, size_t size)
{
	return address < USER_END && size <= USER_END - address;
}

int call_copy_in(void *record, uint64_t address, size_t size)
{
	return range_is_user(address, size) ? arch_copy_from_user(record, HVA(address), size)
	                                    : BH_ERR_ADDRESS;
}

int call_copy_out(uint64_t address, const void *record, size_t size)
{
	return range_is_user(address, size) ? arch_copy_to_user(HVA(address), record, size)
	                                    : BH_ERR_ADDRESS;
}

struct domain *call_target_domain(const struct call *call, uint64_t number, int *error)
{
	struct domain *domain = call->caller;

	if (number != BH_HANDLE_SELF) {
		struct object *object = handle_find(call->caller, number, BH_OBJECT_DOMAIN,
		                                    BH_RIGHT_CONTROL);

		if (object == NULL) {
			*error = handle_error(call->caller, number, BH_OBJECT_DOMAIN);
			return NULL;
		}
		domain = domain_of(object);
	}
	*error = domain->object.is_dying ? BH_ERR_DEAD : BH_OK;
	return domain->object.is_dying ? NULL : domain;
}

int call_event_argument(const struct call *call, uint64_t number, struct event **event)
{
	struct object *object = handle_find(call->caller, number, BH_OBJECT_EVENT, BH_RIGHT_WRITE);

	*event = object != NULL ? event_of(object) : NULL;
	return object != NULL || number == 0 ? BH_OK
	                                     : handle_error(call->caller, number, BH_OBJECT_EVENT);
}

static int64_t call_thread_exit(struct call *call)
{
	struct cpu *cpu = cpu_self();

	(void)call;
	__atomic_store_n(&cpu->current->object.is_dying, 1, __ATOMIC_RELEASE);
	__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
	return BH_OK;
}

static int64_t call_thread_yield(struct call *call)
{
	struct cpu *cpu = cpu_self();

	(void)call;
	cpu->is_yielding = true;
	__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
	return BH_OK;
}

static const struct call_entry calls[BH_CALL_COUNT] = {
	[BH_CALL_LOG_WRITE] = { call_log_write, 0, 0, UNLOCKED },
	[BH_CALL_DOMAIN_CREATE] = { call_domain_create, 0, 0, MAKES },
	[BH_CALL_DOMAIN_DESTROY] = { call_domain_destroy, BH_OBJECT_DOMAIN, CONTROL, 0 },
	[BH_CALL_DOMAIN_INFO] = { call_domain_info, BH_OBJECT_DOMAIN, READ, 0 },
	[BH_CALL_THREAD_CREATE] = { call_thread_create, 0, 0, MAKES },
	[BH_CALL_THREAD_EXIT] = { call_thread_exit, 0, 0, UNLOCKED },
	[BH_CALL_THREAD_YIELD] = { call_thread_yield, 0, 0, UNLOCKED },
	[BH_CALL_THREAD_SET_SHARE] = { call_thread_set_share, BH_OBJECT_THREAD, CONTROL, 0 },
	[BH_CALL_REGION_ALLOCATE] = { call_region_allocate, 0, 0, MAKES },
	[BH_CALL_REGION_ZERO] = { call_region_zero, BH_OBJECT_REGION, CONTROL, 0 },
	[BH_CALL_REGION_SPLIT] = { call_region_split, BH_OBJECT_REGION, CONTROL, MAKES },
	[BH_CALL_REGION_MAP] = { call_region_map, BH_OBJECT_REGION, 0, 0 },
	[BH_CALL_REGION_UNMAP] = { call_region_unmap, BH_OBJECT_REGION, 0, 0 },
	[BH_CALL_REGION_MAP_GUEST] = { call_region_map_guest, BH_OBJECT_REGION, 0, 0 },
	[BH_CALL_REGION_UNMAP_GUEST] = { call_region_unmap_guest, BH_OBJECT_REGION, 0, 0 },
	[BH_CALL_REGION_INFO] = { call_region_info, BH_OBJECT_REGION, READ, 0 },
	[BH_CALL_EVENT_SET_CREATE] = { call_event_set_create, 0, 0, MAKES },
	[BH_CALL_EVENT_CREATE] = { call_event_create, BH_OBJECT_EVENT_SET, CONTROL, DERIVES },
	[BH_CALL_VM_CREATE] = { call_vm_create, 0, 0, MAKES },
	[BH_CALL_VCPU_CREATE] = { call_vcpu_create, BH_OBJECT_VM, CONTROL, DERIVES },
	[BH_CALL_VCPU_PAGE] = { call_vcpu_page, BH_OBJECT_VCPU, CONTROL, DERIVES },
	[BH_CALL_VCPU_GET_STATE] = { call_vcpu_get_state, BH_OBJECT_VCPU, READ, 0 },
	[BH_CALL_VCPU_SET_STATE] = { call_vcpu_set_state, BH_OBJECT_VCPU, WRITE, 0 },
	[BH_CALL_VCPU_KICK] = { call_vcpu_kick, BH_OBJECT_VCPU, WRITE, UNLOCKED },
	[BH_CALL_VM_SET_CPUID] = { call_vm_set_cpuid, BH_OBJECT_VM, CONTROL, 0 },
	[BH_CALL_DOORBELL_BIND] = { call_doorbell_bind, BH_OBJECT_VM, CONTROL, 0 },
	[BH_CALL_DOORBELL_UNBIND] = { call_doorbell_unbind, BH_OBJECT_VM, CONTROL, 0 },
	[BH_CALL_VM_MSI] = { call_vm_msi, BH_OBJECT_VM, WRITE, UNLOCKED },
	[BH_CALL_GUEST_INTERRUPT_BIND] = { call_guest_interrupt_bind, BH_OBJECT_VM, CONTROL,
	                                   DERIVES },
	[BH_CALL_VCPU_EXTINT] = { call_vcpu_extint, BH_OBJECT_VCPU, WRITE, UNLOCKED },
	[BH_CALL_PORTS_CREATE] = { call_ports_create, BH_OBJECT_HOST, CONTROL, DERIVES },
	[BH_CALL_PORT_READ] = { call_port_read, BH_OBJECT_PORTS, READ, UNLOCKED },
	[BH_CALL_PORT_WRITE] = { call_port_write, BH_OBJECT_PORTS, WRITE, UNLOCKED },
	[BH_CALL_INTERRUPT_BIND] = { call_interrupt_bind, BH_OBJECT_HOST, CONTROL, DERIVES },
	[BH_CALL_INTERRUPT_ACK] = { call_interrupt_ack, BH_OBJECT_INTERRUPT, WRITE, UNLOCKED },
	[BH_CALL_REGION_DEVICE] = { call_region_device, BH_OBJECT_HOST, CONTROL, DERIVES },
	[BH_CALL_HOST_INFO] = { call_host_info, BH_OBJECT_HOST, READ, 0 },
	[BH_CALL_HOST_CONTROL] = { call_host_control, BH_OBJECT_HOST, CONTROL, 0 },
	[BH_CALL_HANDLE_GIVE] = { call_handle_give, 0, 0, 0 },
	[BH_CALL_HANDLE_NARROW] = { call_handle_narrow, 0, 0, 0 },
	[BH_CALL_HANDLE_REVOKE] = { call_handle_revoke, 0, 0, 0 },
	[BH_CALL_HANDLE_CLOSE] = { call_handle_close, 0, 0, 0 },
	[BH_CALL_VCPU_STATS] = { call_vcpu_stats, BH_OBJECT_VCPU, READ, UNLOCKED },
};

static int64_t call_decode_and_do(struct call *call, const struct call_entry *entry)
{
	if (entry->type != 0) {
		call->object = handle_find(call->caller, call->frame->rdi, entry->type,
		                           entry->rights);
		if (call->object == NULL) {
			return handle_error(call->caller, call->frame->rdi, entry->type);
		}
		call->handle = handle_entry(call->caller, call->frame->rdi);
	}
	if (call->handle != NULL && (entry->flags & DERIVES) == DERIVES &&
	    call->handle->depth + 1u >= HANDLE_DEPTH_MAX) {
		return BH_ERR_LIMIT;
	}
	if ((entry->flags & MAKES) == 0) {
		return entry->function(call);
	}
	call->number = handle_reserve(call->caller, 0);
	int64_t result = call->number < 0 ? call->number : entry->function(call);

	if (result < 0 && call->number > 0) {
		handle_unreserve(call->caller, call->number);
	}
	return result;
}

static out_of_line int64_t call_by_table(struct thread *thread, uint64_t number,
                                         const struct arch_frame *frame)
{
	const struct call_entry *entry = number < BH_CALL_COUNT ? &calls[number] : NULL;
	struct call call = { .caller = thread->domain, .frame = frame };
	int64_t result = BH_ERR_DEAD;

	if (entry == NULL || entry->function == NULL) {
		return BH_ERR_CALL;
	}
	if ((entry->flags & UNLOCKED) != 0) {
		return call_decode_and_do(&call, entry);
	}
	kernel_lock_take();
	/* Killed while it waited for the lock: it may change nothing any more. */
	if (__atomic_load_n(&thread->object.is_dying, __ATOMIC_ACQUIRE) == 0) {
		result = call_decode_and_do(&call, entry);
	}
	limbo_flush();
	kernel_lock_drop();
	return result;
}

static void call_vcpu_run(struct thread *thread, struct arch_frame *frame)
{
	struct object *object = handle_find(thread->domain, frame->rdi, BH_OBJECT_VCPU,
	                                    BH_RIGHT_WRITE);
	int error = likely(object != NULL)
	                    ? vcpu_run_begin(container_of(object, struct vcpu, object))
	                    : handle_error(thread->domain, frame->rdi, BH_OBJECT_VCPU);

	if (unlikely(error < 0)) {
		frame->rax = (uint64_t)error;
	}
}

static int64_t call_event_signal(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_EVENT, BH_RIGHT_WRITE);

	if (unlikely(object == NULL)) {
		return handle_error(caller, frame->rdi, BH_OBJECT_EVENT);
	}
	event_signal(event_of(object));
	return BH_OK;
}

static int64_t call_event_wait(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_EVENT_SET,
	                                    BH_RIGHT_CONTROL);

	return likely(object != NULL)
	               ? event_wait(event_set_of(object), frame->rsi, HVA(frame->rdx))
	               : handle_error(caller, frame->rdi, BH_OBJECT_EVENT_SET);
}

void call_handle(struct arch_frame *frame)
{
	struct cpu *cpu = cpu_self();
	struct thread *thread = cpu->current;
	uint64_t number = frame->rax;
	int64_t result;

	cpu->count_calls++;
	if (likely(number == BH_CALL_VCPU_RUN)) {
		call_vcpu_run(thread, frame);
		return;
	}
	if (number == BH_CALL_EVENT_SIGNAL) {
		result = call_event_signal(thread->domain, frame);
	} else if (number == BH_CALL_EVENT_WAIT) {
		result = call_event_wait(thread->domain, frame);
	} else {
		result = call_by_table(thread, number, frame);
	}
	frame->rax = (uint64_t)result;
}
