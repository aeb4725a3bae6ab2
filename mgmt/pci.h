/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's PCI config space, by the ports of every PC (PCI Local Bus 3.0, 3.2.2.3.2). */
#pragma once

#include "drivers/pci.h"

extern const struct pci_access pci_ports;
