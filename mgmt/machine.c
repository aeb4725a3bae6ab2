// SPDX-License-Identifier: Apache-2.0
/*
 * The real machine below the management logic (see machine.h): fixed addresses and kernel calls.
 */
#include "mgmt/machine.h"

#include "lib/call.h"
#include "lib/time.h"
#include "mgmt/host.h"

#define LEAF_HYPERVISOR 0x40000000u
#define SIGNATURE_TCG   0x54474354u /* "TCGT"; in ECX and EDX the next letters */

static struct bh_message message; /* that has not been sent yet */
static uint64_t end_tsc = BH_FOREVER;
static enum machine_end end_how;

uint64_t machine_now_tsc(void)
{
	return bh_tsc();
}

uint64_t machine_tsc_hz(void)
{
	return bh_info()->tsc_hz;
}

const struct bh_info *machine_kernel_info(void)
{
	return bh_info();
}

const struct mgmt_info *machine_info(void)
{
	return (const struct mgmt_info *)MGMT_VA_INFO;
}

const struct bh_log *machine_log(void)
{
	return (const struct bh_log *)BH_VA_LOG;
}

const struct root_status *machine_status(void)
{
	return (const struct root_status *)MGMT_VA_STATUS;
}

struct root_channel *machine_root_channel(void)
{
	return (struct root_channel *)MGMT_VA_CHANNEL;
}

struct ledger *machine_ledger(void)
{
	return (struct ledger *)MGMT_VA_LEDGER;
}

void *machine_kept(uint32_t idx)
{
	return (void *)(MGMT_VA_KEPT + idx * MGMT_VA_KEPT_STRIDE);
}

struct vmm_channel *machine_vmm_channel(uint32_t slot)
{
	return (struct vmm_channel *)(MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE);
}

struct bh_console *machine_vmm_console(uint32_t slot)
{
	return (struct bh_console *)(MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE + MGMT_VA_VMM_CONSOLE);
}

struct vio_device *machine_device_page(uint32_t slot, uint32_t device_idx)
{
	return (struct vio_device *)(MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE + MGMT_VA_VMM_DEVICES +
	                             device_idx * BH_PAGE_SIZE);
}

struct bh_console *machine_port_console(uint32_t slot, uint32_t port)
{
	return (struct bh_console *)(MGMT_VA_VMM + slot * MGMT_VA_VMM_STRIDE + MGMT_VA_VMM_PORTS) +
	       port;
}

const struct bh_chunks *machine_guest_chunks(uint32_t slot)
{
	return (const struct bh_chunks *)(MGMT_VA_CHUNKS + slot * MGMT_VA_CHUNKS_STRIDE);
}

uint8_t *machine_guest_record(uint32_t slot)
{
	return (uint8_t *)(MGMT_VA_CHUNKS + slot * MGMT_VA_CHUNKS_STRIDE + BH_PAGE_SIZE);
}

uint8_t *machine_guest_memory(uint32_t slot)
{
	return (uint8_t *)(MGMT_VA_GUEST + slot * MGMT_VA_GUEST_STRIDE);
}

void machine_signal_vmm_device(uint32_t slot)
{
	bh_event_signal(MGMT_HANDLE_DEVICE + slot);
}

void machine_vm_msi_now(void)
{
	if (message.vm != 0) {
		bh_vm_msi(message.vm, message.address, message.data);
		message.vm = 0;
	}
}

void machine_vm_msi(uint32_t slot, uint64_t address, uint32_t data)
{
	machine_vm_msi_now();
	message = (struct bh_message){ .vm = MGMT_HANDLE_VM + slot,
		                       .address = address,
		                       .data = data };
}

int64_t machine_wait(uint64_t deadline_tsc, uint64_t bits[BH_EVENT_WORDS])
{
	int64_t result = bh_event_wait_after(&message, MGMT_HANDLE_EVENTS, deadline_tsc, bits);

	message.vm = 0;
	return result;
}

void machine_signal_root(void)
{
	bh_event_signal(MGMT_HANDLE_ROOT);
}

void machine_end_at(enum machine_end how, uint64_t tsc)
{
	end_how = how;
	end_tsc = tsc;
}

uint64_t machine_end_tsc(void)
{
	return end_tsc;
}

void machine_beat(void)
{
	struct root_channel *channel = machine_root_channel();

	if (machine_now_tsc() >= end_tsc) {
		if (end_how == MACHINE_END_CRASH) {
			__builtin_trap();
		}
		for (;;) {
			__asm__ volatile("pause");
		}
	}
	machine_store32(&channel->beat, channel->beat + 1);
}

void machine_signal_vmm_command(uint32_t slot)
{
	bh_event_signal(MGMT_HANDLE_VMM + slot * 2);
}

void machine_signal_vmm_console(uint32_t slot)
{
	bh_event_signal(MGMT_HANDLE_VMM + slot * 2 + 1);
}

int machine_vcpu_stats(uint32_t slot, uint32_t vcpu_idx, struct bh_vcpu_stats *stats)
{
	int error = bh_vcpu_stats(MGMT_HANDLE_VCPU + slot * BH_MAX_VCPUS + vcpu_idx, stats);

	if (error == BH_OK && (stats->guest_tsc >> 63) != 0) {
		stats->guest_tsc += bh_tsc();
	}
	return error;
}

int machine_host_info(struct bh_host_info *info)
{
	return bh_host_info(MGMT_HANDLE_HOST, info);
}

uint32_t machine_domain_id(void)
{
	struct bh_domain_info info = { 0 };

	return bh_domain_info(BH_HANDLE_SELF, &info) == BH_OK ? (uint32_t)info.id : 0;
}

void machine_cpu_name(char name[CPU_NAME_BYTES])
{
	cpu_name_read(name);
}

bool machine_is_tcg(void)
{
	uint32_t a = LEAF_HYPERVISOR;
	uint32_t b;
	uint32_t c = 0;
	uint32_t d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b == SIGNATURE_TCG;
}

void machine_acpi(struct acpi_machine *machine)
{
	host_read_acpi(machine);
}
