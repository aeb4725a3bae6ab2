// SPDX-License-Identifier: Apache-2.0
/*
 * The ACPI fixed hardware: PM1a event and control registers, the 32-bit PM timer, the power button;
 * and a block of eight general-purpose events.
 *
 * Owns: ports 0x600-0x60b, 0x610-0x611 and the SCI (ISA IRQ 9, level). ACPI mode is always on (no
 * SMI). Must never: power anything off itself; a valid S5 request goes to `power_off`. Manual: ACPI
 * 6.4 4.8.
 */
#pragma once

#include "vmm/bus.h"
#include "vmm/devices/device.h"

#define ACPI_PM_PORT_EVENT   0x600u /* 4 bytes: status, enable */
#define ACPI_PM_PORT_CONTROL 0x604u /* 2 bytes */
#define ACPI_PM_PORT_TIMER   0x608u /* 4 bytes */
#define ACPI_PM_PORT_GPE     0x610u /* 2 bytes: status, enable of events 0-7 */
#define ACPI_PM_GPE_BYTES    2u
#define ACPI_PM_SCI_IRQ      9u
#define ACPI_PM_TIMER_HZ     3579545ull
#define ACPI_PM_S5_TYPE      0u /* SLP_TYP of \_S5 */

struct acpi_pm {
	uint16_t status;
	uint16_t enable;
	uint16_t control;
	uint8_t gpe_status;
	uint8_t gpe_enable;
	uint64_t timer_checked; /* timer ticks up to which TMR_STS is right */
	uint64_t next_ns;
	void (*power_off)(void *context);
	void *context;
	struct irq_line sci;
	const struct device_clock *clock;
};

void acpi_pm_reset(struct acpi_pm *pm);
int acpi_pm_attach(struct acpi_pm *pm, struct bus *bus);

/* The operator presses the power button: SCI, if the guest has enabled it. */
void acpi_pm_press_power_button(struct acpi_pm *pm);

/* General-purpose event 0-7 happened: SCI, if the guest has enabled it. */
void acpi_pm_raise_gpe(struct acpi_pm *pm, uint32_t event);

uint64_t acpi_pm_deadline(const struct acpi_pm *pm);
void acpi_pm_run(struct acpi_pm *pm);
