/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on the machine itself: ports, interrupts, device memory, information, power (see call.h). */
#include "kernel/call.h"
#include "kernel/event.h"
#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/message.h"
#include "kernel/quota.h"
#include "kernel/region.h"
#include "kernel/start.h"

#define PORTS_END       0x10000u
#define QUIESCE_WAIT_MS 100u

struct object host_object __attribute__((aligned(64))) = { .type = BH_OBJECT_HOST };

/* The caller's handle of the machine, with CONTROL; what is made from it is derived from it. */
static struct handle *host_find(struct domain *caller, uint64_t number, int *error)
{
	struct handle *handle = call_handle_entry(caller, number, BH_OBJECT_HOST, BH_RIGHT_CONTROL,
	                                          error);

	if (handle != NULL && handle->depth + 1u >= HANDLE_DEPTH_MAX) {
		*error = BH_ERR_LIMIT;
		return NULL;
	}
	return handle;
}

static int64_t call_ports_create(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *host = host_find(caller, frame->rdi, &error);

	if (host == NULL) {
		return error;
	}
	if (frame->rdx == 0 || frame->rsi >= PORTS_END || frame->rdx > PORTS_END - frame->rsi) {
		return BH_ERR_INVALID;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	struct ports *ports = quota_object_allocate(caller, sizeof(*ports));

	if (ports == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&ports->object, BH_OBJECT_PORTS, caller);
	ports->first = (uint32_t)frame->rsi;
	ports->count = (uint32_t)frame->rdx;
	return handle_fill(caller, number, &ports->object, BH_RIGHTS_ALL, host);
}

static int64_t call_interrupt_bind(struct domain *caller, const struct arch_frame *frame)
{
	int error = BH_OK;
	struct handle *host = host_find(caller, frame->rdi, &error);
	struct object *event = handle_find(caller, frame->rdx, BH_OBJECT_EVENT, BH_RIGHT_WRITE);
	struct interrupt *interrupt;

	if (host == NULL) {
		return error;
	}
	if (event == NULL) {
		return handle_error(caller, frame->rdx, BH_OBJECT_EVENT);
	}
	if (frame->rsi >= INTERRUPT_GSIS ||
	    (frame->r10 & ~(uint64_t)(BH_IRQ_LEVEL | BH_IRQ_LOW)) != 0) {
		return BH_ERR_INVALID;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = interrupt_bind(caller, (uint32_t)frame->rsi, (uint32_t)frame->r10, event_of(event),
	                       &interrupt);
	return error < 0 ? error
	                 : handle_fill(caller, number, &interrupt->object, BH_RIGHTS_ALL, host);
}

static int64_t call_region_device(struct domain *caller, const struct arch_frame *frame)
{
	const struct bh_info *info = phys_to_virt(info_page());
	uint64_t end = BIT(info->physical_address_bits % 64);
	uint64_t pa = frame->rsi;
	uint64_t size = frame->rdx;
	int error = BH_OK;
	struct handle *host = host_find(caller, frame->rdi, &error);
	struct region *region;

	if (host == NULL) {
		return error;
	}
	if (size == 0 || !IS_ALIGNED(pa, PAGE_SIZE) || !IS_ALIGNED(size, PAGE_SIZE) || pa >= end ||
	    size > end - pa) {
		return BH_ERR_INVALID;
	}
	if (!memory_is_outside(HPA(pa), size)) {
		return BH_ERR_RIGHTS;
	}
	int number = handle_reserve(caller, 0);

	if (number < 0) {
		return number;
	}
	error = region_create_at(caller, HPA(pa), size, REGION_DEVICE, &region);
	return error < 0 ? error
	                 : handle_fill(caller, number, &region->object,
	                               BH_RIGHTS_ALL & ~BH_RIGHT_EXECUTE, host);
}

static int64_t call_host_info(struct domain *caller, const struct arch_frame *frame)
{
	struct bh_host_info info = { 0 };

	if (handle_find(caller, frame->rdi, BH_OBJECT_HOST, BH_RIGHT_READ) == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_HOST);
	}
	arch_host_info_fill(&info);
	info.memory_total = memory_total();
	info.memory_free = memory_free_bytes();
	info.memory_kernel += memory_kernel_bytes();
	for (uint32_t i = 0; i < cpus_count && i < ARRAY_SIZE(info.cpu_idle_tsc); i++) {
		info.cpu_idle_tsc[i] = cpus[i]->idle_tsc;
	}
	return call_copy_out(frame->rsi, &info, sizeof(info));
}

/* Other pCPUs halt for ever. Bounded: one that does not answer must not keep the machine from going down. */
static void host_quiesce(void)
{
	uint64_t deadline = arch_tsc_read() + arch_tsc_hz / 1000 * QUIESCE_WAIT_MS;

	for (uint32_t i = 0; i < cpus_count; i++) {
		struct cpu *cpu = cpus[i];

		if (cpu == NULL || cpu == cpu_self() || !cpu->is_online) {
			continue;
		}
		message_send(cpu, CPU_WORK_STOP);
		while (!__atomic_load_n(&cpu->is_halted, __ATOMIC_ACQUIRE) &&
		       arch_tsc_read() < deadline) {
			__builtin_ia32_pause();
		}
		cpu->is_online = false;
	}
	arch_console_claimed = false;
}

static int64_t call_host_control(struct domain *caller, const struct arch_frame *frame)
{
	if (handle_find(caller, frame->rdi, BH_OBJECT_HOST, BH_RIGHT_CONTROL) == NULL) {
		return handle_error(caller, frame->rdi, BH_OBJECT_HOST);
	}
	switch (frame->rsi) {
	case BH_HOST_QUIESCE:
		host_quiesce();
		return BH_OK;
	case BH_HOST_RESET:
		host_quiesce();
		arch_reset();
	case BH_HOST_CLAIM_CONSOLE:
		arch_console_claimed = true;
		return BH_OK;
	default:
		return BH_ERR_INVALID;
	}
}

int64_t call_host(struct domain *caller, uint64_t number, const struct arch_frame *frame)
{
	switch (number) {
	case BH_CALL_PORTS_CREATE:
		return call_ports_create(caller, frame);
	case BH_CALL_INTERRUPT_BIND:
		return call_interrupt_bind(caller, frame);
	case BH_CALL_REGION_DEVICE:
		return call_region_device(caller, frame);
	case BH_CALL_HOST_INFO:
		return call_host_info(caller, frame);
	case BH_CALL_HOST_CONTROL:
		return call_host_control(caller, frame);
	default:
		return BH_ERR_CALL;
	}
}
