// SPDX-License-Identifier: Apache-2.0
/*
 * AML of the hot-plug registers (vmm/devices/pci_hotplug.h):
 *
 *   OperationRegion (PHPR, SystemIO, port, 12)   Field: PHIN, PHRM, PHEJ, 32 bits each
 *   Device (Snn) { Name (_ADR, nn << 16) Name (_SUN, nn) Method (_EJ0, 1) { PHEJ = 1 << nn } }
 *   Method (PCNT) { Local0 = PHIN, Local1 = PHRM; for each slot: Notify (Snn, 1 or 3) }
 *   \_GPE: Method (_E01) { \_SB.PCI0.PCNT () }
 */
#include "vmm/acpi_hotplug.h"

#include "bulkhead/virtio_channel.h"
#include "vmm/devices/pci_hotplug.h"
#include "vmm/virtio/virtio.h"

#define NOTIFY_DEVICE_CHECK  1u
#define NOTIFY_EJECT_REQUEST 3u

struct slot_name {
	char text[5];
};

static struct slot_name slot_name(uint32_t slot)
{
	static const char digits[] = "0123456789ABCDEF";

	return (struct slot_name){ { 'S', digits[slot >> 4 & 1], digits[slot & 15], '_', '\0' } };
}

static void put_slot(struct aml *out, uint32_t slot)
{
	uint32_t device = aml_device_begin(out, slot_name(slot).text);
	uint32_t method;

	aml_name_integer(out, "_ADR", slot << 16);
	aml_name_integer(out, "_SUN", slot);
	method = aml_method_begin(out, "_EJ0", 1);
	aml_put_store_integer(out, 1u << slot, "PHEJ");
	aml_end(out, method);
	aml_end(out, device);
}

static void put_notify(struct aml *out, uint32_t local, uint32_t slot, uint32_t value)
{
	uint32_t mark = aml_if_bit_begin(out, local, 1u << slot);

	aml_put_notify(out, slot_name(slot).text, value);
	aml_end(out, mark);
}

void acpi_hotplug_put_slots(struct aml *out)
{
	static const char *const fields[] = { "PHIN", "PHRM", "PHEJ" };
	uint32_t method;

	aml_put_port_region(out, "PHPR", PCI_HOTPLUG_PORT, PCI_HOTPLUG_BYTES);
	aml_put_fields32(out, "PHPR", fields, sizeof(fields) / sizeof(fields[0]));
	for (uint32_t i = 0; i < VIO_DEVICES_MAX; i++) {
		put_slot(out, VIRTIO_SLOT_FIRST + i);
	}
	method = aml_method_begin(out, "PCNT", 0);
	aml_put_store_local(out, "PHIN", 0);
	aml_put_store_local(out, "PHRM", 1);
	for (uint32_t i = 0; i < VIO_DEVICES_MAX; i++) {
		put_notify(out, 0, VIRTIO_SLOT_FIRST + i, NOTIFY_DEVICE_CHECK);
		put_notify(out, 1, VIRTIO_SLOT_FIRST + i, NOTIFY_EJECT_REQUEST);
	}
	aml_end(out, method);
}

void acpi_hotplug_put_event(struct aml *out)
{
	static const char *const path[] = { "_SB_", "PCI0", "PCNT" };
	uint32_t scope = aml_scope_begin(out, "\\_GPE");
	uint32_t method = aml_method_begin(out, "_E01", 0);

	_Static_assert(PCI_HOTPLUG_GPE == 1, "the method's name");
	aml_put_path(out, path, sizeof(path) / sizeof(path[0]));
	aml_end(out, method);
	aml_end(out, scope);
}
