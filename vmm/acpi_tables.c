// SPDX-License-Identifier: Apache-2.0
/*
 * ACPI tables of the small PC, written in one pass from low to high addresses; the RSDP comes
 * first.
 *
 * Must never: give an address or a length that was not written here.
 */
#include "vmm/acpi_tables.h"

#include <stddef.h>
#include <string.h>

#include "bulkhead/errors.h"
#include "bulkhead/protocol.h"
#include "vmm/acpi_hotplug.h"
#include "vmm/aml.h"
#include "vmm/devices/acpi_pm.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/pci_hotplug.h"
#include "vmm/devices/rtc.h"
#include "vmm/devices/uart.h"

#define RSDP_BYTES       36u
#define RSDP_PLACE_BYTES 64u
#define FACS_BYTES       64u
#define TABLES_LISTED    3u

/* FADT flags (ACPI 6.4 table 5.10). */
#define FADT_WBINVD          (1u << 0)
#define FADT_PROC_C1         (1u << 2)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_NO_FIXED_RTC    (1u << 6)
#define FADT_TIMER_32        (1u << 8)
#define FADT_RESET_REG       (1u << 10)

/*
 * FADT IA-PC boot architecture flags (table 5.11): 8042 is said to be absent, so that nobody waits
 * for a keyboard.
 */
#define BOOT_LEGACY_DEVICES     (1u << 0)
#define BOOT_NO_VGA             (1u << 2)

#define RESET_PORT              0xcf9u
#define RESET_VALUE             0x06u

#define LATENCY_NO_C2           101u
#define LATENCY_NO_C3           1001u

#define MADT_PCAT_COMPAT        1u
#define MADT_LEVEL_HIGH         0x000du
#define MADT_ALL_PROCESSORS     0xffu

#define PCI_INTERRUPT_GSI_FIRST 16u
#define PCI_INTERRUPT_GSI_COUNT 4u
#define PCI_WINDOW_END          0xfebfffffu
#define ECAM_WINDOW_BYTES       0x10000000u /* kept free for 256 buses */
#define PCI_SLOTS               32u

struct tables {
	struct aml out;
	uint64_t gpa; /* of out.bytes[0] */
	const struct acpi_tables_config *config;
};

static uint8_t sum(const uint8_t *bytes, uint32_t count)
{
	uint8_t total = 0;

	for (uint32_t i = 0; i < count; i++) {
		total = (uint8_t)(total + bytes[i]);
	}
	return total;
}

static void align(struct tables *tables, uint32_t alignment)
{
	while (tables->out.used % alignment != 0 && !tables->out.is_full) {
		aml_put(&tables->out, 0, 1);
	}
}

/* The common header (ACPI 6.4 5.2.6); length and checksum are filled in by table_end(). */
static uint32_t table_begin(struct tables *tables, const char *signature, uint8_t revision)
{
	struct aml *out = &tables->out;
	uint32_t start;

	align(tables, 16);
	start = out->used;
	aml_put_text(out, signature, 4);
	aml_put(out, 0, 4);
	aml_put(out, revision, 1);
	aml_put(out, 0, 1);
	aml_put_text(out, "BHEAD", 6);
	aml_put_text(out, "BULKHEAD", 8);
	aml_put(out, 1, 4);
	aml_put_text(out, "BHVM", 4);
	aml_put(out, 1, 4);
	return start;
}

static void patch32(struct tables *tables, uint32_t at, uint32_t value)
{
	for (uint32_t i = 0; i < 4; i++) {
		tables->out.bytes[at + i] = (uint8_t)(value >> (i * 8));
	}
}

/* Returns the table's guest-physical address. */
static uint64_t table_end(struct tables *tables, uint32_t start)
{
	uint32_t length = tables->out.used - start;

	if (tables->out.is_full) {
		return 0;
	}
	patch32(tables, start + 4, length);
	tables->out.bytes[start + 9] = (uint8_t)(0u - sum(tables->out.bytes + start, length));
	return tables->gpa + start;
}

/* ---- DSDT ---- */

