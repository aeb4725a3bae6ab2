/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into the kernel by a call: vcpu_run first, all others by the table. RAX is written here and nowhere else, but for
 * calls that wait (event_wait, vcpu_run). Without kernel_lock run only calls that change nothing but one object's own state.
 */
#include "kernel/call.h"

#include "kernel/event.h"
#include "kernel/message.h"
#include "kernel/quota.h"
#include "kernel/string.h"
#include "kernel/vcpu.h"

#define USER_END 0x0000800000000000ull /* first address that is not canonical */

#define READ     BH_RIGHT_READ
#define WRITE    BH_RIGHT_WRITE
#define CONTROL  BH_RIGHT_CONTROL

#define MAKES    0x01u /* makes a handle */
#define DERIVES  0x02u /* ... derived from the first argument's */
#define UNLOCKED 0x04u
#define IN       0x08u /* a record comes in: `size` bytes at arg[record] */
#define OUT      0x10u /* ... goes out */

#define ANY      0xffu /* type of the first argument: whatever the handle names */

struct call_entry {
	call_function *function;
	uint8_t type; /* of the first argument; 0 = it is no handle */
	uint8_t rights;
	uint8_t flags;
	uint8_t record;
	uint16_t size;
};

union call_record call_record;

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

int call_object(const struct call *call, uint64_t number, uint32_t type, uint32_t rights,
                struct object **object)
{
	*object = type == BH_OBJECT_DOMAIN && number == BH_HANDLE_SELF
	                  ? &call->caller->object
	                  : handle_find(call->caller, number, type, rights);
	return *object != NULL ? BH_OK : handle_error(call->caller, number, type);
}

int call_event_argument(const struct call *call, uint64_t number, struct event **event)
{
	struct object *object;
	int error = number != 0 ? call_object(call, number, BH_OBJECT_EVENT, WRITE, &object)
	                        : BH_OK;

	*event = error == BH_OK && number != 0 ? event_of(object) : NULL;
	return error;
}

static const struct call_entry calls[BH_CALL_COUNT] = {
	[BH_CALL_LOG_WRITE] = { call_log_write, 0, 0, UNLOCKED, 0, 0 },
	[BH_CALL_DOMAIN_CREATE] = { call_domain_create, 0, 0, MAKES | IN, 0,
	                            sizeof(struct bh_domain_params) },
	[BH_CALL_DOMAIN_INFO] = { call_domain_info, BH_OBJECT_DOMAIN, READ, OUT, 1,
	                          sizeof(struct bh_domain_info) },
	[BH_CALL_THREAD_CREATE] = { call_thread_create, BH_OBJECT_DOMAIN, CONTROL,
	                            MAKES | DERIVES | IN, 1, sizeof(struct bh_thread_params) },
	[BH_CALL_THREAD_EXIT] = { call_thread_exit, 0, 0, UNLOCKED, 0, 0 },
	[BH_CALL_THREAD_YIELD] = { call_thread_yield, 0, 0, UNLOCKED, 0, 0 },
	[BH_CALL_THREAD_SET_SHARE] = { call_thread_set_share, BH_OBJECT_THREAD, CONTROL, 0, 0, 0 },
	[BH_CALL_REGION_ALLOCATE] = { call_region_allocate, 0, 0, MAKES, 0, 0 },
	[BH_CALL_REGION_ZERO] = { call_region_zero, BH_OBJECT_REGION, CONTROL, UNLOCKED, 0, 0 },
	[BH_CALL_REGION_MAP] = { call_region_map, BH_OBJECT_REGION, 0, IN, 3,
	                         sizeof(struct bh_map) },
	[BH_CALL_REGION_UNMAP] = { call_region_unmap, BH_OBJECT_REGION, 0, 0, 0, 0 },
	[BH_CALL_REGION_INFO] = { call_region_info, BH_OBJECT_REGION, READ, OUT, 1,
	                          sizeof(struct bh_region_info) },
	[BH_CALL_EVENT_SET_CREATE] = { call_event_set_create, 0, 0, MAKES, 0, 0 },
	[BH_CALL_EVENT_CREATE] = { call_event_create, BH_OBJECT_EVENT_SET, CONTROL, MAKES | DERIVES,
	                           0, 0 },
	[BH_CALL_EVENT_SIGNAL] = { call_event_signal, BH_OBJECT_EVENT, WRITE, UNLOCKED, 0, 0 },
	[BH_CALL_EVENT_WAIT] = { call_event_wait, BH_OBJECT_EVENT_SET, CONTROL, UNLOCKED, 0, 0 },
	[BH_CALL_VM_CREATE] = { call_vm_create, 0, 0, MAKES | IN, 0, sizeof(struct bh_vm_params) },
	[BH_CALL_VCPU_CREATE] = { call_vcpu_create, BH_OBJECT_VM, CONTROL, MAKES | DERIVES, 0, 0 },
	[BH_CALL_VCPU_PAGE] = { call_vcpu_page, BH_OBJECT_VCPU, CONTROL, MAKES | DERIVES, 0, 0 },
	[BH_CALL_VCPU_GET_STATE] = { call_vcpu_get_state, BH_OBJECT_VCPU, READ, OUT, 1,
	                             sizeof(struct bh_vcpu_state) },
	[BH_CALL_VCPU_SET_STATE] = { call_vcpu_set_state, BH_OBJECT_VCPU, WRITE, IN, 1,
	                             sizeof(struct bh_vcpu_state) },
	[BH_CALL_VCPU_KICK] = { call_vcpu_kick, BH_OBJECT_VCPU, WRITE, UNLOCKED, 0, 0 },
	[BH_CALL_VM_SET_CPUID] = { call_vm_set_cpuid, BH_OBJECT_VM, CONTROL, 0, 0, 0 },
	[BH_CALL_DOORBELL_BIND] = { call_doorbell_bind, BH_OBJECT_VM, CONTROL, 0, 0, 0 },
	[BH_CALL_DOORBELL_UNBIND] = { call_doorbell_unbind, BH_OBJECT_VM, CONTROL, 0, 0, 0 },
	[BH_CALL_VM_MSI] = { call_vm_msi, BH_OBJECT_VM, WRITE, UNLOCKED, 0, 0 },
	[BH_CALL_VCPU_EXTINT] = { call_vcpu_extint, BH_OBJECT_VCPU, WRITE, UNLOCKED, 0, 0 },
	[BH_CALL_PORT] = { call_port, BH_OBJECT_HOST, WRITE, UNLOCKED, 0, 0 },
	[BH_CALL_INTERRUPT_BIND] = { call_interrupt_bind, BH_OBJECT_HOST, CONTROL, MAKES | DERIVES,
	                             0, 0 },
	[BH_CALL_INTERRUPT_ACK] = { call_interrupt_ack, BH_OBJECT_INTERRUPT, WRITE, UNLOCKED, 0,
	                            0 },
	[BH_CALL_REGION_DEVICE] = { call_region_device, BH_OBJECT_HOST, CONTROL, MAKES | DERIVES, 0,
	                            0 },
	[BH_CALL_HOST_INFO] = { call_host_info, BH_OBJECT_HOST, READ, OUT, 1,
	                        sizeof(struct bh_host_info) },
	[BH_CALL_HOST_CONTROL] = { call_host_control, BH_OBJECT_HOST, CONTROL, 0, 0, 0 },
	[BH_CALL_HANDLE_GIVE] = { call_handle_give, ANY, 0, DERIVES, 0, 0 },
	[BH_CALL_HANDLE_REVOKE] = { call_handle_revoke, ANY, 0, 0, 0, 0 },
	[BH_CALL_HANDLE_CLOSE] = { call_handle_close, ANY, 0, 0, 0, 0 },
	[BH_CALL_VCPU_STATS] = { call_vcpu_stats, BH_OBJECT_VCPU, READ, OUT, 1,
	                         sizeof(struct bh_vcpu_stats) },
};

