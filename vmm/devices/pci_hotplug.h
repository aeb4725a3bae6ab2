// SPDX-License-Identifier: Apache-2.0
/*
 * Hot-plug of PCI slots by ACPI: three registers that the DSDT's methods read and write.
 *
 * Owns: ports 0x620-0x62b. 0: slots that got a device since the last read; 4: slots whose device is
 * to be let go; 8: slots that the guest ejects (write). The guest hears of both by a
 * general-purpose event. Must never: take anything from a slot itself; that is `eject`'s.
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/acpi_pm.h"

#define PCI_HOTPLUG_PORT     0x620u
#define PCI_HOTPLUG_BYTES    12u
#define PCI_HOTPLUG_INSERTED 0u
#define PCI_HOTPLUG_REMOVE   4u
#define PCI_HOTPLUG_EJECT    8u
#define PCI_HOTPLUG_GPE      1u

struct pci_hotplug {
	uint32_t inserted; /* bit a slot */
	uint32_t remove;
	struct acpi_pm *acpi_pm;
	void (*eject)(void *context, uint32_t slots);
	void *context;
};

void pci_hotplug_reset(struct pci_hotplug *hotplug);
int pci_hotplug_attach(struct pci_hotplug *hotplug, struct bus *bus);

/* A device was put into these slots. */
void pci_hotplug_insert(struct pci_hotplug *hotplug, uint32_t slots);
/* The devices of these slots are to go; again for the same slot: nothing. */
void pci_hotplug_remove(struct pci_hotplug *hotplug, uint32_t slots);