static void dsdt_put_windows(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t ecam = (uint32_t)tables->config->ecam_gpa;
	uint32_t mark = aml_resources_begin(out);

	aml_resource_bus(out, 0, 0);
	aml_resource_io(out, 0xcf8, 8);
	aml_resource_io_window(out, 0, 0xcf7);
	aml_resource_io_window(out, 0xd00, 0xffff);
	aml_resource_memory_window(out, 0xa0000, 0xbffff);
	aml_resource_memory_window(out, (uint32_t)GUEST_LOW_MAX, ecam - 1);
	aml_resource_memory_window(out, ecam + ECAM_WINDOW_BYTES, PCI_WINDOW_END);
	aml_resources_end(out, mark);
}

/* Pin p of slot s goes to GSI 16 + (s + p) mod 4, wired, without link devices (ACPI 6.4 6.2.13). */
static void dsdt_put_routing(struct aml *out)
{
	uint32_t table;

	aml_put(out, 0x08, 1); /* Name */
	aml_put_name(out, "_PRT");
	table = aml_package_begin(out, (PCI_SLOTS - 1) * 4);
	for (uint32_t slot = 1; slot < PCI_SLOTS; slot++) {
		for (uint32_t pin = 0; pin < 4; pin++) {
			uint32_t entry = aml_package_begin(out, 4);

			aml_put_integer(out, slot << 16 | 0xffffu);
			aml_put_integer(out, pin);
			aml_put_integer(out, 0);
			aml_put_integer(out, PCI_INTERRUPT_GSI_FIRST +
			                             (slot + pin) % PCI_INTERRUPT_GSI_COUNT);
			aml_end(out, entry);
		}
	}
	aml_end(out, table);
}

static void dsdt_put_pci(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t device = aml_device_begin(out, "PCI0");

	aml_name_eisa(out, "_HID", "PNP0A03");
	aml_name_integer(out, "_UID", 0);
	aml_name_integer(out, "_BBN", 0);
	dsdt_put_windows(tables);
	dsdt_put_routing(out);
	if (tables->config->has_hotplug) {
		acpi_hotplug_put_slots(out);
	}
	aml_end(out, device);
}

/* Ports and memory of the board that no other device names, so that nothing else is put there. */
static void dsdt_put_board(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t device = aml_device_begin(out, "MBRD");
	uint32_t mark;

	aml_name_eisa(out, "_HID", "PNP0C02");
	mark = aml_resources_begin(out);
	aml_resource_io(out, ACPI_PM_PORT_EVENT, 0x0c);
	aml_resource_io(out, ACPI_PM_PORT_GPE, ACPI_PM_GPE_BYTES);
	if (tables->config->has_hotplug) {
		aml_resource_io(out, PCI_HOTPLUG_PORT, PCI_HOTPLUG_BYTES);
	}
	aml_resource_io(out, 0x4d0, 2);
	aml_resource_memory(out, (uint32_t)tables->config->ecam_gpa, (uint32_t)PCI_ECAM_BUS_BYTES);
	aml_resources_end(out, mark);
	aml_end(out, device);
}

static void dsdt_put_isa(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t device = aml_device_begin(out, "RTC_");
	uint32_t mark;

	aml_name_eisa(out, "_HID", "PNP0B00");
	mark = aml_resources_begin(out);
	aml_resource_io(out, 0x70, 2);
	aml_resource_irq(out, 8);
	aml_resources_end(out, mark);
	aml_end(out, device);
	if (!tables->config->has_com1) {
		return;
	}
	device = aml_device_begin(out, "COM1");
	aml_name_eisa(out, "_HID", "PNP0501");
	aml_name_integer(out, "_UID", 1);
	mark = aml_resources_begin(out);
	aml_resource_io(out, UART_COM1_PORT, 8);
	aml_resource_irq(out, UART_COM1_IRQ);
	aml_resources_end(out, mark);
	aml_end(out, device);
}

static uint64_t put_dsdt(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t start = table_begin(tables, "DSDT", 2);
	uint32_t mark;

	aml_put(out, 0x08, 1); /* Name (\_S5, Package () {type a, type b, 0, 0}) */
	aml_put_name(out, "\\_S5");
	mark = aml_package_begin(out, 4);
	aml_put_integer(out, ACPI_PM_S5_TYPE);
	aml_put_integer(out, ACPI_PM_S5_TYPE);
	aml_put_integer(out, 0);
	aml_put_integer(out, 0);
	aml_end(out, mark);
	mark = aml_scope_begin(out, "\\_SB");
	dsdt_put_pci(tables);
	dsdt_put_board(tables);
	dsdt_put_isa(tables);
	aml_end(out, mark);
	if (tables->config->has_hotplug) {
		acpi_hotplug_put_event(out);
	}
	return table_end(tables, start);
}

