/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into the kernel by a call: the frequent ones first and without lock, then the rest under kernel_lock, by a flat switch.
 * Arguments: RDI, RSI, RDX, R10. RAX is written here and nowhere else, but for calls that wait (event_wait, vcpu_run).
 */
#include "kernel/call.h"

#include "kernel/event.h"
#include "kernel/interrupt.h"
#include "kernel/limbo.h"
#include "kernel/log.h"
#include "kernel/message.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

#define USER_END     0x0000800000000000ull /* first address that is not canonical */
#define LOG_TEXT_MAX 256u

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

struct handle *call_handle_entry(struct domain *caller, uint64_t number, uint32_t type,
                                 uint32_t rights, int *error)
{
	if (handle_find(caller, number, type, rights) == NULL) {
		*error = handle_error(caller, number, type);
		return NULL;
	}
	return handle_entry(caller, number);
}

struct domain *call_target_domain(struct domain *caller, uint64_t number, int *error)
{
	struct domain *domain = caller;

	if (number != BH_HANDLE_SELF) {
		struct object *object = handle_find(caller, number, BH_OBJECT_DOMAIN,
		                                    BH_RIGHT_CONTROL);

		if (object == NULL) {
			*error = handle_error(caller, number, BH_OBJECT_DOMAIN);
			return NULL;
		}
		domain = domain_of(object);
	}
	if (domain->object.is_dying) {
		*error = BH_ERR_DEAD;
		return NULL;
	}
	return domain;
}

static int64_t call_log_write(struct domain *caller, const struct arch_frame *frame)
{
	char text[LOG_TEXT_MAX];

	if (frame->rsi > LOG_TEXT_MAX) {
		return BH_ERR_INVALID;
	}
	int error = call_copy_in(text, frame->rdi, frame->rsi);

	if (error == BH_OK) {
		log_write_domain(caller->id, caller->name, text, frame->rsi);
	}
	return error;
}

static int64_t call_thread_exit(void)
{
	struct cpu *cpu = cpu_self();

	__atomic_store_n(&cpu->current->object.is_dying, 1, __ATOMIC_RELEASE);
	__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
	return BH_OK;
}

static int64_t call_thread_yield(void)
{
	struct cpu *cpu = cpu_self();

	cpu->is_yielding = true;
	__atomic_or_fetch(&cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_RELAXED);
	return BH_OK;
}

static int64_t call_vcpu_kick(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_VCPU, BH_RIGHT_WRITE);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_VCPU);
	}
	vcpu_kick(container_of(object, struct vcpu, object));
	return BH_OK;
}

static int64_t call_vcpu_extint(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_VCPU, BH_RIGHT_WRITE);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_VCPU);
	}
	if (frame->rsi > 1) {
		return BH_ERR_INVALID;
	}
	vcpu_set_extint(container_of(object, struct vcpu, object), frame->rsi == 1);
	return BH_OK;
}

static int64_t call_vm_msi(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_VM, BH_RIGHT_WRITE);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_VM);
	}
	return vm_msi_deliver(container_of(object, struct vm, object), frame->rsi,
	                      (uint32_t)frame->rdx);
}

static int64_t call_vcpu_stats(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_VCPU, BH_RIGHT_READ);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_VCPU);
	}
	return call_copy_out(frame->rsi, container_of(object, struct vcpu, object)->stats,
	                     sizeof(struct bh_vcpu_stats));
}

static int64_t call_interrupt_ack(struct domain *caller, const struct arch_frame *frame)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_INTERRUPT,
	                                    BH_RIGHT_WRITE);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_INTERRUPT);
	}
	interrupt_ack(interrupt_of(object));
	return BH_OK;
}

static bool port_range_is_ok(const struct ports *ports, uint64_t port, uint64_t width)
{
	return (width == 1 || width == 2 || width == 4) && port >= ports->first && port <= 0xffff &&
	       port + width <= ports->first + ports->count;
}

static int64_t call_port(struct domain *caller, const struct arch_frame *frame, bool is_write)
{
	struct object *object = handle_find(caller, frame->rdi, BH_OBJECT_PORTS,
	                                    is_write ? BH_RIGHT_WRITE : BH_RIGHT_READ);

	if (object == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_PORTS);
	}
	if (!port_range_is_ok(ports_of(object), frame->rsi, frame->rdx)) {
		return BH_ERR_INVALID;
	}
	if (is_write) {
		arch_port_write((uint16_t)frame->rsi, (uint32_t)frame->rdx, (uint32_t)frame->r10);
		return BH_OK;
	}
	return arch_port_read((uint16_t)frame->rsi, (uint32_t)frame->rdx);
}

