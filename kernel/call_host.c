/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on the machine itself: ports, information, power (see call.h). */
#include "kernel/call.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/start.h"
#include "kernel/thread.h"

#define PORTS_END 0x10000u

/* Never freed: one handle more than there are. */
struct object host_object
	__attribute__((aligned(64))) = { .type = BH_OBJECT_HOST, .handles_count = 1 };

int64_t call_port(struct call *call)
{
	uint64_t port = call->arg[1];
	uint64_t width = call->arg[2] & ~(uint64_t)BH_PORT_WRITE;

	if ((width != 1 && width != 2 && width != 4) || port > PORTS_END - width) {
		return BH_ERR_INVALID;
	}
	if ((call->arg[2] & BH_PORT_WRITE) == 0) {
		return arch_port_read((uint16_t)port, (uint32_t)width);
	}
	arch_port_write((uint16_t)port, (uint32_t)width, (uint32_t)call->arg[3]);
	return BH_OK;
}

int64_t call_host_info(struct call *call)
{
	struct bh_host_info *info = &call_record.host_info;

	(void)call;
	arch_host_info_fill(info);
	info->memory_total = memory_bytes.total;
	info->memory_free = memory_bytes.free;
	info->memory_kernel += memory_bytes.kernel;
	return BH_OK;
}

/* Its memory is no longer free: nothing is promised twice. */
static int cpu_start(uint32_t apic_id)
{
	uint64_t before = memory_bytes.free;
	int error = arch_cpu_start(apic_id);

	root_domain->quota_bytes -= before - memory_bytes.free;
	info_page.cpus_count = cpus_count;
	return error;
}

int64_t call_host_control(struct call *call)
{
	uint64_t what = call->arg[1];

	if (what >= BH_HOST_CONSOLE && call->caller != root_domain) {
		return BH_ERR_RIGHTS;
	}
	switch (what) {
	case BH_HOST_CLAIM_CONSOLE:
		arch_console_claimed = true;
		return BH_OK;
	case BH_HOST_CONSOLE:
		arch_console_open(call->arg[2], call->arg[3]);
		arch_console_write(log_ring.text,
		                   log_ring.head < BH_LOG_BYTES ? log_ring.head : BH_LOG_BYTES);
		return BH_OK;
	case BH_HOST_START_CPU:
		return cpu_start((uint32_t)call->arg[2]);
	case BH_HOST_ADD_IOAPIC:
		return arch_ioapic_add(call->arg[2], (uint32_t)call->arg[3]);
	case BH_HOST_HALT_POLL:
		message_poll_tsc = call->arg[2];
		return BH_OK;
	case BH_HOST_QUIESCE:
	case BH_HOST_RESET:
		arch_console_claimed = false;
		arch_cpus_stop_others(); /* for ever; none of them holds kernel_lock */
		if (what == BH_HOST_RESET) {
			arch_reset();
		}
		return BH_OK;
	default:
		return BH_ERR_INVALID;
	}
}
