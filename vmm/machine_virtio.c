// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio devices in the machine. Their records are a region of the VMM's own, so that guests
 * without paravirtual devices do not pay for them.
 */
#include "vmm/machine_virtio.h"

#include "lib/call.h"
#include "vmm/machine.h"

#define RECORDS_VA 0x0000140000000000ull

/* Pin A of slot s (acpi_tables.c, _PRT). Several devices pull at one pin. */
#define GSI_FIRST 16u
#define GSI_COUNT 4u

static uint32_t pulling[GSI_COUNT]; /* bit a device */

static void kick(void *context, uint32_t device)
{
	(void)context;
	(void)bh_event_signal(VMM_HANDLE_KICK + device);
}

static void notify_mgmt(void *context)
{
	(void)context;
	(void)bh_event_signal(VMM_HANDLE_NOTIFY);
}

static void message(void *context, uint64_t address, uint32_t data)
{
	(void)context;
	(void)bh_vm_msi(VMM_HANDLE_VM, address, data);
}

static void intx(void *context, uint32_t device, bool level)
{
	uint32_t pin = machine.virtio.devices[device].function.slot % GSI_COUNT;
	uint32_t bit = 1u << device;

	(void)context;
	pulling[pin] = level ? pulling[pin] | bit : pulling[pin] & ~bit;
	ioapic_line_set(&machine.ioapic, GSI_FIRST + pin, pulling[pin] != 0);
}

static int doorbell(void *context, uint32_t device, uint16_t port, bool is_bound)
{
	(void)context;
	return is_bound ? bh_doorbell_bind(VMM_HANDLE_VM, port, VMM_HANDLE_KICK + device)
	                : bh_doorbell_unbind(VMM_HANDLE_VM, port);
}

static void eject(void *context, uint32_t slots)
{
	(void)context;
	virtio_devices_eject(&machine.virtio, slots);
}

static const struct virtio_ops ops = { .kick = kick,
	                               .notify_mgmt = notify_mgmt,
	                               .message = message,
	                               .intx = intx,
	                               .doorbell = doorbell };

int machine_virtio_init(void)
{
	struct virtio_device *devices = (struct virtio_device *)RECORDS_VA;
	int error;

	machine.pci_hotplug.acpi_pm = &machine.acpi_pm;
	machine.pci_hotplug.eject = eject;
	machine.virtio.pci = &machine.pci;
	machine.virtio.hotplug = &machine.pci_hotplug;
	if ((machine.config->flags & VMM_CONFIG_DEVICES) == 0) {
		return BH_OK;
	}
	error = machine_records_make(RECORDS_VA, VIO_DEVICES_MAX * sizeof(struct virtio_device));
	if (error < 0) {
		return error;
	}
	for (uint32_t i = 0; i < VIO_DEVICES_MAX; i++) {
		devices[i].ops = &ops;
		devices[i].memory = &machine.memory;
		virtio_init(&devices[i], i,
		            (struct vio_device *)(VMM_VA_DEVICES + i * BH_PAGE_SIZE));
	}
	machine.virtio.devices = devices;
	return pci_hotplug_attach(&machine.pci_hotplug, &machine.bus);
}
