/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on the machine itself: ports, interrupts, information, power (see call.h). */
#include "kernel/call.h"
#include "kernel/event.h"
#include "kernel/interrupt.h"
#include "kernel/memory.h"
#include "kernel/message.h"
#include "kernel/quota.h"

#define PORTS_END 0x10000u

struct object host_object __attribute__((aligned(64))) = { .type = BH_OBJECT_HOST };

int64_t call_ports_create(struct call *call)
{
	uint64_t first = call->frame->rsi;
	uint64_t count = call->frame->rdx;

	if (count == 0 || first >= PORTS_END || count > PORTS_END - first) {
		return BH_ERR_INVALID;
	}
	struct ports *ports = quota_object_allocate(call->caller, sizeof(*ports));

	if (ports == NULL) {
		return BH_ERR_QUOTA;
	}
	object_init(&ports->object, BH_OBJECT_PORTS, call->caller);
	ports->first = (uint32_t)first;
	ports->count = (uint32_t)count;
	return handle_fill(call->caller, call->number, &ports->object, BH_RIGHTS_ALL, call->handle);
}

static bool port_is_ok(const struct call *call)
{
	const struct ports *ports = ports_of(call->object);
	uint64_t port = call->frame->rsi;
	uint64_t width = call->frame->rdx;

	return (width == 1 || width == 2 || width == 4) && port >= ports->first &&
	       port < PORTS_END && port + width <= ports->first + ports->count;
}

int64_t call_port_read(struct call *call)
{
	if (!port_is_ok(call)) {
		return BH_ERR_INVALID;
	}
	return arch_port_read((uint16_t)call->frame->rsi, (uint32_t)call->frame->rdx);
}

int64_t call_port_write(struct call *call)
{
	if (!port_is_ok(call)) {
		return BH_ERR_INVALID;
	}
	arch_port_write((uint16_t)call->frame->rsi, (uint32_t)call->frame->rdx,
	                (uint32_t)call->frame->r10);
	return BH_OK;
}

int64_t call_interrupt_bind(struct call *call)
{
	uint64_t gsi = call->frame->rsi;
	uint64_t flags = call->frame->r10;
	struct interrupt *interrupt;
	struct event *event;
	int error = call_event_argument(call, call->frame->rdx, &event);

	if (error < 0) {
		return error;
	}
	if (event == NULL || gsi >= INTERRUPT_GSIS ||
	    (flags & ~(uint64_t)(BH_IRQ_LEVEL | BH_IRQ_LOW)) != 0) {
		return BH_ERR_INVALID;
	}
	error = interrupt_bind(call->caller, (uint32_t)gsi, (uint32_t)flags, event, &interrupt);
	return error < 0 ? error
	                 : handle_fill(call->caller, call->number, &interrupt->object,
	                               BH_RIGHTS_ALL, call->handle);
}

int64_t call_interrupt_ack(struct call *call)
{
	interrupt_ack(interrupt_of(call->object));
	return BH_OK;
}

int64_t call_host_info(struct call *call)
{
	struct bh_host_info info = { 0 };

	arch_host_info_fill(&info);
	info.memory_total = memory_bytes.total;
	info.memory_free = memory_bytes.free;
	info.memory_kernel += memory_bytes.kernel;
	for (uint32_t i = 0; i < cpus_count && i < ARRAY_SIZE(info.cpu_idle_tsc); i++) {
		info.cpu_idle_tsc[i] = cpus[i]->idle_tsc;
	}
	return call_copy_out(call->frame->rsi, &info, sizeof(info));
}

/* Other pCPUs halt for ever; none of them holds kernel_lock. */
static void host_quiesce(void)
{
	arch_cpus_stop_others();
	arch_console_claimed = false;
}

int64_t call_host_control(struct call *call)
{
	switch (call->frame->rsi) {
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
