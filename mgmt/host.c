// SPDX-License-Identifier: Apache-2.0
/*
 * Power-off and reset of the machine (see host.h). Works by the tables, then by the registers of
 * every PC; the kernel's own reset is the last resort. Guests are not asked here.
 */
#include "mgmt/host.h"

#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/time.h"
#include "mgmt/acpi.h"
#include "mgmt/aml.h"
#include "mgmt/pci.h"
#include "mgmt/serial.h"

/* ACPI 6.4, table 4.13: PM1 control */
#define PM1_SCI_ENABLE       0x0001u
#define PM1_SLEEP_TYPE_SHIFT 10u
#define PM1_SLEEP_TYPE_MASK  0x1c00u
#define PM1_SLEEP_ENABLE     0x2000u

#define RESET_CONTROL_PORT   0xcf9u /* of Intel and AMD chipsets alike */
#define RESET_CONTROL_WARM   0x02u
#define RESET_CONTROL_RESET  0x04u
#define RESET_CONTROL_FULL   0x08u
#define KEYBOARD_PORT        0x64u
#define KEYBOARD_RESET       0xfeu

/* where physical memory is mapped for a moment */
#define WINDOW_VA        0x0000130000000000ull
#define WINDOW_BYTES_MAX 0x4000u

/* acpi_read_fn: maps the pages, copies, unmaps. */
static bool read_physical(void *context, uint64_t address, void *out, uint32_t size)
{
	uint64_t first = address & ~(BH_PAGE_SIZE - 1);
	uint64_t bytes = (address + size - first + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1);
	struct bh_map map = { .size = bytes, .flags = BH_MAP_READ };
	int64_t region;
	bool is_mapped;

	(void)context;
	if (bytes > WINDOW_BYTES_MAX) {
		return false;
	}
	region = bh_region_device(MGMT_HANDLE_HOST, first, bytes);
	if (region <= 0) {
		return false;
	}
	is_mapped = bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, WINDOW_VA, &map) == BH_OK;
	if (is_mapped) {
		memcpy(out, (const uint8_t *)WINDOW_VA + (address - first), size);
		bh_region_unmap((bh_handle_t)region, BH_HANDLE_SELF, WINDOW_VA);
	}
	while (bh_handle_close((bh_handle_t)region) == BH_ERR_AGAIN) {
	}
	return is_mapped;
}

static uint64_t acpi_root(void)
{
	return ((const struct mgmt_info *)MGMT_VA_INFO)->acpi_root;
}

static bool find_power(struct acpi_power *power)
{
	return acpi_root() != 0 && acpi_find_power(acpi_root(), read_physical, NULL, power);
}

void host_read_acpi(struct acpi_machine *machine)
{
	acpi_read_machine(acpi_root(), read_physical, NULL, machine);
}

static uint32_t read_any_port(void *context, uint16_t port, uint32_t width)
{
	(void)context;
	return (uint32_t)bh_port_read(MGMT_HANDLE_HOST, port, width);
}

struct aml_space *host_open_aml(void)
{
	const struct aml_machine machine = { .read = read_physical,
		                             .read_port = read_any_port,
		                             .pci = &pci_ports };

	return aml_open(acpi_root(), &machine);
}

static void pause_ms(uint64_t ms)
{
	uint64_t end = bh_tsc() + bh_ns_to_tsc(ms * 1000000);

	while (bh_tsc() < end) {
		bh_thread_yield();
	}
}

static uint16_t port_read16(uint16_t port)
{
	return (uint16_t)bh_port_read(MGMT_HANDLE_HOST, port, 2);
}

/* Some firmware answers PM1 only in ACPI mode (ACPI 6.4, 4.8.2.5). */
static void enable_acpi(const struct acpi_power *power)
{
	int tries = 100;

	if (power->smi_command_port == 0 || power->acpi_enable == 0 ||
	    (port_read16(power->pm1a_control_port) & PM1_SCI_ENABLE) != 0) {
		return;
	}
	bh_port_write(MGMT_HANDLE_HOST, power->smi_command_port, 1, power->acpi_enable);
	while (tries-- != 0 && (port_read16(power->pm1a_control_port) & PM1_SCI_ENABLE) == 0) {
		pause_ms(10);
	}
}

/* Sleep types first, then the same with SLP_EN, as ACPI 6.4, 16.1 orders it. */
static void sleep_port(uint16_t port, uint8_t type, uint32_t enable)
{
	uint32_t value;

	if (port == 0) {
		return;
	}
	value = port_read16(port) & ~(PM1_SLEEP_TYPE_MASK | PM1_SLEEP_ENABLE);
	value |= (uint32_t)type << PM1_SLEEP_TYPE_SHIFT;
	bh_port_write(MGMT_HANDLE_HOST, port, 2, value | enable);
}

void host_poweroff(void)
{
	struct acpi_power power;

	if (!find_power(&power) || !power.has_sleep) {
		return;
	}
	serial_write_text("power off\n", 10);
	serial_flush();
	bh_host_control(MGMT_HANDLE_HOST, BH_HOST_QUIESCE);
	enable_acpi(&power);
	sleep_port(power.pm1a_control_port, power.sleep_type_a, 0);
	sleep_port(power.pm1b_control_port, power.sleep_type_b, 0);
	sleep_port(power.pm1a_control_port, power.sleep_type_a, PM1_SLEEP_ENABLE);
	sleep_port(power.pm1b_control_port, power.sleep_type_b, PM1_SLEEP_ENABLE);
	pause_ms(2000);
}

static void reset_by_register(const struct acpi_power *power)
{
	if (power->has_reset && power->reset_space == ACPI_SPACE_IO &&
	    power->reset_address <= 0xffff) {
		bh_port_write(MGMT_HANDLE_HOST, (uint16_t)power->reset_address, 1,
		              power->reset_value);
		pause_ms(200);
	}
}

void host_reset(void)
{
	struct acpi_power power;
	bool has_acpi = find_power(&power);

	serial_write_text("reboot\n", 7);
	serial_flush();
	bh_host_control(MGMT_HANDLE_HOST, BH_HOST_QUIESCE);
	if (has_acpi) {
		reset_by_register(&power);
	}
	bh_port_write(MGMT_HANDLE_HOST, RESET_CONTROL_PORT, 1, RESET_CONTROL_WARM);
	bh_port_write(MGMT_HANDLE_HOST, RESET_CONTROL_PORT, 1,
	              RESET_CONTROL_FULL | RESET_CONTROL_WARM | RESET_CONTROL_RESET);
	pause_ms(200);
	bh_port_write(MGMT_HANDLE_HOST, KEYBOARD_PORT, 1, KEYBOARD_RESET);
	pause_ms(200);
	bh_host_control(MGMT_HANDLE_HOST, BH_HOST_RESET);
}