/* The first argument and the record. */
static int call_decode(struct call *call, const struct call_entry *entry)
{
	int error = BH_OK;

	if (entry->type == ANY) {
		call->handle = handle_entry(call->caller, call->arg[0]);
		call->object = call->handle != NULL ? handle_object(call->handle) : NULL;
		error = call->handle != NULL ? BH_OK : BH_ERR_HANDLE;
	} else if (entry->type != 0) {
		error = call_object(call, call->arg[0], entry->type, entry->rights, &call->object);
		call->handle = handle_entry(call->caller, call->arg[0]);
	}
	if (error == BH_OK && (entry->flags & DERIVES) != 0 && call->handle != NULL &&
	    call->handle->depth + 1 >= HANDLE_DEPTH_MAX) {
		error = BH_ERR_LIMIT;
	}
	if (error == BH_OK && (entry->flags & IN) != 0) {
		error = call_copy_in(&call_record, call->arg[entry->record], entry->size);
	} else if ((entry->flags & OUT) != 0) {
		memset(&call_record, 0, entry->size);
	}
	return error;
}

static int64_t call_decode_and_do(struct call *call, const struct call_entry *entry)
{
	int number = 0;
	int64_t result = call_decode(call, entry);

	if (result == BH_OK && (entry->flags & MAKES) != 0) {
		number = handle_reserve(call->caller, 0);
		result = number < 0 ? number : BH_OK;
	}
	if (result < 0) {
		return result;
	}
	result = entry->function(call);
	if (result < 0) {
		return result;
	}
	if ((entry->flags & OUT) != 0) {
		return call_copy_out(call->arg[entry->record], &call_record, entry->size);
	}
	if (number == 0) {
		return result;
	}
	return call->made == NULL
	               ? BH_ERR_QUOTA
	               : handle_fill(call->caller, number, call->made, call->rights,
	                             (entry->flags & DERIVES) != 0 ? call->handle : NULL);
}

static out_of_line int64_t call_by_table(struct thread *thread, uint64_t number,
                                         const struct arch_frame *frame)
{
	const struct call_entry *entry = number < BH_CALL_COUNT ? &calls[number] : NULL;
	struct call call = { .caller = thread->domain,
		             .arg = { frame->rdi, frame->rsi, frame->rdx, frame->r10 },
		             .rights = BH_RIGHTS_ALL };
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
	                    ? vcpu_run_begin(vcpu_of(object))
	                    : handle_error(thread->domain, frame->rdi, BH_OBJECT_VCPU);

	if (unlikely(error < 0)) {
		frame->rax = (uint64_t)error;
	}
}

void call_handle(struct arch_frame *frame)
{
	struct cpu *cpu = cpu_self();
	struct thread *thread = cpu->current;
	uint64_t number = frame->rax;

	cpu->count_calls++;
	if (likely(number == BH_CALL_VCPU_RUN)) {
		call_vcpu_run(thread, frame);
	} else {
		frame->rax = (uint64_t)call_by_table(thread, number, frame);
	}
}
