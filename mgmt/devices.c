// SPDX-License-Identifier: Apache-2.0
/*
 * Binds drivers to PCI functions and keeps them going (see devices.h).
 *
 * Bus mastering of every function that a driver will run is off until that driver has its memory,
 * so what a mgmt that died had set going ends here. Memory for devices is one run that root keeps:
 * a device that still writes when mgmt dies writes there and nowhere else.
 */
#include "mgmt/devices.h"

#include <cpuid.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulkhead/protocol.h"
#include "lib/call.h"
#include "lib/cmdline.h"
#include "lib/time.h"
#include "mgmt/aml.h"
#include "mgmt/host.h"
#include "mgmt/kept.h"
#include "mgmt/ledger.h"
#include "mgmt/machine.h"
#include "mgmt/pci.h"

#define STORM_PER_SECOND 200000u
#define BAR_VA_BASE      0x0000600000000000ull /* behind what root maps (MGMT_VA_KEPT) */

struct line {
	uint32_t gsi;
	bool is_message;
	bool is_off; /* it did not end: its devices are polled */
	uint64_t since_tsc;
	uint32_t count; /* since then */
	bh_handle_t interrupt;
};

static const struct driver *const drivers[] = {
	&driver_e1000,
	&driver_virtio_net,
	&driver_virtio_blk,
	&driver_nvme,
};
#define DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

static struct pci_function functions[DEVICES_PCI_MAX];
static uint32_t functions_count;
static struct device devices[DEVICES_MAX];
static uint32_t devices_count;
static uint32_t device_line[DEVICES_MAX]; /* index in lines + 1; 0: none */
static struct line lines[DEVICES_LINES_MAX];
static uint32_t lines_count;
static uint64_t bar_va = BAR_VA_BASE;
static struct {
	bool is_known;
	struct acpi_line line;
} routes[DEVICES_MAX];
static bool is_started;
static uint32_t best_way; /* of the ways to interrupt */

/* ---- what drivers are given ------------------------------------------------------------------ */

void driver_fail(struct device *device, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(device->reason, sizeof(device->reason), format, arguments);
	va_end(arguments);
	pci_set_command(device->pci, PCI_COMMAND_NO_INTX, PCI_COMMAND_MASTER);
	device->state = DEVICE_FAILED;
	device->deadline_tsc = BH_FOREVER;
	ledger_event(machine_ledger(), machine_now_tsc(), "", "%s: failed: %s", device->name,
	             device->reason);
}

void driver_say(const struct device *device, const char *format, ...)
{
	char text[128];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	ledger_event(machine_ledger(), machine_now_tsc(), "", "%s: %s", device->name, text);
}

void *driver_dma(struct device *device, uint64_t bytes, uint64_t *physical)
{
	uint64_t size = (bytes + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1);
	uint8_t *at;

	if (device->dma == NULL || size > device->dma_bytes - device->dma_used) {
		return NULL;
	}
	at = device->dma + device->dma_used;
	*physical = device->dma_physical + device->dma_used;
	device->dma_used += size;
	memset(at, 0, size);
	return at;
}

volatile void *driver_map_bar(struct device *device, uint32_t bar_idx, uint64_t bytes)
{
	const struct pci_bar *bar = &device->pci->bar[bar_idx];
	uint64_t first = bar->address & ~(BH_PAGE_SIZE - 1);
	uint64_t size = (bar->address - first + bar->bytes + BH_PAGE_SIZE - 1) &
	                ~(BH_PAGE_SIZE - 1);
	struct bh_map map = { .size = size, .flags = BH_MAP_READ | BH_MAP_WRITE | BH_MAP_UNCACHED };
	uint64_t va = bar_va;
	int64_t region;

	if (bar_idx >= PCI_BARS || bar->is_port || bar->address == 0 || bar->bytes < bytes) {
		return NULL;
	}
	region = bh_region_device(MGMT_HANDLE_HOST, first, size);
	if (region <= 0) {
		return NULL;
	}
	if (bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, va, &map) != BH_OK) {
		while (bh_handle_close((bh_handle_t)region) == BH_ERR_AGAIN) {
		}
		return NULL;
	}
	bar_va += size + BH_PAGE_SIZE;
	return (volatile uint8_t *)va + (bar->address - first);
}

void *driver_allocate(uint64_t bytes)
{
	return calloc(1, bytes);
}

uint64_t driver_now_tsc(void)
{
	return bh_tsc();
}