static int64_t call_locked(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	switch (number) {
	case BH_CALL_DOMAIN_CREATE:
	case BH_CALL_DOMAIN_DESTROY:
	case BH_CALL_DOMAIN_INFO:
	case BH_CALL_THREAD_CREATE:
	case BH_CALL_THREAD_SET_SHARE:
	case BH_CALL_THREAD_INFO:
		return call_domain(caller, number, frame);
	case BH_CALL_REGION_ALLOCATE:
	case BH_CALL_REGION_ZERO:
	case BH_CALL_REGION_SPLIT:
	case BH_CALL_REGION_MAP:
	case BH_CALL_REGION_UNMAP:
	case BH_CALL_REGION_MAP_GUEST:
	case BH_CALL_REGION_UNMAP_GUEST:
	case BH_CALL_REGION_INFO:
		return call_region(caller, number, frame);
	case BH_CALL_EVENT_SET_CREATE:
	case BH_CALL_EVENT_CREATE:
		return call_event(caller, number, frame);
	case BH_CALL_VM_CREATE:
	case BH_CALL_VM_SET_CPUID:
	case BH_CALL_VCPU_CREATE:
	case BH_CALL_VCPU_PAGE:
	case BH_CALL_VCPU_GET_STATE:
	case BH_CALL_VCPU_SET_STATE:
	case BH_CALL_DOORBELL_BIND:
	case BH_CALL_DOORBELL_UNBIND:
	case BH_CALL_GUEST_INTERRUPT_BIND:
		return call_vm(caller, number, frame);
	case BH_CALL_PORTS_CREATE:
	case BH_CALL_INTERRUPT_BIND:
	case BH_CALL_REGION_DEVICE:
	case BH_CALL_HOST_INFO:
	case BH_CALL_HOST_CONTROL:
		return call_host(caller, number, frame);
	case BH_CALL_HANDLE_GIVE:
	case BH_CALL_HANDLE_NARROW:
	case BH_CALL_HANDLE_REVOKE:
	case BH_CALL_HANDLE_CLOSE:
		return call_handles(caller, number, frame);
	default:
		return BH_ERR_CALL;
	}
}

/* Killed while it waited for the lock: nothing may be changed any more. */
static int64_t call_with_lock(struct thread *thread, uint64_t number,
                              const struct arch_frame *frame)
{
	int64_t result = BH_ERR_DEAD;

	kernel_lock_take();
	if (__atomic_load_n(&thread->object.is_dying, __ATOMIC_ACQUIRE) == 0) {
		result = call_locked(thread->domain, number, frame);
	}
	limbo_flush();
	kernel_lock_drop();
	return result;
}

static out_of_line int64_t call_other(struct thread *thread, uint64_t number, const struct arch_frame *frame)
{
	struct domain *caller = thread->domain;

	switch (number) {
	case BH_CALL_LOG_WRITE:
		return call_log_write(caller, frame);
	case BH_CALL_THREAD_EXIT:
		return call_thread_exit();
	case BH_CALL_THREAD_YIELD:
		return call_thread_yield();
	case BH_CALL_VCPU_KICK:
		return call_vcpu_kick(caller, frame);
	case BH_CALL_VCPU_EXTINT:
		return call_vcpu_extint(caller, frame);
	case BH_CALL_VCPU_STATS:
		return call_vcpu_stats(caller, frame);
	case BH_CALL_VM_MSI:
		return call_vm_msi(caller, frame);
	case BH_CALL_INTERRUPT_ACK:
		return call_interrupt_ack(caller, frame);
	case BH_CALL_PORT_READ:
		return call_port(caller, frame, false);
	case BH_CALL_PORT_WRITE:
		return call_port(caller, frame, true);
	default:
		return call_with_lock(thread, number, frame);
	}
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

	if (unlikely(object == NULL)) {
		return handle_error(caller, frame->rdi, BH_OBJECT_EVENT_SET);
	}
	return event_wait(event_set_of(object), frame->rsi, HVA(frame->rdx));
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
		result = call_other(thread, number, frame);
	}
	frame->rax = (uint64_t)result;
}
