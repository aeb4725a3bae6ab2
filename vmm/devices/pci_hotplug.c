// SPDX-License-Identifier: Apache-2.0
/* The hot-plug registers (see pci_hotplug.h). */
#include "vmm/devices/pci_hotplug.h"

static uint64_t registers_read(void *device, uint64_t offset, uint32_t width)
{
	struct pci_hotplug *hotplug = device;
	uint32_t value = 0;

	(void)width;
	switch (offset) {
	case PCI_HOTPLUG_INSERTED:
		value = hotplug->inserted;
		hotplug->inserted = 0;
		break;
	case PCI_HOTPLUG_REMOVE:
		value = hotplug->remove; /* until it is ejected */
		break;
	default:
		break;
	}
	return value;
}

static void registers_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct pci_hotplug *hotplug = device;
	uint32_t slots = (uint32_t)value & hotplug->remove;

	(void)width;
	if (offset == PCI_HOTPLUG_EJECT && slots != 0) {
		hotplug->remove &= ~slots;
		if (hotplug->eject) {
			hotplug->eject(hotplug->context, slots);
		}
	}
}

void pci_hotplug_insert(struct pci_hotplug *hotplug, uint32_t slots)
{
	hotplug->inserted |= slots;
	acpi_pm_raise_gpe(hotplug->acpi_pm, PCI_HOTPLUG_GPE);
}

void pci_hotplug_remove(struct pci_hotplug *hotplug, uint32_t slots)
{
	if ((slots & ~hotplug->remove) != 0) {
		hotplug->remove |= slots;
		acpi_pm_raise_gpe(hotplug->acpi_pm, PCI_HOTPLUG_GPE);
	}
}

void pci_hotplug_reset(struct pci_hotplug *hotplug)
{
	hotplug->inserted = 0;
	hotplug->remove = 0;
}

int pci_hotplug_attach(struct pci_hotplug *hotplug, struct bus *bus)
{
	const struct bus_range range = { PCI_HOTPLUG_PORT, PCI_HOTPLUG_BYTES, registers_read,
		                         registers_write,  hotplug,           BUS_WIDTH_4 };

	return bus_port_add(bus, &range);
}
