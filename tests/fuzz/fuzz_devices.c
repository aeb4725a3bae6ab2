// SPDX-License-Identifier: Apache-2.0
/*
 * All devices of the small PC on one bus, under random port and memory accesses, interrupts lines,
 * console bytes and jumps of time. What must hold: no access outside a record (sanitizers),
 * interrupts only with vectors that make sense, deadlines that are met, a bus whose ranges stay
 * sorted.
 *
 * Input: 8-byte steps: kind, width, 2 bytes of port or offset, 4 bytes of value.
 */
// sources: vmm/bus.c vmm/devices/pic.c vmm/devices/pit.c vmm/devices/rtc.c vmm/devices/uart.c vmm/devices/ioapic.c vmm/devices/pci.c vmm/devices/acpi_pm.c vmm/devices/reset.c vmm/devices/fw_cfg.c
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmm/bus.h"
#include "vmm/devices/acpi_pm.h"
#include "vmm/devices/fw_cfg.h"
#include "vmm/devices/ioapic.h"
#include "vmm/devices/pci.h"
#include "vmm/devices/pic.h"
#include "vmm/devices/pit.h"
#include "vmm/devices/reset.h"
#include "vmm/devices/rtc.h"
#include "vmm/devices/uart.h"
#include "tests/fuzz/check.h"

#define STEP_BYTES 8
#define ECAM       0xe0000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct bus bus;
	struct pic pic;
	struct pit pit;
	struct rtc rtc;
	struct uart uart;
	struct ioapic ioapic;
	struct pci pci;
	struct pci_function function;
	struct acpi_pm acpi_pm;
	struct reset reset;
	struct fw_cfg fw_cfg;
	struct device_clock clock;
	uint64_t now_ns;
	bool is_int_high;
} machine;

static uint64_t now(void *context)
{
	(void)context;
	return machine.now_ns;
}

static void isa_set(void *context, uint32_t number, bool level)
{
	(void)context;
	pic_line_set(&machine.pic, number, level);
	ioapic_line_set(&machine.ioapic, number == 0 ? 2 : number, level);
}

static void int_set(void *context, uint32_t number, bool level)
{
	(void)context;
	(void)number;
	CHECK(level != machine.is_int_high);
	machine.is_int_high = level;
}

static void message(void *context, uint64_t address, uint32_t data)
{
	(void)context;
	CHECK((address & ~0xfffffull) == 0xfee00000);
	CHECK((data & ~0xc7ffu) == 0);
}

static void send_byte(void *context, uint8_t byte)
{
	(void)context;
	(void)byte;
}

static void power_off(void *context)
{
	(void)context;
}

static void reset_request(void *context, enum reset_cause cause)
{
	(void)context;
	CHECK(reset_cause_name(cause)[0] != '\0');
}

static void debug_exit(void *context, uint8_t code)
{
	(void)context;
	(void)code;
}

static uint8_t cf9_read(void *context)
{
	return reset_control_read(context);
}

static void cf9_write(void *context, uint8_t value)
{
	reset_control_write(context, value);
}

static uint64_t bar_read(void *device, uint64_t offset, uint32_t width)
{
	(void)device;
	CHECK(offset < 0x1000 && width <= 8);
	return offset;
}

static void bar_write(void *device, uint64_t offset, uint32_t width, uint64_t value)
{
	(void)value;
	(void)bar_read(device, offset, width);
}

