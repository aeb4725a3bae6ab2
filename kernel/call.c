/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into the kernel by a call: vcpu_run first, all others by the table. RAX is written here and nowhere else, but for
 * calls that wait (event_wait, vcpu_run). Without kernel_lock run only calls that change nothing but one object's own state.
 */
#include "kernel/call.h"

#include "kernel/thread.h"
#include "kernel/quota.h"
#include "kernel/string.h"
#include "kernel/trace.h"
#include "kernel/vcpu.h"

#define MAKES    0x01u /* makes a handle */
#define FROM     0x02u /* ... derived from the first argument's */
#define DERIVES  (MAKES | FROM)
#define UNLOCKED 0x04u
/* A record of `size` bytes comes in, or goes out, at this argument. */
#define IN(arg)    (0x08u | (arg) << 8)
#define OUT(arg)   (0x10u | (arg) << 8)
#define RECORD(of) sizeof(call_record.of)

struct call_entry {
	call_function *function;
	uint8_t type;   /* what the first argument must name; NONE: it is no handle */
	uint8_t rights; /* to it */
	uint16_t flags;
	uint16_t size;
};

union call_record call_record;

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
	int error = number != 0
	                    ? call_object(call, number, BH_OBJECT_EVENT, BH_RIGHT_WRITE, &object)
	                    : BH_OK;

	*event = error == BH_OK && number != 0 ? event_of(object) : NULL;
	return error;
}