/* ---- fixed tables ---- */

static uint64_t put_facs(struct tables *tables)
{
	uint32_t start;

	align(tables, 64);
	start = tables->out.used;
	aml_put_text(&tables->out, "FACS", 4);
	aml_put(&tables->out, FACS_BYTES, 4);
	while (tables->out.used - start < FACS_BYTES && !tables->out.is_full) {
		aml_put(&tables->out, tables->out.used - start == 32 ? 2 : 0, 1); /* version 2 */
	}
	return tables->gpa + start;
}

/* Generic address (ACPI 6.4 5.2.3.2) of a port; access size 1, 2, 3 = byte, word, dword. */
static void put_port(struct aml *out, uint32_t port, uint32_t width_bits, uint32_t access)
{
	aml_put(out, port ? 1 : 0, 1);
	aml_put(out, width_bits, 1);
	aml_put(out, 0, 1);
	aml_put(out, access, 1);
	aml_put(out, port, 8);
}

static void fadt_put_legacy(struct aml *out)
{
	aml_put(out, ACPI_PM_SCI_IRQ, 2);
	aml_put(out, 0, 4 + 4); /* no SMI command: ACPI mode is always on */
	aml_put(out, ACPI_PM_PORT_EVENT, 4);
	aml_put(out, 0, 4); /* PM1b */
	aml_put(out, ACPI_PM_PORT_CONTROL, 4);
	aml_put(out, 0, 4 + 4); /* PM1b, PM2 */
	aml_put(out, ACPI_PM_PORT_TIMER, 4);
	aml_put(out, ACPI_PM_PORT_GPE, 4);
	aml_put(out, 0, 4); /* no GPE block 1 */
	aml_put(out, 4, 1); /* lengths: event, control, PM2, timer */
	aml_put(out, 2, 1);
	aml_put(out, 0, 1);
	aml_put(out, 4, 1);
	aml_put(out, ACPI_PM_GPE_BYTES, 4); /* GPE0, GPE1, base, CST */
	aml_put(out, LATENCY_NO_C2, 2);
	aml_put(out, LATENCY_NO_C3, 2);
	aml_put(out, 0, 2 + 2 + 1 + 1); /* flush and duty: not used */
	aml_put(out, 0, 1 + 1);         /* RTC day and month alarm: none */
	aml_put(out, RTC_CENTURY, 1);
	aml_put(out, BOOT_LEGACY_DEVICES | BOOT_NO_VGA, 2);
	aml_put(out, 0, 1);
}

static uint64_t put_fadt(struct tables *tables, uint64_t facs, uint64_t dsdt)
{
	struct aml *out = &tables->out;
	uint32_t start = table_begin(tables, "FACP", 6);

	aml_put(out, facs, 4);
	aml_put(out, dsdt, 4);
	aml_put(out, 0, 1);
	aml_put(out, 4, 1); /* preferred profile: enterprise server */
	fadt_put_legacy(out);
	aml_put(out,
	        FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC |
	                FADT_TIMER_32 | FADT_RESET_REG,
	        4);
	put_port(out, RESET_PORT, 8, 1);
	aml_put(out, RESET_VALUE, 1);
	aml_put(out, 0, 2); /* ARM boot flags */
	aml_put(out, 4, 1); /* minor version: 6.4 */
	aml_put(out, 0, 8); /* X_FIRMWARE_CTRL: the 32-bit field is used */
	aml_put(out, dsdt, 8);
	put_port(out, ACPI_PM_PORT_EVENT, 32, 2);
	put_port(out, 0, 0, 0);
	put_port(out, ACPI_PM_PORT_CONTROL, 16, 2);
	put_port(out, 0, 0, 0);
	put_port(out, 0, 0, 0);
	put_port(out, ACPI_PM_PORT_TIMER, 32, 3);
	put_port(out, ACPI_PM_PORT_GPE, ACPI_PM_GPE_BYTES * 8, 1);
	put_port(out, 0, 0, 0);
	put_port(out, 0, 0, 0); /* sleep control and status: not hardware-reduced */
	put_port(out, 0, 0, 0);
	aml_put_text(out, "BULKHEAD", 8);
	return table_end(tables, start);
}