uint64_t driver_ms_to_tsc(uint64_t ms)
{
	return bh_ns_to_tsc(ms * 1000000u);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* Binds the number to the next event bit; the line's index + 1, or 0. */
static uint32_t bind_line(uint32_t gsi, uint32_t flags)
{
	int64_t interrupt;
	int64_t event;

	if (lines_count == DEVICES_LINES_MAX) {
		return 0;
	}
	event = bh_event_create(MGMT_HANDLE_EVENTS, DEVICES_EVENT + lines_count);
	if (event <= 0) {
		return 0;
	}
	interrupt = bh_interrupt_bind(MGMT_HANDLE_HOST, gsi, (bh_handle_t)event, flags);
	if (interrupt <= 0) {
		bh_handle_close((bh_handle_t)event);
		return 0;
	}
	lines[lines_count] = (struct line){ .gsi = gsi,
		                            .interrupt = (bh_handle_t)interrupt,
		                            .is_message = (flags & BH_IRQ_MESSAGE) != 0 };
	return ++lines_count;
}

/* A number for a message: from the end, where no I/O APIC has pins. */
static uint32_t bind_message(uint32_t *data)
{
	uint32_t number = BH_MESSAGES_END;
	uint32_t line = 0;

	while (line == 0 && number > BH_MESSAGES_END - 2 * DEVICES_LINES_MAX) {
		line = bind_line(--number, BH_IRQ_MESSAGE);
	}
	*data = BH_MESSAGE_DATA + number;
	return line;
}

/* The local APIC's id of this pCPU, on which mgmt stays (SDM 2A, CPUID, leaves 1 and 0Bh). */
static uint32_t own_apic_id(void)
{
	uint32_t eax, ebx, ecx, edx;

	if (__get_cpuid_count(0x0b, 0, &eax, &ebx, &ecx, &edx) != 0 && ebx != 0) {
		return edx;
	}
	__cpuid(1, eax, ebx, ecx, edx);
	return ebx >> 24;
}

static uint64_t message_address(void)
{
	return BH_MESSAGE_ADDRESS + ((uint64_t)own_apic_id() << 12);
}

static bool attach_msix(uint32_t idx)
{
	struct device *device = &devices[idx];
	volatile uint8_t *table;
	uint32_t bar, offset, entries, data;

	if (own_apic_id() > 0xfe || !pci_msix_table(device->pci, &bar, &offset, &entries)) {
		return false;
	}
	table = driver_map_bar(device, bar, offset + 16ull * entries);
	if (table == NULL) {
		return false;
	}
	device_line[idx] = bind_message(&data);
	if (device_line[idx] == 0) {
		return false;
	}
	pci_set_command(device->pci, PCI_COMMAND_MEMORY, 0);
	pci_enable_msix(device->pci, (volatile uint32_t *)(table + offset), message_address(),
	                data);
	device->has_msix = true;
	device->interrupt_kind = "MSI-X";
	return true;
}

static bool attach_msi(uint32_t idx)
{
	struct device *device = &devices[idx];
	uint32_t data;

	if (own_apic_id() > 0xfe || pci_find_capability(device->pci, PCI_CAP_MSI, 0) == 0) {
		return false;
	}
	device_line[idx] = bind_message(&data);
	device->interrupt_kind = "MSI";
	return device_line[idx] != 0 && pci_enable_msi(device->pci, message_address(), data);
}

static bool is_word(const char *text, const char *word)
{
	return strncmp(text, word, strlen(word)) == 0 && (text[strlen(word)] | ' ') == ' ';
}

/* By the interrupt-line register: an ISA interrupt, as a pin of PCI unless MADT says more of it. */
static bool read_line_register(const struct pci_function *pci, struct acpi_line *line)
{
	static struct acpi_machine machine;

	if (pci->interrupt_line == 0 || pci->interrupt_line == 0xff) {
		return false;
	}
	machine_acpi(&machine);
	*line = acpi_isa_line(&machine, pci->interrupt_line);
	line->is_low = !line->is_level || line->is_low;
	return true;
}

/* Functions share lines. */
static bool attach_line(uint32_t idx, const struct acpi_line *line)
{
	uint32_t i;

	for (i = 0; i < lines_count && (lines[i].gsi != line->gsi || lines[i].is_message); i++) {
	}
	device_line[idx] = i < lines_count
	                           ? i + 1
	                           : bind_line(line->gsi,
	                                       BH_IRQ_LEVEL | (line->is_low ? BH_IRQ_LOW : 0));
	devices[idx].interrupt_kind = "INTx";
	return device_line[idx] != 0;
}

/* What _PRT says, else the line that firmware chose. Without one the device is polled. */
static bool attach_pin(uint32_t idx)
{
	struct acpi_line line;

	if (devices[idx].pci->interrupt_pin == 0) {
		return false;
	}
	return (routes[idx].is_known && attach_line(idx, &routes[idx].line)) ||
	       (read_line_register(devices[idx].pci, &line) && attach_line(idx, &line));
}

/* Asks the firmware's AML where the pins of all devices arrive. */
static void find_routes(void)
{
	struct aml_space *aml = devices_count != 0 ? host_open_aml() : NULL;
	uint32_t i;

	for (i = 0; aml != NULL && i < devices_count; i++) {
		routes[i].is_known = devices[i].pci->interrupt_pin != 0 &&
		                     aml_route(aml, devices[i].pci, functions, functions_count,
		                               &routes[i].line);
	}
	aml_close(aml);
}

/* Ways to interrupt, the best first. */
static const struct {
	const char *name;
	bool (*attach)(uint32_t idx);
} ways[] = {
	{ "msi-x", attach_msix },
	{ "msi", attach_msi },
	{ "intx", attach_pin },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* What the command line's word interrupts= allows: the best way. */
static uint32_t first_way(void)
{
	const char *word = cmdline_find(machine_info()->cmdline, "interrupts=");
	uint32_t way = 0;

	while (word != NULL && way < WAYS && !is_word(word, ways[way].name)) {
		way++;
	}
	if (way == WAYS && !is_word(word, "none")) {
		ledger_event(machine_ledger(), machine_now_tsc(), "",
		             "command line: interrupts= is msi-x, msi, intx or none");
		return 0;
	}
	return way;
}

/* The best way that the function has and may use; where one fails the next is tried. */
static void attach(uint32_t idx)
{
	struct device *device = &devices[idx];
	uint32_t way = best_way;

	while (way < WAYS && !ways[way].attach(idx)) {
		way++;
	}
	device->has_interrupt = way < WAYS;
	if (!device->has_interrupt) {
		device_line[idx] = 0;
		device->interrupt_kind = "polled";
	}
}

/* ---- binding --------------------------------------------------------------------------------- */

static const struct driver *find_driver(const struct pci_function *pci)
{
	uint32_t i;

	for (i = 0; i < DRIVERS; i++) {
		const struct driver *driver = drivers[i];

		if (driver != NULL && pci->header_kind == 0 && driver->matches(pci)) {
			return driver;
		}
	}
	return NULL;
}

static void add_device(struct pci_function *pci, const struct driver *driver)
{
	struct device *device = &devices[devices_count];
	uint32_t number = 0;
	uint32_t i;

	for (i = 0; i < devices_count; i++) {
		number += devices[i].driver == driver ? 1 : 0;
	}
	*device = (struct device){ .driver = driver, .pci = pci, .deadline_tsc = BH_FOREVER };
	/* "nvme0", but "e1000-0" */
	snprintf(device->name, sizeof(device->name), "%s%s%u", driver->name,
	         driver->name[strlen(driver->name) - 1] <= '9' ? "-" : "", (unsigned int)number);
	pci_set_command(pci, 0, PCI_COMMAND_MASTER);
	devices_count++;
}

static void start_device(uint32_t idx)
{
	struct device *device = &devices[idx];

	pci_read_bars(device->pci);
	pci_disable_messages(device->pci);
	attach(idx);
	pci_set_command(device->pci, PCI_COMMAND_MEMORY | PCI_COMMAND_PORTS | PCI_COMMAND_MASTER,
	                0);
	if (device->has_interrupt && !lines[device_line[idx] - 1].is_message) {
		pci_set_command(device->pci, 0, PCI_COMMAND_NO_INTX);
	}
	device->driver->start(device);
}

/* root has given the memory, or has refused. */
static void start_all(void *owner, int idx, const char *message)
{
	uint64_t at = 0;
	uint32_t i;

	(void)owner;
	is_started = true;
	for (i = 0; i < devices_count; i++) {
		if (idx < 0) {
			driver_fail(&devices[i], "no memory for it: %s", message);
			continue;
		}
		devices[i].dma = (uint8_t *)kept_address((uint32_t)idx) + at;
		devices[i].dma_physical = kept_physical((uint32_t)idx) + at;
		devices[i].dma_bytes = devices[i].driver->dma_bytes;
		at += devices[i].dma_bytes;
		start_device(i);
	}
}

void devices_init(void)
{
	uint64_t bytes = 0;
	uint32_t i;
	int idx;

	best_way = first_way();
	functions_count = pci_scan(&pci_ports, functions, DEVICES_PCI_MAX);
	for (i = 0; i < functions_count; i++) {
		const struct driver *driver = find_driver(&functions[i]);

		if (driver != NULL && devices_count < DEVICES_MAX) {
			add_device(&functions[i], driver);
			bytes += driver->dma_bytes;
		}
	}
	if (bytes == 0) {
		return;
	}
	find_routes();
	idx = kept_find(KEPT_DMA, NULL);
	if (idx >= 0 && kept_bytes((uint32_t)idx) >= bytes) {
		start_all(NULL, idx, "");
	} else {
		kept_take(KEPT_DMA, "", bytes, start_all, NULL);
	}
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool has_event(const uint64_t *bits, uint32_t bit)
{
	return (bits[bit / 64] >> (bit % 64) & 1) != 0;
}

/* A pin that a device without a driver holds would fire for ever: it stays masked then. */
static void acknowledge(uint32_t idx)
{
	struct line *line = &lines[idx];
	uint64_t now = bh_tsc();
	uint32_t i;

	if (now - line->since_tsc > bh_info()->tsc_hz) {
		line->since_tsc = now;
		line->count = 0;
	}
	if (++line->count < STORM_PER_SECOND) {
		bh_interrupt_ack(line->interrupt);
		return;
	}
	line->is_off = true;
	for (i = 0; i < devices_count; i++) {
		if (device_line[i] == idx + 1) {
			devices[i].has_interrupt = false;
			devices[i].interrupt_kind = "polled";
			devices[i].deadline_tsc = now;
			driver_say(&devices[i], "interrupt %u does not end: polled from now on",
			           (unsigned int)line->gsi);
		}
	}
}

void devices_service(const uint64_t *bits)
{
	uint64_t now = bh_tsc();
	uint32_t i;

	for (i = 0; i < devices_count; i++) {
		struct device *device = &devices[i];
		bool is_called = device_line[i] != 0 &&
		                 has_event(bits, DEVICES_EVENT + device_line[i] - 1);

		if (device->state == DEVICE_FAILED || (!is_called && now < device->deadline_tsc)) {
			continue;
		}
		device->interrupts_count += is_called ? 1 : 0;
		device->driver->service(device);
	}
	for (i = 0; i < lines_count; i++) {
		if (!lines[i].is_message && !lines[i].is_off &&
		    has_event(bits, DEVICES_EVENT + i)) {
			acknowledge(i);
		}
	}
}

uint64_t devices_deadline_tsc(void)
{
	uint64_t deadline = BH_FOREVER;
	uint32_t i;

	for (i = 0; is_started && i < devices_count; i++) {
		if (devices[i].deadline_tsc < deadline) {
			deadline = devices[i].deadline_tsc;
		}
	}
	return deadline;
}

bool devices_are_settled(void)
{
	uint32_t i;

	for (i = 0; i < devices_count; i++) {
		if (devices[i].state == DEVICE_STARTING) {
			return false;
		}
	}
	return true;
}

/* ---- for the verbs --------------------------------------------------------------------------- */

uint32_t devices_pci_count(void)
{
	return functions_count;
}

const struct pci_function *devices_pci(uint32_t idx)
{
	return &functions[idx];
}

const struct device *devices_of(const struct pci_function *pci)
{
	uint32_t i;

	for (i = 0; i < devices_count; i++) {
		if (devices[i].pci == pci) {
			return &devices[i];
		}
	}
	return NULL;
}

bool devices_gsi(const struct device *device, uint32_t *gsi)
{
	uint32_t line = device_line[device - devices];

	*gsi = line != 0 ? lines[line - 1].gsi : 0;
	return line != 0 && !lines[line - 1].is_message;
}

/* PCI Code and ID Assignment 1.11, 1: by class and subclass, else by class. */
const char *devices_class_name(uint32_t class_code)
{
	static const struct {
		uint32_t code;
		const char *name;
	} names[] = {
		{ 0x0100, "SCSI" },        { 0x0101, "IDE" },         { 0x0106, "SATA" },
		{ 0x0108, "NVMe" },        { 0x0200, "Ethernet" },    { 0x0300, "VGA" },
		{ 0x0600, "host bridge" }, { 0x0601, "ISA bridge" },  { 0x0604, "PCI bridge" },
		{ 0x0c03, "USB" },         { 0x0c05, "SMBus" },       { 0x0401, "audio" },
		{ 0x0403, "audio" },       { 0x0700, "serial port" },
	};
	static const char *const classes[] = { "other",  "storage",   "network", "display", "audio",
		                               "memory", "bridge",    "port",    "system",  "input",
		                               "dock",   "processor", "serial" };
	uint32_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].code == class_code >> 8) {
			return names[i].name;
		}
	}
	return class_code >> 16 < sizeof(classes) / sizeof(classes[0]) ? classes[class_code >> 16]
	                                                               : "other";
}
