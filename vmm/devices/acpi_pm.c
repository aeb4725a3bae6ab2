// SPDX-License-Identifier: Apache-2.0
/*
 * ACPI fixed hardware registers.
 *
 * Must never: leave the SCI out of step with status and enable: every change ends in sci_update().
 */
#include "vmm/devices/acpi_pm.h"

#include <stddef.h>

#include "bulkhead/errors.h"

/* ACPI 6.4 tables 4.13 to 4.15. */
#define STATUS_TIMER       0x0001u
#define STATUS_GLOBAL      0x0020u
#define STATUS_POWER       0x0100u
#define STATUS_SLEEP       0x0200u
#define STATUS_RTC         0x0400u
#define ENABLE_ALL         (STATUS_TIMER | STATUS_GLOBAL | STATUS_POWER | STATUS_SLEEP | STATUS_RTC)
#define CONTROL_SCI_EN     0x0001u
#define CONTROL_KEPT       0x1c02u /* BM_RLD and SLP_TYP read back */
#define CONTROL_TYPE_SHIFT 10
#define CONTROL_SLEEP      0x2000u

static uint64_t timer_ticks(const struct acpi_pm *pm)
{
	return device_ns_to_ticks(device_clock_now(pm->clock), ACPI_PM_TIMER_HZ);
}

/* TMR_STS is set whenever the top bit of the 32-bit counter changes. */
static void timer_update(struct acpi_pm *pm)
{
	uint64_t now = timer_ticks(pm);

	if (now >> 31 != pm->timer_checked >> 31) {
		pm->status |= STATUS_TIMER;
	}
	pm->timer_checked = now;
}

static void sci_update(struct acpi_pm *pm)
{
	uint64_t next = DEVICE_NEVER;

	irq_line_set(&pm->sci,
	             (pm->status & pm->enable) != 0 || (pm->gpe_status & pm->gpe_enable) != 0);
	if ((pm->enable & STATUS_TIMER) && !(pm->status & STATUS_TIMER)) {
		next = device_ticks_to_ns(((pm->timer_checked >> 31) + 1) << 31, ACPI_PM_TIMER_HZ);
	}
	if (next != pm->next_ns) {
		pm->next_ns = next;
		device_clock_moved(pm->clock);
	}
}

static uint64_t event_read(void *device, uint64_t offset, uint32_t width)
{
	struct acpi_pm *pm = device;
	uint32_t both;

	(void)width;
	timer_update(pm);
	both = pm->status | (uint32_t)pm->enable << 16;
	sci_update(pm);
	return both >> (offset * 8);
}

static void event_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct acpi_pm *pm = device;
	uint64_t mask = (width >= 8 ? 0 : 1ull << (width * 8)) - 1;
	uint32_t written = (uint32_t)((value & mask) << (offset * 8));
	uint32_t touched = (uint32_t)(mask << (offset * 8));

	timer_update(pm);
	pm->status = (uint16_t)(pm->status & ~written); /* write one to clear */
	pm->enable = (uint16_t)(((pm->enable & ~(touched >> 16)) | written >> 16) & ENABLE_ALL);
	sci_update(pm);
}

static uint64_t control_read(void *device, uint64_t offset, uint32_t width)
{
	const struct acpi_pm *pm = device;

	(void)width;
	return (uint64_t)(pm->control | CONTROL_SCI_EN) >> (offset * 8);
}

static void control_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct acpi_pm *pm = device;
	uint32_t mask = (width == 1 ? 0xffu : 0xffffu) << (offset * 8);
	uint32_t written = (uint32_t)(value << (offset * 8)) & mask;

	pm->control = (uint16_t)(((pm->control & ~mask) | written) & CONTROL_KEPT);
	if ((written & CONTROL_SLEEP) &&
	    (pm->control >> CONTROL_TYPE_SHIFT & 7u) == ACPI_PM_S5_TYPE && pm->power_off) {
		pm->power_off(pm->context);
	}
}

static uint64_t timer_read(void *device, uint64_t offset, uint32_t width)
{
	const struct acpi_pm *pm = device;

	(void)width;
	return (timer_ticks(pm) & 0xffffffffu) >> (offset * 8);
}

static uint64_t gpe_read(void *device, uint64_t offset, uint32_t width)
{
	const struct acpi_pm *pm = device;

	(void)width;
	return offset == 0 ? pm->gpe_status : pm->gpe_enable;
}

static void gpe_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	struct acpi_pm *pm = device;

	(void)width;
	if (offset == 0) {
		pm->gpe_status &= (uint8_t)~value; /* write one to clear */
	} else {
		pm->gpe_enable = (uint8_t)value;
	}
	sci_update(pm);
}

void acpi_pm_raise_gpe(struct acpi_pm *pm, uint32_t event)
{
	pm->gpe_status |= (uint8_t)(1u << event);
	sci_update(pm);
}

void acpi_pm_press_power_button(struct acpi_pm *pm)
{
	pm->status |= STATUS_POWER;
	sci_update(pm);
}

uint64_t acpi_pm_deadline(const struct acpi_pm *pm)
{
	return pm->next_ns;
}

void acpi_pm_run(struct acpi_pm *pm)
{
	timer_update(pm);
	sci_update(pm);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	pm->status = 0;
	pm->enable = 0;
	pm->control = 0;
	pm->gpe_status = 0;
	pm->gpe_enable = 0;
	pm->timer_checked = timer_ticks(pm);
	pm->next_ns = 0; /* so that sci_update() tells the machine */
	sci_update(pm);
}

int acpi_pm_attach(struct acpi_pm *pm, struct bus *bus)
{
	const struct bus_range ranges[] = {
		{ ACPI_PM_PORT_EVENT, 4, event_read, event_write, pm, BUS_WIDTH_124 },
		{ ACPI_PM_PORT_CONTROL, 2, control_read, control_write, pm,
		  BUS_WIDTH_1 | BUS_WIDTH_2 },
		{ ACPI_PM_PORT_TIMER, 4, timer_read, NULL, pm, BUS_WIDTH_124 },
		{ ACPI_PM_PORT_GPE, ACPI_PM_GPE_BYTES, gpe_read, gpe_write, pm, BUS_WIDTH_1 },
	};
	int error = BH_OK;

	for (uint32_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && error == BH_OK; i++) {
		error = bus_port_add(bus, &ranges[i]);
	}
	return error;
}