static void build(void)
{
	const struct pci_bar memory = { .size = 0x1000,
		                        .kind = PCI_BAR_MEMORY64,
		                        .read = bar_read,
		                        .write = bar_write,
		                        .widths = BUS_WIDTH_ALL };
	const struct pci_bar io = {
		.size = 64, .kind = PCI_BAR_IO, .read = bar_read, .write = bar_write, .widths = 7
	};

	memset(&machine, 0, sizeof(machine));
	machine.clock = (struct device_clock){ now, NULL, NULL };
	machine.pic.intr = (struct irq_line){ int_set, NULL, 0, false };
	machine.pit.irq = (struct irq_line){ isa_set, NULL, 0, false };
	machine.pit.clock = machine.rtc.clock = machine.acpi_pm.clock = &machine.clock;
	machine.rtc.irq = (struct irq_line){ isa_set, NULL, 8, false };
	machine.rtc.wall_seconds = 1767225600;
	machine.uart.irq = (struct irq_line){ isa_set, NULL, 4, false };
	machine.uart.send = send_byte;
	machine.ioapic.send = message;
	machine.acpi_pm.sci = (struct irq_line){ isa_set, NULL, 9, false };
	machine.acpi_pm.power_off = power_off;
	machine.reset.request = reset_request;
	machine.reset.debug_exit = debug_exit;
	machine.pci.cf9_read = cf9_read;
	machine.pci.cf9_write = cf9_write;
	machine.pci.context = &machine.reset;
	bus_init(&machine.bus);
	CHECK(pic_attach(&machine.pic, &machine.bus) == 0);
	CHECK(pit_attach(&machine.pit, &machine.bus) == 0);
	CHECK(rtc_attach(&machine.rtc, &machine.bus) == 0);
	CHECK(uart_attach(&machine.uart, &machine.bus, UART_COM1_PORT) == 0);
	CHECK(ioapic_attach(&machine.ioapic, &machine.bus) == 0);
	CHECK(acpi_pm_attach(&machine.acpi_pm, &machine.bus) == 0);
	CHECK(reset_attach(&machine.reset, &machine.bus) == 0);
	CHECK(fw_cfg_attach(&machine.fw_cfg, &machine.bus) == 0);
	CHECK(pci_attach(&machine.pci, &machine.bus, ECAM) == 0);
	pci_function_init(&machine.function, 0x10411af4, 0x020000);
	machine.function.slot = 1;
	CHECK(pci_bar_set(&machine.function, 0, &io, 0xc000) == 0);
	CHECK(pci_bar_set(&machine.function, 4, &memory, 0xd0000000) == 0);
	CHECK(pci_function_add(&machine.pci, &machine.function) == 0);
	pic_reset(&machine.pic);
	pit_reset(&machine.pit);
	rtc_reset(&machine.rtc);
	uart_reset(&machine.uart);
	ioapic_reset(&machine.ioapic);
	acpi_pm_reset(&machine.acpi_pm);
	reset_reset(&machine.reset);
	fw_cfg_reset(&machine.fw_cfg);
}

/* The clock moves on; whoever asked to be called is called, and must ask for a later time then. */
static void pass_time(uint64_t ns)
{
	machine.now_ns += ns;
	if (pit_deadline(&machine.pit) <= machine.now_ns) {
		pit_run(&machine.pit);
		CHECK(pit_deadline(&machine.pit) > machine.now_ns);
	}
	if (rtc_deadline(&machine.rtc) <= machine.now_ns) {
		rtc_run(&machine.rtc);
		CHECK(rtc_deadline(&machine.rtc) > machine.now_ns);
	}
	if (acpi_pm_deadline(&machine.acpi_pm) <= machine.now_ns) {
		acpi_pm_run(&machine.acpi_pm);
		CHECK(acpi_pm_deadline(&machine.acpi_pm) > machine.now_ns);
	}
}

static const uint64_t bases[] = {
	IOAPIC_GPA, ECAM, ECAM + 0x8000, 0xd0000000, 0xfee00000, 0xa0000
};

static void step(const uint8_t *bytes)
{
	uint32_t width = 1u << (bytes[1] & 3);
	uint32_t address = (uint32_t)bytes[2] | (uint32_t)bytes[3] << 8;
	uint32_t value;
	uint64_t gpa = bases[(bytes[1] >> 2) % 6] + (address & 0xfff);

	memcpy(&value, bytes + 4, sizeof(value));
	switch (bytes[0] % 8) {
	case 0:
		(void)bus_port_read(&machine.bus, address, width > 4 ? 4 : width);
		break;
	case 1:
		width = width > 4 ? 4 : width;
		bus_port_write(&machine.bus, address, width,
		               value & (UINT32_MAX >> (32 - width * 8)));
		break;
	case 2:
		(void)bus_mmio_read(&machine.bus, gpa, width);
		break;
	case 3:
		bus_mmio_write(&machine.bus, gpa, width,
		               (value | (uint64_t)value << 32) & (UINT64_MAX >> (64 - width * 8)));
		break;
	case 4:
		pass_time(value);
		break;
	case 5:
		(void)uart_receive(&machine.uart, bytes[4]);
		break;
	case 6:
		isa_set(NULL, bytes[2] % 24, bytes[4] & 1);
		break;
	default:
		if (machine.is_int_high) {
			(void)pic_acknowledge(&machine.pic);
		}
		ioapic_eoi(&machine.ioapic, bytes[4]);
		acpi_pm_press_power_button(&machine.acpi_pm);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	build();
	for (size_t i = 0; i + STEP_BYTES <= size; i += STEP_BYTES) {
		step(data + i);
	}
	for (uint32_t i = 1; i < machine.bus.ports.count; i++) {
		const struct bus_range *range = &machine.bus.ports.ranges[i - 1];

		CHECK(range->base + range->size <= range[1].base);
	}
	return 0;
}