#define CALL(name, function, type, rights, flags, size) \
	[BH_CALL_##name] = { function, BH_OBJECT_##type, rights, flags, size }
static const struct call_entry calls[BH_CALL_COUNT] = {
	CALL(LOG_WRITE, call_log_write, NONE, 0, UNLOCKED, 0),
	CALL(DOMAIN_CREATE, call_domain_create, NONE, 0, MAKES | IN(0), RECORD(domain)),
	CALL(DOMAIN_INFO, call_domain_info, DOMAIN, BH_RIGHT_READ, OUT(1), RECORD(domain_info)),
	CALL(THREAD_CREATE, call_thread_create, DOMAIN, BH_RIGHT_CONTROL, DERIVES | IN(1),
	     RECORD(thread)),
	CALL(THREAD_EXIT, call_thread_exit, NONE, 0, UNLOCKED, 0),
	CALL(THREAD_YIELD, call_thread_yield, NONE, 0, UNLOCKED, 0),
	CALL(THREAD_SET_SHARE, call_thread_set_share, THREAD, BH_RIGHT_CONTROL, 0, 0),
	CALL(REGION_ALLOCATE, call_region_allocate, NONE, 0, MAKES, 0),
	CALL(REGION_ZERO, call_region_zero, REGION, BH_RIGHT_CONTROL, UNLOCKED, 0),
	CALL(REGION_MAP, call_region_map, REGION, 0, IN(3), RECORD(map)),
	CALL(REGION_UNMAP, call_region_unmap, REGION, 0, 0, 0),
	CALL(REGION_INFO, call_region_info, REGION, BH_RIGHT_READ, OUT(1), RECORD(region_info)),
	CALL(EVENT_SET_CREATE, call_event_set_create, NONE, 0, MAKES, 0),
	CALL(EVENT_CREATE, call_event_create, EVENT_SET, BH_RIGHT_CONTROL, DERIVES, 0),
	CALL(EVENT_SIGNAL, call_event_signal, EVENT, BH_RIGHT_WRITE, UNLOCKED, 0),
	CALL(VM_CREATE, call_vm_create, NONE, 0, MAKES | IN(0), RECORD(vm)),
	CALL(VCPU_CREATE, call_vcpu_create, VM, BH_RIGHT_CONTROL, DERIVES, 0),
	CALL(VCPU_PAGE, call_vcpu_page, VCPU, BH_RIGHT_CONTROL, DERIVES, 0),
	CALL(VCPU_GET_STATE, call_vcpu_get_state, VCPU, BH_RIGHT_READ, OUT(1), RECORD(vcpu_state)),
	CALL(VCPU_SET_STATE, call_vcpu_set_state, VCPU, BH_RIGHT_WRITE, IN(1), RECORD(vcpu_state)),
	CALL(VCPU_KICK, call_vcpu_kick, VCPU, BH_RIGHT_WRITE, UNLOCKED, 0),
	CALL(VM_SET_CPUID, call_vm_set_cpuid, VM, BH_RIGHT_CONTROL, 0, 0),
	CALL(DOORBELL_BIND, call_doorbell_bind, VM, BH_RIGHT_CONTROL, 0, 0),
	CALL(DOORBELL_UNBIND, call_doorbell_unbind, VM, BH_RIGHT_CONTROL, 0, 0),
	CALL(VM_MSI, call_vm_msi, VM, BH_RIGHT_WRITE, UNLOCKED, 0),
	CALL(VCPU_EXTINT, call_vcpu_extint, VCPU, BH_RIGHT_WRITE, UNLOCKED, 0),
	CALL(TRACE, call_trace, HOST, BH_RIGHT_CONTROL, 0, 0),
	CALL(PORT, call_port, HOST, BH_RIGHT_WRITE, UNLOCKED, 0),
	CALL(INTERRUPT_BIND, call_interrupt_bind, HOST, BH_RIGHT_CONTROL, DERIVES, 0),
	CALL(INTERRUPT_ACK, call_interrupt_ack, INTERRUPT, BH_RIGHT_WRITE, UNLOCKED, 0),
	CALL(REGION_DEVICE, call_region_device, HOST, BH_RIGHT_CONTROL, DERIVES, 0),
	CALL(HOST_INFO, call_host_info, HOST, BH_RIGHT_READ, OUT(1), RECORD(host_info)),
	CALL(HOST_CONTROL, call_host_control, HOST, BH_RIGHT_CONTROL, 0, 0),
	CALL(HANDLE_GIVE, call_handle_give, ANY, 0, FROM, 0),
	CALL(HANDLE_REVOKE, call_handle_revoke, ANY, 0, 0, 0),
	CALL(HANDLE_CLOSE, call_handle_close, ANY, 0, 0, 0),
	CALL(VCPU_STATS, call_vcpu_stats, VCPU, BH_RIGHT_READ, OUT(1), RECORD(vcpu_stats)),
};
#undef CALL

/* The first argument and the record. */
static int call_decode(struct call *call, const struct call_entry *entry)
{
	int error = BH_OK;

	if (entry->type != 0) {
		error = call_object(call, call->arg[0], entry->type, entry->rights, &call->object);
		call->handle = handle_entry(call->caller, call->arg[0]);
	}
	if (error == BH_OK && (entry->flags & FROM) != 0 && call->handle != NULL &&
	    call->handle->depth + 1 >= HANDLE_DEPTH_MAX) {
		error = BH_ERR_LIMIT;
	}
	if (error == BH_OK && (entry->flags & IN(0)) != 0) {
		error = arch_copy_from_user(&call_record, HVA(call->arg[entry->flags >> 8]),
		                            entry->size);
	} else if ((entry->flags & OUT(0)) != 0) {
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
	if ((entry->flags & OUT(0)) != 0) {
		return arch_copy_to_user(HVA(call->arg[entry->flags >> 8]), &call_record,
		                         entry->size);
	}
	if (number == 0) {
		return result;
	}
	return call->made == NULL ? BH_ERR_QUOTA
	                          : handle_fill(call->caller, number, call->made, call->rights,
	                                        (entry->flags & FROM) != 0 ? call->handle : NULL);
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
	if (entry->flags == UNLOCKED &&
	    entry->type != 0) { /* the frequent ones: no record, no lock */
		call.object = handle_find(call.caller, frame->rdi, entry->type, entry->rights);
		return likely(call.object != NULL)
		               ? entry->function(&call)
		               : handle_error(call.caller, frame->rdi, entry->type);
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

	frame->rax = (uint64_t)error; /* OK is what it returns with after an exit, too */
}

/* The most frequent of them, with or without a message to a guest before the wait. */
static int64_t call_event_wait(struct thread *thread, const struct arch_frame *frame)
{
	struct object *set = handle_find(thread->domain, frame->rdi, BH_OBJECT_EVENT_SET,
	                                 BH_RIGHT_CONTROL);

	if (unlikely(set == NULL)) {
		return handle_error(thread->domain, frame->rdi, BH_OBJECT_EVENT_SET);
	}
	if (frame->r10 != 0) {
		struct object *vm = handle_find(thread->domain, frame->r10, BH_OBJECT_VM,
		                                BH_RIGHT_WRITE);
		int error = vm != NULL ? vm_msi_deliver(vm_of(vm), frame->r8, (uint32_t)frame->r9)
		                       : handle_error(thread->domain, frame->r10, BH_OBJECT_VM);

		if (unlikely(error < 0)) {
			return error;
		}
	}
	return event_wait(thread, event_set_of(set), frame);
}

static inline int64_t call_any(struct thread *thread, uint64_t number,
                               const struct arch_frame *frame)
{
	return number == BH_CALL_EVENT_WAIT ? call_event_wait(thread, frame)
	                                    : call_by_table(thread, number, frame);
}

static out_of_line void call_traced(struct thread *thread, uint64_t number,
                                    struct arch_frame *frame)
{
	uint32_t who = TRACE_WHO(thread->domain->id, number);

	trace(BH_TRACE_CALL, who, frame->rdi);
	frame->rax = (uint64_t)call_any(thread, number, frame);
	trace(BH_TRACE_CALL_END, who, frame->rax);
}

void call_handle(struct arch_frame *frame)
{
	struct thread *thread = cpu_self()->current;
	uint64_t number = frame->rax;

	if (likely(number == BH_CALL_VCPU_RUN)) {
		call_vcpu_run(thread, frame);
	} else if (likely((trace_kinds & 1u << BH_TRACE_CALL) == 0)) {
		frame->rax = (uint64_t)call_any(thread, number, frame);
	} else {
		call_traced(thread, number, frame);
	}
}
