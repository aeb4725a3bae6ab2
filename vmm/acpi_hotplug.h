// SPDX-License-Identifier: Apache-2.0
/* The DSDT's part about hot-plug: slots that can be ejected, and the event's methods. */
#pragma once

#include "vmm/aml.h"

/* Inside the scope of \_SB.PCI0. */
void acpi_hotplug_put_slots(struct aml *out);
/* At the root. */
void acpi_hotplug_put_event(struct aml *out);