static void madt_put_override(struct aml *out, uint32_t irq, uint32_t gsi, uint32_t flags)
{
	aml_put(out, 2, 1);
	aml_put(out, 10, 1);
	aml_put(out, 0, 1);
	aml_put(out, irq, 1);
	aml_put(out, gsi, 4);
	aml_put(out, flags, 2);
}

static uint64_t put_madt(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t start = table_begin(tables, "APIC", 5);

	aml_put(out, GUEST_LAPIC_BASE, 4);
	aml_put(out, MADT_PCAT_COMPAT, 4);
	for (uint32_t i = 0; i < tables->config->vcpus_count; i++) {
		aml_put(out, 0, 1); /* processor local APIC */
		aml_put(out, 8, 1);
		aml_put(out, i, 1);
		aml_put(out, i, 1);
		aml_put(out, 1, 4); /* enabled */
	}
	aml_put(out, 1, 1); /* I/O APIC */
	aml_put(out, 12, 1);
	aml_put(out, 0, 2);
	aml_put(out, IOAPIC_GPA, 4);
	aml_put(out, 0, 4);
	madt_put_override(out, 0, 2, 0);
	madt_put_override(out, ACPI_PM_SCI_IRQ, ACPI_PM_SCI_IRQ, MADT_LEVEL_HIGH);
	aml_put(out, 4, 1); /* local APIC NMI: LINT1 of all */
	aml_put(out, 6, 1);
	aml_put(out, MADT_ALL_PROCESSORS, 1);
	aml_put(out, 0, 2);
	aml_put(out, 1, 1);
	return table_end(tables, start);
}

static uint64_t put_mcfg(struct tables *tables)
{
	struct aml *out = &tables->out;
	uint32_t start = table_begin(tables, "MCFG", 1);

	aml_put(out, 0, 8);
	aml_put(out, tables->config->ecam_gpa, 8);
	aml_put(out, 0, 2); /* segment */
	aml_put(out, 0, 2); /* buses 0 to 0 */
	aml_put(out, 0, 4);
	return table_end(tables, start);
}

static uint64_t put_list(struct tables *tables, const char *signature,
                         const uint64_t list[TABLES_LISTED], uint32_t width_bytes)
{
	uint32_t start = table_begin(tables, signature, 1);

	for (uint32_t i = 0; i < TABLES_LISTED; i++) {
		aml_put(&tables->out, list[i], width_bytes);
	}
	return table_end(tables, start);
}

static void put_rsdp(struct tables *tables, uint64_t rsdt, uint64_t xsdt)
{
	struct aml *out = &tables->out;
	uint32_t used = out->used;

	out->used = 0;
	aml_put_text(out, "RSD PTR ", 8);
	aml_put(out, 0, 1);
	aml_put_text(out, "BHEAD", 6);
	aml_put(out, 2, 1);
	aml_put(out, rsdt, 4);
	aml_put(out, RSDP_BYTES, 4);
	aml_put(out, xsdt, 8);
	aml_put(out, 0, 4);
	out->bytes[8] = (uint8_t)(0u - sum(out->bytes, 20));
	out->bytes[32] = (uint8_t)(0u - sum(out->bytes, RSDP_BYTES));
	out->used = used;
}

int acpi_tables_build(const struct acpi_tables_config *config, uint8_t *area, uint64_t size,
                      uint64_t gpa, uint64_t *rsdp_gpa)
{
	struct tables tables = { { area, (uint32_t)size, 0, false }, gpa, config };
	uint64_t list[TABLES_LISTED];
	uint64_t facs, dsdt, rsdt, xsdt;

	if (size > UINT32_MAX || size < RSDP_PLACE_BYTES) {
		return BH_ERR_LIMIT;
	}
	memset(area, 0, size);
	tables.out.used = RSDP_PLACE_BYTES;
	facs = put_facs(&tables);
	dsdt = put_dsdt(&tables);
	list[0] = put_fadt(&tables, facs, dsdt);
	list[1] = put_madt(&tables);
	list[2] = put_mcfg(&tables);
	rsdt = put_list(&tables, "RSDT", list, 4); /* for readers that stopped at ACPI 1.0 */
	xsdt = put_list(&tables, "XSDT", list, 8);
	if (tables.out.is_full) {
		return BH_ERR_LIMIT;
	}
	put_rsdp(&tables, rsdt, xsdt);
	*rsdp_gpa = gpa;
	return BH_OK;
}
